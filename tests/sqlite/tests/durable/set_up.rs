//! What `build()` refuses.

use typed_events::{Bus, Durable, ErrorKind, Record, event, on};

use crate::File;

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
    assert!(text.starts_with("two durable handlers are named `twice`, and each would get a part of the events: handler durable::set_up::first (tests/sqlite/tests/durable/set_up.rs:10) and handler"), "{text}");
}

#[tokio::test]
async fn an_adapter_without_durable_consumers_is_an_error() {
    let error = Bus::builder().handler::<first>().build().await.unwrap_err();
    let text = error.to_string();
    let said = "first (tests/sqlite/tests/durable/set_up.rs:10) is durable (`twice`), which needs an adapter, and this bus has none: give one that can, such as `.adapter(Sqlite::at(\"events.db\"))`";
    assert!(text.contains(said), "{text}");
}

#[tokio::test]
async fn closures_are_checked() {
    let file = File::new();
    let builder = file.builder().durable(Durable::new("a b"), "set_up.done", |_: &Record| {});
    let builder = builder.durable(Durable::new("c"), "set_up..done", |_: &Record| {});
    let builder = builder.durable(Durable::new("d"), "set_up.*", |_: &Done| {});
    let error = builder.build().await.unwrap_err().to_string();
    let lines: Vec<_> = error.lines().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "`a b` can't name a durable handler: it has other characters than letters, digits, `-`, `_` and `.`",
            "`set_up..done` is not a pattern: a segment is empty (position 8)",
            "the closure takes `set_up.done`, not `set_up.*`",
        ]
    );
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
