//! The model's small numbers as an engine has them.

use std::collections::BTreeMap;
use std::time::Duration;

use events_core::durable as engine;
use events_core::{Nulls, Record, StartAt, Timestamp};

use crate::calls::{
    Beat, Claim, Event, EventId, Exchange, Incarnation, Key, Knows, Name, Origin, Outcome, Pattern, Register,
    Report, SeekTo, SessionId, Settings, Time, Token, Wanted, Window,
};

/// Microseconds of a tick of the model.
pub(super) const TICK: i64 = 1_000_000;
/// The names of events.
const NAMES: Name = 3;

pub(super) fn micros(time: Time) -> i64 {
    time as i64 * TICK
}

pub(super) fn time(time: Time) -> Timestamp {
    Timestamp::from_micros(micros(time))
}

pub(super) fn duration(time: Time) -> Duration {
    Duration::from_secs(time)
}

pub(super) fn session(id: SessionId) -> engine::SessionId {
    engine::SessionId::from_bytes(u128::from(id).to_be_bytes())
}

pub(super) fn event_id(id: EventId) -> events_core::EventId {
    events_core::EventId::from_bytes(u128::from(id).to_be_bytes())
}

pub(super) fn incarnation(incarnation: Incarnation) -> engine::Incarnation {
    engine::Incarnation { number: incarnation.number.into(), by: session(incarnation.by) }
}

pub(super) fn knows(knows: Knows) -> engine::Knows {
    let heard = micros(knows.heard) as u64;
    engine::Knows { incarnation: incarnation(knows.incarnation), heard, newest: knows.newest }
}

pub(super) fn name(name: Name) -> String {
    format!("n{name}")
}

pub(super) fn key(key: Key) -> String {
    format!("k{key}")
}

pub(super) fn pattern(pattern: Pattern) -> String {
    match pattern {
        Pattern::Every => "*".to_owned(),
        Pattern::One(one) => name(one),
    }
}

pub(super) fn settings(settings: Settings) -> engine::Settings {
    let nulls = if settings.other == 0 { Nulls::Unordered } else { Nulls::Together };
    let order = |field: u8| engine::Order { field: format!("f{}", field % 2), nulls };
    engine::Settings { order: settings.ordered_by.map(order) }
}

/// An event as it is emitted.
pub(super) fn record(event: &Event, now: Time) -> Record {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{}","source":"/","type":"{}","time":"{}","eventversion":{},"origin":"{}","data":{{"f0":{},"f1":{}}}}}"#,
        event_id(event.id),
        name(event.name),
        time(now),
        event.version,
        event_id(0),
        event.fields[0],
        event.fields[1],
    );
    Record::from_cloudevent(&text).expect("a record")
}

pub(super) fn register(register: &Register) -> engine::Register {
    let versions: BTreeMap<_, _> = (0..NAMES).map(|of| (name(of), register.version.into())).collect();
    let patterns = register.patterns.iter().map(|one| pattern(*one)).collect();
    engine::Register {
        session: session(register.session),
        lease: duration(register.lease),
        consumer: format!("c{}", register.consumer),
        filter: engine::EventFilter { patterns, versions, undeclared: false },
        attempts: register.budget,
        backoff: duration(register.backoff),
        settings: settings(register.settings),
        origin: match register.origin {
            Origin::Start => engine::Origin::New(StartAt::Start),
            Origin::Now => engine::Origin::New(StartAt::Now),
            Origin::Again(position) => engine::Origin::Again(position),
        },
    }
}

pub(super) fn beat(beat: &Beat) -> engine::Beat {
    let elapsed = duration(beat.elapsed);
    engine::Beat { session: session(beat.session), number: beat.number.into(), elapsed }
}

pub(super) fn token(token: Token) -> engine::Token {
    engine::Token { session: session(token.session), number: token.number.into() }
}

fn report(report: &Report) -> engine::Report {
    let error = "it failed".to_owned();
    engine::Report {
        position: report.position,
        token: token(report.token),
        outcome: match report.outcome {
            Outcome::Ok => engine::Outcome::Done,
            Outcome::Retry { delay } => engine::Outcome::Retry { delay: duration(delay), error },
            Outcome::DeadLetter => engine::Outcome::DeadLetter { error },
            Outcome::Undecodable => engine::Outcome::Undecodable { error },
            Outcome::GivenBack => engine::Outcome::GivenBack,
        },
    }
}

fn wanted(wanted: &Wanted) -> engine::Wanted {
    engine::Wanted {
        position: wanted.position,
        kind: engine::Kind { name: name(wanted.name), version: wanted.version.into() },
        key: wanted.key.map(key),
        takes: wanted.takes,
    }
}

fn window(window: &Window) -> engine::Window {
    engine::Window {
        patterns_number: window.patterns_number.into(),
        settings_number: window.settings_number.into(),
        from: window.from,
        to: window.to,
        begins: window.begins,
        newest: window.read.map(|(position, id)| engine::ReadMark { position, id: event_id(id) }),
        wanted: window.wanted.iter().map(wanted).collect(),
    }
}

fn claim(claim: &Claim) -> engine::Claim {
    engine::Claim { max: claim.max, solo: claim.solo, window: window(&claim.window) }
}

pub(super) fn exchange(exchange: &Exchange) -> engine::Exchange {
    let named = |named: &Vec<(u64, u32)>| named.iter().map(|(at, number)| (*at, (*number).into())).collect();
    engine::Exchange {
        session: session(exchange.session),
        consumer: engine::ConsumerId(exchange.consumer.into()),
        number: exchange.number.into(),
        last_answered: exchange.last_answered.into(),
        in_hand: exchange.in_hand,
        named_in_hand: exchange.named_in_hand.as_ref().map(named),
        reports: exchange.reports.iter().map(report).collect(),
        claim: exchange.claim.as_ref().map(claim),
    }
}

pub(super) fn start(to: SeekTo) -> StartAt {
    match to {
        SeekTo::Start => StartAt::Start,
        SeekTo::Now => StartAt::Now,
        SeekTo::Position(position) => StartAt::Position(position),
    }
}
