//! The history.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use typed_events::{Bus, Record, Timestamp, event};

use crate::{bus, names};

#[event("history.login")]
pub struct Login {
    pub id: u64,
}

#[event("history.logout")]
pub struct Logout {
    pub id: u64,
}

#[event("history.blob")]
pub struct Blob(pub String);

async fn filled(records: usize, emits: u64) -> Bus {
    let bus = Bus::builder().history(records).build().await.unwrap();
    for id in 0..emits {
        match id % 2 {
            0 => drop(bus.emit(Login { id }).await.unwrap()),
            _ => drop(bus.emit(Logout { id }).await.unwrap()),
        }
    }
    bus
}

fn ids(records: &[Record]) -> Vec<u64> {
    let id = |record: &Record| match record.get::<Login>() {
        Some(login) => login.id,
        None => record.get::<Logout>().unwrap().id,
    };
    records.iter().map(id).collect()
}

#[tokio::test]
async fn limit_gives_the_newest_oldest_first() {
    let bus = filled(1000, 10).await;
    assert_eq!(ids(&bus.history("*").limit(3).await.unwrap()), [7, 8, 9]);
    assert_eq!(ids(&bus.history("*").limit(0).await.unwrap()), [0; 0]);
    assert_eq!(ids(&bus.history("*").limit(usize::MAX).await.unwrap()), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_default_limit_is_100() {
    assert_eq!(filled(1000, 250).await.history("*").await.unwrap().len(), 100);
}

#[tokio::test]
async fn the_default_history_keeps_1000() {
    let bus = bus().await;
    for id in 0..1100 {
        bus.emit(Login { id }).await.unwrap();
    }
    let kept = ids(&bus.history("*").limit(5000).await.unwrap());
    assert_eq!(kept, (100..1100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_history_of_0_keeps_nothing_also_while_a_stream_reads() {
    let bus = filled(0, 4).await;
    assert!(bus.history("*").await.unwrap().is_empty());
    let _stream = bus.stream("*").unwrap();
    bus.emit(Login { id: 1 }).await.unwrap();
    assert!(bus.history("*").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_size_bound_counts_payloads() {
    let bus = Bus::builder().history_bytes(10_000).build().await.unwrap();
    for _ in 0..20 {
        bus.emit(Blob("x".repeat(1_000))).await.unwrap();
    }
    let kept = bus.history("*").await.unwrap().len();
    assert!((8..=9).contains(&kept), "{kept}");
    bus.emit(Blob("x".repeat(20_000))).await.unwrap();
    assert!(bus.history("*").await.unwrap().is_empty(), "one larger than the bound is not kept");
    bus.emit(Blob("x".into())).await.unwrap();
    assert_eq!(bus.history("*").await.unwrap().len(), 1);
}

#[tokio::test]
async fn per_pattern() {
    let bus = filled(1000, 6).await;
    assert_eq!(ids(&bus.history("history.login").await.unwrap()), [0, 2, 4]);
    assert_eq!(ids(&bus.history("*.logout").limit(2).await.unwrap()), [3, 5]);
    assert_eq!(ids(&bus.history("history.+").await.unwrap()), [0, 1, 2, 3, 4, 5]);
    assert_eq!(ids(&bus.history("other.*").await.unwrap()), [0; 0]);
}

#[event("history.never")]
struct Never;

#[tokio::test]
async fn per_type() {
    let bus = filled(1000, 6).await;
    let logins = bus.history("*").of::<Login>().await.unwrap();
    assert_eq!(logins.iter().map(|login| login.id).collect::<Vec<_>>(), [0, 2, 4]);
    assert!(bus.history("history.*").of::<Never>().await.unwrap().is_empty());
}

#[tokio::test]
async fn by_time() {
    let bus = filled(1000, 6).await;
    let all = bus.history("*").await.unwrap();
    let (third, fourth) = (all[2].timestamp(), all[3].timestamp());
    let since = bus.history("*").since(third).await.unwrap();
    assert!(since.iter().all(|record| record.timestamp() >= third) && ids(&since).ends_with(&[2, 3, 4, 5]));
    let until = bus.history("*").until(fourth).await.unwrap();
    assert!(
        until.iter().all(|record| record.timestamp() <= fourth) && ids(&until).starts_with(&[0, 1, 2, 3])
    );
    let between = bus.history("history.login").since(third).until(fourth).limit(10).await.unwrap();
    let expected =
        all.iter().filter(|r| r.name() == "history.login" && (third..=fourth).contains(&r.timestamp()));
    assert_eq!(ids(&between), ids(&expected.cloned().collect::<Vec<_>>()));
    let hour = Duration::from_secs(3600);
    #[allow(clippy::disallowed_methods, reason = "a user's own clock")]
    let now = SystemTime::now();
    assert!(bus.history("*").since(now + hour).await.unwrap().is_empty());
    assert!(bus.history("*").until(now - hour).await.unwrap().is_empty());
    assert_eq!(bus.history("*").since(now - hour).await.unwrap().len(), 6);
}

#[tokio::test]
async fn after_stop() {
    let bus = filled(1000, 3).await;
    bus.stop().await.unwrap();
    assert_eq!(ids(&bus.history("*").await.unwrap()), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn timestamps_never_decrease_in_its_order() {
    let bus = bus().await;
    let emits: Vec<_> = (0..4)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for id in 0..250 {
                    bus.emit(Login { id }).await.unwrap();
                }
            })
        })
        .collect();
    for emit in emits {
        emit.await.unwrap();
    }
    let times: Vec<Timestamp> =
        bus.history("*").limit(1000).await.unwrap().iter().map(Record::timestamp).collect();
    assert_eq!(times.len(), 1000);
    assert!(times.is_sorted());
}

#[tokio::test]
async fn a_record_prints_as_one_line() {
    let bus = bus().await;
    bus.emit(Blob("two\nlines \u{1b}[31m \u{9b}".into())).await.unwrap();
    let records = bus.history("*").await.unwrap();
    assert_eq!(names(&records), ["history.blob"]);
    let line = records[0].to_string();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    assert!(line.ends_with(r#" history.blob "two\nlines \u001b[31m \x9b""#), "{line}");
}

#[tokio::test]
async fn a_record_survives_the_cloudevents_form() {
    let bus = bus().await;
    let metadata = typed_events::Metadata::new()
        .with_source("billing")
        .with_correlation_id("c")
        .with_causation_id("d")
        .with_trace_context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("k=v".into()))
        .with("user", 7);
    bus.emit(Login { id: 3 }).metadata(metadata).await.unwrap();
    let record = &bus.history("*").await.unwrap()[0];
    let text = record.to_cloudevent().unwrap();
    let back = Record::from_cloudevent(&text).unwrap();
    assert_eq!((back.id(), back.name(), back.timestamp()), (record.id(), record.name(), record.timestamp()));
    assert_eq!((back.metadata(), back.origin()), (record.metadata(), record.origin()));
    assert_eq!(back.get::<Login>().unwrap().id, 3);
    assert_eq!(back.to_cloudevent().unwrap(), text);
    assert!(text.starts_with(r#"{"specversion":"1.0","id":""#), "{text}");
    for broken in ["", "{}", "[1]", &text.replace("1.0", "0.3"), &text.replace("history.login", "history.*")]
    {
        assert!(
            Record::from_cloudevent(broken).unwrap_err().to_string().starts_with("not a stored record: ")
        );
    }
}

#[test]
fn a_text_that_is_no_record_is_told_by_its_attribute() {
    let refused = |text: &str| Record::from_cloudevent(text).unwrap_err().to_string();
    assert_eq!(
        refused(r#"{"specversion":"1.0","id":"x","source":"urn:a"}"#),
        "not a stored record: the attribute `type` is missing"
    );
    assert_eq!(refused("{}"), "not a stored record: the attribute `specversion` is missing");
    assert_eq!(refused(r#"{"specversion":1}"#), "not a stored record: the attribute `id` is missing");
    assert_eq!(refused("[1]"), "not a stored record: it is not a JSON object");
}

/// Regression test: the destructor of an evicted event ran under the log's lock, so an emit in it deadlocked.
#[tokio::test]
async fn an_event_may_emit_when_it_is_dropped() {
    let bus = Bus::builder().history(1).build().await.unwrap();
    let emit_at_the_end = EmitAtTheEnd(Some(bus.clone()));
    bus.emit(Fragile { emit_at_the_end }).await.unwrap();
    bus.emit(Login { id: 1 }).await.unwrap();
    assert_eq!(names(&bus.history("*").await.unwrap()), ["history.logout"]);
}

#[event("history.fragile")]
pub struct Fragile {
    #[serde(skip)]
    pub emit_at_the_end: EmitAtTheEnd,
}

#[derive(Debug, Clone, Default)]
pub struct EmitAtTheEnd(Option<Bus>);

impl Drop for EmitAtTheEnd {
    fn drop(&mut self) {
        if let Some(bus) = self.0.take() {
            bus.emit(Logout { id: 2 }).detach().unwrap();
        }
    }
}

#[tokio::test]
async fn a_retry_under_an_id_the_bus_made_is_a_duplicate_too() {
    let bus = bus().await;
    let id = bus.emit(Login { id: 1 }).await.unwrap().id().unwrap();
    assert!(bus.emit(Login { id: 1 }).id(id).await.unwrap().is_duplicate());
    assert_eq!(bus.history("*").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_size_bound_counts_fields_that_serde_reads_by_a_function() {
    let bus = Bus::builder().history_bytes(10_000).build().await.unwrap();
    for _ in 0..20 {
        bus.emit(Custom { data: "x".repeat(1_000), more: "x".repeat(1_000) }).await.unwrap();
    }
    let kept = bus.history("*").await.unwrap().len();
    assert!((3..=5).contains(&kept), "{kept}");
}

#[event("history.custom")]
pub struct Custom {
    #[serde(with = "shouted")]
    pub data: String,
    #[event(opaque)]
    pub more: String,
}

mod shouted {
    pub fn serialize<S: serde::Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text.to_uppercase())
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        serde::Deserialize::deserialize(from)
    }
}

/// A copy that a record kept would not be counted in its size.
#[tokio::test]
async fn a_decoded_event_is_shared_where_a_handler_shares_it_and_else_is_a_copy_that_is_not_kept() {
    for shares in [false, true] {
        let bus = Bus::builder().build().await.unwrap();
        if shares {
            bus.on(|_: Arc<Decoded>| ());
        }
        bus.emit(Decoded(7)).await.unwrap();
        let record = bus.history("history_decoded.*").await.unwrap().complete().unwrap().remove(0);
        let (first, second) = (record.decode::<Decoded>().unwrap(), record.decode::<Decoded>().unwrap());
        assert_eq!((first.0, Arc::ptr_eq(&first, &second)), (7, shares));
        assert_eq!(Arc::strong_count(&first), if shares { 3 } else { 1 });
    }
}

#[event("history_decoded.made")]
pub struct Decoded(pub u32);
