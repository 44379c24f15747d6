//! Which events the log trims, when it is opened and every 10 s.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use sqlite_tests::Noted;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::span;
use typed_events::adapter::BoxFuture;
use typed_events::consumer::DeadLetters;
use typed_events::sqlite::{Sqlite, Synchronous};
use typed_events::{Bus, BusBuilder, DurableOptions, Retention, StartAt, event};

use crate::File;
use crate::outbox::until;
use crate::versions::{self, newer};

#[event("shelf.filled")]
pub struct Filled {
    pub number: u32,
    pub shelf: u32,
    pub text: String,
}

const ALL: Retention = Retention::everything();

/// Returns a builder for a bus on the file, which does not wait for the disk, because these tests don't cut the power.
fn keeping(file: &File, retention: Retention) -> BusBuilder {
    let adapter = Sqlite::at(file.path()).synchronous(Synchronous::Normal).retention(retention);
    Bus::builder().adapter(adapter).lease(Duration::from_millis(300)).quiet()
}

/// Opens the file, and waits until it is trimmed to these events.
async fn trim(file: &File, retention: Retention, kept: RangeInclusive<u32>) {
    let bus = keeping(file, retention).build().await.unwrap();
    until_kept(&bus, kept).await;
    bus.stop().await.unwrap();
}

/// Emits events with these numbers, each on another shelf.
async fn fill(bus: &Bus, numbers: RangeInclusive<u32>) {
    fill_with(bus, numbers, "").await;
}

async fn fill_with(bus: &Bus, numbers: RangeInclusive<u32>, text: &str) {
    let filled: Vec<_> =
        numbers.map(|number| Filled { number, shelf: number, text: text.to_owned() }).collect();
    bus.emit_all(filled).await.unwrap();
}

async fn kept(bus: &Bus) -> Vec<u32> {
    let kept = bus.history("shelf.*").of::<Filled>().limit(usize::MAX).await.unwrap();
    kept.iter().map(|filled| filled.number).collect()
}

/// Waits until the history has exactly these events, for at most a minute.
async fn until_kept(bus: &Bus, numbers: RangeInclusive<u32>) {
    let expected: Vec<_> = numbers.collect();
    let waited = timeout(Duration::from_secs(60), async {
        while kept(bus).await != expected {
            sleep(Duration::from_millis(1)).await;
        }
    });
    if waited.await.is_err() {
        assert_eq!(kept(bus).await, expected);
    }
}

/// Waits until a consumer has finished all events, for at most a minute.
async fn until_done(bus: &Bus, consumer: &str) {
    let waited = timeout(Duration::from_secs(60), async {
        while bus.consumer(consumer).status().await.unwrap().lag > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    if waited.await.is_err() {
        panic!("{}", bus.consumer(consumer).status().await.unwrap());
    }
}

/// A handler that notes the numbers it gets.
fn noting(seen: &Arc<Noted<u32>>) -> impl Fn(&Filled) + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move |filled| seen.note(filled.number)
}

/// The warnings of this thread.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    /// Returns how many events a consumer has reported as lost.
    fn lost_by(&self, consumer: &str) -> u64 {
        let begin = format!("durable handler {consumer} lost ");
        let said = self.0.lock().unwrap();
        said.iter().filter_map(|line| line.strip_prefix(&begin)?.split_once(' ')?.0.parse::<u64>().ok()).sum()
    }

    /// Waits until a consumer has reported this number of lost events, for at most a minute. The report follows the
    /// commit.
    async fn lost(&self, consumer: &str, events: u64) {
        let waited = timeout(Duration::from_secs(60), async {
            while self.lost_by(consumer) < events {
                sleep(Duration::from_millis(1)).await;
            }
        });
        let _ = waited.await;
        assert_eq!(self.lost_by(consumer), events, "{consumer}");
    }
}

