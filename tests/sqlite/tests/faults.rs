//! An I/O error, a full disk and a failed sync at every write: `emit` says `Ok` only for what is safe, and goes on
//! when the disk does.
//!
//! `FAULT_STEP=1` lets a fault strike every write there is.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use faulty_disk::{Disk, Fault};
use sqlite_tests::{Handled, Numbered, consuming, drain, log_in, numbers, size, taker, whole};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, Error, ErrorKind};

/// How many runs go on at a time.
const AT_A_TIME: usize = 8;
/// Two lengths of events, in bytes.
const SHORT: u64 = 4_000;
const LONG: u64 = 240_000;

/// What happens once the fault is over, before the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The same bus emits more.
    GoOn,
    /// The bus stops, and another one on the same file emits more.
    Reopen,
}

/// Which fault, at which operation.
#[derive(Clone, Copy, Debug)]
struct Case {
    fault: Fault,
    at: u64,
    /// Whether all later operations fail, too, until the disk is healed.
    stays: bool,
    then: Then,
    /// The longest event. Long ones fill the write-ahead log, so that there is a checkpoint.
    length: u64,
}

/// What is known of the events.
#[derive(Clone, Default)]
struct Known {
    acknowledged: Handled,
    handled: Handled,
    failed: Handled,
}

impl Known {
    /// Emits, one after the other or a few at a time; says whether all was stored.
    async fn emit(&self, bus: &Bus, numbers: Range<u64>, length: u64) -> bool {
        let mut all = true;
        for number in numbers.clone().step_by(3) {
            let some = (number..(number + 3).min(numbers.end)).map(|number| {
                let (bus, known) = (bus.clone(), self.clone());
                tokio::spawn(async move { known.emit_one(&bus, number, number % 5 * length / 4).await })
            });
            for task in some.collect::<Vec<_>>() {
                all &= task.await.expect("an emit does not panic");
            }
        }
        all
    }

    async fn emit_one(&self, bus: &Bus, number: u64, length: u64) -> bool {
        match bus.emit(Numbered::of_length(number, length as usize)).await {
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

async fn build(disk: &Disk, folder: &Path, known: &Known) -> Result<Bus, Error> {
    let adapter = Sqlite::at(log_in(folder)).vfs(disk.vfs_name());
    let builder = consuming(adapter, taker(), &known.handled).stop_deadline(Duration::from_secs(5));
    builder.build().await
}

/// What a run came to.
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
    let built = build(&disk, folder.path(), &known).await;
    if let Ok(bus) = &built {
        known.emit(bus, 0..30, case.length).await;
    }
    let (operations, syncs) = (disk.operations(), disk.syncs());
    disk.heal();
    let bus = match built {
        Ok(bus) => bus,
        Err(error) => {
            names_the_file(&error);
            build(&disk, folder.path(), &known).await.expect("a healed disk takes a log")
        }
    };
    let bus = match case.then {
        Then::GoOn => bus,
        Then::Reopen => {
            // What the consumer could not note is a reason to say so.
            let _ = bus.stop().await;
            drop(bus);
            build(&disk, folder.path(), &known).await.expect("a healed disk can be read")
        }
    };
    assert!(known.emit(&bus, 100..110, case.length).await, "{case:?}: a healed disk takes events");
    disk.cut_power();
    let _ = bus.stop().await;
    for seed in [0, 1, 2 + case.at, 3 + case.at] {
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

/// Lets the fault strike every operation there is.
async fn every_point(fault: Fault, stays: bool, then: Then, length: u64) {
    let began = Instant::now();
    let (mut running, mut at, mut failed, mut last) = (JoinSet::new(), 0, 0, u64::MAX);
    let step = if fault == Fault::Sync { 1 } else { size("FAULT_STEP", 7) as u64 };
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
        let case = Case { fault, at, stays, then, length };
        running.spawn(async move { (at, run(case).await) });
        if running.len() == AT_A_TIME && take(running.join_next().await) <= at {
            break;
        }
    }
    while let Some(done) = running.join_next().await {
        take(Some(done));
    }
    println!(
        "faults: {fault:?}, {}, events of up to {length} bytes, then {then:?}: at one in {step} of {} points in {:.1?}; {failed} emits failed, 0 lost",
        if stays { "from there on" } else { "once" },
        last - 1,
        began.elapsed()
    );
    assert!(failed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_io_error_at_every_write_loses_nothing() {
    every_point(Fault::Io, false, Then::GoOn, SHORT).await;
    every_point(Fault::Io, true, Then::Reopen, SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_every_write_loses_nothing() {
    every_point(Fault::Full, false, Then::GoOn, SHORT).await;
    every_point(Fault::Full, true, Then::Reopen, SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_loses_nothing_that_was_acknowledged() {
    for length in [SHORT, LONG] {
        every_point(Fault::Sync, false, Then::GoOn, length).await;
        every_point(Fault::Sync, true, Then::GoOn, length).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_loses_nothing_when_the_log_is_opened_again() {
    for length in [SHORT, LONG] {
        every_point(Fault::Sync, false, Then::Reopen, length).await;
        every_point(Fault::Sync, true, Then::Reopen, length).await;
    }
}
