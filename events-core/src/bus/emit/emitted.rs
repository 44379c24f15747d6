//! The report of an emit.

use crate::bus::inner::failure::Failure;
use crate::id::EventId;
use crate::record::Record;

/// The report of an emit: all its live handlers have finished.
#[derive(Debug)]
pub struct Emitted(Report);

/// Two words, so that it and the types around it are passed in registers: every emit moves it several times.
#[derive(Debug)]
enum Report {
    /// Without a record, because none was needed.
    WithoutRecord {
        handled: u32,
    },
    WithRecord {
        handled: u32,
        record: Record,
    },
    /// An event with the same id was stored before.
    Duplicate {
        record: Record,
    },
    WithDetails {
        handled: u32,
        details: Box<ReportDetails>,
    },
}

/// The rare parts of a report.
#[derive(Debug)]
struct ReportDetails {
    record: Option<Record>,
    failures: Vec<Failure>,
    /// The id of an event without a record, if a handler read it.
    id: Option<EventId>,
    /// The bus, if its adapter may have consumers that have not finished the event.
    #[cfg(feature = "durable")]
    bus: Option<std::sync::Weak<crate::bus::inner::Inner>>,
}

impl Emitted {
    #[inline]
    pub(crate) fn of_record(record: Record, handled: usize) -> Self {
        Self(Report::WithRecord { handled: handled as u32, record })
    }

    /// Creates the report of an event without a record.
    #[inline]
    pub(crate) fn without_record(handled: usize) -> Self {
        Self(Report::WithoutRecord { handled: handled as u32 })
    }

    /// Creates the report of an event without a record that has failures, or an id that a handler read.
    #[cold]
    pub(crate) fn without_record_with(handled: usize, id: Option<EventId>, failures: Vec<Failure>) -> Self {
        let mut details = ReportDetails::of(None);
        (details.id, details.failures) = (id, failures);
        Self(Report::WithDetails { handled: handled as u32, details })
    }

    pub(crate) fn duplicate(record: Record) -> Self {
        Self(Report::Duplicate { record })
    }

    /// Adds failures.
    #[cold]
    pub(crate) fn with_failures(self, new: impl IntoIterator<Item = Failure>) -> Self {
        self.with_details(|details| details.failures.extend(new))
    }

    /// Adds the bus, whose adapter must have durable consumers.
    #[cfg(feature = "durable")]
    pub(crate) fn with_bus(self, bus: std::sync::Weak<crate::bus::inner::Inner>) -> Self {
        match self.0 {
            Report::Duplicate { .. } => self,
            _ => self.with_details(|details| details.bus = Some(bus)),
        }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn bus(&self) -> Option<&std::sync::Weak<crate::bus::inner::Inner>> {
        match &self.0 {
            Report::WithDetails { details, .. } => details.bus.as_ref(),
            _ => None,
        }
    }

    fn with_details(self, change: impl FnOnce(&mut ReportDetails)) -> Self {
        let (handled, mut details) = match self.0 {
            Report::WithDetails { handled, details } => (handled, details),
            Report::WithoutRecord { handled } => (handled, ReportDetails::of(None)),
            Report::WithRecord { handled, record } => (handled, ReportDetails::of(Some(record))),
            Report::Duplicate { record } => (0, ReportDetails::of(Some(record))),
        };
        change(&mut details);
        Self(Report::WithDetails { handled, details })
    }

    /// Returns the id of the event. `None` if no record was needed (the history is off, and all handlers take
    /// `&E`) and no handler read the id.
    pub fn id(&self) -> Option<EventId> {
        match &self.0 {
            Report::WithDetails { details, .. } if details.record.is_none() => details.id,
            _ => self.record().map(Record::id),
        }
    }

    /// Returns the record of the event, if one was needed.
    pub fn record(&self) -> Option<&Record> {
        match &self.0 {
            Report::WithoutRecord { .. } => None,
            Report::WithRecord { record, .. } | Report::Duplicate { record } => Some(record),
            Report::WithDetails { details, .. } => details.record.as_ref(),
        }
    }

    /// Returns how many handlers of this bus ran, including those that failed.
    pub fn handled(&self) -> usize {
        match self.0 {
            Report::WithoutRecord { handled }
            | Report::WithRecord { handled, .. }
            | Report::WithDetails { handled, .. } => handled as usize,
            Report::Duplicate { .. } => 0,
        }
    }

    /// Returns the failures of handlers. Each was also logged when it happened.
    pub fn failures(&self) -> &[Failure] {
        match &self.0 {
            Report::WithDetails { details, .. } => &details.failures,
            _ => &[],
        }
    }

    /// Returns true if an event with the same id was stored before. Then this one was not stored, and no
    /// handler ran.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.0, Report::Duplicate { .. })
    }
}

impl ReportDetails {
    fn of(record: Option<Record>) -> Box<Self> {
        Box::new(Self {
            record,
            failures: Vec::new(),
            id: None,
            #[cfg(feature = "durable")]
            bus: None,
        })
    }
}
