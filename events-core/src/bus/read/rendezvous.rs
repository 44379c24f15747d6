//! The rendezvous of emits with the task that replays the history to a handler.
//!
//! Each event reaches the handler once, through the task. The emit of the event and the task reach its
//! position in either order, and the emit either waits for the handler's result or continues without it:
//!
//! | | the emit waits | the emit continues |
//! |---|---|---|
//! | the emit is first | stores [`Entry::EmitWaits`]; the task sends it the result | stores [`Entry::EmitContinued`]; if the handler fails, the task reports it |
//! | the task is first | finds [`Entry::Finished`] and takes the result | finds [`Entry::Finished`] and takes the result |
//!
//! An emit continues while the handler is still being given the history, or if the emit is nested in another
//! handler. That other handler may be the one that the task is calling, and it would wait for itself.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use foldhash::fast::RandomState;
use tokio::sync::{Notify, oneshot};

use crate::bus::inner::call::Call;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::in_flight::InFlightGuard;
use crate::bus::inner::outcome::{CallResult, HandlerError, HandlerResult, finished};
use crate::bus::inner::routes::{Registration, Replay, Route};
use crate::bus::inner::{Bus, Inner, context};
use crate::panics::catch_panic;
use crate::record::Record;

/// The entries that emits and the replay task of one handler store for each other, by position.
pub(crate) struct Rendezvous {
    bus: Weak<Inner>,
    table: Mutex<Table>,
    /// Notified when the handler is removed.
    ended: Notify,
    /// Whether the warning that emits wait for the task was logged since the handler was last called.
    slow_reported: AtomicBool,
}

struct Table {
    /// The first position at which emits and the task leave entries: the task's reader begins or continues
    /// there.
    start: u64,
    /// True once the task has caught up. Emits then wait for it.
    live: bool,
    /// True if the task was dropped with its runtime. The next emit then removes the handler.
    is_abandoned: bool,
    /// The position of the event that the handler is being called with.
    handled_position: Option<u64>,
    /// The positions that only one of the emit and the task has reached so far.
    entries: HashMap<u64, Entry, RandomState>,
    /// The number of entries above which [`Table::prune`] is called.
    bound: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            start: 0,
            live: false,
            is_abandoned: false,
            handled_position: None,
            entries: HashMap::default(),
            bound: MIN_BOUND,
        }
    }
}

const MIN_BOUND: usize = 1024;

impl Table {
    /// Removes the [`Entry::EmitContinued`] entries whose events the log has dropped: the task can no longer read them. So a task that is stuck keeps no more entries than the log keeps events. Returns the
    /// entries, to be dropped without the lock.
    fn prune(&mut self, first: u64) -> Vec<Entry> {
        let is_dropped = |position: &u64, entry: &mut Entry| {
            *position < first && matches!(entry, Entry::EmitContinued { .. })
        };
        let dropped = self.entries.extract_if(is_dropped).map(|(_, entry)| entry).collect();
        self.bound = MIN_BOUND.max(self.entries.len() * 2);
        dropped
    }
}

pub(crate) enum Entry {
    /// The emit waits for the result.
    EmitWaits(oneshot::Sender<HandlerResult>),
    /// The emit has continued. Keeps the bus, and its count of work in flight, until the task has handled the
    /// event.
    EmitContinued { _flight: InFlightGuard, _bus: Bus },
    /// The task has handled this record, and the emit has not taken the result yet.
    Finished(Record, HandlerResult),
}

/// A failure that no emit will report, so the caller must log it.
pub(crate) type Unreported = (Record, HandlerError);

