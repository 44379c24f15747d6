//! The answers of a store.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::values::{ConsumerId, Incarnation, Knows, Position, ReadMark, SessionId, Settings, Token};
use crate::adapter::AdapterError;
use crate::time::Timestamp;

/// The answer to [`Register`](super::Register).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The consumer.
    pub consumer: ConsumerId,
    /// Whether the call created it.
    pub created: bool,
    /// The state of the store at the call.
    pub knows: Knows,
    /// The state of the consumer that the session needs for claims.
    pub terms: Terms,
    /// Whether the settings that apply differ from those of the session.
    pub differs: bool,
}

/// The state of a consumer that a session needs for claims. Each exchange returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The position of the consumer. Each event up to it has a row, is a dead letter, or is done, dropped, purged
    /// or passed over.
    pub position: Position,
    /// Rises when the union or the filters of the live sessions change.
    pub patterns_number: u64,
    /// The patterns with which sessions have opened the consumer, without those that were given up
    /// ([`Operation::ForgetPattern`](super::Operation::ForgetPattern)).
    pub union: Vec<String>,
    /// Identifies the settings that apply. Each set of settings gets the next number when it is first seen.
    pub settings_number: u64,
    /// The settings that apply.
    pub settings: Settings,
    /// Number of moves, which are seeks and changes of the order, that have begun at the consumer.
    pub moves: u64,
}

/// The answer to [`Beat`](super::Beat).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beaten {
    /// *Heard*, the store's clock of beats, in microseconds; see [`Knows::heard`].
    pub heard: u64,
    /// The newest position that the log has given out.
    pub newest: Position,
    /// The record at that position, if the log still has it.
    pub newest_mark: Option<ReadMark>,
    /// Sessions that this beat has marked as ended.
    pub ended: Vec<SessionId>,
    /// Whether the time of the store, not *heard*, has advanced by over an hour more than the session's own clock since
    /// its previous beat.
    pub jumped: bool,
    /// Time of the store.
    pub time: Timestamp,
}

/// The answer to [`Exchange`](super::Exchange).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// Reports that changed nothing, by the position and the token of each. A report after a lost lease still counts
    /// while nothing else has happened to the event, unless it gives the event back.
    pub late: Vec<(Position, Token)>,
    /// Positions of the events that became dead letters by the reports of this exchange.
    pub dead: Vec<Position>,
    /// Positions of the events that became dead letters without a report, because a lease was lost or a pattern was
    /// given up. The session logs them. An exchange confirms them by its
    /// [`last_answered`](super::Exchange::last_answered); until then, they may be returned again.
    pub announced: Vec<Position>,
    /// Claimed events, in the order in which the session calls its handler.
    pub deliveries: Vec<Delivered>,
    /// Number of events that were lost since the last answer that counted any: their records were trimmed before they
    /// were finished. Each is counted in one answer.
    pub lost: u64,
    /// Whether the store and the session differ in the number of the session's deliveries in hand, or in the last
    /// exchange that was answered. The next exchange then has to name the deliveries
    /// ([`named_in_hand`](super::Exchange::named_in_hand)).
    pub recount: bool,
    /// Deliveries that the session named and does not have any more: the position of each and the number of the
    /// exchange that claimed it.
    pub void: Vec<(Position, u64)>,
    /// Whether the exchange could claim, or why not.
    pub claims: Claims,
    /// Whether an event is due that has to be delivered alone. The bus then claims nothing until it has nothing in
    /// hand, and claims with [`solo`](super::Claim::solo).
    pub wants_solo: bool,
    /// Whether a move runs: the session calls [`RunMove`](super::Operation::RunMove).
    pub moving: bool,
    /// Whether the session sends another exchange at once: there may be more to claim, more dead letters to log, or
    /// more of the work that each exchange does a chunk of.
    pub more: bool,
    /// Microseconds until the next event that the session takes is due, for example a retry. Absent if none waits for a
    /// time.
    pub due_in: Option<u64>,
    /// The state of the consumer that the session needs for its next claim.
    pub terms: Terms,
}

