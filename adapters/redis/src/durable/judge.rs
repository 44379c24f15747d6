//! The judgement of kinds: which of them the live sessions and the union of a consumer take. Only Rust matches patterns,
//! so a script that needs a judgement answers so before its first write, and is called again.

use std::collections::HashMap;

use events_core::AdapterError;
use events_core::durable::{ConsumerId, DurableError, EventFilter, Kind, matches_any};
use redis::Script;
use serde::{Deserialize, Serialize};

use super::answers::{Refused, Reply};
use super::calls::{json, kind_of};
use super::{TRIES, too_busy};
use crate::log::Log;
use crate::scripts::{JUDGE, KINDS};

/// Calls a script on a consumer, and judges kinds for it.
pub(super) async fn call(
    log: &Log,
    script: &'static Script,
    consumer: ConsumerId,
    argument: &str,
) -> Result<Reply, DurableError> {
    let keys = log.keys_of(consumer);
    for _ in 0..TRIES {
        let reply: Reply = log.call_with(script, &keys, argument).await?;
        match reply.refused()? {
            Some(Refused::Judge) => judge(log, consumer).await?,
            _ => return Ok(reply),
        }
    }
    Err(too_busy().into())
}

/// What `kinds.lua` returns.
#[derive(Deserialize)]
struct Kinds {
    /// The number of the patterns.
    number: u64,
    /// How many kinds there are.
    count: u64,
    #[serde(default)]
    kinds: Vec<(u64, String)>,
    /// The live sessions and their filters.
    #[serde(default)]
    filters: Vec<(String, String)>,
    #[serde(default)]
    union: Vec<String>,
    /// Given-up patterns, and whether their events become dead letters.
    #[serde(default)]
    forgotten: HashMap<String, bool>,
}

/// What `judge.lua` stores.
#[derive(Serialize)]
struct Judgement {
    number: u64,
    claimed: Vec<u64>,
    any: String,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    sessions: HashMap<String, String>,
}

/// The part for all sessions.
#[derive(Serialize)]
struct Any<'a> {
    number: u64,
    kinds: u64,
    claimed: &'a [u64],
    union: Vec<u64>,
    keep: Vec<u64>,
}

async fn judge(log: &Log, consumer: ConsumerId) -> Result<(), DurableError> {
    let keys = log.keys_of(consumer);
    let reply: Reply = log.call_with(&KINDS, &keys, "{}").await?;
    let judgement = judgement(&reply.parse()?)?;
    let stored: Reply = log.call_with(&JUDGE, &keys, &json(&judgement)).await?;
    stored.accepted().map(drop)
}

fn judgement(of: &Kinds) -> Result<Judgement, AdapterError> {
    let kinds: Vec<(u64, Kind)> = of.kinds.iter().map(|(number, text)| (*number, kind_of(text))).collect();
    let those = |takes: &dyn Fn(&Kind) -> bool| -> Vec<u64> {
        kinds.iter().filter(|(_, kind)| takes(kind)).map(|(number, _)| *number).collect()
    };
    let mut filters = Vec::new();
    for (session, text) in &of.filters {
        let filter: EventFilter = serde_json::from_str(text).map_err(|error| {
            AdapterError::refused(format_args!("the stored filter of a session can't be read: {error}"))
        })?;
        filters.push((session, filter));
    }
    let claimed = those(&|kind| filters.iter().any(|(_, filter)| filter.takes(kind)));
    let kept: Vec<&String> = of.forgotten.iter().filter(|(_, keep)| **keep).map(|(text, _)| text).collect();
    let any = Any {
        number: of.number,
        kinds: of.count,
        claimed: &claimed,
        union: those(&|kind| matches_any(&of.union, &kind.name)),
        keep: those(&|kind| matches_any(&kept, &kind.name)),
    };
    let any = json(&any);
    let takes = |filter: &EventFilter| json(&those(&|kind| filter.takes(kind)));
    let sessions = filters.iter().map(|(session, filter)| ((*session).clone(), takes(filter))).collect();
    Ok(Judgement { number: of.number, claimed, any, sessions })
}
