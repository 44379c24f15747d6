//! The failure of a handler.

use crate::bus::inner::outcome::HandlerError;
use crate::bus::inner::routes::Route;

/// The failure of one handler call: the handler returned an error or panicked.
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

    /// Returns the name of the handler: the module path of the function, or the location at which the closure
    /// was registered.
    pub fn handler(&self) -> &str {
        self.route.name()
    }

    /// Returns the pattern of the handler that matched the event.
    pub fn pattern(&self) -> &str {
        self.route.pattern()
    }

    /// Returns the text of the error or the message of the panic, at most 4096 bytes. The text is as the
    /// handler gave it: control characters are not escaped.
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// Returns the verb of the failure for messages.
    pub(crate) fn verb(&self) -> &'static str {
        if self.panicked() { "panicked" } else { "failed" }
    }

    /// Returns true if the handler panicked, and false if it returned an error.
    pub fn panicked(&self) -> bool {
        self.error.has_panicked()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.handler(), self.verb(), crate::text::escaped(self.message()))
    }
}
