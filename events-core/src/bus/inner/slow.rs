//! The coarse clock that detects slow handlers, and the list of handlers that wait.
//!
//! While a bus exists, one thread per process ticks every 100 ms. Handlers are timed by comparing ticks, so
//! that a call costs one load and no clock read. Slow handlers are reported while they run, both those that
//! wait and those that block their thread.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::bus::inner::calling::{
    CallSnapshot, Calling, HandlerLists, ONE_TICK, TICKS_AND_REPLACED_LISTS, ThreadCall, calls, next_number,
    ticks, ticks_since,
};
use crate::bus::inner::report::Reporter;
use crate::bus::inner::routes::Route;
use crate::panics::catch_panic;
use crate::record::Record;

const TICK: Duration = Duration::from_millis(100);

static CLOCK_THREAD: Mutex<ClockThread> = Mutex::new(ClockThread { buses: Vec::new(), ticking: false });

struct ClockThread {
    buses: Vec<Weak<SlowHandlers>>,
    ticking: bool,
}

/// A call that has not returned.
#[derive(Clone, Copy)]
struct RunningCall {
    thread: &'static ThreadCall,
    call: CallSnapshot,
}

/// Returns the calls that began before the current tick and were also running at the previous tick. Takes
/// the calls of the previous tick from `before`, and stores the current ones there.
fn long_running(before: &mut Vec<RunningCall>) -> Vec<RunningCall> {
    let now: Vec<_> = calls().into_iter().map(|(thread, call)| RunningCall { thread, call }).collect();
    // Each call must be seen twice, because its two words are not written at once.
    let is_same = |one: &RunningCall, other: &RunningCall| {
        std::ptr::eq(one.thread, other.thread) && one.call == other.call
    };
    let is_long = |one: &&RunningCall| {
        ticks_since(one.call.since) > 0 && before.iter().any(|other| is_same(one, other))
    };
    let running = now.iter().filter(is_long).copied().collect();
    *before = now;
    running
}

fn run_clock() {
    let mut before = Vec::new();
    loop {
        std::thread::sleep(TICK);
        TICKS_AND_REPLACED_LISTS.fetch_add(ONE_TICK, Ordering::Relaxed);
        let mut clock_thread = CLOCK_THREAD.lock().unwrap_or_else(PoisonError::into_inner);
        clock_thread.buses.retain(|bus| bus.strong_count() > 0);
        if clock_thread.buses.is_empty() {
            clock_thread.ticking = false;
            return;
        }
        let buses: Vec<_> = clock_thread.buses.iter().filter_map(Weak::upgrade).collect();
        drop(clock_thread);
        let running = long_running(&mut before);
        for bus in buses {
            // The subscriber that gets the warning is user code. If it panics, the clock continues.
            catch_panic(|| bus.warn_of_running(&running));
            catch_panic(|| bus.warn_of_waiting(&running));
        }
    }
}

/// Detects and reports the slow handlers of one bus.
pub(crate) struct SlowHandlers {
    /// Number of ticks after which a handler is slow; `None` if slow handlers are not reported.
    limit: Option<u32>,
    reporter: Reporter,
    /// The emits whose handlers wait.
    waiting: Mutex<ByAddress>,
    lists: Arc<HandlerLists>,
}

/// Waiting emits, by the address of their allocation, which is unique while they are in the map.
type ByAddress = HashMap<usize, Arc<Waiting>, foldhash::fast::FixedState>;

/// An emit whose handlers wait.
struct Waiting {
    record: Record,
    since: u32,
    handlers: Vec<WaitingHandler>,
    /// True for an emit, false for a single call of a durable or replayed handler.
    is_emit: bool,
    /// True once its task was polled.
    has_begun: AtomicBool,
}

/// One waiting handler of an emit.
pub(crate) struct WaitingHandler {
    route: Route,
    /// The number that a thread stores in [`ThreadCall`] while it polls this handler.
    number: usize,
    done: AtomicBool,
    warned: AtomicBool,
}

impl WaitingHandler {
    pub(crate) fn new(route: Route) -> Self {
        Self { route, number: next_number(), done: AtomicBool::new(false), warned: AtomicBool::new(false) }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    fn is_called_in(&self, running: &[RunningCall]) -> bool {
        running.iter().any(|running| running.call.callee == self.number)
    }
}

/// Keeps an emit in the list of waiting emits until it is dropped.
pub(crate) struct WaitingGuard {
    slow_handlers: Arc<SlowHandlers>,
    waiting: Arc<Waiting>,
}

impl SlowHandlers {
    /// Creates the empty list of a bus, and starts the clock thread if it is not running. The thread ends when
    /// no bus is left.
    ///
    /// # Errors
    ///
    /// An error if the operating system can't start the thread.
    pub(crate) fn start(
        limit: Option<Duration>,
        reporter: Reporter,
        lists: Arc<HandlerLists>,
    ) -> std::io::Result<Arc<Self>> {
        let in_ticks = |limit: Duration| {
            u32::try_from(limit.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1)
        };
        let (limit_in_ticks, waiting) = (limit.map(in_ticks), Mutex::default());
        let slow_handlers = Arc::new(Self { limit: limit_in_ticks, reporter, waiting, lists });
        if limit.is_some() {
            let mut clock_thread = CLOCK_THREAD.lock().unwrap_or_else(PoisonError::into_inner);
            if !clock_thread.ticking {
                std::thread::Builder::new().name("typed-events".into()).spawn(run_clock)?;
                clock_thread.ticking = true;
            }
            clock_thread.buses.push(Arc::downgrade(&slow_handlers));
        }
        Ok(slow_handlers)
    }

