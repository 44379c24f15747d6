//! The coarse clock that names slow handlers, and the list of those that wait.
//!
//! One thread per process ticks every 100 ms while a bus exists. Handlers are timed by comparing
//! ticks, so that a call costs a load and no clock read. A handler that waits is named while it
//! waits; one that blocks its thread is named when it returns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use slab::Slab;

use super::report::Fallback;
use super::routes::Route;
use crate::contain::contained;
use crate::record::Record;

const TICK: Duration = Duration::from_millis(100);

/// What a running emit looks at behind each handler: the ticks since the first bus was built, in the upper
/// half, and how often a list of handlers was replaced, in the lower.
static NEWS: AtomicU64 = AtomicU64::new(0);
static WATCHED: Mutex<Watched> = Mutex::new(Watched { buses: Vec::new(), ticking: false });

struct Watched {
    buses: Vec<Weak<Watch>>,
    ticking: bool,
}

const ONE_TICK: u64 = 1 << 32;

/// Ticks since the first bus was built; wraps around.
fn ticks() -> u32 {
    (NEWS.load(Ordering::Relaxed) / ONE_TICK) as u32
}

/// Tells running emits that a list was replaced, which they are to notice behind the next handler.
pub(crate) fn tell_replaced() {
    NEWS.fetch_add(1, Ordering::Release);
}

fn tick() {
    loop {
        std::thread::sleep(TICK);
        NEWS.fetch_add(ONE_TICK, Ordering::Relaxed);
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.buses.retain(|bus| bus.strong_count() > 0);
        if watched.buses.is_empty() {
            watched.ticking = false;
            return;
        }
        let buses: Vec<_> = watched.buses.iter().filter_map(Weak::upgrade).collect();
        drop(watched);
        for bus in buses {
            // The subscriber that gets the warning is a user's code; the clock goes on.
            contained(|| bus.warn_of_waiting());
        }
    }
}

/// Watches the handlers of one bus.
pub(crate) struct Watch {
    /// When a handler is slow, in ticks; `None` for never.
    limit: Option<u32>,
    fallback: Fallback,
    /// The emits with handlers that wait.
    waiting: Mutex<Slab<Arc<Waiting>>>,
}

/// An emit with handlers that wait.
struct Waiting {
    record: Record,
    since: u32,
    handlers: Vec<WaitingHandler>,
    /// Whether it is counted as in flight: not a replay, whose emits are.
    is_emit: bool,
}

/// One of an emit's handlers that wait.
pub(crate) struct WaitingHandler {
    route: Route,
    done: AtomicBool,
    warned: AtomicBool,
}

impl WaitingHandler {
    pub(crate) fn new(route: Route) -> Self {
        Self { route, done: AtomicBool::new(false), warned: AtomicBool::new(false) }
    }
}

/// Keeps an emit listed as waiting.
pub(crate) struct Shown {
    watch: Arc<Watch>,
    key: usize,
    waiting: Arc<Waiting>,
}

impl Watch {
    /// Starts to watch, for as long as this exists.
    ///
    /// # Errors
    ///
    /// The operating system refuses a thread.
    pub(crate) fn start(limit: Option<Duration>, fallback: Fallback) -> std::io::Result<Arc<Self>> {
        let in_ticks = |limit: Duration| {
            u32::try_from(limit.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1)
        };
        let watch = Arc::new(Self { limit: limit.map(in_ticks), fallback, waiting: Mutex::new(Slab::new()) });
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
    pub(crate) fn begin(self: &Arc<Self>, record: Record, handlers: Vec<WaitingHandler>) -> Shown {
        self.show(record, handlers, true)
    }

    /// Lists a handler that waits on its own account.
    pub(crate) fn begin_alone(self: &Arc<Self>, record: Record, handler: Route) -> Shown {
        self.show(record, vec![WaitingHandler::new(handler)], false)
    }

    fn show(self: &Arc<Self>, record: Record, handlers: Vec<WaitingHandler>, is_emit: bool) -> Shown {
        let waiting = Arc::new(Waiting { record, since: ticks(), handlers, is_emit });
        let key = self.lock().insert(Arc::clone(&waiting));
        Shown { watch: Arc::clone(self), key, waiting }
    }

    /// Each handler that waits, with its event, in a fixed order; and how many emits they belong to.
    pub(crate) fn describe(&self) -> (Vec<String>, usize) {
        let emits: Vec<_> = self.lock().iter().map(|(_, emit)| Arc::clone(emit)).collect();
        let undone = emits.iter().flat_map(|emit| emit.undone().map(move |handler| (emit, handler)));
        let mut handlers: Vec<_> = undone
            .map(|(emit, handler)| format!("handler {} on {}", handler.route.name(), emit.event()))
            .collect();
        handlers.sort_unstable();
        handlers.dedup();
        (handlers, emits.iter().filter(|emit| emit.is_emit).count())
    }

    fn warn_of_waiting(&self) {
        let Some(limit) = self.limit else { return };
        let slow = |emit: &&Arc<Waiting>| ticks().wrapping_sub(emit.since) >= limit;
        let emits: Vec<_> = self.lock().iter().map(|(_, emit)| emit).filter(slow).cloned().collect();
        for emit in &emits {
            for handler in emit.undone().filter(|handler| !handler.warned.swap(true, Ordering::Relaxed)) {
                let took = ticks().wrapping_sub(emit.since);
                self.warn(handler.route.name(), emit.event(), took, "and is still running");
            }
        }
    }

    fn warn(&self, handler: &str, event: &str, ticks: u32, more: &str) {
        let seconds = f64::from(ticks) * TICK.as_secs_f64();
        self.fallback.warning(format_args!("handler {handler} has taken {seconds:.1} s for {event} {more}"));
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn event(&self) -> &str {
        self.record.name()
    }

    fn undone(&self) -> impl Iterator<Item = &WaitingHandler> {
        self.handlers.iter().filter(|handler| !handler.done.load(Ordering::Acquire))
    }
}

impl Shown {
    pub(crate) fn event(&self) -> &str {
        self.waiting.event()
    }

    pub(crate) fn record(&self) -> &Record {
        &self.waiting.record
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

impl Drop for Shown {
    fn drop(&mut self) {
        let ended = self.watch.lock().try_remove(self.key);
        // Outside of the lock: it may be the last owner of an event.
        drop(ended);
    }
}

/// What an emit knows of the [`NEWS`]; times the handlers that are called in turn.
pub(crate) struct Laps {
    seen: u64,
}

impl Laps {
    #[inline]
    pub(crate) fn start() -> Self {
        Self { seen: NEWS.load(Ordering::Acquire) }
    }

    /// Whether the clock has ticked, or any list was replaced, since the last lap.
    #[inline]
    pub(crate) fn is_news(&self) -> bool {
        NEWS.load(Ordering::Acquire) != self.seen
    }

    /// Names the handler that was called since the last lap, if it was slow.
    pub(crate) fn lap(&mut self, watch: &Watch, handler: &Route, event: &str) {
        let now = NEWS.load(Ordering::Acquire);
        let before = std::mem::replace(&mut self.seen, now);
        let took = ((now / ONE_TICK) as u32).wrapping_sub((before / ONE_TICK) as u32);
        if watch.limit.is_some_and(|limit| took >= limit) {
            watch.warn(handler.name(), event, took, "without waiting: it blocks its thread");
        }
    }
}
