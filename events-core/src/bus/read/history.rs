//! Queries of the history: `bus.history(...)`.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use crate::adapter::Adapter;
use crate::adapter::AdapterError;
use crate::adapter::log::LogId;
use crate::adapter::log::LogPage;
use crate::adapter::log::LogQuery;
use crate::adapter::query::{HistoryQuery, parse_pattern};
use crate::bus::inner::Bus;
use crate::bus::inner::Inner;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::event::accepted::AcceptedEvents;
use crate::record::Record;
use crate::time::Timestamp;

impl Bus {
    /// Creates a query of the history for the records that match a pattern; see [`History`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// # let bus = typed_events::Bus::new().await?;
    /// for record in bus.history("user.*").limit(10).await? {
    ///     println!("{record}");
    /// }
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn history(&self, pattern: &str) -> History<'_> {
        History::new(self, pattern, Some(Location::caller()))
    }
}

impl Inner {
    /// Reads the history of the adapter, or that of the bus if the adapter keeps none.
    pub(crate) async fn read_history(&self, query: &HistoryQuery) -> Result<Events<Record>, Error> {
        let Some(adapter) = self.adapter_with_history() else { return Ok(Events::of(self.log.query(query))) };
        let found = adapter.history(query, &self.codec).await;
        found.map(Events::stored).map_err(|error| {
            let pattern = query.pattern();
            history_error(format!("{pattern}: {} can't read its history: {error}", adapter.name()), error)
        })
    }

    /// Reads a page of the adapter's log forwards, or of the log in memory if the adapter keeps none.
    pub(crate) async fn read_log(&self, query: &LogQuery) -> Result<LogPage, Error> {
        let Some(adapter) = self.adapter_with_history() else {
            return Ok(self.log.page(LogId::new(self.instance.to_bytes()), query));
        };
        let page = adapter.read_log(query, &self.codec).await;
        page.map_err(|error| history_error(format!("{} can't read its log: {error}", adapter.name()), error))
    }

    fn adapter_with_history(&self) -> Option<&dyn Adapter> {
        self.adapter.as_deref().filter(|adapter| adapter.keeps_history())
    }
}

fn history_error(message: String, error: AdapterError) -> Error {
    Error::new(ErrorKind::History, message).with_temporary(error.is_temporary())
}

/// A query of the history. Returned by [`Bus::history`]; await it for the records.
///
/// Returns the newest [`limit`](Self::limit) of the matching records (100 by default), oldest first. A stored
/// record that can't be read does not hide the others: see [`Events`].
///
/// # Errors
///
/// [`ErrorKind::Pattern`] if the text is not a valid pattern; [`ErrorKind::History`] if the adapter fails to
/// read.
///
/// # Cancel safety
///
/// Cancel safe: a query changes nothing.
///
/// # Complexity
///
/// In memory, proportional to the number of distinct names in the history plus the number of records
/// returned; independent of the number of records kept. For adapters, see their docs.
#[must_use = "queries do nothing unless awaited"]
pub struct History<'a> {
    bus: &'a Bus,
    query: Result<HistoryQuery, Error>,
    /// The location of the query, reported if no event can match the pattern. `None` to report nothing.
    location: Option<&'static Location<'static>>,
}

impl<'a> History<'a> {
    pub(crate) fn new(bus: &'a Bus, pattern: &str, location: Option<&'static Location<'static>>) -> Self {
        Self { bus, query: HistoryQuery::new(pattern), location }
    }

    pub(crate) fn of_query(bus: &'a Bus, query: HistoryQuery) -> Self {
        Self { bus, query: Ok(query), location: None }
    }

    /// Sets the maximum number of records: the newest `n` are returned. 100 by default.
    pub fn limit(self, n: usize) -> Self {
        self.set(|query| query.limit = n)
    }

    /// Excludes records that are earlier than this time.
    pub fn since(self, time: impl Into<Timestamp>) -> Self {
        self.set(|query| query.since = Some(time.into()))
    }

