//! Runs jobs on a connection, one after the other. Writes that wait at the same time share a commit. The jobs run on a
//! thread for blocking work. A small job that is alone runs in the task that submits it, if commits are quick.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use events_core::{AdapterError, Draft};
use rusqlite::Connection;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{Result, StoreError};
use crate::identity::FileIdentity;
use crate::log::{Appender, Stored};
use crate::options::{Options, Synchronous};
use crate::schema;
use crate::watermark::Watermark;

/// The most jobs that may wait for a connection. Beyond it, `run` waits for room.
const MAX_WAITING: usize = 4096;
/// The most jobs that share a commit.
const MAX_BATCH: usize = 1024;

/// The most consecutive commits without a checkpoint. The write-ahead log grows until a commit moves it into the
/// database.
const MAX_COMMITS_SINCE_CHECKPOINT: u32 = 200;

/// How long a job may block an async task. Tokio recommends at most 10 to 100 µs between two `.await`s, and switching
/// to another thread and back takes as long.
const QUICK: Duration = Duration::from_micros(100);

/// How safe the writes of a job must be when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// The job only reads.
    ReadOnly,
    /// A crash of the process does not lose the writes, but a power cut may. Used for the state of consumers:
    /// after such a loss, they get some events again.
    Deferred,
    /// The writes are as safe as [`Synchronous`] says.
    Immediate,
}

/// A connection, and the jobs that wait for it.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Shared>);

struct Shared {
    options: Options,
    runtime: Handle,
    /// Limits the jobs that wait.
    permits: Arc<Semaphore>,
    queue: Mutex<Queue>,
    /// Locked while jobs run.
    connection: Mutex<Slot>,
    /// Stores the highest position that was synced.
    acknowledged: Option<Watermark>,
    /// The files that were opened; `None` if they are behind another VFS.
    identity: Option<Arc<FileIdentity>>,
}

#[derive(Default)]
struct Slot {
    open: Option<Open>,
    /// Whether a sync may have failed, so that commits may be unsynced, since the last checkpoint that succeeded.
    may_be_unsynced: bool,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Whether a task or a thread has been given the queue to run. It also runs the jobs that are queued meanwhile.
    working: bool,
    closed: bool,
}

struct Open {
    connection: Connection,
    /// How commits are made; `None` if the connection's settings are unknown.
    mode: Option<Mode>,
    /// Number of commits since the last one that could checkpoint.
    commits_since_checkpoint: u32,
    pace: LatencyEstimate,
}

impl Open {
    fn new(connection: Connection) -> Self {
        Self { connection, mode: None, commits_since_checkpoint: 0, pace: LatencyEstimate::default() }
    }
}

/// An estimate of how long a transaction with one job that appends takes.
struct LatencyEstimate {
    average: Duration,
    /// Whether the last transaction had one job. If jobs arrive together, sharing a commit is faster.
    alone: bool,
}

impl Default for LatencyEstimate {
    /// Assumes slow jobs until quick ones were measured.
    fn default() -> Self {
        Self { average: QUICK * 8, alone: false }
    }
}

impl LatencyEstimate {
    fn is_quick(&self) -> bool {
        self.alone && self.average < QUICK
    }

    fn note(&mut self, took: Duration, jobs: usize) {
        self.alone = jobs == 1;
        if self.alone {
            self.average = (self.average * 7 + took) / 8;
        }
    }
}

/// How commits are made.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mode {
    synchronous: Synchronous,
    run_on: RunOn,
}

impl Mode {
    /// Whether a commit checkpoints a long write-ahead log, which moves it into the database.
    ///
    /// Only a synced commit on a blocking thread does. A checkpoint begins with a sync of the write-ahead log, and
    /// SQLite does
    /// not report if that fails. After a synced commit there is nothing left for it to sync.
    fn checkpoints(self) -> bool {
        self.synchronous == Synchronous::Full && self.run_on == RunOn::Thread
    }
}

/// Where a job runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunOn {
    /// On a thread for blocking work, which may wait for locks.
    Thread,
    /// In the task that submits it. It neither waits for locks nor checkpoints.
    Here,
}

/// A transaction, which several jobs may share.
pub(crate) struct Tx<'c> {
    connection: &'c Connection,
    /// Created at the first append.
    appender: RefCell<Option<Appender<'c>>>,
}

