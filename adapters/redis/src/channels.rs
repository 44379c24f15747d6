//! Bare mode: the channel is the event's name, the message is its payload, and nothing else is sent.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use events_core::{
    Adapter, AdapterError, BoxFuture, ErrorKind, HistoryQuery, Published, Receiver, Record, RecordCodec,
};
use redis::{Client, Msg, RedisError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::{Channel, Listening, Pause, RESPONSE_TIMEOUT, ServerConnection, name_of};
use crate::echo::Echoes;
use crate::log::NOTIFY_SUFFIX;
use crate::scripts::PUBLISH;

/// How many messages may wait for handlers. Messages beyond it are dropped, and counted as lost.
const MAX_WAITING: usize = 10_000;
/// How many different reasons for refused messages are logged.
const MAX_NAMED: usize = 1_000;

/// An adapter that shares Redis channels with programs that don't use this library. The channel is the event's name and
/// the message its payload as JSON, like `publish(event, JSON.stringify(data))` and `psubscribe("*")` in a JavaScript
/// service.
///
/// - **`emit`** returns when Redis has passed the message to its current subscribers. Redis stores nothing, so a
///   program that is not subscribed misses the event. The history is the bounded one in the memory of the bus, and
///   there are no durable handlers: [`Redis`](crate::Redis) has both.
/// - **Live handlers** get the messages of other programs. Each gets a new id, and the time at which it arrived. A bus
///   drops its own messages: for each message it has sent, it drops one received message with equal channel and text.
/// - **Messages that fit no declared event** are counted in [`Stats`](events_core::Stats). Each reason is logged once,
///   up to 1,000 reasons. Notifications of the adapter [`Redis`](crate::Redis) on the same server are ignored.
/// - **A lost connection** is made again. Messages published meanwhile are lost, and that is logged. If 10,000 messages
///   wait for handlers, further ones are lost; they are counted, and logged in one line per 10 s.
/// - **While Redis is unreachable**, an emit waits for at most the [`retry_timeout`](Self::retry_timeout). If the
///   connection breaks while a message is sent, the error says that the message may have been sent.
/// - **Opening** happens in `build()`, which returns when the bus is subscribed. It fails if the server can't be
///   reached.
/// - **Limits.** A payload has at most 1 MiB, both emitted ([`TooLarge`](events_core::ErrorKind::TooLarge)) and
///   received. [`max_payload`](events_core::BusBuilder::max_payload) sets both limits. It should be equal in all
///   programs.
/// - **Stopping and dropping** the bus close its connections. Messages that wait for handlers are lost.
/// - **Versions and metadata** are not sent. A received payload counts as the version that this program declares.
///
/// ```no_run
/// # async fn example() -> Result<(), events_core::Error> {
/// use events_core::Bus;
/// use events_redis::Channels;
///
/// let bus = Bus::builder().adapter(Channels::at("redis://127.0.0.1")).discover().build().await?;
/// # Ok(()) }
/// ```
pub struct Channels {
    client: Result<Client, RedisError>,
    pattern: String,
    retry_timeout: Duration,
    engine: OnceLock<Engine>,
}

/// The state of an adapter that is subscribed.
struct Engine {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    server: ServerConnection,
    pattern: String,
    echoes: Echoes,
    receiver: Receiver,
}

impl Channels {
    /// Creates an adapter for the channels of the server at `url`. Addresses are those of
    /// [`Redis::at`](crate::Redis::at).
    ///
    /// Connects in `build()` of the bus, which also reports a `url` that can't be parsed.
    pub fn at(url: impl AsRef<str>) -> Self {
        Self {
            client: Client::open(url.as_ref()),
            pattern: "*".to_owned(),
            retry_timeout: Duration::from_secs(5),
            engine: OnceLock::new(),
        }
    }

    /// Sets which channels the bus subscribes to, as a pattern of Redis such as `shop.*`. The default is `*`, all
    /// channels. On a server with other users, a narrower pattern avoids receiving their messages.
    #[must_use]
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = pattern.into();
        self
    }

    /// Sets how long `emit` retries while the server is unreachable. The default is 5 s. With [`Duration::ZERO`] it
    /// fails at its first error.
    #[must_use]
    pub fn retry_timeout(mut self, retry_timeout: Duration) -> Self {
        self.retry_timeout = retry_timeout;
        self
    }

    fn engine(&self) -> Result<&Engine, AdapterError> {
        let closed =
            || AdapterError::refused(format_args!("{} is not open: no bus was built on it", self.name()));
        self.engine.get().ok_or_else(closed)
    }

    async fn open(&self, receiver: Receiver) -> Result<Engine, AdapterError> {
        let server = ServerConnection::new(&self.client, self.retry_timeout)?;
        server.warn_of_plain_text(&receiver);
        let (pattern, echoes) = (self.pattern.clone(), Echoes::default());
        let shared = Arc::new(Shared { server, pattern, echoes, receiver });
        let (sender, messages) = mpsc::channel(MAX_WAITING);
        let (listening, listens) = oneshot::channel();
        let forward = tokio::spawn(listen(Arc::clone(&shared), sender, listening));
        let deliver = tokio::spawn(deliver(Arc::clone(&shared), messages));
        let engine = Engine { shared, tasks: [forward, deliver] };
        match tokio::time::timeout(self.retry_timeout + RESPONSE_TIMEOUT, listens).await {
            Ok(Ok(Ok(()))) => Ok(engine),
            Ok(Ok(Err(error))) => Err(AdapterError::refused(error)),
            _ => Err(AdapterError::unavailable("the server does not answer")),
        }
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channels({})", self.name())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Receives messages until the task is aborted. Sends the result of the first subscription on `listening`, and ends if
/// it failed. After a success, it subscribes again whenever the connection is lost.
async fn listen(
    shared: Arc<Shared>,
    messages: mpsc::Sender<Msg>,
    listening: oneshot::Sender<Result<(), RedisError>>,
) {
    let mut pause = Pause::new();
    match subscribe(&shared).await {
        Ok(connection) => {
            // The caller of `build` may have dropped its future.
            let _ = listening.send(Ok(()));
            forward(&shared, connection, &messages).await;
        }
        Err(error) => return drop(listening.send(Err(error))),
    }
    let mut since = Instant::now();
    shared.receiver.warn("lost its connection and reconnects: messages published until then are lost");
    loop {
        pause.wait().await;
        let Ok(connection) = subscribe(&shared).await else { continue };
        let away = since.elapsed().as_secs_f64();
        shared.receiver.warn(&format!("is connected again: messages of the last {away:.1} s were lost"));
        forward(&shared, connection, &messages).await;
        (since, pause) = (Instant::now(), Pause::new());
        shared.receiver.warn("lost its connection and reconnects: messages published until then are lost");
    }
}

async fn subscribe(shared: &Shared) -> Result<Listening, RedisError> {
    let before = Instant::now();
    let listening = shared.server.listen(Channel::Like(&shared.pattern)).await?;
    shared.echoes.forget_before(before);
    Ok(listening)
}

/// Queues received messages for [`deliver`] until the connection is lost.
async fn forward(shared: &Shared, mut listening: Listening, messages: &mpsc::Sender<Msg>) {
    while let Some(message) = listening.next().await {
        if message.get_channel_name().ends_with(NOTIFY_SUFFIX) {
            continue;
        }
        let is_echo = shared.echoes.is_echo(message.get_channel_name(), message.get_payload_bytes());
        if is_echo {
            continue;
        }
        if messages.try_send(message).is_err() {
            shared.receiver.lost(1, "handlers were too far behind");
        }
    }
}

/// Passes queued messages to the handlers, one at a time.
async fn deliver(shared: Arc<Shared>, mut messages: mpsc::Receiver<Msg>) {
    let mut named = HashSet::new();
    while let Some(message) = messages.recv().await {
        let channel = message.get_channel_name();
        let Err(error) = shared.receiver.deliver_payload(channel, message.get_payload_bytes()).await else {
            continue;
        };
        if error.kind() == ErrorKind::Stopped {
            return;
        }
        let why = error.to_string();
        if named.len() < MAX_NAMED && !named.contains(&why) {
            shared
                .receiver
                .warn(&format!("sent a message that was refused (others like it are only counted): {why}"));
            named.insert(why);
        }
    }
}

impl Adapter for Channels {
    fn name(&self) -> String {
        name_of(&self.client)
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            let shared = &self.engine()?.shared;
            let messages = records.iter().map(|record| Ok((record.name(), codec.payload(record)?)));
            let messages = messages.collect::<Result<Vec<_>, AdapterError>>()?;
            for (channel, message) in &messages {
                shared.echoes.expect(channel, message);
            }
            let invoke = |_| {
                let mut call = PUBLISH.prepare_invoke();
                for (channel, message) in &messages {
                    call.arg(channel).arg(message);
                }
                call
            };
            let published = shared.server.call_once::<u64>(invoke).await.map_err(|fault| {
                if !fault.unknown {
                    messages.iter().for_each(|(channel, message)| shared.echoes.forget(channel, message));
                }
                fault.to_bus()
            });
            published.map(|_| Published::default())
        })
    }

    fn history<'a>(
        &'a self,
        _query: &'a HistoryQuery,
        _wire: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async { Err(AdapterError::refused("channels keep no history")) })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            let engine = self.open(receiver).await?;
            let open = || AdapterError::refused(format_args!("{} is open already", self.name()));
            self.engine.set(engine).map_err(|_| open())
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            self.engine()?.tasks.iter().for_each(JoinHandle::abort);
            Ok(())
        })
    }
}
