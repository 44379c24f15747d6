//! The contract between the bus and engines: the traits that adapters implement.

#[cfg(feature = "durable")]
pub(crate) mod consumer;
#[cfg(feature = "durable")]
pub(crate) mod durable;
#[cfg(feature = "durable")]
pub(crate) mod kit;
pub(crate) mod log;
#[cfg(feature = "in-memory")]
pub(crate) mod memory;
#[cfg(feature = "durable")]
pub(crate) mod options;
pub(crate) mod query;
pub(crate) mod receiver;
pub(crate) mod retention;

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use crate::adapter::log::LogPage;
use crate::adapter::log::LogQuery;
use crate::adapter::query::HistoryQuery;
use crate::adapter::receiver::Receiver;
use crate::error::Error;
use crate::record::Record;
use crate::record::codec::RecordCodec;

/// A boxed future, as returned by the methods of an [`Adapter`].
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Connects buses, stores events, or both.
///
/// A bus calls [`subscribe`](Self::subscribe) once, in `build()`, before any other method, and
/// [`stop`](Self::stop) at most once. All methods may be called concurrently.
///
/// - **Order.** `publish` adds the records of one call to the history in the given order, without other
///   records between them. Records of concurrent calls may be added in either order. The adapter should read
///   [`Record::timestamp`] under the lock with which it assigns the position of a record, so that timestamps
///   never decrease in the order of the history.
/// - **Atomicity.** `publish` stores all records of a call or none. If it stores none, it returns
///   [`AdapterError::refused`] or [`AdapterError::unavailable`]; if it can't know, for example after a
///   timeout, [`AdapterError::unknown`].
/// - **Duplicates.** A record whose id is already stored is not stored again, if the engine can detect it. It
///   is reported by [`Published::with_duplicate`], with the stored record.
/// - **Delivery.** Records that other instances publish are passed to the [`Receiver`], in the order of the
///   history if there is one. The records of a bus may be passed back to it; the bus drops them, because they
///   carry its own instance id as their origin.
/// - **Cancellation.** The bus polls every future to completion, in a task if needed. A future is dropped
///   early only if the runtime shuts down or, for `stop`, if its deadline passes. The future of `stop` is
///   polled by the runtime of the bus and by every runtime on which `stop` of the bus was called, and makes
///   progress while at least one of them runs.
/// - **Panics.** A panic in `publish` counts as an unknown outcome. The bus continues to work.
///
/// Durable consumption is a separate trait, for engines that support it:
/// [`DurableAdapter`](crate::DurableAdapter).
///
/// `examples/custom_adapter.rs` is an adapter that stores events in a file, `examples/durable_adapter.rs` one
/// with durable consumers, in memory.
pub trait Adapter: Any + Send + Sync {
    /// Name of the engine and its address, for messages, such as `redis at 127.0.0.1:6379`. It must not
    /// contain credentials.
    fn name(&self) -> String;

    /// Whether [`history`](Self::history) returns the records that `publish` has stored. If not, the bus uses
    /// its own bounded in-memory history and never calls `history`.
    fn keeps_history(&self) -> bool;

    /// Stores the records and passes them to the other instances. The handlers of the emitting bus run after
    /// it returns `Ok`; if it returns an error, no handler runs.
    ///
    /// `codec` is the only encoder that gives an adapter the secrets of an event. Records must be encoded
    /// with it.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] that tells whether the records were stored: see *Atomicity* above.
    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>>;

    /// Returns the newest `query.limit()` records that the query [accepts](HistoryQuery::accepts), oldest
    /// first. A record that can't be decoded is returned as an error in its position, and does not affect
    /// other records. Must also work after `stop`.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the history can't be read.
    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>>;

