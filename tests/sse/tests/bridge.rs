//! What browsers are sent, live and when they connect again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sse_tests::{Client, Sent, Warnings, Written, app, is_for};
use tests_support::{Random, size};
use tokio::time::Instant;
use tower::ServiceExt;
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, LogId, LogPage, LogPosition, LogQuery, Published,
    Receiver, RecordCodec,
};
use typed_events::axum::SseBridge;
use typed_events::secret::Plain;
use typed_events::sqlite::{Sqlite, Synchronous};
use typed_events::{Bus, Record, event};

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
    let first = client.next().await.unwrap();
    assert_eq!((first.event.as_str(), first.data.as_str()), ("typed-events.position", "{}"));
    let retry: u64 = first.retry.parse().unwrap();
    assert!((3_000..=4_500).contains(&retry), "{first:?}");
    bus.emit(Written::to("ada", 7)).await.unwrap();
    let sent = client.next().await.unwrap();
    assert!(!first.id.is_empty() && !sent.id.is_empty() && first.id != sent.id, "{first:?} {sent:?}");
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
    let bus = Bus::builder().history(10).stream_buffer(10).build().await.unwrap();
    let app = app(&SseBridge::new(&bus, "note.*", is_for).buffer(5).build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    bus.emit(Written::to("", 1)).await.unwrap();
    let first = client.event().await.unwrap();
    for number in 2..=30 {
        bus.emit(Written::to("", number)).await.unwrap();
    }
    until_idle().await;
    for (id, kept, reason) in
        [(first.id.as_str(), 21..31, "trimmed"), ("no id", 31..31, "unknown"), ("7", 31..31, "unknown")]
    {
        let mut late = Client::connect(&app, "", id).await.unwrap();
        let told = late.event().await.unwrap();
        assert_eq!(told.event, "typed-events.gap");
        assert_eq!(told.data, format!(r#"{{"reason":"{reason}"}}"#));
        // The gap is told once.
        let mut again = Client::connect(&app, "", &told.id).await.unwrap();
        for number in kept {
            assert_eq!(late.event().await.unwrap().number(), Some(number), "after {id}");
            assert_eq!(again.event().await.unwrap().number(), Some(number), "after {id}");
        }
    }
    let mut late = Client::connect(&app, "", "no id").await.unwrap();
    assert_eq!(late.event().await.unwrap().event, "typed-events.gap");
    bus.emit(Written::to("", 31)).await.unwrap();
    assert_eq!(read_to(&mut late, 31).await.0, [31]);
}

#[tokio::test]
async fn one_that_is_slow_gets_what_it_missed_from_the_history() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).buffer(8).build().await.unwrap();
    let app = app(&bridge);
    let mut slow = Client::connect(&app, "", "").await.unwrap();
    bus.emit(Written::to("", 0)).await.unwrap();
    read_to(&mut slow, 0).await;
    for number in 1..=500 {
        bus.emit(Written::to("", number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_to(&mut slow, 500).await.0, Vec::from_iter(1..=500));
}

#[tokio::test]
async fn one_that_is_too_far_behind_is_told() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).buffer(8).resume(100).build().await.unwrap();
    let app = app(&bridge);
    let mut client = Client::connect(&app, "", "").await.unwrap();
    bus.emit(Written::to("", 0)).await.unwrap();
    let (_, id) = read_to(&mut client, 0).await;
    for number in 1..=500 {
        bus.emit(Written::to("", number)).await.unwrap();
    }
    until_idle().await;
    let mut late = Client::connect(&app, "", &id).await.unwrap();
    assert_eq!(late.event().await.unwrap().data, r#"{"reason":"too-many"}"#);
    assert_eq!(read_to(&mut late, 500).await.0, Vec::from_iter(401..=500));
}

/// What a client is told that is to come again later: only when, and the connection ends.
async fn comes_later(mut client: Client) -> u64 {
    let sent = client.next().await.unwrap();
    let retry = sent.retry.parse().unwrap();
    assert_eq!(sent, Sent { retry: sent.retry.clone(), ..Sent::default() });
    assert_eq!(client.next().await, None);
    retry
}

#[tokio::test]
async fn b1_one_client_too_many_comes_again_later() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).max_clients(3).max_clients_per_user(2);
    let app = app(&bridge.build().await.unwrap());
    let connect = async |user| Client::connect(&app, user, "").await.unwrap();
    let (first, _second) = (connect("ada").await, connect("ada").await);
    assert!(comes_later(connect("ada").await).await >= 30_000);
    let _third = connect("grace").await;
    assert!(comes_later(connect("grace").await).await >= 30_000);
    drop(first);
    let mut grace = connect("grace").await;
    assert_eq!(grace.next().await.unwrap().event, "typed-events.position");
}

