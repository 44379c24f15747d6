//! What operators see of consumers.

use std::fmt;

use super::values::{ConsumerId, Position};
use crate::id::EventId;
use crate::time::Timestamp;

/// Status of a consumer, for operators. [`Bus::consumers`](crate::Bus::consumers) returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Id of the consumer.
    pub id: ConsumerId,
    /// Name of the consumer.
    pub name: String,
    /// The patterns with which programs have opened the consumer, without those that were given up.
    pub patterns: Vec<String>,
    /// Position up to which every event is finished.
    pub position: Position,
    /// Number of events after `position` that may be unfinished: all events that the consumer has not come to, whether
    /// its patterns match them or not, and the earlier ones that it has not finished.
    pub lag: u64,
    /// Number of events that are being handled.
    pub in_progress: u64,
    /// Number of events that wait for a retry, for another event with the same key, or for a free session. Without
    /// those that are unclaimed.
    pub waiting: u64,
    /// Number of waiting events that no running program takes. 0 if no program runs the consumer.
    pub unclaimed: u64,
    /// Number of dead letters.
    pub dead: u64,
    /// Number of events that were dropped: by an operator's call, or because their records were trimmed or lost before
    /// they were finished.
    pub dropped: u64,
    /// Whether the consumer is paused. A paused consumer gets no events.
    pub paused: bool,
    /// Whether a seek or a change of the order is under way.
    pub moving: bool,
    /// Time of the last sign of life of a program that runs, or has run, the consumer.
    pub seen: Timestamp,
    /// Whether a session of the consumer is alive.
    pub is_running: bool,
}

impl ConsumerStatus {
    /// Creates the status of a consumer with all other fields empty.
    pub fn new(id: ConsumerId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), ..Self::default() }
    }
}

impl fmt::Display for ConsumerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, position, lag, in_progress, waiting, unclaimed, dead, .. } = self;
        write!(
            f,
            "{name}: at {position}, {lag} behind, {in_progress} in progress, {waiting} waiting, {dead} dead"
        )?;
        if *unclaimed > 0 {
            write!(f, ", {unclaimed} that no running program takes")?;
        }
        match (self.paused, self.is_running) {
            (true, _) => f.write_str(", paused"),
            (false, true) => Ok(()),
            (false, false) => write!(f, ", abandoned since {}", self.seen),
        }
    }
}

/// A selection of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetters {
    /// All dead letters.
    All,
    /// The dead letter of one event.
    Of(EventId),
}

/// An event whose last attempt failed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Id of the event; all zeros if the stored record can't be decoded and the engine does not store the id beside it.
    pub event: EventId,
    /// Name of the event.
    pub name: String,
    /// Position of the event in the log.
    pub position: u64,
    /// The stored record, unchanged. Sealed secrets stay sealed.
    pub stored: Vec<u8>,
    /// Error of the last attempt.
    pub error: String,
    /// Number of attempts that were made.
    pub attempts: u32,
    /// Start of the first attempt.
    pub first: Timestamp,
    /// Time at which the event became a dead letter.
    pub last: Timestamp,
}

impl DeadLetter {
    /// Creates a dead letter with all other fields empty.
    pub fn new(event: EventId, name: impl Into<String>, position: u64, stored: Vec<u8>) -> Self {
        let never = Timestamp::from_micros(0);
        let (name, error) = (name.into(), String::new());
        Self { event, name, position, stored, error, attempts: 0, first: never, last: never }
    }
}

/// Omits the stored record, which may be large or secret.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetter({self})")
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, name, attempts, last, .. } = self;
        let error = crate::text::escaped(&self.error);
        write!(f, "{name} (id {event}), dead letter since {last} after {attempts} attempts: {error}")
    }
}
