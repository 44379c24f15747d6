//! Trims records that the log no longer has to keep, in small batches, so that no other work waits long.

use std::sync::Weak;
use std::time::Duration;

use events_core::{Retention, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::Result;
use crate::executor::{Durability, Executor, Tx};
use crate::log::{last, position_at, trimmed};
use crate::options::Options;
use crate::schema::pragma;

/// Interval between trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// The most records that one transaction trims, and the most pages of the file that it gives back.
const BATCH: i64 = 1000;

/// Trims the log, and the marks of `first_time`, until the task is aborted.
pub(crate) async fn keep(options: Options, writer: Executor, changed: Weak<watch::Sender<u64>>) {
    loop {
        let retention = options.retention;
        let mut trims = false;
        loop {
            if retention.is_everything() {
                break;
            }
            let now = Timestamp::now().as_micros();
            let trim = move |tx: &Tx<'_>| trim(tx, retention, now);
            // These commits take long, so they run on the thread, where a commit may also checkpoint the write-ahead
            // log.
            match writer.run(Durability::Immediate, trim).await {
                Ok(true) => tokio::task::yield_now().await,
                // The next emit reports the same failure.
                Ok(false) | Err(_) => break,
            }
            trims = true;
        }
        if trims && let Some(changed) = changed.upgrade() {
            // Consumers report the events they lost.
            changed.send_modify(|count| *count += 1);
        }
        let remembered =
            Timestamp::now().as_micros() - options.dedup_window.as_micros().try_into().unwrap_or(i64::MAX);
        let forget = move |tx: &Tx<'_>| forget(tx, remembered);
        while let Ok(true) = writer.run(Durability::Deferred, forget).await {}
        sleep(TRIM_INTERVAL).await;
    }
}

/// Trims up to [`BATCH`] records. Returns true if there may be more to trim.
pub(crate) fn trim(connection: &Connection, retention: Retention, now: i64) -> Result<bool> {
    if retention.is_everything() {
        return Ok(false);
    }
    let (trimmed_to, last) = (trimmed(connection)?, last(connection)?);
    let mut keep_from = trimmed_to + 1;
    if let Some(records) = retention.max_records() {
        keep_from = keep_from.max(last.saturating_sub(i64::try_from(records).unwrap_or(i64::MAX)) + 1);
    }
    if let Some(age) = retention.max_age() {
        let oldest = now.saturating_sub(age.as_micros().try_into().unwrap_or(i64::MAX));
        keep_from = keep_from.max(position_at(connection, oldest)?);
    }
    if let Some(bytes) = retention.max_bytes()
        && used(connection)? > i64::try_from(bytes).unwrap_or(i64::MAX)
    {
        keep_from = keep_from.max(trimmed_to + 1 + BATCH);
    }
    if !retention.ignores_consumers() {
        keep_from = keep_from.min(unfinished(connection)?.unwrap_or(i64::MAX));
    }
    // The newest record is never trimmed, so that no position is assigned twice.
    let keep_from = keep_from.min(last).min(trimmed_to + 1 + BATCH);
    if keep_from <= trimmed_to + 1 {
        return give_back(connection);
    }
    // A replayed dead letter has a position before the trimmed ones. It stays until its consumer has finished it.
    let delete = "DELETE FROM typed_events_log WHERE position < ?2
        AND (position > ?1 OR position NOT IN (SELECT position FROM typed_events_pending))";
    connection.prepare_cached(delete)?.execute([trimmed_to, keep_from])?;
    if retention.ignores_consumers() {
        // A consumer notices a lost event when it claims it again. Waiting and held events become due at once, so it
        // does so now. An event that waits for another one of its key becomes due after that one.
        let lost = "UPDATE typed_events_pending SET held = 0, due = 0
            WHERE position > ?1 AND position < ?2 AND leased = 0 AND (held = 1 OR due IS NOT NULL)";
        connection.prepare_cached(lost)?.execute([trimmed_to, keep_from])?;
    }
    let note = "UPDATE typed_events_meta SET trimmed = ?1 WHERE one = 1";
    connection.prepare_cached(note)?.execute([keep_from - 1])?;
    Ok(true)
}

/// Returns the oldest position that a consumer has not finished.
fn unfinished(connection: &Connection) -> Result<Option<i64>> {
    let oldest = "SELECT min(position) FROM (
        SELECT min(position) AS position FROM typed_events_pending
        UNION ALL SELECT min(cursor) + 1 FROM typed_events_consumers)";
    Ok(connection.prepare_cached(oldest)?.query_row([], |row| row.get(0)).optional()?.flatten())
}

/// Returns how many bytes of the file are in use.
fn used(connection: &Connection) -> Result<i64> {
    let pages = pragma(connection, "page_count")? - pragma(connection, "freelist_count")?;
    Ok(pages * pragma(connection, "page_size")?)
}

/// Returns up to [`BATCH`] free pages of the file to the file system. Returns true if there may be more.
fn give_back(connection: &Connection) -> Result<bool> {
    let before = pragma(connection, "freelist_count")?;
    if before < BATCH {
        return Ok(false);
    }
    let mut vacuum = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({BATCH})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(pragma(connection, "freelist_count")? < before)
}

/// Deletes up to 1,000 expired marks of `first_time`. Returns true if there may be more.
fn forget(connection: &Connection, before: i64) -> Result<bool> {
    let old = "DELETE FROM typed_events_handled WHERE (consumer, id) IN (
        SELECT consumer, id FROM typed_events_handled WHERE time < ?1 LIMIT 1000)";
    Ok(connection.prepare_cached(old)?.execute([before])? > 0)
}
