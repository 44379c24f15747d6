//! The adapter: opening the file, and what `Adapter` asks for.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use events_core::{
    Adapter, AdapterError, BoxFuture, DurableAdapter, HistoryQuery, LogPage, LogQuery, Published, Receiver,
    Record, RecordCodec, Retention,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::executor::{Durability, Executor, Tx};
use crate::options::{Options, Synchronous};
use crate::tail::{LocalPeers, Tail};
use crate::watermark::Watermark;
use crate::{history, log, retention, schema};

/// Up to so many records are little work.
const SMALL_BATCH: usize = 4;

/// Keeps all events of a bus in one SQLite file, with durable handlers; processes that open the same file share its
/// events.
///
/// The tables' names begin with `typed_events_`, so the file may be that of the program's own database; then
/// [`Bus::emit_in`](https://docs.rs/typed-events/latest/typed_events/struct.Bus.html#method.emit_in) makes an event
/// part of a transaction. The file must be on a local disk: SQLite's write-ahead log does not work over a network.
///
/// - **`emit`** returns when the event is safe on disk ([`Synchronous::Full`]); emits that run at the same time share
///   a commit, which is made by a thread for blocking work. One that is alone commits in its own task where that has
///   been taking less than 100 µs. What is known of consumers is written without waiting for the disk: a power cut
///   may let a handler see again what it had finished just before, and takes nothing else.
/// - **History** keeps everything unless [`retention`](Self::retention) is set. One name: its newest records
///   by an index. A pattern with wildcards, or times: reads backwards through what is kept until the limit is
///   reached.
/// - **Live handlers** of other processes get an event within the [poll interval](Self::poll); 20 ms unless set.
/// - **A transaction of your own** that writes to the file makes emits wait, for at most 5 s: don't emit through the
///   bus inside of one, but by `emit_in`.
/// - **Opening** happens in `build()`, which fails, and names the file, where it can't be opened, has a format of a
///   newer program, or is damaged. All of a file up to 8 MB is checked, of a larger one what consumers have in hand
///   and how many records there are; each record has a checksum that is looked at when it is read.
/// - **A second file**, its name with `-acknowledged` behind it, says up to where records were safe: SQLite takes damage
///   to a write-ahead log for its end, and is silent of what stood behind. Whoever puts an older copy of a log in its
///   place removes that file, or `build()` says that the newest records are missing.
/// - **Stopping and dropping.** `stop` of the bus closes the file for writing; the history can still be read. A bus
///   that is dropped closes it, too, when the work under way is done.
///
/// ```no_run
/// # async fn example() -> Result<(), events_core::Error> {
/// use events_core::Bus;
/// use events_sqlite::Sqlite;
///
/// let bus = Bus::builder().adapter(Sqlite::at("events.db")).discover().build().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sqlite {
    options: Options,
    engine: OnceLock<Engine>,
}

/// What exists once the file is open.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Tells this log from others.
    #[cfg_attr(
        not(feature = "sqlx"),
        allow(dead_code, reason = "only transactions of users may be of another")
    )]
    pub(crate) log: [u8; 16],
    pub(crate) writer: Executor,
    /// Reads beside the writer: histories, which may take long, and what operators look at.
    pub(crate) reader: Executor,
    /// Counts what may be of interest to consumers.
    pub(crate) changed: Arc<watch::Sender<u64>>,
    pub(crate) peers: LocalPeers,
    tail: JoinHandle<()>,
    trimming: JoinHandle<()>,
}

impl Sqlite {
    /// A log in this file, which is made when the bus is built, unless it exists.
    pub fn at(path: impl AsRef<Path>) -> Self {
        let options = Options {
            path: path.as_ref().to_owned(),
            synchronous: Synchronous::Full,
            retention: Retention::everything(),
            poll: Duration::from_millis(20),
            dedup_window: Duration::from_secs(7 * 24 * 60 * 60),
            vfs: None,
        };
        Self { options, engine: OnceLock::new() }
    }

