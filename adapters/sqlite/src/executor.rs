//! Does pieces of work on a connection, one after the other; writes that wait at the same time share a commit. A thread
//! for blocking work does them, or the task that asks, where it is alone and commits are quick.

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
use crate::log::Appender;
use crate::options::{Options, Synchronous};
use crate::schema;
use crate::watermark::Watermark;

/// The most pieces of work that wait for one connection; beyond it, whoever brings more waits.
const MAX_WAITING: usize = 4096;
/// The most that share a commit.
const MAX_BATCH: usize = 1024;

/// The most commits in a row that leave the write-ahead log as it is, which grows until one moves it into the database.
const MAX_COMMITS_BEFORE_CHECKPOINT: u32 = 200;

/// Up to this much an async task may be held up, as is said of tokio's (10 to 100 µs between two `.await`s): changing to
/// another thread and back takes as long.
const QUICK: Duration = Duration::from_micros(100);

/// What a piece of work needs of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// It only reads.
    ReadOnly,
    /// What it writes may be lost in a power cut, though not in a crash of the process: all that is known of
    /// consumers, who then get events again.
    Deferred,
    /// What it writes is safe when it returns, as far as [`Synchronous`] says.
    Immediate,
}

/// A connection, and the work that waits for it.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Shared>);

struct Shared {
    options: Options,
    runtime: Handle,
    waiting: Arc<Semaphore>,
    queue: Mutex<Queue>,
    /// Locked by whoever works.
    connection: Mutex<Slot>,
    acknowledged: Option<Watermark>,
}

#[derive(Default)]
struct Slot {
    open: Option<Open>,
    /// Whether a sync may have failed since what was committed was last known to be safe.
    unsure: bool,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Whether a thread is at work, and so takes what is queued.
    working: bool,
    closed: bool,
}

struct Open {
    connection: Connection,
    /// How commits are made now, once that was set.
    mode: Option<Mode>,
    /// How many commits in a row left the write-ahead log as it was.
    before_checkpoint: u32,
    pace: LatencyEstimate,
}

impl Open {
    fn new(connection: Connection) -> Self {
        Self { connection, mode: None, before_checkpoint: 0, pace: LatencyEstimate::default() }
    }
}

/// How long a piece of work takes that is alone.
struct LatencyEstimate {
    average: Duration,
    /// Whether the last one was alone: where many come at a time, they had better share a commit.
    alone: bool,
}

impl Default for LatencyEstimate {
    /// It is slow until it was seen to be quick.
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
    /// Whether a commit moves the write-ahead log into the database when that is long. Only one that is synced does:
    /// SQLite does not tell when the sync fails with which this begins, so there must be nothing for it to do.
    fn checkpoints(self) -> bool {
        self.synchronous == Synchronous::Full && self.run_on == RunOn::Thread
    }
}

/// Where work is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunOn {
    /// On a thread that may wait.
    Thread,
    /// In the task that asks: it neither waits for others nor moves the write-ahead log.
    Here,
}

/// A transaction, which pieces of work may share.
pub(crate) struct Tx<'c> {
    connection: &'c Connection,
    /// Where the log ends, once that was asked for.
    appender: RefCell<Option<Appender<'c>>>,
}

