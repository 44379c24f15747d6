//! The tables, all of whose names begin with `typed_events_`, so that they may stand beside a program's own.

use std::io::ErrorKind;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::{Result, StoreError};
use crate::options::{Options, Synchronous};
use crate::{log, watermark};

/// The format this program reads and writes.
const FORMAT: i64 = 1;

/// - `log`: positions count up by one, without a gap, from the oldest that is kept to the newest, which always is.
///   SQLite gives a new row the number after the largest one; since the newest row is never trimmed, no number is
///   given twice, and since a rolled back transaction takes its rows with it, none is left out.
/// - `consumers`: `cursor` is the position up to which a consumer has looked at the log; what it took and has not
///   finished is in `pending`.
/// - `pending`: `due` is when the event may be handed out (again): for a retry its time, for one that is handed out the
///   end of its lease, nothing for one that waits for another of its key or is held for a newer program.
const TABLES: &str = "
CREATE TABLE typed_events_meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,
    log BLOB NOT NULL,
    trimmed INTEGER NOT NULL
);
CREATE TABLE typed_events_log (
    position INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    time INTEGER NOT NULL,
    origin BLOB NOT NULL,
    outbox INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE UNIQUE INDEX typed_events_log_id ON typed_events_log (id);
CREATE INDEX typed_events_log_name ON typed_events_log (name);
CREATE TABLE typed_events_consumers (
    consumer INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    patterns TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE typed_events_pending (
    consumer INTEGER NOT NULL,
    position INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER,
    leased INTEGER NOT NULL,
    held INTEGER NOT NULL,
    key TEXT,
    first INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (consumer, position)
) WITHOUT ROWID;
CREATE INDEX typed_events_pending_due ON typed_events_pending (consumer, due) WHERE due IS NOT NULL;
CREATE INDEX typed_events_pending_key ON typed_events_pending (consumer, key, position) WHERE key IS NOT NULL;
CREATE INDEX typed_events_pending_held ON typed_events_pending (consumer, position) WHERE held = 1;
CREATE TABLE typed_events_dead (
    consumer INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    time INTEGER NOT NULL,
    origin BLOB NOT NULL,
    outbox INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    text TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (consumer, position)
) WITHOUT ROWID;
CREATE TABLE typed_events_handled (
    consumer TEXT NOT NULL,
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (consumer, id)
) WITHOUT ROWID;
";

/// How long a write-ahead log may stay, in bytes.
const JOURNAL_SIZE: i64 = 16 << 20;

/// Opens a connection to the file.
pub(crate) fn connect(options: &Options) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&options.path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(&options.path, flags)?,
    };
    busy_timeout(&connection, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Each page of the file is checked as it is read, as far as SQLite can tell.
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    // What a long write-ahead log had is given back when it has been moved into the database.
    connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE)?;
    Ok(connection)
}

/// Makes sure of what was committed before, where a sync may have failed since; false if others are in the way.
///
/// After a failed sync, systems take what they could not write for written: it is still read, but a power cut takes it,
/// and a later sync that succeeds says nothing of it. SQLite gives up only the commit that failed. Earlier ones whose
/// sync was left for later ([`Durability::Deferred`](crate::executor::Durability::Deferred)) would be a hole in the write-ahead log, and
/// a power cut would take all that is behind it. So the log is moved into the database, which is synced, and begun anew.
///
/// A power cut in the midst of it, so soon after a failed sync, may leave the database with a part of the last changes.
pub(crate) fn checkpoint(connection: &Connection) -> Result<bool> {
    synchronous(connection, Synchronous::Full, true)?;
    if connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))? {
        return Ok(false);
    }
    // What was truncated may come back in a power cut until the file has a new beginning.
    let begun = connection.unchecked_transaction()?;
    touch(&begun)?;
    begun.commit().map_err(StoreError::Commit)?;
    Ok(true)
}

