//! The rendezvous of emits with the task that replays the history to a handler.
//!
//! Each event reaches the handler once, through the task. The emit of the event and the task reach its
//! position in either order, and the emit either waits for the handler's result or continues without it:
//!
//! | | the emit waits | the emit continues |
//! |---|---|---|
//! | the emit is first | stores [`Meeting::Awaited`]; the task sends it the result | stores [`Meeting::Left`]; if the handler fails, the task reports it |
//! | the task is first | finds [`Meeting::Finished`] and takes the result | finds [`Meeting::Finished`] and takes the result |
//!
//! An emit continues while the handler is still being given the history, or if the emit is nested in another handler. That other
//! handler may be the one that the task is calling, and it would wait for itself.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use foldhash::fast::RandomState;
use tokio::sync::{Notify, oneshot};

use crate::bus::inner::call::Call;
use crate::bus::inner::failure::{Failure, note_failure};
use crate::bus::inner::in_flight::InFlightGuard;
use crate::bus::inner::outcome::{HandlerError, HandlerResult, Pending, ready};
use crate::bus::inner::routes::{Registration, Route};
use crate::bus::inner::{Bus, Inner, context};
use crate::panics::catch_panic;
use crate::record::Record;

/// The entries that emits and the task of one handler leave for each other, by position.
pub(crate) struct Rendezvous {
    bus: Weak<Inner>,
    table: Mutex<Table>,
    /// Notified when the handler is removed.
    ended: Notify,
    /// Whether the warning that emits wait for the task was logged since the handler was last called.
    told: AtomicBool,
}

struct Table {
    /// The first position at which emits and the task leave entries: the task's reader begins or continues
    /// there.
    start: u64,
    /// True once the task has caught up. Emits then wait for it.
    live: bool,
    /// True if the task was dropped with its runtime. The next emit then removes the handler.
    lost: bool,
    /// The position of the event that the handler is being called with.
    in_hand: Option<u64>,
    /// The positions that only one of the emit and the task has reached so far.
    met: HashMap<u64, Meeting, RandomState>,
    /// The number of entries above which [`Table::prune`] is called.
    bound: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { start: 0, live: false, lost: false, in_hand: None, met: HashMap::default(), bound: MIN_BOUND }
    }
}

const MIN_BOUND: usize = 1024;

impl Table {
    /// Removes the [`Meeting::Left`] entries whose events the log has dropped: the task can no longer read them. So a task that is stuck keeps no more entries than the log keeps events. Returns the
    /// entries, to be dropped without the lock.
    fn prune(&mut self, first: u64) -> Vec<Meeting> {
        let lost = |position: &u64, meeting: &mut Meeting| {
            *position < first && matches!(meeting, Meeting::Left { .. })
        };
        let gone = self.met.extract_if(lost).map(|(_, meeting)| meeting).collect();
        self.bound = MIN_BOUND.max(self.met.len() * 2);
        gone
    }
}

pub(crate) enum Meeting {
    /// The emit waits for the result.
    Awaited(oneshot::Sender<HandlerResult>),
    /// The emit has continued. Keeps the bus, and its count of work in flight, until the task has handled the
    /// event.
    Left { _flight: InFlightGuard, _bus: Bus },
    /// The task has handled this record, and the emit has not taken the result yet.
    Finished(Record, HandlerResult),
}

/// A failure that no emit will take, so that it must be logged.
pub(crate) type Untold = (Record, HandlerError);

impl Rendezvous {
    pub(crate) fn new(bus: &Arc<Inner>) -> Self {
        Self {
            bus: Arc::downgrade(bus),
            table: Mutex::default(),
            ended: Notify::new(),
            told: AtomicBool::new(false),
        }
    }

    /// Ends all waits after the handler was removed, except for the emit whose event the handler is being
    /// called with. The caller that removes the handler calls this, because the handler may be blocking the
    /// thread of the task.
    pub(crate) fn end(&self, route: &Route) {
        let untold = self.skip_all(false);
        self.ended.notify_waiters();
        if let Some(bus) = self.bus.upgrade() {
            tell_late(&bus, route, untold);
        }
    }

