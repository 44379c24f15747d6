//! The coarse clock that names slow handlers, and the list of those that wait.
//!
//! One thread per process ticks every 100 ms while a bus exists. Handlers are timed by comparing
//! ticks, so that a call costs a load and no clock read. A handler that waits is named while it
//! waits; one that blocks its thread is named when it returns.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::report::Fallback;
use super::routes::Entry;
use crate::contain::contained;
use crate::record::Record;

const TICK: Duration = Duration::from_millis(100);

static TICKS: AtomicU32 = AtomicU32::new(0);
static WATCHED: Mutex<Watched> = Mutex::new(Watched { buses: Vec::new(), ticking: false });

struct Watched {
    buses: Vec<Weak<Watch>>,
    ticking: bool,
}

/// Ticks since the first bus was built; wraps around.
fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

fn tick() {
    loop {
        std::thread::sleep(TICK);
        TICKS.fetch_add(1, Ordering::Relaxed);
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
    /// The emits with handlers that wait, by their address.
    waiting: Mutex<HashMap<usize, Arc<Waiting>>>,
}

/// An emit with handlers that wait, until it is dropped.
pub(crate) struct Waiting {
    record: Record,
    since: u32,
    handlers: Vec<WaitingHandler>,
    /// Whether it is counted as in flight: not a replay, whose emits are.
    is_emit: bool,
}

struct WaitingHandler {
    entry: Entry,
    done: AtomicBool,
    warned: AtomicBool,
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
        let watch = Arc::new(Self { limit: limit.map(in_ticks), fallback, waiting: Mutex::default() });
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

    /// Lists the handlers of an event that wait, until [`end`](Self::end).
    pub(crate) fn begin(&self, record: Record, handlers: impl Iterator<Item = Entry>) -> Arc<Waiting> {
        self.list(record, handlers, true)
    }

    /// Lists a handler that waits on its own account, until [`end`](Self::end).
    pub(crate) fn begin_alone(&self, record: Record, handler: Entry) -> Arc<Waiting> {
        self.list(record, std::iter::once(handler), false)
    }

    fn list(&self, record: Record, handlers: impl Iterator<Item = Entry>, is_emit: bool) -> Arc<Waiting> {
        let handlers = handlers.map(|entry| WaitingHandler {
            entry,
            done: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        });
        let waiting = Arc::new(Waiting { record, since: ticks(), handlers: handlers.collect(), is_emit });
        self.lock().insert(Arc::as_ptr(&waiting).addr(), Arc::clone(&waiting));
        waiting
    }

    pub(crate) fn end(&self, waiting: &Arc<Waiting>) {
        let ended = self.lock().remove(&Arc::as_ptr(waiting).addr());
        // Outside of the lock: it may be the last owner of an event.
        drop(ended);
    }

    /// Each handler that waits, with its event, in a fixed order; and how many emits they belong to.
    pub(crate) fn describe(&self) -> (Vec<String>, usize) {
        let emits: Vec<_> = self.lock().values().cloned().collect();
        let undone = emits.iter().flat_map(|emit| emit.undone().map(move |handler| (emit, handler)));
        let mut handlers: Vec<_> = undone
            .map(|(emit, handler)| format!("handler {} on {}", handler.entry.name(), emit.event()))
            .collect();
        handlers.sort();
        handlers.dedup();
        (handlers, emits.iter().filter(|emit| emit.is_emit).count())
    }

    fn warn_of_waiting(&self) {
        let Some(limit) = self.limit else { return };
        let slow = |emit: &&Arc<Waiting>| ticks().wrapping_sub(emit.since) >= limit;
        let emits: Vec<_> = self.lock().values().filter(slow).cloned().collect();
        for emit in &emits {
            for handler in emit.undone().filter(|handler| !handler.warned.swap(true, Ordering::Relaxed)) {
                let took = ticks().wrapping_sub(emit.since);
                self.warn(handler.entry.name(), emit.event(), took, "and is still running");
            }
        }
    }

    fn warn(&self, handler: &str, event: &str, ticks: u32, more: &str) {
        let seconds = f64::from(ticks) * TICK.as_secs_f64();
        self.fallback.warning(format_args!("handler {handler} has taken {seconds:.1} s for {event} {more}"));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    pub(crate) fn event(&self) -> &str {
        self.record.name()
    }

    /// Notes that a handler is done, and says which.
    pub(crate) fn finish(&self, index: usize) -> &Entry {
        let handler = &self.handlers[index];
        handler.done.store(true, Ordering::Release);
        &handler.entry
    }

    fn undone(&self) -> impl Iterator<Item = &WaitingHandler> {
        self.handlers.iter().filter(|handler| !handler.done.load(Ordering::Acquire))
    }
}

/// Times the handlers of one emit that are called in turn.
pub(crate) struct Laps {
    before: u32,
}

impl Laps {
    pub(crate) fn start() -> Self {
        Self { before: ticks() }
    }

    /// Whether the clock has ticked since the last lap.
    #[inline]
    pub(crate) fn is_late(&self) -> bool {
        ticks() != self.before
    }

    /// Names the handler that was called since the last lap, if it was slow.
    pub(crate) fn lap(&mut self, watch: &Watch, entry: &Entry, event: &str) {
        let now = ticks();
        let took = now.wrapping_sub(std::mem::replace(&mut self.before, now));
        if watch.limit.is_some_and(|limit| took >= limit) {
            watch.warn(entry.name(), event, took, "without waiting: it blocks its thread");
        }
    }
}
