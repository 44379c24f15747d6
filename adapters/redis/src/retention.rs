//! Trims records that the log no longer has to keep, in small batches, so that no other call waits long.

use std::sync::Arc;
use std::time::Duration;

use events_core::durable::{ConsumerId, Position, matches_any};
use events_core::{AdapterError, Retention, Timestamp};
use serde::Serialize;
use tokio::time::sleep;

use crate::durable::{consumer_ids, oldest, union_of};
use crate::log::Log;
use crate::scripts::TRIM;

/// Interval between trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// The most records that one call trims: the server runs nothing else meanwhile.
const BATCH: u64 = 500;
/// How often a trim is tried again because consumers changed.
const TRIES: usize = 5;

/// The keys of each consumer that the script needs.
const KEYS: [&str; 4] = ["head", "open", "hand", "ahead"];

#[derive(Serialize)]
struct Trim {
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    most: u64,
    past: bool,
    trimmed: Position,
    consumers: Vec<OfConsumer>,
}

#[derive(Serialize)]
struct OfConsumer {
    id: u64,
    /// The number of the patterns by which `taken` was found.
    number: u64,
    /// The oldest events that the consumer takes. Only if events that it has not finished are trimmed.
    taken: Vec<Position>,
}

/// Trims the log until the task is aborted. Returns at once if everything is kept.
pub(crate) async fn keep(log: Arc<Log>, retention: Retention) {
    if retention.is_everything() {
        return;
    }
    let mut failing = false;
    loop {
        match trim(&log, retention).await {
            Ok(0) => sleep(TRIM_INTERVAL).await,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log.receiver.warn(&format!("can't trim the log and tries again: {error}"));
                }
                sleep(TRIM_INTERVAL).await;
                continue;
            }
        }
        failing = false;
    }
}

/// Trims a batch, and returns how many records it has trimmed.
async fn trim(log: &Log, retention: Retention) -> Result<u64, AdapterError> {
    let since = retention.max_age().map(|age| {
        let age = age.as_micros().try_into().unwrap_or(i64::MAX);
        Timestamp::now().as_micros().saturating_sub(age)
    });
    for _ in 0..TRIES {
        let ids = consumer_ids(log).await?;
        let (trimmed, consumers) = match retention.ignores_consumers() {
            true => losses(log, &ids).await?,
            false => {
                (0, ids.iter().map(|id| OfConsumer { id: id.0, number: 0, taken: Vec::new() }).collect())
            }
        };
        let trim = Trim {
            records: retention.max_records(),
            since,
            bytes: retention.max_bytes(),
            most: BATCH,
            past: retention.ignores_consumers(),
            trimmed,
            consumers,
        };
        let argument = serde_json::to_string(&trim).map_err(AdapterError::refused)?;
        if let Some(trimmed) = log.call_with(&TRIM, &log.keys_with(&ids, &KEYS), &argument).await? {
            return Ok(trimmed);
        }
    }
    Ok(0)
}

/// The oldest events of the log that each consumer takes, and the position before them.
async fn losses(log: &Log, ids: &[ConsumerId]) -> Result<(Position, Vec<OfConsumer>), AdapterError> {
    let (trimmed, records) = oldest(log, BATCH).await?;
    let mut consumers = Vec::new();
    for id in ids {
        let (number, union) = union_of(log, *id).await?;
        let taken = records.iter().filter(|(_, name)| matches_any(&union, name));
        consumers.push(OfConsumer {
            id: id.0,
            number,
            taken: taken.map(|(position, _)| *position).collect(),
        });
    }
    Ok((trimmed, consumers))
}
