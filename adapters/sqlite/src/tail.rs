//! Follows the log to deliver the records of other processes, and of users' committed transactions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use events_core::durable::Changes;
use events_core::store::Rows as _;
use events_core::{AdapterError, ErrorKind, Receiver};
use rusqlite::Connection;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::error::{Result, StoreError};
use crate::executor::{Durability, Executor, Tx};
use crate::log::{COLUMNS, Stored};
use crate::rows::Tables;

/// Number of records that one query reads.
const BATCH: usize = 256;
/// Interval and number of checks for the commit of a user's transaction, after an event was emitted in it.
const COMMIT_POLL: (Duration, u32) = (Duration::from_millis(1), 100);

/// The adapters of this process that have the same file open. They wake each other, so they need not wait for a poll.
#[derive(Debug)]
pub(crate) struct LocalPeers {
    path: PathBuf,
    own: Arc<Call>,
    #[cfg_attr(not(feature = "sqlx"), allow(dead_code, reason = "only a user's transaction wakes it early"))]
    ticker: Thread,
}

/// Wakes the tail of one adapter.
#[derive(Debug, Default)]
struct Call {
    notify: Notify,
    /// Whether another adapter of this process has changed the log. If not, the wake-up is a poll.
    called: AtomicBool,
    /// How many more checks for an expected commit to make at the short interval.
    soon: AtomicU32,
}

impl Call {
    fn call(&self) {
        self.called.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Starts a thread that wakes the tail at each poll interval. It is a thread, since the timer of a runtime stands
    /// still while a test pauses the clock, and other processes go on.
    fn tick(call: Weak<Self>, poll: Duration) -> std::io::Result<Thread> {
        let tick = move || {
            loop {
                let Some(call) = call.upgrade() else { return };
                let soon = call.soon.load(Ordering::Acquire);
                call.soon.store(soon.saturating_sub(1), Ordering::Release);
                call.notify.notify_one();
                drop(call);
                std::thread::park_timeout(if soon > 0 { COMMIT_POLL.0 } else { poll });
            }
        };
        std::thread::Builder::new()
            .name("typed-events-poll".into())
            .spawn(tick)
            .map(|ticker| ticker.thread().clone())
    }
}

static OPEN: Mutex<Option<HashMap<PathBuf, Vec<Weak<Call>>>>> = Mutex::new(None);

fn open() -> MutexGuard<'static, Option<HashMap<PathBuf, Vec<Weak<Call>>>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalPeers {
    pub(crate) fn join(path: &Path, poll: Duration) -> std::io::Result<Self> {
        // The file exists by now. If its path can't be resolved, changes are still found by polling.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let own = Arc::new(Call::default());
        open().get_or_insert_default().entry(path.clone()).or_default().push(Arc::downgrade(&own));
        let ticker = Call::tick(Arc::downgrade(&own), poll)?;
        Ok(Self { path, own, ticker })
    }

    pub(crate) fn notify_others(&self) {
        let open = open();
        let peers = open.iter().filter_map(|open| open.get(&self.path)).flatten().filter_map(Weak::upgrade);
        for peer in peers.filter(|peer| !Arc::ptr_eq(peer, &self.own)) {
            peer.call();
        }
    }

    /// Polls at the short interval for a while, because a user's transaction is about to commit.
    #[cfg(feature = "sqlx")]
    pub(crate) fn expect_commit(&self) {
        self.own.soon.store(COMMIT_POLL.1, Ordering::Release);
        self.ticker.unpark();
    }
}

impl Drop for LocalPeers {
    fn drop(&mut self) {
        let mut open = open();
        let Some(files) = open.as_mut() else { return };
        if let Some(peers) = files.get_mut(&self.path) {
            peers.retain(|peer| peer.upgrade().is_some_and(|peer| !Arc::ptr_eq(&peer, &self.own)));
            if peers.is_empty() {
                files.remove(&self.path);
            }
        }
    }
}

/// The task that follows the log.
pub(crate) struct Tail {
    writer: Executor,
    reader: Executor,
    changes: Weak<watch::Sender<Changes>>,
    call: Arc<Call>,
    receiver: Receiver,
    /// The last position that was delivered.
    last_delivered: i64,
    /// The newest position, and how often consumers had more to claim, when they were last read.
    marks: (i64, u64),
    version: Option<i64>,
    failing: bool,
}

