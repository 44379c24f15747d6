//! Durable consumption: exchanging finished events for new claims. The scripts store each consumer's state; which
//! events a consumer takes, and their keys, is decided here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use events_core::{
    AdapterError, Claim, Claimed, Claims, Consumer, Finished, Interest, Outcome, Record, Timestamp,
};

use crate::history::decode;
use crate::log::Log;
use crate::scripts::{EXCHANGE, RENEW};

/// The most records of the log that one call reads.
const SCAN_LIMIT: usize = 200;
/// How many events of a consumer may be pending (leased, waiting or held) before it takes no new ones.
const MAX_PENDING: usize = 100_000;
/// The most calls that one exchange makes. A call may do nothing because another instance took the records first.
const CALLS: usize = 8;

/// A record as it is stored in the log.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    version: u32,
    text: Vec<u8>,
}

/// The new state of a claimed event: the outcome that the bus reports, or that this program skips or holds the event.
struct Report {
    claim: Claim,
    became: &'static str,
    first: String,
    second: String,
}

impl Report {
    fn new(claim: Claim, became: &'static str) -> Self {
        Self { claim, became, first: String::new(), second: String::new() }
    }

    fn of(finished: &Finished) -> Self {
        match &finished.outcome {
            Outcome::Done => Self::new(finished.claim, "done"),
            Outcome::Returned => Self::new(finished.claim, "returned"),
            Outcome::Retry { at, error } => Self {
                first: at.as_micros().to_string(),
                second: error.clone(),
                ..Self::new(finished.claim, "retry")
            },
            Outcome::Dead { error, attempts } => Self {
                first: attempts.to_string(),
                second: error.clone(),
                ..Self::new(finished.claim, "dead")
            },
        }
    }
}

/// The records after a cursor that this instance takes.
#[derive(Default)]
struct Take {
    from: u64,
    to: u64,
    /// `(position, action, key or kind)`. `take` in `exchange.lua` lists the actions.
    events: Vec<(u64, &'static str, String)>,
    /// How many records between `from` and `to` are missing from the log.
    missing: u64,
}

/// The kind of an event as the scripts store it: its version and name.
fn kind(name: &str, version: u32) -> String {
    format!("{version} {name}")
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}

/// `(position, attempt, token, error of the last attempt, whether it lost its lease, name, version, text)`.
type ClaimedRow = (u64, u32, u64, String, bool, String, u32, Vec<u8>);
/// `(position, name, version, text)`.
type FoundRow = (u64, String, u32, Vec<u8>);
/// The answer of `exchange.lua`:
/// `(claimed, late, lost, taken, cursor, found, due, last, kinds, paused, overfull, again)`.
type Answer = (
    Vec<ClaimedRow>,
    Vec<(u64, u32, u64)>,
    u64,
    bool,
    u64,
    Vec<FoundRow>,
    Option<i64>,
    u64,
    Vec<String>,
    bool,
    bool,
    bool,
);

/// An exchange that failed and may have been applied. The next exchange asks for its answer first.
#[derive(Default)]
pub(crate) struct Unanswered {
    token: u64,
    /// The claims that it reported as finished.
    claims: Vec<Claim>,
}

/// Stores the outcomes of finished events, and claims up to `max` more.
pub(crate) async fn exchange(
    log: &Log,
    consumer: &Arc<Consumer>,
    finished: &[Finished],
    max: usize,
    now: Timestamp,
) -> Result<Claims, AdapterError> {
    let mut exchange = Exchange {
        log,
        consumer,
        max,
        now,
        claims: Claims::default(),
        reports: finished.iter().map(Report::of).collect(),
        release: Vec::new(),
        take: None,
        found: HashMap::new(),
        unanswered: log.take_unanswered(consumer.name()),
    };
    for calls in 0..CALLS {
        match exchange.call().await {
            Ok(Some(answer)) => exchange.note(answer),
            // An operator has removed the consumer.
            Ok(None) => return Ok(Claims::default()),
            // Earlier calls of this exchange have claimed events: they are returned.
            Err(_) if calls > 0 => {
                exchange.claims.more = true;
                break;
            }
            Err(error) => return Err(error),
        }
        if exchange.reports.is_empty() && exchange.release.is_empty() && exchange.take.is_none() {
            break;
        }
        exchange.claims.more = true;
    }
    Ok(exchange.claims)
}

/// Extends leases, and notes that a program has the consumer open.
pub(crate) async fn renew(
    log: &Log,
    consumer: &Consumer,
    held: &[Claim],
    now: Timestamp,
) -> Result<(), AdapterError> {
    let renewed = log.call::<i64>(&RENEW, |call, _| {
        call.arg(consumer.name()).arg(now.as_micros()).arg(micros(consumer.lease()));
        for Claim { position, token, .. } in held {
            call.arg(position).arg(token);
        }
    });
    renewed.await.map(drop)
}

/// An exchange in progress. It makes several calls: each one takes records that the call before has found.
struct Exchange<'a> {
    log: &'a Log,
    consumer: &'a Arc<Consumer>,
    max: usize,
    now: Timestamp,
    claims: Claims,
    reports: Vec<Report>,
    /// The kinds of held events that this program can decode.
    release: Vec<String>,
    take: Option<Take>,
    /// The records that were found, by position.
    found: HashMap<u64, Entry>,
    unanswered: Option<Unanswered>,
}

/// The next token. A token identifies an exchange of this process if it is repeated.
static CALLED: AtomicU64 = AtomicU64::new(0);

