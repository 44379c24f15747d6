//! The calls as JSON: the arguments of the scripts, whose fields these are.

use std::collections::HashMap;

use events_core::durable::{
    Beat, Caller, Claim, ConsumerId, Exchange, Incarnation, Kind, Letters, Operation, Origin, Outcome,
    Position, RaiseIncarnation, Register, Report, SessionId,
};
use serde::Serialize;

use super::{micros, start_argument};

/// What each call has.
#[derive(Serialize)]
struct Call<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    knows: Option<Known>,
    #[serde(flatten)]
    of: T,
}

#[derive(Serialize)]
struct Known {
    number: u64,
    by: String,
    heard: u64,
    newest: Position,
}

#[derive(Serialize)]
struct Number {
    number: u64,
    by: String,
}

impl From<Incarnation> for Number {
    fn from(incarnation: Incarnation) -> Self {
        Self { number: incarnation.number, by: by(incarnation) }
    }
}

/// The session that began an incarnation. An empty store has none.
fn by(incarnation: Incarnation) -> String {
    match incarnation.number {
        0 => String::new(),
        _ => incarnation.by.to_string(),
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    // These types have text keys and no serializer of a user, so they can always be written.
    serde_json::to_string(value).unwrap_or_default()
}

fn call<T: Serialize>(caller: &Caller, of: T) -> String {
    let knows = caller.knows.map(|knows| Known {
        number: knows.incarnation.number,
        by: by(knows.incarnation),
        heard: knows.heard,
        newest: knows.newest,
    });
    json(&Call { now: caller.now.map(|now| now.as_micros()), knows, of })
}

/// Name and version of an event as the scripts store them.
pub(super) fn kind(kind: &Kind) -> String {
    format!("{} {}", kind.version, kind.name)
}

/// The kind of such a text.
pub(super) fn kind_of(text: &str) -> Kind {
    let (version, name) = text.split_once(' ').unwrap_or(("0", text));
    Kind { name: name.to_owned(), version: version.parse().unwrap_or(u32::MAX) }
}

/// A call without arguments of its own.
pub(super) fn bare(caller: &Caller) -> String {
    #[derive(Serialize)]
    struct Nothing {}
    call(caller, Nothing {})
}

#[derive(Serialize)]
struct Start {
    kind: &'static str,
    value: i64,
}

impl From<events_core::StartAt> for Start {
    fn from(start: events_core::StartAt) -> Self {
        let (kind, value) = start_argument(start);
        Self { kind, value }
    }
}

pub(super) fn register(caller: &Caller, register: &Register, id: ConsumerId) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        id: u64,
        session: String,
        lease: u64,
        consumer: &'a str,
        /// The filter, for the judgement of kinds.
        filter: String,
        patterns: &'a [String],
        attempts: u32,
        backoff: u64,
        order: String,
        settings: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<Start>,
        #[serde(skip_serializing_if = "Option::is_none")]
        again: Option<Position>,
    }
    let (start, again) = match register.origin {
        Origin::New(start) => (Some(start.into()), None),
        Origin::Again(position) => (None, Some(position)),
    };
    call(
        caller,
        Fields {
            id: id.0,
            session: register.session.to_string(),
            lease: micros(register.lease),
            consumer: &register.consumer,
            filter: json(&register.filter),
            patterns: &register.filter.patterns,
            attempts: register.attempts,
            backoff: micros(register.backoff),
            order: json(&register.settings.order),
            settings: json(&register.settings),
            start,
            again,
        },
    )
}

pub(super) fn beat(caller: &Caller, beat: &Beat) -> String {
    #[derive(Serialize)]
    struct Fields {
        session: String,
        number: u64,
        elapsed: u64,
    }
    let Beat { session, number, elapsed } = *beat;
    call(caller, Fields { session: session.to_string(), number, elapsed: micros(elapsed) })
}

pub(super) fn end_session(caller: &Caller, session: SessionId) -> String {
    #[derive(Serialize)]
    struct Fields {
        session: String,
    }
    call(caller, Fields { session: session.to_string() })
}

pub(super) fn raise(caller: &Caller, raise: &RaiseIncarnation) -> String {
    #[derive(Serialize)]
    struct Fields {
        session: String,
        found: Number,
        knew: Number,
        lease: u64,
    }
    let RaiseIncarnation { session, found, knew, lease } = *raise;
    // The call is compared with what it found, not with what its session knows.
    call(
        &Caller { knows: None, ..*caller },
        Fields { session: session.to_string(), found: found.into(), knew: knew.into(), lease: micros(lease) },
    )
}

/// An outcome other than `Done` in a first attempt.
#[derive(Serialize)]
struct Reported<'a> {
    position: Position,
    session: String,
    number: u64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Reported<'a> {
    fn new(report: &'a Report) -> Self {
        let (outcome, delay, error) = match &report.outcome {
            Outcome::Done => ("Done", None, None),
            Outcome::Retry { delay, error } => ("Retry", Some(micros(*delay)), Some(error.as_str())),
            Outcome::DeadLetter { error } => ("DeadLetter", None, Some(error.as_str())),
            Outcome::Undecodable { error } => ("Undecodable", None, Some(error.as_str())),
            Outcome::GivenBack => ("GivenBack", None, None),
        };
        let (position, number) = (report.position, report.token.number);
        Self { position, session: report.token.session.to_string(), number, outcome, delay, error }
    }
}

/// The window of a claim, in columns.
#[derive(Serialize)]
struct Window<'a> {
    patterns_number: u64,
    settings_number: u64,
    from: Position,
    to: Position,
    begins: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_id: Option<String>,
    positions: Vec<Position>,
    /// The kinds of the events, and for each event the number of its kind in this list.
    kinds: Vec<String>,
    kind_of: Vec<usize>,
    /// 1 for each event that the claimer takes. Absent if it takes all.
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<Vec<u8>>,
    /// Absent if no event has a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<Option<&'a str>>>,
}

