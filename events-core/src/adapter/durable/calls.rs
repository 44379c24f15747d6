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
    /// The newest state that the sender's session has seen. Absent in the calls of operators of a bus without a session,
    /// and in the first call of a session. The store compares it with its own state before anything else.
    pub knows: Option<Knows>,
    /// The reading of the clock in tests. In production it is absent, and the engine reads its own clock.
    pub now: Option<Timestamp>,
}

/// A session opens a consumer, or changes what it has registered.
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
    /// Number of attempts of an event before it becomes a dead letter: the retries and 1.
    pub attempts: u32,
    /// Delay before an event is handed out again whose session has ended.
    pub backoff: Duration,
    /// The settings of the consumer, as this program has them.
    pub settings: Settings,
    /// Where the consumer begins if it does not exist.
    pub origin: Origin,
}

/// Where a consumer begins that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `build()` opens it for the first time.
    New(StartAt),
    /// A bus that had the consumer registers again after a loss of data: the newest position that it knows and that the
    /// log still has.
    Again(Position),
}

/// A sign of life of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The session.
    pub session: SessionId,
    /// Number of the beat, from 1.
    pub number: u64,
    /// The session's own monotonic time since the answer to its previous beat. 0 if a beat in between failed.
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
    /// Number of deliveries of this session in hand, including those that are reported.
    pub in_hand: usize,
    /// All deliveries in hand, by position and number of their exchanges. The store makes others of this session due
    /// again. Present if the last answer asked for them ([`Exchanged::recount`](super::Exchanged::recount)).
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
    /// The delivery.
    pub token: Token,
    /// Its outcome.
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
    /// The handler was not called. The attempt does not count.
    GivenBack,
}

/// A request for events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Maximum number of events.
    pub max: usize,
    /// Whether the bus has nothing in hand, of any consumer. Only then it may get an event in its last attempt whose
    /// earlier attempt ended with its session.
    pub solo: bool,
    /// The new events, from which the position of the consumer moves on.
    pub window: Window,
}

/// What a claimer has read in the log, from position `from` to `to`.
///
/// The store takes new events from it if `from` is at or before the first position after that of the consumer, and the
/// numbers are those of the consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// [`Terms::patterns_number`](super::Terms::patterns_number) by which events are wanted.
    pub patterns_number: u64,
    /// [`Terms::settings_number`](super::Terms::settings_number) by which keys were read.
    pub settings_number: u64,
    /// First position that was read.
    pub from: Position,
    /// Last position that was read. Less than `from` if nothing was.
    pub to: Position,
    /// The position at which the log began. A log that begins earlier now has lost data.
    pub begins: Position,
    /// The newest record that was read. A log that has another event there has lost data.
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
    /// Whether the claimer takes the event. Otherwise the store keeps it for another program.
    pub takes: bool,
}

/// A session noticed that the store has lost data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaiseIncarnation {
    /// The session.
    pub session: SessionId,
    /// The incarnation that it found.
    pub found: Incarnation,
    /// The newest incarnation that it knew.
    pub knew: Incarnation,
    /// Its lease.
    pub lease: Duration,
}

/// A call of an operator for one consumer. Those that answer with [`Operated::more`](super::Operated::more) are called
/// again: each call does a bounded amount of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Moves the position: the next new event is the first at or after it. The rows in between change by
    /// [`RunMove`](Self::RunMove).
    Seek(StartAt),
    /// Runs a chunk of the move that runs, with the new keys that the last chunk asked for, read by the settings of this
    /// number.
    RunMove {
        /// Number of the settings by which the keys were read.
        settings_number: u64,
        /// The rows and their new keys.
        keys: Vec<(Position, Option<String>)>,
    },
    /// Delivers dead letters again: the one of an event, or a chunk of those after a position.
    Replay(Letters),
    /// Deletes dead letters.
    Purge(Letters),
    /// Removes the consumer.
    Remove,
    /// Drops waiting events that no live session takes, a chunk of them.
    DropUnclaimed,
    /// Gives up a pattern that no live session has.
    ForgetPattern {
        /// The pattern.
        pattern: String,
        /// Whether waiting events that only it takes become dead letters.
        keep: bool,
    },
    /// Stops claims.
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