    /// Adds the waiting handlers of an emit to the list.
    pub(crate) fn add_emit(self: &Arc<Self>, record: Record, handlers: Vec<WaitingHandler>) -> WaitingGuard {
        self.add(record, handlers, true)
    }

    /// Ends the timing of the handler that has returned, and reports the handler if it was slow.
    pub(crate) fn end_timing(&self, calling: &mut Calling, handler: &Route, event: &str) {
        let (before, took) = calling.restart_timing();
        if self.limit.is_some_and(|limit| took >= limit) && calling.should_report(handler, before) {
            self.warn(handler.name(), event, took, BLOCKS_THREAD);
        }
    }

    /// Adds a single waiting handler, called outside of an emit, to the list.
    pub(crate) fn add_single_call(self: &Arc<Self>, record: Record, handler: Route) -> WaitingGuard {
        self.add(record, vec![WaitingHandler::new(handler)], false)
    }

    fn add(self: &Arc<Self>, record: Record, handlers: Vec<WaitingHandler>, is_emit: bool) -> WaitingGuard {
        // A single handler is polled by the task that adds it, so it has begun.
        let has_begun = AtomicBool::new(!is_emit);
        let waiting = Arc::new(Waiting { record, since: ticks(), handlers, is_emit, has_begun });
        self.lock().insert(waiting.address(), Arc::clone(&waiting));
        WaitingGuard { slow_handlers: Arc::clone(self), waiting }
    }

    /// Describes each handler that waits or blocks a thread, with its event, sorted. Also returns an upper
    /// bound of the part of `Lifecycle::count` that these handlers account for.
    pub(crate) fn describe(&self) -> (Vec<String>, usize) {
        let calls: Vec<_> = calls().into_iter().map(|(_, call)| call.callee).collect();
        let snapshot = self.snapshot();
        let (mut handlers, mut accounted_for) = (Vec::new(), 0);
        for emit in &snapshot.emits {
            accounted_for += usize::from(!snapshot.is_awaited(emit));
            for handler in emit.unfinished().filter(|handler| !snapshot.is_called_for(emit, handler)) {
                let blocks = calls.contains(&handler.number);
                accounted_for += if blocks { MAX_COUNTS - 1 } else { 0 };
                handlers.push(description(&handler.route, emit.event(), blocks));
            }
        }
        for (list, index, event) in calls.iter().filter_map(|callee| self.lists.find(*callee)) {
            accounted_for += MAX_COUNTS;
            handlers.push(description(&list.entries[index].route, &event, true));
            // This may be the last owner of a closure that was removed meanwhile, whose destructor is user
            // code.
            catch_panic(|| drop(list));
        }
        handlers.sort_unstable();
        handlers.dedup();
        (handlers, accounted_for)
    }

    fn snapshot(&self) -> WaitingSnapshot {
        let emits: Vec<_> = self.lock().values().cloned().collect();
        let is_replay = |emit: &&Arc<Waiting>| {
            !emit.is_emit && emit.handlers.iter().any(|handler| handler.route.registration.replay().is_some())
        };
        let replays = emits.iter().filter(is_replay).cloned().collect();
        WaitingSnapshot { emits, replays }
    }

    /// Logs the slow handlers that block their threads.
    fn warn_of_running(&self, running: &[RunningCall]) {
        let Some(limit) = self.limit else { return };
        for RunningCall { thread, call } in running {
            let took = ticks_since(call.since);
            if took >= limit
                && let Some((list, index, event)) = self.lists.find(call.callee)
                && thread.should_report(*call)
            {
                self.warn(list.entries[index].route.name(), &event, took, BLOCKS_THREAD);
            }
        }
    }

