//! Throughput of durable events: `cargo run --release -p durable-bench [rounds [append] [end] [burst] [poison]]`.
//!
//! Each figure is the median over all rounds. In each round, all candidates take turns.

#![allow(clippy::disallowed_methods, reason = "it measures")]

mod floor;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use floor::{Floor, Group};
use tokio::sync::Semaphore;
use typed_events::handler::Handler;
use typed_events::sqlite::{Sqlite, Synchronous};
use typed_events::{Bus, BusBuilder, event, on};

/// An event of about 200 bytes of JSON.
#[event("bench.stored")]
pub struct Stored {
    pub number: u64,
    pub text: String,
}

impl Stored {
    fn new(number: u64) -> Self {
        Self { number, text: "x".repeat(170) }
    }
}

#[derive(Default)]
struct Tally {
    good: AtomicU64,
    /// Every `poison`-th event fails; 0 if none does.
    poison: AtomicU64,
    done: Count,
}

/// Counts handled events, and lets a task wait for a number of them.
struct Count(Semaphore);

impl Default for Count {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// A handler with a backoff so short that all attempts fall into the measured time.
#[on(durable = "bench", concurrency = 256, retries = 5, backoff = "10ms..200ms", from = "start")]
fn take(stored: &Stored, tally: &Tally) -> Result<(), &'static str> {
    tally.take(stored)
}

/// A handler with the default backoff.
#[on(durable = "bench", concurrency = 256, from = "start")]
fn take_by_default(stored: &Stored, tally: &Tally) -> Result<(), &'static str> {
    tally.take(stored)
}

impl Tally {
    fn take(&self, stored: &Stored) -> Result<(), &'static str> {
        let poison = self.poison.load(Ordering::Relaxed);
        if poison > 0 && stored.number.is_multiple_of(poison) {
            return Err("poison");
        }
        self.good.fetch_add(1, Ordering::Relaxed);
        self.done.0.add_permits(1);
        Ok(())
    }
}

fn builder(path: &Path) -> BusBuilder {
    Bus::builder().adapter(Sqlite::at(path)).history(0).quiet()
}

