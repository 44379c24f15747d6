//! If a bit of a file is flipped, or the file is truncated, an error names the file, or all its content is right.
//!
//! `FLIPS=10000` damages that many copies. A copy whose damage was not reported is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlite_tests::{Noted, Numbered, Random, log_in, size};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::field::{Field, Visit};
use tracing::span;
use typed_events::consumer::ConsumerStatus;
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, DurableOptions, Error, EventId, Record, StartAt, event};

/// Number of events in the log.
const EVENTS: u64 = 240;
/// Number of events in the database, if the others are still in the write-ahead log.
const CHECKPOINTED: u64 = 180;
/// The pattern of the handlers.
const PATTERN: &str = "crash.*";
/// The consumers: `audit` has events that wait to be tried again, `pay` has dead letters, `late` is behind.
const CONSUMERS: [&str; 3] = ["audit", "pay", "late"];
/// Time in which the remaining events must be handled.
const SOON: Duration = Duration::from_secs(20);

/// A second name, for the index of names.
#[event("crash.short")]
struct Short {
    number: u64,
}

/// A consumer's handler.
#[derive(Clone)]
struct Consumer {
    name: &'static str,
    given: Arc<Noted<u64>>,
    finished: Arc<Noted<u64>>,
    /// A gate at which some events of `audit` wait before they fail.
    gate: Option<Arc<Semaphore>>,
}

impl Consumer {
    fn new(name: &'static str, gate: Option<Arc<Semaphore>>) -> Self {
        Self { name, given: Arc::default(), finished: Arc::default(), gate }
    }

    async fn take(self, record: Record) -> Result<(), String> {
        let number = number_of(record.json().map_err(|error| error.to_string())?);
        self.given.note(number);
        match (self.name, &self.gate) {
            ("audit", Some(gate)) if waits(number) => {
                let _pass = gate.acquire().await;
                return Err("not yet".into());
            }
            ("pay", _) if number % 10 == 7 => return Err("no money".into()),
            _ => {}
        }
        self.finished.note(number);
        Ok(())
    }
}

fn waits(number: u64) -> bool {
    number % 10 == 3 && number >= EVENTS / 2
}

fn number_of(json: &str) -> u64 {
    let json: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    json["number"].as_u64().expect("it has a number")
}

/// A bus with some of the consumers.
async fn bus(folder: &Path, consumers: &[Consumer]) -> Result<Bus, Error> {
    let adapter = Sqlite::at(log_in(folder)).poll(Duration::from_millis(5));
    let mut builder = Bus::builder()
        .adapter(adapter)
        .event::<Numbered>()
        .event::<Short>()
        .stop_deadline(Duration::from_secs(5))
        // A damaged write-ahead log may lose the end of a session, whose events come back after its lease.
        .lease(Duration::from_secs(1))
        .quiet();
    for consumer in consumers {
        // One, because a lost lease counts as an attempt.
        let retries = if consumer.name == "pay" { 1 } else { 5 };
        let durable =
            DurableOptions::new(consumer.name).from(StartAt::Start).concurrency(64).retries(retries);
        let durable = durable.backoff(Duration::from_millis(1), Duration::from_millis(1));
        let consumer = consumer.clone();
        builder = builder.durable(durable, PATTERN, move |record: &Record| {
            Consumer::take(consumer.clone(), record.clone())
        });
    }
    builder.build().await
}

/// The content of the log before it is damaged.
struct Truth {
    /// A log that is completely in the database, and one that is partly in the write-ahead log.
    logs: [Vec<Stored>; 2],
    records: Vec<Known>,
    /// The events that each consumer has finished or given up.
    finished: HashMap<&'static str, HashSet<u64>>,
    dead: BTreeMap<EventId, Vec<u8>>,
}

/// The content of a file, in memory.
struct Stored {
    name: &'static str,
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
struct Known {
    id: EventId,
    name: String,
    micros: i64,
    json: String,
}

impl Known {
    fn of(record: &Record) -> Result<Self, Error> {
        Ok(Self {
            id: record.id(),
            name: record.name().to_owned(),
            micros: record.timestamp().as_micros(),
            json: record.json()?.to_owned(),
        })
    }
}

async fn emit(bus: &Bus, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let length = if number % 17 == 0 { 9_000 } else { number as usize * 7 % 400 };
        match number % 5 {
            0 => bus.emit(Short { number }).await.unwrap(),
            _ => bus.emit(Numbered::of_length(number, length)).await.unwrap(),
        };
    }
}

