//! Retention: how much of its log an adapter keeps.

use std::fmt;
use std::time::Duration;

/// Limits on the log that an adapter keeps. By default, there is no limit.
///
/// If the log exceeds any of the limits, its oldest events are trimmed. Trimming runs in the background, when
/// the log is opened and every 10 s after that, some hundred events at a time. Between the runs, the log may
/// exceed its limits.
///
/// An event that any consumer has not finished is kept, even if no program runs that consumer: an abandoned
/// consumer keeps all its unfinished events until it is removed. The newest event is always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    records: Option<u64>,
    age: Option<Duration>,
    bytes: Option<u64>,
    past_consumers: bool,
}

impl Retention {
    /// Sets no limit.
    pub const fn everything() -> Self {
        Self { records: None, age: None, bytes: None, past_consumers: false }
    }

    /// Sets the maximum number of events.
    #[must_use]
    pub const fn records(mut self, records: u64) -> Self {
        self.records = Some(records);
        self
    }

    /// Sets the maximum age of events.
    #[must_use]
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Sets the maximum size in bytes. The adapter determines what counts: SQLite counts the file without the
    /// write-ahead log, Redis counts the JSON of the events.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Also trims events that consumers have not finished. Such a consumer loses the events, and logs the
    /// number of trimmed events, including those that its patterns do not match.
    ///
    /// A handler that is running for a trimmed event continues and may finish it. If the handler fails or the
    /// process ends, the event is not handed out again and does not become a dead letter: it is lost.
    /// Existing dead letters are kept, including those that are being replayed.
    #[must_use]
    pub const fn ignoring_consumers(mut self) -> Self {
        self.past_consumers = true;
        self
    }

    /// Maximum number of events, for adapters.
    pub const fn max_records(&self) -> Option<u64> {
        self.records
    }

    /// Maximum age of events, for adapters.
    pub const fn max_age(&self) -> Option<Duration> {
        self.age
    }

    /// Maximum size in bytes, for adapters.
    pub const fn max_bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Whether events that consumers have not finished may be trimmed, for adapters.
    pub const fn ignores_consumers(&self) -> bool {
        self.past_consumers
    }

    /// Whether no limit is set.
    pub const fn is_everything(&self) -> bool {
        self.records.is_none() && self.age.is_none() && self.bytes.is_none()
    }
}

/// Writes the limits, such as `100 events, 3600 s`, or `everything`. Adapters store this text, to report programs that
/// open one log with different limits.
impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            self.records.map(|records| format!("{records} events")),
            self.age.map(|age| format!("{} s", age.as_secs_f64())),
            self.bytes.map(|bytes| format!("{bytes} bytes")),
        ];
        let limits: Vec<_> = limits.into_iter().flatten().collect();
        match (limits.is_empty(), self.past_consumers) {
            (true, _) => f.write_str("everything"),
            (false, true) => write!(f, "{}, ignoring consumers", limits.join(", ")),
            (false, false) => f.write_str(&limits.join(", ")),
        }
    }
}