    fn warn_of_waiting(&self, running: &[RunningCall]) {
        let Some(limit) = self.limit else { return };
        let snapshot = self.snapshot();
        let slow = |emit: &&Arc<Waiting>| ticks().wrapping_sub(emit.since) >= limit;
        for emit in snapshot.emits.iter().filter(slow) {
            let blocking = emit.unfinished().find(|handler| handler.is_called_in(running));
            let has_begun = emit.has_begun.load(Ordering::Relaxed);
            if blocking.is_none() && !has_begun && !running.is_empty() {
                // These handlers can't begin, because another handler blocks their thread.
                continue;
            }
            let more = match (blocking, has_begun) {
                (Some(_), _) => BLOCKS_THREAD,
                (None, true) => "and is still running",
                (None, false) => "and waits for its runtime, whose threads are blocked or busy",
            };
            // If one handler of the emit blocks, the emit's other handlers can't make progress, so only that
            // one is logged.
            let to_report =
                emit.unfinished().filter(|handler| blocking.is_none_or(|one| std::ptr::eq(*handler, one)));
            for handler in to_report.filter(|handler| !handler.warned.swap(true, Ordering::Relaxed)) {
                let took = ticks().wrapping_sub(emit.since);
                match handler.route.registration.replay().filter(|_| emit.is_emit) {
                    None => self.warn(handler.route.name(), emit.event(), took, more),
                    // The replay task is calling the handler, and that call is in the list itself.
                    Some(_) if snapshot.is_called_for(emit, handler) => {}
                    Some(replay) if replay.should_report_slow() => {
                        self.warn(handler.route.name(), emit.event(), took, NOT_CALLED_YET);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn warn(&self, handler: &str, event: &str, ticks: u32, more: &str) {
        let seconds = f64::from(ticks) * TICK.as_secs_f64();
        self.reporter.warning(format_args!("handler {handler} has taken {seconds:.1} s for {event} {more}"));
    }

    fn lock(&self) -> MutexGuard<'_, ByAddress> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upper bound of the part of `Lifecycle::count` that one emit accounts for while it calls a handler: the
/// emit, its task, and its list of handlers.
const MAX_COUNTS: usize = 3;

/// A snapshot of the list of waiting emits.
struct WaitingSnapshot {
    emits: Vec<Arc<Waiting>>,
    /// The entries that are calls of replay tasks.
    replays: Vec<Arc<Waiting>>,
}

impl WaitingSnapshot {
    /// Returns true if an emit's handler only waits for a replay task that is calling the handler: that call
    /// is in the list itself.
    fn is_called_for(&self, emit: &Waiting, handler: &WaitingHandler) -> bool {
        let is_same = |call: &WaitingHandler| call.route.is_of(&handler.route.registration);
        emit.is_emit && self.replays.iter().any(|call| call.handlers.iter().any(is_same))
    }

    /// Returns true if this is a call of a replay task and an emit in the list waits for it.
    fn is_awaited(&self, call: &Waiting) -> bool {
        let waits = |emit: &Arc<Waiting>| {
            emit.is_emit
                && emit.record.id() == call.record.id()
                && emit.unfinished().any(|handler| {
                    call.handlers.iter().any(|one| handler.route.is_of(&one.route.registration))
                })
        };
        !call.is_emit
            && call.handlers.iter().any(|one| one.route.registration.replay().is_some())
            && self.emits.iter().any(waits)
    }
}

fn description(route: &Route, event: &str, blocks: bool) -> String {
    let more = if blocks { ", which blocks its thread" } else { "" };
    format!("handler {} on {event}{more}", route.name())
}

/// Ending of the warning about a replayed handler that is not being called while emits wait for it.
const NOT_CALLED_YET: &str = "and waits for its runtime, or for events before it";

/// Ending of the warning about a handler that blocks its thread.
const BLOCKS_THREAD: &str = "without waiting: it blocks its thread";

impl Waiting {
    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn event(&self) -> &str {
        self.record.name()
    }

    fn unfinished(&self) -> impl Iterator<Item = &WaitingHandler> {
        self.handlers.iter().filter(|handler| !handler.done.load(Ordering::Acquire))
    }
}

impl WaitingGuard {
    pub(crate) fn event(&self) -> &str {
        self.waiting.event()
    }

    pub(crate) fn record(&self) -> &Record {
        &self.waiting.record
    }

    /// Marks the task of these handlers as polled.
    pub(crate) fn begin(&self) {
        self.waiting.has_begun.store(true, Ordering::Relaxed);
    }

    /// Polls the only handler in the list, and marks this thread as calling it during each poll.
    pub(crate) async fn polling<F: Future>(&self, handled: F) -> F::Output {
        let number = self.waiting.handlers[0].number;
        let mut handled = pin!(handled);
        std::future::poll_fn(|cx| {
            let _calling = Calling::polling(number);
            handled.as_mut().poll(cx)
        })
        .await
    }

    /// Returns the handlers that have not finished.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Route> {
        self.waiting.unfinished().map(|handler| &handler.route)
    }

    /// Marks the handler with this index as finished, and returns its route.
    pub(crate) fn finish(&self, index: usize) -> &Route {
        let handler = &self.waiting.handlers[index];
        handler.done.store(true, Ordering::Release);
        &handler.route
    }
}

impl Drop for WaitingGuard {
    fn drop(&mut self) {
        let removed = self.slow_handlers.lock().remove(&self.waiting.address());
        // Drop it without the lock: it may be the last owner of an event, whose destructor is user code.
        drop(removed);
    }
}
