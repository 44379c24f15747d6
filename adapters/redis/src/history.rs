//! Reads records from the log, backwards for a history and forwards for a page.

use std::collections::HashMap;

use events_core::{
    AdapterError, EventId, HistoryQuery, LogId, LogPage, LogQuery, Record, RecordCodec, Start,
};

use crate::log::Log;
use crate::scripts::{BACK, CONSUMERS, SEEK};

/// Number of records that one call reads.
const BATCH: u64 = 500;

/// Returns the newest records that match a query, oldest first.
pub(crate) async fn read(
    log: &Log,
    query: &HistoryQuery,
    codec: &RecordCodec,
) -> Result<Vec<Result<Record, AdapterError>>, AdapterError> {
    let micros = |time: events_core::Timestamp| time.as_micros().to_string();
    let (since, until) = (query.since().map(micros), query.until().map(micros));
    let bounds = log.call(&SEEK, |call, _| {
        call.arg(since.as_deref().unwrap_or_default()).arg(until.as_deref().unwrap_or_default());
    });
    let (first, mut last): (u64, u64) = bounds.await?;
    let only = query.only_name().unwrap_or_default();
    let mut found = Vec::new();
    while first <= last && found.len() < query.limit() {
        let page = log.call(&BACK, |call, _| {
            call.arg(first).arg(last).arg(BATCH).arg(only);
        });
        let page: Vec<(u64, String, Vec<u8>)> = page.await?;
        let Some((oldest, ..)) = page.last() else { break };
        last = oldest - 1;
        let wanted = page.iter().filter(|(_, name, _)| query.takes(name));
        for (position, _, text) in wanted.take(query.limit() - found.len()) {
            found.push(decode(log, codec, *position, text));
        }
    }
    found.reverse();
    Ok(found)
}

/// The most records of a page. The server builds the page at once, whatever the sizes of the records.
const PAGE: u64 = 256;

/// `([id of the log, last trimmed position, last position], entries)`.
type Forward = ((Option<String>, Option<u64>, Option<u64>), Vec<Entry>);
/// An entry of the stream: its id and fields.
type Entry = (String, HashMap<String, Vec<u8>>);

/// Returns a page of the records that follow the query's position. A script would copy each record twice.
pub(crate) async fn read_forward(
    log: &Log,
    query: &LogQuery,
    codec: &RecordCodec,
) -> Result<LogPage, AdapterError> {
    let parse_id = |id: &str| id.parse::<EventId>().map(|id| LogId::new(id.to_bytes()));
    let count = if query.position().is_some() { query.record_limit().min(PAGE) } else { 0 };
    let from = query.position().map_or(1, |after| after.number.saturating_add(1));
    let mut commands = redis::pipe();
    let [meta, stream, ..] = &log.keys()[..] else {
        return Err(AdapterError::refused("the log has no keys"));
    };
    commands.atomic().cmd("HMGET").arg(meta).arg(&["id", "trimmed", "last"]);
    commands.cmd("XRANGE").arg(stream).arg(format!("{from}-0")).arg("+").arg("COUNT").arg(count);
    let mut read: Forward = log.server.send(&commands).await.map_err(|error| error.to_bus())?;
    if read.0.0.is_none() {
        // The server has lost the log. A script begins another one.
        let _: Vec<String> = log.call(&CONSUMERS, |_, _| {}).await?;
        read = log.server.send(&commands).await.map_err(|error| error.to_bus())?;
    }
    let ((Some(id), Some(trimmed), Some(last)), found) = read else {
        return Err(AdapterError::unavailable(format_args!("{} has no log any more", log.address())));
    };
    let id = parse_id(&id).map_err(|_| {
        AdapterError::refused(format_args!("{}: the id of the log is not a UUID", log.address()))
    })?;
    let mut page = query.page(id, trimmed + 1, last);
    if page.start() != Start::Found {
        return Ok(page);
    }
    let found = found.iter().map(|(id, fields)| entry(id, fields)).collect::<Result<Vec<_>, _>>()?;
    if let Some((position, ..)) = found.last() {
        page.end_at(*position);
    }
    for (position, name, version, bytes) in found {
        let record = || decode(log, codec, position, bytes).map_err(|error| error.of_event(name, version));
        if query.takes(name) && !page.push(position, bytes.len(), record()) {
            break;
        }
    }
    Ok(page)
}

/// Position, name, version and text of an entry.
fn entry<'a>(
    id: &str,
    fields: &'a HashMap<String, Vec<u8>>,
) -> Result<(u64, &'a str, u32, &'a [u8]), AdapterError> {
    let text = |field: &str| fields.get(field).and_then(|value| std::str::from_utf8(value).ok());
    let position = id.split('-').next().and_then(|number| number.parse().ok());
    let damaged = || AdapterError::refused(format_args!("the entry {id} of the log lacks a field"));
    let position = position.ok_or_else(damaged)?;
    // Id, version, origin and name.
    let mut head = text("head").ok_or_else(damaged)?.splitn(4, ' ').skip(1);
    let version = head.next().and_then(|version| version.parse().ok()).ok_or_else(damaged)?;
    let name = head.nth(1).ok_or_else(damaged)?;
    Ok((position, name, version, fields.get("text").ok_or_else(damaged)?))
}

/// Decodes the record that is stored at a position.
pub(crate) fn decode(
    log: &Log,
    codec: &RecordCodec,
    position: u64,
    text: &[u8],
) -> Result<Record, AdapterError> {
    let decoded = match std::str::from_utf8(text) {
        Ok(text) => codec.decode(text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    decoded.map_err(|why| {
        AdapterError::refused(format_args!("{}: the record at {position}: {why}", log.address()))
    })
}
