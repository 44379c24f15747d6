//! What the benches share: the event, the handlers' work, and how cases are measured.
//!
//! All cases of a table run in one process, in turns of about a millisecond each, on one thread; a
//! figure is the median over the turns. Absolute times mean little on a shared machine, ratios within
//! one run mean something. At the end every handler must have run for every event.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use typed_events::event;

/// What is emitted: 16 bytes.
#[event("bench.sixteen")]
#[derive(Copy)]
pub struct Sixteen {
    pub a: u64,
    pub b: u64,
}

/// An event the optimiser knows nothing about. Its fields are opaque, not the whole: so each side builds it
/// where it wants it, and none pays for a copy of what was just written in pieces.
#[inline(always)]
pub fn sixteen(n: u64) -> Sixteen {
    Sixteen { a: black_box(n), b: black_box(1) }
}

/// The most handlers a case may have.
pub const MAX_HANDLERS: usize = 64;

/// Each handler adds to a slot of its own.
pub type Slots = &'static [AtomicU64; MAX_HANDLERS];

/// Slots that live as long as the process.
pub fn slots() -> Slots {
    Box::leak(Box::new([const { AtomicU64::new(0) }; MAX_HANDLERS]))
}

/// What handler `N` does. The constant makes each handler's code its own, so that none of them is
/// merged with another, and calls go to different places.
#[inline(always)]
pub fn work<const N: usize>(slots: Slots, b: u64) {
    slots[N].store(slots[N].load(Relaxed) + b, Relaxed);
}

/// Somewhere that handlers can be added to.
pub trait Subscribe {
    /// Adds handler `N`.
    fn add<const N: usize>(&mut self);
}

/// Adds the first `n` handlers.
pub fn subscribe(to: &mut impl Subscribe, n: usize) {
    macro_rules! add {
        ($($ten:literal)+) => { $(
            add!(@ $ten * 8); add!(@ $ten * 8 + 1); add!(@ $ten * 8 + 2); add!(@ $ten * 8 + 3);
            add!(@ $ten * 8 + 4); add!(@ $ten * 8 + 5); add!(@ $ten * 8 + 6); add!(@ $ten * 8 + 7);
        )+ };
        (@ $index:expr) => { if $index < n { to.add::<{ $index }>(); } };
    }
    assert!(n <= MAX_HANDLERS);
    add!(0 1 2 3 4 5 6 7);
}

/// How long some work takes.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// One thing that is measured.
pub struct Case {
    /// The row it stands in.
    pub name: String,
    /// The column it stands in.
    pub handlers: usize,
    run: Box<dyn FnMut(u64) -> Duration>,
    slots: Option<Slots>,
    emits: u64,
    nanos: Vec<f64>,
}

impl Case {
    /// A case that runs `n` emits and says how long they took.
    pub fn new(
        name: impl Into<String>,
        handlers: usize,
        slots: Slots,
        run: impl FnMut(u64) -> Duration + 'static,
    ) -> Self {
        let name = name.into();
        Self { name, handlers, run: Box::new(run), slots: Some(slots), emits: 0, nanos: Vec::new() }
    }

    /// A case without handlers that are counted.
    pub fn bare(name: impl Into<String>, run: impl FnMut(u64) -> Duration + 'static) -> Self {
        Self { name: name.into(), handlers: 0, run: Box::new(run), slots: None, emits: 0, nanos: Vec::new() }
    }

    /// Runs `n` emits, and notes how long each took.
    fn measure(&mut self, n: u64) {
        let took = (self.run)(n);
        self.emits += n;
        self.nanos.push(took.as_secs_f64() * 1e9 / n as f64);
    }

    /// Nanoseconds per emit.
    pub fn median(&self) -> f64 {
        median(self.nanos.clone())
    }

    fn check(&self) {
        for (index, slot) in self.slots.iter().flat_map(|slots| slots.iter()).enumerate() {
            let expected = if index < self.handlers { self.emits } else { 0 };
            assert_eq!(slot.load(Relaxed), expected, "{} {}: handler {index}", self.name, self.handlers);
        }
    }
}

/// Measures all cases in turns of about a millisecond each.
pub fn measure(cases: &mut [Case], rounds: usize) {
    for case in cases.iter_mut() {
        case.measure(64);
    }
    for _ in 0..rounds {
        for case in cases.iter_mut() {
            let guess = case.nanos.last().copied().unwrap_or(1_000.0).max(1.0);
            case.measure(((1e6 / guess) as u64).clamp(32, 1_000_000));
        }
    }
    for case in cases {
        // The first turn warms up.
        case.nanos.remove(0);
        case.check();
    }
}

/// The middle of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