impl Tx<'_> {
    /// Appends records. Returns the indexes of those whose ids the log had already, and the stored records.
    pub(crate) fn append(&self, drafts: &[Draft]) -> Result<Vec<(usize, Option<Stored>)>> {
        let mut appender = self.appender.borrow_mut();
        match &mut *appender {
            Some(appender) => appender.append(drafts),
            none => none.insert(Appender::new(self.connection)?).append(drafts),
        }
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// A job: work to run in a transaction, and a caller that waits for its result.
trait Job: Send {
    fn durability(&self) -> Durability;
    /// Runs the job. May be called again after a rollback.
    fn run(&mut self, tx: &Tx<'_>) -> Result<()>;
    fn finish(self: Box<Self>, outcome: std::result::Result<(), Arc<StoreError>>);
}

struct Typed<T, W> {
    durability: Durability,
    work: W,
    result: Option<T>,
    done: oneshot::Sender<std::result::Result<T, Arc<StoreError>>>,
    _permit: OwnedSemaphorePermit,
}

impl<T, W> Job for Typed<T, W>
where
    T: Send,
    W: FnMut(&Tx<'_>) -> Result<T> + Send,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<()> {
        // The work may call code of the program, for keys and secrets.
        let done = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)));
        self.result = Some(done.unwrap_or(Err(StoreError::Panicked))?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: std::result::Result<(), Arc<StoreError>>) {
        let Self { result, done, .. } = *self;
        // The caller may have dropped its future.
        let _ = done.send(outcome.and_then(|()| result.ok_or_else(|| Arc::new(StoreError::Gone))));
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executor({})", self.0.options.path.display())
    }
}

impl Executor {
    /// Creates an executor for a connection. If `acknowledged` is given, notes in it the position of each synced
    /// append.
    pub(crate) fn new(
        options: Options,
        runtime: Handle,
        connection: Connection,
        acknowledged: Option<Watermark>,
        identity: Option<Arc<FileIdentity>>,
    ) -> Self {
        let slot = Slot { open: Some(Open::new(connection)), may_be_unsynced: false };
        Self(Arc::new(Shared {
            options,
            runtime,
            permits: Arc::new(Semaphore::new(MAX_WAITING)),
            queue: Mutex::default(),
            connection: Mutex::new(slot),
            acknowledged,
            identity,
        }))
    }

    /// Returns an error if a file of the log was removed or replaced.
    #[cfg(feature = "sqlx")]
    pub(crate) fn check_files(&self) -> std::result::Result<(), AdapterError> {
        let replaced = |what| StoreError::Replaced(what).of_file(&self.0.options.path);
        self.0.check_identity(true).map_err(replaced)
    }

    /// Returns true if a file of the log was found removed or replaced.
    pub(crate) fn is_replaced(&self) -> bool {
        self.0.identity.as_ref().is_some_and(|identity| identity.changed().is_some())
    }

    /// Runs a job and waits for its result. The job runs even if the future is dropped while it waits for the result.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, AdapterError> {
        self.run_at(RunOn::Thread, durability, work).await
    }

    /// Like [`run`](Self::run), for a small job: it runs within this poll if no other job is running or waiting and
    /// commits have been quick.
    pub(crate) async fn run_small<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, AdapterError> {
        self.run_at(RunOn::Here, durability, work).await
    }

    async fn run_at<T: Send + 'static>(
        &self,
        run_on: RunOn,
        durability: Durability,
        work: impl FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, AdapterError> {
        let shared = &self.0;
        let gone = |_| StoreError::Gone.of_file(&shared.options.path);
        let permit = Arc::clone(&shared.permits).acquire_owned().await.map_err(|_| gone(()))?;
        let (done, result) = oneshot::channel();
        self.push(run_on, Box::new(Typed { durability, work, result: None, done, _permit: permit }));
        let result = result.await.map_err(|_| gone(()))?;
        result.map_err(|error| error.of_file(&shared.options.path))
    }

    fn push(&self, run_on: RunOn, job: Box<dyn Job>) {
        let mut queue = self.0.queue();
        if queue.closed {
            return;
        }
        queue.jobs.push_back(job);
        if !std::mem::replace(&mut queue.working, true) {
            drop(queue);
            if run_on == RunOn::Here && self.0.work_here() {
                return;
            }
            let guard = WorkGuard::of(&self.0);
            self.0.runtime.spawn_blocking(move || guard.work());
        }
    }

    /// Rejects new jobs, and closes the connection when the waiting ones are done.
    pub(crate) async fn close(&self) {
        let shared = Arc::clone(&self.0);
        shared.queue().closed = true;
        let closed = shared.runtime.clone().spawn_blocking(move || {
            shared.work();
            *shared.connection.lock().unwrap_or_else(PoisonError::into_inner) = Slot::default();
        });
        // If the runtime shuts down, the connection is closed when the last handle is dropped.
        let _ = closed.await;
    }
}

