//! The tables, and opening and checking the file. All names begin with `typed_events_`, so the file may have other
//! tables.

use std::cell::Cell;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use events_core::Retention;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::{Result, StoreError};
use crate::options::{Options, Synchronous};
use crate::{log, watermark};

/// The stored format that this program reads and writes.
const FORMAT: i64 = 3;

/// - `log`: positions count up by one, without a gap, from the oldest stored record to the newest. SQLite gives a new
///   row the number after the largest one. No number is assigned twice, because the newest row is never trimmed. No
///   number is skipped, because a transaction that is rolled back removes its rows.
/// - `meta`: `retention` is that of the program which opened the log last.
/// - `durable`, `sessions`, `consumers`, `profiles`, `members`, `progress`: JSON of the structures of
///   `events_core::store`, each with a checksum. `names`: a consumer of 0 was removed.
/// - `rows`: `slot` is 0 for an event in hand, else its kind.
/// - `copies`: the records of rows that have their own.
/// - `dead`: `announced` is 0 if no program was told of it, 1 if the answer to the exchange `by_number` of `by_session`
///   told it, and 2 afterwards.
const TABLES: &str = "
CREATE TABLE typed_events_meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,
    log BLOB NOT NULL,
    trimmed INTEGER NOT NULL,
    retention TEXT NOT NULL
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
CREATE TABLE typed_events_durable (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    state TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE typed_events_sessions (
    session BLOB PRIMARY KEY,
    ended INTEGER NOT NULL,
    state TEXT NOT NULL,
    crc INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX typed_events_sessions_ended ON typed_events_sessions (ended);
CREATE TABLE typed_events_names (
    name TEXT PRIMARY KEY,
    consumer INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE typed_events_consumers (
    consumer INTEGER PRIMARY KEY,
    removed INTEGER NOT NULL,
    state TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE typed_events_profiles (
    consumer INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE typed_events_members (
    consumer INTEGER NOT NULL,
    session BLOB NOT NULL,
    live INTEGER NOT NULL,
    state TEXT NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (consumer, session)
) WITHOUT ROWID;
CREATE INDEX typed_events_members_session ON typed_events_members (session);
CREATE INDEX typed_events_members_live ON typed_events_members (consumer) WHERE live = 1;
CREATE TABLE typed_events_progress (
    consumer INTEGER NOT NULL,
    session BLOB NOT NULL,
    state TEXT NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (consumer, session)
) WITHOUT ROWID;
CREATE INDEX typed_events_progress_session ON typed_events_progress (session);
CREATE TABLE typed_events_kinds (
    consumer INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    open INTEGER NOT NULL,
    PRIMARY KEY (consumer, kind)
) WITHOUT ROWID;
CREATE TABLE typed_events_rows (
    consumer INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    key TEXT,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    session BLOB,
    number INTEGER,
    suspect INTEGER NOT NULL,
    solo INTEGER NOT NULL,
    copied INTEGER NOT NULL,
    error TEXT,
    first INTEGER NOT NULL,
    PRIMARY KEY (consumer, position)
) WITHOUT ROWID;
CREATE INDEX typed_events_rows_due ON typed_events_rows (consumer, slot, suspect, due, position)
    WHERE slot > 0 AND blocked = 0;
CREATE INDEX typed_events_rows_waiting ON typed_events_rows (consumer, slot, position) WHERE slot > 0;
CREATE INDEX typed_events_rows_in_hand ON typed_events_rows (consumer, session, position) WHERE slot = 0;
CREATE INDEX typed_events_rows_key ON typed_events_rows (consumer, key, slot, position) WHERE key IS NOT NULL;
CREATE TABLE typed_events_copies (
    consumer INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    damaged INTEGER NOT NULL,
    text TEXT NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (consumer, position)
) WITHOUT ROWID;
CREATE TABLE typed_events_dead (
    consumer INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    damaged INTEGER NOT NULL,
    text TEXT NOT NULL,
    crc INTEGER NOT NULL,
    key TEXT,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    lost_session BLOB,
    lost_number INTEGER,
    announced INTEGER NOT NULL,
    by_session BLOB,
    by_number INTEGER,
    PRIMARY KEY (consumer, position)
) WITHOUT ROWID;
CREATE INDEX typed_events_dead_id ON typed_events_dead (consumer, id);
CREATE INDEX typed_events_dead_unannounced ON typed_events_dead (consumer, position) WHERE announced = 0;
CREATE INDEX typed_events_dead_announced ON typed_events_dead (consumer, by_session, position) WHERE announced = 1;
CREATE TABLE typed_events_handled (
    consumer TEXT NOT NULL,
    id BLOB NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (consumer, id)
) WITHOUT ROWID;
";

/// Size in bytes to which the write-ahead log's file is cut after a checkpoint.
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
    // SQLite checks the structure of each page that it reads.
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;")?;
    // The file of a long write-ahead log is cut after its checkpoint.
    connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE)?;
    Ok(connection)
}

/// Makes earlier commits safe after a sync may have failed. Returns false if other connections prevent it.
///
/// After a failed sync, operating systems treat the unwritten pages as written: they can still be read, a power cut
/// loses them, and a later successful sync does not cover them. SQLite fails only the commit whose sync failed. Earlier
/// commits that left their sync for later ([`Durability::Deferred`](crate::executor::Durability::Deferred)) may then be
/// a gap in the write-ahead log, and a power cut would lose everything after the gap. So this moves the write-ahead
/// log into the database, syncs the database, and begins a new write-ahead log.
///
/// A power cut during this checkpoint, soon after a failed sync, may leave the database with a part of the last
/// changes.
pub(crate) fn checkpoint(connection: &Connection) -> Result<bool> {
    synchronous(connection, Synchronous::Full, true)?;
    if connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))? {
        return Ok(false);
    }
    // Until the file has a new beginning, a power cut may restore what was truncated.
    let begun = connection.unchecked_transaction()?;
    touch(&begun)?;
    begun.commit().map_err(StoreError::Commit)?;
    Ok(true)
}

/// Writes a page without a lasting change. (SQLite does not write a row that keeps its values.)
pub(crate) fn touch(connection: &Connection) -> Result<()> {
    let put = "INSERT OR REPLACE INTO typed_events_handled (consumer, id, time) VALUES ('', x'', 0)";
    connection.prepare_cached(put)?.execute([])?;
    let take = "DELETE FROM typed_events_handled WHERE consumer = '' AND id = x''";
    connection.prepare_cached(take)?.execute([])?;
    Ok(())
}

/// Makes commits of earlier processes safe, whose sync may have failed before they ended. Does nothing while another
/// connection is busy with the file: its process does the same, and this one does not wait for it.
fn checkpoint_if_alone(connection: &Connection) -> Result<()> {
    busy_timeout(connection, false)?;
    let settled = checkpoint(connection);
    busy_timeout(connection, true)?;
    match settled {
        Err(fault) if !fault.is_busy() => Err(fault),
        _ => Ok(()),
    }
}

/// Creates the tables.
pub(crate) fn create(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(TABLES)?)
}

