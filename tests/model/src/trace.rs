//! The events of a run. Each has a tick of one clock, which gives their order.

use typed_events::{ErrorKind, EventId, Record, Stats, Timestamp};

use crate::events::{Kind, Pat};
use crate::program::Life;

/// A span from one tick to another. `end` is [`NEVER`] if it has not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

pub(crate) const NEVER: u64 = u64::MAX;

impl Span {
    /// Returns whether this span ended before the other began.
    pub(crate) fn is_before(self, other: Span) -> bool {
        self.end < other.start
    }
}

/// Everything that happened in a run.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) emits: Vec<Emit>,
    pub(crate) subs: Vec<Sub>,
    pub(crate) calls: Vec<Call>,
    pub(crate) removals: Vec<Removal>,
    pub(crate) histories: Vec<Asked>,
    pub(crate) streams: Vec<Streamed>,
    pub(crate) counts: Vec<Counted>,
    pub(crate) stops: Vec<Stopped>,
    /// The content of each event's record, from every place where it was read.
    pub(crate) sightings: Vec<(u64, Sighting)>,
    pub(crate) stats: Option<Stats>,
    /// Number of emits that returned an error because their runtime had shut down.
    pub(crate) runtimes_ended: usize,
    /// Descriptions of results that are wrong in every program.
    pub(crate) odd: Vec<String>,
}

/// One event that was emitted. Its index in the list is its serial.
#[derive(Debug)]
pub(crate) struct Emit {
    pub(crate) kind: Kind,
    /// From before the call to after the first poll.
    pub(crate) span: Span,
    /// The tick at which it resolved.
    pub(crate) resolved: u64,
    pub(crate) outcome: Outcome,
    /// The call inside which it was emitted.
    pub(crate) parent: Option<usize>,
    /// The first serial of its batch, if it is in a batch.
    pub(crate) batch: Option<usize>,
    pub(crate) given_id: Option<EventId>,
    pub(crate) with_source: bool,
    /// Whether its JSON does not fit the type.
    pub(crate) bad: bool,
    pub(crate) detached: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Never polled.
    None,
    /// It was accepted, and no actor waits for it (any more).
    Accepted,
    Refused(ErrorKind),
    Done(Done),
}

/// The content of an `Emitted`.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) handled: usize,
    pub(crate) duplicate: bool,
    pub(crate) failures: Vec<Failed>,
}

/// One of [`typed_events::Emitted::failures`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed {
    pub(crate) message: String,
    pub(crate) pattern: String,
    pub(crate) panicked: bool,
}

impl Emit {
    /// Returns whether the bus accepted it as a new event.
    pub(crate) fn is_accepted(&self) -> bool {
        match &self.outcome {
            Outcome::Accepted => true,
            Outcome::Done(done) => !done.duplicate,
            Outcome::None | Outcome::Refused(_) => false,
        }
    }

    /// Returns its result, if an actor waited for it to the end.
    pub(crate) fn done(&self) -> Option<&Done> {
        match &self.outcome {
            Outcome::Done(done) => Some(done),
            _ => None,
        }
    }
}

/// A handler.
#[derive(Debug)]
pub(crate) struct Sub {
    pub(crate) patterns: Vec<&'static str>,
    pub(crate) life: Life,
    pub(crate) registered: Span,
    /// The call inside which it was registered.
    pub(crate) parent: Option<usize>,
    pub(crate) replay: Option<Replay>,
}

/// The replay of a handler that was registered with one.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) n: usize,
    /// `None` if it was dropped before it resolved.
    pub(crate) outcome: Option<Result<(), ErrorKind>>,
}

impl Sub {
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        self.patterns.iter().any(|pattern| crate::events::matches(pattern, kind.name()))
    }
}

/// One call of a handler.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) sub: usize,
    pub(crate) serial: u64,
    pub(crate) span: Span,
    pub(crate) end: CallEnd,
    /// Whether it ran within the first poll of its emit.
    pub(crate) first_poll: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Running,
    Well,
    Failed,
    Panicked,
    /// Its future was dropped.
    Lost,
}

/// An `unsubscribe`, an `off` or the drop of a guard.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) span: Span,
    pub(crate) what: Removed,
    /// The call in which it happened, if that was in the first poll of the emit.
    pub(crate) parent: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum Removed {
    /// A handler, and whether it was still registered, if the call returned that.
    Sub(usize, Option<bool>),
    /// All handlers of a pattern, and their number.
    Pattern(Pat, usize),
}

/// A query of the history, and its result.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) span: Span,
    pub(crate) pattern: Pat,
    pub(crate) of: Option<Kind>,
    pub(crate) limit: usize,
    pub(crate) serials: Vec<u64>,
}

/// A stream, and the items that it yielded.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) opened: Span,
    pub(crate) pattern: Pat,
    pub(crate) of: Option<Kind>,
    pub(crate) items: Vec<Item>,
    /// Whether it ended.
    pub(crate) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Event(u64),
    Lost(u64),
}

/// A call of `handler_count`, and its result.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
    pub(crate) count: usize,
}

/// A call of `stop`.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) first_poll: Span,
    pub(crate) end: u64,
    /// The text of the error.
    pub(crate) outcome: Result<(), String>,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) name: String,
    pub(crate) id: EventId,
    pub(crate) timestamp: Timestamp,
    pub(crate) source: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) causation: Option<String>,
}

impl Sighting {
    pub(crate) fn of(record: &Record) -> Self {
        let metadata = record.metadata();
        Self {
            name: record.name().to_owned(),
            id: record.id(),
            timestamp: record.timestamp(),
            source: metadata.source().map(str::to_owned),
            correlation: metadata.correlation_id().map(str::to_owned),
            causation: metadata.causation_id().map(str::to_owned),
        }
    }
}

impl Trace {
    /// Returns the emit with a serial.
    pub(crate) fn emit(&self, serial: u64) -> &Emit {
        &self.emits[serial as usize]
    }

    /// Returns how many emits are around an emit.
    pub(crate) fn depth(&self, emit: &Emit) -> u32 {
        match emit.parent {
            Some(call) => 1 + self.depth(self.emit(self.calls[call].serial)),
            None => 0,
        }
    }
}
