//! The coarse clock that names slow handlers, and the list of those that wait.
//!
//! One thread per process ticks every 100 ms while a bus exists. Handlers are timed by comparing
//! ticks, so that a call costs a load and no clock read. A handler that waits is named while it
//! waits, and one that blocks its thread while it does.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::bus::inner::calling::{
    CHANGES, Calling, Lists, ONE_TICK, Seen, ThreadCall, calls, next_number, ticks, ticks_since,
};
use crate::bus::inner::report::Fallback;
use crate::bus::inner::routes::Route;
use crate::panics::catch_panic;
use crate::record::Record;

const TICK: Duration = Duration::from_millis(100);

static WATCHED: Mutex<Watched> = Mutex::new(Watched { buses: Vec::new(), ticking: false });

struct Watched {
    buses: Vec<Weak<SlowHandlers>>,
    ticking: bool,
}

/// A call that has not returned.
#[derive(Clone, Copy)]
struct Running {
    thread: &'static ThreadCall,
    seen: Seen,
}

/// What threads call since before this tick and the one before, at which they called it, too.
fn running(before: &mut Vec<Running>) -> Vec<Running> {
    let now: Vec<_> = calls().into_iter().map(|(thread, seen)| Running { thread, seen }).collect();
    // Looked at twice, since the two words are not written at once.
    let is_same =
        |one: &Running, other: &Running| std::ptr::eq(one.thread, other.thread) && one.seen == other.seen;
    let is_long =
        |call: &&Running| ticks_since(call.seen.since) > 0 && before.iter().any(|other| is_same(call, other));
    let running = now.iter().filter(is_long).copied().collect();
    *before = now;
    running
}

fn tick() {
    let mut before = Vec::new();
    loop {
        std::thread::sleep(TICK);
        CHANGES.fetch_add(ONE_TICK, Ordering::Relaxed);
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.buses.retain(|bus| bus.strong_count() > 0);
        if watched.buses.is_empty() {
            watched.ticking = false;
            return;
        }
        let buses: Vec<_> = watched.buses.iter().filter_map(Weak::upgrade).collect();
        drop(watched);
        let running = running(&mut before);
        for bus in buses {
            // The subscriber that gets the warning is a user's code; the clock goes on.
            catch_panic(|| bus.warn_of_running(&running));
            catch_panic(|| bus.warn_of_waiting(&running));
        }
    }
}

/// Watches the handlers of one bus.
pub(crate) struct SlowHandlers {
    /// When a handler is slow, in ticks; `None` for never.
    limit: Option<u32>,
    fallback: Fallback,
    /// The emits with handlers that wait.
    waiting: Mutex<ByAddress>,
    lists: Arc<Lists>,
}

/// Emits that wait, each under the address of what is known of it: no other one has that meanwhile.
type ByAddress = HashMap<usize, Arc<Waiting>, foldhash::fast::FixedState>;

/// An emit with handlers that wait.
struct Waiting {
    record: Record,
    since: u32,
    handlers: Vec<WaitingHandler>,
    /// Whether it is an emit, and not a handler that is called on its own account.
    is_emit: bool,
    /// Whether its task was polled.
    has_begun: AtomicBool,
}

/// One of an emit's handlers that wait.
pub(crate) struct WaitingHandler {
    route: Route,
    /// By which a thread says that it polls it.
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

    fn is_called_in(&self, running: &[Running]) -> bool {
        running.iter().any(|running| running.seen.callee == self.number)
    }
}

/// Keeps an emit listed as waiting.
pub(crate) struct SlowGuard {
    watch: Arc<SlowHandlers>,
    waiting: Arc<Waiting>,
}

impl SlowHandlers {
    /// Starts to watch, for as long as this exists.
    ///
    /// # Errors
    ///
    /// The operating system refuses a thread.
    pub(crate) fn start(
        limit: Option<Duration>,
        fallback: Fallback,
        lists: Arc<Lists>,
    ) -> std::io::Result<Arc<Self>> {
        let in_ticks = |limit: Duration| {
            u32::try_from(limit.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1)
        };
        let (limit_in_ticks, waiting) = (limit.map(in_ticks), Mutex::default());
        let watch = Arc::new(Self { limit: limit_in_ticks, fallback, waiting, lists });
        if limit.is_some() {
            let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
            if !watched.ticking {
                std::thread::Builder::new().name("typed-events".into()).spawn(tick)?;
                watched.ticking = true;
            }
            watched.buses.push(Arc::downgrade(&watch));
        }
        Ok(watch)
    }

