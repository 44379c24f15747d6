//! The connection for calls: made at its first use, and made again after it was lost.

use std::fmt;
use std::time::Duration;

use events_core::{AdapterError, Receiver};
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub, PubSubSink, PubSubStream};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, Msg, Pipeline, RedisError,
    ScriptInvocation,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, Interval, interval, sleep, timeout, timeout_at};

use crate::error::{CallError, Result};

/// Limit on the time to connect, and on the time to answer a call.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between pings on a listening connection.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// First and longest pause before a retry.
const RECONNECT_BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// What is sent to the server in one go.
pub(crate) enum Request {
    Script(ScriptInvocation<'static>),
    /// Commands that may be repeated.
    Commands(Pipeline),
}

pub(crate) struct ServerConnection {
    client: Client,
    /// How long a failed call is retried.
    retry_timeout: Duration,
    shared: Mutex<Shared>,
}

/// The connection that all calls share.
#[derive(Default)]
struct Shared {
    connection: Option<MultiplexedConnection>,
    /// How many connections were made.
    made: u64,
}

impl fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerConnection({self})")
    }
}

/// The address, without credentials.
impl fmt::Display for ServerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.client.get_connection_info().addr())
    }
}

impl ServerConnection {
    /// Creates a connection that connects at its first use. If `client` is an error, returns it.
    pub(crate) fn new(
        client: &std::result::Result<Client, RedisError>,
        retry_timeout: Duration,
    ) -> std::result::Result<Self, AdapterError> {
        let unreadable = |error| {
            let form = "such as redis://user:password@host:6379/0";
            AdapterError::refused(format_args!(
                "the address can't be used ({error}): write one {form}; `rediss://` needs the feature `redis-tls`"
            ))
        };
        let client = client.clone().map_err(unreadable)?;
        Ok(Self { client, retry_timeout, shared: Mutex::default() })
    }

    /// Warns if events are sent to another machine without encryption.
    pub(crate) fn warn_of_plain_text(&self, receiver: &Receiver) {
        if self.is_plain_text_to_another_machine() {
            receiver.warn(
                "is reached without encryption: others on the network can read all events; use a rediss:// address",
            );
        }
    }

