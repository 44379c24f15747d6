//! Counts the emits in flight, for `stop` and for the limits of pending and detached emits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Notify;

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const STOPPED: u8 = 2;
/// `stop` has reached its deadline, or nothing is in flight any more.
const DRAIN_ENDED: u8 = 3;

/// The phase of a bus, which only moves forward, and the number of emits in flight.
///
/// An emit increments the count, then reads the phase; `stop` sets the phase, then reads the count. Both use
/// `SeqCst`, so either the emit sees the stop or the stop sees the emit. The shortest emits hold a list of
/// handlers with an [`OpenListGuard`] instead of incrementing the count.
#[derive(Default)]
pub(crate) struct Lifecycle {
    phase: AtomicU8,
    count: AtomicUsize,
    /// Number of counted emits that continue in a task.
    in_tasks: AtomicUsize,
    detached: AtomicUsize,
    /// Number of open handler lists. An emit that holds one need not count itself.
    open_lists: AtomicUsize,
    /// Number of [`StopDeferral`]s. While there are any, emits are accepted after the stop has begun.
    deferrals: AtomicUsize,
    idle: Notify,
    drain_ended: Notify,
}

/// An emit is refused, because the bus is stopping or has stopped.
pub(crate) struct Refused;

impl Lifecycle {
    /// Counts an emit until the guard is dropped. While the bus is stopping, only nested emits are accepted,
    /// unless the stop is deferred: then all emits are.
    pub(crate) fn enter(&self, nested: bool) -> Result<InFlight<'_>, Refused> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let guard = InFlight(self);
        match self.phase.load(Ordering::SeqCst) {
            RUNNING => Ok(guard),
            STOPPING if nested || self.deferrals() > 0 => Ok(guard),
            _ => Err(Refused),
        }
    }

    /// Makes `stop` wait until the guard is dropped.
    pub(crate) fn defer_stop(self: &Arc<Self>) -> Result<StopDeferral, Refused> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.deferrals.fetch_add(1, Ordering::SeqCst);
        let deferral = StopDeferral(Arc::clone(self));
        if self.is_running() { Ok(deferral) } else { Err(Refused) }
    }

    pub(crate) fn deferrals(&self) -> usize {
        self.deferrals.load(Ordering::SeqCst)
    }

    /// Takes one of `max` permits for detached emits; `None` if all are taken.
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

    /// Marks the drain as ended, and wakes the tasks that wait in [`drain_ended`](Self::drain_ended).
    pub(crate) fn end_drain(&self) {
        self.phase.fetch_max(DRAIN_ENDED, Ordering::SeqCst);
        self.drain_ended.notify_waiters();
    }

    /// Waits until `stop` has drained the bus or reached its deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future changes nothing.
    pub(crate) async fn drain_ended(&self) {
        loop {
            let mut ended = std::pin::pin!(self.drain_ended.notified());
            ended.as_mut().enable();
            if self.phase.load(Ordering::SeqCst) == DRAIN_ENDED {
                return;
            }
            ended.await;
        }
    }

    /// Returns true if the bus accepts no more emits, not even nested ones.
    pub(crate) fn has_stopped(&self) -> bool {
        self.phase.load(Ordering::SeqCst) >= STOPPED
    }

    pub(crate) fn is_running(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == RUNNING
    }

    pub(crate) fn count(&self) -> usize {
        // Read `open` first: an emit that moves to a task increments `count` before it releases its list.
        let open = self.open_lists.load(Ordering::SeqCst);
        open + self.count.load(Ordering::SeqCst)
    }

    /// Returns the number of emits that continue in a task.
    pub(crate) fn in_tasks(&self) -> usize {
        self.in_tasks.load(Ordering::Relaxed)
    }

    /// Waits until nothing is in flight. Wakes only once the bus is stopping.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future changes nothing.
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

/// Marks a list of handlers as open. An emit that holds such a list is in flight without being counted:
/// `stop` replaces the lists, and waits until the last emit has released each of them.
pub(crate) struct OpenListGuard(Arc<Lifecycle>);

impl OpenListGuard {
    pub(crate) fn new(lifecycle: &Arc<Lifecycle>) -> Self {
        lifecycle.open_lists.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(lifecycle))
    }
}

impl Drop for OpenListGuard {
    fn drop(&mut self) {
        self.0.leave_from(&self.0.open_lists);
    }
}

/// Counts an emit while its caller polls it.
pub(crate) struct InFlight<'a>(&'a Lifecycle);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Counts an emit that continues in a task, or an event that a replay has yet to handle. Owned by the task,
/// so that a runtime that drops the task releases it.
pub(crate) struct InFlightGuard {
    lifecycle: Arc<Lifecycle>,
    /// True for an emit, false for an event that a replay has yet to handle.
    is_emit: bool,
}

impl InFlightGuard {
    /// Counts an emit that continues in a task. The caller must be in flight itself.
    pub(crate) fn new(lifecycle: &Arc<Lifecycle>) -> Self {
        lifecycle.count.fetch_add(1, Ordering::SeqCst);
        lifecycle.in_tasks.fetch_add(1, Ordering::Relaxed);
        Self { lifecycle: Arc::clone(lifecycle), is_emit: true }
    }

    /// Counts an event that remains to be handled after its emit is done.
    pub(crate) fn of_backlog(lifecycle: &Arc<Lifecycle>) -> Self {
        lifecycle.count.fetch_add(1, Ordering::SeqCst);
        Self { lifecycle: Arc::clone(lifecycle), is_emit: false }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.is_emit {
            self.lifecycle.in_tasks.fetch_sub(1, Ordering::Relaxed);
        }
        self.lifecycle.leave();
    }
}

/// Guard that keeps [`Bus::stop`](crate::Bus::stop) waiting, and emits accepted, until it is dropped.
/// Returned by [`Bus::defer_stop`](crate::Bus::defer_stop).
#[must_use = "`stop` waits only until this guard is dropped"]
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

/// One permit for a detached emit.
pub(crate) struct Detached(Arc<Lifecycle>);

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.detached.fetch_sub(1, Ordering::Relaxed);
    }
}
