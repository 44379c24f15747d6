//! The content of a database after a power cut.
#![cfg(unix)]

mod common;

use common::{body, entries, folder, insert, prepare, prepare_with};
use faulty_disk::Disk;
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// The operations at which the power is cut, one after another.
const CUTS: u64 = 200;
/// Number of choices which unsynced writes survive: none, all, and six random parts.
const SEEDS: u64 = 8;

/// Inserts until the power is cut, and returns the committed entries.
fn commit_until_cut(disk: &Disk, path: &Path, journal: &str, synchronous: &str) -> Vec<i64> {
    let mut committed = Vec::new();
    let Ok(db) = disk.open(path) else { return committed };
    if prepare_with(&db, journal, synchronous).is_err() {
        return committed;
    }
    for id in 1..1000 {
        match insert(&db, id) {
            Ok(()) => committed.push(id),
            Err(_) => break,
        }
    }
    committed
}

/// The totals of all runs, each of which cuts the power at another operation.
#[derive(Default)]
struct Outcome {
    commits: usize,
    survivors: usize,
    lost: usize,
    /// Inserts that returned an error but survived, which is allowed.
    uncertain: usize,
}

/// Cuts the power at each operation in turn, and checks which commits survive.
fn cut_everywhere(journal: &str, synchronous: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let name = format!("{journal}-{synchronous}");
    let (before, after) = (folder(&format!("{name}-before")), folder(&format!("{name}-after")));
    for cut in 1..=CUTS {
        let path = before.join(format!("{cut}.db"));
        let disk = Disk::new();
        disk.cut_power_at(cut);
        let committed = commit_until_cut(&disk, &path, journal, synchronous);
        assert!(disk.is_cut(), "the power is cut at {cut}");
        assert_eq!(disk.operations(), cut);
        outcome.commits += committed.len();
        for seed in 0..SEEDS {
            disk.surviving(&after, seed).unwrap();
            let survived = entries(&after.join(format!("{cut}.db")));
            let expected: Vec<i64> = (1..=survived.len() as i64).collect();
            assert_eq!(survived, expected, "commits survive in order: cut {cut}, seed {seed}");
            outcome.survivors += 1;
            outcome.lost += committed.len().saturating_sub(survived.len());
            outcome.uncertain += survived.len().saturating_sub(committed.len());
            assert!(survived.len() <= committed.len() + 1, "cut {cut}, seed {seed}");
        }
    }
    println!(
        "{name}: {} commits, {} survivors, {} commits lost, {} without an answer survived",
        outcome.commits, outcome.survivors, outcome.lost, outcome.uncertain
    );
    outcome
}

#[test]
fn synchronous_full_loses_no_commit() {
    let outcome = cut_everywhere("WAL", "FULL");
    assert_eq!(outcome.lost, 0);
    assert!(outcome.uncertain > 0, "unsynced writes survive in some runs");
}

#[test]
fn synchronous_normal_loses_commits() {
    assert!(cut_everywhere("WAL", "NORMAL").lost > 0);
}

/// The deletion of a rollback journal is the commit. SQLite syncs the folder after it only with the right setting.
/// Otherwise the journal may come back, which reverts the last commit.
#[test]
fn a_rollback_journal_may_come_back() {
    assert!(cut_everywhere("DELETE", "FULL").lost > 0);
    assert_eq!(cut_everywhere("DELETE", "EXTRA").lost, 0);
}

#[test]
fn nothing_is_opened_or_deleted_after_the_cut() {
    let before = folder("after-the-cut");
    let path = before.join("a.db");
    let disk = Disk::new();
    let db = disk.open(&path).unwrap();
    prepare(&db, "FULL").unwrap();
    insert(&db, 1).unwrap();
    disk.cut_power();
    let operations = disk.operations();
    assert!(insert(&db, 2).is_err());
    let body: Vec<u8> = db.query_row("SELECT body FROM entry", (), |row| row.get(0)).unwrap();
    assert_eq!(body, common::body(1), "what was read before the cut can still be read");
    drop(db);
    assert!(disk.open(&path).and_then(|db| db.execute_batch("SELECT * FROM entry")).is_err());
    assert!(before.join("a.db-wal").exists(), "the last connection couldn't delete the WAL");
    assert_eq!(disk.operations(), operations);
}

/// If a database was closed and opened again, its deleted WAL may come back instead of the new one.
#[test]
fn reopened_databases_lose_no_commit() {
    let (before, after) = (folder("reopened-before"), folder("reopened-after"));
    for cut in (1..=150).step_by(3) {
        let path = before.join(format!("{cut}.db"));
        let disk = Disk::new();
        disk.cut_power_at(cut);
        let mut committed = 0;
        while !disk.is_cut() {
            let Ok(db) = disk.open(&path) else { break };
            if prepare(&db, "FULL").is_err() {
                break;
            }
            let new = (committed + 1..committed + 4).take_while(|id| insert(&db, *id).is_ok());
            committed += new.count() as i64;
        }
        for seed in 0..20 {
            disk.surviving(&after, seed).unwrap();
            let survived = entries(&after.join(format!("{cut}.db"))).len() as i64;
            assert!((committed..=committed + 1).contains(&survived), "cut {cut}, seed {seed}");
        }
    }
}

/// After a restart, the machine writes to the surviving files until the power is cut again.
#[test]
fn what_survived_is_durable_on_the_next_disk() {
    let (first, second, third) = (folder("chain-1"), folder("chain-2"), folder("chain-3"));
    for seed in 0..10 {
        let disk = Disk::new();
        disk.cut_power_at(45 + seed);
        let name = format!("{seed}.db");
        let committed = commit_until_cut(&disk, &first.join(&name), "WAL", "FULL").len() as i64;
        assert!(committed > 0);
        disk.surviving(&second, seed).unwrap();
        // The power is cut directly after the database is opened: a WAL that was not read yet must survive.
        let disk = Disk::new();
        disk.cut_power_at(1);
        let db = disk.open(&second.join(&name)).unwrap();
        assert!(insert(&db, 1000).is_err());
        disk.surviving(&third, 0).unwrap();
        let survived = entries(&third.join(&name)).len() as i64;
        assert!((committed..=committed + 1).contains(&survived));
    }
}

#[test]
fn threads_lose_no_commit() {
    let (before, after) = (folder("threads-before"), folder("threads-after"));
    for cut in [60, 150, 400] {
        let path = before.join(format!("{cut}.db"));
        let disk = Disk::new();
        prepare(&disk.open(&path).unwrap(), "FULL").unwrap();
        disk.cut_power_at(cut);
        let committed = insert_from_threads(&disk, &path);
        assert!(disk.is_cut() && !committed.is_empty());
        for seed in 0..20 {
            disk.surviving(&after, seed).unwrap();
            let survived = entries(&after.join(format!("{cut}.db")));
            assert!(committed.iter().all(|id| survived.contains(id)), "cut {cut}, seed {seed}");
        }
    }
}

/// Four connections on four threads insert until the power is cut.
fn insert_from_threads(disk: &Disk, path: &Path) -> Vec<i64> {
    let (next, committed, start) = (AtomicI64::new(1), Mutex::new(Vec::new()), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let db: Connection = disk.open(path).unwrap();
                db.busy_timeout(Duration::from_secs(20)).unwrap();
                prepare(&db, "FULL").unwrap();
                start.wait();
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    match db.execute("INSERT INTO entry (id, body) VALUES (?1, ?2)", (id, body(id))) {
                        Ok(_) => committed.lock().unwrap().push(id),
                        Err(_) => break,
                    }
                }
            });
        }
    });
    committed.into_inner().unwrap()
}