/// Whether an exchange could claim, or why not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claims {
    /// The exchange had no [`Claim`](super::Claim).
    #[default]
    NotAsked,
    /// The exchange could claim waiting and new events, if there were any.
    Open,
    /// An operator has paused the consumer.
    Paused,
    /// A move runs.
    Moving,
    /// The settings that apply have another order than those of this session. They apply until the sessions with that
    /// order have ended and nothing is in hand.
    OtherOrder,
    /// The window has an old [`patterns_number`](Terms::patterns_number). The exchange could claim waiting events, but
    /// no new ones.
    OldPatterns,
    /// The window has another [`settings_number`](Terms::settings_number) than the settings that apply.
    OldSettings,
    /// Data was lost. Nothing is claimed for the time of the longest lease, in which sessions that have deliveries of
    /// the lost data notice the loss.
    DataLost,
    /// The store counts other deliveries in hand than the session. The next exchange has to name them.
    Recount,
}

/// A claimed event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Position of the event.
    pub position: Position,
    /// Number of the exchange that claimed it.
    pub number: u64,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Whether the event is delivered alone: the bus claims nothing, at any consumer, until it has reported the event.
    pub solo: bool,
    /// Whether the previous attempt ended with its session, without an outcome. Attempts that were given back do not
    /// count.
    pub lost_lease: bool,
    /// Error of the last attempt that failed. Absent if none did.
    pub error: Option<String>,
    /// The stored record, if the log may not have it any more. Empty if it is damaged.
    pub copy: Option<Vec<u8>>,
}

/// The answer to an [`Operation`](super::Operation).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operated {
    /// Number of waiting events, events in hand and dead letters that the call has changed, including those that were
    /// dropped. 1 after `Pause`, `Resume` and `Remove`.
    pub affected: u64,
    /// Number of events that were dropped. `affected` includes them, except those that had no row: a seek ahead drops
    /// them by moving the position.
    pub dropped: u64,
    /// Number of dead letters that a replay leaves as they are, because no pattern of the consumer takes their events.
    pub left: u64,
    /// Present if work may be left:
    ///
    /// - After [`Replay`](super::Operation::Replay) and [`Purge`](super::Operation::Purge), repeat the call with
    ///   [`Letters::After`](super::Letters::After) and this position.
    /// - After [`Seek`](super::Operation::Seek) and [`RunMove`](super::Operation::RunMove), call `RunMove`.
    /// - After other calls, repeat the call.
    pub more: Option<Position>,
    /// Positions of rows and dead letters whose new keys the next [`RunMove`](super::Operation::RunMove) passes. Each
    /// has its stored record, if there is one: a row whose record the log has may have none.
    pub keys: Vec<(Position, Option<Vec<u8>>)>,
    /// The number of the settings by which these keys are read, and the settings. Present if a change of the order
    /// runs.
    pub keys_by: Option<(u64, Settings)>,
}

/// Why a store refuses a call. A refused call has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The store is in a newer incarnation than the session knows: register again.
    OtherIncarnation(Incarnation),
    /// The store has an older state than the session knows, or other data: raise the incarnation.
    Behind(Incarnation),
    /// The session has ended: register another one.
    SessionEnded,
    /// The store has no such session, or the session has not opened the consumer.
    UnknownSession,
    /// The store has no such consumer.
    UnknownConsumer,
    /// The consumer was removed.
    Removed,
    /// A call with a higher number was applied; at beats, also one with the same number.
    OldNumber,
    /// A move runs.
    Moving,
    /// A live session has opened the consumer with the pattern.
    PatternInUse,
    /// No session of the consumer is alive.
    NoSession,
    /// The call was made with patterns or settings that do not apply any more.
    OldTerms,
}

/// Error of a call of a [`DurableAdapter`](super::DurableAdapter).
#[derive(Clone, Debug)]
pub enum DurableError {
    /// The store refused the call.
    Refused(Refusal),
    /// The engine failed.
    Failed(AdapterError),
}

impl From<Refusal> for DurableError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<AdapterError> for DurableError {
    fn from(error: AdapterError) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for DurableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DurableError {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherIncarnation(_) => {
                "stored data was lost, and this program has not registered again yet"
            }
            Self::Behind(_) => "the stored data is older than what this program has seen",
            Self::SessionEnded => {
                "the session of this program has ended, because it sent no sign of life for its lease"
            }
            Self::UnknownSession => "the session of this program is unknown",
            Self::UnknownConsumer => "there is no such consumer",
            Self::Removed => "the consumer was removed",
            Self::OldNumber => "a newer call was already applied",
            Self::Moving => "the consumer is being moved: try again when that has finished",
            Self::PatternInUse => "a running program still uses the pattern",
            Self::NoSession => "no program runs the consumer",
            Self::OldTerms => "the patterns or settings of the consumer have changed: try again",
        })
    }
}
