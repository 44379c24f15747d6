//! What is in flight: counts emits for `stop`, and bounds detached work.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Notify;

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const STOPPED: u8 = 2;
/// `stop` has given up on what still runs, and said what that is.
const ENDED: u8 = 3;

/// The life of a bus, whose phases only go forward, and the number of emits that are under way.
///
/// An emit counts itself, then reads the phase; `stop` sets the phase, then reads the count. With
/// both in one total order (`SeqCst`), either the emit sees the stop or the stop sees the emit. The
/// shortest emits hold an [`Open`] list instead.
#[derive(Default)]
pub(crate) struct Lifecycle {
    phase: AtomicU8,
    count: AtomicUsize,
    /// Those of them that go on in a task.
    kept: AtomicUsize,
    detached: AtomicUsize,
    /// The lists of handlers that emits hold instead of counting themselves.
    open: AtomicUsize,
    /// The work that `stop` waits for, and whose emits it lets pass.
    deferrals: AtomicUsize,
    idle: Notify,
    ended: Notify,
}

/// An emit is refused: the bus is stopping or stopped.
pub(crate) struct Refused;

impl Lifecycle {
    /// Counts an emit until the guard is dropped. While the bus is stopping, only nested emits pass, and, as long as
    /// the stop is deferred, all others.
    pub(crate) fn enter(&self, nested: bool) -> Result<InFlight<'_>, Refused> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let guard = InFlight(self);
        match self.phase.load(Ordering::SeqCst) {
            RUNNING => Ok(guard),
            STOPPING if nested || self.deferrals() > 0 => Ok(guard),
            _ => Err(Refused),
        }
    }

    /// Lets `stop` wait for other work than emits.
    pub(crate) fn defer_stop(self: &Arc<Self>) -> Result<StopDeferral, Refused> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.deferrals.fetch_add(1, Ordering::SeqCst);
        let deferral = StopDeferral(Arc::clone(self));
        if self.is_running() { Ok(deferral) } else { Err(Refused) }
    }

    pub(crate) fn deferrals(&self) -> usize {
        self.deferrals.load(Ordering::SeqCst)
    }

    /// Takes one of `max` places for detached work.
    pub(crate) fn detach(self: &Arc<Self>, max: usize) -> Option<Detached> {
        let taken = self.detached.fetch_add(1, Ordering::Relaxed);
        let permit = Detached(Arc::clone(self));
        (taken < max).then_some(permit)
    }

    pub(crate) fn begin_stop(&self) {
        self.phase.fetch_max(STOPPING, Ordering::SeqCst);
    }

    pub(crate) fn end_stop(&self) {
        self.phase.fetch_max(STOPPED, Ordering::SeqCst);
    }

    /// Lets what waits for [`ended`](Self::ended) go on.
    pub(crate) fn end(&self) {
        self.phase.fetch_max(ENDED, Ordering::SeqCst);
        self.ended.notify_waiters();
    }

    /// Waits until `stop` has given up on what still runs, or nothing does.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub(crate) async fn ended(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.phase.load(Ordering::SeqCst) == ENDED {
                return;
            }
            ended.await;
        }
    }

    /// Whether no emit passes any more, nested ones included.
    pub(crate) fn has_stopped(&self) -> bool {
        self.phase.load(Ordering::SeqCst) >= STOPPED
    }

    pub(crate) fn is_running(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == RUNNING
    }

    pub(crate) fn count(&self) -> usize {
        // The lists first: an emit that goes on in a task counts itself before it gives back its list.
        let open = self.open.load(Ordering::SeqCst);
        open + self.count.load(Ordering::SeqCst)
    }

    /// The emits that go on in a task.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Waits until nothing is in flight. Only meaningful once the bus is stopping.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.count() == 0 {
                return;
            }
            idle.await;
        }
    }

    fn leave(&self) {
        self.leave_from(&self.count);
    }

    fn leave_from(&self, counter: &AtomicUsize) {
        if counter.fetch_sub(1, Ordering::SeqCst) == 1 && !self.is_running() {
            self.idle.notify_waiters();
        }
    }
}

/// A part of every list of handlers. An emit that holds such a list is in flight without counting
/// itself: `stop` takes the lists away and waits for the last holder of each.
pub(crate) struct Open(Arc<Lifecycle>);

impl Open {
    pub(crate) fn new(flight: &Arc<Lifecycle>) -> Self {
        flight.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(flight))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.leave_from(&self.0.open);
    }
}

/// An emit in flight, for as long as it is polled by the emitter.
pub(crate) struct InFlight<'a>(&'a Lifecycle);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// An emit in flight that owns its place: a runtime that drops the task frees it.
pub(crate) struct InFlightGuard {
    flight: Arc<Lifecycle>,
    /// Whether it is an emit that waits, and not work that waits for a replay.
    is_emit: bool,
}

impl InFlightGuard {
    /// Counts an emit that goes on; whoever calls it is in flight itself.
    pub(crate) fn new(flight: &Arc<Lifecycle>) -> Self {
        flight.count.fetch_add(1, Ordering::SeqCst);
        flight.kept.fetch_add(1, Ordering::Relaxed);
        Self { flight: Arc::clone(flight), is_emit: true }
    }

    /// Counts an event that a replay has yet to handle, after its emit is done.
    pub(crate) fn of_backlog(flight: &Arc<Lifecycle>) -> Self {
        flight.count.fetch_add(1, Ordering::SeqCst);
        Self { flight: Arc::clone(flight), is_emit: false }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.is_emit {
            self.flight.kept.fetch_sub(1, Ordering::Relaxed);
        }
        self.flight.leave();
    }
}

/// Lets [`Bus::stop`](crate::Bus::stop) wait until this is dropped, and emits pass until then: see
/// [`Bus::defer_stop`](crate::Bus::defer_stop).
#[must_use = "`stop` waits only as long as this lives"]
pub struct StopDeferral(Arc<Lifecycle>);

impl fmt::Debug for StopDeferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopDeferral")
    }
}

impl Drop for StopDeferral {
    fn drop(&mut self) {
        self.0.deferrals.fetch_sub(1, Ordering::SeqCst);
        self.0.leave();
    }
}

/// A place among the detached work.
pub(crate) struct Detached(Arc<Lifecycle>);

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.detached.fetch_sub(1, Ordering::Relaxed);
    }
}
