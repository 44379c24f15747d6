//! The adapter: opening the log, and what `Adapter` asks for.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use events_core::{
    Adapter, AdapterError, BoxFuture, DurableAdapter, HistoryQuery, LogPage, LogQuery, Published, Receiver,
    Record, RecordCodec, Retention,
};
use redis::{Client, RedisError};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::connection::{ServerConnection, name_of};
use crate::log::Log;
use crate::publish::Publisher;
use crate::tail::{Changed, Tail, listen};
use crate::{history, retention};

/// Joins buses over a Redis server, with a history they share and durable handlers.
///
/// Needs Redis 6.2 or later, or a server that speaks its protocol, with scripts; not a Redis Cluster.
///
/// - **`emit`** returns when Redis has the event in its log, a stream. How safe that is, is the server's matter:
///   `appendonly yes` with `appendfsync always` loses nothing, with `everysec` up to a second of events in a power cut.
///   Emits that run at the same time go in one call.
/// - **While Redis is away**, emits wait for it, for at most the [retry_timeout](Self::retry_timeout), and then say so; handlers
///   go on with what they have. All calls may be repeated without doing anything twice, and connections are made
///   again without end.
/// - **Live handlers** of other instances get an event when Pub/Sub rings; what a lost connection missed, they get from
///   the log when there is another one.
/// - **History** keeps everything unless [`retention`](Self::retention) is set. Queries read backwards through what is
///   kept until the limit is reached; of one name only its own records cross the network.
/// - **Limits.** `emit_all` takes at most 20,000 events, as the server does nothing else meanwhile. The clocks of instances
///   must agree to well within a [lease](events_core::BusBuilder::lease).
/// - **Opening** happens in `build()`, which fails where the server can't be reached within the retry_timeout, refuses, or has a
///   log of another format.
/// - **Stopping and dropping.** After `stop` of the bus nothing is appended; the history can still be read. A bus that is
///   dropped ends its connections when the calls under way are done.
/// - **Memory.** Redis keeps all of the log in memory: each event takes its JSON and some 250 bytes.
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
    /// What the address says, or why it can't be read.
    client: Result<Client, RedisError>,
    prefix: String,
    retry_timeout: Duration,
    retention: Retention,
    poll: Duration,
    engine: OnceLock<Engine>,
}

/// What exists once the log is open.
pub(crate) struct Engine {
    pub(crate) log: Arc<Log>,
    /// Counts what may be of interest to consumers.
    pub(crate) changed: Arc<Changed>,
    /// None once the bus has stopped.
    publisher: Mutex<Option<Publisher>>,
    tasks: [JoinHandle<()>; 3],
    /// Whether it was asked if the server keeps what it is given.
    asked: AtomicBool,
}

impl Redis {
    /// The log on this server: `redis://127.0.0.1`, `redis://user:password@host:6379/0`, `rediss://host` with the feature
    /// `redis-tls`, or `unix:///run/redis.sock`.
    pub fn at(url: impl AsRef<str>) -> Self {
        Self {
            client: Client::open(url.as_ref()),
            prefix: "{typed-events}".to_owned(),
            retry_timeout: Duration::from_secs(5),
            retention: Retention::everything(),
            poll: Duration::from_secs(1),
            engine: OnceLock::new(),
        }
    }

    /// What all keys and channels of the log begin with: buses with different prefixes share nothing.
    /// `{typed-events}` unless set.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long `emit`, and all that is asked of the log, waits for a server that is away: 5 s unless set. With
    /// [`Duration::ZERO`] it fails at once.
    #[must_use]
    pub fn retry_timeout(mut self, retry_timeout: Duration) -> Self {
        self.retry_timeout = retry_timeout;
        self
    }

    /// What is kept; everything unless set. Bytes are those of the events' JSON.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Looks this often for what other instances did, should a message of theirs be missed; every second unless set, at
    /// least every millisecond.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval.max(Duration::from_millis(1));
        self
    }

    pub(crate) fn engine(&self) -> Result<&Engine, AdapterError> {
        let closed =
            || AdapterError::refused(format_args!("{} is not open: no bus was built on it", self.name()));
        self.engine.get().ok_or_else(closed)
    }

    async fn open(&self, receiver: Receiver) -> Result<Engine, AdapterError> {
        let server = ServerConnection::new(&self.client, self.retry_timeout)?;
        server.warn_of_plain_text(&receiver);
        let (log, last) = Log::open(server, self.prefix.clone(), receiver).await?;
        let (log, changed) = (Arc::new(log), Arc::new(watch::Sender::new(0)));
        let tasks = [
            tokio::spawn(listen(Arc::clone(&log), Arc::clone(&changed))),
            tokio::spawn(Tail::new(&log, &changed, last).run(self.poll)),
            tokio::spawn(retention::keep(Arc::clone(&log), self.retention)),
        ];
        let publisher = Mutex::new(Some(Publisher::start(Arc::clone(&log))));
        Ok(Engine { log, changed, publisher, tasks, asked: AtomicBool::new(false) })
    }
}

impl Engine {
    /// Says so where the server would forget events that are to be handled.
    pub(crate) async fn warn_if_forgetful(&self) {
        if self.asked.swap(true, Ordering::Relaxed) {
            return;
        }
        // It may not be allowed to ask; then it is not known.
        let Ok(mut connection) = self.log.server.connection().await else { return };
        let asked: Result<String, _> =
            redis::cmd("INFO").arg("persistence").query_async(&mut connection).await;
        if asked.is_ok_and(|info| info.contains("aof_enabled:0")) {
            self.log.receiver.warn(
                "has `appendonly no`: a crash of the server takes events that durable handlers have yet to handle",
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
            Ok(duplicates.into_iter().fold(Published::default(), Published::with_duplicate))
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
