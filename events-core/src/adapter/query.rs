//! Queries that read a history backwards.

use crate::adapter::AdapterError;
use crate::error::{Error, ErrorKind};
use crate::event::pattern::Pattern;
use crate::record::Record;
use crate::text::quoted;
use crate::time::Timestamp;

/// Default for the maximum number of records that a history query returns.
pub(crate) const DEFAULT_LIMIT: usize = 100;

/// A query for records of a history. It is passed to an adapter's [`history`](crate::Adapter::history).
///
/// The result is the newest [`limit`](Self::limit) records that the query [`accepts`](Self::accepts), oldest
/// first.
///
/// ```
/// use typed_events::adapter::HistoryQuery;
///
/// let query = HistoryQuery::new("user.*")?.with_limit(10);
/// assert!(query.takes("user.created"));
/// # Ok::<(), typed_events::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub(crate) pattern: String,
    /// Name of the only event type that is requested, if the query is restricted to one.
    pub(crate) name: Option<&'static str>,
    pub(crate) limit: usize,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl HistoryQuery {
    /// Creates a query for the newest 100 records that match a pattern.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] if the text is not a valid pattern.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        parse_pattern(pattern)?;
        Ok(Self { pattern: pattern.to_owned(), name: None, limit: DEFAULT_LIMIT, since: None, until: None })
    }

    /// Sets the maximum number of records. The default is 100.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Text of the pattern.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Maximum number of records.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Earliest timestamp, inclusive.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Latest timestamp, inclusive.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Returns the event name if the query matches exactly one, so that an adapter can use an index.
    pub fn only_name(&self) -> Option<&str> {
        let pattern = Pattern::new(&self.pattern).ok()?;
        if !pattern.is_name() {
            return self.name.filter(|name| pattern.matches(name));
        }
        self.name.is_none_or(|name| name == self.pattern).then_some(&self.pattern)
    }

    /// Whether the query requests events of this name.
    pub fn takes(&self, name: &str) -> bool {
        let pattern = Pattern::new(&self.pattern);
        self.name.is_none_or(|only| only == name) && pattern.is_ok_and(|pattern| pattern.matches(name))
    }

    /// Whether the query requests this record, by its name and timestamp.
    pub fn accepts(&self, record: &Record) -> bool {
        let time = record.timestamp();
        self.takes(record.name())
            && self.since.is_none_or(|since| since <= time)
            && self.until.is_none_or(|until| time <= until)
    }

    /// Returns the result for an adapter that iterates over all its records, oldest first: the newest records
    /// that the query accepts. A record that can't be decoded is kept as an error in its position.
    ///
    /// # Complexity
    ///
    /// Holds all accepted records in memory, including those beyond the limit.
    pub fn select(
        &self,
        records: impl IntoIterator<Item = Result<Record, AdapterError>>,
    ) -> Vec<Result<Record, AdapterError>> {
        let is_asked_for = |read: &Result<Record, _>| match read {
            Ok(record) => self.accepts(record),
            Err(_) => true,
        };
        let mut found: Vec<_> = records.into_iter().filter(is_asked_for).collect();
        found.split_off(found.len().saturating_sub(self.limit))
    }
}

/// Parses a pattern given at run time.
pub(crate) fn parse_pattern(text: &str) -> Result<Pattern<'_>, Error> {
    Pattern::new(text).map_err(|error| {
        Error::new(ErrorKind::Pattern, format!("`{}` is not a pattern: {error}", quoted(text)))
    })
}
