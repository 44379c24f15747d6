//! An I/O error, a full disk and a failed sync at every write: `emit` returns `Ok` only for events that are safe, and
//! works again when the disk does.
//!
//! `FAULT_STEP=1` injects a fault at every single write.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use faulty_disk::{Disk, Fault};
use sqlite_tests::{Handled, Numbered, consuming, drain, log_in, numbers, size, taker, whole};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, Error, ErrorKind};

/// Number of runs at the same time.
const AT_A_TIME: usize = 8;

/// What happens after the fault, before the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The same bus emits more.
    GoOn,
    /// The bus stops, and another one on the same file emits more.
    Reopen,
}

/// The load while the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// A few events of up to 4 KB, each stored on its own.
    Few,
    /// So many events that the consumer's updates fill the write-ahead log, and a checkpoint follows.
    Many,
}

/// Which fault, at which operation.
#[derive(Clone, Copy, Debug)]
struct Case {
    fault: Fault,
    at: u64,
    /// Whether all later operations fail, too, until the disk is healed.
    stays: bool,
    then: Then,
    load: Load,
}

/// The events that were emitted, acknowledged and handled.
#[derive(Clone, Default)]
struct Known {
    acknowledged: Handled,
    handled: Handled,
    failed: Handled,
}

impl Known {
    /// Emits, one after the other or a few at a time. Returns whether all events were stored.
    async fn emit(&self, bus: &Bus, numbers: Range<u64>, at_a_time: u64) -> bool {
        let mut all = true;
        for number in numbers.clone().step_by(at_a_time as usize) {
            let some = (number..(number + at_a_time).min(numbers.end)).map(|number| {
                let (bus, known) = (bus.clone(), self.clone());
                tokio::spawn(async move { known.emit_one(&bus, number).await })
            });
            for task in some.collect::<Vec<_>>() {
                all &= task.await.expect("an emit does not panic");
            }
        }
        all
    }

    async fn emit_one(&self, bus: &Bus, number: u64) -> bool {
        let length = if number < 100 { number as usize % 5 * 1_000 } else { 10 };
        match bus.emit(Numbered::of_length(number, length)).await {
            Ok(_) => self.acknowledged.note(number),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Append | ErrorKind::OutcomeUnknown), "{error}");
                names_the_file(&error);
                self.failed.note(number);
                return false;
            }
        }
        true
    }
}

fn names_the_file(error: &Error) {
    assert!(error.to_string().contains("events.db"), "{error}");
}

async fn build(disk: &Disk, folder: &Path, known: &Known, load: Load) -> Result<Bus, Error> {
    let adapter = Sqlite::at(log_in(folder)).vfs(disk.vfs_name());
    // With one event at a time, each has its own commit.
    let durable = if load == Load::Many { taker().concurrency(1) } else { taker() };
    let builder = consuming(adapter, durable, &known.handled).stop_deadline(Duration::from_secs(5));
    builder.build().await
}

/// The result of a run.
struct Done {
    operations: u64,
    syncs: u64,
    failed: usize,
}

async fn run(case: Case) -> Done {
    let (disk, folder, known) = (Disk::new(), tempfile::tempdir().unwrap(), Known::default());
    match case.stays {
        true => disk.fail_from(case.at, case.fault),
        false => disk.fail_at(case.at, case.fault),
    }
    let built = build(&disk, folder.path(), &known, case.load).await;
    if let Ok(bus) = &built {
        known.emit(bus, 0..20, 3).await;
        if case.load == Load::Many {
            known.emit(bus, 1_000..1_700, 700).await;
            drain(bus).await;
        }
    }
    let (operations, syncs) = (disk.operations(), disk.syncs());
    disk.heal();
    let bus = match built {
        Ok(bus) => bus,
        Err(error) => {
            names_the_file(&error);
            build(&disk, folder.path(), &known, case.load).await.expect("a healed disk takes a log")
        }
    };
    let bus = match case.then {
        Then::GoOn => bus,
        Then::Reopen => {
            // `stop` may return an error, because the consumer could not store its progress.
            let _ = bus.stop().await;
            drop(bus);
            build(&disk, folder.path(), &known, case.load).await.expect("a healed disk can be read")
        }
    };
    assert!(known.emit(&bus, 100..110, 3).await, "{case:?}: a healed disk takes events");
    disk.cut_power();
    let _ = bus.stop().await;
    // Once no unsynced write survives, and twice a random part of them.
    for seed in [0, 2 + case.at, 3 + case.at] {
        survivors_are_whole(&disk, &known, seed, case).await;
    }
    Done { operations, syncs, failed: known.failed.all().len() }
}