    /// Reads the log forwards from a position.
    ///
    /// [`LogQuery::page`] creates the page. The adapter adds the records at the [wanted](LogPage::wanted)
    /// positions whose names the query [takes](LogQuery::takes), until the page is full. Positions follow the
    /// order of the history. Never called if [`keeps_history`](Self::keeps_history) is false. Must also work
    /// after `stop`.
    ///
    /// Bridges to browsers use this to resume connections. The default implementation returns an error, so
    /// that such bridges can't be built on the adapter.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        let _ = (query, codec);
        Box::pin(async { Err(AdapterError::refused("it does not implement `Adapter::read_log`")) })
    }

    /// Starts to pass records of other instances to `receiver`, and returns when every record published from
    /// then on will be passed. [`Receiver::codec`] decodes the records. An adapter that does not connect
    /// buses drops the receiver and returns `Ok`.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the adapter can't receive records. `build()` then fails.
    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>>;

    /// Ends the subscription, and makes published records durable. No call of `publish` follows. A call of
    /// `publish` may still be running if `stop` of the bus has reached its deadline.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if published records may be lost. `stop` of the bus then returns it.
    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>>;

    /// Returns the durable side of the adapter. `None` if the engine does not support durable consumption;
    /// `build()` then refuses durable handlers.
    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn crate::adapter::durable::DurableAdapter> {
        None
    }
}

/// Result of [`publish`](Adapter::publish). By default, every record was new.
#[derive(Clone, Debug, Default)]
pub struct Published {
    duplicates: Vec<Duplicate>,
}

#[derive(Clone, Debug)]
struct Duplicate {
    index: usize,
    stored: Option<Record>,
}

impl Published {
    /// Marks a record, by its index among the records of the call, as already stored. The record was not
    /// stored again, and no live handler is called for it.
    ///
    /// `stored` is the record that the log has under this id. If it is another event, the emit returns
    /// [`ErrorKind::IdConflict`](crate::ErrorKind::IdConflict). With `None`, if the adapter can't read it, the
    /// emit counts as a repetition.
    #[must_use]
    pub fn with_duplicate(mut self, index: usize, stored: Option<Record>) -> Self {
        self.duplicates.push(Duplicate { index, stored });
        self
    }

    /// Whether a record was already stored.
    pub(crate) fn is_duplicate(&self, index: usize) -> bool {
        self.duplicates.iter().any(|duplicate| duplicate.index == index)
    }

    /// Checks that the records that were already stored are the same events.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::IdConflict`](crate::ErrorKind::IdConflict) if another event is stored under an id.
    pub(crate) fn check_duplicates(&self, records: &[Record]) -> Result<(), Error> {
        for Duplicate { index, stored } in &self.duplicates {
            if let (Some(record), Some(stored)) = (records.get(*index), stored) {
                record.check_repeats(stored)?;
            }
        }
        Ok(())
    }
}

/// Error of an adapter.
#[derive(Clone, Debug)]
pub struct AdapterError {
    message: String,
    /// Name and version of the event that could not be read, if they are known.
    #[cfg_attr(not(feature = "durable"), expect(dead_code, reason = "durable handlers read it"))]
    event: Option<std::sync::Arc<(String, u32)>>,
    temporary: bool,
    unknown: bool,
    too_large: bool,
}

impl AdapterError {
    /// Creates the error of an operation that was not applied and would fail again. `message` names the cause.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self {
            message: crate::text::of_error(&message),
            temporary: false,
            unknown: false,
            too_large: false,
            event: None,
        }
    }

    /// Adds the name and version of the stored record that can't be decoded, for engines that keep them beside it. Then
    /// only the consumers that take the event get it as a dead letter.
    #[must_use]
    pub fn of_event(self, name: &str, version: u32) -> Self {
        Self { event: Some(std::sync::Arc::new((name.to_owned(), version))), ..self }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn event(&self) -> Option<(&str, u32)> {
        self.event.as_deref().map(|(name, version)| (name.as_str(), *version))
    }

    /// Creates the error of an operation that was not applied, but may succeed later: the engine is unreachable
    /// or busy.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self { temporary: true, ..Self::refused(message) }
    }

    /// Creates the error of an operation that may or may not have been applied: no reply was received.
    pub fn unknown(message: impl fmt::Display) -> Self {
        Self { temporary: true, unknown: true, ..Self::refused(message) }
    }

    /// Whether the operation may succeed later: the engine is unreachable or busy, or no reply was received.
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

/// Converts an I/O error to [`AdapterError::refused`], because the bus can't tell which I/O errors are
/// temporary.
impl From<std::io::Error> for AdapterError {
    fn from(error: std::io::Error) -> Self {
        Self::refused(error)
    }
}

/// Converts the error of a record that can't be encoded or decoded.
impl From<crate::error::Error> for AdapterError {
    fn from(error: crate::error::Error) -> Self {
        Self { too_large: error.kind() == crate::error::ErrorKind::TooLarge, ..Self::refused(error) }
    }
}
