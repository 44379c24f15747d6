//! A table of entries, and functions to write and check it.

use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns an empty folder for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Sets the connection to a WAL with frequent checkpoints, and creates the table.
pub(crate) fn prepare(db: &Connection, synchronous: &str) -> rusqlite::Result<()> {
    prepare_with(db, "WAL", synchronous)
}

/// Like [`prepare`], with another kind of journal.
pub(crate) fn prepare_with(db: &Connection, journal: &str, synchronous: &str) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", journal)?;
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "wal_autocheckpoint", 12)?;
    db.execute_batch("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
}

/// Returns the body of an entry. Some are smaller than a sector, others fill several pages.
pub(crate) fn body(id: i64) -> Vec<u8> {
    let length = [40, 700, 3000, 9000][(id % 4) as usize];
    vec![id as u8; length]
}

/// Inserts an entry in a separate transaction.
pub(crate) fn insert(db: &Connection, id: i64) -> rusqlite::Result<()> {
    db.execute("INSERT INTO entry (id, body) VALUES (?1, ?2)", (id, body(id)))?;
    Ok(())
}

/// Opens the database with SQLite's default VFS, and returns its entries. Panics if the database is damaged or an
/// entry differs from the inserted one.
pub(crate) fn entries(path: &Path) -> Vec<i64> {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "synchronous", "OFF").unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    if !db.table_exists(None, "entry").unwrap() {
        return Vec::new();
    }
    let mut rows = db.prepare("SELECT id, body FROM entry ORDER BY id").unwrap();
    let rows = rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
    for (id, found) in &rows {
        assert_eq!(*found, body(*id));
    }
    rows.into_iter().map(|(id, _)| id).collect()
}
