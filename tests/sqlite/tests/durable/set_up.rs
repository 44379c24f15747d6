//! Errors of `build()`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use typed_events::consumer::Nulls;
use typed_events::{Bus, DurableOptions, ErrorKind, Record, event, on};

use crate::File;
use crate::outbox::until;

#[event("set_up.done")]
pub struct Done;

#[on(durable = "twice")]
fn first(_: &Done) {}

#[on(durable = "twice")]
fn second(_: &Done) {}

#[tokio::test]
async fn two_durable_handlers_of_one_name_are_an_error_with_both_places() {
    let file = File::new();
    let error = file.builder().handler::<first>().handler::<second>().build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Build);
    let text = error.to_string();
    assert!(text.starts_with("two durable handlers are named `twice`, and each would get a part of the events: handler durable::set_up::first (tests/sqlite/tests/durable/set_up.rs:16) and handler"), "{text}");
}

#[tokio::test]
async fn an_adapter_without_durable_consumers_is_an_error() {
    let error = Bus::builder().handler::<first>().build().await.unwrap_err();
    let text = error.to_string();
    let said = "first (tests/sqlite/tests/durable/set_up.rs:16) is durable (`twice`), but this bus has no adapter: add one that has durable consumers, such as `.adapter(Sqlite::at(\"events.db\"))`";
    assert!(text.contains(said), "{text}");
}

#[tokio::test]
async fn closures_are_checked() {
    let file = File::new();
    let builder = file.builder().durable(DurableOptions::new("a b"), "set_up.done", |_: &Record| {});
    let builder = builder.durable(DurableOptions::new("c"), "set_up..done", |_: &Record| {});
    let builder = builder.durable(DurableOptions::new("d"), "set_up.*", |_: &Done| {});
    let error = builder.build().await.unwrap_err().to_string();
    let lines: Vec<_> = error.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "`a b` can't name a durable handler: it may contain only letters, digits, `-`, `_` and `.`",
            "`set_up..done` is not a pattern: a segment is empty (position 8)",
            "the closure takes `set_up.done`, not `set_up.*`",
        ]
    );
}

#[tokio::test]
async fn s6_a_closure_whose_pattern_no_known_event_can_match_is_refused() {
    let file = File::new();
    let on = |pattern: &str| file.builder().durable(DurableOptions::new("mail"), pattern, |_: &Record| {});
    let error = on("set_up.doen").build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Build);
    let text = error.to_string();
    let said = ": no known event matches `set_up.doen`: did you mean `set_up.done`?";
    assert!(
        text.starts_with("closure at tests/sqlite/tests/durable/set_up.rs:") && text.ends_with(said),
        "{text}"
    );
    // A pattern for events of other programs only causes a warning.
    on("set_up.doen").accept_undeclared().quiet().build().await.unwrap().stop().await.unwrap();
    on("typed-events.*").quiet().build().await.unwrap().stop().await.unwrap();
    let typed = file.builder().durable(DurableOptions::new("typed"), "set_up.done", |_: &Done| {});
    typed.build().await.unwrap().stop().await.unwrap();
}

#[event("set_up.weighed")]
pub struct Weighed {
    pub parcel: String,
    pub kilos: f64,
    pub shelf: Option<u32>,
}

#[tokio::test]
async fn v12_the_order_of_closures_is_checked() {
    let file = File::new();
    let by = |name, field| DurableOptions::new(name).ordered_by(field);
    let builder = file.builder().durable(by("a", "parcle"), "set_up.weighed", |_: &Record| {});
    let builder = builder.durable(by("b", "kilos"), "set_up.weighed", |_: &Weighed| {});
    let builder = builder.durable(by("c", "parcel"), "set_up.*", |_: &Record| {});
    let builder = builder.durable(by("d", "parcel"), "set_up.weighed", |_: &Record| {});
    let error = builder.build().await.unwrap_err().to_string();
    let lines: Vec<_> = error.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "durable handler `a` is ordered by `parcle`, but `Weighed` (`set_up.weighed`) has no such field: it has `parcel`, `kilos`, `shelf`: did you mean `parcel`?",
            "durable handler `b` is ordered by `kilos`, which is a float in `Weighed` (`set_up.weighed`): a key is a string, a whole number, a `bool`, a `char`, an enum without data, or a tuple of these",
            "durable handler `c` is ordered by `parcel`, but `Done` (`set_up.done`) has no named fields",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn v12_null_is_no_key_unless_it_is_said() {
    for (nulls, most) in [(Nulls::Unordered, 4), (Nulls::Together, 1)] {
        let (file, at_once) = (File::new(), Arc::new(Semaphore::new(0)));
        let (running, highest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let take = {
            let (at_once, running, highest) =
                (Arc::clone(&at_once), Arc::clone(&running), Arc::clone(&highest));
            move |_: Arc<Weighed>| {
                let (at_once, running, highest) =
                    (Arc::clone(&at_once), Arc::clone(&running), Arc::clone(&highest));
                async move {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    highest.fetch_max(now, Ordering::SeqCst);
                    at_once.acquire().await.unwrap().forget();
                    running.fetch_sub(1, Ordering::SeqCst);
                }
            }
        };
        let durable = DurableOptions::new("shelve").ordered_by("shelf").nulls(nulls).concurrency(8);
        let bus = file.builder().durable(durable, "set_up.weighed", take).build().await.unwrap();
        for _ in 0..4 {
            bus.emit(Weighed { parcel: "p".into(), kilos: 1.0, shelf: None }).await.unwrap();
        }
        until(|| running.load(Ordering::SeqCst) == most).await;
        at_once.add_permits(4);
        until(|| at_once.available_permits() == 0 && running.load(Ordering::SeqCst) == 0).await;
        bus.stop().await.unwrap();
        assert_eq!(highest.load(Ordering::SeqCst), most, "{nulls:?}");
    }
}

#[tokio::test]
async fn a_log_that_was_removed_is_begun_anew_and_one_that_was_emptied_is_refused() {
    let file = File::new();
    let bus = file.builder().event::<Done>().build().await.unwrap();
    bus.emit(Done).await.unwrap();
    bus.stop().await.unwrap();
    drop(bus);
    file.until_closed().await;
    std::fs::File::create(file.path()).unwrap();
    let error = file.builder().event::<Done>().build().await.unwrap_err().to_string();
    assert!(error.contains("the newest 1 records are missing, behind position 0"), "{error}");
    std::fs::remove_file(file.path()).unwrap();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        starting.spawn(file.builder().event::<Done>().build());
    }
    for started in starting.join_all().await {
        assert_eq!(started.unwrap().history("set_up.*").await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_consumer_that_does_not_exist_is_an_error_that_says_which_was_meant() {
    let file = File::new();
    let bus = file.builder().handler::<first>().build().await.unwrap();
    let error = bus.consumer("twise").dead_letters(1).await.unwrap_err().to_string();
    assert!(error.ends_with("has no consumer `twise`: did you mean `twice`?"), "{error}");
    assert!(bus.consumer("twice").dead_letters(1).await.unwrap().is_empty());
}
