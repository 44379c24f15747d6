//! What browsers are told while the log moves under them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_tests::{Client, Warnings, app, is_for};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, LogId, LogPage, LogPosition, LogQuery, Published,
    Receiver, RecordCodec,
};
use typed_events::axum::SseBridge;
use typed_events::secret::Plain;
use typed_events::{Bus, Record};

const LOG: LogId = LogId::new([7; 16]);

/// The id of the message at a position.
fn id_at(number: u64) -> String {
    LogPosition { log: LOG, number }.to_string()
}

/// A note as another program has written it, whose number is its position.
fn note(number: u64, bytes: usize) -> Result<Record, AdapterError> {
    let id = format!("0197e0c8-0000-7000-8000-{number:012}");
    let user = "x".repeat(bytes);
    let text = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"urn:x","type":"note.written","time":"2026-01-31T12:00:00Z","origin":"{id}","data":{{"user":"{user}","number":{number},"password":""}}}}"#,
    );
    Ok(Record::from_cloudevent(&text).unwrap())
}

/// A log that others write to, which a clone of it is for.
#[derive(Clone, Default)]
struct Store(Arc<Stored>);

struct Stored {
    kept: Mutex<Vec<Result<Record, AdapterError>>>,
    first: AtomicU64,
    reads: AtomicUsize,
    /// Whether reads wait, with what they have found.
    is_held: AtomicBool,
    go_on: Semaphore,
    receiver: Mutex<Option<Receiver>>,
}

impl Default for Stored {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            first: AtomicU64::new(1),
            reads: AtomicUsize::default(),
            is_held: AtomicBool::default(),
            go_on: Semaphore::new(0),
            receiver: Mutex::default(),
        }
    }
}

impl Store {
    fn of(numbers: std::ops::RangeInclusive<u64>, bytes: usize) -> Self {
        let store = Self::default();
        store.0.kept.lock().unwrap().extend(numbers.map(|number| note(number, bytes)));
        store
    }

    async fn bus(&self) -> Bus {
        Bus::builder().adapter(self.clone()).secrets(Plain).quiet().build().await.unwrap()
    }

    fn add(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.0.kept.lock().unwrap().extend(numbers.map(|number| note(number, 0)));
    }

    /// Tells the bus of a record, as an adapter does that follows the log.
    async fn tell(&self, number: u64) {
        let receiver = self.0.receiver.lock().unwrap().take().unwrap();
        receiver.deliver(note(number, 0).unwrap()).await.unwrap();
        *self.0.receiver.lock().unwrap() = Some(receiver);
    }
}

impl Adapter for Store {
    fn name(&self) -> String {
        "store".into()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        self.0.kept.lock().unwrap().extend(records.iter().cloned().map(Ok));
        Box::pin(async { Ok(Published::default()) })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async { Ok(query.select(self.0.kept.lock().unwrap().iter().cloned())) })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async {
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            let first = self.0.first.load(Ordering::SeqCst);
            let kept: Vec<_> = self.0.kept.lock().unwrap().iter().skip(first as usize - 1).cloned().collect();
            let page = query.select(LOG, first, kept);
            if self.0.is_held.load(Ordering::SeqCst) {
                self.0.go_on.acquire().await.unwrap().forget();
            }
            Ok(page)
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        *self.0.receiver.lock().unwrap() = Some(receiver);
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        *self.0.receiver.lock().unwrap() = None;
        Box::pin(async { Ok(()) })
    }
}

fn all_see(_: &Record, _: &String) -> bool {
    true
}

async fn until_idle() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

async fn numbers(client: &mut Client, last: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last) {
        let sent = client.event().await.unwrap();
        numbers.push(sent.number().unwrap_or_else(|| panic!("{sent:?} after {numbers:?}")));
    }
    numbers
}