impl Tx<'_> {
    /// Appends records; says which of them were there before.
    pub(crate) fn append(&self, drafts: &[Draft]) -> Result<Vec<usize>> {
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

/// A piece of work.
trait Job: Send {
    fn durability(&self) -> Durability;
    /// May be called again, after what it did was rolled back.
    fn run(&mut self, tx: &Tx<'_>) -> Result<()>;
    fn finish(self: Box<Self>, outcome: std::result::Result<(), Arc<StoreError>>);
}

struct Typed<T, W> {
    durability: Durability,
    work: W,
    result: Option<T>,
    done: oneshot::Sender<std::result::Result<T, Arc<StoreError>>>,
    _waiting: OwnedSemaphorePermit,
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
        // Keys and secrets are read by code of users.
        let done = catch_unwind(AssertUnwindSafe(|| (self.work)(tx)));
        self.result = Some(done.unwrap_or(Err(StoreError::Panicked))?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: std::result::Result<(), Arc<StoreError>>) {
        let Self { result, done, .. } = *self;
        // Whoever asked may have gone: then nobody wants to know.
        let _ = done.send(outcome.and_then(|()| result.ok_or_else(|| Arc::new(StoreError::Gone))));
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.0.options.path.display())
    }
}

impl Executor {
    /// A worker on a connection of its own; what it commits is noted as acknowledged, if that is asked for.
    pub(crate) fn new(
        options: Options,
        runtime: Handle,
        connection: Connection,
        acknowledged: Option<Watermark>,
    ) -> Self {
        let slot = Slot { open: Some(Open::new(connection)), unsure: false };
        Self(Arc::new(Shared {
            options,
            runtime,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            queue: Mutex::default(),
            connection: Mutex::new(slot),
            acknowledged,
        }))
    }

    /// Does a piece of work, and waits for it. It is done even if the wait is given up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, AdapterError> {
        self.run_at(RunOn::Thread, durability, work).await
    }

    /// The same for work that is little: it is done in this very poll, if nothing else is being done and commits have
    /// been quick.
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
        let waiting = Arc::clone(&shared.waiting).acquire_owned().await.map_err(|_| gone(()))?;
        let (done, result) = oneshot::channel();
        self.push(run_on, Box::new(Typed { durability, work, result: None, done, _waiting: waiting }));
        let result = result.await.map_err(|_| gone(()))?;
        result.map_err(|fault| fault.of_file(&shared.options.path))
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
            let turn = WorkGuard::of(&self.0);
            self.0.runtime.spawn_blocking(move || turn.work());
        }
    }

    /// Takes no more work, and closes the connection when what waits is done.
    pub(crate) async fn close(&self) {
        let shared = Arc::clone(&self.0);
        shared.queue().closed = true;
        let closed = shared.runtime.clone().spawn_blocking(move || {
            shared.work();
            *shared.connection.lock().unwrap_or_else(PoisonError::into_inner) = Slot::default();
        });
        // Where the runtime shuts down, the connection closes with the last handle.
        let _ = closed.await;
    }
}

