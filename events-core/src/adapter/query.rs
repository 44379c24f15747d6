//! What a history is asked for.

use crate::adapter::AdapterError;
use crate::error::{Error, ErrorKind};
use crate::event::pattern::Pattern;
use crate::record::Record;
use crate::text::quoted;
use crate::time::Timestamp;

/// Records a history returns unless the query says otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 100;

/// What a history is asked for: what an adapter's [`history`](crate::Adapter::history) gets.
///
/// The answer is the newest [`limit`](Self::limit) of the records that [`accepts`](Self::accepts)
/// takes, oldest first.
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
    /// Set where only one type of event is asked for.
    pub(crate) name: Option<&'static str>,
    pub(crate) limit: usize,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl HistoryQuery {
    /// The newest 100 of what a pattern takes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] for a text that is not a pattern.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        parse_pattern(pattern)?;
        Ok(Self { pattern: pattern.to_owned(), name: None, limit: DEFAULT_LIMIT, since: None, until: None })
    }

    /// Asks for at most `limit` records.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The pattern, as written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The most records that are asked for.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The earliest timestamp asked for, inclusive.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The latest timestamp asked for, inclusive.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The one name that is asked for, where it is one: for an index.
    pub fn only_name(&self) -> Option<&str> {
        let pattern = Pattern::new(&self.pattern).ok()?;
        if !pattern.is_name() {
            return self.name.filter(|name| pattern.matches(name));
        }
        self.name.is_none_or(|name| name == self.pattern).then_some(&self.pattern)
    }

    /// Whether events of this name are asked for.
    pub fn takes(&self, name: &str) -> bool {
        let pattern = Pattern::new(&self.pattern);
        self.name.is_none_or(|only| only == name) && pattern.is_ok_and(|pattern| pattern.matches(name))
    }

    /// Whether a record is asked for, by its name and timestamp.
    pub fn accepts(&self, record: &Record) -> bool {
        let time = record.timestamp();
        self.takes(record.name())
            && self.since.is_none_or(|since| since <= time)
            && self.until.is_none_or(|until| time <= until)
    }

    /// The answer of an adapter that reads all its records, oldest first: the newest of those that are asked for.
    /// A record that can't be read keeps its place.
    ///
    /// # Complexity
    ///
    /// Keeps all that are asked for in memory, also those beyond the limit.
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

/// Reads a pattern given at run time.
pub(crate) fn parse_pattern(text: &str) -> Result<Pattern<'_>, Error> {
    Pattern::new(text).map_err(|error| {
        Error::new(ErrorKind::Pattern, format!("`{}` is not a pattern: {error}", quoted(text)))
    })
}
