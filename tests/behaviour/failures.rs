//! A failing handler never affects another one.

use std::sync::Arc;

use tokio::task::yield_now;
use typed_events::{Bus, Emitted, event};

use crate::Seen;

#[event("failures.order")]
pub struct Order;

/// Emits an event to a bad handler, between two good ones.
async fn emit_around<K>(bad: impl typed_events::handler::EventHandler<K>) -> (Emitted, Vec<String>) {
    let bus = Bus::builder().quiet().build().await.unwrap();
    let seen = Arc::new(Seen::default());
    let good = |name: &'static str| {
        let seen = Arc::clone(&seen);
        move |_: Arc<Order>| {
            let seen = Arc::clone(&seen);
            async move {
                yield_now().await;
                seen.push(name);
            }
        }
    };
    bus.on(good("before"));
    bus.on(bad);
    bus.on(good("behind"));
    let emitted = bus.emit(Order).await.unwrap();
    assert_eq!(emitted.handled(), 3);
    assert_eq!(emitted.failures().len(), 1);
    assert_eq!(bus.stats().failed, 1);
    (emitted, seen.sorted())
}

fn check((emitted, seen): (Emitted, Vec<String>), message: &str, panicked: bool) {
    let failure = &emitted.failures()[0];
    assert_eq!((failure.message(), failure.panicked()), (message, panicked));
    assert!(failure.handler().starts_with("closure at tests/behaviour/failures.rs:"), "{failure}");
    assert_eq!(failure.pattern(), "failures.order");
    assert_eq!(seen, ["before", "behind"]);
}

#[tokio::test]
async fn a_handler_that_errors() {
    check(emit_around(|_: &Order| Err::<(), _>("out of stock")).await, "out of stock", false);
}

#[tokio::test]
async fn an_async_handler_that_errors() {
    let bad = |_: &Order| async {
        yield_now().await;
        Err::<(), _>(std::io::Error::other("disk on fire"))
    };
    check(emit_around(bad).await, "disk on fire", false);
}

#[tokio::test]
async fn a_handler_that_panics() {
    check(emit_around(|_: &Order| -> () { panic!("sync") }).await, "sync", true);
}

#[tokio::test]
async fn a_handler_that_panics_before_its_first_await() {
    check(
        emit_around(|_: &Order| async {
            if true {
                panic!("at {}", "once")
            }
        })
        .await,
        "at once",
        true,
    );
}

#[tokio::test]
async fn a_handler_that_panics_after_its_first_await() {
    let bad = |_: &Order| async {
        yield_now().await;
        if true {
            panic!("later")
        }
    };
    check(emit_around(bad).await, "later", true);
}

#[tokio::test]
async fn an_error_whose_display_panics_or_never_ends_is_contained() {
    struct Bad(bool);
    impl std::fmt::Display for Bad {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.0 {
                true => panic!("display"),
                false => f.write_str(&"é".repeat(10_000)),
            }
        }
    }
    let (emitted, _) = emit_around(|_: &Order| Err::<(), _>(Bad(true))).await;
    assert_eq!(emitted.failures()[0].message(), "(the error's Display failed)");
    let (emitted, _) = emit_around(|_: &Order| Err::<(), _>(Bad(false))).await;
    assert_eq!(emitted.failures()[0].message().len(), 4096 + "...".len());
}

#[tokio::test]
async fn a_panic_whose_payload_panics_when_dropped_is_contained() {
    let bad = |_: &Order| {
        if true {
            std::panic::panic_any(Bomb);
        }
    };
    check(emit_around(bad).await, "(a panic without a message)", true);
}

#[tokio::test]
async fn an_error_is_shown_with_its_causes_where_its_alternate_form_has_them() {
    struct Context;
    impl std::fmt::Display for Context {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(if f.alternate() {
                "reading the template: no such file"
            } else {
                "reading the template"
            })
        }
    }
    check(emit_around(|_: &Order| Err::<(), _>(Context)).await, "reading the template: no such file", false);
}

/// Regression test: the closure's destructor ran after the other handlers had started, and its panic ended them.
#[tokio::test]
async fn a_closure_whose_destructor_panics_stops_nobody() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    let (bomb, seen) = (Bomb, Arc::new(Seen::default()));
    drop(bus.once(move |_: &Order| {
        let _ = &bomb;
    }));
    let log = Arc::clone(&seen);
    bus.on(move |_: Arc<Order>| {
        let log = Arc::clone(&log);
        async move {
            yield_now().await;
            log.push("done");
        }
    });
    assert_eq!(bus.emit(Order).await.unwrap().handled(), 2);
    assert_eq!(seen.take(), ["done"]);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}