impl Tail {
    pub(crate) fn new(
        writer: &Executor,
        reader: &Executor,
        changes: &Arc<watch::Sender<Changes>>,
        peers: &LocalPeers,
        receiver: Receiver,
        last: i64,
    ) -> Self {
        Self {
            writer: writer.clone(),
            reader: reader.clone(),
            changes: Arc::downgrade(changes),
            call: Arc::clone(&peers.own),
            receiver,
            last_delivered: last,
            marks: (0, 0),
            version: None,
            failing: false,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.call.notify.notified().await;
            let called = self.call.called.swap(false, Ordering::AcqRel);
            match self.follow(called).await {
                Ok(true) => self.failing = false,
                Ok(false) => return,
                Err(error) => {
                    // The change is not read yet, so the next poll must not skip it.
                    self.version = None;
                    self.note(&error).await;
                    if self.writer.is_replaced() {
                        return;
                    }
                }
            }
        }
    }

    /// Delivers new records. Returns false if the bus has stopped.
    async fn follow(&mut self, called: bool) -> std::result::Result<bool, AdapterError> {
        // The writer's own commits do not change its `data_version`.
        let version = self.writer.run(Durability::ReadOnly, |tx: &Tx<'_>| data_version(tx)).await?;
        if self.version.replace(version) == Some(version) && !called {
            return Ok(true);
        }
        let Some(changes) = self.changes.upgrade() else { return Ok(false) };
        let (newest, released) = self.reader.run(Durability::ReadOnly, |tx: &Tx<'_>| marks(tx)).await?;
        let before = std::mem::replace(&mut self.marks, (newest, released));
        if before != self.marks {
            changes.send_modify(|changes| {
                changes.log += u64::from(before.0 != newest);
                changes.consumers += u64::from(before.1 != released);
            });
        }
        drop(changes);
        loop {
            let (last_delivered, instance) = (self.last_delivered, self.receiver.instance());
            let read = move |tx: &Tx<'_>| after(tx, last_delivered, instance);
            let (rows, last) = self.reader.run(Durability::ReadOnly, read).await?;
            let full = rows.len() == BATCH;
            for (position, row) in rows {
                if !self.deliver(row).await {
                    return Ok(false);
                }
                self.last_delivered = position;
            }
            if !full {
                self.last_delivered = last;
                return Ok(true);
            }
        }
    }

    /// Delivers a row. Returns false if the bus has stopped.
    async fn deliver(&self, row: std::result::Result<Stored, String>) -> bool {
        let row = match row {
            Ok(row) => row,
            Err(why) => {
                self.receiver.unreadable(None, &why);
                return true;
            }
        };
        let (record, outbox) = match row.record(self.receiver.codec()) {
            Ok(record) => (record, row.outbox),
            Err(error) => {
                self.receiver.unreadable(Some(&row.name), &error.to_string());
                return true;
            }
        };
        // The bus counts and logs records that it refuses.
        let delivered = match outbox {
            true => self.receiver.deliver_committed(record).await,
            false => self.receiver.deliver(record).await,
        };
        !delivered.is_err_and(|error| error.kind() == ErrorKind::Stopped)
    }

    async fn note(&mut self, error: &AdapterError) {
        if self.writer.is_replaced() {
            self.receiver.warn(&format!("no longer follows the log: {error}"));
            return;
        }
        if !std::mem::replace(&mut self.failing, true) {
            self.receiver.warn(&format!("can't follow the log and tries again: {error}"));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Returns the newest position, and how often consumers had more to claim.
fn marks(connection: &Connection) -> Result<(i64, u64)> {
    Ok((crate::log::last(connection)?, Tables(connection).meta()?.released))
}

fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

/// A position and its row, or the damage of that row.
type New = (i64, std::result::Result<Stored, String>);

/// Returns up to [`BATCH`] records after the position `last_delivered` that live handlers of this instance have not
/// handled, and the last position of the log.
fn after(
    connection: &Connection,
    last_delivered: i64,
    instance: events_core::InstanceId,
) -> Result<(Vec<New>, i64)> {
    let last = crate::log::last(connection)?;
    if last < last_delivered {
        return Err(StoreError::Damaged(format!("the record at {last_delivered} is missing")));
    }
    let query = format!(
        "SELECT {COLUMNS} FROM typed_events_log WHERE position > ?1 AND (outbox = 1 OR origin <> ?2)
         ORDER BY position LIMIT ?3"
    );
    let mut query = connection.prepare_cached(&query)?;
    let mut rows = query.query((last_delivered, instance.to_bytes(), BATCH as i64))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match Stored::read(row) {
            Ok(stored) => found.push((stored.position, Ok(stored))),
            // A damaged record does not stop the others.
            Err(StoreError::Damaged(what)) => found.push((row.get(0)?, Err(what))),
            Err(fault) => return Err(fault),
        }
    }
    Ok((found, last))
}