impl Rendezvous {
    pub(crate) fn new(bus: &Arc<Inner>) -> Self {
        Self {
            bus: Arc::downgrade(bus),
            table: Mutex::default(),
            ended: Notify::new(),
            slow_reported: AtomicBool::new(false),
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
    pub(crate) fn set_handled_position(&self, position: Option<u64>) {
        self.slow_reported.store(false, Ordering::Relaxed);
        self.lock().handled_position = position;
    }

    pub(crate) fn go_live(&self) {
        self.lock().live = true;
    }

    /// Called by an emit at the position of its event. Returns the result of the handler, a future of it if
    /// the emit waits, or `None` if the emit continues.
    pub(crate) fn arrive_as_emit(&self, call: &Call<'_>) -> CallResult {
        let mut table = self.lock();
        if table.is_abandoned {
            drop(table);
            call.bus.inner.routes.remove(&call.route.registration);
            return finished(Err(HandlerError::new(&"its runtime shut down, so it gets no more events")));
        }
        let position = call.handled_event.position()?;
        // Check this before `start`: the handler may have handled the event before it skipped to a later
        // position.
        if let Some(Entry::Finished(_, result)) = table.entries.remove(&position) {
            return finished(result);
        }
        if position < table.start {
            return None;
        }
        if !table.live || context::is_nested() {
            let flight = InFlightGuard::of_backlog(&call.bus.inner.lifecycle);
            table.entries.insert(position, Entry::EmitContinued { _flight: flight, _bus: call.bus.clone() });
            let dropped = match table.entries.len() > table.bound {
                true => table.prune(call.bus.inner.log.first()),
                false => Vec::new(),
            };
            drop(table);
            drop(dropped);
            return None;
        }
        let (done, result) = oneshot::channel();
        table.entries.insert(position, Entry::EmitWaits(done));
        // The result is missing only if the handler is gone.
        Some(Box::pin(async { result.await.unwrap_or(Ok(())) }))
    }

    /// Called by the task with the result of the handler at a position. If no emit takes the result, returns
    /// it with the entry that the emit left; the task must then report a failure.
    pub(crate) fn arrive_as_task(
        &self,
        position: u64,
        record: &Record,
        result: HandlerResult,
    ) -> Option<(HandlerResult, Option<Entry>)> {
        let mut table = self.lock();
        table.handled_position = None;
        match table.entries.remove(&position) {
            Some(entry) => {
                // Release the lock first: sending wakes a user's task, and dropping an entry may run user
                // code.
                drop(table);
                match entry {
                    Entry::EmitWaits(emit) => emit.send(result).err().map(|result| (result, None)),
                    entry @ (Entry::EmitContinued { .. } | Entry::Finished(..)) => {
                        Some((result, Some(entry)))
                    }
                }
            }
            None if position < table.start => Some((result, None)),
            None => {
                table.entries.insert(position, Entry::Finished(record.clone(), result));
                None
            }
        }
    }

    /// Skips the events before this position. Emits that wait for them get `result`. Results of
    /// events that were handled stay, for the emits that have not taken them yet.
    pub(crate) fn skip_to(&self, position: u64, result: impl Fn() -> HandlerResult) {
        let mut table = self.lock();
        let is_skipped =
            |at: &u64, entry: &mut Entry| *at < position && !matches!(entry, Entry::Finished(..));
        let skipped: Vec<_> = table.entries.extract_if(is_skipped).map(|(_, entry)| entry).collect();
        table.start = position;
        drop(table);
        Self::release(skipped, result);
    }

    /// Skips all further events and releases the emits that wait. Unless the task is gone, an emit that waits
    /// for the event being handled keeps waiting. Returns the failures that no emit will take.
    pub(crate) fn skip_all(&self, is_task_gone: bool) -> Vec<Unreported> {
        let mut table = self.lock();
        let mut skipped = std::mem::take(&mut table.entries);
        if !is_task_gone && let Some(position) = table.handled_position {
            table.entries.extend(skipped.remove_entry(&position));
        }
        table.start = u64::MAX;
        drop(table);
        Self::release(skipped.into_values(), || Ok(()))
    }

    /// Marks the task as lost with its runtime. Returns the number of unhandled events whose emits have
    /// continued, and the failures that no emit will take.
    pub(crate) fn abandon(&self) -> (u64, Vec<Unreported>) {
        let mut table = self.lock();
        table.is_abandoned = true;
        let entries = std::mem::take(&mut table.entries);
        drop(table);
        let left = entries.values().filter(|entry| matches!(entry, Entry::EmitContinued { .. })).count();
        let unreported = Self::release(entries.into_values(), || {
            Err(HandlerError::new(&"its runtime shut down before it had handled the event"))
        });
        (left as u64, unreported)
    }

    /// Sends the result to the emits that wait, and returns the failures that no emit will take.
    fn release(
        entries: impl IntoIterator<Item = Entry>,
        result: impl Fn() -> HandlerResult,
    ) -> Vec<Unreported> {
        let mut unreported = Vec::new();
        for entry in entries {
            match entry {
                // The send fails if the emit was dropped; then nothing needs the result.
                Entry::EmitWaits(emit) => drop(emit.send(result())),
                Entry::Finished(record, Err(error)) => unreported.push((record, error)),
                Entry::Finished(_, Ok(())) | Entry::EmitContinued { .. } => {}
            }
        }
        unreported
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replay for Rendezvous {
    fn end(&self, route: &Route) {
        let unreported = self.skip_all(false);
        self.ended.notify_waiters();
        if let Some(bus) = self.bus.upgrade() {
            report_untaken(&bus, route, unreported);
        }
    }

    fn should_report_slow(&self) -> bool {
        !self.slow_reported.swap(true, Ordering::Relaxed)
    }
}

/// Counts and logs failures that no emit will take.
pub(crate) fn report_untaken(bus: &Arc<Inner>, route: &Route, unreported: Vec<Unreported>) {
    for (record, error) in unreported {
        let failure = Failure::new(route, error);
        catch_panic(|| bus.note_failure(record.name(), Some(record.id()), &failure));
    }
}
