//! Emitting: which handlers are called, and when the emit resolves.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Barrier;
use typed_events::{Bus, ErrorKind, EventId, Record, event};

use crate::{Seen, bus};

#[event("emit.one")]
pub struct One(pub u32);

#[event("emit.two")]
pub struct Two;

#[tokio::test]
async fn emits_to_one_handler() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    bus.on(move |one: &One| log.push(one.0.to_string()));
    let emitted = bus.emit(One(7)).await.unwrap();
    assert_eq!(emitted.handled(), 1);
    assert!(emitted.failures().is_empty());
    assert_eq!(seen.take(), ["7"]);
    bus.emit(Two).await.unwrap();
    assert_eq!(seen.take(), [""; 0]);
    assert_eq!(bus.stats().unhandled, 1);
}

#[tokio::test]
async fn emits_to_many_handlers() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    for i in 0..5 {
        let log = Arc::clone(&seen);
        bus.on(move |one: &One| log.push(format!("{i} got {}", one.0)));
    }
    assert_eq!(bus.emit(One(1)).await.unwrap().handled(), 5);
    // Handlers are called in the order of their registration.
    assert_eq!(seen.take(), ["0 got 1", "1 got 1", "2 got 1", "3 got 1", "4 got 1"]);
}

#[tokio::test]
async fn async_handlers_overlap_in_time() {
    let (bus, barrier) = (bus().await, Arc::new(Barrier::new(3)));
    for _ in 0..3 {
        let barrier = Arc::clone(&barrier);
        bus.on(move |_: Arc<One>| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
            }
        });
    }
    // Each handler waits for the other two. One after the other, they would wait forever.
    assert_eq!(bus.emit(One(1)).await.unwrap().handled(), 3);
}

#[tokio::test]
async fn exact_and_wildcard_handlers_each_run_once() {
    let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
    let count = |runs: &Arc<AtomicUsize>| {
        let runs = Arc::clone(runs);
        move |_: &Record| {
            runs.fetch_add(1, Ordering::SeqCst);
        }
    };
    for pattern in ["emit.one", "emit.*", "*", "*.one", "emit.+", "other.*"] {
        bus.pattern(pattern).on(count(&runs)).unwrap();
    }
    assert_eq!(bus.emit(One(1)).await.unwrap().handled(), 5);
    assert_eq!(runs.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn closures_take_the_event_by_reference_arc_and_value() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let log = || Arc::clone(&seen);
    let (a, b, c, d) = (log(), log(), log(), log());
    bus.on(move |one: &One| a.push(format!("&{}", one.0)));
    bus.on(move |one: Arc<One>| b.push(format!("arc {}", one.0)));
    bus.on(move |one: One| c.push(format!("own {}", one.0)));
    bus.on(move |one: &One| {
        let (log, n) = (Arc::clone(&d), one.0);
        async move { log.push(format!("async {n}")) }
    });
    bus.emit(One(3)).await.unwrap();
    assert_eq!(seen.sorted(), ["&3", "arc 3", "async 3", "own 3"]);
}

#[tokio::test]
async fn a_batch_stands_together_in_the_history() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    bus.on(move |one: Arc<One>| {
        let log = Arc::clone(&log);
        async move {
            tokio::task::yield_now().await;
            log.push(one.0.to_string());
        }
    });
    let emitted = bus.emit_all((0..4).map(One)).await.unwrap();
    assert_eq!(emitted.iter().map(|one| one.handled()).collect::<Vec<_>>(), [1; 4]);
    assert_eq!(seen.sorted(), ["0", "1", "2", "3"]);
    let stored: Vec<_> = bus.history("*").of::<One>().await.unwrap().iter().map(|one| one.0).collect();
    assert_eq!(stored, [0, 1, 2, 3]);
    assert!(bus.emit_all(Vec::<One>::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_retry_under_the_same_id_is_stored_once() {
    let (bus, id) = (bus().await, EventId::new());
    bus.on(|_: &One| ());
    let first = bus.emit(One(1)).id(id).await.unwrap();
    let second = bus.emit(One(1)).id(id).await.unwrap();
    assert_eq!((first.id(), first.is_duplicate(), first.handled()), (Some(id), false, 1));
    assert_eq!((second.id(), second.is_duplicate(), second.handled()), (Some(id), true, 0));
    assert_eq!(bus.history("*").await.unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_happens_before_the_first_poll() {
    let bus = bus().await;
    drop(bus.emit(One(1)));
    assert!(bus.history("*").await.unwrap().is_empty());
}

#[tokio::test]
async fn without_history_no_record_is_made_unless_somebody_asks() {
    let bus = typed_events::Bus::builder().history(0).build().await.unwrap();
    let sync = bus.on(|_: &One| ());
    assert!(bus.emit(One(1)).await.unwrap().record().is_none());
    bus.on(|one: Arc<One>| assert_eq!(one.0, 2));
    let emitted = bus.emit(One(2)).await.unwrap();
    assert!(emitted.record().is_some());
    assert_eq!(emitted.handled(), 2);
    assert!(sync.is_active());
}

/// Regression test: the bus used its own thread-locals after they were destroyed, which aborted the process.
#[test]
fn emits_in_the_destructor_of_a_thread_local() {
    struct OnExit(Option<typed_events::Bus>);
    impl Drop for OnExit {
        fn drop(&mut self) {
            if let Some(bus) = &self.0 {
                bus.emit(One(2)).detach().unwrap();
            }
        }
    }
    thread_local! {
        static LOCAL: std::cell::RefCell<OnExit> = const { std::cell::RefCell::new(OnExit(None)) };
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (bus, seen) = (runtime.block_on(bus()), Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    bus.on(move |one: &One| log.push(one.0.to_string()));
    let thread = std::thread::spawn(move || {
        LOCAL.with(|local| local.borrow_mut().0 = Some(bus.clone()));
        bus.emit(One(1)).detach().unwrap();
    });
    thread.join().unwrap();
    assert_eq!(seen.take(), ["1", "2"]);
}

#[event("emit.tagged")]
pub struct Tagged {
    pub tags: HashSet<u32>,
}

#[tokio::test]
async fn c11_an_id_is_that_of_one_event() {
    let bus = Bus::new().await.unwrap();
    let id = EventId::new();
    bus.emit(One(1)).id(id).await.unwrap();
    let error = bus.emit(One(2)).id(id).await.unwrap_err();
    assert_eq!((error.kind(), error.event_id()), (ErrorKind::IdConflict, Some(id)));
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "the log has the id {id} already, of another `emit.one`, with another payload"
        )),
        "{text}"
    );
    let error = bus.emit_json("emit.two", "null").id(id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdConflict);
    assert!(error.to_string().contains("already, of `emit.one`, emitted at"), "{error}");
    assert!(bus.emit_json("emit.one", "1").id(id).await.unwrap().is_duplicate());
    assert_eq!(bus.history("*").await.unwrap().len(), 1);
}

#[tokio::test]
async fn c11_a_set_that_is_written_in_another_order_is_the_same_event() {
    let bus = Bus::new().await.unwrap();
    let id = EventId::new();
    for round in 0..20 {
        let tagged = Tagged { tags: (0..50).collect() };
        assert_eq!(bus.emit(tagged).id(id).await.unwrap().is_duplicate(), round > 0);
    }
    let other = Tagged { tags: (0..51).collect() };
    assert_eq!(bus.emit(other).id(id).await.unwrap_err().kind(), ErrorKind::IdConflict);
}
