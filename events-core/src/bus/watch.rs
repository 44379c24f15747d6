//! The coarse clock that names slow handlers, also those that never return.
//!
//! One thread per process ticks every 100 ms while a bus exists. Handlers are timed by comparing
//! ticks, so that a call costs two loads and no clock read.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::Inner;
use super::routes::Entry;
use crate::record::Record;

const TICK: Duration = Duration::from_millis(100);

static TICKS: AtomicU32 = AtomicU32::new(0);
static WATCHED: Mutex<Watched> = Mutex::new(Watched { buses: Vec::new(), ticking: false });

struct Watched {
    buses: Vec<Weak<Inner>>,
    ticking: bool,
}

/// Ticks since the first bus was built; wraps around.
fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// A duration in ticks, rounded up; at least one.
pub(crate) fn in_ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1)
}

/// Watches the handlers of a bus until the bus is gone.
///
/// # Errors
///
/// The operating system refuses a thread.
pub(crate) fn watch(bus: &Arc<Inner>) -> std::io::Result<()> {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.buses.push(Arc::downgrade(bus));
    if !watched.ticking {
        std::thread::Builder::new().name("typed-events".into()).spawn(tick)?;
        watched.ticking = true;
    }
    Ok(())
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
        // Outside of the lock: a bus that ends here runs its users' destructors.
        for bus in buses {
            bus.pending.warn_of_slow(&bus);
        }
    }
}

/// The emits whose handlers were still pending after their first poll.
#[derive(Default)]
pub(crate) struct PendingEmits(Mutex<Vec<Arc<PendingEmit>>>);

/// One such emit.
pub(crate) struct PendingEmit {
    record: Record,
    since: u32,
    handlers: Vec<PendingHandler>,
}

struct PendingHandler {
    entry: Entry,
    done: AtomicBool,
    warned: AtomicBool,
}

impl PendingEmits {
    pub(crate) fn insert(&self, emit: Arc<PendingEmit>) {
        self.lock().push(emit);
    }

    pub(crate) fn remove(&self, emit: &Arc<PendingEmit>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, emit));
    }

    /// Each handler that is not done, with its event.
    pub(crate) fn describe(&self) -> Vec<String> {
        let emits = self.lock();
        let undone = emits.iter().flat_map(|emit| emit.undone().map(move |handler| (emit, handler)));
        undone
            .map(|(emit, handler)| {
                format!("handler {} on {}", handler.entry.registration.name(), emit.record.name())
            })
            .collect()
    }

    fn warn_of_slow(&self, bus: &Inner) {
        let Some(limit) = bus.settings.slow_ticks else {
            return;
        };
        let emits = self.lock().clone();
        for emit in emits.iter().filter(|emit| ticks().wrapping_sub(emit.since) >= limit) {
            for handler in emit.undone().filter(|handler| !handler.warned.swap(true, Ordering::Relaxed)) {
                let name = handler.entry.registration.name();
                warn(bus, name, emit.record.name(), ticks().wrapping_sub(emit.since), "and is still running");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<PendingEmit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingEmit {
    pub(crate) fn new(record: Record, handlers: impl Iterator<Item = Entry>) -> Self {
        let handlers = handlers.map(|entry| PendingHandler {
            entry,
            done: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        });
        Self { record, since: ticks(), handlers: handlers.collect() }
    }

    pub(crate) fn event(&self) -> &str {
        self.record.name()
    }

    /// Notes that a handler is done, and says which.
    pub(crate) fn finish(&self, index: usize) -> &Entry {
        let handler = &self.handlers[index];
        handler.done.store(true, Ordering::Release);
        &handler.entry
    }

    fn undone(&self) -> impl Iterator<Item = &PendingHandler> {
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

    /// Names the handler that was called since the last lap, if it was slow.
    pub(crate) fn lap(&mut self, bus: &Inner, handler: &str, event: &str) {
        let now = ticks();
        if now == self.before {
            return;
        }
        let took = now.wrapping_sub(std::mem::replace(&mut self.before, now));
        if bus.settings.slow_ticks.is_some_and(|limit| took >= limit) {
            warn(bus, handler, event, took, "without waiting: it blocks its thread");
        }
    }
}

fn warn(bus: &Inner, handler: &str, event: &str, ticks: u32, more: &str) {
    let seconds = f64::from(ticks) * TICK.as_secs_f64();
    bus.settings
        .fallback
        .warning(format_args!("handler {handler} has taken {seconds:.1} s for {event} {more}"));
}
