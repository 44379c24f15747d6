//! What an emit reports.

use super::routes::Entry;
use crate::handler::HandlerError;
use crate::id::EventId;
use crate::record::Record;

/// What an emit did: all its handlers have finished.
#[derive(Debug)]
pub struct Emitted {
    source: Source,
    handled: usize,
    failures: Vec<Failure>,
    duplicate: bool,
}

/// What is known of an event that was emitted.
#[derive(Debug)]
pub(crate) enum Source {
    Record(Record),
    /// No record was needed; a failure may still have asked for an id.
    Bare(Option<EventId>),
}

impl Emitted {
    pub(crate) fn new(source: Source, handled: usize, failures: Vec<Failure>) -> Self {
        Self { source, handled, failures, duplicate: false }
    }

    pub(crate) fn failures_mut(&mut self) -> &mut Vec<Failure> {
        &mut self.failures
    }

    pub(crate) fn duplicate(record: Record) -> Self {
        Self { source: Source::Record(record), handled: 0, failures: Vec::new(), duplicate: true }
    }

    /// The event's id; `None` where no record of the event was needed (history off, only handlers
    /// of `&E`), so that nobody could look it up.
    pub fn id(&self) -> Option<EventId> {
        match &self.source {
            Source::Record(record) => Some(record.id()),
            Source::Bare(id) => *id,
        }
    }

    /// The event's record, where one was needed.
    pub fn record(&self) -> Option<&Record> {
        match &self.source {
            Source::Record(record) => Some(record),
            Source::Bare(_) => None,
        }
    }

    /// How many handlers of this bus ran, failed ones included.
    pub fn handled(&self) -> usize {
        self.handled
    }

    /// The handlers that failed or panicked. Each was logged, too.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Whether an event with the same id was there before: this one was not stored, and no handler
    /// ran.
    pub fn is_duplicate(&self) -> bool {
        self.duplicate
    }
}

/// A handler that returned an error or panicked.
pub struct Failure {
    entry: Entry,
    error: HandlerError,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Failure({self}, pattern {})", self.pattern())
    }
}

impl Failure {
    pub(crate) fn new(entry: &Entry, error: HandlerError) -> Self {
        Self { entry: entry.clone(), error }
    }

    /// The handler: its module path, or where the closure was registered.
    pub fn handler(&self) -> &str {
        self.entry.name()
    }

    /// The pattern under which it got the event.
    pub fn pattern(&self) -> &str {
        &self.entry.pattern
    }

    /// The displayed error, or the panic's message; at most 4096 bytes. It is what the handler
    /// said, unescaped.
    pub fn message(&self) -> &str {
        &self.error.message
    }

    /// Whether the handler panicked.
    pub fn panicked(&self) -> bool {
        self.error.panicked
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.panicked() { "panicked" } else { "failed" };
        write!(f, "{} {what}: {}", self.handler(), crate::text::escaped(self.message()))
    }
}