/// A promise to run all waiting jobs. If it is dropped unfulfilled, the waiting jobs fail.
struct WorkGuard {
    shared: Arc<Shared>,
    done: bool,
}

impl WorkGuard {
    fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), done: false }
    }

    fn work(mut self) {
        self.shared.work();
        self.done = true;
    }
}

impl Drop for WorkGuard {
    /// Drops the waiting jobs if they were not run because the runtime has shut down, so that their callers don't wait
    /// forever.
    fn drop(&mut self) {
        if !self.done {
            let mut queue = self.shared.queue();
            queue.working = false;
            let not_run = std::mem::take(&mut queue.jobs);
            drop(queue);
            drop(not_run);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic, so a poisoned one holds a valid value.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the first waiting job in this task if that is likely to be quick. Returns true if no job is left;
    /// otherwise the
    /// caller must start a thread that runs the rest.
    fn work_here(&self) -> bool {
        let Ok(mut slot) = self.connection.try_lock() else { return false };
        let ready = |open: &Open| {
            open.pace.is_quick() && open.commits_since_checkpoint < MAX_COMMITS_SINCE_CHECKPOINT
        };
        if slot.may_be_unsynced || !slot.open.as_ref().is_some_and(ready) {
            return false;
        }
        let Some(mut job) = self.queue().jobs.pop_front() else { return false };
        let outcome = self.attempt(&mut slot, std::slice::from_mut(&mut job), RunOn::Here);
        if outcome.as_ref().is_err_and(|error| error.is_busy()) {
            // Another process writes: a thread can wait for it.
            self.queue().jobs.push_front(job);
            return false;
        }
        job.finish(outcome);
        let mut queue = self.queue();
        queue.working = !queue.jobs.is_empty();
        !queue.working
    }

    /// Runs jobs until none waits.
    fn work(&self) {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut jobs: Vec<_> = {
                let mut queue = self.queue();
                let count = queue.jobs.len().min(MAX_BATCH);
                if count == 0 {
                    queue.working = false;
                    return;
                }
                queue.jobs.drain(..count).collect()
            };
            let outcome = self.attempt(&mut slot, &mut jobs, RunOn::Thread);
            // A job that fails must not fail the others, so each runs again alone. After a failed COMMIT that is not
            // possible: the transaction may be stored, and a second run could not tell.
            let is_of_one_job = |error: &Arc<StoreError>| {
                !matches!(**error, StoreError::Commit(_)) && !error.is_busy() && !error.is_of_other_file()
            };
            let apart = jobs.len() > 1 && outcome.as_ref().is_err_and(is_of_one_job);
            if apart {
                for mut job in jobs {
                    let outcome = self.attempt(&mut slot, std::slice::from_mut(&mut job), RunOn::Thread);
                    job.finish(outcome);
                }
            } else {
                self.finish(jobs, outcome);
            }
        }
    }

    /// Sends the results to the callers. Many results are sent from a task, whose wake-ups cost less, while this thread
    /// runs the next jobs. With a current-thread runtime, which may be blocked or idle, this thread sends them.
    fn finish(&self, jobs: Vec<Box<dyn Job>>, outcome: std::result::Result<(), Arc<StoreError>>) {
        let send =
            move |jobs: Vec<Box<dyn Job>>| jobs.into_iter().for_each(|job| job.finish(outcome.clone()));
        match (self.runtime.runtime_flavor(), jobs.len()) {
            (RuntimeFlavor::CurrentThread, _) | (_, 0..=3) => send(jobs),
            _ => drop(self.runtime.spawn(async move { send(jobs) })),
        }
    }

    /// Runs all jobs in one transaction. After an error nothing is stored, except perhaps if the commit itself failed.
    fn attempt(
        &self,
        slot: &mut Slot,
        jobs: &mut [Box<dyn Job>],
        run_on: RunOn,
    ) -> std::result::Result<(), Arc<StoreError>> {
        let done = self.transact(slot, jobs, run_on);
        if let Err(error) = &done
            && error.is_of_disk()
        {
            // After a disk error, the connection's cached pages can't be trusted.
            *slot = Slot { open: None, may_be_unsynced: true };
        }
        done.map_err(Arc::new)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the time that a disk takes does not follow a test's paused clock"
    )]
    fn transact(&self, slot: &mut Slot, jobs: &mut [Box<dyn Job>], run_on: RunOn) -> Result<()> {
        let begun = Instant::now();
        // A connection that is opened now would create a new file.
        self.check_identity(slot.open.is_none()).map_err(StoreError::Replaced)?;
        let open = match &mut slot.open {
            Some(open) => open,
            none => none.insert(Open::new(schema::connect(&self.options)?)),
        };
        let durability = jobs.iter().map(|job| job.durability()).max().unwrap_or(Durability::ReadOnly);
        if durability > Durability::ReadOnly && slot.may_be_unsynced {
            if !schema::checkpoint(&open.connection)? {
                return Err(StoreError::Busy);
            }
            (slot.may_be_unsynced, open.mode) = (false, None);
        }
        open.prepare(durability, run_on, self.options.synchronous)?;
        let position = open.commit(durability, jobs)?;
        // Check after the commit, so that only events in the file at this path are acknowledged.
        self.check_identity(true).map_err(StoreError::ReplacedMeanwhile)?;
        let Some(position) = position else { return Ok(()) };
        if let Some(acknowledged) = &self.acknowledged
            && open.is_synced()
        {
            acknowledged.note(position);
        }
        open.pace.note(begun.elapsed(), jobs.len());
        Ok(())
    }
}

