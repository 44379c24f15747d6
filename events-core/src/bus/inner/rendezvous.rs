//! The rendezvous of emits with the task that replays the history to a handler with a replay.
//!
//! Each event reaches the handler once, through the task. The emit of the event and the task get to its position in
//! either order, and the emit either waits for the handler's result or goes on:
//!
//! | | the emit waits | the emit goes on |
//! |---|---|---|
//! | the emit is first | leaves [`Meeting::Awaited`]; the task sends it the result | leaves [`Meeting::Left`]; the task finds it and reports a failure itself |
//! | the task is first | finds [`Meeting::Finished`] and takes the result | finds [`Meeting::Finished`] and takes the result |
//!
//! An emit goes on while the handler is not live yet, and where it is nested in another handler: that handler may be
//! the one being replayed to, and would wait for itself.

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

/// What emits and the task of one handler leave for each other, by position.
pub(crate) struct Rendezvous {
    bus: Weak<Inner>,
    table: Mutex<Table>,
    /// Says that the handler was removed.
    ended: Notify,
    /// Whether it was said that emits wait for the worker, since its last call.
    told: AtomicBool,
}

struct Table {
    /// Positions before this one need no meeting.
    start: u64,
    live: bool,
    /// Whether the worker was lost with its runtime: then an emit that comes by takes the handler back.
    lost: bool,
    /// The position of the event that the handler is called with.
    in_hand: Option<u64>,
    /// The positions at which one of the two has been.
    met: HashMap<u64, Meeting, RandomState>,
    /// How many there may be before those that the log has dropped are looked for.
    bound: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { start: 0, live: false, lost: false, in_hand: None, met: HashMap::default(), bound: MIN_BOUND }
    }
}

const MIN_BOUND: usize = 1024;

impl Table {
    /// Takes out what was left for the worker and is lost to it: a worker that is stuck does not keep
    /// more than the log does.
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
    /// An emit waits for the result.
    Awaited(oneshot::Sender<HandlerResult>),
    /// The emit went on; until the worker comes by, the bus has work in flight and lives.
    Left { _flight: InFlightGuard, _bus: Bus },
    /// The worker is done with this record; the emit will want to know.
    Finished(Record, HandlerResult),
}

/// A failure of the handler for which no emit comes by.
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

    /// The handler was removed: all who wait for it go on, but for the emit whose event the handler is called with.
    /// Called by who removes it, since the handler may hold the thread of the worker.
    pub(crate) fn end(&self, route: &Route) {
        let untold = self.skip_all(false);
        self.ended.notify_waiters();
        if let Some(bus) = self.bus.upgrade() {
            tell_late(&bus, route, untold);
        }
    }

    /// What a future comes to; `None` where the handler is removed before.
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

    /// Resolves when the handler has been removed.
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

    /// The handler is to be called with an event. Before the handler is seen to be registered: so whoever removes it
    /// after that sees the event here.
    pub(crate) fn take_in_hand(&self, position: Option<u64>) {
        self.told.store(false, Ordering::Relaxed);
        self.lock().in_hand = position;
    }

    /// Whether it is to be said that emits wait for the worker: once for all of them.
    pub(crate) fn tell_slow(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn go_live(&self) {
        self.lock().live = true;
    }

    /// An emit comes by with its event.
    pub(crate) fn arrive(&self, call: &Call<'_>) -> Pending {
        let mut table = self.lock();
        if table.lost {
            drop(table);
            call.bus.inner.routes.remove(&call.route.registration);
            return ready(Err(HandlerError::new(&"its runtime shut down, so it gets no more events")));
        }
        let position = call.source.position()?;
        // Before `start` is looked at: the handler may have had the event before it was to skip to a later one.
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
        // Where the worker is gone, so is the handler.
        Some(Box::pin(async { result.await.unwrap_or(Ok(())) }))
    }

    /// The worker comes by with its result, and gets it back where no emit waits for it, with what the emit
    /// left here.
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
                // Without the lock: both wake and drop what is a user's.
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

    /// The handler does not get the events before this position; emits that wait for them are told. The results of
    /// events that it has had stay for the emits that will come by.
    pub(crate) fn skip_to(&self, position: u64, tell: impl Fn() -> HandlerResult) {
        let mut table = self.lock();
        let is_skipped =
            |at: &u64, meeting: &mut Meeting| *at < position && !matches!(meeting, Meeting::Finished(..));
        let skipped: Vec<_> = table.met.extract_if(is_skipped).map(|(_, meeting)| meeting).collect();
        table.start = position;
        drop(table);
        Self::tell(skipped, tell);
    }

    /// The handler gets no more events; emits go on, but for one that waits for the event in hand, unless the worker
    /// is gone. Gives the failures for which no emit comes by any more.
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

    /// The worker was lost with its runtime. Gives how many events the handler was still to get, of which no
    /// emit tells; and the failures for which no emit comes by any more.
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
                // An emit that is gone does not need to know.
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

/// Reports the failures that no emit will tell.
pub(crate) fn tell_late(bus: &Arc<Inner>, route: &Route, untold: Vec<Untold>) {
    for (record, error) in untold {
        let failure = Failure::new(route, error);
        catch_panic(|| note_failure(bus, record.name(), Some(record.id()), &failure));
    }
}