impl tracing::Subscriber for Said {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{value:?}"));
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

#[tokio::test(flavor = "multi_thread")]
async fn by_count_the_newest_are_kept_and_a_late_handler_begins_with_them() {
    let file = File::new();
    let bus = keeping(&file, ALL).build().await.unwrap();
    fill(&bus, 1..=2_500).await;
    let began = bus.history("shelf.*").limit(usize::MAX).await.unwrap()[0].timestamp();
    bus.stop().await.unwrap();

    let bus = keeping(&file, ALL.records(10)).build().await.unwrap();
    until_kept(&bus, 2_491..=2_500).await;
    let since = bus.history("shelf.*").since(began).limit(usize::MAX).await.unwrap();
    assert_eq!(since.len(), 10);
    let seen = Arc::new(Noted::default());
    bus.replay(100).on(noting(&seen)).await.unwrap();
    assert_eq!(seen.all(), Vec::from_iter(2_491..=2_500));
    bus.stop().await.unwrap();

    // When the file is opened again, positions continue, and the log starts at the oldest event that is kept.
    let seen = Arc::new(Noted::default());
    let late = DurableOptions::new("late").from(StartAt::Start);
    let builder = keeping(&file, ALL).durable(late, "shelf.filled", noting(&seen));
    let bus = builder.build().await.unwrap();
    fill(&bus, 2_501..=2_501).await;
    until_done(&bus, "late").await;
    assert_eq!(seen.all(), Vec::from_iter(2_491..=2_501));
    assert_eq!(bus.consumer("late").status().await.unwrap().position, 2_501);
    bus.consumer("late").seek(StartAt::Position(1)).await.unwrap();
    until(|| seen.all().len() == 22).await;
    assert_eq!(seen.all()[11..], Vec::from_iter(2_491..=2_501));
    bus.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_open_is_trimmed_too() {
    let file = File::new();
    let bus = keeping(&file, ALL.records(10)).build().await.unwrap();
    fill(&bus, 1..=1_500).await;
    let expected: Vec<_> = (1_491..=1_500).collect();
    // The task that trims may have begun its wait of ten seconds after an advance of the clock.
    for _ in 0..1_000 {
        tokio::time::advance(Duration::from_secs(10)).await;
        if kept(&bus).await == expected {
            break;
        }
    }
    assert_eq!(kept(&bus).await, expected);
    bus.stop().await.unwrap();
}

/// Makes the first records older, and updates their checksums.
fn age(file: &File, up_to: i64, by: Duration) {
    let connection = Connection::open(file.path()).unwrap();
    let mut read = connection
        .prepare("SELECT position, id, name, version, time, origin, outbox, text FROM typed_events_log WHERE position <= ?1")
        .unwrap();
    let mut rows = read.query([up_to]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (position, name, text): (i64, String, String) =
            (row.get(0).unwrap(), row.get(2).unwrap(), row.get(7).unwrap());
        let time: i64 = row.get::<_, i64>(4).unwrap() - by.as_micros() as i64;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&position.to_le_bytes());
        crc.update(&row.get::<_, [u8; 16]>(1).unwrap());
        crc.update(&(name.len() as u64).to_le_bytes());
        crc.update(name.as_bytes());
        crc.update(&row.get::<_, u32>(3).unwrap().to_le_bytes());
        crc.update(&time.to_le_bytes());
        crc.update(&row.get::<_, [u8; 16]>(5).unwrap());
        crc.update(&[row.get(6).unwrap()]);
        crc.update(text.as_bytes());
        let write = "UPDATE typed_events_log SET time = ?2, crc = ?3 WHERE position = ?1";
        connection.execute(write, (position, time, crc.finalize())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_age_what_is_older_goes() {
    let file = File::new();
    let bus = keeping(&file, ALL).build().await.unwrap();
    fill(&bus, 1..=1_300).await;
    bus.stop().await.unwrap();
    let hour = Duration::from_secs(60 * 60);
    age(&file, 1_200, 2 * hour);
    trim(&file, ALL.age(3 * hour), 1..=1_300).await;
    trim(&file, ALL.age(hour), 1_201..=1_300).await;
    // The newest event is kept, however old it is.
    trim(&file, ALL.age(Duration::ZERO), 1_300..=1_300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_size_the_oldest_go_and_the_file_shrinks() {
    let file = File::new();
    let bus = keeping(&file, ALL).build().await.unwrap();
    for thousand in 0..12 {
        fill_with(&bus, thousand * 1_000 + 1..=thousand * 1_000 + 1_000, &"x".repeat(1_000)).await;
    }
    bus.stop().await.unwrap();
    let full = pages(&file).0;
    let bound = full / 2;

    // The bound is in pages of 4 KiB. A thousand records are trimmed at a time, and up to a thousand free pages stay.
    let bus = keeping(&file, ALL.bytes(bound * 4_096)).build().await.unwrap();
    let trimmed = async {
        while pages(&file).0 > bound + 1_000 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), trimmed).await.expect("it is trimmed, and given back");
    let kept = kept(&bus).await;
    assert_eq!(kept, Vec::from_iter(12_001 - kept.len() as u32..=12_000));
    assert!((5_000..=6_000).contains(&kept.len()), "{}", kept.len());
    bus.stop().await.unwrap();
    let (all, free) = pages(&file);
    assert!(all - free <= bound && free < 1_000, "{all} pages, {free} of them free; before: {full}");
    let bytes = std::fs::metadata(file.path()).unwrap().len();
    assert!(bytes <= all * 4_096, "{bytes} bytes are {all} pages");
}

/// Moves the write-ahead log into the file, if there is no reader. Returns the number of pages of the file, and how
/// many of them are free.
fn pages(file: &File) -> (u64, u64) {
    let connection = Connection::open(file.path()).unwrap();
    let number = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let pragma = |name| connection.query_row(&format!("PRAGMA {name}"), [], number).unwrap() as u64;
    pragma("wal_checkpoint(TRUNCATE)");
    (pragma("page_count"), pragma("freelist_count"))
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_while_it_trims() {
    let file = File::new();
    let bus = keeping(&file, ALL).build().await.unwrap();
    for thousand in 0..8 {
        fill(&bus, thousand * 1_000 + 1..=thousand * 1_000 + 1_000).await;
    }
    bus.stop().await.unwrap();
    let bus = keeping(&file, ALL.records(100)).build().await.unwrap();
    let (done, written) = (Arc::new(AtomicBool::new(false)), Arc::new(Noted::default()));
    let writers: Vec<_> = (1..=4)
        .map(|writer| {
            let (bus, done, written) = (bus.clone(), Arc::clone(&done), Arc::clone(&written));
            tokio::spawn(async move {
                for number in writer * 100_000.. {
                    fill(&bus, number..=number).await;
                    written.note(number);
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                }
            })
        })
        .collect();
    let trimmed = async {
        while kept(&bus).await[0] <= 8_000 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), trimmed).await.expect("it is trimmed while they write");
    done.store(true, Ordering::Release);
    for writer in writers {
        writer.await.expect("no write fails");
    }
    // The numbers of each writer ascend, and none after the oldest that is kept is missing.
    let kept = kept(&bus).await;
    for writer in 1..=4 {
        let of = |all: &[u32]| all.iter().copied().filter(|n| n / 100_000 == writer).collect::<Vec<_>>();
        let (kept, written) = (of(&kept), of(&written.all()));
        assert!(written.ends_with(&kept), "{kept:?}");
    }
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_consumer_has_yet_to_finish_is_kept() {
    let (file, seen, said) = (File::new(), Arc::new(Noted::default()), Said::default());
    let _guard = tests_support::listen(said.clone());
    let slow = |retention| {
        let slow = DurableOptions::new("slow").concurrency(64);
        keeping(&file, retention).durable(slow, "shelf.filled", noting(&seen))
    };
    let bus = slow(ALL).build().await.unwrap();
    fill(&bus, 1..=100).await;
    until_done(&bus, "slow").await;
    bus.consumer("slow").pause().await.unwrap();
    fill(&bus, 101..=2_500).await;
    bus.stop().await.unwrap();

    let bus = slow(ALL.records(10)).build().await.unwrap();
    until_kept(&bus, 101..=2_500).await;
    bus.consumer("slow").resume().await.unwrap();
    until_done(&bus, "slow").await;
    let mut all = seen.all();
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(1..=2_500));
    assert_eq!(said.lost_by("slow"), 0);
    bus.stop().await.unwrap();

    // No program runs the consumer any more, so all new events are kept until it is removed.
    let bus = keeping(&file, ALL.records(10)).build().await.unwrap();
    until_kept(&bus, 2_491..=2_500).await;
    fill(&bus, 2_501..=3_600).await;
    bus.stop().await.unwrap();
    let bus = keeping(&file, ALL.records(10)).build().await.unwrap();
    until_kept(&bus, 2_501..=3_600).await;
    bus.consumer("slow").remove().await.unwrap();
    bus.stop().await.unwrap();
    trim(&file, ALL.records(10), 3_591..=3_600).await;
}

#[tokio::test]
async fn where_it_is_told_to_it_trims_past_consumers_who_say_what_they_lost() {
    let (file, seen, said) = (File::new(), Arc::new(Noted::default()), Said::default());
    let _guard = tests_support::listen(said.clone());
    let slow = |retention| {
        keeping(&file, retention).durable(DurableOptions::new("slow"), "shelf.filled", noting(&seen))
    };
    let bus = slow(ALL).build().await.unwrap();
    fill(&bus, 1..=5).await;
    until_done(&bus, "slow").await;
    bus.consumer("slow").pause().await.unwrap();
    fill(&bus, 6..=2_500).await;
    bus.stop().await.unwrap();

    let bus = slow(ALL.records(10).ignoring_consumers()).build().await.unwrap();
    until_kept(&bus, 2_491..=2_500).await;
    bus.consumer("slow").resume().await.unwrap();
    until_done(&bus, "slow").await;
    assert_eq!(seen.all(), Vec::from_iter((1..=5).chain(2_491..=2_500)));
    said.lost("slow", 2_485).await;
    bus.stop().await.unwrap();
}

/// Returns a handler that waits at the first event, and then fails or succeeds.
fn stuck(
    seen: &Arc<Noted<u32>>,
    gate: &Arc<Semaphore>,
    fails: bool,
) -> impl Fn(Arc<Filled>) -> BoxFuture<'static, Result<(), &'static str>> + Send + Sync + 'static {
    let (seen, gate) = (Arc::clone(seen), Arc::clone(gate));
    move |filled| {
        let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
        Box::pin(async move {
            seen.note(filled.number);
            if filled.number == 1 {
                gate.acquire().await.expect("it is never closed").forget();
            }
            if filled.number == 1 && fails { Err("no room") } else { Ok(()) }
        })
    }
}

/// Regression: an event that was trimmed while it was leased left a row, which made every later exchange fail.
#[tokio::test]
async fn what_is_trimmed_while_it_is_handled_holds_up_nothing() {
    let (file, gate, said) = (File::new(), Arc::new(Semaphore::new(0)), Said::default());
    let _guard = tests_support::listen(said.clone());
    let millisecond = Duration::from_millis(1);
    let consumers = [
        (DurableOptions::new("succeeds"), false, 1_989),
        (DurableOptions::new("tries-again").retries(5).backoff(millisecond, millisecond), true, 1_990),
        (DurableOptions::new("gives-up").retries(0), true, 1_990),
    ];
    let seen = [(); 3].map(|()| Arc::new(Noted::default()));
    let mut builder = keeping(&file, ALL);
    for ((durable, fails, _), seen) in consumers.iter().zip(&seen) {
        builder = builder.durable(durable.clone(), "shelf.filled", stuck(seen, &gate, *fails));
    }
    let bus = builder.build().await.unwrap();
    fill(&bus, 1..=2_000).await;
    until(|| seen.iter().all(|seen| seen.all() == [1])).await;
    trim(&file, ALL.records(10).ignoring_consumers(), 1_991..=2_000).await;
    gate.add_permits(3);
    for ((durable, _, lost), seen) in consumers.iter().zip(&seen) {
        until_done(&bus, durable.name()).await;
        assert_eq!(seen.all(), Vec::from_iter(std::iter::once(1).chain(1_991..=2_000)), "{}", durable.name());
        said.lost(durable.name(), *lost).await;
        assert_eq!(bus.consumer(durable.name()).status().await.unwrap().dead, 0);
    }
    bus.stop().await.unwrap();
}

#[test]
fn what_is_trimmed_while_a_process_that_ended_has_it_holds_up_nothing() {
    let (file, gate, seen) = (File::new(), Arc::new(Semaphore::new(0)), Arc::new(Noted::default()));
    let take = || {
        keeping(&file, ALL).durable(DurableOptions::new("take"), "shelf.filled", stuck(&seen, &gate, false))
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Its handler never finishes, and its lease is not extended while the runtime is not driven.
    let ended = runtime();
    let _bus = ended.block_on(async {
        let bus = take().build().await.unwrap();
        fill(&bus, 1..=2_000).await;
        until(|| seen.all() == [1]).await;
        bus
    });
    let said = Said::default();
    let _guard = tests_support::listen(said.clone());
    runtime().block_on(async {
        trim(&file, ALL.records(10).ignoring_consumers(), 1_991..=2_000).await;
        let bus = take().build().await.unwrap();
        until_done(&bus, "take").await;
        assert_eq!(seen.all(), Vec::from_iter(std::iter::once(1).chain(1_991..=2_000)));
        said.lost("take", 1_990).await;
        bus.stop().await.unwrap();
    });
    ended.shutdown_background();
}

/// Regression: an event that waited for a trimmed event of its key waited forever.
#[tokio::test]
async fn what_waits_for_a_trimmed_event_of_its_key_goes_on() {
    let (file, seen, said) = (File::new(), Arc::new(Noted::default()), Said::default());
    let _guard = tests_support::listen(said.clone());
    let hour = Duration::from_secs(60 * 60);
    let sorted = DurableOptions::new("sort").ordered_by("shelf").concurrency(64).backoff(hour, hour);
    let note = noting(&seen);
    let sort = move |filled: &Filled| {
        note(filled);
        if filled.number == 1 { Err("not yet") } else { Ok(()) }
    };
    let bus = keeping(&file, ALL).durable(sorted, "shelf.filled", sort).build().await.unwrap();
    fill(&bus, 1..=1_998).await;
    for number in [1_999, 2_000] {
        bus.emit(Filled { number, shelf: 1, text: String::new() }).await.unwrap();
    }
    until(|| seen.all().len() == 1_998).await;
    trim(&file, ALL.records(2).ignoring_consumers(), 1_999..=2_000).await;
    until_done(&bus, "sort").await;
    assert_eq!(seen.all()[1_998..], [1_999, 2_000]);
    said.lost("sort", 1).await;
    bus.stop().await.unwrap();
}

/// Events that are held for a newer program are lost, too, and no longer count as lag.
#[tokio::test]
async fn what_is_held_for_a_newer_program_can_be_trimmed() {
    let (file, said) = (File::new(), Said::default());
    let _guard = tests_support::listen(said.clone());
    let hold = |_: &versions::Opened| {};
    let builder = keeping(&file, ALL).durable(DurableOptions::new("hold"), "ticket.opened", hold);
    let bus = builder.build().await.unwrap();
    newer(&file, &["emit", "1"]);
    fill(&bus, 1..=100).await;
    let held = async {
        loop {
            let status = bus.consumer("hold").status().await.unwrap();
            if (status.unclaimed, status.lag) == (1, 1) {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), held).await.expect("it is held");
    trim(&file, ALL.records(10).ignoring_consumers(), 91..=100).await;
    until_done(&bus, "hold").await;
    said.lost("hold", 1).await;
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_that_is_replayed_is_kept_until_it_is_finished() {
    let (file, seen, said) = (File::new(), Arc::new(Noted::default()), Said::default());
    let _guard = tests_support::listen(said.clone());
    let (gate, millisecond) = (Arc::new(Semaphore::new(0)), Duration::from_millis(1));
    let take = {
        let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
        move |filled: Arc<Filled>| -> BoxFuture<'static, Result<(), &'static str>> {
            let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
            Box::pin(async move {
                seen.note(filled.number);
                match seen.all().iter().filter(|number| **number == 1).count() {
                    // Both attempts fail, so the event becomes a dead letter.
                    1 | 2 if filled.number == 1 => Err("no room"),
                    // The dead letter is replayed, and fails again after the event was trimmed.
                    3 if filled.number == 1 => {
                        gate.acquire().await.expect("it is never closed").forget();
                        Err("still no room")
                    }
                    _ => Ok(()),
                }
            })
        }
    };
    let durable = DurableOptions::new("take").concurrency(64).retries(1).backoff(millisecond, millisecond);
    let bus = keeping(&file, ALL).durable(durable, "shelf.filled", take).build().await.unwrap();
    fill(&bus, 1..=1_500).await;
    until_done(&bus, "take").await;
    trim(&file, ALL.records(10), 1_491..=1_500).await;
    assert_eq!(bus.consumer("take").replay(DeadLetters::All).await.unwrap(), 1);
    until(|| seen.all().len() == 1_502).await;
    fill(&bus, 1_501..=1_600).await;
    until(|| seen.all().len() == 1_602).await;
    trim(&file, ALL.records(10).ignoring_consumers(), 1_591..=1_600).await;
    gate.add_permits(1);
    until_done(&bus, "take").await;
    assert_eq!(seen.all().iter().filter(|number| **number == 1).count(), 4);
    assert_eq!((bus.consumer("take").status().await.unwrap().dead, said.lost_by("take")), (0, 0));
    bus.stop().await.unwrap();
}
