//! Trims records that the log no longer has to keep, in small batches, so that no other work waits long.

use std::sync::{Arc, Weak};
use std::time::Duration;

use events_core::durable::Changes;
use events_core::store::{Limits, Store, TrimLimit, Views};
use events_core::{Retention, Timestamp};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::Result;
use crate::executor::{Durability, Executor, Tx};
use crate::log::{last, trimmed};
use crate::options::Options;
use crate::rows::Tables;
use crate::schema::pragma;

/// Interval between trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// The most records that one transaction trims, and the most pages of the file that it gives back.
const BATCH: i64 = 1000;

/// Trims the log, and the marks of `first_time`.
pub(crate) struct Trimmer {
    pub(crate) options: Options,
    pub(crate) writer: Executor,
    pub(crate) views: Arc<Views>,
    pub(crate) limits: Limits,
    pub(crate) changes: Weak<watch::Sender<Changes>>,
}

impl Trimmer {
    /// Trims until the task is aborted.
    pub(crate) async fn run(self) {
        loop {
            if self.trim().await
                && let Some(changes) = self.changes.upgrade()
            {
                // Consumers report the events they lost.
                changes.send_modify(|changes| changes.consumers += 1);
            }
            let window = self.options.dedup_window.as_micros().try_into().unwrap_or(i64::MAX);
            let noted = Timestamp::now().as_micros() - window;
            let forget = move |tx: &Tx<'_>| forget(tx, noted);
            while let Ok(true) = self.writer.run(Durability::Deferred, forget).await {}
            sleep(TRIM_INTERVAL).await;
        }
    }

    /// Returns true if records were trimmed.
    async fn trim(&self) -> bool {
        let retention = self.options.retention;
        let mut trims = false;
        while !retention.is_everything() {
            let (views, limits) = (Arc::clone(&self.views), self.limits);
            let trim = move |tx: &Tx<'_>| trim(tx, &views, &limits, retention, Timestamp::now());
            // These commits take long, so they run on the thread, where a commit may also checkpoint the write-ahead
            // log.
            match self.writer.run(Durability::Immediate, trim).await {
                Ok(true) => tokio::task::yield_now().await,
                // The next emit reports the same failure.
                Ok(false) | Err(_) => break,
            }
            trims = true;
        }
        trims
    }
}

/// Trims up to [`BATCH`] records. Returns true if there may be more to trim.
pub(crate) fn trim(
    connection: &Connection,
    views: &Views,
    limits: &Limits,
    retention: Retention,
    now: Timestamp,
) -> Result<bool> {
    let (trimmed_to, last) = (trimmed(connection)?, last(connection)?);
    let mut to = 0;
    if let Some(records) = retention.max_records() {
        to = last.saturating_sub(i64::try_from(records).unwrap_or(i64::MAX));
    }
    if let Some(bytes) = retention.max_bytes()
        && used(connection)? > i64::try_from(bytes).unwrap_or(i64::MAX)
    {
        to = to.max(trimmed_to + BATCH);
    }
    // The newest record is never trimmed, so that no position is assigned twice.
    let limit = |to: i64| TrimLimit::To(to.min(last - 1).try_into().unwrap_or(0));
    let mut tables = Tables(connection);
    let mut store = Store::new(&mut tables, views, limits, now)?;
    let mut trim = |limit| store.trim(limit, BATCH.unsigned_abs(), retention.ignores_consumers());
    let mut done = trim(limit(to))?;
    if let Some(age) = retention.max_age().filter(|_| done.to.is_none()) {
        let age = age.as_micros().try_into().unwrap_or(i64::MAX);
        done = trim(TrimLimit::Age { age, keep: 1 })?;
    }
    store.end()?;
    match done.to {
        Some(_) => Ok(true),
        None => give_back(connection),
    }
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
