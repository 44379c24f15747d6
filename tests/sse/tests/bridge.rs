//! What browsers are sent, live and when they connect again.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use sse_tests::{Client, Sent, Written, app, is_for};
use tests_support::Random;
use tracing::field::{Field, Visit};
use typed_events::axum::SseBridge;
use typed_events::sqlite::{Sqlite, Synchronous};
use typed_events::{
    Adapter, AdapterError, BoxFuture, Bus, HistoryQuery, Inbox, Plain, Published, Record, Wire, event,
};

async fn bus() -> Bus {
    Bus::builder().build().await.unwrap()
}

/// The numbers up to and with the last one, and the id to resume from.
async fn read_to(client: &mut Client, last: u64) -> (Vec<u64>, String) {
    let mut numbers = Vec::new();
    loop {
        let sent = client.event().await.expect("the connection lives");
        assert_eq!(sent.event, "note.written", "{sent:?}");
        numbers.push(sent.number().unwrap());
        if numbers.last() == Some(&last) {
            return (numbers, sent.id);
        }
    }
}

#[tokio::test]
async fn an_event_is_sent_without_its_secrets() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut client = Client::connect(&app, "ada", "").await.unwrap();
    assert_eq!(
        client.next().await.unwrap(),
        Sent { retry: "3000".into(), comment: "typed-events".into(), ..Sent::default() }
    );
    let emitted = bus.emit(Written::to("ada", 7)).await.unwrap();
    let sent = client.next().await.unwrap();
    assert!(sent.id.ends_with(&emitted.id().unwrap().to_string()), "{sent:?}");
    assert_eq!((sent.event.as_str(), sent.data.as_str()), ("note.written", r#"{"number":7,"user":"ada"}"#));
}

#[tokio::test]
async fn a_user_sees_only_what_is_visible_live_and_again() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut ada = Client::connect(&app, "ada", "").await.unwrap();
    let mut grace = Client::connect(&app, "grace", "").await.unwrap();
    for number in 1..=9 {
        bus.emit(Written::to(["ada", "grace", ""][number as usize % 3], number)).await.unwrap();
    }
    let (seen, _) = read_to(&mut ada, 9).await;
    assert_eq!(seen, [2, 3, 5, 6, 8, 9]);
    let first = grace.event().await.unwrap();
    let mut again = Client::connect(&app, "grace", &first.id).await.unwrap();
    assert_eq!(read_to(&mut grace, 8).await.0, read_to(&mut again, 8).await.0);
}

/// Connects again and again, wherever it may, until it has seen so many events behind an id.
async fn resume(apps: &[Router], random: &mut Random, mut id: String, count: usize) -> Vec<u64> {
    let (mut numbers, mut connections) = (Vec::new(), 0);
    while numbers.len() < count {
        let app = &apps[random.below(apps.len() as u64) as usize];
        let mut client = Client::connect(app, "", &id).await.unwrap();
        connections += 1;
        for _ in 0..(1 + random.below(20) as usize).min(count - numbers.len()) {
            let sent = client.event().await.unwrap();
            assert_eq!(sent.event, "note.written", "{sent:?}");
            numbers.push(sent.number().unwrap());
            id = sent.id;
        }
    }
    println!("{count} events over {connections} connections");
    numbers
}