    /// Excludes records that are later than this time.
    pub fn until(self, time: impl Into<Timestamp>) -> Self {
        self.set(|query| query.until = Some(time.into()))
    }

    /// Narrows the query to events of one type, decoded. An event that can't be read does not hide the
    /// others: see [`Events`].
    ///
    /// # Errors
    ///
    /// Awaiting the query also returns [`ErrorKind::Pattern`] if the pattern does not match the event.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("history_doc.paid")]
    /// pub struct Paid { pub cents: u64 }
    ///
    /// let bus = Bus::new().await?;
    /// bus.emit(Paid { cents: 250 }).await?;
    /// let paid = bus.history("history_doc.*").of::<Paid>().await?;
    /// assert_eq!(paid[0].cents, 250);
    /// for unreadable in paid.unreadable() {
    ///     eprintln!("{unreadable}");
    /// }
    /// // Or an error if there are some:
    /// let paid = paid.complete()?;
    /// # assert_eq!(paid.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn of<E: Event>(mut self) -> TypedHistory<'a, E> {
        self.query = self.query.and_then(|query| {
            check_accepts(&query.pattern, &AcceptedEvents::event::<E>())?;
            Ok(HistoryQuery { name: Some(E::NAME), ..query })
        });
        TypedHistory { history: self, decode: Record::decode::<E> }
    }

    fn set(mut self, change: impl FnOnce(&mut HistoryQuery)) -> Self {
        if let Ok(query) = &mut self.query {
            change(query);
        }
        self
    }
}

impl<'a> IntoFuture for History<'a> {
    type Output = Result<Events<Record>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let bus = self.bus;
            let records = self.read().await?;
            records.warn(bus);
            Ok(records)
        })
    }
}

impl History<'_> {
    async fn read(self) -> Result<Events<Record>, Error> {
        let query = self.query?;
        let records = self.bus.inner.read_history(&query).await?;
        // Only if nothing was found: a history shared with other programs may contain events that this
        // program does not declare.
        if records.is_empty()
            && let Some(location) = self.location
        {
            self.bus.inner.note_pattern_without_events("history", location, parse_pattern(query.pattern())?);
        }
        Ok(records)
    }
}

/// A query of the history for events of one type. Returned by [`History::of`]; await it for the events.
///
/// # Errors
///
/// Those of [`History`]; also [`ErrorKind::Pattern`] if the pattern does not match the event.
///
/// # Cancel safety
///
/// Cancel safe: a query changes nothing.
#[must_use = "queries do nothing unless awaited"]
pub struct TypedHistory<'a, E> {
    history: History<'a>,
    decode: fn(&Record) -> Result<Arc<E>, Error>,
}

impl<E> TypedHistory<'_, E> {
    /// Sets the maximum number of events: the newest `n` are returned. 100 by default.
    pub fn limit(mut self, n: usize) -> Self {
        self.history = self.history.limit(n);
        self
    }
}

impl<'a, E: Send + Sync + 'static> IntoFuture for TypedHistory<'a, E> {
    type Output = Result<Events<Arc<E>>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (bus, decode) = (self.history.bus, self.decode);
            let records = self.history.read().await?;
            let events = records.decoded(decode);
            events.warn(bus);
            Ok(events)
        })
    }
}

/// The result of a query of the history, oldest first. Dereferences to a slice of what could be read: records
/// if `T` is [`Record`], or events of one type if `T` is `Arc<E>`. Those that could not be read are listed by
/// [`unreadable`](Self::unreadable), and reported by a warning.
#[derive(Clone)]
pub struct Events<T> {
    readable: Vec<T>,
    /// Each with its index among all results.
    unreadable: Vec<(usize, Unreadable)>,
}

impl Events<Record> {
    /// Converts the result of an adapter.
    pub(crate) fn stored(records: Vec<Result<Record, AdapterError>>) -> Self {
        let mut events = Self::of(Vec::with_capacity(records.len()));
        records.into_iter().for_each(|read| events.push(read.map_err(|error| Unreadable::new(None, error))));
        events
    }

