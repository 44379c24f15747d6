//! The values that calls and answers of durable delivery consist of.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::adapter::options::Nulls;
use crate::event::pattern::Pattern;
use crate::id::EventId;

/// Position of an event in the log, from 1.
pub type Position = u64;

/// Identifies a session: 128 random bits.
///
/// A session is a bus at its engine, from `build()` until the bus stops or the lease is lost. If the lease is lost, the
/// bus registers another session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SessionId(u128);

impl SessionId {
    /// Creates a random id.
    #[must_use]
    pub fn random() -> Self {
        Self(u128::from(crate::id::random_number()) << 64 | u128::from(crate::id::random_number()))
    }

    /// Returns the id as bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Creates an id from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// Writes 32 hexadecimal digits.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for SessionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SessionId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Identifies the stored state of a consumer. A consumer that is created again under its name gets another id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConsumerId(pub u64);

/// The period between two losses of stored data. A session that notices a loss begins the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Number of the incarnation. The next one has a higher number. 0 in a store that never had a session.
    pub number: u64,
    /// The session that began it. It distinguishes incarnations with the same number, which may begin in copies of the
    /// data.
    pub by: SessionId,
}

/// The newest state of the store that a session has seen. If the store has an older state, it has lost data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Knows {
    /// The incarnation of the stored data.
    pub incarnation: Incarnation,
    /// *Heard*: the store's clock of beats, in microseconds. It advances only when a session sends a beat, and decides
    /// when a lease is lost.
    pub heard: u64,
    /// The newest position that the log has given out.
    pub newest: Position,
}

/// The session and the exchange that claimed an event. With the consumer and the position of the event, it identifies
/// a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The session.
    pub session: SessionId,
    /// The number of the exchange.
    pub number: u64,
}

/// Name and version of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// The name. Empty if the record is so damaged that its name is unknown.
    pub name: String,
    /// The version.
    pub version: u32,
}

/// The events that a session takes at a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventFilter {
    /// The names of the events that the handler's argument takes and one of its patterns matches. If the argument takes
    /// any event: the patterns of the handler.
    pub patterns: Vec<String>,
    /// The newest version that the program can decode, for each event that it declares and that one of the patterns
    /// matches.
    pub versions: BTreeMap<String, u32>,
    /// Whether the handler takes events that a pattern matches and that the program does not declare.
    pub undeclared: bool,
}

impl EventFilter {
    /// Whether the session takes events of this kind. Every session takes events whose name is unknown, so that they
    /// become dead letters.
    #[must_use]
    pub fn takes(&self, kind: &Kind) -> bool {
        kind.name.is_empty()
            || matches_any(&self.patterns, &kind.name)
                && match self.versions.get(&kind.name) {
                    Some(known) => kind.version <= *known,
                    None => self.undeclared,
                }
    }
}

/// Whether one of the patterns matches a name. An unknown name, which is empty, matches every pattern.
#[must_use]
pub fn matches_any<P: AsRef<str>>(patterns: &[P], name: &str) -> bool {
    name.is_empty() || patterns.iter().any(|pattern| Pattern::of_valid(pattern.as_ref()).matches(name))
}

/// The settings that belong to a consumer. Settings that belong to a session, such as the number of attempts, are in
/// [`Register`](super::Register).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// The field by which events are ordered. Absent if they have no order.
    pub order: Option<Order>,
}

/// The field by which the events of a consumer are ordered: events with the same value are handed out in the order of
/// the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Stored name of the field.
    pub field: String,
    /// The meaning of `null`.
    pub nulls: Nulls,
}

/// Which record a session saw at a position. Another id there later means that the log has lost data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReadMark {
    /// Position of the record.
    pub position: Position,
    /// Id of its event.
    pub id: EventId,
}
