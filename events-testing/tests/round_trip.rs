//! Events that do not come back as they were fail the test that emits them.

#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, reason = "a test")]

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serializer;
use typed_events::event;
use typed_events::testing::{TestBus, assert_round_trip};

#[event("round_trip.kept")]
pub struct Kept {
    pub id: u64,
    pub price: f64,
    pub names: HashSet<String>,
    pub by_name: HashMap<String, Vec<u8>>,
    #[event(secret)]
    pub code: String,
}

fn kept() -> Kept {
    let names = (0..20).map(|n| n.to_string()).collect();
    let by_name = (0..20).map(|n| (n.to_string(), vec![n])).collect();
    Kept { id: 1, price: -0.0, names, by_name, code: "1234".into() }
}

/// Writes a number as a text, which the type does not read.
fn as_text<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[event("round_trip.broken")]
pub struct Broken {
    #[event(opaque)]
    #[serde(serialize_with = "as_text")]
    pub count: u32,
}

/// Writes another number than there is.
fn rounded<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(number / 10)
}

#[event("round_trip.changed")]
pub struct Changed {
    #[event(opaque)]
    #[serde(serialize_with = "rounded")]
    pub count: u32,
}

#[event("round_trip.skipped")]
pub struct Skipped {
    pub id: u64,
    #[serde(skip)]
    pub cached: u32,
}

/// What a panic says.
fn panic_of(act: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(act)).expect_err("it panics");
    payload.downcast_ref::<String>().expect("with a text").clone()
}

#[test]
fn what_comes_back_as_it_was_passes() {
    assert_round_trip(&kept());
    assert_round_trip(&Skipped { id: 1, cached: 0 });
}

#[test]
fn what_does_not_come_back_fails_with_its_path() {
    let said = panic_of(|| assert_round_trip(&Broken { count: 7 }));
    // Without the path: what is opaque may hold secrets, and keys on the way there would be shown.
    assert!(said.contains("`round_trip.broken`") && said.contains("can't read what it writes"), "{said}");
    let said = panic_of(|| assert_round_trip(&Kept { price: f64::NAN, ..kept() }));
    assert!(
        said.contains("`round_trip.kept`") && said.contains(".price: expected a finite number"),
        "{said}"
    );
    let said = panic_of(|| assert_round_trip(&Changed { count: 25 }));
    assert!(said.contains("`round_trip.changed`") && said.contains(".count"), "{said}");
    let said = panic_of(|| assert_round_trip(&Skipped { id: 1, cached: 5 }));
    assert!(said.contains("`round_trip.skipped`") && said.contains("cached: 5"), "{said}");
}

#[tokio::test]
async fn a_bus_for_tests_fails_the_test_when_it_is_dropped() {
    let start = || TestBus::start(|bus| bus.secrets(typed_events::Plain).quiet());
    let bus = start().await.unwrap();
    bus.emit(kept()).await.unwrap();
    drop(bus);
    let bus = start().await.unwrap();
    let error = bus.emit(Broken { count: 7 }).await.unwrap_err().to_string();
    assert!(error.starts_with("round_trip.broken (") && error.contains("round_trip.rs:"), "{error}");
    assert!(error.contains("can't read what it writes"), "{error}");
    assert!(bus.records().await.unwrap().is_empty());
    let said = panic_of(|| drop(bus));
    assert!(said.contains(&error), "{said}");
    // Also where a handler emits it.
    let bus = start().await.unwrap();
    let emitter = bus.clone();
    bus.on(move |_: &Kept| {
        let bus = emitter.clone();
        async move {
            // The error is dropped, and the test fails all the same.
            let _ = bus.emit(Changed { count: 25 }).await;
        }
    });
    bus.emit(kept()).await.unwrap();
    let said = panic_of(|| drop(bus));
    assert!(said.contains("round_trip.changed") && said.contains("another value: .count"), "{said}");
}