    /// Waits for a future; returns `None` if the handler is removed first.
    pub(crate) async fn unless_ended<F: Future>(
        &self,
        registration: &Registration,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut ended = pin!(self.ended(registration));
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => ended.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Waits until the handler has been removed.
    pub(crate) async fn ended(&self, registration: &Registration) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if !registration.is_active() {
                return;
            }
            ended.await;
        }
    }

    /// Stores the position of the event that the handler will be called with. Call it before checking that
    /// the handler is still registered: a caller that removes the handler after that check then finds the
    /// position here.
    pub(crate) fn take_in_hand(&self, position: Option<u64>) {
        self.told.store(false, Ordering::Relaxed);
        self.lock().in_hand = position;
    }

    /// Returns true the first time since the last call of the handler, so that the warning that emits wait
    /// for the task is logged once.
    pub(crate) fn tell_slow(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn go_live(&self) {
        self.lock().live = true;
    }

    /// Called by an emit at the position of its event. Returns the result of the handler, a future of it if
    /// the emit waits, or `None` if the emit continues.
    pub(crate) fn arrive(&self, call: &Call<'_>) -> Pending {
        let mut table = self.lock();
        if table.lost {
            drop(table);
            call.bus.inner.routes.remove(&call.route.registration);
            return ready(Err(HandlerError::new(&"its runtime shut down, so it gets no more events")));
        }
        let position = call.source.position()?;
        // Check this before `start`: the handler may have handled the event before it skipped to a later
        // position.
        if let Some(Meeting::Finished(_, result)) = table.met.remove(&position) {
            return ready(result);
        }
        if position < table.start {
            return None;
        }
        if !table.live || context::is_nested() {
            let flight = InFlightGuard::of_backlog(&call.bus.inner.flight);
            table.met.insert(position, Meeting::Left { _flight: flight, _bus: call.bus.clone() });
            let gone = match table.met.len() > table.bound {
                true => table.prune(call.bus.inner.log.first()),
                false => Vec::new(),
            };
            drop(table);
            drop(gone);
            return None;
        }
        let (done, result) = oneshot::channel();
        table.met.insert(position, Meeting::Awaited(done));
        // The result is missing only if the handler is gone.
        Some(Box::pin(async { result.await.unwrap_or(Ok(())) }))
    }

    /// Called by the task with the result of the handler at a position. If no emit takes the result, returns
    /// it with the entry that the emit left; the task must then report a failure.
    pub(crate) fn finish(
        &self,
        position: u64,
        record: &Record,
        result: HandlerResult,
    ) -> Option<(HandlerResult, Option<Meeting>)> {
        let mut table = self.lock();
        table.in_hand = None;
        match table.met.remove(&position) {
            Some(meeting) => {
                // Release the lock first: sending wakes a user's task, and dropping an entry may run user
                // code.
                drop(table);
                match meeting {
                    Meeting::Awaited(emit) => emit.send(result).err().map(|result| (result, None)),
                    meeting @ (Meeting::Left { .. } | Meeting::Finished(..)) => Some((result, Some(meeting))),
                }
            }
            None if position < table.start => Some((result, None)),
            None => {
                table.met.insert(position, Meeting::Finished(record.clone(), result));
                None
            }
        }
    }

    /// Skips the events before this position. Emits that wait for them get the result of `tell`. Results of
    /// events that were handled stay, for the emits that have not taken them yet.
    pub(crate) fn skip_to(&self, position: u64, tell: impl Fn() -> HandlerResult) {
        let mut table = self.lock();
        let is_skipped =
            |at: &u64, meeting: &mut Meeting| *at < position && !matches!(meeting, Meeting::Finished(..));
        let skipped: Vec<_> = table.met.extract_if(is_skipped).map(|(_, meeting)| meeting).collect();
        table.start = position;
        drop(table);
        Self::tell(skipped, tell);
    }

    /// Skips all further events and releases the emits that wait. Unless the task is gone, an emit that waits
    /// for the event being handled keeps waiting. Returns the failures that no emit will take.
    pub(crate) fn skip_all(&self, is_worker_gone: bool) -> Vec<Untold> {
        let mut table = self.lock();
        let mut skipped = std::mem::take(&mut table.met);
        if !is_worker_gone && let Some(position) = table.in_hand {
            table.met.extend(skipped.remove_entry(&position));
        }
        table.start = u64::MAX;
        drop(table);
        Self::tell(skipped.into_values(), || Ok(()))
    }

    /// Marks the task as lost with its runtime. Returns the number of unhandled events whose emits have
    /// continued, and the failures that no emit will take.
    pub(crate) fn abandon(&self) -> (u64, Vec<Untold>) {
        let mut table = self.lock();
        table.lost = true;
        let met = std::mem::take(&mut table.met);
        drop(table);
        let left = met.values().filter(|meeting| matches!(meeting, Meeting::Left { .. })).count();
        let untold = Self::tell(met.into_values(), || {
            Err(HandlerError::new(&"its runtime shut down before it had handled the event"))
        });
        (left as u64, untold)
    }

    fn tell(rendezvous: impl IntoIterator<Item = Meeting>, what: impl Fn() -> HandlerResult) -> Vec<Untold> {
        let mut untold = Vec::new();
        for meeting in rendezvous {
            match meeting {
                // The send fails if the emit was dropped; then nothing needs the result.
                Meeting::Awaited(emit) => drop(emit.send(what())),
                Meeting::Finished(record, Err(error)) => untold.push((record, error)),
                Meeting::Finished(_, Ok(())) | Meeting::Left { .. } => {}
            }
        }
        untold
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts and logs failures that no emit will take.
pub(crate) fn tell_late(bus: &Arc<Inner>, route: &Route, untold: Vec<Untold>) {
    for (record, error) in untold {
        let failure = Failure::new(route, error);
        catch_panic(|| note_failure(bus, record.name(), Some(record.id()), &failure));
    }
}
