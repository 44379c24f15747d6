//! How `settle` deals with time.

#![allow(clippy::unwrap_used, reason = "a test")]

use typed_events::testing::{TestBus, TestError};
use typed_events::{Delivery, event, on};

/// An event.
#[event("settle.asked")]
pub struct Asked {
    /// Number of attempts that fail.
    pub failures: u32,
}

#[on(durable = "answer", retries = 20, backoff = "1h..1h")]
fn answer(asked: &Asked, delivery: &Delivery) -> Result<(), &'static str> {
    if delivery.attempt() <= asked.failures { Err("not yet") } else { Ok(()) }
}

#[on(durable = "answer", retries = 1, backoff = "2400h..2400h")]
fn answer_in_weeks(_: &Asked) -> Result<(), &'static str> {
    Err("not yet")
}

/// Twenty retries in an hour each: if steps of the clock only grew, they would pass 30 days.
async fn many_retries() {
    let bus = TestBus::start(|bus| bus.handler::<answer>().quiet()).await.unwrap();
    bus.emit_all((15..=20).map(|failures| Asked { failures })).await.unwrap();
    bus.settle().await.unwrap();
    assert_eq!(bus.stats().failed, (15..=20).sum::<u64>());
    assert!(bus.dead_letters().await.unwrap().is_empty());
    bus.emit(Asked { failures: 30 }).await.unwrap();
    bus.settle().await.unwrap();
    assert_eq!(bus.dead_letters().await.unwrap()[0].attempts, 21);
}

#[tokio::test]
async fn retries_in_hours_take_no_time() {
    many_retries().await;
}

#[tokio::test(start_paused = true)]
async fn retries_in_hours_take_no_time_on_a_paused_clock() {
    many_retries().await;
}

#[tokio::test]
async fn a_backoff_beyond_the_limit_is_an_error() {
    let bus = TestBus::start(|bus| bus.handler::<answer_in_weeks>().quiet()).await.unwrap();
    bus.emit(Asked { failures: 1 }).await.unwrap();
    let error = bus.settle().await.unwrap_err();
    assert!(matches!(&error, TestError::Unsettled(left) if left.len() == 1), "{error}");
    assert!(error.to_string().contains("answer"), "{error}");
}