    /// How much a power cut may take; nothing unless set.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.options.synchronous = synchronous;
        self
    }

    /// What is kept; everything unless set.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.options.retention = retention;
        self
    }

    /// Looks this often for what other processes did to the file; every 20 ms unless set, at least 1 ms.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.options.poll = interval.max(Duration::from_millis(1));
        self
    }

    /// Remembers for this long which events handlers noted with
    /// [`Delivery::first_time`](https://docs.rs/typed-events/latest/typed_events/struct.Delivery.html#method.first_time);
    /// 7 days unless set.
    #[must_use]
    pub fn dedup_window(mut self, time: Duration) -> Self {
        self.options.dedup_window = time;
        self
    }

    /// Opens the file through a VFS of SQLite that the program has registered, such as one that encrypts. How far the log
    /// was acknowledged is then not noted beside it.
    #[must_use]
    pub fn vfs(mut self, name: impl Into<String>) -> Self {
        self.options.vfs = Some(name.into());
        self
    }

    pub(crate) fn path(&self) -> &Path {
        &self.options.path
    }

    pub(crate) fn engine(&self) -> Result<&Engine, AdapterError> {
        self.engine.get().ok_or_else(|| {
            AdapterError::refused(format_args!(
                "{} is not open: no bus was built on it",
                self.options.path.display()
            ))
        })
    }

    async fn open(&self, receiver: Receiver) -> Result<Engine, AdapterError> {
        let (options, from) = (self.options.clone(), receiver.clone());
        let runtime = Handle::try_current().map_err(AdapterError::refused)?;
        let opening = runtime.spawn_blocking(move || -> crate::error::Result<_> {
            let mut connection = schema::connect_first(&options)?;
            schema::prepare(&mut connection)?;
            schema::check(&connection)?;
            let log = schema::id(&connection)?;
            let (last, reader) = (log::last(&connection)?, schema::connect(&options)?);
            let acknowledged = match options.vfs {
                None => Some(Watermark::open(&options.path, log, from)?),
                Some(_) => None,
            };
            Ok((connection, reader, last, log, acknowledged))
        });
        let opened = opening.await.unwrap_or(Err(StoreError::Gone));
        let (connection, reader, last, log, acknowledged) =
            opened.map_err(|fault| fault.of_file(&self.options.path))?;
        let options = &self.options;
        let writer = Executor::new(options.clone(), runtime.clone(), connection, acknowledged);
        let reader = Executor::new(options.clone(), runtime.clone(), reader, None);
        let changed = Arc::new(watch::Sender::new(0));
        let peers = LocalPeers::join(&options.path, options.poll).map_err(AdapterError::refused)?;
        let tail = Tail::new(&writer, &reader, &changed, &peers, receiver, last);
        let tail = runtime.spawn(tail.run());
        let trimming =
            runtime.spawn(retention::keep(options.clone(), writer.clone(), Arc::downgrade(&changed)));
        Ok(Engine { log, writer, reader, changed, peers, tail, trimming })
    }
}

impl Engine {
    /// Something was appended here.
    pub(crate) fn tell(&self) {
        self.tell_consumers();
        self.peers.tell_others();
    }

    pub(crate) fn tell_consumers(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tail.abort();
        self.trimming.abort();
    }
}

impl Adapter for Sqlite {
    fn name(&self) -> String {
        format!("sqlite at {}", self.options.path.display())
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
            // What can be done before the records have their places is done here, beside the writer.
            let drafts = records.iter().map(|record| codec.draft(record)).collect::<Result<Vec<_>, _>>()?;
            let append = move |tx: &Tx<'_>| tx.append(&drafts);
            let duplicates = match records.len() <= SMALL_BATCH {
                true => engine.writer.run_small(Durability::Immediate, append).await?,
                false => engine.writer.run(Durability::Immediate, append).await?,
            };
            engine.tell();
            Ok(duplicates.into_iter().fold(Published::default(), Published::with_duplicate))
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let (query, codec) = (query.clone(), codec.clone());
            let read = move |tx: &Tx<'_>| history::read(tx, &query, &codec);
            let found = self.engine()?.reader.run(Durability::ReadOnly, read).await?;
            let of_file = |fault: StoreError| fault.of_file(&self.options.path);
            Ok(found.into_iter().map(|read| read.map_err(of_file)).collect())
        })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move {
            let (query, codec) = (query.clone(), codec.clone());
            let path = self.options.path.clone();
            let of_file = move |fault: StoreError| fault.of_file(&path);
            let read = move |tx: &Tx<'_>| history::read_forward(tx, &query, &codec, &of_file);
            self.engine()?.reader.run(Durability::ReadOnly, read).await
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            let engine = self.open(receiver).await?;
            self.engine.set(engine).map_err(|_| {
                AdapterError::refused(format_args!("{} is open already", self.options.path.display()))
            })
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            let engine = self.engine()?;
            engine.tail.abort();
            engine.trimming.abort();
            engine.writer.close().await;
            Ok(())
        })
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        Some(self)
    }
}