/// How many events of a window are sent beyond those that the claim may get, where some may wait for others of their
/// keys.
const BEYOND: usize = 64;

impl<'a> Window<'a> {
    /// The part of a window from which so many events can be claimed.
    fn new(window: &'a events_core::durable::Window, max: usize) -> Self {
        let is_ordered = window.wanted.iter().any(|wanted| wanted.key.is_some());
        let limit = if is_ordered { max + BEYOND } else { max };
        let taken = window.wanted.iter().enumerate().filter(|(_, wanted)| wanted.takes);
        let end = taken.skip(limit).map(|(index, _)| index).next();
        let (wanted, to) = match end {
            Some(end) => (&window.wanted[..end], window.wanted[end].position - 1),
            None => (&window.wanted[..], window.to),
        };
        let (mut kinds, mut known) = (Vec::new(), HashMap::new());
        let kind_of = wanted.iter().map(|wanted| {
            *known.entry(&wanted.kind).or_insert_with(|| {
                kinds.push(kind(&wanted.kind));
                kinds.len()
            })
        });
        let kind_of = kind_of.collect();
        let takes = wanted.iter().map(|wanted| u8::from(wanted.takes));
        let keys = wanted.iter().map(|wanted| wanted.key.as_deref());
        Self {
            patterns_number: window.patterns_number,
            settings_number: window.settings_number,
            from: window.from,
            to,
            begins: window.begins,
            newest: window.newest.map(|mark| mark.position),
            newest_id: window.newest.map(|mark| mark.id.to_string()),
            positions: wanted.iter().map(|wanted| wanted.position).collect(),
            kinds,
            kind_of,
            takes: wanted.iter().any(|wanted| !wanted.takes).then(|| takes.collect()),
            keys: wanted.iter().any(|wanted| wanted.key.is_some()).then(|| keys.collect()),
        }
    }
}

/// Whether `quick.lua` may do an exchange.
pub(super) fn may_be_quick(exchange: &Exchange) -> bool {
    exchange.named_in_hand.is_none() && exchange.reports.iter().all(|report| is_done(report, exchange))
}

/// Whether a report says that one of the session's own deliveries was handled.
fn is_done(report: &Report, exchange: &Exchange) -> bool {
    report.outcome == Outcome::Done && report.token.session == exchange.session
}

pub(super) fn exchange(caller: &Caller, exchange: &Exchange) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        session: String,
        number: u64,
        last_answered: u64,
        in_hand: usize,
        /// Positions and numbers by turns.
        #[serde(skip_serializing_if = "Option::is_none")]
        named: Option<Vec<u64>>,
        /// Positions and numbers by turns, of the session's own deliveries that were handled.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        done: Vec<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reports: Vec<Reported<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        claim: Option<Claiming<'a>>,
    }
    #[derive(Serialize)]
    struct Claiming<'a> {
        max: usize,
        solo: bool,
        window: Window<'a>,
    }
    let done = exchange.reports.iter().filter(|report| is_done(report, exchange));
    let others = exchange.reports.iter().filter(|report| !is_done(report, exchange));
    fn claim(claim: &Claim) -> Claiming<'_> {
        Claiming { max: claim.max, solo: claim.solo, window: Window::new(&claim.window, claim.max) }
    }
    call(
        caller,
        Fields {
            session: exchange.session.to_string(),
            number: exchange.number,
            last_answered: exchange.last_answered,
            in_hand: exchange.in_hand,
            named: exchange.named_in_hand.as_ref().map(|named| flat(named)),
            done: done.flat_map(|report| [report.position, report.token.number]).collect(),
            reports: others.map(Reported::new).collect(),
            claim: exchange.claim.as_ref().map(claim),
        },
    )
}

fn flat(pairs: &[(Position, u64)]) -> Vec<u64> {
    pairs.iter().flat_map(|(position, number)| [*position, *number]).collect()
}

/// A page of the log that a seek ahead has passed over.
#[derive(Serialize)]
pub(super) struct Counted {
    pub(super) counted: Position,
    pub(super) counted_to: Position,
    pub(super) taken: Vec<Position>,
}

pub(super) fn operation(caller: &Caller, operation: &Operation, counted: Option<Counted>) -> String {
    #[derive(Default, Serialize)]
    struct Fields<'a> {
        operation: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<Start>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<Position>,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        settings_number: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        keys: Option<&'a [(Position, Option<String>)]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pattern: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        keep: Option<bool>,
        #[serde(flatten)]
        counted: Option<Counted>,
    }
    let letters = |operation, letters: &Letters| match letters {
        Letters::After(after) => Fields { operation, after: Some(*after), ..Fields::default() },
        Letters::Of(event) => Fields { operation, event: Some(event.to_string()), ..Fields::default() },
    };
    let bare = |operation| Fields { operation, ..Fields::default() };
    let fields = match operation {
        Operation::Seek(start) => Fields { start: Some((*start).into()), ..bare("seek") },
        Operation::RunMove { settings_number, keys } => {
            Fields { settings_number: Some(*settings_number), keys: Some(keys), ..bare("move") }
        }
        Operation::Replay(of) => letters("replay", of),
        Operation::Purge(of) => letters("purge", of),
        Operation::Remove => bare("remove"),
        Operation::DropUnclaimed => bare("drop"),
        Operation::ForgetPattern { pattern, keep } => {
            Fields { pattern: Some(pattern), keep: Some(*keep), ..bare("forget") }
        }
        Operation::Pause => bare("pause"),
        Operation::Resume => bare("resume"),
    };
    call(caller, Fields { counted, ..fields })
}
