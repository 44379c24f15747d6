//! What operators see of consumers.

use std::collections::HashMap;

use events_core::durable::{Caller, ConsumerId, DurableError, EventFilter, Position, Refusal, matches_any};
use events_core::{AdapterError, ConsumerStatus, DeadLetter, EventId, Timestamp};
use serde::Deserialize;

use super::answers::{Reply, texts};
use super::calls;
use crate::log::Log;
use crate::scripts::{CONSUMERS, FIND, LETTERS, STATUS, UNFINISHED};

/// The ids of all consumers.
pub(crate) async fn ids(log: &Log) -> Result<Vec<ConsumerId>, AdapterError> {
    let names: HashMap<String, String> = log.call(&CONSUMERS, |_, _| {}).await?;
    let mut ids: Vec<_> = names.values().filter_map(|id| id.parse().ok()).map(ConsumerId).collect();
    ids.sort_unstable();
    Ok(ids)
}

pub(super) async fn consumers(log: &Log, caller: &Caller) -> Result<Vec<ConsumerStatus>, AdapterError> {
    let mut listed = Vec::new();
    for id in ids(log).await? {
        match consumer(log, caller, id).await {
            Ok(status) => listed.push(status),
            // It was removed meanwhile.
            Err(DurableError::Refused(Refusal::Removed | Refusal::UnknownConsumer)) => {}
            Err(DurableError::Refused(refusal)) => return Err(AdapterError::refused(refusal)),
            Err(DurableError::Failed(error)) => return Err(error),
        }
    }
    listed.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(listed)
}

#[derive(Deserialize)]
struct Fields {
    name: String,
    #[serde(default)]
    patterns: Vec<String>,
    position: Position,
    lag: u64,
    in_progress: u64,
    waiting: u64,
    /// The kinds of rows that a session has met and not taken, and their numbers.
    #[serde(default)]
    lanes: Vec<(String, u64)>,
    #[serde(default)]
    filters: Vec<(String, String)>,
    dead: u64,
    dropped: u64,
    paused: bool,
    moving: bool,
    seen: String,
}

async fn consumer(log: &Log, caller: &Caller, id: ConsumerId) -> Result<ConsumerStatus, DurableError> {
    let reply: Reply =
        log.call_with(&STATUS, &log.keys_of(id), &calls::bare(&Caller { knows: None, ..*caller })).await?;
    let fields: Fields = reply.parse()?;
    let filters: Vec<EventFilter> =
        fields.filters.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()).collect();
    let is_unclaimed = |(text, _): &&(String, u64)| {
        let kind = calls::kind_of(text);
        !filters.is_empty() && !filters.iter().any(|filter| filter.takes(&kind))
    };
    let mut status = ConsumerStatus::new(id, fields.name);
    status.patterns = fields.patterns;
    (status.position, status.lag, status.in_progress) = (fields.position, fields.lag, fields.in_progress);
    status.unclaimed = fields.lanes.iter().filter(is_unclaimed).map(|(_, rows)| rows).sum();
    status.waiting = fields.waiting.saturating_sub(status.unclaimed);
    (status.dead, status.dropped) = (fields.dead, fields.dropped);
    (status.paused, status.moving) = (fields.paused, fields.moving);
    status.seen = Timestamp::from_micros(fields.seen.parse().unwrap_or_default());
    status.is_running = !filters.is_empty();
    Ok(status)
}

/// A dead letter of `letters.lua`: `(position, id, name, text, error, attempts, first, last)`.
type Letter = (Position, String, String, Vec<u8>, String, u32, i64, i64);

pub(super) async fn dead_letters(
    log: &Log,
    consumer: ConsumerId,
    after: Position,
    limit: usize,
) -> Result<Vec<DeadLetter>, AdapterError> {
    // The server runs nothing else while it answers, and a reader of more asks again.
    let limit = limit.min(1_000);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let argument = format!("{{\"after\":{after},\"limit\":{limit}}}");
    let letters: Option<Vec<Letter>> = log.call_with(&LETTERS, &log.keys_of(consumer), &argument).await?;
    let read = |(position, id, name, stored, error, attempts, first, last): Letter| {
        let id = id.parse().unwrap_or_else(|_| EventId::from_bytes([0; 16]));
        let mut dead = DeadLetter::new(id, name, position, stored);
        (dead.error, dead.attempts) = (error, attempts);
        (dead.first, dead.last) = (Timestamp::from_micros(first), Timestamp::from_micros(last));
        dead
    };
    Ok(letters.unwrap_or_default().into_iter().map(read).collect())
}

/// A consumer of `unfinished.lua`: `(name, event waits or is in hand, position is before the event, union)`.
type Progress = (String, bool, bool, String);

pub(super) async fn unfinished(log: &Log, event: EventId) -> Result<Option<Vec<String>>, AdapterError> {
    let found: Option<(Position, String)> = log
        .call(&FIND, |call, _| {
            call.arg(event.to_string());
        })
        .await?;
    let Some((position, name)) = found else { return Ok(None) };
    let mut unfinished = Vec::new();
    for id in ids(log).await? {
        let argument = format!("{{\"position\":{position}}}");
        let progress: Option<Progress> = log.call_with(&UNFINISHED, &log.keys_of(id), &argument).await?;
        let Some((consumer, has_row, is_ahead, union)) = progress else { continue };
        if has_row || (is_ahead && matches_any(&texts(&union)?, &name)) {
            unfinished.push(consumer);
        }
    }
    Ok(Some(unfinished))
}
