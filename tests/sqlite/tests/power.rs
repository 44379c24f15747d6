//! A power cut at any write takes nothing that was acknowledged.
//!
//! `POWER_CUTS=1000` cuts the power that often.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faulty_disk::Disk;
use sqlite_tests::{Handled, Numbered, Random, consuming, drain, log_in, numbers, size, taker, whole};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use typed_events::sqlite::{Sqlite, Synchronous};
use typed_events::{Bus, EventId};

/// Number of tasks that emit at the same time.
const EMITTERS: usize = 4;
/// Number of events in all: enough for one or two checkpoints.
const EVENTS: u64 = 400;
/// Number of runs at the same time. They mostly wait for leases.
const AT_A_TIME: usize = 8;

/// What a run did until the power was cut.
struct Run {
    acknowledged: HashSet<u64>,
    handled: HashSet<u64>,
    /// Whether the power was cut before all events were handled.
    cut_early: bool,
    operations: u64,
}

/// How many events a power cut lost, and how many it left unhandled.
struct Taken {
    lost: usize,
    unhandled: usize,
}

/// Emits and handles events until the disk loses power at write number `cut`.
async fn run(disk: &Disk, folder: &Path, synchronous: Synchronous, cut: u64) -> Run {
    disk.cut_power_at(cut);
    let (acknowledged, handled) = (Handled::default(), Handled::default());
    let adapter = Sqlite::at(log_in(folder)).vfs(disk.vfs_name()).synchronous(synchronous);
    let builder = consuming(adapter, taker(), &handled).stop_deadline(Duration::from_secs(5));
    match builder.build().await {
        Ok(bus) => {
            emit(&bus, &acknowledged).await;
            // It may fail, because its consumer can't store any more which events it has handled.
            let _ = bus.stop().await;
        }
        Err(error) => assert!(disk.is_cut(), "the bus is built while there is power: {error}"),
    }
    let (cut_early, operations) = (disk.is_cut(), disk.operations());
    disk.cut_power();
    Run { acknowledged: acknowledged.set(), handled: handled.set(), cut_early, operations }
}

async fn emit(bus: &Bus, acknowledged: &Handled) {
    let next = Arc::new(AtomicU64::new(0));
    let emitting = (0..EMITTERS).map(|_| {
        let (bus, next, acknowledged) = (bus.clone(), Arc::clone(&next), Arc::clone(acknowledged));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let length = (number % 7 * 500) as usize;
                if number >= EVENTS || bus.emit(Numbered::of_length(number, length)).await.is_err() {
                    return;
                }
                acknowledged.note(number);
            }
        })
    });
    for task in emitting.collect::<Vec<_>>() {
        task.await.expect("emitting does not panic");
    }
}

/// Opens the file that a power cut has left, as the next start of the program would.
async fn open(disk: &Disk, run: &Run, seed: u64) -> Taken {
    let after = tempfile::tempdir().unwrap();
    disk.surviving(after.path(), seed).expect("the folder can be written");
    let handled = Handled::default();
    let bus = consuming(Sqlite::at(log_in(after.path())), taker(), &handled).build().await;
    let bus = bus.expect("what a power cut leaves can be opened");
    drain(&bus).await;
    let kept = numbers(&bus).await;
    bus.stop().await.unwrap();
    assert_eq!(whole(&log_in(after.path())), kept.len());
    let all_handled: HashSet<_> = run.handled.union(&handled.set()).copied().collect();
    Taken {
        lost: run.acknowledged.difference(&kept).count(),
        unhandled: kept.difference(&all_handled).count(),
    }
}

/// The totals of many power cuts.
#[derive(Default)]
struct Sum {
    writes: u64,
    acknowledged: usize,
    lost: usize,
    unhandled: usize,
}

