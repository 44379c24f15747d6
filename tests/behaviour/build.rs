//! Errors of `build()`.

use std::sync::Arc;

use typed_events::{Bus, Error, ErrorKind, Record, event, on};

#[event("build.done")]
pub struct Done;

pub struct Mailer;

#[on]
fn mail(_: &Done, mailer: &Mailer, limit: &u32) {
    let _ = (mailer, limit);
}

#[on("bild.*", "*.dne", "build.+")]
fn mistyped(_: &Record) {}

fn message(outcome: Result<Bus, Error>) -> String {
    let error = outcome.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Build);
    error.to_string()
}

#[tokio::test]
async fn a_missing_state_is_named_with_its_handler_and_place() {
    let error = message(Bus::builder().handler::<mail>().build().await);
    let lines: Vec<_> = error.lines().collect();
    let place = "handler behaviour::build::mail (tests/behaviour/build.rs:12)";
    assert_eq!(
        lines,
        [
            format!(
                "{place}: no state of type `behaviour::build::Mailer` for its argument `mailer`: give one with `.state(...)`, or an `Arc` of one with `.shared(...)`"
            ),
            format!(
                "{place}: no state of type `u32` for its argument `limit`: give one with `.state(...)`, or an `Arc` of one with `.shared(...)`"
            ),
        ]
    );
    Bus::builder().handler::<mail>().state(Mailer).state(3_u32).build().await.unwrap();
}

#[tokio::test]
async fn two_states_of_one_type_are_refused() {
    let error = message(Bus::builder().state(1_u32).shared(Arc::new(2_u32)).build().await);
    assert_eq!(
        error,
        "two states of type `u32`: handlers can't tell them apart; wrap one of them in another type"
    );
}

#[tokio::test]
async fn a_pattern_that_no_known_event_can_match_is_refused_with_a_suggestion() {
    let error = message(Bus::builder().handler::<mistyped>().build().await);
    let place = "handler behaviour::build::mistyped (tests/behaviour/build.rs:17): no known event matches";
    let expected = [
        format!("{place} `bild.*`: did you mean `build.*`?"),
        format!("{place} `*.dne`: did you mean `*.done`?"),
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
    // If undeclared names are accepted, an event with this name may still be emitted.
    Bus::builder().handler::<mistyped>().accept_undeclared().quiet().build().await.unwrap();
}

#[tokio::test]
async fn all_problems_are_reported_at_once() {
    let build = Bus::builder().handler::<mail>().handler::<mistyped>().state(1_u8).state(2_u8).build();
    let error = build.await.err().unwrap();
    assert_eq!(error.problems().len(), 5, "{error}");
    assert_eq!(error.to_string(), error.problems().join("\n"));
    let shown = format!("{error:#?}");
    assert!(shown.contains("kind: Build") && shown.contains("no state of type"), "{shown}");
}

#[test]
fn no_runtime_is_an_error_not_a_panic() {
    let mut build = std::pin::pin!(Bus::new());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = build.as_mut().poll(&mut cx) else { panic!("it does not wait") };
    assert_eq!(
        message(outcome),
        "no tokio runtime: await `build()` inside one, for example in `#[tokio::main]`"
    );
}

pub trait Clock: Send + Sync {}

#[on]
fn look(_: &Done, clock: &dyn Clock, shared: &Arc<Mailer>) {
    let _ = (clock, shared);
}

#[tokio::test]
async fn a_missing_state_is_compared_with_what_was_given() {
    let build =
        Bus::builder().handler::<look>().handler::<mail>().state(Arc::new(3_u32)).state(Mailer).quiet();
    let error = message(build.build().await);
    for advice in [
        "`u32` for its argument `limit`: there is a state of type `Arc<u32>`: give it with `.shared(...)`",
        "`dyn behaviour::build::Clock` for its argument `clock`: give one with `.shared::<dyn behaviour::build::Clock>(Arc::new(...))`",
        "for its argument `shared`: there is a state of type `behaviour::build::Mailer`: take `&behaviour::build::Mailer`",
    ] {
        assert!(error.contains(advice), "{advice} in {error}");
    }
}