/// Each time, a browser is told another time to wait, so that not all reconnect at once.
#[tokio::test]
async fn b1_retry_has_jitter_at_the_start_and_at_the_end_of_a_stream() {
    const CONNECTIONS: usize = 50;
    let bus = bus().await;
    let bridge =
        SseBridge::new(&bus, "note.*", is_for).max_clients_per_user(CONNECTIONS).build().await.unwrap();
    let short =
        SseBridge::new(&bus, "note.*", is_for).retry(Duration::from_millis(100)).build().await.unwrap();
    let zero = SseBridge::new(&bus, "note.*", is_for).retry(Duration::ZERO).build().await.unwrap();
    let (bridge, short, zero) = (app(&bridge), app(&short), app(&zero));
    let (mut first, mut refused, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut connected = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(&bridge, "ada", "").await.unwrap();
        first.push(client.next().await.unwrap().retry.parse().unwrap());
        connected.push(client);
    }
    for _ in 0..CONNECTIONS {
        refused.push(comes_later(Client::connect(&bridge, "ada", "").await.unwrap()).await);
    }
    bus.stop().await.unwrap();
    for client in &mut connected {
        assert_eq!(client.event().await, None);
    }
    for _ in 0..CONNECTIONS {
        ended.push(comes_later(Client::connect(&short, "ada", "").await.unwrap()).await);
        assert_eq!(comes_later(Client::connect(&zero, "ada", "").await.unwrap()).await, 0);
    }
    for (told, range) in [(first, 3_000..=4_500), (refused, 30_000..=45_000), (ended, 100..=150)] {
        assert!(told.iter().all(|wait| range.contains(wait)), "{told:?} in {range:?}");
        let distinct: std::collections::BTreeSet<u64> = told.iter().copied().collect();
        assert!(distinct.len() > 10, "{told:?}");
    }
}

