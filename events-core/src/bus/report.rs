//! What went wrong, told where somebody looks: `tracing`, or stderr where nobody listens to it.

use std::fmt;
use std::io::Write;

use tracing::subscriber::NoSubscriber;

use super::emitted::Failure;
use crate::id::EventId;
use crate::text::escaped;

/// Where failures and warnings go when no `tracing` subscriber is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    Stderr,
    Nowhere,
}

impl Fallback {
    pub(crate) fn failure(self, event: &str, id: Option<EventId>, failure: &Failure) {
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let (handler, pattern) = (failure.handler(), failure.pattern());
        let error = escaped(failure.message());
        let what = if failure.panicked() { "panicked" } else { "failed" };
        tracing::error!(event, id, handler, pattern, %error, "handler {what}");
        self.without_subscriber(format_args!(
            "error: handler {handler} {what} on {event} (id {id}, pattern {pattern}): {error}"
        ));
    }

    /// Something a developer should look at; `message` holds no unescaped text from outside.
    pub(crate) fn warning(self, message: fmt::Arguments<'_>) {
        tracing::warn!("{message}");
        self.without_subscriber(format_args!("warning: {message}"));
    }

    fn without_subscriber(self, line: fmt::Arguments<'_>) {
        let nobody_listens = || tracing::dispatcher::get_default(|to| to.is::<NoSubscriber>());
        if self == Self::Stderr && nobody_listens() {
            // Where stderr is closed or full, there is no place left to say so.
            let _ = writeln!(std::io::stderr(), "typed-events: {line}");
        }
    }
}
