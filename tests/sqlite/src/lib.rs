//! Shared by the tests of crashes. The tests are in `tests/`, and the programs that they kill in `src/bin/`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
pub use tests_support::{Noted, Random, size};
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, BusBuilder, DurableOptions, Event, event};

/// The event of all tests of crashes.
#[event("crash.numbered")]
pub struct Numbered {
    /// A number that no other event has.
    pub number: u64,
    /// Text that makes records longer.
    pub text: String,
}

impl Numbered {
    /// Creates an event whose text contains its number, so that the text of another event is noticed.
    pub fn of_length(number: u64, length: usize) -> Self {
        let text = format!("{number} ").chars().cycle().take(length).collect();
        Self { number, text }
    }
}

/// The numbers that a handler was called with.
pub type Handled = Arc<Noted<u64>>;

/// A bus on a file, whose durable handler notes the numbers it gets.
pub fn consuming(adapter: Sqlite, durable: DurableOptions, handled: &Handled) -> BusBuilder {
    let handled = Arc::clone(handled);
    let take = move |event: &Numbered| handled.note(event.number);
    Bus::builder()
        .adapter(adapter)
        .lease(Duration::from_millis(100))
        .event::<Numbered>()
        .durable(durable, Numbered::NAME, take)
        .quiet()
}

/// Returns the options of the tests' consumer, `take`.
pub fn taker() -> DurableOptions {
    DurableOptions::new("take")
        .concurrency(8)
        .retries(1_000)
        .backoff(Duration::from_millis(1), Duration::from_millis(5))
}

/// Waits until the consumer `take` has finished everything in the log.
///
/// # Panics
///
/// If it does not within two minutes.
pub async fn drain(bus: &Bus) {
    let consumer = bus.consumer("take");
    let drained = async {
        while consumer.status().await.is_ok_and(|status| status.lag > 0) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), drained)
        .await
        .expect("the consumer finishes what is there");
}

/// The file of a log in a folder.
pub fn log_in(folder: &Path) -> PathBuf {
    folder.join("events.db")
}

/// The numbers of all events in the history of a bus.
///
/// # Panics
///
/// If it can't be read, or has a number twice.
pub async fn numbers(bus: &Bus) -> HashSet<u64> {
    let records = bus.history("crash.*").limit(usize::MAX).await.expect("the history can be read");
    let number = |record: &typed_events::Record| record.decode::<Numbered>().expect("it is one").number;
    let numbers: HashSet<_> = records.iter().map(number).collect();
    assert_eq!(numbers.len(), records.len(), "a number is in the log twice");
    numbers
}

/// How many records a file has, if SQLite itself finds nothing wrong with it.
///
/// # Panics
///
/// If the file is damaged, or positions have a gap.
pub fn whole(path: &Path) -> usize {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags).expect("the file can be opened");
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
    assert_eq!(check, "ok", "{}", path.display());
    let ends =
        "SELECT count(*), coalesce(min(position), 1), coalesce(max(position), 0) FROM typed_events_log";
    let ends = connection.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (count, first, last): (i64, i64, i64) = ends.expect("it is a log");
    assert_eq!((first, last), (1, count), "positions have a gap");
    count as usize
}
