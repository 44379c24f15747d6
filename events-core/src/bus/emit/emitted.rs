//! The report of an emit.

use crate::bus::inner::failure::Failure;
use crate::id::EventId;
use crate::record::Record;

/// The report of an emit: all its live handlers have finished.
#[derive(Debug)]
pub struct Emitted(What);

/// Two words, so that it and the types around it are passed in registers: every emit moves it several times.
#[derive(Debug)]
enum What {
    /// Without a record, because none was needed.
    Bare {
        handled: u32,
    },
    Stored {
        handled: u32,
        record: Record,
    },
    /// An event with the same id was stored before.
    Duplicate {
        record: Record,
    },
    WithMore {
        handled: u32,
        more: Box<More>,
    },
}

/// The rare parts of a report.
#[derive(Debug)]
struct More {
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
        Self(What::Stored { handled: handled as u32, record })
    }

    /// Creates the report of an event without a record.
    #[inline]
    pub(crate) fn bare(handled: usize) -> Self {
        Self(What::Bare { handled: handled as u32 })
    }

    /// Creates the report of an event without a record that has failures, or an id that a handler read.
    #[cold]
    pub(crate) fn bare_with(handled: usize, id: Option<EventId>, failures: Vec<Failure>) -> Self {
        let mut more = More::of(None);
        (more.id, more.failures) = (id, failures);
        Self(What::WithMore { handled: handled as u32, more })
    }

    pub(crate) fn duplicate(record: Record) -> Self {
        Self(What::Duplicate { record })
    }

    /// Adds failures.
    #[cold]
    pub(crate) fn fail(self, new: impl IntoIterator<Item = Failure>) -> Self {
        self.change_more(|more| more.failures.extend(new))
    }

    /// Adds the bus, whose adapter must have durable consumers.
    #[cfg(feature = "durable")]
    pub(crate) fn of_bus(self, bus: std::sync::Weak<crate::bus::inner::Inner>) -> Self {
        match self.0 {
            What::Duplicate { .. } => self,
            _ => self.change_more(|more| more.bus = Some(bus)),
        }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn bus(&self) -> Option<&std::sync::Weak<crate::bus::inner::Inner>> {
        match &self.0 {
            What::WithMore { more, .. } => more.bus.as_ref(),
            _ => None,
        }
    }

    fn change_more(self, change: impl FnOnce(&mut More)) -> Self {
        let (handled, mut more) = match self.0 {
            What::WithMore { handled, more } => (handled, more),
            What::Bare { handled } => (handled, More::of(None)),
            What::Stored { handled, record } => (handled, More::of(Some(record))),
            What::Duplicate { record } => (0, More::of(Some(record))),
        };
        change(&mut more);
        Self(What::WithMore { handled, more })
    }

    /// Returns the id of the event. `None` if no record was needed (the history is off, and all handlers take
    /// `&E`) and no handler read the id.
    pub fn id(&self) -> Option<EventId> {
        match &self.0 {
            What::WithMore { more, .. } if more.record.is_none() => more.id,
            _ => self.record().map(Record::id),
        }
    }

    /// Returns the record of the event, if one was needed.
    pub fn record(&self) -> Option<&Record> {
        match &self.0 {
            What::Bare { .. } => None,
            What::Stored { record, .. } | What::Duplicate { record } => Some(record),
            What::WithMore { more, .. } => more.record.as_ref(),
        }
    }

    /// Returns how many handlers of this bus ran, including those that failed.
    pub fn handled(&self) -> usize {
        match self.0 {
            What::Bare { handled } | What::Stored { handled, .. } | What::WithMore { handled, .. } => {
                handled as usize
            }
            What::Duplicate { .. } => 0,
        }
    }

    /// Returns the failures of handlers. Each was also logged when it happened.
    pub fn failures(&self) -> &[Failure] {
        match &self.0 {
            What::WithMore { more, .. } => &more.failures,
            _ => &[],
        }
    }

    /// Returns true if an event with the same id was stored before. Then this one was not stored, and no
    /// handler ran.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.0, What::Duplicate { .. })
    }
}

impl More {
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
