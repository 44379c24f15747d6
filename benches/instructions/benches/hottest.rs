//! Counts the instructions of the six hottest paths with valgrind: `benches/instructions/run`.
//!
//! Each bench runs its path [`TIMES`] times after a warm-up. The limits are about a tenth above the count at the last
//! deliberate change of the path. A path that exceeds its limit fails.

use std::hint::black_box;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use tokio::runtime::{Builder, Runtime};
use typed_events::{Bus, BusBuilder, Record, event};

/// Number of repetitions, so that the code around the path hardly counts.
const TIMES: u64 = 1_000;

#[event("instructions.sixteen")]
#[derive(Copy)]
pub struct Sixteen {
    pub a: u64,
    pub b: u64,
}

struct Ready {
    runtime: Runtime,
    bus: Bus,
}

impl Ready {
    /// Builds a bus with the given number of handlers, and warms it up.
    fn new<K>(builder: BusBuilder, handlers: usize, subscribe: fn(&Bus) -> K) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let bus = runtime.block_on(builder.quiet().accept_undeclared().build()).unwrap();
        (0..handlers).for_each(|_| drop(subscribe(&bus)));
        let ready = Self { runtime, bus };
        // Fills the history.
        emit(&ready);
        emit(&ready);
        ready
    }
}

fn emit(ready: &Ready) {
    ready.runtime.block_on(async {
        for a in 0..TIMES {
            ready.bus.emit(Sixteen { a, b: 1 }).await.unwrap();
        }
    });
}

/// A separate function, like `emit`: an async block in the bench itself would not be counted as part of it.
fn ask(ready: &Ready) {
    ready.runtime.block_on(async {
        for _ in 0..TIMES {
            let records = ready.bus.history("instructions.sixteen").limit(10).await.unwrap();
            assert_eq!(records.len(), 10);
        }
    });
}

fn sync(bus: &Bus) -> typed_events::Subscription {
    bus.on(|event: &Sixteen| {
        black_box(event.b);
    })
}

fn asynchronous(bus: &Bus) -> typed_events::Subscription {
    bus.on(|event: &Sixteen| {
        let b = event.b;
        async move {
            black_box(b);
        }
    })
}

fn off(handlers: usize) -> Ready {
    Ready::new(Bus::builder().history(0), handlers, sync)
}

fn by_default(handlers: usize) -> Ready {
    Ready::new(Bus::builder(), handlers, sync)
}

fn awaited(handlers: usize) -> Ready {
    Ready::new(Bus::builder(), handlers, asynchronous)
}

fn named(handlers: usize) -> Ready {
    let on_names = |bus: &Bus| bus.pattern("named.*").on(|_: &Record| ()).unwrap();
    let ready = Ready::new(Bus::builder().history(0), handlers, on_names);
    (0..3).for_each(|_| assert_eq!(ready.bus.handler_count("named.at.run-time"), handlers));
    ready
}

fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions * TIMES)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

#[library_benchmark(config = limit(370))]
#[bench::a(off(1))]
fn emit_history_off_1_handler(ready: Ready) -> Ready {
    emit(&ready);
    ready
}

#[library_benchmark(config = limit(2_680))]
#[bench::a(off(64))]
fn emit_history_off_64_handlers(ready: Ready) -> Ready {
    emit(&ready);
    ready
}

#[library_benchmark(config = limit(1_350))]
#[bench::a(by_default(1))]
fn emit_by_default_1_handler(ready: Ready) -> Ready {
    emit(&ready);
    ready
}

#[library_benchmark(config = limit(3_250))]
#[bench::a(awaited(8))]
fn emit_by_default_8_async_handlers(ready: Ready) -> Ready {
    emit(&ready);
    ready
}

#[library_benchmark(config = limit(300))]
#[bench::a(named(1))]
fn look_up_a_name(ready: Ready) -> Ready {
    for _ in 0..TIMES {
        black_box(ready.bus.handler_count(black_box("named.at.run-time")));
    }
    ready
}

#[library_benchmark(config = limit(5_300))]
#[bench::a(by_default(1))]
fn ask_for_the_last_10(ready: Ready) -> Ready {
    ask(&ready);
    ready
}

library_benchmark_group!(
    name = hottest,
    benchmarks = [
        emit_history_off_1_handler,
        emit_history_off_64_handlers,
        emit_by_default_1_handler,
        emit_by_default_8_async_handlers,
        look_up_a_name,
        ask_for_the_last_10
    ]
);
main!(library_benchmark_groups = hottest);