async fn survivors_are_whole(disk: &Disk, known: &Known, seed: u64, case: Case) {
    let after = tempfile::tempdir().unwrap();
    disk.surviving(after.path(), seed).expect("the folder can be written");
    let handled = Handled::default();
    let bus = consuming(Sqlite::at(log_in(after.path())), taker(), &handled).build().await;
    let bus = bus.unwrap_or_else(|error| panic!("{case:?}, seed {seed}: {error}"));
    drain(&bus).await;
    let kept = numbers(&bus).await;
    bus.stop().await.unwrap();
    assert_eq!(whole(&log_in(after.path())), kept.len(), "{case:?}, seed {seed}");
    let (acknowledged, mut all_handled) = (known.acknowledged.set(), known.handled.set());
    all_handled.extend(handled.set());
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    let unhandled: Vec<_> = acknowledged.difference(&all_handled).collect();
    assert!(
        lost.is_empty() && unhandled.is_empty(),
        "{case:?}, seed {seed}: lost {lost:?}, not handled {unhandled:?}"
    );
}

/// Injects the fault at each operation in turn.
async fn every_point(fault: Fault, stays: bool, then: Then, load: Load) {
    let began = Instant::now();
    let (mut running, mut at, mut failed, mut last) = (JoinSet::new(), 0, 0, u64::MAX);
    let step = if fault == Fault::Sync && load == Load::Few { 1 } else { size("FAULT_STEP", 7) as u64 };
    let mut take = |done: Option<Result<(u64, Done), JoinError>>| {
        let (at, done) = done
            .expect("one is running")
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let points = if fault == Fault::Sync { done.syncs } else { done.operations };
        failed += done.failed;
        if points < at {
            last = last.min(at);
        }
        last
    };
    loop {
        at += step;
        let case = Case { fault, at, stays, then, load };
        running.spawn(async move { (at, run(case).await) });
        if running.len() == AT_A_TIME && take(running.join_next().await) <= at {
            break;
        }
    }
    while let Some(done) = running.join_next().await {
        take(Some(done));
    }
    println!(
        "faults: {fault:?}, {}, {load:?}, then {then:?}: at one in {step} of {} points in {:.1?}; {failed} emits failed, 0 lost",
        if stays { "from there on" } else { "once" },
        last - 1,
        began.elapsed()
    );
    assert!(failed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_io_error_at_every_write_loses_nothing() {
    every_point(Fault::Io, false, Then::GoOn, Load::Few).await;
    every_point(Fault::Io, true, Then::Reopen, Load::Few).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_every_write_loses_nothing() {
    every_point(Fault::Full, false, Then::GoOn, Load::Few).await;
    every_point(Fault::Full, true, Then::Reopen, Load::Few).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_loses_nothing_that_was_acknowledged() {
    every_point(Fault::Sync, false, Then::GoOn, Load::Few).await;
    every_point(Fault::Sync, true, Then::GoOn, Load::Few).await;
    every_point(Fault::Sync, false, Then::GoOn, Load::Many).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_loses_nothing_when_the_log_is_opened_again() {
    every_point(Fault::Sync, false, Then::Reopen, Load::Few).await;
    every_point(Fault::Sync, true, Then::Reopen, Load::Few).await;
    every_point(Fault::Sync, false, Then::Reopen, Load::Many).await;
}
