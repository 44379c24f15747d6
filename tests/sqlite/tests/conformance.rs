//! Runs the conformance suite on SQLite.

use std::path::PathBuf;
use std::time::Duration;

use events_core::conformance::{Ability, ExternalRecord, Harness, Scale, run_only};
use rusqlite::Connection;
use typed_events::sqlite::{Sqlite, Synchronous};

struct OnDisk;

/// A temporary folder for the file of a log.
struct Folder(tempfile::TempDir);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.path().join("events.db")
    }
}

impl Harness for OnDisk {
    type Adapter = Sqlite;
    type Store = Folder;

    /// Returns the full size with `TESTS_FULL`, else a fifth of it.
    fn scale(&self) -> Scale {
        match std::env::var_os("TESTS_FULL") {
            Some(_) => Scale::default(),
            None => Scale::default().one_of(5),
        }
    }

    fn abilities(&self) -> Vec<Ability> {
        use Ability::*;
        vec![Joins, History, Deduplication, Durable, Append]
    }

    async fn fresh(&self) -> Result<Folder, String> {
        tempfile::tempdir().map(Folder).map_err(|error| error.to_string())
    }

    /// Does not wait for the disk, because these tests don't cut the power.
    fn adapter(&self, store: &Folder) -> Sqlite {
        Sqlite::at(store.file()).synchronous(Synchronous::Normal).poll(Duration::from_millis(5))
    }

    async fn append(&self, store: &Folder, external: ExternalRecord) -> Result<(), String> {
        append(&store.file(), &external).map_err(|error| error.to_string())
    }
}

/// Inserts a row as the adapter would, with a valid checksum.
fn append(file: &std::path::Path, external: &ExternalRecord) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let newest = "SELECT coalesce(max(position), 0), coalesce(max(time), 0) FROM typed_events_log";
    let (last, time): (i64, i64) = connection.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (position, time) = (last + 1, time.max(external.time.as_micros()));
    let (id, origin) = (external.event.to_bytes(), external.origin.to_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&position.to_le_bytes());
    crc.update(&id);
    crc.update(&(external.name.len() as u64).to_le_bytes());
    crc.update(external.name.as_bytes());
    crc.update(&external.version.to_le_bytes());
    crc.update(&time.to_le_bytes());
    crc.update(&origin);
    crc.update(&[0]);
    crc.update(external.text.as_bytes());
    let insert = "INSERT INTO typed_events_log (position, id, name, version, time, origin, outbox, crc, text)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8)";
    let (name, version, crc) = (&external.name, external.version, crc.finalize());
    connection.execute(insert, (position, id, name, version, time, origin, crc, &external.text))?;
    connection.execute_batch("COMMIT")
}

/// `CONFORMANCE_ROUNDS` sets how often the suite runs (default: once). `CONFORMANCE_ONLY` selects cases by a part of
/// their names.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let rounds = std::env::var("CONFORMANCE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    for round in 1..=rounds {
        let report = run_only(OnDisk, &only).await;
        println!("round {round} of {rounds}\n{report}");
        report.assert_ok();
        let skipped = report.cases().iter().filter(|case| case.to_string().starts_with("skipped")).count();
        assert_eq!(skipped, 0, "SQLite can do everything");
    }
}