/// Browsers reconnect after 200 alone, so each other status is one that is meant to end that.
#[tokio::test]
async fn b1_every_status_of_the_bridge() {
    let note = foreign(1, "note.written", r#"{"user":"ada","number":1,"password":"hunter2"}"#);
    let is_away = Arc::new(AtomicBool::new(false));
    let log = Log { kept: vec![Ok(note)], is_away: Arc::clone(&is_away), ..Log::default() };
    let bus = Bus::builder().adapter(log).secrets(Plain).quiet().build().await.unwrap();
    let bridge = SseBridge::new(&bus, "note.*", all_see).max_clients(1).build().await.unwrap();
    let closed = SseBridge::new(&bus, "note.*", all_see).build().await.unwrap();
    let app = app(&bridge);
    let answer = async |app: &Router, last: &str| {
        let request = axum::http::Request::get("/events?user=ada").header("last-event-id", last.as_bytes());
        let response = app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (response.status(), kind)
    };
    let stream = (StatusCode::OK, Some("text/event-stream".to_owned()));
    let other_log = LogPosition { log: LogId::new([8; 16]), number: 1 }.to_string();
    // Neither a position that is unknown nor text that is no position is a bad request.
    let ids =
        ["", &id_at(0), &id_at(1), &id_at(99), &other_log, "no id", "\t\u{e4}\u{f6}", &"9".repeat(5_000)];
    for id in ids {
        assert_eq!(answer(&app, id).await, stream, "{id:?}");
    }
    is_away.store(true, Ordering::SeqCst);
    for id in ids {
        assert_eq!(answer(&app, id).await, stream, "{id:?}, while the log is away");
    }
    let connected = Client::connect(&app, "ada", "").await.unwrap();
    assert_eq!(answer(&app, "").await, stream, "one client too many");
    drop(connected);
    bus.stop().await.unwrap();
    until_idle().await;
    assert_eq!(answer(&app, "").await, stream, "the bus has stopped");
    closed.close();
    bridge.close();
    for app in [&sse_tests::app(&closed), &app] {
        assert_eq!(answer(app, &id_at(0)).await, (StatusCode::NO_CONTENT, None), "closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_heart_beats() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    client.next().await.unwrap();
    let since = Instant::now();
    // A comment, which is no message.
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
    // Other instances may be there.
    assert!(comes_later(Client::connect(&app(&bridge), "", "").await.unwrap()).await >= 3_000);
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

const LOG: LogId = LogId::new([7; 16]);

/// The id of the message at a position.
fn id_at(number: u64) -> String {
    LogPosition { log: LOG, number }.to_string()
}

/// A log that other programs have written to.
#[derive(Default)]
struct Log {
    /// Whether it can't be read.
    is_away: Arc<AtomicBool>,
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

    fn publish<'a>(
        &'a self,
        _: &'a [Record],
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async { Ok(Published::default()) })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async { Ok(query.select(self.kept.iter().cloned())) })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async {
            match self.is_away.load(Ordering::SeqCst) {
                true => Err(AdapterError::unavailable("away")),
                false => Ok(query.select(LOG, 1, self.kept.iter().cloned())),
            }
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            for record in &self.brings {
                assert!(receiver.deliver(record.clone()).await.is_err());
            }
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

fn all_see(_: &Record, _: &String) -> bool {
    true
}

#[tokio::test]
async fn s14_messages_of_the_bridge_cannot_be_forged() {
    for (pattern, expected) in [("+.*", "note.written"), ("typed-events.*", "typed-events.operator.paused")] {
        // Under the names of the bridge's own messages.
        let names = ["typed-events.gap", "typed-events.position", "typed-events.operator.paused"];
        let brings: Vec<_> = names.map(|name| foreign(1, name, "\"forged\"")).into();
        let note = foreign(2, "note.written", r#"{"user":"ada","number":1,"password":"hunter2"}"#);
        let kept = brings.iter().cloned().chain([note]).map(Ok).collect();
        let log = Log { kept, brings, ..Log::default() };
        let bus = Bus::builder().adapter(log).secrets(Plain).quiet().build().await.unwrap();
        assert_eq!(bus.stats().refused, 3);
        let bridge = SseBridge::new(&bus, pattern, all_see).build().await.unwrap();
        let mut client = Client::connect(&app(&bridge), "ada", &id_at(0)).await.unwrap();
        assert_eq!(client.event().await.unwrap().event, expected, "{pattern}");
        bridge.close();
        assert_eq!(client.event().await, None);
    }
}

#[tokio::test]
async fn v7_a_record_that_cannot_be_read_is_a_gap() {
    let noted = |second| foreign(second, "note.written", r#"{"user":"ada","number":1,"password":"hunter2"}"#);
    let kept = vec![Ok(noted(1)), Err(AdapterError::refused("torn")), Ok(noted(3))];
    let bus =
        Bus::builder().adapter(Log { kept, ..Log::default() }).secrets(Plain).quiet().build().await.unwrap();
    let bridge = SseBridge::new(&bus, "note.*", all_see).build().await.unwrap();
    for (number, expected) in [(1, &["typed-events.gap", "note.written"][..]), (2, &["note.written"])] {
        let mut client = Client::connect(&app(&bridge), "ada", &id_at(number)).await.unwrap();
        for expected in expected {
            let sent = client.event().await.unwrap();
            assert_eq!(sent.event, *expected);
            assert!(sent.event == "note.written" || sent.data == r#"{"reason":"unreadable"}"#, "{sent:?}");
        }
    }
}

/// The history could not be read when a browser connected again, which was answered with 503: browsers give up then.
#[tokio::test]
async fn b1_a_log_that_is_away_is_read_when_the_browser_comes_again() {
    let note = foreign(1, "note.written", r#"{"user":"ada","number":1,"password":"hunter2"}"#);
    let is_away = Arc::new(AtomicBool::new(false));
    let log = Log { kept: vec![Ok(note)], is_away: Arc::clone(&is_away), ..Log::default() };
    let warnings = Warnings::default();
    let _guard = tests_support::listen(warnings.clone());
    let bus = Bus::builder().adapter(log).secrets(Plain).build().await.unwrap();
    let app = app(&SseBridge::new(&bus, "note.*", all_see).build().await.unwrap());
    is_away.store(true, Ordering::SeqCst);
    let mut first = Sent::default();
    for _ in 0..10 {
        let mut client = Client::connect(&app, "ada", &id_at(0)).await.unwrap();
        first = client.next().await.unwrap();
        assert!(!first.retry.is_empty(), "{first:?}");
        assert_eq!(client.next().await, None);
    }
    // A line for each would be thousands in an outage.
    let told = warnings.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("a browser was told to reconnect later: the log can't be read: "),
        "{told:?}"
    );
    is_away.store(false, Ordering::SeqCst);
    let mut again = Client::connect(&app, "ada", &first.id).await.unwrap();
    assert_eq!(again.event().await.unwrap().number(), Some(1));
}

/// What came between the first connection and the second was lost without a word.
#[tokio::test]
async fn b2_one_that_has_seen_no_event_misses_none() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    let first = client.next().await.unwrap();
    drop(client);
    for number in 1..=3 {
        bus.emit(Written::to("", number)).await.unwrap();
    }
    // A client that has no id would get what is new.
    until_idle().await;
    let mut again = Client::connect(&app, "", &first.id).await.unwrap();
    assert_eq!(read_to(&mut again, 3).await.0, [1, 2, 3]);
}

#[tokio::test]
async fn b4_a_position_ahead_of_the_log_is_told_once_and_then_comes_what_is_new() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let first = Client::connect(&app, "", "").await.unwrap().next().await.unwrap();
    let ahead = LogPosition { number: 1 << 40, ..LogPosition::parse(&first.id).unwrap() };
    for id in [ahead.to_string(), LogPosition { number: u64::MAX, ..ahead }.to_string(), id_at(3)] {
        let mut client = Client::connect(&app, "", &id).await.unwrap();
        let gap = client.event().await.unwrap();
        assert_eq!(gap.event, "typed-events.gap");
        bus.emit(Written::to("", 1)).await.unwrap();
        read_to(&mut client, 1).await;
        let mut again = Client::connect(&app, "", &gap.id).await.unwrap();
        read_to(&mut again, 1).await;
    }
}

/// A user who sees few events was told of a gap each time, since only events that are seen moved the position.
#[tokio::test]
async fn b5_the_position_moves_with_the_events_that_are_not_seen() {
    let bus = Bus::builder().history(600).stream_buffer(600).build().await.unwrap();
    let bridge = SseBridge::new(&bus, "note.*", is_for).build().await.unwrap();
    let keyed: SseBridge<String> = SseBridge::by(&bus, "note.*", user_of).build().await.unwrap();
    let other: SseBridge<String> = SseBridge::new(&bus, "other.*", all_see).build().await.unwrap();
    for (bridge, is_other) in [(bridge, false), (keyed, false), (other, true)] {
        let app = app(&bridge);
        let mut client = Client::connect(&app, "ada", "").await.unwrap();
        let reading = tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let sent = client.next().await.unwrap();
                if sent.event != "typed-events.position" {
                    assert_eq!(sent.number(), Some(7), "{sent:?}");
                    return ids;
                }
                ids.push(sent.id);
            }
        });
        for number in 1..=2_000 {
            bus.emit(Written::to("grace", number)).await.unwrap();
            if number % 50 == 0 {
                until_idle().await;
            }
        }
        bus.emit(Other { number: 7 }).await.unwrap();
        bus.emit(Written::to("ada", 7)).await.unwrap();
        let ids = reading.await.unwrap();
        // The first one, and one for about every 256 events; where only events of other patterns came, at heartbeats.
        let expected = if is_other { 1..=2 } else { 6..=10 };
        assert!(expected.contains(&ids.len()), "{}", ids.len());
        let mut again = Client::connect(&app, "ada", &ids[ids.len() - 1]).await.unwrap();
        assert_eq!(again.event().await.unwrap().number(), Some(7));
    }
}

async fn until_idle() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

#[event("other.noted")]
pub struct Other {
    pub number: u64,
}

fn user_of(record: &Record) -> Option<String> {
    Some(record.decode::<Written>().ok()?.user.clone())
}

/// Live clients were cut off, and those that resumed got nothing for ever.
#[tokio::test]
async fn b6_a_visible_that_panics_hides_one_event_and_is_one_line() {
    let warnings = Warnings::default();
    let _guard = tests_support::listen(warnings.clone());
    let bus = bus().await;
    let visible = |record: &Record, _: &String| {
        record.decode::<Written>().unwrap().number.is_multiple_of(2) || panic!()
    };
    let keys = |record: &Record| {
        assert!(record.decode::<Written>().unwrap().number.is_multiple_of(2), "odd");
        ["ada".to_owned()]
    };
    let asked = SseBridge::new(&bus, "note.*", visible).build().await.unwrap();
    let keyed = SseBridge::by(&bus, "note.*", keys).build().await.unwrap();
    let apps = [app(&asked), app(&keyed)];
    let mut clients = Vec::new();
    for app in &apps {
        let mut client = Client::connect(app, "ada", "").await.unwrap();
        let id = client.next().await.unwrap().id;
        clients.push((app, client, id));
    }
    for number in 1..=4 {
        bus.emit(Written::to("", number)).await.unwrap();
    }
    for (app, mut client, id) in clients {
        let mut again = Client::connect(app, "ada", &id).await.unwrap();
        assert_eq!(read_to(&mut client, 4).await.0, [2, 4]);
        assert_eq!(read_to(&mut again, 4).await.0, [2, 4]);
    }
    let told = warnings.0.lock().unwrap().clone();
    assert_eq!(told.len(), 2, "{told:?}");
}

/// How long another route takes in the median, and at most, while something else is done.
async fn answers(app: &Router, work: impl Future<Output = ()>) -> [Duration; 2] {
    let mut times = Vec::new();
    let answers = async {
        loop {
            let began = Instant::now();
            let request = axum::http::Request::get("/other").body(axum::body::Body::empty()).unwrap();
            assert_eq!(app.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
            tokio::task::yield_now().await;
            times.push(began.elapsed());
        }
    };
    tokio::select! {
        () = work => {}
        () = answers => {}
    }
    times.sort_unstable();
    [times[times.len() / 2], times[times.len() - 1]]
}

/// Another route waited for all that was looked at for a client: `SSE_MISSED` (1,000) events, `SSE_LOOK_US` (300)
/// microseconds each.
#[tokio::test]
async fn b7_another_route_answers_while_two_clients_resume() {
    let (missed, look) = (size("SSE_MISSED", 1_000), Duration::from_micros(size("SSE_LOOK_US", 300) as u64));
    let bus = Bus::builder().history(missed).build().await.unwrap();
    let slow = move |record: &Record, _: &String| {
        let until = Instant::now() + look;
        while Instant::now() < until {}
        record.decode::<Written>().unwrap().number == missed as u64
    };
    let bridge = SseBridge::new(&bus, "note.*", slow).build().await.unwrap();
    let app = app(&bridge).route("/other", get(|| async {}));
    let mut client = Client::connect(&app, "", "").await.unwrap();
    let id = client.next().await.unwrap().id;
    drop(client);
    for number in 1..=missed {
        bus.emit(Written::to("", number as u64)).await.unwrap();
    }

    let [alone, slowest_alone] = answers(&app, until_idle()).await;
    let mut resuming = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(&app, "", &id).await.unwrap();
        resuming.push(tokio::spawn(async move { client.event().await.unwrap().number() }));
    }
    let with = answers(&app, async {
        for client in resuming {
            assert_eq!(client.await.unwrap(), Some(missed as u64));
        }
    });
    let [with, slowest] = with.await;
    println!(
        "another route's median {alone:?} alone, {with:?} while two clients resume; at most {slowest_alone:?} and \
         {slowest:?}"
    );
    assert!(
        with < 4 * look && slowest < 20 * look + Duration::from_millis(50),
        "{with:?}, at most {slowest:?}"
    );
}

#[tokio::test]
async fn b7_by_keys_an_event_is_looked_at_once() {
    let bus = bus().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let keys = move |record: &Record| {
        counted.fetch_add(1, Ordering::SeqCst);
        user_of(record)
    };
    let app = app(&SseBridge::by(&bus, "note.*", keys).build().await.unwrap());
    let mut clients = Vec::new();
    for user in 0..20 {
        clients.push(Client::connect(&app, &user.to_string(), "").await.unwrap());
    }
    for number in 0..200 {
        bus.emit(Written::to(&(number % 20).to_string(), number)).await.unwrap();
    }
    for (user, client) in (0..).zip(&mut clients) {
        let expected = Vec::from_iter((user..200).step_by(20));
        assert_eq!(read_to(client, 180 + user).await.0, expected);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 200);
}

#[tokio::test]
async fn b8_a_bridge_that_was_closed_ends_its_connections_for_good() {
    let bus = bus().await;
    let bridge = SseBridge::new(&bus, "note.*", is_for).build().await.unwrap();
    let app = app(&bridge);
    let mut client = Client::connect(&app, "", "").await.unwrap();
    bridge.close();
    assert_eq!(client.event().await, None);
    assert_eq!(Client::connect(&app, "", "").await.err(), Some(StatusCode::NO_CONTENT));
    // The bus goes on.
    bus.emit(Written::to("", 1)).await.unwrap();
}

#[tokio::test]
async fn b10_the_position_may_be_in_the_query() {
    let bus = bus().await;
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let first = Client::connect(&app, "", "").await.unwrap().next().await.unwrap();
    bus.emit(Written::to("", 1)).await.unwrap();
    until_idle().await;
    let mut client = Client::connect(&app, &format!("&lastEventId={}", first.id), "").await.unwrap();
    read_to(&mut client, 1).await;
    // The header counts, where there are both.
    let second = Client::connect(&app, "", "").await.unwrap().next().await.unwrap();
    bus.emit(Written::to("", 2)).await.unwrap();
    let query = format!("&lastEventId={}", first.id);
    let mut client = Client::connect(&app, &query, &second.id).await.unwrap();
    assert_eq!(read_to(&mut client, 2).await.0, [2]);
}

#[event("error")]
pub struct Failure {
    pub code: u32,
}

/// Browsers give events of these names to listeners for something else.
#[tokio::test]
async fn b11_names_that_browsers_use_themselves() {
    let bus = bus().await;
    let error = SseBridge::new(&bus, "*", all_see).build().await.unwrap_err().to_string();
    assert!(error.contains("the event `error`") && error.contains(".plain()"), "{error}");
    let app = app(&SseBridge::new(&bus, "*", all_see).plain().build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    client.next().await.unwrap();
    bus.emit(Failure { code: 7 }).await.unwrap();
    let sent = client.next().await.unwrap();
    assert_eq!((sent.event.as_str(), sent.data.as_str()), ("", r#"{"name":"error","data":{"code":7}}"#));
}

#[tokio::test]
async fn s6_a_pattern_that_nothing_matches_is_counted() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    drop(SseBridge::new(&bus, "ntoe.*", is_for).build().await.unwrap());
    assert_eq!(bus.stats().unreachable, 1);
    drop(SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    assert_eq!(bus.stats().unreachable, 1);
}

/// Can't be written where it is no number.
#[event("weight.taken")]
pub struct WeightTaken(pub f64);

#[tokio::test]
async fn s8_events_that_cannot_be_sent_are_one_line_for_each_name() {
    let warnings = Warnings::default();
    let _guard = tests_support::listen(warnings.clone());
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
    assert_eq!(bridge.unsent(), 200);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The connections of browsers ended in silence, over and over.
#[test]
fn s_runtime_a_bridge_that_loses_its_runtime_says_so() {
    let warnings = Warnings::default();
    let _guard = tests_support::listen(warnings.clone());
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

/// What the bridge reads along is kept for it.
#[tokio::test]
async fn a_bus_without_a_history_loses_nothing_for_browsers_that_stay() {
    let bus = Bus::builder().history(0).build().await.unwrap();
    let app = app(&SseBridge::new(&bus, "note.*", is_for).build().await.unwrap());
    let mut client = Client::connect(&app, "", "").await.unwrap();
    for number in 1..=100 {
        bus.emit(Written::to("", number)).await.unwrap();
    }
    assert_eq!(read_to(&mut client, 100).await.0, Vec::from_iter(1..=100));
}

/// Counts as one user; its destructor asks the bridge.
#[derive(Clone)]
struct Asking(Arc<std::sync::Mutex<Option<SseBridge<Asking>>>>);

impl PartialEq for Asking {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Asking {}

impl std::hash::Hash for Asking {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Ok(bridge) = self.0.try_lock() {
            bridge.as_ref().map(SseBridge::clients);
        }
    }
}

#[tokio::test]
async fn the_destructor_of_a_user_may_ask_the_bridge() {
    let bus = bus().await;
    let user = Asking(Arc::default());
    let of = user.clone();
    let bridge =
        SseBridge::by(&bus, "note.*", move |_: &Record| [of.clone()]).buffer(1).build().await.unwrap();
    *user.0.lock().unwrap() = Some(bridge.clone());
    let response = bridge.connect(user.clone(), typed_events::axum::LastEventId::default()).await.unwrap();
    for number in 1..=10 {
        bus.emit(Written::to("", number)).await.unwrap();
        until_idle().await;
    }
    drop(response);
    assert_eq!(bridge.clients(), 0);
    user.0.lock().unwrap().take();
}