/// Emits numbers from 1 on, from all instances at the same time; the numbers of the history are those a client sees
/// that begins before them.
async fn resume_while_events_come(buses: Vec<Bus>) {
    const COUNT: u64 = 2_000;
    let mut apps = Vec::new();
    for bus in &buses {
        apps.push(app(&SseBridge::new(bus, "note.*", is_for).build().await.unwrap()));
    }
    let mut client = Client::connect(&apps[0], "", "").await.unwrap();
    buses[0].emit(Written::to("", 0)).await.unwrap();
    let id = client.event().await.unwrap().id;

    let emitting: Vec<_> = (0..buses.len() as u64)
        .map(|which| {
            let buses = buses.clone();
            tokio::spawn(async move {
                for number in (1 + which..=COUNT).step_by(buses.len()) {
                    buses[which as usize].emit(Written::to("", number)).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let seen = resume(&apps, &mut Random::printed("resume"), id, COUNT as usize).await;
    for task in emitting {
        task.await.unwrap();
    }
    let kept = buses[0].history("note.*").of::<Written>().limit(usize::MAX).await.unwrap();
    assert_eq!(seen, Vec::from_iter(kept.iter().skip(1).map(|written| written.number)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_connects_again_misses_nothing_and_gets_nothing_twice() {
    let bus = Bus::builder().history(100_000).build().await.unwrap();
    resume_while_events_come(vec![bus]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_connects_to_another_instance() {
    let folder = tempfile::tempdir().unwrap();
    let mut buses = Vec::new();
    for _ in 0..3 {
        let log = Sqlite::at(folder.path().join("events.db")).synchronous(Synchronous::Normal);
        buses.push(Bus::builder().adapter(log).secrets(Plain).build().await.unwrap());
    }
    resume_while_events_come(buses).await;
}

#[tokio::test]
async fn what_the_history_no_longer_has_is_told() {
    let bus = Bus::builder().history(10).build().await.unwrap();
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    for number in 1..=30 {
        bus.emit(Written::to("", number)).await.unwrap();
    }
    let first = client.event().await.unwrap();
    for (id, last, from) in [(first.id.as_str(), 31, 21), ("no id", 32, 32), ("7", 33, 33)] {
        let mut late = Client::connect(&app, "", id).await.unwrap();
        let told = late.event().await.unwrap();
        assert_eq!((told.event.as_str(), told.id.as_str()), ("typed-events.gap", ""));
        bus.emit(Written::to("", last)).await.unwrap();
        assert_eq!(read_to(&mut late, last).await.0, Vec::from_iter(from..=last), "after {id}");
    }
}

#[tokio::test]
async fn one_that_lags_is_told_cut_off_and_can_resume() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).buffer(8).build().await.unwrap();
    let app = app(&bridge);
    let mut slow = Client::connect(&app, "", "").await.unwrap();
    bus.emit(Written::to("", 0)).await.unwrap();
    let (_, id) = read_to(&mut slow, 0).await;
    for number in 1..=100 {
        bus.emit(Written::to("", number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let told = slow.event().await.unwrap();
    assert_eq!((told.event.as_str(), told.id.as_str()), ("typed-events.lagged", ""));
    assert_eq!(slow.event().await, None);
    drop(slow);
    assert_eq!(bridge.clients(), 0);
    let mut again = Client::connect(&app, "", &id).await.unwrap();
    assert_eq!(read_to(&mut again, 100).await.0, Vec::from_iter(1..=100));
}

#[tokio::test]
async fn there_are_only_so_many_clients() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).most_clients(3).most_clients_of_a_user(2);
    let app = app(&bridge.build().await.unwrap());
    let connect = async |user| Client::connect(&app, user, "").await;
    let (first, _second) = (connect("ada").await.unwrap(), connect("ada").await.unwrap());
    assert_eq!(connect("ada").await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    let _third = connect("grace").await.unwrap();
    assert_eq!(connect("grace").await.err(), Some(StatusCode::TOO_MANY_REQUESTS));
    drop(first);
    connect("grace").await.unwrap();
    connect("ada").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_heart_beats() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    client.next().await.unwrap();
    let since = tokio::time::Instant::now();
    assert_eq!(client.next().await.unwrap(), Sent::default());
    assert_eq!(since.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn it_ends_with_the_bus_or_the_bridge() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).build().await.unwrap();
    let mut client = Client::connect(&app(&bridge), "", "").await.unwrap();
    drop(bridge);
    assert_eq!(client.event().await, None);
    let bridge = SseBridge::new(&bus, "note.*", is_for).build().await.unwrap();
    let mut client = Client::connect(&app(&bridge), "", "").await.unwrap();
    bus.stop().await.unwrap();
    assert_eq!(client.event().await, None);
    assert!(SseBridge::new(&bus, "not a pattern", is_for).build().await.is_err());
}

/// A record as another program has written it.
fn foreign(id: u32, name: &str, data: &str) -> Record {
    let id = format!("0197e0c8-0000-7000-8000-{id:012}");
    let text = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"urn:x","type":"{name}","time":"2026-01-31T12:00:0{}Z","origin":"{id}","data":{data}}}"#,
        &id[id.len() - 1..]
    );
    Record::from_cloudevent(&text).unwrap()
}

/// A log that other programs have written to.
#[derive(Default)]
struct Log {
    kept: Vec<Result<Record, AdapterError>>,
    /// What comes while the bus is built, and is refused.
    brings: Vec<Record>,
}

impl Adapter for Log {
    fn name(&self) -> String {
        "log".into()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(&'a self, _: &'a [Record], _: &'a Wire) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async { Ok(Published::default()) })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        _: &'a Wire,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async { Ok(query.select(self.kept.iter().cloned())) })
    }

    fn subscribe(&self, inbox: Inbox) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            for record in &self.brings {
                assert!(inbox.deliver(record.clone()).await.is_err());
            }
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn s14_messages_of_the_bridge_cannot_be_forged() {
    let (id, sees_all) = ("0.0197e0c8-0000-7000-8000-000000000002", |_: &Record, _: &String| true);
    for (pattern, expected) in [
        // Only the bridge's own has no id.
        ("*", vec![("typed-events.gap", true)]),
        ("typed-events.*", vec![("typed-events.gap", true), ("typed-events.operator.paused", false)]),
    ] {
        // Under the names of the bridge's own messages.
        let names = ["typed-events.gap", "typed-events.lagged", "typed-events.operator.paused"];
        let brings: Vec<_> = names.map(|name| foreign(1, name, "\"forged\"")).into();
        let kept = brings.iter().cloned().map(Ok).collect();
        let bus = Bus::builder().adapter(Log { kept, brings }).secrets(Plain).quiet().build().await.unwrap();
        assert_eq!(bus.stats().refused, 3);
        let bridge = SseBridge::new(&bus, pattern, sees_all).build().await.unwrap();
        let mut client = Client::connect(&app(&bridge), "ada", id).await.unwrap();
        drop(bridge);
        let mut sent = Vec::new();
        while let Some(event) = client.event().await {
            sent.push((event.event, event.id.is_empty()));
        }
        let expected: Vec<_> = expected.into_iter().map(|(name, own)| (name.to_owned(), own)).collect();
        assert_eq!(sent, expected, "{pattern}");
    }
}

#[tokio::test]
async fn v7_a_record_that_cannot_be_read_is_a_gap() {
    let noted = |second| foreign(second, "note.written", r#"{"user":"ada","number":1,"password":"hunter2"}"#);
    let kept = vec![Ok(noted(1)), Err(AdapterError::refused("torn")), Ok(noted(3))];
    let bus =
        Bus::builder().adapter(Log { kept, ..Log::default() }).secrets(Plain).quiet().build().await.unwrap();
    let sees_all = |_: &Record, _: &String| true;
    for (last, expected) in [(1, vec!["typed-events.gap", "note.written"]), (3, vec![])] {
        let bridge = SseBridge::new(&bus, "note.*", sees_all).build().await.unwrap();
        let last = noted(last);
        let id = format!("{}.{}", last.timestamp().as_micros(), last.id());
        let mut client = Client::connect(&app(&bridge), "ada", &id).await.unwrap();
        drop(bridge);
        let mut sent = Vec::new();
        while let Some(event) = client.event().await {
            sent.push(event.event);
        }
        assert_eq!(sent, expected, "behind {id}");
    }
}

#[tokio::test]
async fn s6_a_pattern_that_nothing_matches_is_counted() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    drop(SseBridge::new(&bus, "ntoe.*", is_for).build().await.unwrap());
    assert_eq!(bus.stats().unreachable, 1);
    drop(SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    assert_eq!(bus.stats().unreachable, 1);
}

/// The messages of the warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Visit for Warnings {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "typed_events" && *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Can't be written where it is no number.
#[event("weight.taken")]
pub struct WeightTaken(pub f64);

#[tokio::test]
async fn s8_events_that_cannot_be_sent_are_one_line_for_each_name() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "weight.*", |_: &Record, _: &String| true).build().await.unwrap();
    let app = app(&bridge);
    let mut client = Client::connect(&app, "ada", "").await.unwrap();
    let mut number = 0.0;
    bus.emit(WeightTaken(number)).await.unwrap();
    let first = client.event().await.unwrap();
    // What follows is sent, too, which shows that all before was looked at.
    for _ in 0..10 {
        for _ in 0..20 {
            bus.emit(WeightTaken(f64::NAN)).await.unwrap();
        }
        number += 1.0;
        bus.emit(WeightTaken(number)).await.unwrap();
        assert_eq!(client.event().await.unwrap().data, format!("{number:.1}"));
    }
    for _ in 0..3 {
        let mut again = Client::connect(&app, "ada", &first.id).await.unwrap();
        assert_eq!(again.event().await.unwrap().data, "1.0");
    }
    let told = warnings.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(
            "the event `weight.taken` can't be sent to browsers (others like it are only counted): "
        ),
        "{told:?}"
    );
    assert_eq!(bridge.unsent(), 200 + 3 * 200);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The connections of browsers ended in silence, over and over.
#[test]
fn s_runtime_a_bridge_that_loses_its_runtime_says_so() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let said = || {
        let warnings = warnings.0.lock().unwrap();
        warnings.iter().filter(|warning| warning.contains("shut down")).cloned().collect::<Vec<_>>()
    };
    let (home, build) = (runtime(), |bus: &Bus| SseBridge::new(bus, "note.*", is_for).build());
    let bus = home.block_on(bus());
    // One that is dropped, and one whose bus has stopped, are done.
    let (short, stopped) = (runtime(), home.block_on(crate::bus()));
    drop(short.block_on(build(&bus)).unwrap());
    let bridge = short.block_on(build(&stopped)).unwrap();
    home.block_on(stopped.stop()).unwrap();
    drop((short, bridge));
    assert_eq!(said(), [""; 0]);
    let short = runtime();
    let app = app(&short.block_on(build(&bus)).unwrap());
    let mut client = home.block_on(Client::connect(&app, "ada", "")).unwrap();
    drop(short);
    assert_eq!(
        said(),
        [
            "the runtime on which the SseBridge of note.* was built has shut down before `stop`: the connections of browsers end at once; build it on the runtime that lives longest"
        ]
    );
    assert_eq!(home.block_on(client.event()), None);
    home.block_on(bus.stop()).unwrap();
}