    fn decoded<E>(self, decode: fn(&Record) -> Result<Arc<E>, Error>) -> Events<Arc<E>> {
        let mut events = Events::of(Vec::with_capacity(self.readable.len()));
        let mut unreadable = self.unreadable.into_iter().peekable();
        for record in self.readable {
            while let Some((_, before)) = unreadable.next_if(|(index, _)| *index == events.count()) {
                events.push(Err(before));
            }
            let read = decode(&record);
            events.push(read.map_err(|error| Unreadable::new(Some(record), error)));
        }
        unreadable.for_each(|(_, last)| events.push(Err(last)));
        events
    }
}

impl<T> Events<T> {
    /// Wraps results that could all be read.
    pub(crate) fn of(readable: Vec<T>) -> Self {
        Self { readable, unreadable: Vec::new() }
    }

    fn push(&mut self, read: Result<T, Unreadable>) {
        match read {
            Ok(read) => self.readable.push(read),
            Err(unreadable) => self.unreadable.push((self.count(), unreadable)),
        }
    }

    fn count(&self) -> usize {
        self.readable.len() + self.unreadable.len()
    }

    /// Returns the records that can't be read, oldest first.
    pub fn unreadable(&self) -> impl Iterator<Item = &Unreadable> {
        self.unreadable.iter().map(|(_, unreadable)| unreadable)
    }

    /// Returns all results in order: the record or event, or the reason why it can't be read.
    pub fn all(&self) -> impl Iterator<Item = Result<&T, &Unreadable>> {
        let (mut readable, mut unreadable) = (self.readable.iter(), self.unreadable.iter().peekable());
        (0..self.count()).filter_map(move |index| match unreadable.next_if(|(at, _)| *at == index) {
            Some((_, unreadable)) => Some(Err(unreadable)),
            None => readable.next().map(Ok),
        })
    }

    /// Returns the records or events if all of them can be read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] for the oldest record that can't be read.
    pub fn complete(self) -> Result<Vec<T>, Error> {
        match self.unreadable.into_iter().next() {
            Some((_, unreadable)) => Err(unreadable.into()),
            None => Ok(self.readable),
        }
    }

    fn warn(&self, bus: &Bus) {
        if let Some(first) = self.unreadable().next() {
            let count = self.unreadable().count();
            bus.warn(format_args!("a history has {count} events that can't be read; the oldest: {first}"));
        }
    }
}

impl<T> Deref for Events<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.readable
    }
}

impl<T> IntoIterator for Events<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.readable.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Events<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.readable.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

/// Refuses a pattern that matches none of the requested events.
fn check_accepts(pattern: &str, accepts: &AcceptedEvents) -> Result<(), Error> {
    parse_pattern(pattern)?;
    if accepts.is_reached(&[pattern]) {
        return Ok(());
    }
    let names = accepts.names();
    let events = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = match names.as_slice() {
        [name] => {
            format!("`{pattern}` does not match {events}: query `{name}`, or a pattern that matches it")
        }
        _ => format!("`{pattern}` matches none of {events}: query a pattern that matches one of them"),
    };
    Err(Error::new(ErrorKind::Pattern, message))
}

/// A record that can't be read, with the reason.
#[derive(Clone)]
pub struct Unreadable(Box<(Option<Record>, String)>);

impl Unreadable {
    pub(crate) fn new(record: Option<Record>, error: impl fmt::Display) -> Self {
        Self(Box::new((record, error.to_string())))
    }

    /// Returns the record if only its payload can't be read, and `None` if nothing of it can.
    pub fn record(&self) -> Option<&Record> {
        self.0.0.as_ref()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            (Some(record), why) => write!(f, "{why} (id {}, of {})", record.id(), record.timestamp()),
            (None, why) => f.write_str(why),
        }
    }
}

/// Does not print the payload.
impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unreadable({self})")
    }
}

impl std::error::Error for Unreadable {}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        let error = Self::new(ErrorKind::Unreadable, unreadable.to_string());
        match unreadable.record() {
            Some(record) => error.with_event_id(record.id()),
            None => error,
        }
    }
}
