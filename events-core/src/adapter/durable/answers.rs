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
    /// The state of the store.
    pub knows: Knows,
    /// What the session needs for claims.
    pub terms: Terms,
    /// Whether the settings that apply differ from those of the session.
    pub differs: bool,
}

/// What a claimer needs to know of a consumer. Each exchange returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The position of the consumer: every event up to it was handed out once or was passed over.
    pub position: Position,
    /// Rises when the union, or the filter of a live session, changes.
    pub patterns_number: u64,
    /// The patterns with which the consumer was ever opened, without those that were given up.
    pub union: Vec<String>,
    /// Number of the settings that apply.
    pub settings_number: u64,
    /// The settings that apply.
    pub settings: Settings,
    /// Number of moves that have begun.
    pub moves: u64,
}

/// The answer to [`Beat`](super::Beat).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beaten {
    /// The store's *heard*, in microseconds.
    pub heard: u64,
    /// The newest record of the log.
    pub newest: Position,
    /// The newest position with the id of its event, if the log still has it.
    pub newest_mark: Option<ReadMark>,
    /// Sessions that this beat has marked as ended.
    pub ended: Vec<SessionId>,
    /// Whether the store's clock jumped ahead by more than an hour since the session's previous beat.
    pub jumped: bool,
    /// Time of the store.
    pub time: Timestamp,
}

/// The answer to [`Exchange`](super::Exchange).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchanged {
    /// Reports that changed nothing, because their deliveries were over.
    pub late: Vec<(Position, Token)>,
    /// Dead letters that the reports of this exchange made.
    pub dead: Vec<Position>,
    /// Dead letters that no report made, to be logged by this session.
    pub announced: Vec<Position>,
    /// Claimed events, in the order in which they begin.
    pub deliveries: Vec<Delivered>,
    /// Number of events that were lost because their records were trimmed.
    pub lost: u64,
    /// Whether the next exchange has to name all deliveries in hand.
    pub recount: bool,
    /// Deliveries that the session named and does not have any more.
    pub void: Vec<(Position, u64)>,
    /// Why nothing or no new event was claimed.
    pub claims: Claims,
    /// Whether an event waits for a bus with nothing in hand. The session claims nothing until then.
    pub wants_solo: bool,
    /// Whether a move runs: the session calls [`RunMove`](super::Operation::RunMove).
    pub moving: bool,
    /// Whether another exchange may claim more at once.
    pub more: bool,
    /// Time until the earliest waiting event that the session takes is due, in microseconds.
    pub due_in: Option<u64>,
    /// What the session needs for its next claim.
    pub terms: Terms,
}

/// Whether an exchange could claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claims {
    /// The exchange did not ask.
    #[default]
    NotAsked,
    /// It could.
    Open,
    /// An operator has paused the consumer.
    Paused,
    /// A move runs.
    Moving,
    /// Sessions with another order of the events are alive, and this one waits for their end.
    OtherOrder,
    /// The window was made by an old union of patterns: the exchange claims waiting events, but no new ones.
    OldPatterns,
    /// The window was made by other settings than those that apply.
    OldSettings,
    /// Data was lost. Sessions that have deliveries of it have the time of a lease to register again.
    DataLost,
    /// The deliveries in hand have to be named first.
    Recount,
}

/// A claimed event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Position of the event.
    pub position: Position,
    /// Number of the exchange that claimed it.
    pub number: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Whether it is the only event of the session until it is reported.
    pub solo: bool,
    /// Whether the session of the previous attempt ended without an outcome.
    pub lost_lease: bool,
    /// Error of the previous attempt.
    pub error: Option<String>,
    /// The stored record, if the log may not have it any more.
    pub copy: Option<Vec<u8>>,
}

/// The answer to an [`Operation`](super::Operation).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operated {
    /// Number of events or dead letters that the call has changed.
    pub affected: u64,
    /// Number of events that were given up.
    pub dropped: u64,
    /// Number of dead letters that stay as they are, because no pattern of the consumer takes their events.
    pub left: u64,
    /// The call has to be repeated, for [`Replay`](super::Operation::Replay) and [`Purge`](super::Operation::Purge) after
    /// this position.
    pub more: Option<Position>,
    /// Rows whose new keys the next [`RunMove`](super::Operation::RunMove) passes, with their own records if the log may
    /// not have them.
    pub keys: Vec<(Position, Option<Vec<u8>>)>,
    /// The settings by which these keys are read, and their number.
    pub keys_by: Option<(u64, Settings)>,
}

/// Why a store refuses a call. It has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The store is of a newer incarnation: register again.
    OtherIncarnation(Incarnation),
    /// The store is behind what the session knows: raise the incarnation.
    Behind(Incarnation),
    /// The session has ended: register another one.
    SessionEnded,
    /// The store has no such session.
    UnknownSession,
    /// The store has no such consumer.
    UnknownConsumer,
    /// The consumer was removed.
    Removed,
    /// A call with a higher number was applied.
    OldNumber,
    /// A move runs.
    Moving,
    /// A live session has the pattern.
    PatternInUse,
    /// No session of the consumer is alive.
    NoSession,
    /// The window was made by an old union of patterns or by old settings.
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
            Self::OtherIncarnation(_) => "the stored data was lost and begun again",
            Self::Behind(_) => "the stored data is older than what this program has seen",
            Self::SessionEnded => {
                "the session of this program has ended, because it sent no sign of life for its lease"
            }
            Self::UnknownSession => "the session of this program is unknown",
            Self::UnknownConsumer => "there is no such consumer",
            Self::Removed => "the consumer was removed",
            Self::OldNumber => "a later call was applied before",
            Self::Moving => "the consumer is being moved: try again when that has finished",
            Self::PatternInUse => "a running program has the pattern",
            Self::NoSession => "no program runs the consumer",
            Self::OldTerms => "the patterns or settings of the consumer have changed: try again",
        })
    }
}
