//! Trims records that the log no longer has to keep, in small batches, so that no other call waits long.

use std::sync::Arc;
use std::time::Duration;

use events_core::durable::{ConsumerId, Position, matches_any};
use events_core::store::{LIMITS, TrimLimit};
use events_core::{AdapterError, Retention, Timestamp};
use serde::Serialize;
use tokio::time::sleep;

use crate::durable::{consumer_ids, oldest, union_of};
use crate::log::Log;
use crate::scripts::TRIM;

/// Interval between trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// How often a trim is tried again because consumers changed.
const TRIES: usize = 5;

/// The keys of each consumer that the script needs.
const KEYS: [&str; 4] = ["head", "open", "hand", "ahead"];

/// What may be trimmed.
#[derive(Clone, Copy, Default, Serialize)]
struct Bounds {
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Only for checks: the last position, and the reading of the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<i64>,
    /// Whether events that consumers have not finished are trimmed.
    past: bool,
}

#[derive(Serialize)]
struct Trim {
    #[serde(flatten)]
    bounds: Bounds,
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
    let bounds = Bounds {
        records: retention.max_records(),
        age: retention.max_age().map(|age| age.as_micros().try_into().unwrap_or(u64::MAX >> 12)),
        bytes: retention.max_bytes(),
        past: retention.ignores_consumers(),
        ..Bounds::default()
    };
    let mut failing = false;
    loop {
        match trim(&log, bounds).await {
            Ok((0, _)) => sleep(TRIM_INTERVAL).await,
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

/// Trims a chunk as a check wants it.
pub(crate) async fn trim_to(
    log: &Log,
    now: Timestamp,
    limit: TrimLimit,
    past: bool,
) -> Result<(u64, Timestamp), AdapterError> {
    let bounds = Bounds { now: Some(now.as_micros()), past, ..Bounds::default() };
    let bounds = match limit {
        TrimLimit::To(to) => Bounds { to: Some(to), ..bounds },
        TrimLimit::Age { age, .. } => Bounds { age: age.try_into().ok(), ..bounds },
    };
    let (trimmed, time) = trim(log, bounds).await?;
    Ok((trimmed, Timestamp::from_micros(time)))
}

/// Trims a chunk. Returns how many records it has trimmed, and the time.
async fn trim(log: &Log, bounds: Bounds) -> Result<(u64, i64), AdapterError> {
    for _ in 0..TRIES {
        let ids = consumer_ids(log).await?;
        let (trimmed, consumers) = match bounds.past {
            true => losses(log, &ids).await?,
            false => {
                (0, ids.iter().map(|id| OfConsumer { id: id.0, number: 0, taken: Vec::new() }).collect())
            }
        };
        let argument =
            serde_json::to_string(&Trim { bounds, trimmed, consumers }).map_err(AdapterError::refused)?;
        if let Some(done) = log.call_with(&TRIM, &log.keys_with(&ids, &KEYS), &argument).await? {
            return Ok(done);
        }
    }
    Ok((0, 0))
}

/// The oldest events of the log that each consumer takes, and the position before them.
async fn losses(log: &Log, ids: &[ConsumerId]) -> Result<(Position, Vec<OfConsumer>), AdapterError> {
    let (trimmed, records) = oldest(log, LIMITS.chunk as u64).await?;
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
