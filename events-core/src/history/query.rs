//! What `bus.history(...)` asks for.

use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use crate::bus::Bus;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::pattern::Pattern;
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
/// use typed_events::HistoryQuery;
///
/// let query = HistoryQuery::new("user.*")?.with_limit(10);
/// assert!(query.takes("user.created"));
/// # Ok::<(), typed_events::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pattern: String,
    /// Set where only one type of event is asked for.
    name: Option<&'static str>,
    limit: usize,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
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
}

/// Reads a pattern given at run time.
pub(crate) fn parse_pattern(text: &str) -> Result<Pattern<'_>, Error> {
    Pattern::new(text).map_err(|error| {
        Error::new(ErrorKind::Pattern, format!("`{}` is not a pattern: {error}", quoted(text)))
    })
}

/// A question to the history: what [`Bus::history`] returns. Await it for the records.
///
/// Gives the newest [`limit`](Self::limit) (100 unless said) of the matching records, oldest first.
///
/// # Errors
///
/// [`ErrorKind::Pattern`] for a text that is not a pattern; [`ErrorKind::History`] where an adapter
/// can't read.
///
/// # Cancel safety
///
/// Dropping it reads nothing more and changes nothing.
///
/// # Complexity
///
/// In memory: proportional to the names that are kept plus what is returned, not to how many
/// records are kept. Each adapter states its own.
#[must_use = "a history is read when it is awaited"]
pub struct History<'a> {
    bus: &'a Bus,
    query: Result<HistoryQuery, Error>,
    /// Where it was asked for; reported where no event can match the pattern.
    place: Option<&'static Location<'static>>,
}

impl<'a> History<'a> {
    pub(crate) fn new(bus: &'a Bus, pattern: &str, place: Option<&'static Location<'static>>) -> Self {
        Self { bus, query: HistoryQuery::new(pattern), place }
    }

    /// Asks for at most `n` records: the newest.
    pub fn limit(self, n: usize) -> Self {
        self.set(|query| query.limit = n)
    }

    /// Asks for records of this time or later.
    pub fn since(self, time: impl Into<Timestamp>) -> Self {
        self.set(|query| query.since = Some(time.into()))
    }

    /// Asks for records of this time or earlier.
    pub fn until(self, time: impl Into<Timestamp>) -> Self {
        self.set(|query| query.until = Some(time.into()))
    }

    /// Asks for events of one type, decoded.
    ///
    /// # Errors
    ///
    /// Awaiting it also fails with [`ErrorKind::Payload`] where a stored payload does not fit `E`.
    pub fn of<E: Event>(self) -> TypedHistory<'a, E> {
        TypedHistory { history: self.set(|query| query.name = Some(E::NAME)), decode: Record::decode::<E> }
    }

    fn set(mut self, change: impl FnOnce(&mut HistoryQuery)) -> Self {
        if let Ok(query) = &mut self.query {
            change(query);
        }
        self
    }
}

impl<'a> IntoFuture for History<'a> {
    type Output = Result<Vec<Record>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let query = self.query?;
            let records = self.bus.inner.read_history(&query).await?;
            // A history that programs share may have events that this one does not declare.
            if records.is_empty()
                && let Some(place) = self.place
            {
                self.bus.inner.note_reach("history", place, parse_pattern(query.pattern())?);
            }
            Ok(records)
        })
    }
}

/// A question to the history for events of one type. Await it for the events.
#[must_use = "a history is read when it is awaited"]
pub struct TypedHistory<'a, E> {
    history: History<'a>,
    decode: fn(&Record) -> Result<Arc<E>, Error>,
}

impl<E> TypedHistory<'_, E> {
    /// Asks for at most `n` events: the newest.
    pub fn limit(mut self, n: usize) -> Self {
        self.history = self.history.limit(n);
        self
    }
}

impl<'a, E: Send + Sync + 'static> IntoFuture for TypedHistory<'a, E> {
    type Output = Result<Vec<Arc<E>>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.history.await?.iter().map(self.decode).collect() })
    }
}