/// One that was ahead by a few positions was told nothing, and missed what the log then had in their place.
#[tokio::test(start_paused = true)]
async fn a_position_ahead_by_little_is_told_like_one_ahead_by_much() {
    let store = Store::of(1..=5, 0);
    let bridge = SseBridge::new(&store.bus().await, "note.*", all_see).build().await.unwrap();
    for ahead in [6, 8, 127, 128, 129, 1_000, u64::MAX] {
        let mut client = Client::connect(&app(&bridge), "", &id_at(ahead)).await.unwrap();
        let gap = client.event().await.unwrap();
        assert_eq!((gap.data.as_str(), gap.id), (r#"{"reason":"ahead"}"#, id_at(5)), "{ahead}");
    }
}

/// A connection that was cut after the first message had moved the browser's position past a gap it was not told of.
#[tokio::test]
async fn a_gap_is_told_before_the_position_moves() {
    let store = Store::of(1..=5, 0);
    let app = app(&SseBridge::new(&store.bus().await, "note.*", all_see).build().await.unwrap());
    let first = Client::connect(&app, "", "no id").await.unwrap().next().await.unwrap();
    assert_eq!(first.event, "typed-events.gap", "{first:?}");
    assert!(!first.retry.is_empty());
}

/// Its connection stayed open for ever: what it waited for was not read any more.
#[tokio::test(start_paused = true)]
async fn one_that_is_ahead_of_its_instance_ends_with_the_bus() {
    let store = Store::of(1..=5, 0);
    let bus = store.bus().await;
    let bridge = SseBridge::new(&bus, "note.*", all_see).build().await.unwrap();
    store.add(6..=8);
    let mut client = Client::connect(&app(&bridge), "", &id_at(8)).await.unwrap();
    client.next().await.unwrap();
    let next = tokio::spawn(async move { client.event().await });
    until_idle().await;
    bus.stop().await.unwrap();
    assert_eq!(timeout(Duration::from_secs(50), next).await.unwrap().unwrap(), None);
}

/// The last page of the log was read once for each message and client.
#[tokio::test]
async fn the_end_of_the_log_is_read_once_for_what_a_client_missed() {
    let store = Store::of(1..=100, 0);
    let app = app(&SseBridge::new(&store.bus().await, "note.*", all_see).build().await.unwrap());
    for _ in 0..3 {
        let mut client = Client::connect(&app, "", &id_at(0)).await.unwrap();
        assert_eq!(numbers(&mut client, 100).await, Vec::from_iter(1..=100));
    }
    let reads = store.0.reads.load(Ordering::SeqCst);
    assert!(reads < 10, "{reads}");
}

/// Each message was looked for from the first page of its 128 positions on.
#[tokio::test]
async fn large_records_are_read_once_for_a_client() {
    let store = Store::of(1..=127, 70_000);
    let bridge =
        SseBridge::new(&store.bus().await, "note.*", all_see).buffer_bytes(1 << 20).build().await.unwrap();
    let mut client = Client::connect(&app(&bridge), "", &id_at(0)).await.unwrap();
    assert_eq!(numbers(&mut client, 127).await, Vec::from_iter(1..=127));
    let reads = store.0.reads.load(Ordering::SeqCst);
    assert!(reads < 2 * 127, "{reads}");
}

/// Each message of a page was read anew, where more pages were in use than are kept.
#[tokio::test]
async fn clients_at_many_positions_read_what_they_missed_about_once() {
    const CLIENTS: u64 = 64;
    let store = Store::of(1..=CLIENTS * 128, 0);
    let bridge =
        SseBridge::new(&store.bus().await, "note.*", all_see).buffer_bytes(1 << 20).max_clients_per_user(100);
    let app = app(&bridge.build().await.unwrap());
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        clients.push(Client::connect(&app, "", &id_at(client * 128)).await.unwrap());
    }
    for _ in 0..128 {
        for client in &mut clients {
            client.event().await.unwrap();
        }
    }
    let reads = store.0.reads.load(Ordering::SeqCst) as u64;
    println!("{reads} reads");
    assert!(reads < 20 * CLIENTS, "{reads}");
}

/// It waited for news until the next heartbeat, though the log had some: another client's read had begun before.
#[tokio::test(start_paused = true)]
async fn a_read_that_began_before_the_news_hides_none() {
    let store = Store::of(1..=127, 0);
    let bus = store.bus().await;
    let bridge =
        SseBridge::new(&bus, "note.*", all_see).buffer(1).heartbeat(Duration::from_secs(1_000)).build();
    let bridge = bridge.await.unwrap();
    let app = app(&bridge);
    store.add(128..=128);
    // Reads the log itself, which is held up.
    store.0.is_held.store(true, Ordering::SeqCst);
    let mut early = Client::connect(&app, "", &id_at(128)).await.unwrap();
    let early = tokio::spawn(async move { numbers(&mut early, 131).await });
    until_idle().await;
    store.0.is_held.store(false, Ordering::SeqCst);
    store.add(129..=131);
    store.tell(131).await;
    until_idle().await;
    let mut late = Client::connect(&app, "", &id_at(128)).await.unwrap();
    let late = tokio::spawn(async move { numbers(&mut late, 131).await });
    until_idle().await;
    store.0.go_on.add_permits(100);
    for client in [early, late] {
        let seen = timeout(Duration::from_secs(500), client).await.expect("it is sent the news").unwrap();
        assert_eq!(seen, [129, 130, 131]);
    }
}

/// Only events that are not seen counted towards a client's turn.
#[tokio::test]
async fn other_tasks_get_their_turn_while_a_client_is_sent_much() {
    let store = Store::of(1..=1_000, 0);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let slow = move |_: &Record, _: &String| {
        counted.fetch_add(1, Ordering::SeqCst);
        let until = Instant::now() + Duration::from_micros(300);
        while Instant::now() < until {}
        true
    };
    let bridge = SseBridge::new(&store.bus().await, "note.*", slow).build().await.unwrap();
    let mut client = Client::connect(&app(&bridge), "", &id_at(0)).await.unwrap();
    let reading = tokio::spawn(async move { numbers(&mut client, 1_000).await });
    let (mut before, mut most) = (0, 0);
    while !reading.is_finished() {
        tokio::task::yield_now().await;
        let now = calls.load(Ordering::SeqCst);
        most = most.max(now - before);
        before = now;
    }
    assert!(most < 10, "{most} calls at a time");
}

/// Each client, and each of its looks at the log, was a line.
#[tokio::test]
async fn s_a_record_that_cannot_be_read_is_one_line() {
    let store = Store::of(1..=3, 0);
    store.0.kept.lock().unwrap()[1] = Err(AdapterError::refused("torn"));
    let bus = Bus::builder().adapter(store.clone()).secrets(Plain).build().await.unwrap();
    let warnings = Warnings::default();
    let _guard = tests_support::listen(warnings.clone());
    let app = app(&SseBridge::new(&bus, "note.*", all_see).build().await.unwrap());
    for _ in 0..10 {
        let mut client = Client::connect(&app, "", &id_at(0)).await.unwrap();
        for _ in 0..3 {
            client.event().await.unwrap();
        }
    }
    let told = warnings.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:#?}");
}

/// What was read before the server lost the end of its log was sent in place of what came then.
#[tokio::test(start_paused = true)]
async fn pages_of_an_end_that_was_lost_are_not_sent() {
    let store = Store::of(1..=256, 0);
    let bridge = SseBridge::new(&store.bus().await, "note.*", all_see).build().await.unwrap();
    let app = app(&bridge);
    let mut client = Client::connect(&app, "", &id_at(0)).await.unwrap();
    assert_eq!(numbers(&mut client, 256).await.len(), 256);
    store.0.kept.lock().unwrap().truncate(100);
    // It is looked where the log ends.
    let gap = client.event().await.unwrap();
    assert_eq!((gap.data.as_str(), gap.id), (r#"{"reason":"ahead"}"#, id_at(100)));
    store.add(1_101..=1_200);
    for from in [100, 0] {
        let mut again = Client::connect(&app, "", &id_at(from)).await.unwrap();
        let seen = numbers(&mut again, 1_200).await;
        assert_eq!(seen, Vec::from_iter((from + 1..=100).chain(1_101..=1_200)));
    }
}

#[tokio::test]
async fn close_counts_after_stop_too() {
    let bus = Bus::builder().build().await.unwrap();
    let bridge = SseBridge::new(&bus, "note.*", is_for).build().await.unwrap();
    bus.stop().await.unwrap();
    until_idle().await;
    bridge.close();
    assert!(Client::connect(&app(&bridge), "", "").await.is_err());
}
