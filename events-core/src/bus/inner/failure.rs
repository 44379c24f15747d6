//! A handler that failed.

use std::sync::atomic::Ordering;

use crate::bus::inner::Inner;
use crate::bus::inner::outcome::HandlerError;
use crate::bus::inner::routes::Route;
use crate::id::EventId;

/// A handler that returned an error or panicked.
pub struct Failure {
    route: Route,
    error: HandlerError,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Failure({self}, pattern {})", self.pattern())
    }
}

impl Failure {
    pub(crate) fn new(route: &Route, error: HandlerError) -> Self {
        Self { route: route.clone(), error }
    }

    /// The handler: its module path, or where the closure was registered.
    pub fn handler(&self) -> &str {
        self.route.name()
    }

    /// The pattern under which it got the event.
    pub fn pattern(&self) -> &str {
        self.route.pattern()
    }

    /// The displayed error, or the panic's message; at most 4096 bytes. It is what the handler
    /// said, unescaped.
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// What the handler did, in a message.
    pub(crate) fn what(&self) -> &'static str {
        if self.panicked() { "panicked" } else { "failed" }
    }

    /// Whether the handler panicked.
    pub fn panicked(&self) -> bool {
        self.error.has_panicked()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.handler(), self.what(), crate::text::escaped(self.message()))
    }
}

/// Counts and logs a failure of a live handler.
pub(crate) fn note_failure(inner: &Inner, event: &str, id: Option<EventId>, failure: &Failure) {
    inner.counters.failed.fetch_add(1, Ordering::Relaxed);
    inner.settings.fallback.failure(event, id, failure);
}
