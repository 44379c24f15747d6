//! Positions in a log, and queries that read a log forwards.

use std::fmt;

use crate::adapter::AdapterError;
use crate::adapter::query::parse_pattern;
use crate::error::Error;
use crate::event::pattern::Pattern;
use crate::record::Record;

/// Identity of a log. Positions in different logs can't be compared.
///
/// The epoch is incremented if a log may assign a position again, for example after a replica has become the
/// primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId {
    id: u128,
    epoch: u32,
}

impl LogId {
    /// Creates the identity of a log from 16 random bytes that were generated when the log was created. The
    /// epoch is 0.
    pub const fn new(id: [u8; 16]) -> Self {
        Self { id: u128::from_be_bytes(id), epoch: 0 }
    }

    /// Returns the same log with another epoch.
    #[must_use]
    pub const fn with_epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }
}

/// Position in a log: the position of a record, or 0 for the position before the first record.
///
/// Its text form, which is also used as the id of server-sent events, is opaque: programs should not
/// interpret it.
///
/// ```
/// use typed_events::adapter::{LogId, LogPosition};
///
/// let position = LogPosition { log: LogId::new([7; 16]), number: 12 };
/// assert_eq!(LogPosition::parse(&position.to_string()), Some(position));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// The log.
    pub log: LogId,
    /// Number of the position. Numbers increase along the log; some may be missing.
    pub number: u64,
}

impl LogPosition {
    /// Parses a text written by [`Display`](fmt::Display). Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let mut parts = text.split('-');
        let mut part = || parts.next().filter(|part| !part.is_empty() && part.chars().all(is_digit));
        let (id, epoch, number) = (part()?, part()?, part()?);
        let log =
            LogId { id: u128::from_str_radix(id, 16).ok()?, epoch: u32::from_str_radix(epoch, 16).ok()? };
        let number = u64::from_str_radix(number, 16).ok()?;
        parts.next().is_none().then_some(Self { log, number })
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:x}-{:x}", self.log.id, self.log.epoch, self.number)
    }
}

/// A query for the records of a pattern that follow a position. It is passed to
/// [`read_log`](crate::Adapter::read_log).
#[derive(Clone, Debug)]
pub struct LogQuery {
    pattern: String,
    after: Option<LogPosition>,
    max_records: u64,
    max_bytes: usize,
}

impl LogQuery {
    /// Creates a query that returns no records, only the end of the log, unless [`after`](Self::after) sets a
    /// position. By default, the query examines at most 256 records and reads at most 256 KiB.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`](crate::ErrorKind::Pattern) if the text is not a valid pattern.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        parse_pattern(pattern)?;
        Ok(Self { pattern: pattern.to_owned(), after: None, max_records: 256, max_bytes: 256 << 10 })
    }

    /// Requests the records that follow a position.
    #[must_use]
    pub fn after(self, position: LogPosition) -> Self {
        Self { after: Some(position), ..self }
    }

    /// Sets the maximum number of records that are read, including those whose name does not match the pattern.
    /// The minimum is 1, the default 256.
    #[must_use]
    pub fn max_records(self, records: u64) -> Self {
        Self { max_records: records.max(1), ..self }
    }

    /// Sets the maximum size in bytes of the returned records. The default is 256 KiB. The first record is
    /// returned even if it is larger.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }

    /// Whether the query requests records of this name.
    pub fn takes(&self, name: &str) -> bool {
        Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches(name))
    }

    /// The position that the requested records follow.
    pub fn position(&self) -> Option<LogPosition> {
        self.after
    }

    /// Maximum number of records that are read, including those whose name does not match the pattern.
    pub fn record_limit(&self) -> u64 {
        self.max_records
    }

    /// Maximum size of the returned records in bytes.
    pub fn byte_limit(&self) -> usize {
        self.max_bytes
    }

    /// Creates the complete page for a log that iterates over all its records, oldest first. `first` is the
    /// position of the oldest record.
    ///
    /// # Complexity
    ///
    /// Holds all records in memory.
    pub fn select(
        &self,
        log: LogId,
        first: u64,
        records: impl IntoIterator<Item = Result<Record, AdapterError>>,
    ) -> LogPage {
        let records: Vec<_> = records.into_iter().collect();
        let mut page = self.page(log, first, first.saturating_add(records.len() as u64).saturating_sub(1));
        let wanted = page.wanted();
        for (number, record) in (first..).zip(records).filter(|(number, _)| wanted.contains(number)) {
            let bytes = match &record {
                Ok(record) if !self.takes(record.name()) => continue,
                Ok(record) => record.weight(),
                Err(_) => 0,
            };
            if !page.push(number, bytes, record) {
                break;
            }
        }
        page
    }

    /// Creates an empty page for a log that keeps the positions from `first` to `last`. If it keeps none,
    /// `last` is `first - 1`.
    pub fn page(&self, log: LogId, first: u64, last: u64) -> LogPage {
        self.page_complete_after(log, first, last, first.saturating_sub(1))
    }

    /// Like [`page`](Self::page), for a log that knows a position after which it keeps all records of the
    /// pattern. The start is [`Trimmed`](Start::Trimmed) only if a requested record may have been trimmed.
    pub fn page_complete_after(&self, log: LogId, first: u64, last: u64, complete_after: u64) -> LogPage {
        let oldest = first.saturating_sub(1);
        let (found, after) = match self.after {
            None => (Start::Found, last),
            Some(after) if after.log != log => (Start::OtherLog, last),
            Some(after) if after.number > last => (Start::Ahead, last),
            Some(after) if after.number < oldest.min(complete_after) => (Start::Trimmed, last),
            Some(after) => (Start::Found, after.number.max(oldest)),
        };
        let until = after.saturating_add(self.max_records).min(last);
        LogPage { log, first, last, after, until, left: self.max_bytes, found, records: Vec::new() }
    }
}

