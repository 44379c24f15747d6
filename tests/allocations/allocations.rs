//! How often each kind of emit allocates.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::runtime::{Builder, Runtime};
use typed_events::{Bus, BusBuilder, Record, event};

#[event("allocations.counted")]
#[derive(Copy)]
pub struct Counted {
    pub a: u64,
    pub b: u64,
}

static SUM: AtomicU64 = AtomicU64::new(0);

const EMITS: u64 = 100;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns the allocations per emit on the emitting thread.
fn count(builder: BusBuilder, subscribe: impl Fn(&Bus)) -> f64 {
    let runtime = runtime();
    let bus = runtime.block_on(builder.quiet().build()).unwrap();
    subscribe(&bus);
    let emit = || {
        runtime.block_on(async {
            for a in 0..EMITS {
                bus.emit(Counted { a, b: 1 }).await.unwrap();
            }
        });
    };
    // Warm up until the history is full and all collections have grown.
    (0..11).for_each(|_| emit());
    allocation_counter::measure(emit).count_total as f64 / EMITS as f64
}

fn sync(bus: &Bus) {
    for _ in 0..8 {
        bus.on(|event: &Counted| {
            SUM.fetch_add(event.b, Relaxed);
        });
    }
}

fn ready(bus: &Bus) {
    for _ in 0..8 {
        bus.on(|event: &Counted| {
            let b = event.b;
            async move {
                SUM.fetch_add(b, Relaxed);
            }
        });
    }
}

fn yields(bus: &Bus) {
    for _ in 0..8 {
        bus.on(|event: &Counted| {
            let b = event.b;
            async move {
                tokio::task::yield_now().await;
                SUM.fetch_add(b, Relaxed);
            }
        });
    }
}

fn records(bus: &Bus) {
    bus.pattern("*")
        .on(|record: &Record| {
            SUM.fetch_add(record.get::<Counted>().map_or(0, |event| event.b), Relaxed);
        })
        .unwrap();
}

#[test]
fn an_emit_allocates_as_often_as_it_says() {
    let off = || Bus::builder().history(0);
    let on = || Bus::builder().history(1000);
    let mut failed = false;
    for (what, allocations, expected) in [
        ("history off, no handler", count(off(), |_| ()), 0.0),
        ("history off, 8 sync handlers", count(off(), sync), 0.0),
        ("history off, a record handler", count(off(), records), 1.0),
        ("history on, no handler", count(on(), |_| ()), 1.0),
        ("history on, 8 sync handlers", count(on(), sync), 1.0),
        ("history on, 8 async handlers that are ready", count(on(), ready), 9.0),
        ("history on, 8 async handlers that yield", count(on(), yields), 25.0),
    ] {
        println!("{what}: {allocations}, expected {expected}");
        // Ignore collections that grow only sometimes.
        failed |= (allocations - expected).abs() > 0.1;
    }
    assert!(!failed);
}
