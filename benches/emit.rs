//! What an emit costs: `cargo bench`. Prints the Markdown tables of the README.
//!
//! All cases run in one process, in turn, many times; the figures are medians of nanoseconds per
//! emit. Absolute times mean little on a shared machine, so each is also given as a ratio to a
//! floor measured in the same turns: a loop over the same work in a `Vec<Box<dyn Fn>>`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use typed_events::{Bus, BusBuilder, Record, event};

const ROUNDS: usize = 31;
const HANDLERS: [usize; 4] = [0, 1, 8, 64];
const UNRELATED: [usize; 4] = [0, 10, 1_000, 100_000];

#[event("bench.sixteen")]
pub struct Sixteen {
    pub a: u64,
    pub b: u64,
}

/// One thing that is measured: runs `n` emits and says how long they took.
struct Case {
    name: String,
    handlers: usize,
    run: Box<dyn FnMut(u64) -> Duration>,
    slots: Slots,
    emits: u64,
    nanos: Vec<f64>,
}

/// Each handler adds to a slot of its own: at the end all must have run.
type Slots = Arc<Vec<AtomicU64>>;

fn slots(handlers: usize) -> Slots {
    Arc::new((0..handlers).map(|_| AtomicU64::new(0)).collect())
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// What every handler does: cheap, but not nothing.
fn add(slot: &AtomicU64, event: &Sixteen) {
    slot.store(slot.load(Relaxed) + event.b, Relaxed);
}

fn event(n: u64) -> Sixteen {
    black_box(Sixteen { a: n, b: 1 })
}

type Handler = Box<dyn Fn(&Sixteen)>;

/// The floor: the same closures in a vector, called in turn.
fn floor(handlers: usize) -> Case {
    let slots = slots(handlers);
    let list: Vec<Handler> = (0..handlers)
        .map(|i| {
            let slots = Arc::clone(&slots);
            Box::new(move |event: &Sixteen| add(&slots[i], event)) as _
        })
        .collect();
    let run = move |n| {
        timed(|| {
            for i in 0..n {
                let event = event(i);
                black_box(&list).iter().for_each(|handler| handler(&event));
            }
        })
    };
    Case::new("loop over `Vec<Box<dyn Fn>>`", handlers, slots, run)
}

/// How the handlers of a case behave.
#[derive(Clone, Copy)]
enum Kind {
    Sync,
    AsyncReady,
    AsyncYields,
}

fn emits(
    name: &str,
    runtime: &Arc<Runtime>,
    builder: BusBuilder,
    kind: Kind,
    handlers: usize,
    unrelated: usize,
) -> Case {
    let slots = slots(handlers);
    let bus = runtime.block_on(builder.build()).unwrap();
    for i in 0..unrelated {
        // Half of them wildcards, as many names as patterns.
        let pattern = if i % 2 == 0 { format!("other.n{i}") } else { format!("other.n{i}.*") };
        bus.on_pattern(&pattern, |_: &Record| ()).unwrap();
    }
    for i in 0..handlers {
        let slots = Arc::clone(&slots);
        match kind {
            Kind::Sync => drop(bus.on(move |event: &Sixteen| add(&slots[i], event))),
            Kind::AsyncReady | Kind::AsyncYields => drop(bus.on(move |event: Arc<Sixteen>| {
                let slots = Arc::clone(&slots);
                async move {
                    if matches!(kind, Kind::AsyncYields) {
                        tokio::task::yield_now().await;
                    }
                    add(&slots[i], &event);
                }
            })),
        }
    }
    let runtime = Arc::clone(runtime);
    let run = move |n| {
        timed(|| {
            runtime.block_on(async {
                for i in 0..n {
                    bus.emit(event(i)).await.unwrap();
                }
            })
        })
    };
    Case::new(name, handlers, slots, run)
}

impl Case {
    fn new(
        name: impl Into<String>,
        handlers: usize,
        slots: Slots,
        run: impl FnMut(u64) -> Duration + 'static,
    ) -> Self {
        Self { name: name.into(), handlers, run: Box::new(run), slots, emits: 0, nanos: Vec::new() }
    }

    fn measure(&mut self, n: u64) {
        let took = (self.run)(n);
        self.emits += n;
        self.nanos.push(took.as_secs_f64() * 1e9 / n as f64);
    }

    fn median(&mut self) -> f64 {
        self.nanos.sort_by(f64::total_cmp);
        self.nanos[self.nanos.len() / 2]
    }

    fn check(&self) {
        for slot in self.slots.iter() {
            assert_eq!(slot.load(Relaxed), self.emits, "{}: every handler ran for every emit", self.name);
        }
    }
}

/// Measures all cases in turns of about a millisecond each.
fn measure(cases: &mut [Case]) {
    for case in cases.iter_mut() {
        case.measure(64);
        case.nanos.clear();
    }
    for _ in 0..ROUNDS {
        for case in cases.iter_mut() {
            let guess = case.nanos.last().copied().unwrap_or(1_000.0).max(1.0);
            case.measure(((1e6 / guess) as u64).clamp(32, 1_000_000));
        }
    }
    cases.iter().for_each(Case::check);
}

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let quick = std::env::args().any(|argument| argument == "--test");
    let runtime = Arc::new(Builder::new_current_thread().enable_all().build().unwrap());

    let mut cases = Vec::new();
    for handlers in HANDLERS {
        let off = || Bus::builder().quiet().history(0);
        cases.push(floor(handlers));
        cases.push(emits("emit, history off, sync", &runtime, off(), Kind::Sync, handlers, 0));
        cases.push(emits("emit, sync", &runtime, Bus::builder().quiet(), Kind::Sync, handlers, 0));
        cases.push(emits(
            "emit, async, ready at once",
            &runtime,
            Bus::builder(),
            Kind::AsyncReady,
            handlers,
            0,
        ));
        cases.push(emits(
            "emit, async, yields once",
            &runtime,
            Bus::builder(),
            Kind::AsyncYields,
            handlers,
            0,
        ));
    }
    measure(&mut cases);
    print_handlers(&mut cases);

    let mut cases: Vec<_> = UNRELATED[..if quick { 3 } else { 4 }]
        .iter()
        .map(|unrelated| {
            let builder = Bus::builder().quiet().history(0);
            emits(&unrelated.to_string(), &runtime, builder, Kind::Sync, 1, *unrelated)
        })
        .collect();
    measure(&mut cases);
    print_unrelated(&mut cases);
}

