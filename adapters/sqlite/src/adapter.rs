//! [`Sqlite`]: its settings, opening the file, and the implementation of `Adapter`.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use events_core::durable::Changes;
use events_core::store::{LIMITS, Limits, Views};
use events_core::{
    Adapter, AdapterError, BoxFuture, DurableAdapter, HistoryQuery, LogPage, LogQuery, Published, Receiver,
    Record, RecordCodec, Retention,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::executor::{Durability, Executor, Tx};
use crate::identity::FileIdentity;
use crate::log::Stored;
use crate::options::{Options, Synchronous};
use crate::retention::Trimmer;
use crate::tail::{LocalPeers, Tail};
use crate::watermark::Watermark;
use crate::{history, log, schema};

/// A `publish` of at most this many records may run in the task that calls it.
const SMALL_BATCH: usize = 4;

/// An adapter on an SQLite file: it keeps the history of a bus and stores its durable consumers. Processes that open
/// the same file share its events.
///
/// The names of its tables begin with `typed_events_`, so the file may be the program's own database. Then
/// [`Bus::emit_in`](https://docs.rs/typed-events/latest/typed_events/struct.Bus.html#method.emit_in) makes an event
/// part of a transaction. The file must be on a local disk: SQLite's write-ahead log does not work over a network.
///
/// - **`emit`** returns when the event is safe on disk ([`Synchronous::Full`]). Concurrent emits share a commit on a
///   thread for blocking work. A single emit commits in its own task if such commits have been taking less than 100 µs.
///   The state of consumers is written without waiting for the disk: after a power cut, a handler may get events again
///   that it had just finished. Nothing else is lost.
/// - **History** keeps everything unless [`retention`](Self::retention) is set. A query for one name reads its newest
///   records by an index. A query with wildcards or times reads backwards through the stored records until its limit is
///   reached.
/// - **Live handlers** of other processes get an event within the [poll interval](Self::poll), 20 ms by default.
/// - **Your own transactions** that write to the file block emits, which wait for at most 5 s. Inside such a
///   transaction, use `emit_in` instead of `emit`.
/// - **Opening** happens in `build()`. It fails, and names the file, if the file can't be opened, has the format of a
///   newer program, or is damaged. A file of up to 8 MB is checked completely. In a larger one, pending events and the
///   number of records are checked. Each record has a checksum, which is verified when the record is read.
/// - **A file that is removed or replaced** while it is open is an error on Unix: emits, histories and consumers fail
///   from then on, until the program is started again.
/// - **A second file**, with `-acknowledged` added to the name, stores the position up to which records were safe.
///   SQLite treats damage in a write-ahead log as its end and does not report the records after it. After you replace
///   a log by an older copy, remove the second file: otherwise `build()` reports that the newest records are missing.
/// - **Stopping and dropping.** `stop` of the bus closes the file for writing, and the history can still be read. A
///   dropped bus closes the file when the work under way is done.
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
    /// Bounds of the work of a call; others in tests only.
    pub(crate) limits: Limits,
    engine: OnceLock<Engine>,
}

/// The state of an adapter whose file is open.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The id of this log.
    #[cfg_attr(
        not(feature = "sqlx"),
        allow(dead_code, reason = "read by `emit_in` alone: a user's transaction may be in another log")
    )]
    pub(crate) log: [u8; 16],
    pub(crate) writer: Executor,
    /// A second connection for histories, which may take long, and for operators' queries.
    pub(crate) reader: Executor,
    /// Changes that consumers may have to look at.
    pub(crate) changes: Arc<watch::Sender<Changes>>,
    pub(crate) views: Arc<Views>,
    pub(crate) limits: Limits,
    pub(crate) peers: LocalPeers,
    tail: JoinHandle<()>,
    trimming: JoinHandle<()>,
}

impl Sqlite {
    /// Creates an adapter for the log in the file at `path`. `build()` of the bus creates the file if it does not
    /// exist.
    pub fn at(path: impl AsRef<Path>) -> Self {
        let options = Options {
            path: path.as_ref().to_owned(),
            synchronous: Synchronous::Full,
            retention: Retention::everything(),
            poll: Duration::from_millis(20),
            dedup_window: Duration::from_secs(7 * 24 * 60 * 60),
            vfs: None,
        };
        Self { options, limits: LIMITS, engine: OnceLock::new() }
    }

