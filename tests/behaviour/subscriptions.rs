//! Handlers that are added and removed at run time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use typed_events::{Bus, Record, Subscription, event, on};

use crate::{Seen, bus};

#[event("subs.happened")]
pub struct Happened;

fn counter(runs: &Arc<AtomicUsize>) -> impl Fn(&Happened) + Send + Sync + 'static + use<> {
    let runs = Arc::clone(runs);
    move |_: &Happened| {
        runs.fetch_add(1, Ordering::SeqCst);
    }
}

fn record_counter(runs: &Arc<AtomicUsize>) -> impl Fn(&Record) + Send + Sync + 'static + use<> {
    let runs = Arc::clone(runs);
    move |_: &Record| {
        runs.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn once_runs_once_under_1000_racing_emits() {
    for pattern in [false, true] {
        let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
        let subscription = match pattern {
            true => bus.pattern("subs.*").once(record_counter(&runs)).unwrap(),
            false => bus.once(counter(&runs)),
        };
        let emits: Vec<_> = (0..1000)
            .map(|_| {
                let bus = bus.clone();
                tokio::spawn(async move { bus.emit(Happened).await.unwrap().handled() })
            })
            .collect();
        let mut handled = 0;
        for emit in emits {
            handled += emit.await.unwrap();
        }
        assert_eq!((handled, runs.load(Ordering::SeqCst)), (1, 1));
        assert!(!subscription.is_active());
        assert!(!subscription.unsubscribe());
    }
}

#[tokio::test]
async fn unsubscribe_ends_it_and_a_second_one_is_harmless() {
    let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
    let (one, _other) = (bus.on(counter(&runs)), bus.on(counter(&runs)));
    bus.emit(Happened).await.unwrap();
    assert!(one.is_active());
    assert!(one.unsubscribe());
    assert!(!one.unsubscribe());
    assert!(!one.is_active());
    bus.emit(Happened).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn unsubscribe_during_an_emit_spares_those_not_called_yet() {
    let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
    let later: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let to_end = Arc::clone(&later);
    bus.on(move |_: &Happened| {
        to_end
            .lock()
            .unwrap()
            .take()
            .map(|later| later.unsubscribe())
            .map_or(Ok(()), |ended| if ended { Ok(()) } else { Err("it was not registered") })
    });
    *later.lock().unwrap() = Some(bus.on(counter(&runs)));
    let emitted = bus.emit(Happened).await.unwrap();
    assert!(emitted.failures().is_empty());
    assert_eq!((emitted.handled(), runs.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn dropping_a_subscription_keeps_the_handler_and_a_guard_ends_it() {
    let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
    drop(bus.on(counter(&runs)));
    let guard = bus.on(counter(&runs)).guard();
    bus.emit(Happened).await.unwrap();
    drop(guard);
    bus.emit(Happened).await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    let kept = bus.on(counter(&runs)).guard().release();
    assert!(kept.is_active());
}

#[tokio::test]
async fn a_subscription_made_during_an_emit_sees_the_next_one() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let (handle, log) = (bus.clone(), Arc::clone(&seen));
    bus.once(move |_: &Happened| {
        let log = Arc::clone(&log);
        handle.on(move |_: &Happened| log.push("late"));
    });
    bus.emit(Happened).await.unwrap();
    assert_eq!(seen.take(), [""; 0]);
    bus.emit(Happened).await.unwrap();
    assert_eq!(seen.take(), ["late"]);
}

#[on("subs.*", "*.happened")]
fn on_both(_: &Record, runs: &AtomicUsize) {
    runs.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test]
async fn off_removes_one_pattern_and_counts() {
    let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
    for pattern in ["subs.*", "subs.*", "*", "subs.happened"] {
        bus.pattern(pattern).on(record_counter(&runs)).unwrap();
    }
    bus.on(counter(&runs));
    assert_eq!(bus.emit(Happened).await.unwrap().handled(), 5);
    assert_eq!(bus.off("subs.*").unwrap(), 2);
    assert_eq!(bus.emit(Happened).await.unwrap().handled(), 3);
    assert_eq!(bus.off("subs.happened").unwrap(), 2);
    assert_eq!(bus.off("subs.happened").unwrap(), 0);
    assert_eq!(bus.off("never.registered").unwrap(), 0);
    assert_eq!(bus.emit(Happened).await.unwrap().handled(), 1);
}

#[tokio::test]
async fn a_handler_with_two_patterns_runs_once_and_survives_off_of_one() {
    let runs = Arc::new(AtomicUsize::new(0));
    let bus = Bus::builder().shared(Arc::clone(&runs)).handler::<on_both>().build().await.unwrap();
    let handled = async || bus.emit(Happened).await.unwrap().handled();
    assert_eq!(handled().await, 1);
    assert_eq!(bus.off("subs.*").unwrap(), 1);
    assert_eq!(handled().await, 1);
    assert_eq!(bus.off("*.happened").unwrap(), 1);
    assert_eq!(handled().await, 0);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert!(bus.handlers().is_empty());
}

/// Regression test: the list of handlers of an undeclared name was not updated when a handler was removed.
#[tokio::test]
async fn a_handler_that_an_earlier_one_removes_is_not_called_for_undeclared_names_either() {
    let bus = Bus::builder().accept_undeclared().build().await.unwrap();
    let later: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let taken = Arc::clone(&later);
    bus.pattern("subs_undeclared.*")
        .on(move |_: &Record| {
            if let Some(later) = taken.lock().unwrap().take() {
                assert!(later.unsubscribe());
            }
        })
        .unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    *later.lock().unwrap() = Some(bus.pattern("subs_undeclared.*").on(record_counter(&runs)).unwrap());
    let emitted = bus.emit_json("subs_undeclared.a", "{}").await.unwrap();
    assert_eq!((emitted.handled(), runs.load(Ordering::SeqCst)), (1, 0));
}

/// With enough handlers to use the loop with several call sites.
#[tokio::test]
async fn a_handler_that_an_earlier_one_removes_is_not_called_among_many() {
    for history in [0, 10] {
        let bus = Bus::builder().history(history).build().await.unwrap();
        let later: Arc<Mutex<Vec<Subscription>>> = Arc::default();
        let taken = Arc::clone(&later);
        let runs = Arc::new(AtomicUsize::new(0));
        bus.on(counter(&runs));
        bus.on(move |_: &Happened| {
            taken.lock().unwrap().drain(..).for_each(|later| assert!(later.unsubscribe()))
        });
        for index in 0..40 {
            let subscription = bus.on(counter(&runs));
            if index % 2 == 0 {
                later.lock().unwrap().push(subscription);
            }
        }
        let emitted = bus.emit(Happened).await.unwrap();
        assert_eq!((emitted.handled(), runs.load(Ordering::SeqCst)), (22, 21));
    }
}

#[tokio::test]
async fn handlers_are_counted_by_name() {
    let bus = Bus::builder().accept_undeclared().build().await.unwrap();
    bus.on(|_: &Happened| ());
    bus.pattern("subs.*").on(|_: &Record| ()).unwrap();
    bus.pattern("subs_counted.*.b").on(|_: &Record| ()).unwrap();
    let count = |name: &str| bus.handler_count(name);
    assert_eq!((count("subs.happened"), count("subs_counted.a.b"), count("subs_counted.a")), (2, 1, 0));
    assert_eq!((count(""), count(&"subs_counted.".repeat(100_000))), (0, 0));
}