    fn is_plain_text_to_another_machine(&self) -> bool {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) => {
                let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
                host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
            }
            _ => false,
        }
    }

    /// Calls a script that may be repeated. Retries it until it is answered or `retry_timeout` has passed since
    /// `since`.
    ///
    /// The argument of `invoke` says whether an earlier try may have run, because its answer was lost.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        since: Instant,
        invoke: impl Fn(bool) -> ScriptInvocation<'static> + Send,
    ) -> Result<T> {
        self.call_until(since, |_| false, move |again| Request::Script(invoke(again))).await
    }

    /// Sends commands that may be repeated, as [`call`](Self::call) does.
    pub(crate) async fn send<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        self.call_until(Instant::now(), |_| false, |_| Request::Commands(commands.clone())).await
    }

    /// Calls a script that must not run twice. Retries it only while no try can have run.
    pub(crate) async fn call_once<T: FromRedisValue>(
        &self,
        invoke: impl Fn(bool) -> ScriptInvocation<'static> + Send,
    ) -> Result<T> {
        let invoke = move |again| Request::Script(invoke(again));
        self.call_until(Instant::now(), |failure| failure.unknown, invoke).await
    }

    async fn call_until<T: FromRedisValue>(
        &self,
        since: Instant,
        is_enough: impl Fn(&CallError) -> bool + Send,
        invoke: impl Fn(bool) -> Request + Send,
    ) -> Result<T> {
        let mut pause = Pause::new();
        let until = since + self.retry_timeout;
        // A call that is sent late gets no more time than the rest, so that all tries together take no longer than a
        // single one may, or than `retry_timeout`.
        let deadline = until.max(since + RESPONSE_TIMEOUT);
        let mut unknown = false;
        loop {
            let failure = match self.once(invoke(unknown), deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            unknown |= failure.unknown;
            if is_enough(&failure) || !failure.is_temporary() || Instant::now() + pause.next > until {
                return Err(CallError { unknown, ..failure });
            }
            pause.wait().await;
        }
    }

    async fn once<T: FromRedisValue>(&self, request: Request, deadline: Instant) -> Result<T> {
        // Calls connect one after the other, under a mutex. The timeout bounds that wait, too.
        let connection = timeout_at(deadline, self.numbered_connection()).await;
        let (mut connection, number) = connection.unwrap_or_else(|_| Err(CallError::timed_out(false)))?;
        let answered = async {
            match &request {
                Request::Script(call) => call.invoke_async(&mut connection).await,
                Request::Commands(commands) => commands.query_async(&mut connection).await,
            }
        };
        let answer = match timeout_at(deadline, answered).await {
            Ok(answer) => answer.map_err(CallError::sent),
            Err(_) => Err(CallError::timed_out(true)),
        };
        if answer.as_ref().is_err_and(CallError::is_of_connection) {
            // The next call connects again, unless another call already has.
            let mut shared = self.shared.lock().await;
            if shared.made == number {
                shared.connection = None;
            }
        }
        answer
    }

    /// Returns the connection that all calls share.
    pub(crate) async fn connection(&self) -> Result<MultiplexedConnection> {
        Ok(self.numbered_connection().await?.0)
    }

    /// Returns the connection that all calls share, and its number.
    async fn numbered_connection(&self) -> Result<(MultiplexedConnection, u64)> {
        let mut shared = self.shared.lock().await;
        if let Some(connection) = &shared.connection {
            return Ok((connection.clone(), shared.made));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = made.map_err(CallError::unsent)?;
        shared.made += 1;
        shared.connection = Some(connection.clone());
        Ok((connection, shared.made))
    }

    /// Opens a separate connection that subscribes to a channel.
    pub(crate) async fn listen(&self, to: Channel<'_>) -> std::result::Result<Listening, RedisError> {
        let connect = async {
            let mut connection = self.client.get_async_pubsub().await?;
            match to {
                Channel::Named(name) => connection.subscribe(name).await?,
                Channel::Like(pattern) => connection.psubscribe(pattern).await?,
            }
            Ok(Listening::new(connection))
        };
        timeout(RESPONSE_TIMEOUT, connect).await.unwrap_or_else(|_| Err(CallError::timed_out(false).error))
    }
}

/// The channels that a [`Listening`] connection subscribes to.
#[derive(Clone, Copy)]
pub(crate) enum Channel<'a> {
    Named(&'a str),
    /// Every channel whose name matches this pattern of Redis.
    Like(&'a str),
}

/// A connection that only receives messages. It sends a ping from time to time, since a connection that was lost
/// without a reset would otherwise just be silent.
pub(crate) struct Listening {
    ask: PubSubSink,
    said: PubSubStream,
    beat: Interval,
}

impl Listening {
    fn new(connection: PubSub) -> Self {
        let (ask, said) = connection.split();
        Self { ask, said, beat: interval(PING_INTERVAL) }
    }

    /// Returns the next message, or `None` if the connection is lost.
    pub(crate) async fn next(&mut self) -> Option<Msg> {
        loop {
            tokio::select! {
                message = self.said.next() => return message,
                _ = self.beat.tick() => {
                    let answer = timeout(RESPONSE_TIMEOUT, self.ask.ping::<redis::Value>()).await;
                    if !answer.is_ok_and(|answer| answer.is_ok()) {
                        return None;
                    }
                }
            }
        }
    }
}

/// Returns the name of an adapter for messages: the engine and its address.
pub(crate) fn name_of(client: &std::result::Result<Client, RedisError>) -> String {
    match client {
        Ok(client) => format!("redis at {}", client.get_connection_info().addr()),
        Err(_) => "redis".to_owned(),
    }
}

/// An exponential backoff, so that a server that restarts is not flooded.
pub(crate) struct Pause {
    next: Duration,
}

impl Pause {
    pub(crate) fn new() -> Self {
        Self { next: RECONNECT_BACKOFF.0 }
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.next).await;
        self.next = (self.next * 2).min(RECONNECT_BACKOFF.1);
    }
}
