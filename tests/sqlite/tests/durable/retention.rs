//! What the log trims, and what stays. It looks when it is opened, and every 10 s.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlite_tests::Noted;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::span;
use typed_events::sqlite::{Retention, Sqlite, Synchronous};
use typed_events::{BoxFuture, Bus, BusBuilder, DeadLetters, Durable, event};

use crate::File;
use crate::outbox::until;

#[event("shelf.filled")]
pub struct Filled {
    pub number: u32,
    pub shelf: u32,
    pub text: String,
}

const ALL: Retention = Retention::everything();

/// A bus on the file, which is not waited for: nobody cuts the power.
fn keeping(file: &File, retention: Retention) -> BusBuilder {
    let adapter = Sqlite::at(file.path()).synchronous(Synchronous::Normal).retention(retention);
    Bus::builder().adapter(adapter).lease(Duration::from_millis(300)).quiet()
}

/// Opens the file once more, until it is trimmed to these.
async fn trim(file: &File, retention: Retention, kept: RangeInclusive<u32>) {
    let bus = keeping(file, retention).build().await.unwrap();
    until_kept(&bus, kept).await;
    bus.stop().await.unwrap();
}

/// Each on a shelf of its own.
async fn fill(bus: &Bus, numbers: RangeInclusive<u32>) {
    let filled: Vec<_> =
        numbers.map(|number| Filled { number, shelf: number, text: String::new() }).collect();
    bus.emit_all(filled).await.unwrap();
}

async fn kept(bus: &Bus) -> Vec<u32> {
    let kept = bus.history("shelf.*").of::<Filled>().limit(usize::MAX).await.unwrap();
    kept.iter().map(|filled| filled.number).collect()
}

/// Waits until the history has these, for at most a minute.
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