fn print_handlers(cases: &mut [Case]) {
    println!(
        "| ns per emit (ratio to the loop) | {} |",
        HANDLERS.map(|n| format!("{n} handler{}", if n == 1 { "" } else { "s" })).join(" | ")
    );
    println!("|---|{}", "---:|".repeat(HANDLERS.len()));
    let per_row = cases.len() / HANDLERS.len();
    for row in 0..per_row {
        let mut cells = Vec::new();
        for column in 0..HANDLERS.len() {
            let floor = cases[column * per_row].median();
            let case = &mut cases[column * per_row + row];
            assert_eq!(case.handlers, HANDLERS[column]);
            let median = case.median();
            let comparable = row > 0 && HANDLERS[column] > 0;
            cells.push(if comparable {
                format!("{median:.0} ({:.1}x)", median / floor)
            } else {
                format!("{median:.1}")
            });
        }
        println!("| {} | {} |", cases[row].name, cells.join(" | "));
    }
}

fn print_unrelated(cases: &mut [Case]) {
    let flat = cases[0].median();
    println!();
    println!("| unrelated patterns on the bus | ns per emit | ratio |");
    println!("|---:|---:|---:|");
    for case in cases {
        let median = case.median();
        println!("| {} | {median:.1} | {:.2}x |", case.name, median / flat);
    }
}
