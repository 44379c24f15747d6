//! Positions in a log, and reading it forwards.

use std::fmt;

use crate::adapter::AdapterError;
use crate::adapter::query::parse_pattern;
use crate::error::Error;
use crate::event::pattern::Pattern;
use crate::record::Record;

/// The identity of a log. Positions of different logs have nothing to do with each other.
///
/// The epoch rises when a log assigns positions anew, as a replica does that becomes the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId {
    id: u128,
    epoch: u32,
}

impl LogId {
    /// A log that was given these random bytes when it began, in its epoch 0.
    pub const fn new(id: [u8; 16]) -> Self {
        Self { id: u128::from_be_bytes(id), epoch: 0 }
    }

    /// The log in another epoch.
    #[must_use]
    pub const fn with_epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }
}

/// A position in a log: that of a record, or 0 for the position before the first one.
///
/// Its text, such as the id of a server-sent event, is opaque to others.
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
    /// The number of the position. Numbers rise along the log; some may be missing.
    pub number: u64,
}

impl LogPosition {
    /// Reads what [`Display`](fmt::Display) wrote; `None` for any other text.
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

/// A question to a log: the records of a pattern that follow a position. What
/// [`read_log`](crate::Adapter::read_log) gets.
#[derive(Clone, Debug)]
pub struct LogQuery {
    pattern: String,
    after: Option<LogPosition>,
    max_records: u64,
    max_bytes: usize,
}

impl LogQuery {
    /// Asks only where the log ends, until [`after`](Self::after) says from where to read. Reads at most 256 records
    /// and 256 KiB unless set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`](crate::ErrorKind::Pattern) for a text that is not a pattern.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        parse_pattern(pattern)?;
        Ok(Self { pattern: pattern.to_owned(), after: None, max_records: 256, max_bytes: 256 << 10 })
    }

    /// Asks for the records that follow a position.
    #[must_use]
    pub fn after(self, position: LogPosition) -> Self {
        Self { after: Some(position), ..self }
    }

    /// Sets how many records are looked at, of all names; at least 1.
    #[must_use]
    pub fn max_records(self, records: u64) -> Self {
        Self { max_records: records.max(1), ..self }
    }

    /// Sets how many bytes of records of the pattern are read; the first of them is read whatever its size.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        Self { max_bytes: bytes, ..self }
    }

    /// Whether records of this name are asked for.
    pub fn takes(&self, name: &str) -> bool {
        Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches(name))
    }

    /// The position that the records follow.
    pub fn position(&self) -> Option<LogPosition> {
        self.after
    }

    /// How many records are looked at.
    pub fn record_limit(&self) -> u64 {
        self.max_records
    }

    /// How many bytes of records are read.
    pub fn byte_limit(&self) -> usize {
        self.max_bytes
    }

    /// The answer of a log that reads all its records, oldest first; the oldest has the position `first`.
    ///
    /// # Complexity
    ///
    /// Keeps all records in memory.
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

    /// Begins the answer of a log which keeps the positions `first` to `last` (`last` is `first - 1` where it keeps
    /// none).
    pub fn page(&self, log: LogId, first: u64, last: u64) -> LogPage {
        self.page_complete_after(log, first, last, first.saturating_sub(1))
    }

    /// The same for a log that knows the position after which it keeps all records of the pattern: where nothing is
    /// missing that was asked for, it is not [`Trimmed`](Start::Trimmed).
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

/// Whether a log has the position from which it was to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It has it.
    Found,
    /// The position is of another log, or of another epoch.
    OtherLog,
    /// Records that follow the position are no longer kept.
    Trimmed,
    /// The log ends before the position.
    Ahead,
}

/// The answer of a log: [`LogQuery::page`] begins it, and the adapter [adds](Self::push) the records from
/// [`wanted`](Self::wanted).
#[derive(Debug)]
pub struct LogPage {
    log: LogId,
    first: u64,
    last: u64,
    after: u64,
    /// Up to where records were, or are, looked at.
    until: u64,
    /// How many bytes may still be added.
    left: usize,
    found: Start,
    records: Vec<(u64, Result<Record, AdapterError>)>,
}

impl LogPage {
    /// The positions to look at, in this order; none where the log does not have the position to read from.
    pub fn wanted(&self) -> std::ops::RangeInclusive<u64> {
        self.after.saturating_add(1)..=self.until
    }

    /// Adds the record at a position, of so many bytes; `false` where the page is full, which the record is then not a
    /// part of.
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

    /// Ends the page at a position in front of the last that was [wanted](Self::wanted): where fewer were looked at.
    pub fn end_at(&mut self, number: u64) {
        self.until = self.until.min(number.max(self.after));
    }

    /// Whether the log has the position to read from. If not, there are no records.
    pub fn start(&self) -> Start {
        self.found
    }

    /// The position up to which records were looked at: where the next page begins.
    pub fn end(&self) -> LogPosition {
        LogPosition { log: self.log, number: self.until }
    }

    /// The position of the newest record.
    pub fn newest(&self) -> LogPosition {
        LogPosition { log: self.log, number: self.last }
    }

    /// The position before the oldest record that is kept.
    pub fn oldest(&self) -> LogPosition {
        LogPosition { log: self.log, number: self.first.saturating_sub(1) }
    }

    /// The records of the pattern with their positions, in order. In the place of one that can't be read is the error.
    pub fn into_records(self) -> Vec<(u64, Result<Record, AdapterError>)> {
        self.records
    }
}