/// Waits until a consumer has finished all there is, for at most a minute.
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
    /// How many events a consumer said it had lost.
    fn lost_by(&self, consumer: &str) -> u64 {
        let begin = format!("durable handler {consumer} lost ");
        let said = self.0.lock().unwrap();
        said.iter().filter_map(|line| line.strip_prefix(&begin)?.split_once(' ')?.0.parse::<u64>().ok()).sum()
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

/// A handler that waits at the first event, and then fails at it, or not.
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

/// An event that was trimmed while it was leased left a row that failed every later exchange.
#[tokio::test]
async fn what_is_trimmed_while_it_is_handled_holds_up_nothing() {
    let (file, gate, said) = (File::new(), Arc::new(Semaphore::new(0)), Said::default());
    let _guard = tracing::subscriber::set_default(said.clone());
    let millisecond = Duration::from_millis(1);
    let consumers = [
        (Durable::new("succeeds"), false, 1_989),
        (Durable::new("tries-again").retries(5).backoff(millisecond, millisecond), true, 1_990),
        (Durable::new("gives-up").retries(0), true, 1_990),
    ];
    let seen = [(); 3].map(|()| Arc::new(Noted::default()));
    let mut builder = keeping(&file, ALL);
    for ((durable, fails, _), seen) in consumers.iter().zip(&seen) {
        builder = builder.durable(durable.clone(), "shelf.filled", stuck(seen, &gate, *fails));
    }
    let bus = builder.build().await.unwrap();
    fill(&bus, 1..=2_000).await;
    until(|| seen.iter().all(|seen| seen.all() == [1])).await;
    trim(&file, ALL.records(10).even_past_consumers(), 1_991..=2_000).await;
    gate.add_permits(3);
    for ((durable, _, lost), seen) in consumers.iter().zip(&seen) {
        until_done(&bus, durable.name()).await;
        assert_eq!(seen.all(), Vec::from_iter(std::iter::once(1).chain(1_991..=2_000)), "{}", durable.name());
        assert_eq!(said.lost_by(durable.name()), *lost, "{}", durable.name());
        assert_eq!(bus.consumer(durable.name()).status().await.unwrap().dead, 0);
    }
    bus.stop().await.unwrap();
}

#[test]
fn what_is_trimmed_while_a_process_that_ended_has_it_holds_up_nothing() {
    let (file, gate, seen) = (File::new(), Arc::new(Semaphore::new(0)), Arc::new(Noted::default()));
    let take =
        || keeping(&file, ALL).durable(Durable::new("take"), "shelf.filled", stuck(&seen, &gate, false));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Its handler never comes to an end, and its lease is not extended when nobody drives the runtime.
    let ended = runtime();
    let _bus = ended.block_on(async {
        let bus = take().build().await.unwrap();
        fill(&bus, 1..=2_000).await;
        until(|| seen.all() == [1]).await;
        bus
    });
    let said = Said::default();
    let _guard = tracing::subscriber::set_default(said.clone());
    runtime().block_on(async {
        trim(&file, ALL.records(10).even_past_consumers(), 1_991..=2_000).await;
        let bus = take().build().await.unwrap();
        until_done(&bus, "take").await;
        assert_eq!(seen.all(), Vec::from_iter(std::iter::once(1).chain(1_991..=2_000)));
        assert_eq!(said.lost_by("take"), 1_990);
        bus.stop().await.unwrap();
    });
    ended.shutdown_background();
}

/// What waited for an event of its key that was trimmed waited for ever.
#[tokio::test]
async fn what_waits_for_a_trimmed_event_of_its_key_goes_on() {
    let (file, seen, said) = (File::new(), Arc::new(Noted::default()), Said::default());
    let _guard = tracing::subscriber::set_default(said.clone());
    let hour = Duration::from_secs(60 * 60);
    let sorted = Durable::new("sort").ordered_by("shelf").concurrency(64).backoff(hour, hour);
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
    trim(&file, ALL.records(2).even_past_consumers(), 1_999..=2_000).await;
    until_done(&bus, "sort").await;
    assert_eq!(seen.all()[1_998..], [1_999, 2_000]);
    assert_eq!(said.lost_by("sort"), 1);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_that_is_replayed_is_kept_until_it_is_finished() {
    let (file, seen, said) = (File::new(), Arc::new(Noted::default()), Said::default());
    let _guard = tracing::subscriber::set_default(said.clone());
    let (gate, millisecond) = (Arc::new(Semaphore::new(0)), Duration::from_millis(1));
    let take = {
        let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
        move |filled: Arc<Filled>| -> BoxFuture<'static, Result<(), &'static str>> {
            let (seen, gate) = (Arc::clone(&seen), Arc::clone(&gate));
            Box::pin(async move {
                seen.note(filled.number);
                match seen.all().iter().filter(|number| **number == 1).count() {
                    // Both attempts fail; it is dead.
                    1 | 2 if filled.number == 1 => Err("no room"),
                    // It is replayed, and fails once more, after it was trimmed.
                    3 if filled.number == 1 => {
                        gate.acquire().await.expect("it is never closed").forget();
                        Err("still no room")
                    }
                    _ => Ok(()),
                }
            })
        }
    };
    let durable = Durable::new("take").concurrency(64).retries(1).backoff(millisecond, millisecond);
    let bus = keeping(&file, ALL).durable(durable, "shelf.filled", take).build().await.unwrap();
    fill(&bus, 1..=1_500).await;
    until_done(&bus, "take").await;
    trim(&file, ALL.records(10), 1_491..=1_500).await;
    assert_eq!(bus.consumer("take").replay(DeadLetters::All).await.unwrap(), 1);
    until(|| seen.all().len() == 1_502).await;
    fill(&bus, 1_501..=1_600).await;
    until(|| seen.all().len() == 1_602).await;
    trim(&file, ALL.records(10).even_past_consumers(), 1_591..=1_600).await;
    gate.add_permits(1);
    until_done(&bus, "take").await;
    assert_eq!(seen.all().iter().filter(|number| **number == 1).count(), 4);
    assert_eq!((bus.consumer("take").status().await.unwrap().dead, said.lost_by("take")), (0, 0));
    bus.stop().await.unwrap();
}
