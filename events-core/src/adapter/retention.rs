//! How much of its log an adapter keeps.

use std::time::Duration;

/// What the log keeps: everything, unless said otherwise. What exceeds any one bound is trimmed, the oldest first, in
/// the background, some hundred events at a time: when the log is opened, and every 10 s. Between these, there may be
/// more.
///
/// Events that a consumer has yet to finish are kept, whoever it is: an abandoned consumer keeps everything until it
/// is removed. The newest event is always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    records: Option<u64>,
    age: Option<Duration>,
    bytes: Option<u64>,
    past_consumers: bool,
}

impl Retention {
    /// Keeps everything.
    pub const fn everything() -> Self {
        Self { records: None, age: None, bytes: None, past_consumers: false }
    }

    /// Keeps at most this many events.
    #[must_use]
    pub const fn records(mut self, records: u64) -> Self {
        self.records = Some(records);
        self
    }

    /// Keeps events for this long.
    #[must_use]
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Keeps what fits into this many bytes, as the adapter counts them: SQLite those of the file without the write-ahead
    /// log, Redis those of the events' JSON.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Trims also what consumers have yet to finish. They lose it, and log how many events of the log that were, of
    /// whichever name.
    ///
    /// A handler that is at work on an event goes on, and may finish it. If it fails, or the process ends, the event is
    /// not handed out again and does not go to the dead letters: it is lost, too. Dead letters stay, also those that
    /// are replayed.
    #[must_use]
    pub const fn ignoring_consumers(mut self) -> Self {
        self.past_consumers = true;
        self
    }

    /// The most events, for adapters.
    pub const fn max_records(&self) -> Option<u64> {
        self.records
    }

    /// The oldest events, for adapters.
    pub const fn max_age(&self) -> Option<Duration> {
        self.age
    }

    /// The most bytes, for adapters.
    pub const fn max_bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Whether what consumers have yet to finish may be trimmed, for adapters.
    pub const fn ignores_consumers(&self) -> bool {
        self.past_consumers
    }

    /// Whether there is no bound.
    pub const fn is_everything(&self) -> bool {
        self.records.is_none() && self.age.is_none() && self.bytes.is_none()
    }
}
