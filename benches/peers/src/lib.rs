//! Shared by the benches: the event, the handlers' work, and measuring.
//!
//! All cases of a table run in one process and on one thread, in turns of about a millisecond each. A figure is the
//! median over the turns. Absolute times mean little on a shared machine, but ratios within one run are comparable. At
//! the end, each handler must have run for each event.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use typed_events::event;

/// The event that is emitted: 16 bytes.
#[event("bench.sixteen")]
#[derive(Copy)]
pub struct Sixteen {
    pub a: u64,
    pub b: u64,
}

/// Returns an event with fields that the optimiser knows nothing about. The fields are opaque rather than the whole
/// event, so that each side can build the event in its final location without a copy.
#[inline(always)]
pub fn sixteen(n: u64) -> Sixteen {
    Sixteen { a: black_box(n), b: black_box(1) }
}

/// The most handlers of a case.
pub const MAX_HANDLERS: usize = 64;

/// One counter per handler.
pub type Slots = &'static [AtomicU64; MAX_HANDLERS];

/// Creates slots that live as long as the process.
pub fn slots() -> Slots {
    Box::leak(Box::new([const { AtomicU64::new(0) }; MAX_HANDLERS]))
}

/// The work of handler `N`. The constant makes the code of each handler different, so that the compiler does not merge
/// them and calls go to different addresses.
#[inline(always)]
pub fn work<const N: usize>(slots: Slots, b: u64) {
    slots[N].store(slots[N].load(Relaxed) + b, Relaxed);
}

/// A bus or list to which handlers can be added.
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

/// Returns how long some work takes.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// A measured case.
pub struct Case {
    /// The row of the table.
    pub name: String,
    /// The column of the table.
    pub handlers: usize,
    run: Box<dyn FnMut(u64) -> Duration>,
    slots: Option<Slots>,
    emits: u64,
    nanos: Vec<f64>,
}

impl Case {
    /// Creates a case from a function that runs `n` emits and returns how long they took.
    pub fn new(
        name: impl Into<String>,
        handlers: usize,
        slots: Slots,
        run: impl FnMut(u64) -> Duration + 'static,
    ) -> Self {
        let name = name.into();
        Self { name, handlers, run: Box::new(run), slots: Some(slots), emits: 0, nanos: Vec::new() }
    }

    /// Creates a case whose handlers are not counted.
    pub fn bare(name: impl Into<String>, run: impl FnMut(u64) -> Duration + 'static) -> Self {
        Self { name: name.into(), handlers: 0, run: Box::new(run), slots: None, emits: 0, nanos: Vec::new() }
    }

    /// Runs `n` emits, and stores the average time of one.
    fn measure(&mut self, n: u64) {
        let took = (self.run)(n);
        self.emits += n;
        self.nanos.push(took.as_secs_f64() * 1e9 / n as f64);
    }

    /// Returns the median nanoseconds per emit.
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

/// Measures all cases, in turns of about a millisecond each.
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
        // The first turn was the warm-up.
        case.nanos.remove(0);
        case.check();
    }
}

/// Returns the median.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
