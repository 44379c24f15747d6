//! [`Redis`]: its settings, opening the log, and the implementation of `Adapter`.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use events_core::store::{Limits, TrimLimit};
use events_core::{
    Adapter, AdapterError, BoxFuture, DurableAdapter, HistoryQuery, LogPage, LogQuery, Published, Receiver,
    Record, RecordCodec, Retention, Timestamp,
};
use redis::{Client, RedisError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::connection::{ServerConnection, name_of};
use crate::log::Log;
use crate::publish::{Duplicate, Publisher};
use crate::tail::{Changed, Tail, listen};
use crate::{history, retention};

/// An adapter on a Redis server: it connects buses, keeps their history, and stores their durable consumers.
///
/// Needs Redis 7 or later, or a server that speaks its protocol and runs scripts. Redis Cluster is not supported.
///
/// - **`emit`** returns when Redis has appended the event to the log, a stream. How safe the event is then depends on
///   the server's settings: with `appendonly yes` and `appendfsync always` nothing is lost; with `everysec` a power cut
///   loses up to a second of events. Concurrent emits share one call.
/// - **While Redis is unreachable**, an emit waits for at most the [`retry_timeout`](Self::retry_timeout) and then
///   returns an error. Handlers continue with the events they have. A repeated call has no second effect, and the
///   adapter reconnects until it succeeds.
/// - **Live handlers** of other instances get an event when a Pub/Sub notification arrives. Events whose notification
///   was missed while the connection was lost are read from the log after the reconnect.
/// - **History** keeps everything unless [`retention`](Self::retention) is set. A query reads backwards through the
///   stored records until its limit is reached. A query for one name transfers only the JSON of that event.
/// - **Limits.** `emit_all` takes at most 20,000 events, because the server runs nothing else while it appends them.
/// - **Opening** happens in `build()`. It fails if the server can't be reached within the retry timeout, refuses the
///   connection, or has a log of another format.
/// - **Stopping and dropping.** After `stop` of the bus nothing is appended, and the history can still be read. A
///   dropped bus closes its connections when the calls under way are done.
/// - **Memory.** Redis keeps the whole log in memory: each event takes the size of its JSON and about 120 bytes.
///
/// ```no_run
/// # async fn example() -> Result<(), events_core::Error> {
/// use events_core::Bus;
/// use events_redis::Redis;
///
/// let bus = Bus::builder().adapter(Redis::at("redis://127.0.0.1")).discover().build().await?;
/// # Ok(()) }
/// ```
pub struct Redis {
    /// The client for the address, or the error if the address can't be parsed.
    client: Result<Client, RedisError>,
    prefix: String,
    retry_timeout: Duration,
    retention: Retention,
    poll: Duration,
    limits: Option<Limits>,
    engine: OnceLock<Engine>,
}

/// The state of an adapter whose log is open.
pub(crate) struct Engine {
    pub(crate) log: Arc<Log>,
    /// Counters of changes that consumers may have to look at.
    pub(crate) changed: Arc<Changed>,
    /// `None` after the bus has stopped.
    publisher: Mutex<Option<Publisher>>,
    tasks: [JoinHandle<()>; 3],
    /// Whether [`warn_if_forgetful`](Self::warn_if_forgetful) has run.
    asked: AtomicBool,
}

impl Redis {
    /// Creates an adapter for the log on the server at `url`: `redis://127.0.0.1`,
    /// `redis://user:password@host:6379/0`, `rediss://host` with the feature `redis-tls`, or `unix:///run/redis.sock`.
    ///
    /// Connects in `build()` of the bus, which also reports a `url` that can't be parsed.
    pub fn at(url: impl AsRef<str>) -> Self {
        Self {
            client: Client::open(url.as_ref()),
            prefix: "{typed-events}".to_owned(),
            retry_timeout: Duration::from_secs(5),
            retention: Retention::everything(),
            poll: Duration::from_secs(1),
            limits: None,
            engine: OnceLock::new(),
        }
    }

    /// Sets the prefix of all keys and channels of the log. Buses with different prefixes share nothing. The default is
    /// `{typed-events}`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long `emit` and every other call retries while the server is unreachable. The default is 5 s. With
    /// [`Duration::ZERO`] a call fails at its first error. A server that accepts a call and does not answer is given
    /// up after 5 s, or after this time if that is longer.
    #[must_use]
    pub fn retry_timeout(mut self, retry_timeout: Duration) -> Self {
        self.retry_timeout = retry_timeout;
        self
    }

    /// Sets how long the log keeps events. The default is to keep everything. Sizes count the bytes of the events'
    /// JSON.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Sets the interval at which the log is read even without a notification, in case one was missed. The default is 1
    /// s, the minimum 1 ms.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets other bounds on the work of a call, for checks.
    #[doc(hidden)]
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Trims a chunk of records, for checks. Returns how many were trimmed, and the time.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the server can't be reached.
    #[doc(hidden)]
    pub async fn trim(
        &self,
        now: Timestamp,
        limit: TrimLimit,
        past_consumers: bool,
    ) -> Result<(u64, Timestamp), AdapterError> {
        retention::trim_to(&self.engine()?.log, now, limit, past_consumers).await
    }

    pub(crate) fn engine(&self) -> Result<&Engine, AdapterError> {
        let closed =
            || AdapterError::refused(format_args!("{} is not open: no bus was built on it", self.name()));
        self.engine.get().ok_or_else(closed)
    }

    async fn open(&self, receiver: Receiver) -> Result<Engine, AdapterError> {
        let server = ServerConnection::new(&self.client, self.retry_timeout)?;
        server.warn_of_plain_text(&receiver);
        let (log, last) = Log::open(server, self.prefix.clone(), receiver, self.limits).await?;
        log.warn_of_eviction().await;
        log.note_retention(self.retention).await?;
        let (log, changed) = (Arc::new(log), Arc::new(Changed::default()));
        let tasks = [
            tokio::spawn(listen(Arc::clone(&log), Arc::clone(&changed))),
            tokio::spawn(Tail::new(&log, &changed, last).run(self.poll)),
            tokio::spawn(retention::keep(Arc::clone(&log), self.retention)),
        ];
        let publisher = Mutex::new(Some(Publisher::start(Arc::clone(&log), Arc::clone(&changed))));
        Ok(Engine { log, changed, publisher, tasks, asked: AtomicBool::new(false) })
    }
}

impl Engine {
    /// Warns once if a crash of the server would lose events that durable handlers have not handled.
    pub(crate) async fn warn_if_forgetful(&self) {
        if self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        // The user of this connection may not be allowed to run INFO. Then the setting is unknown.
        let Ok(mut connection) = self.log.server.connection().await else { return };
        let asked: Result<String, _> =
            redis::cmd("INFO").arg("persistence").query_async(&mut connection).await;
        if asked.is_ok_and(|info| info.contains("aof_enabled:0")) {
            self.log.receiver.warn(
                "has `appendonly no`: a crash of the server loses events that durable handlers have not handled yet; set `appendonly yes`",
            );
        }
    }

    fn end(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.name())
    }
}

impl Adapter for Redis {
    fn name(&self) -> String {
        name_of(&self.client)
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            let engine = self.engine()?;
            let drafts = records.iter().map(|record| codec.draft(record)).collect::<Result<_, _>>()?;
            let publisher = engine.publisher.lock().await.clone();
            let publisher = publisher.ok_or_else(|| AdapterError::refused("the bus has stopped"))?;
            let duplicates = publisher.append(drafts).await?;
            let with = |published: Published, Duplicate { index, stored }| {
                // A stored record that can't be read does not fail the emit.
                published.with_duplicate(index, stored.and_then(|text| codec.decode(&text).ok()))
            };
            Ok(duplicates.into_iter().fold(Published::default(), with))
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move { history::read(&self.engine()?.log, query, codec).await })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move { history::read_forward(&self.engine()?.log, query, codec).await })
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
            let engine = self.engine()?;
            engine.end();
            *engine.publisher.lock().await = None;
            Ok(())
        })
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        Some(self)
    }
}
