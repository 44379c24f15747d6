//! The position that a browser sends when it reconnects.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use events_core::LogPosition;

/// The query parameter for clients that can't set a header.
const PARAMETER: &str = "lastEventId";

/// An extractor for the id of the last message that a reconnecting client has received. Reads the header
/// `Last-Event-ID`, or else the query parameter `lastEventId`. Never fails.
#[derive(Clone, Debug, Default)]
pub struct LastEventId(Option<String>);

impl LastEventId {
    /// Creates the value from an id that the client has sent in another way. An empty id counts as none.
    pub fn new(id: Option<String>) -> Self {
        Self(id.filter(|id| !id.is_empty()))
    }

    /// Returns the position, or `None` if the client sent no id.
    ///
    /// # Errors
    ///
    /// `()` if the id is not a position.
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
            // The ids of a bridge contain no characters that are escaped in a query.
            ids.next().map(str::to_owned)
        };
        Ok(Self::new(header.filter(|id| !id.is_empty()).or_else(query)))
    }
}