impl Exchange<'_> {
    fn free(&self) -> usize {
        self.max.saturating_sub(self.claims.claimed.len())
    }

    async fn call(&self) -> Result<Option<Answer>, AdapterError> {
        let unanswered = self.unanswered.as_ref().map(|unanswered| unanswered.token);
        let token = unanswered.unwrap_or_else(|| CALLED.fetch_add(1, Ordering::Relaxed));
        // If the call is repeated, the answer has the token of the first one.
        let claim_token = Claim::new_token();
        let (none, free) = (Take::default(), self.free());
        let instance = self.log.receiver.instance().to_string();
        let arguments = |call: &mut redis::ScriptInvocation<'static>, again: bool| {
            call.arg(self.consumer.name())
                .arg(token)
                .arg(&instance)
                .arg(u8::from(again || unanswered.is_some()))
                .arg(claim_token);
            call.arg(self.now.as_micros()).arg(micros(self.consumer.lease()));
            call.arg(free).arg(SCAN_LIMIT).arg(MAX_PENDING);
            call.arg(self.reports.len());
            for Report { claim, became, first, second } in &self.reports {
                call.arg(claim.position).arg(claim.attempt).arg(claim.token);
                call.arg(became).arg(first).arg(second);
            }
            call.arg(self.release.len()).arg(&self.release);
            match &self.take {
                Some(take) => call.arg(take.from).arg(take.to),
                None => call.arg("").arg(""),
            };
            let events = &self.take.as_ref().unwrap_or(&none).events;
            call.arg(events.len());
            for (position, what, value) in events {
                call.arg(position).arg(what).arg(value);
            }
        };
        let answer = self.log.call(&EXCHANGE, arguments).await;
        if answer.is_err() {
            let claims = self.reports.iter().map(|report| report.claim).collect();
            self.log.note_unanswered(self.consumer.name(), Unanswered { token, claims });
        }
        answer
    }

    /// Processes an answer, and prepares the arguments of the next call.
    fn note(&mut self, answer: Answer) {
        let (claimed, late, lost, taken, cursor, found, due, last, kinds, is_paused, is_overfull, again) =
            answer;
        let take = self.take.take().filter(|_| taken);
        self.claims.lost += lost + take.map_or(0, |take| take.missing);
        self.claims.late.extend(late.into_iter().map(|(position, attempt, token)| Claim {
            position,
            attempt,
            token,
        }));
        self.claims.due = due.map(Timestamp::from_micros);
        let done = self.unanswered.take().filter(|_| again).map(|unanswered| unanswered.claims);
        // If this is the answer of the repeated call, reports that it did not contain are still to be sent.
        self.reports.retain(|report| done.as_ref().is_some_and(|done| !done.contains(&report.claim)));
        for row in claimed {
            self.claim(row);
        }
        let is_known = |kind: &String| {
            let (version, name) = kind.split_once(' ').unwrap_or(("", kind));
            self.consumer.interest(name, version.parse().unwrap_or(u32::MAX)) != Interest::Newer
        };
        self.release = kinds.into_iter().filter(is_known).collect();
        if !found.is_empty() && self.free() > 0 {
            self.take = Some(self.scan(cursor, found));
        }
        self.claims.more = self.free() == 0 || (cursor < last && !is_paused && !is_overfull);
    }

    /// Adds a claimed event to the result. If this program does not take it, prepares a report that finishes or holds
    /// it.
    fn claim(&mut self, row: ClaimedRow) {
        let (position, attempt, token, last_error, lost_lease, name, version, text) = row;
        let claim = Claim { position, attempt, token };
        let entry = self.found.remove(&position).unwrap_or(Entry { name, version, text });
        match self.consumer.interest(&entry.name, entry.version) {
            Interest::Skip => self.reports.push(Report::new(claim, "done")),
            Interest::Newer => self
                .reports
                .push(Report { first: kind(&entry.name, entry.version), ..Report::new(claim, "hold") }),
            Interest::Take => {
                let last_error = Some(last_error).filter(|error| !error.is_empty());
                let record = self.decode(position, &entry);
                self.claims.claimed.push(Claimed { claim, record, last_error, lost_lease });
            }
        }
    }

    fn decode(&self, position: u64, entry: &Entry) -> Result<Record, AdapterError> {
        decode(self.log, self.consumer.codec(), position, &entry.text)
    }

    /// Decides which of the records after a cursor to take, until `free` are found.
    fn scan(&mut self, cursor: u64, found: Vec<FoundRow>) -> Take {
        let mut take = Take { from: cursor, to: cursor, ..Take::default() };
        let mut wanted = 0;
        for (position, name, version, text) in found {
            take.missing += position - take.to - 1;
            take.to = position;
            let entry = Entry { name, version, text };
            match self.consumer.interest(&entry.name, version) {
                Interest::Skip => continue,
                Interest::Newer => take.events.push((position, "hold", kind(&entry.name, version))),
                Interest::Take => {
                    let record = || self.decode(position, &entry).ok();
                    let key = if self.consumer.is_ordered() { record() } else { None };
                    match key.and_then(|record| self.consumer.key(&record)) {
                        Some(key) => take.events.push((position, "ordered", key)),
                        None => take.events.push((position, "take", String::new())),
                    }
                    self.found.insert(position, entry);
                    wanted += 1;
                }
            }
            if wanted == self.free() {
                break;
            }
        }
        take
    }
}
