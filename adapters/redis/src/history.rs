//! Reads records from the log, backwards for a history and forwards for a page.

use events_core::{
    AdapterError, EventId, HistoryQuery, LogId, LogPage, LogQuery, Record, RecordCodec, Start,
};

use crate::log::Log;
use crate::scripts::{BACK, FORWARD, SEEK};

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

/// `(id of the log, last trimmed position, last position, [(position, name, version, text)])`.
type Forward = (String, u64, u64, Vec<(u64, String, u32, Vec<u8>)>);

/// Returns a page of the records that follow the query's position.
pub(crate) async fn read_forward(
    log: &Log,
    query: &LogQuery,
    codec: &RecordCodec,
) -> Result<LogPage, AdapterError> {
    let parse_id = |id: &str| id.parse::<EventId>().map(|id| LogId::new(id.to_bytes()));
    let (from, to) = match query.position() {
        Some(after) => (after.number.saturating_add(1), after.number.saturating_add(query.record_limit())),
        None => (1, 0),
    };
    let asked = log.call::<Forward>(&FORWARD, |call, _| {
        call.arg(from).arg(to).arg(query.byte_limit());
    });
    let (id, trimmed, last, found) = asked.await?;
    let id = parse_id(&id).map_err(|_| {
        AdapterError::refused(format_args!("{}: the id of the log is not a UUID", log.address()))
    })?;
    let mut page = query.page(id, trimmed + 1, last);
    if page.start() != Start::Found {
        return Ok(page);
    }
    if let Some((position, ..)) = found.last() {
        page.end_at(*position);
    }
    for (position, name, version, bytes) in &found {
        let record = || decode(log, codec, *position, bytes).map_err(|error| error.of_event(name, *version));
        if query.takes(name) && !page.push(*position, bytes.len(), record()) {
            break;
        }
    }
    Ok(page)
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