/// Writes a page, and changes nothing. (SQLite writes no row again that is as it was.)
pub(crate) fn touch(connection: &Connection) -> Result<()> {
    let put = "INSERT OR REPLACE INTO typed_events_handled (consumer, id, time) VALUES ('', x'', 0)";
    connection.prepare_cached(put)?.execute([])?;
    let take = "DELETE FROM typed_events_handled WHERE consumer = '' AND id = x''";
    connection.prepare_cached(take)?.execute([])?;
    Ok(())
}

/// Makes sure of what others committed, for whom a sync may have failed before they ended. Who has the file open now
/// takes care of it, and is not waited for.
fn checkpoint_if_alone(connection: &Connection) -> Result<()> {
    busy_timeout(connection, false)?;
    let settled = checkpoint(connection);
    busy_timeout(connection, true)?;
    match settled {
        Err(fault) if !fault.is_busy() => Err(fault),
        _ => Ok(()),
    }
}

/// Makes the file a log, unless it is one.
pub(crate) fn prepare(connection: &mut Connection) -> Result<()> {
    let is_new: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if is_new == 0 {
        // Only a file without tables takes it; elsewhere freed pages are used again, but not given back.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    // To its end: it writes only after it has said which mode that gives, and may fail at that.
    let modes: Vec<String> = {
        let mut set = connection.prepare("PRAGMA journal_mode = WAL")?;
        set.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    let mode = modes.concat();
    if mode != "wal" {
        return Err(StoreError::Damaged(format!(
            "it can't have a write-ahead log (its journal mode is {mode})"
        )));
    }
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if !is_log(&tx)? {
        tx.execute_batch(TABLES)?;
        tx.execute("INSERT INTO typed_events_meta VALUES (1, ?1, randomblob(16), 0)", [FORMAT])?;
    }
    let format = "SELECT format FROM typed_events_meta WHERE one = 1";
    let format: Option<i64> = tx.query_row(format, [], |row| row.get(0)).optional()?;
    match format {
        Some(FORMAT) => {
            tx.commit().map_err(StoreError::Commit)?;
            checkpoint_if_alone(connection)
        }
        Some(format) => Err(StoreError::Damaged(format!(
            "its log has format {format}, and this program knows {FORMAT}: is it of a newer one?"
        ))),
        None => Err(StoreError::Damaged("the log does not say which format it has".to_owned())),
    }
}

/// Opens the first connection, and looks whether all is there that was acknowledged, before anything is changed.
pub(crate) fn connect_first(options: &Options) -> Result<Connection> {
    // First this: others may append meanwhile, or make the file, who have forgotten before what an old one had.
    let length = match std::fs::metadata(&options.path) {
        Ok(file) => Some(file.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let acknowledged = match (&options.vfs, length) {
        (Some(_), _) => None,
        (None, Some(_)) => watermark::read(&options.path)?,
        (None, None) => {
            watermark::forget(&options.path)?;
            None
        }
    };
    let is_empty = length == Some(0);
    if let Some((_, position)) = acknowledged.filter(|_| is_empty) {
        return Err(missing(options, position, 0));
    }
    let connection = connect(options)?;
    if let Some((log, position)) = acknowledged
        && is_log(&connection)?
        && id(&connection)? == log
    {
        let last = log::last(&connection)?;
        if last < position {
            // What is left of the write-ahead log may be of use to somebody.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            return Err(missing(options, position, last));
        }
    }
    Ok(connection)
}

/// Whether the file has a log.
fn is_log(connection: &Connection) -> Result<bool> {
    let known = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'typed_events_meta')";
    Ok(connection.query_row(known, [], |row| row.get(0))?)
}

/// What tells a log from others.
pub(crate) fn id(connection: &Connection) -> Result<[u8; 16]> {
    Ok(connection.query_row("SELECT log FROM typed_events_meta", [], |row| row.get(0))?)
}

fn missing(options: &Options, acknowledged: i64, last: i64) -> StoreError {
    StoreError::Damaged(format!(
        "the newest {} records are missing, behind position {last}: a write-ahead log was damaged or removed, or this is \
         an older copy; without {} it is taken as it is",
        acknowledged - last,
        watermark::path_of(&options.path).display()
    ))
}

/// What a pragma says that is a number.
pub(crate) fn pragma(connection: &Connection, name: &str) -> Result<i64> {
    Ok(connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
}

/// Up to this size, in bytes, all of a file is checked as it is opened.
const SMALL: i64 = 8 << 20;

/// Looks whether the file is whole: rows against their indexes, and where consumers stand.
///
/// What consumers have in hand has no checksum: each part of it that tells which event of which consumer it is, and
/// when it is due, is in an index, too.
///
/// # Complexity
///
/// Reads all of a small file: 20 ms for 8 MB. Of a larger one it reads what is pending, and counts the records.
pub(crate) fn check(connection: &Connection) -> Result<()> {
    let size = pragma(connection, "page_count")? * pragma(connection, "page_size")?;
    let tables: &[&str] = match size <= SMALL {
        true => &["1"],
        false => &["typed_events_meta", "typed_events_consumers", "typed_events_pending"],
    };
    for what in tables {
        let check = format!("PRAGMA integrity_check({what})");
        let found: String = connection.query_row(&check, [], |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::Damaged(found));
        }
    }
    crate::consume::Row::all(connection)?;
    count(connection)
}

/// Looks whether all records that were stored are there, by counting: the index of ids must have as many as there
/// are positions.
///
/// # Complexity
///
/// Reads the index once: some 30 MB for a million records.
fn count(connection: &Connection) -> Result<()> {
    // All of it is asked of one state of the file: others may append meanwhile.
    let connection = connection.unchecked_transaction()?;
    let first = "SELECT coalesce(min(position), 1) FROM typed_events_log";
    let first: i64 = connection.query_row(first, [], |row| row.get(0))?;
    let (last, trimmed) = (log::last(&connection)?, log::trimmed(&connection)?);
    let of_index = "SELECT count(*) FROM typed_events_log INDEXED BY typed_events_log_id";
    let counted: i64 = connection.query_row(of_index, [], |row| row.get(0))?;
    // Dead letters that are handed out again may stand before the trimmed ones.
    let revived = "SELECT count(*) FROM typed_events_log WHERE position <= ?1";
    let revived: i64 = connection.query_row(revived, [trimmed], |row| row.get(0))?;
    if last - trimmed != counted - revived || first > trimmed + 1 && last > trimmed {
        return Err(StoreError::Damaged(format!(
            "there are {} records where {} should be",
            counted - revived,
            last - trimmed
        )));
    }
    Ok(())
}

/// Sets how the next commits are made safe, and whether they move the write-ahead log into the database when it has
/// grown to 1,000 pages.
pub(crate) fn synchronous(
    connection: &Connection,
    synchronous: Synchronous,
    checkpoints: bool,
) -> Result<()> {
    connection.execute_batch(match synchronous {
        Synchronous::Full => "PRAGMA synchronous = FULL",
        Synchronous::Normal => "PRAGMA synchronous = NORMAL",
    })?;
    Ok(connection.execute_batch(match checkpoints {
        true => "PRAGMA wal_autocheckpoint = 1000",
        false => "PRAGMA wal_autocheckpoint = 0",
    })?)
}

/// Sets whether a write that finds the file locked waits.
pub(crate) fn busy_timeout(connection: &Connection, waits: bool) -> Result<()> {
    Ok(connection.busy_handler(waits.then_some(ask_again))?)
}

/// How often, and how many times, a write that finds the file locked asks again: for at least 5 s.
const BUSY_RETRY: (Duration, i32) = (Duration::from_millis(1), 5_000);

/// SQLite's own handler soon asks every 100 ms. Between two commits of a busy process the lock is free for much less
/// than that, so the others would wait for it until their leases had run out.
fn ask_again(times: i32) -> bool {
    let (pause, max) = BUSY_RETRY;
    std::thread::sleep(pause);
    times < max
}
