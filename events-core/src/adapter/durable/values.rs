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
/// A session is one bus of a program, from `build()` to its end. A bus whose session has ended begins another one.
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

/// One history of the stored data. A session that notices a loss of data begins another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Rises with each incarnation that follows another one. 0 in an empty store.
    pub number: u64,
    /// The session that began it, which distinguishes two incarnations that follow the same one.
    pub by: SessionId,
}

/// The newest state of the store that a session has seen. A store that is behind it has lost data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Knows {
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The store's *heard*, in microseconds: a time that only beats advance.
    pub heard: u64,
    /// The newest position of the log.
    pub newest: Position,
}

/// Identifies a delivery together with its position: the session and the exchange that claimed it.
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
    /// The patterns of the handler, or, if its argument takes certain events only, their names.
    pub patterns: Vec<String>,
    /// For each event that the program declares and the patterns take, the newest version that it can decode.
    pub versions: BTreeMap<String, u32>,
    /// Whether the handler takes events that the program does not declare.
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

/// The settings that belong to a consumer. Those of a session, such as the number of retries, are in
/// [`Register`](super::Register).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// The order of the events; absent if they have none.
    pub order: Option<Order>,
}

/// The field that orders the events of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Stored name of the field.
    pub field: String,
    /// The meaning of `null`.
    pub nulls: Nulls,
}

/// A record as a claimer has read it in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReadMark {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub id: EventId,
}