/// That a thread is to work until nothing waits.
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
    /// Where there is no thread, as the runtime has shut down, nobody must wait for it.
    fn drop(&mut self) {
        if !self.done {
            let mut queue = self.shared.queue();
            queue.working = false;
            let waiting = std::mem::take(&mut queue.jobs);
            drop(queue);
            drop(waiting);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No work is done under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the first piece of work that waits, if that is likely to be quick. True if nothing is left to do.
    fn work_here(&self) -> bool {
        let Ok(mut slot) = self.connection.try_lock() else { return false };
        let ready =
            |open: &Open| open.pace.is_quick() && open.before_checkpoint < MAX_COMMITS_BEFORE_CHECKPOINT;
        if slot.unsure || !slot.open.as_ref().is_some_and(ready) {
            return false;
        }
        let Some(mut job) = self.queue().jobs.pop_front() else { return false };
        let outcome = self.attempt(&mut slot, std::slice::from_mut(&mut job), RunOn::Here);
        if outcome.as_ref().is_err_and(|fault| fault.is_busy()) {
            // Another process writes: a thread may wait for it.
            self.queue().jobs.push_front(job);
            return false;
        }
        job.finish(outcome);
        let mut queue = self.queue();
        queue.working = !queue.jobs.is_empty();
        !queue.working
    }

    /// Works until nothing waits.
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
            // One that fails must not take the others with it. But what may be stored after all must not be said to
            // have failed, which a second attempt could not tell.
            let is_of_one =
                |fault: &Arc<StoreError>| !matches!(**fault, StoreError::Commit(_)) && !fault.is_busy();
            let apart = jobs.len() > 1 && outcome.as_ref().is_err_and(is_of_one);
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

    /// Tells those who wait; many of them from a task, whose wake-ups cost less, while this thread goes on. A runtime of
    /// one thread may not be running now.
    fn finish(&self, jobs: Vec<Box<dyn Job>>, outcome: std::result::Result<(), Arc<StoreError>>) {
        let tell =
            move |jobs: Vec<Box<dyn Job>>| jobs.into_iter().for_each(|job| job.finish(outcome.clone()));
        match (self.runtime.runtime_flavor(), jobs.len()) {
            (RuntimeFlavor::CurrentThread, _) | (_, 0..=3) => tell(jobs),
            _ => drop(self.runtime.spawn(async move { tell(jobs) })),
        }
    }

    /// Does all of it in one transaction, or nothing.
    fn attempt(
        &self,
        slot: &mut Slot,
        jobs: &mut [Box<dyn Job>],
        run_on: RunOn,
    ) -> std::result::Result<(), Arc<StoreError>> {
        let done = self.transact(slot, jobs, run_on);
        if let Err(fault) = &done
            && fault.is_of_disk()
        {
            // What such a connection has in its memory is not to be trusted.
            *slot = Slot { open: None, unsure: true };
        }
        done.map_err(Arc::new)
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "what the disk takes goes by no clock that a test may pause"
    )]
    fn transact(&self, slot: &mut Slot, jobs: &mut [Box<dyn Job>], run_on: RunOn) -> Result<()> {
        let begun = Instant::now();
        let open = match &mut slot.open {
            Some(open) => open,
            none => none.insert(Open::new(schema::connect(&self.options)?)),
        };
        let durability = jobs.iter().map(|job| job.durability()).max().unwrap_or(Durability::ReadOnly);
        if durability > Durability::ReadOnly && slot.unsure {
            if !schema::checkpoint(&open.connection)? {
                return Err(StoreError::Busy);
            }
            (slot.unsure, open.mode) = (false, None);
        }
        open.prepare(durability, run_on, self.options.synchronous)?;
        let Some(position) = open.commit(durability, jobs)? else { return Ok(()) };
        if let Some(acknowledged) = &self.acknowledged
            && open.is_synced()
        {
            acknowledged.note(position);
        }
        open.pace.note(begun.elapsed(), jobs.len());
        Ok(())
    }
}

impl Open {
    /// Sets how the next commit is made.
    fn prepare(&mut self, durability: Durability, run_on: RunOn, wanted: Synchronous) -> Result<()> {
        let synchronous = match (durability, self.mode) {
            (Durability::ReadOnly, Some(mode)) => mode.synchronous,
            _ if self.before_checkpoint >= MAX_COMMITS_BEFORE_CHECKPOINT => Synchronous::Full,
            (Durability::Immediate, _) => wanted,
            (Durability::ReadOnly | Durability::Deferred, _) => Synchronous::Normal,
        };
        let mode = Mode { synchronous, run_on };
        if self.mode.replace(mode) != Some(mode) {
            // Unless it is set, it is not known.
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

    /// Does the work in one transaction; says where the log ends, if something was to be appended.
    fn commit(&mut self, durability: Durability, jobs: &mut [Box<dyn Job>]) -> Result<Option<i64>> {
        let (connection, before) = (&self.connection, self.connection.total_changes());
        let begin = if durability == Durability::ReadOnly { "BEGIN" } else { "BEGIN IMMEDIATE" };
        connection.prepare_cached(begin)?.execute([])?;
        let tx = Tx { connection, appender: RefCell::default() };
        let done = jobs.iter_mut().try_for_each(|job| job.run(&tx));
        let end = tx.appender.into_inner().map(|appender| appender.position());
        let done = done.and_then(|()| {
            // SQLite syncs only what it writes. What was there before may be of somebody who did not sync it.
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
            // It fails only where SQLite has rolled back by itself.
            let _ = connection.prepare_cached("ROLLBACK")?.execute([]);
        }
        if done.is_ok() && connection.total_changes() != before {
            let checkpoints = self.mode.is_some_and(Mode::checkpoints);
            self.before_checkpoint = if checkpoints { 0 } else { self.before_checkpoint + 1 };
        }
        done
    }
}
