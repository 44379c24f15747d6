//! The total cost of n handlers, guards and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bounds_tests::{bus, is_linear, runtime};
use tokio::runtime::Runtime;
use typed_events::{Bus, Record, Subscription, event};

#[event("cost.rung")]
pub struct Rung;

fn new_bus() -> (Runtime, Bus) {
    let runtime = runtime();
    let bus = bus(&runtime, Bus::builder().accept_undeclared());
    (runtime, bus)
}

fn subscriptions(bus: &Bus, n: usize) -> Vec<Subscription> {
    (0..n).map(|_| bus.on(|_: &Rung| ())).collect()
}

/// Regression: 8,000 `once` handlers took 6.6 s in one poll, because each copied the list of all others.
#[test]
fn m2_once_handlers_cost_what_they_are() {
    assert!(is_linear("once", |n| {
        let (runtime, bus) = new_bus();
        let calls = Arc::new(AtomicUsize::new(0));
        for _ in 0..n {
            let calls = Arc::clone(&calls);
            bus.once(move |_: &Rung| {
                calls.fetch_add(1, Relaxed);
            });
        }
        runtime.block_on(async {
            assert_eq!(bus.emit(Rung).await.unwrap().handled(), n);
            assert_eq!(bus.emit(Rung).await.unwrap().handled(), 0);
        });
        assert_eq!(calls.load(Relaxed), n);
    }));
}

#[test]
fn m2_once_handlers_of_patterns_and_of_undeclared_names_cost_what_they_are() {
    assert!(is_linear("once of a pattern", |n| {
        let (runtime, bus) = new_bus();
        for _ in 0..n {
            bus.pattern("*").once(|_: &Record| ()).unwrap();
        }
        runtime.block_on(async {
            assert_eq!(bus.emit_json("cost.not_declared", "1").await.unwrap().handled(), n);
            assert_eq!(bus.emit_json("cost.not_declared", "1").await.unwrap().handled(), 0);
        });
    }));
}

#[test]
fn m2_subscriptions_that_come_and_go_cost_what_they_are() {
    type Work = fn(&Bus, usize);
    let works: [(&str, Work); 5] = [
        ("on", |bus, n| drop(subscriptions(bus, n))),
        ("on of a pattern", |bus, n| {
            (0..n).for_each(|_| drop(bus.pattern("cost.*").on(|_: &Record| ()).unwrap()));
        }),
        ("unsubscribe", |bus, n| {
            assert!(subscriptions(bus, n).iter().all(Subscription::unsubscribe));
        }),
        ("guards", |bus, n| {
            drop(subscriptions(bus, n).into_iter().map(Subscription::guard).collect::<Vec<_>>());
        }),
        ("off", |bus, n| {
            subscriptions(bus, n);
            assert_eq!(bus.off("cost.rung").unwrap(), n);
        }),
    ];
    for (what, work) in works {
        assert!(
            is_linear(what, |n| {
                let (_runtime, bus) = new_bus();
                work(&bus, n);
            }),
            "{what}"
        );
    }
}

#[test]
fn m2_streams_that_wait_and_go_cost_what_they_are() {
    assert!(is_linear("streams", |n| {
        let (runtime, bus) = new_bus();
        let streams: Vec<_> = (0..n).map(|_| bus.stream("cost.*").unwrap()).collect();
        runtime.block_on(async { drop(bus.emit(Rung).await.unwrap()) });
        drop(streams);
    }));
}

fn fail() {
    std::panic::panic_any(());
}

/// Allocated bytes do not show how often handlers are visited, so this measures time: n² is 400 times as many steps
/// as 20 n.
#[test]
fn m2_handlers_that_panic_or_go_one_by_one_are_found_at_once() {
    // Only panics of other tests reach the hook of the test runner.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload().is::<()>() {
            usual(panic);
        }
    }));
    #[allow(clippy::disallowed_methods, reason = "a test takes the time")]
    let time = |n: usize| {
        let (runtime, bus) = new_bus();
        let handlers: Vec<_> = (0..n).map(|_| bus.on(|_: &Rung| fail())).collect();
        let start = std::time::Instant::now();
        let emitted = runtime.block_on(async { bus.emit(Rung).await.unwrap() });
        assert_eq!(emitted.failures().len(), n);
        handlers.iter().rev().for_each(|handler| assert!(handler.unsubscribe()));
        start.elapsed()
    };
    let (small, large) = (time(5_000), time(100_000));
    println!("5,000 handlers: {small:?}, 100,000: {large:?}");
    assert!(large < small * 100);
}
