//! Events in transactions of the user.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use typed_events::consumer::DeadLetters;
use typed_events::{Bus, Delivery, ErrorKind, EventId, Metadata, Record, StartAt, event, on};

use crate::{File, Seen};

#[event("stock.moved")]
pub struct StockMoved {
    pub shelf: u32,
    pub number: u64,
}

#[on(durable = "book", from = "start", concurrency = 16, ordered_by = "shelf")]
fn book(moved: &StockMoved, booked: &Booked) {
    booked.0.lock().unwrap().entry(moved.shelf).or_default().push(moved.number);
}

/// The delivered events by shelf, in order.
#[derive(Default)]
struct Booked(Mutex<BTreeMap<u32, Vec<u64>>>);

pub(crate) async fn pool(file: &File) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(file.path()).busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new().max_connections(16).connect_with(options).await.unwrap()
}

fn random(seed: &mut u64) -> u64 {
    // A linear congruential generator with the constants of Knuth's MMIX. Only the upper bits are used.
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *seed >> 33
}

#[on("stock.*")]
fn live(record: &Record, seen: &Seen) {
    seen.note(record.get::<StockMoved>().unwrap().number.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_exists_if_and_only_if_the_transaction_commits() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let bus = file.builder().shared(Arc::clone(&seen)).handler::<live>().build().await.unwrap();
    let other = file.builder().shared(Arc::clone(&seen)).handler::<live>().build().await.unwrap();
    let pool = pool(&file).await;
    for (number, commits) in [(1, true), (2, false), (3, true)] {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        bus.emit_in(&mut tx, StockMoved { shelf: 1, number }).await.unwrap();
        assert!(!seen.all().contains(&number.to_string()), "before the commit");
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
    }
    // Live handlers get them from the log, even on the bus that emitted.
    until(|| seen.all().len() == 4).await;
    let mut all = seen.all();
    all.sort();
    assert_eq!(all, ["1", "1", "3", "3"]);
    assert_eq!(bus.history("*").of::<StockMoved>().await.unwrap().len(), 2);
    bus.stop().await.unwrap();
    other.stop().await.unwrap();
}

/// Yields until a condition is true, for at most a minute.
pub(crate) async fn until(so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("it never became so");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_transactions_with_delays_and_rollbacks_deliver_what_they_committed_in_order() {
    let events: u64 = std::env::var("OUTBOX_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let (file, booked) = (File::new(), Arc::new(Booked::default()));
    let bus = file.builder().shared(Arc::clone(&booked)).handler::<book>().build().await.unwrap();
    let pool = pool(&file).await;
    let writers = (0..16_u32).map(|shelf| {
        let (bus, pool) = (bus.clone(), pool.clone());
        tokio::spawn(async move { write(&bus, &pool, shelf, events / 16).await })
    });
    let mut committed = BTreeMap::new();
    for (shelf, writer) in writers.collect::<Vec<_>>().into_iter().enumerate() {
        committed.insert(shelf as u32, writer.await.unwrap());
    }
    let total: usize = committed.values().map(Vec::len).sum();
    let mut status = bus.consumer("book").status().await.unwrap();
    while status.lag > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        status = bus.consumer("book").status().await.unwrap();
    }
    bus.stop().await.unwrap();
    // At least once, and in the order of the commits, except for repetitions.
    let delivered = booked.0.lock().unwrap().clone();
    let mut repeated = 0;
    for (shelf, numbers) in &delivered {
        let mut seen = BTreeSet::new();
        let firsts: Vec<_> = numbers.iter().copied().filter(|number| seen.insert(*number)).collect();
        let wrong = firsts.iter().zip(&committed[shelf]).position(|(one, other)| one != other);
        assert_eq!((firsts.len(), wrong), (committed[shelf].len(), None), "shelf {shelf}");
        repeated += numbers.len() - firsts.len();
    }
    assert_eq!(delivered.len(), committed.len());
    println!("{total} of {events} events committed and delivered, {repeated} of them again; {status}");
}

/// Moves stock in transactions of 1 to 8 events, a fifth of which roll back. Returns the committed events.
async fn write(bus: &Bus, pool: &SqlitePool, shelf: u32, events: u64) -> Vec<u64> {
    let (mut seed, mut next, mut committed) = (u64::from(shelf) + 1, 0, Vec::new());
    while next < events {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let numbers: Vec<_> = (next..events.min(next + 1 + random(&mut seed) % 8)).collect();
        next += numbers.len() as u64;
        for number in &numbers {
            bus.emit_in(&mut tx, StockMoved { shelf, number: *number }).await.unwrap();
            if random(&mut seed).is_multiple_of(16) {
                tokio::time::sleep(Duration::from_micros(random(&mut seed) % 2_000)).await;
            }
        }
        match random(&mut seed) % 5 {
            0 => tx.rollback().await.unwrap(),
            _ => {
                tx.commit().await.unwrap();
                committed.extend(numbers);
            }
        }
    }
    committed
}

#[event("account.credited")]
pub struct Credited {
    pub cents: i64,
}

#[on(durable = "credit", retries = 3, backoff = "1ms..1ms")]
async fn credit(credited: &Credited, delivery: &Delivery, pool: &SqlitePool) -> Result<(), String> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| error.to_string())?;
    if delivery.first_time(&mut tx).await.map_err(|error| error.to_string())? {
        let add = sqlx::query("UPDATE balance SET cents = cents + ?1").bind(credited.cents);
        add.execute(&mut *tx).await.map_err(|error| error.to_string())?;
    }
    tx.commit().await.map_err(|error| error.to_string())?;
    // The work is done; the acknowledgement is lost twice.
    if delivery.attempt() < 3 { Err("the answer got lost".into()) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_writes_beside_its_note_happens_once() {
    let file = File::new();
    let first = file.builder().build().await.unwrap();
    let pool = pool(&file).await;
    sqlx::query("CREATE TABLE balance (cents INTEGER)").execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO balance VALUES (0)").execute(&pool).await.unwrap();
    first.stop().await.unwrap();
    let bus = file.builder().state(pool.clone()).handler::<credit>().build().await.unwrap();
    for cents in [1, 10, 100] {
        bus.emit(Credited { cents }).await.unwrap().settled().await.unwrap();
    }
    let cents: i64 = sqlx::query_scalar("SELECT cents FROM balance").fetch_one(&pool).await.unwrap();
    assert_eq!(cents, 111);
    bus.stop().await.unwrap();
}

/// Whether handlers fail after they have written.
struct Fails(AtomicBool);

#[on(durable = "count", retries = 0, from = "start")]
async fn count(
    _: &Credited,
    delivery: &Delivery,
    pool: &SqlitePool,
    fails: &Arc<Fails>,
) -> Result<(), String> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| error.to_string())?;
    if delivery.first_time(&mut tx).await.map_err(|error| error.to_string())? {
        let add = sqlx::query("UPDATE balance SET cents = cents + 1");
        add.execute(&mut *tx).await.map_err(|error| error.to_string())?;
    }
    tx.commit().await.map_err(|error| error.to_string())?;
    if fails.0.load(Ordering::SeqCst) { Err("the answer got lost".into()) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn c7_a_rebuild_writes_again_and_a_replay_does_not() {
    let file = File::new();
    file.builder().build().await.unwrap().stop().await.unwrap();
    let (pool, fails) = (pool(&file).await, Arc::new(Fails(AtomicBool::new(true))));
    let builder = || file.builder().state(pool.clone()).state(Arc::clone(&fails)).handler::<count>();
    sqlx::query("CREATE TABLE balance (cents INTEGER)").execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO balance VALUES (0)").execute(&pool).await.unwrap();
    let counted =
        async || sqlx::query_scalar::<_, i64>("SELECT cents FROM balance").fetch_one(&pool).await.unwrap();
    let bus = builder().build().await.unwrap();
    let emitted = bus.emit_all([1, 2, 3].map(|cents| Credited { cents })).await.unwrap();
    let settled = async || {
        for emitted in &emitted {
            emitted.settled().await.unwrap();
        }
    };
    settled().await;
    let consumer = bus.consumer("count");
    assert_eq!((counted().await, consumer.status().await.unwrap().dead), (3, 3));
    fails.0.store(false, Ordering::SeqCst);
    assert_eq!(consumer.replay(DeadLetters::All).await.unwrap(), 3);
    settled().await;
    assert_eq!(counted().await, 3, "a replay keeps the notes");
    consumer.seek(StartAt::Position(2)).await.unwrap();
    settled().await;
    assert_eq!(counted().await, 5, "a seek forgets those of the events that are delivered again");
    consumer.seek(StartAt::Now).await.unwrap();
    consumer.seek(StartAt::Start).await.unwrap();
    settled().await;
    assert_eq!(counted().await, 8);
    consumer.remove().await.unwrap();
    bus.stop().await.unwrap();
    let bus = builder().build().await.unwrap();
    until_async(async || bus.consumer("count").status().await.unwrap().lag == 0).await;
    assert_eq!(counted().await, 11, "a removed consumer has no notes");
    bus.stop().await.unwrap();
}

pub(crate) async fn until_async(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("it never became so");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emit_in_a_transaction_takes_metadata_and_an_id() {
    let file = File::new();
    let bus = file.builder().build().await.unwrap();
    let pool = pool(&file).await;
    let (id, moved) = (EventId::new(), |number| StockMoved { shelf: 1, number });
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let emit = bus.emit_in(&mut tx, moved(1)).metadata(Metadata::new().with_source("shelf")).id(id);
    assert_eq!(emit.await.unwrap(), id);
    drop(bus.emit_in(&mut tx, moved(2)));
    tx.commit().await.unwrap();
    let records = bus.history("stock.moved").await.unwrap();
    assert_eq!(records.len(), 1, "an emit that is dropped before its first poll writes nothing");
    assert_eq!((records[0].id(), records[0].metadata().source()), (id, Some("shelf")));
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = bus.emit_in(&mut tx, moved(3)).id(id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Append);
    assert!(error.to_string().contains(&format!("the log has an event with the id {id} already")), "{error}");
    tx.rollback().await.unwrap();
    bus.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_another_database_is_refused_by_name() {
    let (file, other) = (File::new(), File::new());
    let bus = file.builder().build().await.unwrap();
    let stranger = other.builder().build().await.unwrap();
    let pool = pool(&other).await;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = bus.emit_in(&mut tx, StockMoved { shelf: 1, number: 1 }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Append);
    assert!(error.to_string().contains("the transaction is in another database than the log at"), "{error}");
    tx.rollback().await.unwrap();
    let in_memory = Bus::new().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let error = in_memory.emit_in(&mut tx, StockMoved { shelf: 1, number: 1 }).await.unwrap_err();
    assert!(error.to_string().contains("the bus has no adapter"), "{error}");
    tx.rollback().await.unwrap();
    bus.stop().await.unwrap();
    stranger.stop().await.unwrap();
}
