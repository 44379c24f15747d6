//! Where a client is in the events, as it says itself.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use events_core::{EventId, Record, Timestamp};

/// An event's place in the history: its time, and its id among those of that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) time: Timestamp,
    pub(crate) event: EventId,
}

impl Place {
    pub(crate) fn of(record: &Record) -> Self {
        Self { time: record.timestamp(), event: record.id() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (time, event) = text.split_once('.')?;
        Some(Self { time: Timestamp::from_micros(time.parse().ok()?), event: event.parse().ok()? })
    }
}

/// What stands in the `id` of a server-sent event.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time.as_micros(), self.event)
    }
}

/// The `Last-Event-ID` of a request: the last event a browser saw, when it connects again. An extractor that never fails.
#[derive(Clone, Debug, Default)]
pub struct LastEventId(Option<String>);

impl LastEventId {
    /// Of a client that sends it in another way, such as in the query of its first request.
    pub fn new(id: Option<String>) -> Self {
        Self(id.filter(|id| !id.is_empty()))
    }

    /// Nothing of a client that is new; an error of one that says something else than an id.
    pub(crate) fn place(&self) -> Result<Option<Place>, ()> {
        self.0.as_deref().map(|id| Place::parse(id).ok_or(())).transpose()
    }
}

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let id = parts.headers.get("last-event-id");
        Ok(Self::new(id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned())))
    }
}