/// Creates the tables unless the file has them, and checks the format.
pub(crate) fn prepare(connection: &mut Connection) -> Result<()> {
    let is_new: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if is_new == 0 {
        // SQLite accepts this only before the first table exists. In other files, freed pages are reused but not
        // returned.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    // All rows are read: SQLite returns the mode before it writes the file, and that write may fail.
    let modes: Vec<String> = {
        let mut set = connection.prepare("PRAGMA journal_mode = WAL")?;
        set.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    let mode = modes.concat();
    if mode != "wal" {
        return Err(StoreError::Damaged(format!(
            "it does not support a write-ahead log (its journal mode is {mode})"
        )));
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_log(&tx)? {
        create(&tx)?;
        tx.execute("INSERT INTO typed_events_meta VALUES (1, ?1, randomblob(16), 0, '')", [FORMAT])?;
    }
    let format = "SELECT format FROM typed_events_meta WHERE one = 1";
    let format: Option<i64> = tx.query_row(format, [], |row| row.get(0)).optional()?;
    match format {
        Some(FORMAT) => {
            tx.commit().map_err(StoreError::Commit)?;
            checkpoint_if_alone(connection)
        }
        Some(format) => {
            let what = match format > FORMAT {
                true => {
                    "a newer version of typed-events has written it: start the program that was built with that version"
                }
                false => {
                    "a version of typed-events before the first release has written it, and it can't be converted: open another file"
                }
            };
            Err(StoreError::OtherFormat(format!(
                "its log has format {format}, and this program reads format {FORMAT}: {what}"
            )))
        }
        None => Err(StoreError::Damaged("the format of the log is missing".to_owned())),
    }
}

/// Notes the retention of this program. Returns that of the program which opened the log before, if it differs.
pub(crate) fn note_retention(connection: &Connection, retention: Retention) -> Result<Option<String>> {
    let retention = retention.to_string();
    let noted = |connection: &Connection| {
        connection.query_row("SELECT retention FROM typed_events_meta", [], |row| row.get::<_, String>(0))
    };
    if noted(connection)? == retention {
        return Ok(None);
    }
    // Immediate: a transaction that has read can't wait for the lock of another writer.
    let tx = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let noted = noted(&tx)?;
    tx.execute("UPDATE typed_events_meta SET retention = ?1", [&retention])?;
    tx.commit().map_err(StoreError::Commit)?;
    Ok(Some(noted).filter(|noted| !noted.is_empty() && *noted != retention))
}

/// Opens the first connection, and checks that all acknowledged records are there, before anything is changed.
pub(crate) fn connect_first(options: &Options) -> Result<Connection> {
    // The watermark is read before the file is opened. Meanwhile others may append, or create the file; a process that
    // creates the file has emptied the watermark of an old one before.
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
            // The rest of the write-ahead log is kept, since it may help to recover the records.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            return Err(missing(options, position, last));
        }
    }
    Ok(connection)
}

/// Whether the file contains a log.
fn is_log(connection: &Connection) -> Result<bool> {
    let known = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'typed_events_meta')";
    Ok(connection.query_row(known, [], |row| row.get(0))?)
}