/// Waits until a condition is true for all consumers.
async fn until(bus: &Bus, is: impl Fn(&ConsumerStatus) -> bool) {
    let began = Instant::now();
    while !bus.consumers().await.unwrap().iter().all(&is) {
        assert!(began.elapsed() < SOON, "{:?}", bus.consumers().await);
        sleep(Duration::from_millis(1)).await;
    }
}

/// Stops the bus, and waits until the file is closed, so that all of it is in the database.
async fn close(bus: Bus, folder: &Path) {
    bus.stop().await.unwrap();
    drop(bus);
    let began = Instant::now();
    while folder.join("events.db-wal").exists() {
        assert!(began.elapsed() < SOON, "a log that is closed is one file");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Moves the write-ahead log into the database, as soon as no reader prevents it.
async fn checkpoint(folder: &Path) {
    let connection = rusqlite::Connection::open(log_in(folder)).unwrap();
    let busy = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    while busy().unwrap() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Creates the log: all consumers have handled its first half, and left the second half in different states.
async fn truth() -> Truth {
    let folder = tempfile::tempdir().unwrap();
    let read = |name| Stored { name, bytes: fs::read(folder.path().join(name)).unwrap() };
    let gate = Arc::new(Semaphore::new(0));
    let consumers = CONSUMERS.map(|name| Consumer::new(name, Some(Arc::clone(&gate))));
    let first = bus(folder.path(), &consumers).await.unwrap();
    emit(&first, 0..EVENTS / 2).await;
    until(&first, |consumer| consumer.lag == 0).await;
    close(first, folder.path()).await;

    let second = bus(folder.path(), &consumers[..2]).await.unwrap();
    emit(&second, EVENTS / 2..CHECKPOINTED).await;
    checkpoint(folder.path()).await;
    emit(&second, CHECKPOINTED..EVENTS).await;
    let waiting = (0..EVENTS).filter(|number| waits(*number)).count() as u64;
    until(&second, |consumer| match consumer.name.as_str() {
        "audit" => consumer.lag == waiting,
        "pay" => consumer.lag == 0,
        _ => true,
    })
    .await;
    second.consumer("audit").pause().await.unwrap();
    gate.close();
    until(&second, |consumer| consumer.in_progress == 0).await;
    let records = second.history(PATTERN).limit(usize::MAX).await.unwrap();
    let records: Vec<_> = records.iter().map(|record| Known::of(record).unwrap()).collect();
    let dead = second.consumer("pay").dead_letters(usize::MAX).await.unwrap();
    let with_wal = vec![read("events.db"), read("events.db-wal"), read("events.db-acknowledged")];
    close(second, folder.path()).await;
    assert_eq!(records.len() as u64, EVENTS);
    let mut finished: HashMap<_, HashSet<_>> =
        consumers.iter().map(|consumer| (consumer.name, consumer.finished.set())).collect();
    let given_up = dead.iter().map(|dead| (dead.event, dead.stored.clone())).collect::<BTreeMap<_, _>>();
    let dead = records.iter().filter(|record| given_up.contains_key(&record.id));
    finished.get_mut("pay").unwrap().extend(dead.map(|record| number_of(&record.json)));
    let closed = vec![read("events.db"), read("events.db-acknowledged")];
    Truth { logs: [closed, with_wal], records, finished, dead: given_up }
}

/// The damage that is done to a copy.
struct Damage {
    /// Index of the log.
    log: usize,
    file: usize,
    name: &'static str,
    what: What,
    /// Whether consumers read the file before the history does.
    is_met_by_consumers: bool,
}

#[derive(Debug)]
enum What {
    Flip { byte: usize, bit: u8 },
    Cut { length: usize },
}

impl Damage {
    fn choose(truth: &Truth, random: &mut Random) -> Self {
        let log = usize::from(random.below(10) < 3);
        // The last file is small.
        let last = truth.logs[log].len() - 1;
        let file = if random.below(20) == 0 { last } else { random.below(last as u64) as usize };
        let length = truth.logs[log][file].bytes.len() as u64;
        let what = match random.below(10) {
            0 => What::Cut { length: if random.below(10) == 0 { 0 } else { random.below(length) as usize } },
            _ => What::Flip { byte: random.below(length) as usize, bit: random.below(8) as u8 },
        };
        Self { log, file, name: truth.logs[log][file].name, what, is_met_by_consumers: random.below(2) == 0 }
    }

    fn write(&self, truth: &Truth, folder: &Path) {
        for (index, Stored { name, bytes }) in truth.logs[self.log].iter().enumerate() {
            let mut bytes = bytes.clone();
            match self.what {
                _ if index != self.file => {}
                What::Flip { byte, bit } => bytes[byte] ^= 1 << bit,
                What::Cut { length } => bytes.truncate(length),
            }
            fs::write(folder.join(name), bytes).expect("a copy is written");
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.name;
        let beside = if self.log == 1 { ", of a log with a write-ahead log" } else { "" };
        match self.what {
            What::Flip { byte, bit } => {
                write!(f, "{file}: byte {byte} (page {}), bit {bit}{beside}", byte / 4096 + 1)
            }
            What::Cut { length } => write!(f, "{file}: cut to {length}{beside}"),
        }
    }
}

/// The result for a copy.
enum Verdict {
    /// Everything that was read is right.
    Harmless,
    /// An error reported the damage, and named the file.
    Said(&'static str),
    /// Something is wrong, and was not reported.
    Silent(String),
}

/// Returns the verdict for an error that reports the damage.
fn said(place: &'static str, error: &impl fmt::Display) -> Verdict {
    let error = error.to_string();
    match error.contains("events.db") {
        true => Verdict::Said(place),
        false => Verdict::Silent(format!("{place} does not name the file: {error}")),
    }
}

/// Opens a damaged copy, and reads and handles all its events.
async fn check(folder: &Path, truth: &Truth, damage: &Damage, warnings: &Warnings) -> Verdict {
    damage.write(truth, folder);
    let consumers = CONSUMERS.map(|name| Consumer::new(name, None));
    let bus = match bus(folder, &consumers).await {
        Ok(bus) => bus,
        Err(error) => return said("build", &error),
    };
    let kept = match damage.is_met_by_consumers {
        true => Ok(()),
        false => check_history(&bus, truth).await,
    };
    let checked = match kept {
        Ok(()) => check_consumers(&bus, truth, &consumers, warnings).await.err(),
        Err(verdict) => Some(verdict),
    };
    // An error of `stop` says only what could not be finished.
    let _ = bus.stop().await;
    checked.unwrap_or(Verdict::Harmless)
}

/// Checks that all records are there and right, or that an error is reported and all other records are right.
async fn check_history(bus: &Bus, truth: &Truth) -> Result<(), Verdict> {
    let read = async |pattern: &str| -> Result<Vec<Known>, Verdict> {
        let records =
            bus.history(pattern).limit(usize::MAX).await.map_err(|error| said("history", &error))?;
        let known: Result<Vec<_>, _> = records.iter().map(Known::of).collect();
        let known = known.map_err(|error| Verdict::Silent(format!("a record can't be read: {error}")))?;
        if records.unreadable().next().is_none() {
            return Ok(known);
        }
        let mut expected = truth.records.iter();
        if let Some(wrong) = known.iter().find(|known| !expected.any(|record| record == *known)) {
            return Err(Verdict::Silent(format!("the history has a wrong record: {}", wrong.id)));
        }
        match records.complete() {
            Err(error) => Err(said("history", &error)),
            Ok(_) => Err(Verdict::Silent("what can't be read counts as read".into())),
        }
    };
    let found = read(PATTERN).await?;
    if found != truth.records {
        return Err(Verdict::Silent(format!("the history has {} records, or wrong ones", found.len())));
    }
    for name in ["crash.numbered", "crash.short"] {
        let expected: Vec<_> = truth.records.iter().filter(|record| record.name == name).cloned().collect();
        let found = read(name).await?;
        if found != expected {
            let (found, expected) = (found.len(), expected.len());
            return Err(Verdict::Silent(format!("the history of {name} has {found} records of {expected}")));
        }
    }
    Ok(())
}

/// Checks that each consumer has handled each record, here or before.
async fn check_consumers(
    bus: &Bus,
    truth: &Truth,
    consumers: &[Consumer],
    warnings: &Warnings,
) -> Result<(), Verdict> {
    bus.consumer("audit").resume().await.map_err(|error| said("consumer", &error))?;
    let began = Instant::now();
    loop {
        let all = bus.consumers().await.map_err(|error| said("consumer", &error))?;
        // Check the warnings last, because finished events may have caused warnings before.
        if let Some(warning) = warnings.first() {
            return Err(said("consumer", &warning));
        }
        if all.len() == consumers.len() && all.iter().all(|consumer| consumer.lag == 0) {
            break;
        }
        if began.elapsed() > SOON {
            return Err(Verdict::Silent(format!("consumers don't finish: {all:?}")));
        }
        sleep(Duration::from_millis(1)).await;
    }
    let dead =
        bus.consumer("pay").dead_letters(usize::MAX).await.map_err(|error| said("dead letters", &error))?;
    let kept = &truth.records;
    for consumer in consumers {
        let mut finished = truth.finished[consumer.name].clone();
        finished.extend(consumer.given.all());
        if consumer.name == "pay" {
            let given_up = kept.iter().filter(|known| dead.iter().any(|dead| dead.event == known.id));
            finished.extend(given_up.map(|known| number_of(&known.json)));
        }
        let skipped = kept.iter().filter(|record| !finished.contains(&number_of(&record.json))).count();
        if skipped > 0 {
            return Err(Verdict::Silent(format!("{} skipped {skipped} events", consumer.name)));
        }
    }
    let given = consumers[1].given.set();
    for (known, position) in kept.iter().zip(1..).filter(|(known, _)| truth.dead.contains_key(&known.id)) {
        // It may have been handled again.
        let again = given.contains(&number_of(&known.json));
        let stored = &truth.dead[&known.id];
        match dead.iter().find(|dead| dead.position == position) {
            Some(dead) if dead.event == known.id && dead.stored == *stored => {}
            Some(dead) if dead.error.contains("damaged") => {}
            None if again => {}
            Some(_) => return Err(Verdict::Silent("a dead letter is wrong".into())),
            None => return Err(Verdict::Silent("a dead letter is missing".into())),
        }
    }
    Ok(())
}

fn is_usual(warning: &str) -> bool {
    warning.contains("no money")
        || warning.contains("durable handler pay gets the event")
        || warning.contains("consumer: \"pay\"")
            && warning.contains("error: the program that handled it ended")
}

/// The warnings of the bus of one thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Returns the first warning, except those about failed handlers and about attempts that a process did not finish.
    fn first(&self) -> Option<String> {
        self.0.lock().unwrap().iter().find(|warning| !is_usual(warning)).cloned()
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!("{}: {value:?} ", field.name()));
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The results of all copies.
#[derive(Default)]
struct Sum {
    harmless: usize,
    said: BTreeMap<&'static str, usize>,
    silent: Vec<String>,
}

/// Damages and checks copies until `end` copies were checked.
fn damage(truth: &Truth, seed: u64, next: &AtomicUsize, end: usize, sum: &Mutex<Sum>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let warnings = Warnings::default();
    let _listens = tests_support::listen(warnings.clone());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let damage = Damage::choose(truth, &mut Random::new(seed.wrapping_add(number as u64 * 7_919)));
        warnings.clear();
        let verdict = runtime.block_on(check(folder.path(), truth, &damage, &warnings));
        let mut sum = sum.lock().unwrap();
        match verdict {
            Verdict::Harmless => sum.harmless += 1,
            Verdict::Said(place) => *sum.said.entry(place).or_default() += 1,
            Verdict::Silent(what) => {
                let kept = folder.keep();
                damage.write(truth, &kept);
                sum.silent.push(format!("{damage}: {what}; as it was opened: {}", kept.display()));
            }
        }
    }
}

#[test]
fn damage_is_found_or_harmless() {
    let (mut random, began) = (Random::printed("flips"), Instant::now());
    let copies = size("FLIPS", 300);
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(panic);
    }));
    let truth = tokio::runtime::Runtime::new().unwrap().block_on(truth());
    let (seed, next, sum) = (random.below(u64::MAX), AtomicUsize::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(4) {
            scope.spawn(|| damage(&truth, seed, &next, copies, &sum));
        }
    });
    let Sum { harmless, said, silent } = sum.into_inner().unwrap();
    println!(
        "flips: {copies} copies in {:.1?}: {said:?} said so; {harmless} harmless; {} silent",
        began.elapsed(),
        silent.len()
    );
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something panicked");
}
