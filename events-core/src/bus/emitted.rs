//! What an emit reports.

use super::routes::Entry;
use crate::handler::HandlerError;
use crate::id::EventId;
use crate::record::Record;

/// What an emit did: all its handlers have finished.
#[derive(Debug)]
pub struct Emitted {
    record: Option<Record>,
    handled: u32,
    duplicate: bool,
    /// What there is to say of few emits: each would move it several times.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    failures: Vec<Failure>,
    /// No record was needed, and still somebody asked for an id.
    id: Option<EventId>,
}

impl Emitted {
    pub(crate) fn of_record(record: Record, handled: u32, failures: Vec<Failure>) -> Self {
        let more = (!failures.is_empty()).then(|| Box::new(More { failures, id: None }));
        Self { record: Some(record), handled, duplicate: false, more }
    }

    /// No record was needed.
    pub(crate) fn bare(id: Option<EventId>, handled: u32, failures: Vec<Failure>) -> Self {
        let is_plain = id.is_none() && failures.is_empty();
        let more = (!is_plain).then(|| Box::new(More { failures, id }));
        Self { record: None, handled, duplicate: false, more }
    }

    pub(crate) fn failures_mut(&mut self) -> &mut Vec<Failure> {
        &mut self.more.get_or_insert_default().failures
    }

    pub(crate) fn duplicate(record: Record) -> Self {
        Self { record: Some(record), handled: 0, duplicate: true, more: None }
    }

    /// The event's id; `None` where no record of the event was needed (history off, only handlers
    /// of `&E`), so that nobody could look it up.
    pub fn id(&self) -> Option<EventId> {
        match &self.record {
            Some(record) => Some(record.id()),
            None => self.more.as_ref()?.id,
        }
    }

    /// The event's record, where one was needed.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// How many handlers of this bus ran, failed ones included.
    pub fn handled(&self) -> usize {
        self.handled as usize
    }

    /// The handlers that failed or panicked. Each was logged, too.
    pub fn failures(&self) -> &[Failure] {
        self.more.as_ref().map_or(&[], |more| &more.failures)
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
        self.error.message()
    }

    /// Whether the handler panicked.
    pub fn panicked(&self) -> bool {
        self.error.has_panicked()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.panicked() { "panicked" } else { "failed" };
        write!(f, "{} {what}: {}", self.handler(), crate::text::escaped(self.message()))
    }
}