/// Creates a temporary folder on a medium.
fn folder(medium: &Path) -> tempfile::TempDir {
    tempfile::tempdir_in(medium).unwrap()
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn ours(medium: &Path, emitters: u64, each: u64) -> f64 {
    let folder = folder(medium);
    let bus = builder(&folder.path().join("events.db")).build().await.unwrap();
    let start = Instant::now();
    let tasks: Vec<_> = (0..emitters)
        .map(|emitter| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for number in 0..each {
                    bus.emit(Stored::new(emitter * each + number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let took = start.elapsed();
    bus.stop().await.unwrap();
    per_second(emitters * each, took)
}

/// Returns the text of a row: a CloudEvent, as the adapter stores it.
fn text(number: u64) -> String {
    let payload = format!(r#"{{"number":{number},"text":"{}"}}"#, "x".repeat(170));
    format!(
        r#"{{"specversion":"1.0","id":"01a2110e-7f83-719f-b9ed-e8e345020983","source":"urn:typed-events:unnamed","type":"bench.stored","time":"2026-11-25T12:00:00.000000Z","datacontenttype":"application/json","eventversion":1,"origin":"01a2110e-7f83-719f-b9ed-e8e345020983","data":{payload}}}"#
    )
}

/// Returns the id of a row. Like the ids of events, they ascend.
fn id(number: u64) -> u128 {
    (1 << 120) + u128::from(number)
}

async fn direct(medium: &Path, count: u64) -> f64 {
    let folder = folder(medium);
    let floor = Floor::open(&folder.path().join("floor.db"));
    tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        for number in 0..count {
            floor.append([(id(number), text(number).as_str())]);
        }
        per_second(count, start.elapsed())
    })
    .await
    .unwrap()
}

async fn grouped(medium: &Path, emitters: u64, each: u64) -> f64 {
    let folder = folder(medium);
    let group = Group::start(Floor::open(&folder.path().join("floor.db")));
    let start = Instant::now();
    let tasks: Vec<_> = (0..emitters)
        .map(|emitter| {
            let group = group.clone();
            tokio::spawn(async move {
                for number in 0..each {
                    let number = number * emitters + emitter;
                    group.append(id(number), text(number)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    per_second(emitters * each, start.elapsed())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn appends(name: &str, medium: &Path, rounds: usize, scale: u64) {
    let mut figures: [Vec<f64>; 5] = Default::default();
    for _ in 0..rounds {
        figures[0].push(ours(medium, 1, scale).await);
        figures[1].push(direct(medium, scale).await);
        figures[2].push(grouped(medium, 1, scale).await);
        figures[3].push(ours(medium, 256, scale / 16).await);
        figures[4].push(grouped(medium, 256, scale / 16).await);
    }
    let [ours_1, direct, grouped_1, ours_256, grouped_256] = figures.map(median);
    println!("| {name} | 1 | {ours_1:.0} | {direct:.0} | {:.2} |", ours_1 / direct);
    println!("| {name} | 1, handed to a thread | {ours_1:.0} | {grouped_1:.0} | {:.2} |", ours_1 / grouped_1);
    println!("| {name} | 256 | {ours_256:.0} | {grouped_256:.0} | {:.2} |", ours_256 / grouped_256);
}

/// Emits events to a durable handler, and waits until it has acknowledged all. Returns events per second.
async fn end_to_end(medium: &Path, count: u64) -> f64 {
    let folder = folder(medium);
    let tally = Arc::new(Tally::default());
    let path = folder.path().join("events.db");
    let bus = builder(&path).shared(Arc::clone(&tally)).handler::<take>().build().await.unwrap();
    let start = Instant::now();
    let tasks: Vec<_> = (0..256)
        .map(|emitter| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for number in 0..count / 256 {
                    bus.emit(Stored::new(emitter * (count / 256) + number)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drained(&bus).await;
    let took = start.elapsed();
    bus.stop().await.unwrap();
    per_second(count / 256 * 256, took)
}

async fn drained(bus: &Bus) {
    while bus.consumer("bench").status().await.unwrap().lag > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Emits a burst, and measures how long the durable handler takes to catch up.
async fn burst(medium: &Path, count: u64) {
    let folder = folder(medium);
    let tally = Arc::new(Tally::default());
    let path = folder.path().join("events.db");
    let bus = builder(&path).shared(Arc::clone(&tally)).handler::<take>().build().await.unwrap();
    let start = Instant::now();
    for batch in 0..count / 1000 {
        bus.emit_all((0..1000).map(|number| Stored::new(batch * 1000 + number))).await.unwrap();
    }
    let (emitted, lag) = (start.elapsed(), bus.consumer("bench").status().await.unwrap().lag);
    drained(&bus).await;
    let took = start.elapsed();
    println!(
        "burst of {count}: emitted in {:.1} s (batches of 1000), lag then {lag}, handled after {:.1} s ({:.0} events a second)",
        emitted.as_secs_f64(),
        took.as_secs_f64(),
        per_second(count, took)
    );
    bus.stop().await.unwrap();
}

/// Returns how long a handler takes for `good` events, with `bad` events among them that fail.
async fn poisoned<H: Handler>(medium: &Path, good: u64, bad: u64) -> f64 {
    let folder = folder(medium);
    let tally = Arc::new(Tally::default());
    let every = (good + bad).checked_div(bad).unwrap_or(0);
    tally.poison.store(every, Ordering::Relaxed);
    let path = folder.path().join("events.db");
    let all = good + bad;
    let emit = Bus::builder()
        .adapter(Sqlite::at(&path).synchronous(Synchronous::Normal))
        .history(0)
        .no_handlers()
        .build();
    let emit = emit.await.unwrap();
    for first in (0..all).step_by(1000) {
        emit.emit_all((first..all.min(first + 1000)).map(Stored::new)).await.unwrap();
    }
    emit.stop().await.unwrap();
    let start = Instant::now();
    let bus = builder(&path).shared(Arc::clone(&tally)).handler::<H>().build().await.unwrap();
    let good = all - if every > 0 { all.div_ceil(every) } else { 0 };
    let _all = tally.done.0.acquire_many(u32::try_from(good).unwrap()).await.unwrap();
    let took = start.elapsed().as_secs_f64();
    bus.stop().await.unwrap();
    took
}

/// Whether to run a part of the bench. Without arguments, all parts run.
fn asked(part: &str) -> bool {
    let mut named = std::env::args().skip(2).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

#[tokio::main]
async fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let disk = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let media = [("tmpfs", PathBuf::from("/dev/shm"), 20_000), ("disk", disk, 2_000)];
    if asked("append") {
        println!("| medium | emitters | events a second | SQLite directly | ratio |");
        println!("|---|---|---:|---:|---:|");
        for (name, medium, scale) in &media {
            appends(name, medium, rounds, *scale).await;
        }
    }
    if asked("end") {
        for (name, medium, scale) in &media {
            let mut figures = Vec::new();
            for _ in 0..rounds {
                figures.push(end_to_end(medium, scale * 5).await);
            }
            let figure = median(figures);
            println!("end to end on {name}, 256 emitters, 256 at a time: {figure:.0} events a second");
        }
    }
    if asked("burst") {
        burst(Path::new("/dev/shm"), 1_000_000).await;
    }
    if asked("poison") {
        compare_poisoned::<take_by_default>("the default backoff", rounds).await;
        compare_poisoned::<take>("a backoff of 10 to 200 ms", rounds).await;
    }
}

async fn compare_poisoned<H: Handler>(backoff: &str, rounds: usize) {
    let (medium, mut without, mut with) = (Path::new("/dev/shm"), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(poisoned::<H>(medium, 100_000, 0).await);
        with.push(poisoned::<H>(medium, 100_000, 1_000).await);
    }
    let (without, with) = (median(without), median(with));
    println!(
        "with {backoff}, 100000 good events take {without:.2} s, and {with:.2} s among 1000 that fail: {:+.1} %",
        (with / without - 1.0) * 100.0
    );
}