impl Shared {
    /// Returns an error that says which file of the log was removed or replaced. Reads the directory if `looks` is
    /// set; otherwise returns what is known.
    fn check_identity(&self, looks: bool) -> std::result::Result<(), String> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let changed = match looks {
            // If the directory can't be read, the files that are open can still be used.
            true => identity.check().unwrap_or(identity.changed()),
            false => identity.changed(),
        };
        changed.map_or(Ok(()), |what| Err(what.to_owned()))
    }
}

impl Open {
    /// Sets how the next commit is made, unless it is set so already.
    fn prepare(&mut self, durability: Durability, run_on: RunOn, wanted: Synchronous) -> Result<()> {
        let synchronous = match (durability, self.mode) {
            (Durability::ReadOnly, Some(mode)) => mode.synchronous,
            _ if self.commits_since_checkpoint >= MAX_COMMITS_SINCE_CHECKPOINT => Synchronous::Full,
            (Durability::Immediate, _) => wanted,
            (Durability::ReadOnly | Durability::Deferred, _) => Synchronous::Normal,
        };
        let mode = Mode { synchronous, run_on };
        if self.mode.replace(mode) != Some(mode) {
            // If one of these fails, the settings are unknown.
            self.mode = None;
            schema::synchronous(&self.connection, synchronous, mode.checkpoints())?;
            schema::busy_timeout(&self.connection, run_on == RunOn::Thread)?;
            self.mode = Some(mode);
        }
        Ok(())
    }

    fn is_synced(&self) -> bool {
        self.mode.is_some_and(|mode| mode.synchronous == Synchronous::Full)
    }

    /// Runs the jobs in one transaction. Returns the last position of the log if one of them appends.
    fn commit(&mut self, durability: Durability, jobs: &mut [Box<dyn Job>]) -> Result<Option<i64>> {
        let (connection, before) = (&self.connection, self.connection.total_changes());
        let begin = if durability == Durability::ReadOnly { "BEGIN" } else { "BEGIN IMMEDIATE" };
        connection.prepare_cached(begin)?.execute([])?;
        let tx = Tx { connection, appender: RefCell::default() };
        let done = jobs.iter_mut().try_for_each(|job| job.run(&tx));
        let end = tx.appender.into_inner().map(|appender| appender.position());
        let done = done.and_then(|()| {
            // SQLite syncs only if it writes. A commit without a change relies on records that another connection may
            // not have synced.
            match end.is_some() && self.is_synced() && connection.total_changes() == before {
                true => schema::touch(connection),
                false => Ok(()),
            }
        });
        let done = done.and_then(|()| match connection.prepare_cached("COMMIT")?.execute([]) {
            Ok(_) => Ok(end),
            Err(error) => Err(StoreError::Commit(error)),
        });
        if done.is_err() && !connection.is_autocommit() {
            // ROLLBACK fails only if SQLite has rolled back already.
            let _ = connection.prepare_cached("ROLLBACK")?.execute([]);
        }
        if done.is_ok() && connection.total_changes() != before {
            let checkpoints = self.mode.is_some_and(Mode::checkpoints);
            self.commits_since_checkpoint = if checkpoints { 0 } else { self.commits_since_checkpoint + 1 };
        }
        done
    }
}