    /// Lists handlers of an event that wait.
    pub(crate) fn begin(self: &Arc<Self>, record: Record, handlers: Vec<WaitingHandler>) -> SlowGuard {
        self.show(record, handlers, true)
    }

    /// Names the handler that was called since the last lap, if it was slow.
    pub(crate) fn lap(&self, calling: &mut Calling, handler: &Route, event: &str) {
        let (before, took) = calling.lap();
        if self.limit.is_some_and(|limit| took >= limit) && calling.name(handler, before) {
            self.warn(handler.name(), event, took, BLOCKS);
        }
    }

    /// Lists a handler that waits on its own account.
    pub(crate) fn begin_alone(self: &Arc<Self>, record: Record, handler: Route) -> SlowGuard {
        self.show(record, vec![WaitingHandler::new(handler)], false)
    }

    fn show(self: &Arc<Self>, record: Record, handlers: Vec<WaitingHandler>, is_emit: bool) -> SlowGuard {
        // One that waits alone is polled by who lists it.
        let has_begun = AtomicBool::new(!is_emit);
        let waiting = Arc::new(Waiting { record, since: ticks(), handlers, is_emit, has_begun });
        self.lock().insert(waiting.address(), Arc::clone(&waiting));
        SlowGuard { watch: Arc::clone(self), waiting }
    }

    /// Each handler that waits or blocks a thread, with its event, in a fixed order; and how many places in flight
    /// that explains at most.
    pub(crate) fn describe(&self) -> (Vec<String>, usize) {
        let calls: Vec<_> = calls().into_iter().map(|(_, seen)| seen.callee).collect();
        let listed = self.listed();
        let (mut handlers, mut locations) = (Vec::new(), 0);
        for emit in &listed.emits {
            locations += usize::from(!listed.is_awaited(emit));
            for handler in emit.undone().filter(|handler| !listed.is_called_for(emit, handler)) {
                let blocks = calls.contains(&handler.number);
                locations += if blocks { PLACES - 1 } else { 0 };
                handlers.push(described(&handler.route, emit.event(), blocks));
            }
        }
        for (list, index, event) in calls.iter().filter_map(|callee| self.lists.find(*callee)) {
            locations += PLACES;
            handlers.push(described(&list.entries[index].route, &event, true));
            // Perhaps the last owner of a closure that was removed meanwhile.
            catch_panic(|| drop(list));
        }
        handlers.sort_unstable();
        handlers.dedup();
        (handlers, locations)
    }

    fn listed(&self) -> Listed {
        let emits: Vec<_> = self.lock().values().cloned().collect();
        let is_replay = |emit: &&Arc<Waiting>| {
            !emit.is_emit
                && emit.handlers.iter().any(|handler| handler.route.registration.rendezvous().is_some())
        };
        let replays = emits.iter().filter(is_replay).cloned().collect();
        Listed { emits, replays }
    }

    /// Warns of handlers that block their threads.
    fn warn_of_running(&self, running: &[Running]) {
        let Some(limit) = self.limit else { return };
        for Running { thread, seen } in running {
            let took = ticks_since(seen.since);
            if took >= limit
                && let Some((list, index, event)) = self.lists.find(seen.callee)
                && thread.name(*seen)
            {
                self.warn(list.entries[index].route.name(), &event, took, BLOCKS);
            }
        }
    }