/// Returns the id of the log.
pub(crate) fn id(connection: &Connection) -> Result<[u8; 16]> {
    Ok(connection.query_row("SELECT log FROM typed_events_meta", [], |row| row.get(0))?)
}

fn missing(options: &Options, acknowledged: i64, last: i64) -> StoreError {
    StoreError::Damaged(format!(
        "the newest {} records are missing, behind position {last}: a write-ahead log was damaged or removed, or the file is \
         an older copy; to open it as it is, remove {}",
        acknowledged - last,
        watermark::path_of(&options.path).display()
    ))
}

/// Returns the value of a pragma that is a number.
pub(crate) fn pragma(connection: &Connection, name: &str) -> Result<i64> {
    Ok(connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
}

/// Size in bytes up to which a file is checked completely when it is opened.
const SMALL: i64 = 8 << 20;

/// The tables of durable consumers, without dead letters.
const STATE: [&str; 10] = [
    "typed_events_meta",
    "typed_events_durable",
    "typed_events_sessions",
    "typed_events_names",
    "typed_events_consumers",
    "typed_events_profiles",
    "typed_events_members",
    "typed_events_progress",
    "typed_events_kinds",
    "typed_events_rows",
];

/// Checks that the file is intact: its rows against their indexes, and the consumers against their checksums.
///
/// Unfinished events have no checksum. Instead, an index repeats each of their columns that identify the consumer and the
/// event, or hold the time at which it is due.
///
/// # Complexity
///
/// Reads all of a small file: 20 ms for 8 MB. Of a larger one it reads what is pending, and counts the records.
pub(crate) fn check(connection: &Connection) -> Result<()> {
    let size = pragma(connection, "page_count")? * pragma(connection, "page_size")?;
    let tables: &[&str] = match size <= SMALL {
        true => &["1"],
        false => &STATE,
    };
    for what in tables {
        let check = format!("PRAGMA integrity_check({what})");
        let found: String = connection.query_row(&check, [], |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::Damaged(found));
        }
    }
    crate::rows::check(connection)?;
    count(connection)
}

/// Checks that no stored record is missing: the index of ids must have as many entries as there are positions.
///
/// # Complexity
///
/// Reads the index once: some 30 MB for a million records.
fn count(connection: &Connection) -> Result<()> {
    // All queries read one snapshot of the file, since others may append meanwhile.
    let connection = connection.unchecked_transaction()?;
    let first = "SELECT coalesce(min(position), 1) FROM typed_events_log";
    let first: i64 = connection.query_row(first, [], |row| row.get(0))?;
    let (last, trimmed) = (log::last(&connection)?, log::trimmed(&connection)?);
    let of_index = "SELECT count(*) FROM typed_events_log INDEXED BY typed_events_log_id";
    let counted: i64 = connection.query_row(of_index, [], |row| row.get(0))?;
    if last - trimmed != counted || first > trimmed + 1 && last > trimmed {
        return Err(StoreError::Damaged(format!(
            "there are {counted} records, but there should be {}",
            last - trimmed
        )));
    }
    Ok(())
}

/// Sets how the next commits are synced, and whether a commit checkpoints the write-ahead log when it has 1,000 pages.
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

/// Sets whether a write waits if the file is locked.
pub(crate) fn busy_timeout(connection: &Connection, waits: bool) -> Result<()> {
    Ok(connection.busy_handler(waits.then_some(ask_again))?)
}

/// Interval between the retries of a write that finds the file locked, and how long it is retried.
const BUSY_RETRY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(5));

/// Repeats work that finds the file locked. SQLite does not call the busy handler for each lock, such as that of
/// `PRAGMA journal_mode` in a new file that several programs open at once.
#[allow(
    clippy::disallowed_methods,
    reason = "the time that another process holds a lock does not follow a test's paused clock"
)]
pub(crate) fn retry_while_locked<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let ((pause, max), began) = (BUSY_RETRY, Instant::now());
    loop {
        match work() {
            Err(fault) if fault.is_busy() && began.elapsed() < max => std::thread::sleep(pause),
            done => return done,
        }
    }
}

thread_local! {
    /// When the write of this thread found the file locked first.
    static LOCKED_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The busy handler of a connection. SQLite's own one soon retries only every 100 ms. Between two commits of a busy
/// process the lock is free for a much shorter time, so other processes would not get it before their leases expire.
#[allow(
    clippy::disallowed_methods,
    reason = "the time that another process holds a lock does not follow a test's paused clock"
)]
fn ask_again(times: i32) -> bool {
    let (pause, max) = BUSY_RETRY;
    // SQLite counts from 0 for each lock. A number of retries is no limit: on a busy machine a pause may take longer.
    let now = Instant::now();
    let since = LOCKED_SINCE.get().filter(|_| times > 0).unwrap_or(now);
    LOCKED_SINCE.set(Some(since));
    std::thread::sleep(pause);
    now.duration_since(since) < max
}
