//! Reads records from the log, backwards for a history and forwards for a page.

use events_core::{AdapterError, HistoryQuery, LogId, LogPage, LogQuery, Record, RecordCodec};
use rusqlite::Connection;

use crate::error::{Result, StoreError};
use crate::log::{COLUMNS, Stored, last, position_at, trimmed};

/// Returns the newest records that match a query, oldest first. A damaged or missing record is returned as an error.
pub(crate) fn read(
    connection: &Connection,
    query: &HistoryQuery,
    codec: &RecordCodec,
) -> Result<Vec<Result<Record>>> {
    let first = match query.since() {
        Some(time) => position_at(connection, time.as_micros())?,
        None => trimmed(connection)? + 1,
    };
    let end = match query.until().and_then(|time| time.as_micros().checked_add(1)) {
        Some(behind) => position_at(connection, behind)?,
        None => last(connection)? + 1,
    };
    let found = match query.only_name() {
        Some(name) => of_name(connection, name, first, end, query.limit())?,
        None => of_pattern(connection, query, first, end)?,
    };
    let read = |stored: Stored| {
        let at = stored.position;
        stored.record(codec).map_err(|why| AdapterError::refused(format_args!("the record at {at}: {why}")))
    };
    Ok(found.into_iter().rev().map(|stored| Ok(read(stored?)?)).collect())
}

/// Returns a page of the records that follow the position of `asked`.
pub(crate) fn read_forward(
    connection: &Connection,
    asked: &LogQuery,
    codec: &RecordCodec,
    of_file: impl Fn(StoreError) -> AdapterError,
) -> Result<LogPage> {
    let log = "SELECT log FROM typed_events_meta WHERE one = 1";
    let log: [u8; 16] = connection.prepare_cached(log)?.query_row([], |row| row.get(0))?;
    let number = |position: i64| u64::try_from(position).unwrap_or(0);
    let mut page = asked.page(LogId::new(log), number(trimmed(connection)? + 1), number(last(connection)?));
    let query =
        format!("SELECT {COLUMNS} FROM typed_events_log WHERE position BETWEEN ?1 AND ?2 ORDER BY position");
    let mut query = connection.prepare_cached(&query)?;
    let wanted = page.wanted();
    let mut rows = query.query((wanted.start().cast_signed(), wanted.end().cast_signed()))?;
    let mut expected = *wanted.start();
    while let Some(row) = rows.next()? {
        let at = number(row.get(0)?);
        if at > expected && !page.push(expected, 0, Err(of_file(lost(expected, at - 1)))) {
            return Ok(page);
        }
        expected = at + 1;
        let name = row.get_ref(2)?.as_str().unwrap_or_default();
        // A name that no longer is one is found out by its checksum.
        if asked.takes(name) || events_core::check_name(name).is_err() {
            let bytes = row.get_ref(8)?.as_str().map_or(0, str::len);
            let record = match Stored::read(row) {
                Ok(stored) => stored
                    .record(codec)
                    .map_err(|why| AdapterError::refused(format_args!("the record at {at}: {why}")))
                    .map_err(|error| error.of_event(&stored.name, stored.version)),
                Err(fault) => Err(of_file(fault)),
            };
            if !page.push(at, bytes, record) {
                return Ok(page);
            }
        }
    }
    if expected <= *wanted.end() {
        page.push(expected, 0, Err(of_file(lost(expected, *wanted.end()))));
    }
    Ok(page)
}

/// Returns the records of one name, newest first, by the index of names.
fn of_name(
    connection: &Connection,
    name: &str,
    first: i64,
    end: i64,
    limit: usize,
) -> Result<Vec<Result<Stored>>> {
    let query = format!(
        "SELECT {COLUMNS} FROM typed_events_log INDEXED BY typed_events_log_name
         WHERE name = ?1 AND position >= ?2 AND position < ?3 ORDER BY position DESC LIMIT ?4"
    );
    let mut query = connection.prepare_cached(&query)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = query.query((name, first, end, limit))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Stored::read(row));
    }
    Ok(found)
}

/// Returns the records that match a query, newest first, by reading all records.
fn of_pattern(
    connection: &Connection,
    asked: &HistoryQuery,
    first: i64,
    end: i64,
) -> Result<Vec<Result<Stored>>> {
    let mut found = Vec::new();
    if asked.limit() == 0 {
        return Ok(found);
    }
    let query = format!(
        "SELECT {COLUMNS} FROM typed_events_log WHERE position >= ?1 AND position < ?2 ORDER BY position DESC"
    );
    let mut query = connection.prepare_cached(&query)?;
    let mut rows = query.query((first, end))?;
    let mut expected = end - 1;
    while let Some(row) = rows.next()? {
        let position: i64 = row.get(0)?;
        if position < expected {
            found.push(missing(position + 1, expected));
            if found.len() == asked.limit() {
                return Ok(found);
            }
        }
        expected = position - 1;
        let name = row.get_ref(2)?.as_str().unwrap_or_default();
        // A name that no longer is one is found out by its checksum.
        if asked.takes(name) || events_core::check_name(name).is_err() {
            found.push(Stored::read(row));
            if found.len() == asked.limit() {
                return Ok(found);
            }
        }
    }
    if expected >= first {
        found.push(missing(first, expected));
    }
    Ok(found)
}

/// Returns the error that takes the place of missing records in a result.
fn missing(first: i64, last: i64) -> Result<Stored> {
    Err(lost(first, last))
}

fn lost<N: PartialEq + std::fmt::Display>(first: N, last: N) -> StoreError {
    StoreError::Damaged(match first == last {
        true => format!("the record at {first} is missing"),
        false => format!("the records at {first} to {last} are missing"),
    })
}