impl Sum {
    fn add(&mut self, done: Option<Result<(Run, Taken), JoinError>>) {
        let (run, taken) = done.expect("one is running").expect("a cut does not panic");
        self.acknowledged += run.acknowledged.len();
        self.lost += taken.lost;
        self.unhandled += taken.unhandled;
    }
}

async fn cut(cuts: usize, synchronous: Synchronous, random: &mut Random) -> Sum {
    let all = {
        let (disk, folder) = (Disk::new(), tempfile::tempdir().unwrap());
        run(&disk, folder.path(), synchronous, u64::MAX).await
    };
    assert_eq!(all.acknowledged.len() as u64, EVENTS);
    let (mut sum, mut running) = (Sum { writes: all.operations, ..Sum::default() }, JoinSet::new());
    for cut in 0..cuts as u64 {
        // Of the unsynced writes, none, all, or a random part survive.
        let seed = if cut % 4 < 2 { cut % 4 } else { 2 + random.below(u64::MAX - 2) };
        // Runs that share the machine make more commits, with fewer events in each.
        let mut cut = 1 + random.below(all.operations * 3 / 2);
        if running.len() == AT_A_TIME {
            sum.add(running.join_next().await);
        }
        running.spawn(async move {
            loop {
                let (disk, folder) = (Disk::new(), tempfile::tempdir().unwrap());
                let run = run(&disk, folder.path(), synchronous, cut).await;
                if run.cut_early {
                    let taken = open(&disk, &run, seed).await;
                    return (run, taken);
                }
                // The run needed fewer writes than that.
                cut = 1 + cut * 2 / 3;
            }
        });
    }
    while let Some(done) = running.join_next().await {
        sum.add(Some(done));
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let (cuts, mut random, began) = (size("POWER_CUTS", 100), Random::printed("power"), Instant::now());
    let sum = cut(cuts, Synchronous::Full, &mut random).await;
    let Sum { writes, acknowledged, lost, unhandled } = sum;
    println!(
        "power: {cuts} cuts at one of about {writes} writes in {:.1?}, all before the work was done: {acknowledged} events acknowledged, {lost} lost, {unhandled} not handled",
        began.elapsed()
    );
    assert_eq!((lost, unhandled), (0, 0));
}

/// With `Synchronous::Normal`, the same test finds lost events, so it is able to fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_events_that_were_not_waited_for() {
    let (cuts, mut random) = (12, Random::printed("power, normal"));
    let Sum { acknowledged, lost, unhandled, .. } = cut(cuts, Synchronous::Normal, &mut random).await;
    println!("power, normal: {cuts} cuts: {acknowledged} events acknowledged, {lost} lost");
    assert!(lost > 0, "no cut of {cuts} took anything");
    assert_eq!(unhandled, 0, "what is kept is handled");
}

/// Regression: SQLite syncs only if it writes, and it does not write an event that is already stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_there_is_made_safe_too() {
    let (disk, folder) = (Disk::new(), tempfile::tempdir().unwrap());
    let adapter =
        |synchronous| Sqlite::at(log_in(folder.path())).vfs(disk.vfs_name()).synchronous(synchronous);
    let bus = |synchronous| Bus::builder().adapter(adapter(synchronous)).event::<Numbered>().build();
    let (safe, fast) = (bus(Synchronous::Full).await.unwrap(), bus(Synchronous::Normal).await.unwrap());
    safe.emit(Numbered::of_length(1, 0)).await.unwrap();
    let id = EventId::new();
    fast.emit(Numbered::of_length(2, 0)).id(id).await.unwrap();
    assert!(safe.emit(Numbered::of_length(2, 0)).id(id).await.unwrap().is_duplicate());
    disk.cut_power();
    let after = tempfile::tempdir().unwrap();
    disk.surviving(after.path(), 0).unwrap();
    let kept = Bus::builder().adapter(Sqlite::at(log_in(after.path()))).event::<Numbered>().build().await;
    assert_eq!(numbers(&kept.unwrap()).await, HashSet::from([1, 2]));
}
