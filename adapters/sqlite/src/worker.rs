//! Does pieces of work on a connection, one after the other, outside of async tasks; writes that wait at the same
//! time share a commit.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::fault::{Fault, Result};
use crate::options::{Options, Synchronous};
use crate::schema;

/// The most pieces of work that wait for one connection; beyond it, whoever brings more waits.
const MOST_WAITING: usize = 4096;
/// The most that share a commit.
const MOST_AT_ONCE: usize = 1024;

/// The most commits in a row whose sync is left for later: the write-ahead log grows until one is synced.
const MOST_UNSYNCED: u32 = 200;

/// What a piece of work needs of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Safety {
    /// It only reads.
    Read,
    /// What it writes may be lost in a power cut, though not in a crash of the process: all that is known of
    /// consumers, who then get events again.
    Later,
    /// What it writes is safe when it returns, as far as [`Synchronous`] says.
    Now,
}

/// A connection, and the work that waits for it.
#[derive(Clone)]
pub(crate) struct Worker(Arc<Shared>);

struct Shared {
    options: Options,
    runtime: Handle,
    places: Arc<Semaphore>,
    queue: Mutex<Queue>,
    /// Locked by the one thread that works.
    connection: Mutex<Slot>,
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
    synchronous: Option<Synchronous>,
    /// How many commits in a row were not synced.
    unsynced: u32,
}

impl Open {
    fn new(connection: Connection) -> Self {
        Self { connection, synchronous: None, unsynced: 0 }
    }
}

/// A piece of work.
trait Job: Send {
    fn safety(&self) -> Safety;
    /// May be called again, after what it did was rolled back.
    fn run(&mut self, connection: &Connection) -> Result<()>;
    fn finish(self: Box<Self>, outcome: std::result::Result<(), Arc<Fault>>);
}

struct Typed<T, W> {
    safety: Safety,
    work: W,
    result: Option<T>,
    done: oneshot::Sender<std::result::Result<T, Arc<Fault>>>,
    _place: OwnedSemaphorePermit,
}

impl<T, W> Job for Typed<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T> + Send,
{
    fn safety(&self) -> Safety {
        self.safety
    }

    fn run(&mut self, connection: &Connection) -> Result<()> {
        self.result = Some((self.work)(connection)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: std::result::Result<(), Arc<Fault>>) {
        let Self { result, done, .. } = *self;
        // Whoever asked may have gone: then nobody wants to know.
        let _ = done.send(outcome.and_then(|()| result.ok_or_else(|| Arc::new(Fault::Gone))));
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.0.options.path.display())
    }
}

impl Worker {
    /// A worker on a connection of its own, opened when there is work.
    pub(crate) fn new(options: Options, runtime: Handle, connection: Option<Connection>) -> Self {
        let slot = Slot { open: connection.map(Open::new), unsure: false };
        Self(Arc::new(Shared {
            options,
            runtime,
            places: Arc::new(Semaphore::new(MOST_WAITING)),
            queue: Mutex::default(),
            connection: Mutex::new(slot),
        }))
    }

    /// Does a piece of work, and waits for it. It is done even if the wait is given up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        safety: Safety,
        work: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, events_core::AdapterError> {
        let shared = &self.0;
        let gone = |_| Fault::Gone.of_file(&shared.options.path);
        let place = Arc::clone(&shared.places).acquire_owned().await.map_err(|_| gone(()))?;
        let (done, result) = oneshot::channel();
        self.push(Box::new(Typed { safety, work, result: None, done, _place: place }));
        let result = result.await.map_err(|_| gone(()))?;
        result.map_err(|fault| fault.of_file(&shared.options.path))
    }

    fn push(&self, job: Box<dyn Job>) {
        let mut queue = self.0.queue();
        if queue.closed {
            return;
        }
        queue.jobs.push_back(job);
        if !std::mem::replace(&mut queue.working, true) {
            drop(queue);
            let shared = Arc::clone(&self.0);
            self.0.runtime.spawn_blocking(move || shared.work());
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

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No work is done under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until nothing waits.
    fn work(&self) {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut jobs: Vec<_> = {
                let mut queue = self.queue();
                let count = queue.jobs.len().min(MOST_AT_ONCE);
                if count == 0 {
                    queue.working = false;
                    return;
                }
                queue.jobs.drain(..count).collect()
            };
            let outcome = self.attempt(&mut slot, &mut jobs);
            // One that fails must not take the others with it. But what may be stored after all must not be said to
            // have failed, which a second attempt could not tell.
            let apart =
                jobs.len() > 1 && outcome.as_ref().is_err_and(|fault| !matches!(**fault, Fault::Commit(_)));
            for mut job in jobs {
                let outcome = match apart {
                    true => self.attempt(&mut slot, std::slice::from_mut(&mut job)),
                    false => outcome.clone(),
                };
                job.finish(outcome);
            }
        }
    }

    /// Does all of it in one transaction, or nothing.
    fn attempt(&self, slot: &mut Slot, jobs: &mut [Box<dyn Job>]) -> std::result::Result<(), Arc<Fault>> {
        let done = self.transact(slot, jobs);
        if let Err(fault) = &done
            && fault.is_of_disk()
        {
            // What such a connection has in its memory is not to be trusted.
            *slot = Slot { open: None, unsure: true };
        }
        done.map_err(Arc::new)
    }

    fn transact(&self, slot: &mut Slot, jobs: &mut [Box<dyn Job>]) -> Result<()> {
        let open = match &mut slot.open {
            Some(open) => open,
            none => none.insert(Open::new(schema::connect(&self.options)?)),
        };
        let safety = jobs.iter().map(|job| job.safety()).max().unwrap_or(Safety::Read);
        if safety > Safety::Read && slot.unsure {
            if !schema::settle(&open.connection)? {
                return Err(Fault::Busy);
            }
            (slot.unsure, open.synchronous) = (false, None);
        }
        let synchronous = match safety {
            _ if open.unsynced >= MOST_UNSYNCED => Synchronous::Full,
            Safety::Now => self.options.synchronous,
            Safety::Read | Safety::Later => Synchronous::Normal,
        };
        open.unsynced = match (safety, synchronous) {
            (Safety::Read, _) => open.unsynced,
            (_, Synchronous::Full) => 0,
            (_, Synchronous::Normal) => open.unsynced + 1,
        };
        if safety > Safety::Read && open.synchronous != Some(synchronous) {
            schema::synchronous(&open.connection, synchronous)?;
            open.synchronous = Some(synchronous);
        }
        let connection = &open.connection;
        let begin = if safety == Safety::Read { "BEGIN" } else { "BEGIN IMMEDIATE" };
        connection.prepare_cached(begin)?.execute([])?;
        let done = jobs.iter_mut().try_for_each(|job| job.run(connection));
        let done = done.and_then(|()| match connection.prepare_cached("COMMIT")?.execute([]) {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::Commit(error)),
        });
        if done.is_err() && !connection.is_autocommit() {
            // It fails only where SQLite has rolled back by itself.
            let _ = connection.prepare_cached("ROLLBACK")?.execute([]);
        }
        done
    }
}