/// Whether a log keeps the position from which it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The log keeps the records that follow the position.
    Found,
    /// The position belongs to another log or another epoch.
    OtherLog,
    /// Records that follow the position are no longer kept.
    Trimmed,
    /// The position is after the end of the log.
    Ahead,
}

/// A page of a log. [`LogQuery::page`] creates it, and the adapter [adds](Self::push) the records at the
/// [`wanted`](Self::wanted) positions.
#[derive(Debug)]
pub struct LogPage {
    log: LogId,
    first: u64,
    last: u64,
    after: u64,
    /// Last position that is read.
    until: u64,
    /// Number of bytes that may still be added.
    left: usize,
    found: Start,
    records: Vec<(u64, Result<Record, AdapterError>)>,
}

impl LogPage {
    /// The positions to read, in ascending order. Empty if the log does not keep the position to read from.
    pub fn wanted(&self) -> std::ops::RangeInclusive<u64> {
        self.after.saturating_add(1)..=self.until
    }

    /// Adds the record at a position. `bytes` is its size. Returns `false` if the page is full; the record is
    /// then not added.
    pub fn push(&mut self, number: u64, bytes: usize, record: Result<Record, AdapterError>) -> bool {
        if bytes > self.left && !self.records.is_empty() {
            self.left = 0;
            self.until = self.until.min(number - 1);
            return false;
        }
        self.left = self.left.saturating_sub(bytes);
        self.records.push((number, record));
        true
    }

    /// Ends the page before the last [wanted](Self::wanted) position, if the adapter read fewer positions.
    pub fn end_at(&mut self, number: u64) {
        self.until = self.until.min(number.max(self.after));
    }

    /// Whether the log keeps the position to read from. If not, the page has no records.
    pub fn start(&self) -> Start {
        self.found
    }

    /// The last position that was read. The next page begins after it.
    pub fn end(&self) -> LogPosition {
        LogPosition { log: self.log, number: self.until }
    }

    /// Position of the newest record.
    pub fn newest(&self) -> LogPosition {
        LogPosition { log: self.log, number: self.last }
    }

    /// Position before the oldest record that is kept.
    pub fn oldest(&self) -> LogPosition {
        LogPosition { log: self.log, number: self.first.saturating_sub(1) }
    }

    /// Returns the records of the pattern with their positions, in order. A record that can't be decoded is
    /// an error in its position.
    pub fn into_records(self) -> Vec<(u64, Result<Record, AdapterError>)> {
        self.records
    }
}
