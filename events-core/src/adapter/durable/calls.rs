//! The calls that sessions and operators send to a store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{
    ConsumerId, EventFilter, Incarnation, Kind, Knows, Position, ReadMark, SessionId, Settings, Token,
};
use crate::adapter::options::StartAt;
use crate::id::EventId;
use crate::time::Timestamp;

/// What the sender of a call knows, and the time in tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The newest state that the sender's session has seen. Absent in the calls of operators of a bus without a
    /// session, and in the first call of a session. The store compares it with its own state before anything else.
    pub knows: Option<Knows>,
    /// The reading of the clock in tests. In production it is absent, and the engine reads its own clock.
    pub now: Option<Timestamp>,
}

/// The call by which a session opens a consumer, or changes what it has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The session.
    pub session: SessionId,
    /// How long the session may send no beat before it counts as ended.
    pub lease: Duration,
    /// Durable name of the consumer.
    pub consumer: String,
    /// The events that the session takes.
    pub filter: EventFilter,
    /// Number of failed attempts after which an event becomes a dead letter: the retries and 1.
    pub attempts: u32,
    /// Delay before an event whose session has ended is handed out again.
    pub backoff: Duration,
    /// The settings of the consumer, as this program has them.
    pub settings: Settings,
    /// Where the consumer begins if it does not exist.
    pub origin: Origin,
}

/// Where a consumer begins that is created by a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `build()` opens the consumer. A new one begins here, but not before the start of the log.
    New(StartAt),
    /// A bus that had the consumer registers another session. A consumer that was lost begins after this position: the
    /// newest one that the bus knows and at which the log still has the same event.
    Again(Position),
}

/// A sign of life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The session.
    pub session: SessionId,
    /// Number of the beat, from 1.
    pub number: u64,
    /// Time since the answer to the session's previous beat, by the session's own monotonic clock. 0 in the first
    /// beat, and if a beat in between failed.
    pub elapsed: Duration,
}

/// A session's call for one consumer: it reports outcomes, claims events, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The session.
    pub session: SessionId,
    /// The consumer.
    pub consumer: ConsumerId,
    /// Number of the exchange, from 1, per session and consumer. A repeated call has the number of the first one.
    pub number: u64,
    /// The newest number whose answer the session has received.
    pub last_answered: u64,
    /// Number of deliveries of this session in hand, including those that this exchange reports.
    pub in_hand: usize,
    /// All deliveries of this session in hand: the position of each and the number of the exchange that claimed it.
    /// Other deliveries of this session are given back. Present if the last answer asked for them
    /// ([`Exchanged::recount`](super::Exchanged::recount)).
    pub named_in_hand: Option<Vec<(Position, u64)>>,
    /// Outcomes of deliveries, also of earlier sessions of the same bus.
    pub reports: Vec<Report>,
    /// Claims events if present.
    pub claim: Option<Claim>,
}

/// The outcome of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Position of the event.
    pub position: Position,
    /// The session and the exchange that claimed it.
    pub token: Token,
    /// Outcome of the attempt.
    pub outcome: Outcome,
}

/// Outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event was handled.
    Done,
    /// The attempt failed. The event is due again after `delay`, or becomes a dead letter if the attempts are used up.
    Retry {
        /// Delay before the next attempt.
        delay: Duration,
        /// Error of the handler.
        error: String,
    },
    /// The event becomes a dead letter.
    DeadLetter {
        /// Error of the handler.
        error: String,
    },
    /// The stored record can't be decoded. The event becomes a dead letter; the handler was not called.
    Undecodable {
        /// What is wrong with the record.
        error: String,
    },
    /// The handler was not called. The attempt does not count, and the event is due again at once.
    GivenBack,
}

/// A request for events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Maximum number of events.
    pub max: usize,
    /// Whether the bus has nothing in hand, of any consumer. Only then can it get an event that has to be delivered
    /// alone: the session of the previous attempt ended before it reported, and the next attempt is the last one.
    pub solo: bool,
    /// The new events. The claim moves the consumer's position over them.
    pub window: Window,
}

/// The part of the log from which a session claims new events: the positions `from` to `to`.
///
/// The store takes new events from it if `from` is at or before the first position after that of the consumer, and the
/// numbers are those of the consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// [`Terms::patterns_number`](super::Terms::patterns_number) of the union by which events were selected.
    pub patterns_number: u64,
    /// [`Terms::settings_number`](super::Terms::settings_number) of the settings by which keys were read.
    pub settings_number: u64,
    /// First position that was read.
    pub from: Position,
    /// Last position that was read. Less than `from` if none was.
    pub to: Position,
    /// The position at which the log began when it was read. If it begins earlier now, it has lost data.
    pub begins: Position,
    /// The newest record that was read. If the log has another event there now, it has lost data.
    pub newest: Option<ReadMark>,
    /// The events that the union of the consumer's patterns takes, in the order of their positions.
    pub wanted: Vec<Wanted>,
}

/// An event of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its position.
    pub position: Position,
    /// Its name and version.
    pub kind: Kind,
    /// Its key, if the consumer is ordered and the event has one.
    pub key: Option<String>,
    /// Whether the session takes the event. Otherwise the event waits for another program.
    pub takes: bool,
}

/// The call of a session that has noticed a loss of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaiseIncarnation {
    /// The session.
    pub session: SessionId,
    /// The incarnation that it found.
    pub found: Incarnation,
    /// The newest incarnation that it knew.
    pub knew: Incarnation,
    /// The lease of the session.
    pub lease: Duration,
}

/// A call of an operator for one consumer. Each call does a bounded amount of work.
/// [`Operated::more`](super::Operated::more) says how to continue if work is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Moves the position, so that the first event at or after this start is the next new event. Rows in the range of
    /// the move change by [`RunMove`](Self::RunMove).
    Seek(StartAt),
    /// Runs a chunk of the consumer's move, which is a seek or a change of the order. A change of the order needs the
    /// new keys that the last chunk asked for ([`Operated::keys`](super::Operated::keys)).
    RunMove {
        /// Number of the settings by which the keys were read.
        settings_number: u64,
        /// Positions and their new keys.
        keys: Vec<(Position, Option<String>)>,
    },
    /// Makes dead letters wait again, with all their attempts.
    Replay(Letters),
    /// Deletes dead letters.
    Purge(Letters),
    /// Removes the consumer.
    Remove,
    /// Drops waiting events that no live session takes, a chunk of them.
    DropUnclaimed,
    /// Gives up a pattern that no live session has: removes it from the union.
    ForgetPattern {
        /// The pattern.
        pattern: String,
        /// Whether waiting events that no other pattern takes become dead letters. Otherwise they are dropped.
        keep: bool,
    },
    /// Pauses the consumer: its events are not claimed.
    Pause,
    /// Ends a pause.
    Resume,
}

/// Dead letters of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Letters {
    /// A chunk of those after a position.
    After(Position),
    /// The one of an event.
    Of(EventId),
}
