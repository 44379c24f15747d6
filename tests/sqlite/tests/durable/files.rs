//! Files that can't be used, or not any more.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use tokio::time::Instant;
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, ErrorKind, Retention, event};

use crate::File;
use crate::outbox::{pool, until};
use crate::silence::Log;

#[event("files.noted")]
pub struct Noted(u32);

/// A way in which the file goes away, and what is said of it.
type Case = (fn(&File), &'static str);

fn wal(file: &File) -> PathBuf {
    file.path().with_extension("db-wal")
}

fn moved(path: PathBuf) {
    fs::rename(&path, path.with_extension("old")).unwrap();
}

const CASES: [Case; 4] = [
    (|file| fs::remove_file(file.path()).unwrap(), "events.db was removed while"),
    (|file| moved(file.path()), "events.db was removed while"),
    (
        |file| {
            let copy = file.path().with_extension("copy");
            fs::copy(file.path(), &copy).unwrap();
            fs::rename(copy, file.path()).unwrap();
        },
        "events.db was replaced by another file while",
    ),
    (|file| fs::remove_file(wal(file)).unwrap(), "events.db-wal was removed while"),
];

async fn open(file: &File) -> Bus {
    let bus = file.builder().event::<Noted>().build().await.unwrap();
    bus.emit(Noted(1)).await.unwrap();
    bus
}

#[tokio::test]
async fn c9_no_emit_is_acknowledged_after_the_file_is_gone() {
    for (go_away, said) in CASES {
        let file = File::new();
        let bus = open(&file).await;
        go_away(&file);
        let error = bus.emit(Noted(2)).await.expect_err(said);
        // It was written to the old file, unless the poll was first.
        let may_be = [ErrorKind::OutcomeUnknown, ErrorKind::Append];
        assert!(may_be.contains(&error.kind()), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        // A file that is moved back lacks what was written meanwhile.
        let error = bus.emit(Noted(3)).await.expect_err(said);
        assert_eq!(error.kind(), ErrorKind::Append, "{error}");
        let error = error.to_string();
        assert!(error.contains(said) && error.contains("until the program is started again"), "{error}");
        let error = bus.history("*").await.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn c9_a_file_that_is_gone_is_reported_without_an_emit() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    for (go_away, _) in CASES {
        let file = File::new();
        let bus = open(&file).await;
        go_away(&file);
        let named = file.path().display().to_string();
        let said = || log.warnings(&named).iter().any(|line| line.contains("no longer follows the log"));
        until(said).await;
        drop(bus);
    }
}

#[tokio::test]
async fn c9_a_transaction_in_the_old_file_takes_no_event() {
    for (go_away, said) in CASES {
        let file = File::new();
        let bus = open(&file).await;
        let pool = pool(&file).await;
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        bus.emit_in(&mut tx, Noted(2)).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        go_away(&file);
        let error = bus.emit_in(&mut tx, Noted(3)).await.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Changes a file that no bus has open.
async fn change(file: &File, sql: &str) {
    file.builder().build().await.unwrap().stop().await.unwrap();
    file.until_closed().await;
    Connection::open(file.path()).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn c12_a_log_of_another_format_is_not_called_damaged() {
    for (format, said) in [(1, "before the first release"), (999, "a newer version of typed-events")] {
        let file = File::new();
        change(&file, &format!("UPDATE typed_events_meta SET format = {format}")).await;
        let error = file.builder().build().await.unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(&format!("has format {format}")), "{error}");
        assert!(error.contains("events.db") && !error.contains("damaged"), "{error}");
    }
}

#[tokio::test]
async fn c12_a_log_without_its_settings_is_called_damaged() {
    let file = File::new();
    change(&file, "DELETE FROM typed_events_meta").await;
    let error = file.builder().build().await.unwrap_err().to_string();
    assert!(error.contains("events.db is damaged") && !error.contains("Query returned"), "{error}");
}

#[tokio::test]
async fn c12_an_emit_waits_5_s_for_a_file_that_is_locked() {
    let file = File::new();
    let bus = open(&file).await;
    let other = Connection::open(file.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let error = bus.emit(Noted(2)).await.unwrap_err();
    let took = began.elapsed().as_secs_f64();
    assert_eq!(error.kind(), ErrorKind::Append, "{error}");
    assert!((4.9..8.0).contains(&took), "{took} s");
    other.execute_batch("ROLLBACK").unwrap();
    bus.emit(Noted(3)).await.unwrap();
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn c12_programs_with_other_retentions_are_reported() {
    let (file, log) = (File::new(), Log::default());
    let _guard = tests_support::listen(log.clone());
    let (small, large) = (Retention::everything().records(10), Retention::everything().records(1_000));
    for (retention, warnings) in [(small, 0), (small, 0), (large, 1), (large, 1), (small, 2)] {
        let adapter = Sqlite::at(file.path()).retention(retention);
        Bus::builder().adapter(adapter).quiet().build().await.unwrap().stop().await.unwrap();
        assert_eq!(log.warnings("the smaller limits apply").len(), warnings);
    }
    let said = "was opened before with the retention `10 events`, and this program has `1000 events`";
    assert_eq!(log.warnings(said).len(), 1);
}