    fn warn_of_waiting(&self, running: &[Running]) {
        let Some(limit) = self.limit else { return };
        let listed = self.listed();
        let slow = |emit: &&Arc<Waiting>| ticks().wrapping_sub(emit.since) >= limit;
        for emit in listed.emits.iter().filter(slow) {
            let blocking = emit.undone().find(|handler| handler.is_called_in(running));
            let has_begun = emit.has_begun.load(Ordering::Relaxed);
            if blocking.is_none() && !has_begun && !running.is_empty() {
                // Another handler blocks the thread on which these would go on.
                continue;
            }
            let more = match (blocking, has_begun) {
                (Some(_), _) => BLOCKS,
                (None, true) => "and is still running",
                (None, false) => "and waits for its runtime, whose threads are blocked or busy",
            };
            // The others of the emit can't go on meanwhile.
            let to_name =
                emit.undone().filter(|handler| blocking.is_none_or(|one| std::ptr::eq(*handler, one)));
            for handler in to_name.filter(|handler| !handler.warned.swap(true, Ordering::Relaxed)) {
                let took = ticks().wrapping_sub(emit.since);
                match handler.route.registration.rendezvous().filter(|_| emit.is_emit) {
                    None => self.warn(handler.route.name(), emit.event(), took, more),
                    // The call that the emit waits for is named itself.
                    Some(_) if listed.is_called_for(emit, handler) => {}
                    Some(rendezvous) if rendezvous.tell_slow() => {
                        self.warn(handler.route.name(), emit.event(), took, NOT_CALLED);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn warn(&self, handler: &str, event: &str, ticks: u32, more: &str) {
        let seconds = f64::from(ticks) * TICK.as_secs_f64();
        self.fallback.warning(format_args!("handler {handler} has taken {seconds:.1} s for {event} {more}"));
    }

    fn lock(&self) -> MutexGuard<'_, ByAddress> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most places in flight that one emit has while it calls a handler: its own, that of what goes on, and the list
/// of handlers.
const PLACES: usize = 3;

/// The emits and handlers that wait.
struct Listed {
    emits: Vec<Arc<Waiting>>,
    /// Those of them that are calls of replays.
    replays: Vec<Arc<Waiting>>,
}

impl Listed {
    /// Whether a handler stands for the turn of an emit at a replay whose handler is called, and listed itself.
    fn is_called_for(&self, emit: &Waiting, handler: &WaitingHandler) -> bool {
        let is_same = |call: &WaitingHandler| call.route.is_of(&handler.route.registration);
        emit.is_emit && self.replays.iter().any(|call| call.handlers.iter().any(is_same))
    }

    /// Whether an emit that is listed itself waits for this call of a replay.
    fn is_awaited(&self, call: &Waiting) -> bool {
        let waits = |emit: &Arc<Waiting>| {
            emit.is_emit
                && emit.record.id() == call.record.id()
                && emit.undone().any(|meeting| {
                    call.handlers.iter().any(|one| meeting.route.is_of(&one.route.registration))
                })
        };
        !call.is_emit
            && call.handlers.iter().any(|one| one.route.registration.rendezvous().is_some())
            && self.emits.iter().any(waits)
    }
}

fn described(route: &Route, event: &str, blocks: bool) -> String {
    let more = if blocks { ", which blocks its thread" } else { "" };
    format!("handler {} on {event}{more}", route.name())
}

/// What is said of a handler of a replay that is not called though emits wait for it.
const NOT_CALLED: &str = "and waits for its runtime, or for events before it";

/// What is said of a handler that blocks its thread.
const BLOCKS: &str = "without waiting: it blocks its thread";

impl Waiting {
    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn event(&self) -> &str {
        self.record.name()
    }

    fn undone(&self) -> impl Iterator<Item = &WaitingHandler> {
        self.handlers.iter().filter(|handler| !handler.done.load(Ordering::Acquire))
    }
}

impl SlowGuard {
    pub(crate) fn event(&self) -> &str {
        self.waiting.event()
    }

    pub(crate) fn record(&self) -> &Record {
        &self.waiting.record
    }

    /// Notes that the task of these handlers is polled.
    pub(crate) fn begin(&self) {
        self.waiting.has_begun.store(true, Ordering::Relaxed);
    }

    /// Runs the one handler that is listed, and says so while it is polled.
    pub(crate) async fn polling<F: Future>(&self, handled: F) -> F::Output {
        let number = self.waiting.handlers[0].number;
        let mut handled = pin!(handled);
        std::future::poll_fn(|cx| {
            let _calling = Calling::polling(number);
            handled.as_mut().poll(cx)
        })
        .await
    }

    /// The handlers that are not done.
    pub(crate) fn undone(&self) -> impl Iterator<Item = &Route> {
        self.waiting.undone().map(|handler| &handler.route)
    }

    /// Notes that one of the listed handlers is done, and says which that is.
    pub(crate) fn finish(&self, listed: usize) -> &Route {
        let handler = &self.waiting.handlers[listed];
        handler.done.store(true, Ordering::Release);
        &handler.route
    }
}

impl Drop for SlowGuard {
    fn drop(&mut self) {
        let ended = self.watch.lock().remove(&self.waiting.address());
        // Outside of the lock: it may be the last owner of an event.
        drop(ended);
    }
}
