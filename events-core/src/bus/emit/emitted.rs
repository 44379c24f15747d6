//! What an emit reports.

use std::sync::Weak;

use crate::bus::inner::Inner;
use crate::bus::inner::failure::Failure;
use crate::id::EventId;
use crate::record::Record;

/// What an emit did: all its handlers have finished.
#[derive(Debug)]
pub struct Emitted(What);

/// Two words, so that it is passed in registers with all that is wrapped around it: every emit moves it
/// several times.
#[derive(Debug)]
enum What {
    /// No record was needed.
    Bare {
        handled: u32,
    },
    Stored {
        handled: u32,
        record: Record,
    },
    /// An event with the same id was there before.
    Duplicate {
        record: Record,
    },
    Told {
        handled: u32,
        more: Box<More>,
    },
}

/// Where there is more to say.
#[derive(Debug)]
struct More {
    record: Option<Record>,
    failures: Vec<Failure>,
    /// No record was needed, and still somebody asked for an id.
    id: Option<EventId>,
    /// Where durable consumers may have yet to handle it.
    bus: Option<Weak<Inner>>,
}

impl Emitted {
    #[inline]
    pub(crate) fn of_record(record: Record, handled: usize) -> Self {
        Self(What::Stored { handled: handled as u32, record })
    }

    /// No record was needed.
    #[inline]
    pub(crate) fn bare(handled: usize) -> Self {
        Self(What::Bare { handled: handled as u32 })
    }

    /// No record was needed, and there is more to say; `id` where somebody asked for one.
    #[cold]
    pub(crate) fn bare_with(handled: usize, id: Option<EventId>, failures: Vec<Failure>) -> Self {
        let more = Box::new(More { record: None, failures, id, bus: None });
        Self(What::Told { handled: handled as u32, more })
    }

    pub(crate) fn duplicate(record: Record) -> Self {
        Self(What::Duplicate { record })
    }

    /// Adds failures.
    #[cold]
    pub(crate) fn fail(self, new: impl IntoIterator<Item = Failure>) -> Self {
        self.tell(|more| more.failures.extend(new))
    }

    /// Adds the bus whose adapter has durable consumers.
    pub(crate) fn of_bus(self, bus: Weak<Inner>) -> Self {
        match self.0 {
            What::Duplicate { .. } => self,
            _ => self.tell(|more| more.bus = Some(bus)),
        }
    }

    pub(crate) fn bus(&self) -> Option<&Weak<Inner>> {
        match &self.0 {
            What::Told { more, .. } => more.bus.as_ref(),
            _ => None,
        }
    }

    fn tell(self, change: impl FnOnce(&mut More)) -> Self {
        let (handled, mut more) = match self.0 {
            What::Told { handled, more } => (handled, more),
            What::Bare { handled } => (handled, More::of(None)),
            What::Stored { handled, record } => (handled, More::of(Some(record))),
            What::Duplicate { record } => (0, More::of(Some(record))),
        };
        change(&mut more);
        Self(What::Told { handled, more })
    }

    /// The event's id; `None` where no record of the event was needed (history off, only handlers
    /// of `&E`), so that nobody could look it up.
    pub fn id(&self) -> Option<EventId> {
        match &self.0 {
            What::Told { more, .. } if more.record.is_none() => more.id,
            _ => self.record().map(Record::id),
        }
    }

    /// The event's record, where one was needed.
    pub fn record(&self) -> Option<&Record> {
        match &self.0 {
            What::Bare { .. } => None,
            What::Stored { record, .. } | What::Duplicate { record } => Some(record),
            What::Told { more, .. } => more.record.as_ref(),
        }
    }

    /// How many handlers of this bus ran, failed ones included.
    pub fn handled(&self) -> usize {
        match self.0 {
            What::Bare { handled } | What::Stored { handled, .. } | What::Told { handled, .. } => {
                handled as usize
            }
            What::Duplicate { .. } => 0,
        }
    }

    /// The handlers that failed or panicked. Each was logged, too.
    pub fn failures(&self) -> &[Failure] {
        match &self.0 {
            What::Told { more, .. } => &more.failures,
            _ => &[],
        }
    }

    /// Whether an event with the same id was there before: this one was not stored, and no handler
    /// ran.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.0, What::Duplicate { .. })
    }
}

impl More {
    fn of(record: Option<Record>) -> Box<Self> {
        Box::new(Self { record, failures: Vec::new(), id: None, bus: None })
    }
}
