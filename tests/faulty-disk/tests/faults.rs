//! Operations that fail, and databases that work again after that.
#![cfg(unix)]

mod common;

use common::{entries, folder, insert, prepare};
use faulty_disk::{Disk, Fault};
use rusqlite::{Connection, ErrorCode, ffi};
use std::path::{Path, PathBuf};

/// Creates a database with one entry.
fn database(name: &str) -> (Disk, PathBuf, Connection) {
    let path = folder(name).join("a.db");
    let disk = Disk::new();
    let db = disk.open(&path).unwrap();
    prepare(&db, "FULL").unwrap();
    insert(&db, 1).unwrap();
    (disk, path, db)
}

fn extended(result: rusqlite::Result<()>) -> i32 {
    result.unwrap_err().sqlite_error().unwrap().extended_code
}

/// Closes and opens a database, inserts an entry, and reads it without the disk.
fn goes_on(disk: &Disk, path: &Path, db: Connection, expected: &[i64]) {
    drop(db);
    let db = disk.open(path).unwrap();
    prepare(&db, "FULL").unwrap();
    insert(&db, 100).unwrap();
    drop(db);
    assert_eq!(entries(path), expected);
}

#[test]
fn a_write_fails_once() {
    let (disk, path, db) = database("write-once");
    disk.fail_at(1, Fault::Io);
    assert_eq!(extended(insert(&db, 2)), ffi::SQLITE_IOERR_WRITE);
    insert(&db, 3).unwrap();
    goes_on(&disk, &path, db, &[1, 3, 100]);
}

/// Calls `run` repeatedly, and lets the next of its operations fail each time, until it succeeds. Returns the errors.
fn errors(disk: &Disk, mut run: impl FnMut() -> rusqlite::Result<()>) -> Vec<i32> {
    let mut codes = Vec::new();
    loop {
        disk.fail_at(codes.len() as u64 + 1, Fault::Io);
        let result = run();
        disk.heal();
        if result.is_ok() {
            return codes;
        }
        codes.push(extended(result));
    }
}

#[test]
fn an_io_fault_fails_the_operation_that_it_strikes() {
    let (disk, path, db) = database("io-sync");
    let syncs = disk.syncs();
    insert(&db, 2).unwrap();
    assert_eq!(disk.syncs() - syncs, 1, "a commit is one sync");
    let codes = errors(&disk, || insert(&db, 3));
    println!("a commit that fails at each of its operations: {codes:?}");
    assert!(codes.contains(&ffi::SQLITE_IOERR_WRITE) && codes.contains(&ffi::SQLITE_IOERR_FSYNC));
    goes_on(&disk, &path, db, &[1, 2, 3, 100]);
}

#[test]
fn a_truncate_fails() {
    let (disk, path, db) = database("truncate");
    let codes = errors(&disk, || db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())));
    println!("a checkpoint that fails at each of its operations: {codes:?}");
    assert!(codes.contains(&ffi::SQLITE_IOERR_TRUNCATE));
    goes_on(&disk, &path, db, &[1, 100]);
}

#[test]
fn the_disk_is_full_until_it_is_healed() {
    let (disk, path, db) = database("full");
    disk.fail_from(3, Fault::Full);
    for id in 2..5 {
        let error = insert(&db, id).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
    }
    disk.heal();
    insert(&db, 5).unwrap();
    goes_on(&disk, &path, db, &[1, 5, 100]);
}

#[test]
fn a_full_disk_waits_for_a_write() {
    let (disk, path, db) = database("full-waits");
    let checkpoint = || db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
    // The first operation of a checkpoint is a sync, the second a write.
    let (before, syncs) = (disk.operations(), disk.syncs());
    disk.fail_at(1, Fault::Full);
    assert_eq!(extended(checkpoint()), ffi::SQLITE_FULL);
    assert_eq!((disk.operations() - before, disk.syncs() - syncs), (2, 1));
    checkpoint().unwrap();
    goes_on(&disk, &path, db, &[1, 100]);
}

#[test]
fn every_operation_fails_until_it_is_healed() {
    let (disk, path, db) = database("broken");
    disk.fail_from(1, Fault::Io);
    for id in 2..5 {
        assert_eq!(insert(&db, id).unwrap_err().sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
    }
    disk.heal();
    goes_on(&disk, &path, db, &[1, 100]);
}

#[test]
fn the_second_sync_fails() {
    let (disk, path, db) = database("second-sync");
    disk.fail_at(2, Fault::Sync);
    insert(&db, 2).unwrap();
    assert_eq!(extended(insert(&db, 3)), ffi::SQLITE_IOERR_FSYNC);
    insert(&db, 4).unwrap();
    goes_on(&disk, &path, db, &[1, 2, 4, 100]);
}

/// With `synchronous=NORMAL` only a checkpoint syncs. If a sync fails and the next one succeeds, the earlier commits
/// are durable only if their writes weren't dropped.
#[test]
fn a_failed_sync_drops_what_was_written_before() {
    for (fault, survives) in [(Fault::Io, true), (Fault::Sync, false)] {
        let path = folder(&format!("dropped-{fault:?}")).join("a.db");
        let disk = Disk::new();
        let db = disk.open(&path).unwrap();
        prepare(&db, "NORMAL").unwrap();
        db.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        insert(&db, 1).unwrap();
        let checkpoint = || db.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
        // The WAL is synced before anything is written to the database.
        disk.fail_at(1, fault);
        assert_eq!(extended(checkpoint()), ffi::SQLITE_IOERR_FSYNC);
        // The second checkpoint syncs the WAL, and is cut before it has written the database.
        disk.cut_power_at(2);
        assert!(checkpoint().is_err());
        let after = folder(&format!("dropped-{fault:?}-after"));
        disk.surviving(&after, 0).unwrap();
        assert_eq!(!entries(&after.join("a.db")).is_empty(), survives);
    }
}

#[test]
fn two_disks_fail_on_their_own() {
    let (broken, _, on_broken) = database("two-broken");
    let (whole, path, on_whole) = database("two-whole");
    assert_ne!(broken.vfs_name(), whole.vfs_name());
    broken.fail_from(1, Fault::Io);
    assert!(insert(&on_broken, 2).is_err());
    insert(&on_whole, 2).unwrap();
    goes_on(&whole, &path, on_whole, &[1, 2, 100]);
}

#[test]
fn a_connection_outlives_its_disk() {
    let (disk, path, db) = database("outlives");
    let uri = format!("file:{}?vfs={}", path.display(), disk.vfs_name());
    let by_uri = Connection::open(&uri).unwrap();
    assert_eq!(by_uri.query_row("SELECT count(*) FROM entry", (), |row| row.get(0)), Ok(1));
    drop(disk);
    insert(&db, 2).unwrap();
    drop((db, by_uri));
    assert!(Connection::open(&uri).is_err(), "SQLite doesn't know the name any more");
    assert_eq!(entries(&path), [1, 2]);
}
