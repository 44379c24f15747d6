//! What joins buses and keeps events beyond one process: the trait engines implement.

pub(crate) mod consumer;
pub(crate) mod durable;
pub(crate) mod log;
#[cfg(feature = "in-memory")]
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod query;
pub(crate) mod receiver;
pub(crate) mod retention;

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use crate::adapter::durable::DurableAdapter;
use crate::adapter::log::LogPage;
use crate::adapter::log::LogQuery;
use crate::adapter::query::HistoryQuery;
use crate::adapter::receiver::Receiver;
use crate::record::Record;
use crate::record::codec::RecordCodec;

/// A boxed future: what the methods of an [`Adapter`] return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Joins buses, keeps events, or both.
///
/// A bus calls [`subscribe`](Self::subscribe) once, in `build()`, before any other method, and
/// [`stop`](Self::stop) at most once. All methods may be called from many tasks at once.
///
/// - **Order.** `publish` puts the records of one call in the history in their order, without others
///   between them. Two concurrent calls may come in any order; the adapter should read
///   [`Record::timestamp`] while it holds a record's position, so that timestamps never decrease.
/// - **All or nothing.** `publish` keeps all records of a call, or none and says so with
///   [`AdapterError::refused`]; where it can't know (a timeout), with [`AdapterError::unknown`].
/// - **Duplicates.** A record whose id is already kept is not kept twice, where the engine can tell.
/// - **Delivery.** What other instances publish goes to the [`Receiver`], in the order of the history
///   where there is one. A bus's own records may come back; it drops them by their origin.
/// - **Cancellation.** The bus drives every future it gets to its end, in a task where need be; only
///   the shutdown of the runtime, and for `stop` its deadline, drop one halfway. That of `stop` is driven by the
///   runtime of the bus and by those on which `stop` of the bus was called, and goes on while one of them does.
/// - **Panics.** A panic in `publish` counts as an unknown outcome; the bus goes on.
///
/// Durable consumption, where an engine can do it, is a trait of its own: [`DurableAdapter`].
///
/// See `examples/custom_adapter.rs` for an adapter on a file.
pub trait Adapter: Any + Send + Sync {
    /// The engine and place, for messages: such as `redis at 127.0.0.1:6379`. No credentials.
    fn name(&self) -> String;

    /// Whether [`history`](Self::history) reads what `publish` kept. If not, the bus shows its own
    /// bounded in-memory history, and never calls `history`.
    fn keeps_history(&self) -> bool;

    /// Keeps the records and passes them to the other instances. Handlers of the emitting bus run
    /// when it returns `Ok`, and none run when it returns an error.
    ///
    /// `codec` is the only encoder that gives an adapter the secrets of an event: use no other.
    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>>;

    /// The newest `query.limit()` records that `query.accepts(..)`, oldest first. Works after
    /// `stop`, too. Of a record that can't be read, the error stands in its place: it hides no other one.
    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>>;

    /// Reads the log forwards, from a position. [`LogQuery::page`] begins the answer, the adapter adds the records of
    /// the positions that are [wanted](LogPage::wanted) and whose names the query [takes](LogQuery::takes), until the
    /// page is full. Positions follow the order of the history. Never called where
    /// [`keeps_history`](Self::keeps_history) is false. Works after `stop`, too.
    ///
    /// Browsers resume by it. Unless implemented, it is refused, and so are bridges to browsers.
    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        let _ = (query, codec);
        Box::pin(async { Err(AdapterError::refused("it does not implement `Adapter::read_log`")) })
    }

    /// Starts to pass on what other instances publish, and returns once nothing published from then
    /// on is missed; [`Receiver::codec`] reads it. An adapter that joins nothing drops the receiver and returns
    /// `Ok`.
    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>>;

    /// Ends what `subscribe` started and makes what was published safe. No `publish` follows; one is
    /// under way only where `stop` of the bus has reached its deadline.
    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>>;

    /// Durable consumption; `None` where the engine has none, and then `build()` refuses durable handlers.
    fn durable(&self) -> Option<&dyn DurableAdapter> {
        None
    }
}

/// What a [`publish`](Adapter::publish) did: unless said otherwise, every record was new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    duplicates: Vec<usize>,
}

impl Published {
    /// Says that a record, by its place among those of the call, was kept before, and was not kept again: no live
    /// handler is called for it.
    #[must_use]
    pub fn with_duplicate(mut self, index: usize) -> Self {
        self.duplicates.push(index);
        self
    }

    pub(crate) fn is_duplicate(&self, index: usize) -> bool {
        self.duplicates.contains(&index)
    }
}

/// Why an adapter could not do what the bus asked.
#[derive(Clone, Debug)]
pub struct AdapterError {
    message: String,
    temporary: bool,
    unknown: bool,
    too_large: bool,
}

impl AdapterError {
    /// It was not done, and trying again would not help: name what stands in the way.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self { message: crate::text::of_error(&message), temporary: false, unknown: false, too_large: false }
    }

    /// It was not done, but may work later: the engine is away or busy.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self { temporary: true, ..Self::refused(message) }
    }

    /// It may or may not have been done: the answer never came.
    pub fn unknown(message: impl fmt::Display) -> Self {
        Self { temporary: true, unknown: true, ..Self::refused(message) }
    }

    /// Whether it may work later: the engine is away or busy, or the answer never came.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.unknown
    }
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::escaped(&self.message))
    }
}

impl std::error::Error for AdapterError {}

/// An I/O error is a refusal: the bus does not know which are temporary.
impl From<std::io::Error> for AdapterError {
    fn from(error: std::io::Error) -> Self {
        Self::refused(error)
    }
}

/// A record that can't be written or read.
impl From<crate::error::Error> for AdapterError {
    fn from(error: crate::error::Error) -> Self {
        Self { too_large: error.kind() == crate::error::ErrorKind::TooLarge, ..Self::refused(error) }
    }
}
