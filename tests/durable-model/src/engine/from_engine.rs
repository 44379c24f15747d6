//! The answers of an engine with the model's small numbers.

use events_core::durable as engine;
use events_core::{Nulls, RecordCodec, Timestamp};

use super::to_engine::TICK;
use crate::calls::{
    Beaten, Claims, Delivery, Event, EventId, Exchanged, Incarnation, Knows, Pattern, Record, Refusal,
    Registered, SessionId, Settings, Terms, Time, Token,
};

pub(super) fn time(time: Timestamp) -> Time {
    (time.as_micros() / TICK) as Time
}

fn heard(heard: u64) -> Time {
    heard / TICK as u64
}

fn session(id: engine::SessionId) -> SessionId {
    u128::from_be_bytes(id.to_bytes()) as SessionId
}

fn event_id(id: events_core::EventId) -> EventId {
    u128::from_be_bytes(id.to_bytes()) as EventId
}

/// The number in a name such as `n2`.
fn number(text: &str) -> u8 {
    text[1..].parse().expect("a name of the model")
}

pub(super) fn incarnation(incarnation: engine::Incarnation) -> Incarnation {
    Incarnation { number: incarnation.number as u32, by: session(incarnation.by) }
}

fn pattern(text: &str) -> Pattern {
    match text {
        "*" => Pattern::Every,
        name => Pattern::One(number(name)),
    }
}

pub(super) fn settings(settings: &engine::Settings) -> Settings {
    let other = |order: &engine::Order| u8::from(order.nulls == Nulls::Together);
    Settings {
        ordered_by: settings.order.as_ref().map(|order| number(&order.field)),
        other: settings.order.as_ref().map_or(0, other),
    }
}

fn terms(terms: &engine::Terms) -> Terms {
    Terms {
        position: terms.position,
        patterns_number: terms.patterns_number as u32,
        union: terms.union.iter().map(|text| pattern(text)).collect(),
        settings_number: terms.settings_number as u32,
        settings: settings(&terms.settings),
        moves: terms.moves as u32,
    }
}

pub(super) fn record(record: &events_core::Record) -> Record {
    let json = record.json().expect("a payload");
    let field = |name: &str| {
        let from = json.find(name).expect("a field") + name.len() + 2;
        json[from..=from].parse().expect("a field of one digit")
    };
    let event = Event {
        id: event_id(record.id()),
        name: number(record.name()),
        version: record.version() as u8,
        fields: [field("f0"), field("f1")],
    };
    Record { event, time: time(record.timestamp()) }
}

pub(super) fn copy(bytes: &[u8]) -> Record {
    let text = std::str::from_utf8(bytes).expect("a stored record");
    record(&RecordCodec::default().decode(text).expect("a stored record"))
}

pub(super) fn registered(registered: engine::Registered) -> Registered {
    let knows = registered.knows;
    Registered {
        consumer: registered.consumer.0 as u32,
        created: registered.created,
        position: registered.terms.position,
        knows: Knows {
            incarnation: incarnation(knows.incarnation),
            heard: heard(knows.heard),
            newest: knows.newest,
        },
        terms: terms(&registered.terms),
        differs: registered.differs,
    }
}

pub(super) fn beaten(beaten: &engine::Beaten) -> Beaten {
    Beaten {
        heard: heard(beaten.heard),
        newest: beaten.newest,
        newest_id: beaten.newest_mark.map(|mark| event_id(mark.id)),
        ended: beaten.ended.iter().map(|id| session(*id)).collect(),
        jumped: beaten.jumped,
        dead: Vec::new(),
    }
}

fn token(token: engine::Token) -> Token {
    Token { session: session(token.session), number: token.number as u32 }
}

pub(super) fn exchanged(done: engine::Exchanged) -> Exchanged {
    let delivery = |delivered: engine::Delivered| Delivery {
        position: delivered.position,
        number: delivered.number as u32,
        attempt: delivered.attempt,
        solo: delivered.solo,
        copy: delivered.copy.map(|bytes| copy(&bytes)),
    };
    Exchanged {
        late: done.late.iter().map(|(at, of)| (*at, token(*of))).collect(),
        dead: done.dead,
        announced: done.announced,
        dropped: done.lost as usize,
        recount: done.recount,
        void: done.void.iter().map(|(at, number)| (*at, *number as u32)).collect(),
        claims: claims(done.claims),
        wants_solo: done.wants_solo,
        moving: done.moving,
        terms: terms(&done.terms),
        deliveries: done.deliveries.into_iter().map(delivery).collect(),
    }
}

fn claims(claims: engine::Claims) -> Claims {
    match claims {
        engine::Claims::NotAsked => Claims::NotAsked,
        engine::Claims::Open => Claims::Open,
        engine::Claims::Paused => Claims::Paused,
        engine::Claims::Moving => Claims::Moving,
        engine::Claims::OtherOrder => Claims::OtherOrder,
        engine::Claims::OldPatterns => Claims::OldPatterns,
        engine::Claims::OldSettings => Claims::OldSettings,
        engine::Claims::DataLost => Claims::DataLost,
        engine::Claims::Recount => Claims::Recount,
    }
}

pub(super) fn refusal(refusal: engine::Refusal) -> Refusal {
    match refusal {
        engine::Refusal::OtherIncarnation(own) => Refusal::OtherIncarnation(incarnation(own)),
        engine::Refusal::Behind(own) => Refusal::Behind(incarnation(own)),
        engine::Refusal::SessionEnded => Refusal::SessionEnded,
        engine::Refusal::UnknownSession => Refusal::UnknownSession,
        engine::Refusal::UnknownConsumer => Refusal::UnknownConsumer,
        engine::Refusal::Removed => Refusal::Removed,
        engine::Refusal::OldNumber => Refusal::OldNumber,
        engine::Refusal::Moving => Refusal::Moving,
        engine::Refusal::PatternInUse => Refusal::PatternInUse,
        engine::Refusal::NoSession => Refusal::NoSession,
        engine::Refusal::OldTerms => Refusal::OldTerms,
        other => panic!("an unknown refusal: {other}"),
    }
}
