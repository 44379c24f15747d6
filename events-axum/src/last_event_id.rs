//! The position that a browser sends when it connects again.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use events_core::LogPosition;

/// The parameter of the query that clients use which can't set a header.
const PARAMETER: &str = "lastEventId";

/// The id of the last message that a client got, when it connects again: of the header `Last-Event-ID`, or else of the
/// query's `lastEventId`. An extractor that never fails.
#[derive(Clone, Debug, Default)]
pub struct LastEventId(Option<String>);

impl LastEventId {
    /// An id that the client sent in another way; an empty one is none.
    pub fn new(id: Option<String>) -> Self {
        Self(id.filter(|id| !id.is_empty()))
    }

    /// The position; `None` for a client that is new, and an error for a text that is no position.
    pub(crate) fn position(&self) -> Result<Option<LogPosition>, ()> {
        self.0.as_deref().map(|id| LogPosition::parse(id).ok_or(())).transpose()
    }
}

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let header = parts.headers.get("last-event-id");
        let header = header.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let query = || {
            let parameters = parts.uri.query()?.split('&');
            let mut ids =
                parameters.filter_map(|parameter| parameter.strip_prefix(PARAMETER)?.strip_prefix('='));
            // The ids of a bridge need no escapes.
            ids.next().map(str::to_owned)
        };
        Ok(Self::new(header.filter(|id| !id.is_empty()).or_else(query)))
    }
}