    /// Sets what a power cut may lose. The default is [`Synchronous::Full`]: nothing.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.options.synchronous = synchronous;
        self
    }

    /// Sets how long the log keeps events. The default is to keep everything.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.options.retention = retention;
        self
    }

    /// Sets the interval at which the file is checked for changes by other processes. The default is 20 ms, the minimum
    /// 1 ms.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.options.poll = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets how long the file stores which events a handler has marked with
    /// [`Delivery::first_time`](https://docs.rs/typed-events/latest/typed_events/struct.Delivery.html#method.first_time).
    /// The default is 7 days. An event that is delivered again after that counts as new.
    #[must_use]
    pub fn dedup_window(mut self, time: Duration) -> Self {
        self.options.dedup_window = time;
        self
    }

    /// Opens the file through the VFS of this name, which the program has registered in SQLite, such as one that
    /// encrypts. Then no `-acknowledged` file is written, so the loss of the newest records is not detected.
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
        let open = move || -> crate::error::Result<_> {
            let mut connection = schema::connect_first(&options)?;
            schema::prepare(&mut connection)?;
            schema::check(&connection)?;
            let log = schema::id(&connection)?;
            let retention = schema::note_retention(&connection, options.retention)?;
            let (last, reader) = (log::last(&connection)?, schema::connect(&options)?);
            let (acknowledged, identity) = match options.vfs {
                None => {
                    let identity = FileIdentity::of(&options.path).map_err(StoreError::Identity)?;
                    (Some(Watermark::open(&options.path, log, from.clone())?), Some(Arc::new(identity)))
                }
                Some(_) => (None, None),
            };
            Ok((connection, reader, last, log, acknowledged, identity, retention))
        };
        let opening = runtime.spawn_blocking(move || schema::retry_while_locked(open));
        let opened = opening.await.unwrap_or(Err(StoreError::Gone));
        let (connection, reader, last, log, acknowledged, identity, retention) =
            opened.map_err(|fault| fault.of_file(&self.options.path))?;
        if let Some(other) = retention {
            receiver.warn_of_retention(&other, self.options.retention);
        }
        let options = &self.options;
        let writer =
            Executor::new(options.clone(), runtime.clone(), connection, acknowledged, identity.clone());
        let reader = Executor::new(options.clone(), runtime.clone(), reader, None, identity);
        let changes = Arc::new(watch::Sender::default());
        let views = Arc::new(Views::default());
        let peers = LocalPeers::join(&options.path, options.poll).map_err(AdapterError::refused)?;
        let tail = Tail::new(&writer, &reader, &changes, &peers, receiver, last);
        let tail = runtime.spawn(tail.run());
        let trimmer = Trimmer {
            options: options.clone(),
            writer: writer.clone(),
            views: Arc::clone(&views),
            limits: self.limits,
            changes: Arc::downgrade(&changes),
        };
        let trimming = runtime.spawn(trimmer.run());
        Ok(Engine { log, writer, reader, changes, views, limits: self.limits, peers, tail, trimming })
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
            // Encoding does not need the positions, so it is done here, before the writer's turn.
            let drafts = records.iter().map(|record| codec.draft(record)).collect::<Result<Vec<_>, _>>()?;
            let append = move |tx: &Tx<'_>| tx.append(&drafts);
            let duplicates = match records.len() <= SMALL_BATCH {
                true => engine.writer.run_small(Durability::Immediate, append).await?,
                false => engine.writer.run(Durability::Immediate, append).await?,
            };
            engine.notify_of(true, false);
            let with = |published: Published, (index, stored): (usize, Option<Stored>)| {
                // A stored record that can't be read does not fail the emit.
                published.with_duplicate(index, stored.and_then(|stored| stored.record(codec).ok()))
            };
            Ok(duplicates.into_iter().fold(Published::default(), with))
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
