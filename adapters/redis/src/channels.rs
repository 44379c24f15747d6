//! Bare mode: a channel for each event's name, a message for its payload, and nothing else.

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

/// How many messages may wait for handlers; what comes on top is lost, and counted.
const MAX_WAITING: usize = 10_000;
/// How many reasons for refusing messages are told.
const MAX_NAMED: usize = 1_000;

/// Shares Redis channels with programs that know nothing of this library: the channel is the event's name, the message its
/// payload as JSON, as `publish(event, JSON.stringify(data))` and `psubscribe("*")` of a JavaScript service do it.
///
/// - **`emit`** returns when Redis has passed the message on to whoever listens. Nothing is kept: who does not listen
///   does not get it, and the history is the bounded one in the memory of the bus. There are no durable handlers:
///   [`Redis`](crate::Redis) has both.
/// - **Live handlers** get what others publish, under a new id and the time at which it came. A bus does not hear itself:
///   it drops as many messages of a text as it has sent of it.
/// - **What fits no declared event** is counted ([`Stats`](events_core::Stats)), and each reason is logged once, of the
///   first 1,000. What [`Redis`](crate::Redis) says on the same server is passed over.
/// - **A lost connection** is made again; what was said meanwhile is lost, and that is logged. Handlers that are 10,000
///   messages behind lose the next ones, which are counted, and logged in one line per 10 s.
/// - **While Redis is away**, emits wait for at most the [retry_timeout](Self::retry_timeout); where a connection broke under a
///   message, the error says that it may have been sent.
/// - **Opening** happens in `build()`, which returns when the bus listens, and fails where the server can't be reached.
/// - **Limits.** A payload has at most 1 MiB, where it is emitted ([`TooLarge`](events_core::ErrorKind::TooLarge)) and
///   where it arrives: [`max_payload`](events_core::BusBuilder::max_payload) sets both, and should be the same in all
///   programs.
/// - **Stopping and dropping** the bus end its connections; messages that wait for handlers are lost.
/// - **Versions and metadata** are not sent: a payload is taken to be of the version this program knows.
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

/// What exists once it is subscribed.
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
    /// The channels of this server: addresses are those of [`Redis::at`](crate::Redis::at).
    pub fn at(url: impl AsRef<str>) -> Self {
        Self {
            client: Client::open(url.as_ref()),
            pattern: "*".to_owned(),
            retry_timeout: Duration::from_secs(5),
            engine: OnceLock::new(),
        }
    }

    /// Listens to the channels of a pattern of Redis, such as `shop.*`; to all unless set. Where others use the server
    /// for much else, it keeps their messages away.
    #[must_use]
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = pattern.into();
        self
    }

    /// How long `emit` waits for a server that is away: 5 s unless set. With [`Duration::ZERO`] it fails at once.
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

/// Listens for ever. Says once whether that works: until it has, it does not try again.
async fn listen(
    shared: Arc<Shared>,
    messages: mpsc::Sender<Msg>,
    listening: oneshot::Sender<Result<(), RedisError>>,
) {
    let mut pause = Pause::new();
    match subscribe(&shared).await {
        Ok(connection) => {
            // Whoever builds the bus may have given up.
            let _ = listening.send(Ok(()));
            forward(&shared, connection, &messages).await;
        }
        Err(error) => return drop(listening.send(Err(error))),
    }
    let mut since = Instant::now();
    shared.receiver.warn("lost its connection, and tries again: what is published meanwhile is lost");
    loop {
        pause.wait().await;
        let Ok(connection) = subscribe(&shared).await else { continue };
        let away = since.elapsed().as_secs_f64();
        shared.receiver.warn(&format!("is there again; what was published in {away:.1} s was lost"));
        forward(&shared, connection, &messages).await;
        (since, pause) = (Instant::now(), Pause::new());
        shared.receiver.warn("lost its connection, and tries again: what is published meanwhile is lost");
    }
}

async fn subscribe(shared: &Shared) -> Result<Listening, RedisError> {
    let before = Instant::now();
    let listening = shared.server.listen(Channel::Like(&shared.pattern)).await?;
    shared.echoes.forget_before(before);
    Ok(listening)
}

/// Passes on messages until the connection is lost.
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

/// Hands messages to the handlers, one after the other.
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
