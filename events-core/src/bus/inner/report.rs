//! The only place that logs. Each line goes to `tracing` under the target [`TARGET`], or to stderr if the
//! installed subscriber would not record it.

use std::cell::Cell;
use std::fmt;
use std::io::Write;

use tracing::subscriber::NoSubscriber;

use crate::event::suggestions::did_you_mean;
use crate::id::EventId;
use crate::text::escaped;

/// The target of all log lines: `RUST_LOG=typed_events=debug` selects them.
const TARGET: &str = "typed_events";

/// Logs failures and warnings to `tracing`. The variant is where a line goes that no subscriber records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporter {
    Stderr,
    Nowhere,
}

/// The log fields of a failed call of a live handler.
pub(crate) struct FailedCall<'a> {
    pub(crate) event: &'a str,
    pub(crate) id: Option<EventId>,
    pub(crate) handler: &'a str,
    pub(crate) pattern: &'a str,
    /// The verb: `failed` or `panicked`.
    pub(crate) verb: &'a str,
    pub(crate) error: &'a str,
}

/// The log fields of a failed attempt of a durable handler.
#[cfg(feature = "durable")]
pub(crate) struct FailedAttempt<'a> {
    pub(crate) event: &'a str,
    pub(crate) id: Option<EventId>,
    pub(crate) handler: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    /// The predicate of the log line, such as `panicked`.
    pub(crate) verb: &'a str,
    pub(crate) error: &'a str,
}

impl Reporter {
    /// Logs a failed call of a live handler, which is not retried.
    pub(crate) fn failure(self, failed: &FailedCall<'_>) {
        let &FailedCall { event, handler, pattern, verb, .. } = failed;
        let (id, error) = (text_of(failed.id), escaped(failed.error));
        let enabled = Enabled::default();
        // A live handler is called once.
        let attempt = 1;
        tracing::error!(
            target: TARGET, event = enabled.mark(event), id, handler, pattern, attempt, %error,
            "handler {verb}"
        );
        self.write_if_unrecorded(
            &enabled,
            format_args!("error: handler {handler} {verb} on {event} (id {id}, pattern {pattern}): {error}"),
        );
    }

    /// Logs a failed attempt that will be retried at `next`.
    #[cfg(feature = "durable")]
    pub(crate) fn retry(self, failed: &FailedAttempt<'_>, next: crate::time::Timestamp) {
        let &FailedAttempt { event, handler, consumer, attempt, max_attempts, verb, .. } = failed;
        let (id, error) = (text_of(failed.id), escaped(failed.error));
        let enabled = Enabled::default();
        tracing::warn!(
            target: TARGET, event = enabled.mark(event), id, handler, consumer, attempt, of = max_attempts, %next, %error,
            "handler {verb}, and will be retried"
        );
        self.write_if_unrecorded(&enabled, format_args!(
            "warning: handler {handler} of {consumer} {verb} on {event} (id {id}) in attempt {attempt} of {max_attempts}; the next is at {next}: {error}"
        ));
    }

    /// Logs the last failed attempt; the event becomes a dead letter.
    #[cfg(feature = "durable")]
    pub(crate) fn dead(self, failed: &FailedAttempt<'_>) {
        let &FailedAttempt { event, handler, consumer, attempt, max_attempts, verb, .. } = failed;
        let (id, error) = (text_of(failed.id), escaped(failed.error));
        let enabled = Enabled::default();
        tracing::error!(
            target: TARGET, event = enabled.mark(event), id, handler, consumer, attempt, of = max_attempts, next = "never", %error,
            "handler {verb}, and the event goes to the dead letters"
        );
        self.write_if_unrecorded(&enabled, format_args!(
            "error: handler {handler} of {consumer} {verb} on {event} (id {id}) in attempt {attempt} of {max_attempts}, and the event goes to the dead letters: {error}"
        ));
    }

    /// Logs a warning. `message` must contain no unescaped text from outside.
    pub(crate) fn warning(self, message: fmt::Arguments<'_>) {
        let enabled = Enabled::default();
        tracing::warn!(target: TARGET, "{}", enabled.mark(message));
        self.write_if_unrecorded(&enabled, format_args!("warning: {message}"));
    }

    fn write_if_unrecorded(self, enabled: &Enabled, line: fmt::Arguments<'_>) {
        if self == Self::Stderr && !enabled.get() {
            // A write fails if stderr is closed or full; there is nowhere to report that.
            let _ = writeln!(std::io::stderr(), "typed-events: {line}");
        }
    }
}

fn text_of(id: Option<EventId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// Whether a subscriber records a line. `tracing` evaluates the fields of a line only if the filters for its
/// level and target enable the line, so one of the fields calls [`mark`](Self::mark).
#[derive(Default)]
struct Enabled(Cell<bool>);

impl Enabled {
    fn mark<T>(&self, value: T) -> T {
        self.0.set(true);
        value
    }

    fn get(&self) -> bool {
        // `tracing` caches whether any thread's subscriber enables a line. It may be enabled although this
        // thread has none.
        self.0.get() && !tracing::dispatcher::get_default(|to| to.is::<NoSubscriber>())
    }
}

/// Logs an event for which there is no handler.
pub(crate) fn unhandled(event: &str) {
    tracing::debug!(target: TARGET, event, "no handler for this event");
}

/// Logs an event with an undeclared name that was accepted.
pub(crate) fn undeclared<'a>(event: &str, known: impl Iterator<Item = &'a str>) {
    if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        let suggestion = did_you_mean(event, known);
        tracing::debug!(target: TARGET, event, "accepted an event that is not declared{suggestion}");
    }
}
