//! The arguments of a handler call, and the type-erased handler itself.

use std::fmt;
use std::sync::Arc;

use crate::bus::inner::Bus;
use crate::bus::inner::outcome::{CallResult, HandlerError};
use crate::bus::inner::routes::Route;
use crate::event::accepted::AcceptedEvents;
use crate::event::erased::ErasedEvent;
use crate::event::{Event, EventDecl, Payload};
use crate::record::Record;
use crate::record::metadata::Metadata;

/// One call of a handler. Borrows its parts from the emit.
pub struct Call<'a> {
    pub(crate) bus: &'a Bus,
    /// The event, if it exists in memory. Empty for a record that arrived as JSON and has not been decoded.
    pub(crate) event: ErasedEvent<'a>,
    pub(crate) handled_event: HandledEvent<'a>,
    /// The handler that is called, under the pattern that matched.
    pub(crate) route: &'a Route,
    pub(crate) delivery: Option<&'a Delivery>,
}

/// The event of a call, with or without a record.
#[derive(Clone, Copy)]
pub(crate) enum HandledEvent<'a> {
    /// An event without a record, because no handler [requires](RequiredParts) one.
    WithoutRecord(&'static EventDecl),
    WithRecord(&'a Record, LogPosition),
}

impl<'a> HandledEvent<'a> {
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::WithoutRecord(decl) => decl.name,
            Self::WithRecord(record, _) => record.name(),
        }
    }

    /// Returns the record, if the event has one.
    pub(crate) fn record(self) -> Option<&'a Record> {
        match self {
            Self::WithoutRecord(_) => None,
            Self::WithRecord(record, _) => Some(record),
        }
    }

    /// Returns the position of the record in the log of this bus.
    pub(crate) fn position(self) -> LogPosition {
        match self {
            Self::WithoutRecord(_) => None,
            Self::WithRecord(_, position) => position,
        }
    }
}

#[cold]
fn other_type(name: &str) -> HandlerError {
    HandlerError::new(&format_args!("two types claim `{name}`, and the event is not of this handler's type"))
}

/// Position of a record in the log of this bus; `None` if the log does not keep it.
pub(crate) type LogPosition = Option<u64>;

impl<'a> Call<'a> {
    /// Creates a call for a record.
    #[inline]
    pub(crate) fn of_record(
        bus: &'a Bus,
        record: &'a Record,
        route: &'a Route,
        position: LogPosition,
    ) -> Self {
        let event = record.event().map_or_else(ErasedEvent::none, ErasedEvent::new);
        Self { bus, event, handled_event: HandledEvent::WithRecord(record, position), route, delivery: None }
    }

    #[inline]
    pub(crate) fn event<E: Event>(&self) -> Result<&'a E, HandlerError> {
        if let Some(event) = self.event.get() {
            return Ok(event);
        }
        match self.stored_event(E::decl()) {
            Ok(event) => match event.get() {
                Some(event) => Ok(event),
                None => Err(other_type(E::NAME)),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the event of a record that arrived as JSON. The first handler that needs the event decodes it.
    #[cold]
    fn stored_event(&self, decl: &'static EventDecl) -> Result<&'a dyn Payload, HandlerError> {
        match self.handled_event.record() {
            Some(record) if self.event.is_none() => match record.payload(decl) {
                Ok(event) => Ok(event),
                Err(error) => Err(HandlerError::new(&error)),
            },
            _ => Err(other_type(decl.name)),
        }
    }

    pub(crate) fn record(&self) -> Result<&'a Record, HandlerError> {
        self.handled_event
            .record()
            .ok_or_else(|| HandlerError::new(&"the handler was called without a record"))
    }

    /// Copies the borrowed parts into an owned [`Delivery`], because an async handler can outlive the first
    /// poll of its emit.
    ///
    /// # Errors
    ///
    /// An error if the call has no record, because the handler did not ask for one ([`RequiredParts::Record`]).
    #[doc(hidden)]
    pub fn to_delivery(&self) -> Result<Delivery, HandlerError> {
        let attempt = self.delivery.map(|delivery| delivery.attempt.clone()).unwrap_or_default();
        self.to_delivery_of(attempt)
    }

    pub(crate) fn to_delivery_of(&self, attempt: Attempt) -> Result<Delivery, HandlerError> {
        Ok(Delivery {
            bus: self.bus.clone(),
            record: self.record()?.clone(),
            route: self.route.clone(),
            position: self.handled_event.position(),
            attempt,
        })
    }
}

/// The delivery of one event to one handler. A handler receives it as an argument of type `&Delivery`.
///
/// ```
/// use typed_events::{Delivery, event, on};
///
/// #[event("delivery_doc.sent")]
/// pub struct Sent;
///
/// #[on]
/// fn log(_: &Sent, delivery: &Delivery) {
///     println!("{} by {} for {}", delivery.record(), delivery.handler(), delivery.pattern());
/// }
/// ```
pub struct Delivery {
    bus: Bus,
    record: Record,
    route: Route,
    position: LogPosition,
    attempt: Attempt,
}

/// Number of the attempt, and the name of the consumer if the handler is durable.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) consumer: Option<Arc<str>>,
}

impl Default for Attempt {
    /// Returns the attempt of a live handler: the first and only one, without a consumer.
    fn default() -> Self {
        Self { number: 1, consumer: None }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({} to {} for {})", self.record, self.handler(), self.pattern())
    }
}

impl Delivery {
    /// Returns the record of the event, with its id, timestamp and metadata.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the metadata of the event.
    pub fn metadata(&self) -> &Metadata {
        self.record.metadata()
    }

    /// Returns the bus that delivers the event.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Returns the name of the handler: the module path of the function, or the location at which the closure
    /// was registered.
    pub fn handler(&self) -> &str {
        self.route.name()
    }

    /// Returns the pattern of the handler that matched this event.
    pub fn pattern(&self) -> &str {
        self.route.pattern()
    }

    /// Returns the number of this attempt. It is 1 for the first attempt, and for every call of a live
    /// handler. An attempt that was interrupted by a crash counts, even if the handler may not have been
    /// called.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// Returns the name of the consumer if the handler is durable, and `None` if it is live.
    pub fn consumer(&self) -> Option<&str> {
        self.attempt.consumer.as_deref()
    }

    /// Records in the user's transaction that this handler has handled this event. Returns false if that was
    /// recorded before: the work of the handler is then already done. Use it to make a handler idempotent:
    /// what the handler writes in the same transaction is written once, however often the event is delivered.
    ///
    /// A live handler is identified by its module path or location, a durable handler by the name of its
    /// consumer. The adapter keeps these entries for 7 days unless configured otherwise. An operator's
    /// [`seek`](crate::ConsumerHandle::seek) removes the entries of the events that it delivers again, so that
    /// what the handler wrote can be rebuilt; [`remove`](crate::ConsumerHandle::remove) removes all entries of
    /// the consumer. [`replay`](crate::ConsumerHandle::replay) of dead letters keeps them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`](crate::ErrorKind::Consumer) if the bus has no adapter, the transaction does
    /// not belong to the adapter's engine, or the database fails.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped, roll the transaction back.
    #[cfg(feature = "durable")]
    pub async fn first_time<K, T>(&self, tx: &mut T) -> Result<bool, crate::error::Error>
    where
        T: crate::adapter::durable::Transaction<K> + ?Sized,
    {
        let name = self.consumer().unwrap_or_else(|| self.handler());
        self.bus.first_time(tx, name, self.record.id()).await
    }

    #[doc(hidden)]
    pub fn call(&self) -> Call<'_> {
        let call = Call::of_record(&self.bus, &self.record, &self.route, self.position);
        Call { delivery: Some(self), ..call }
    }
}

/// Parts that must exist before a handler can be called. Each variant includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequiredParts {
    /// Only the event.
    Event,
    /// A record of the event.
    Record,
    /// A record, and a [`Delivery`] that the handler borrows.
    Delivery,
}

/// Type-erased function that calls a handler.
pub(crate) type HandlerFn = dyn Fn(&Call<'_>) -> CallResult + Send + Sync;

/// A handler that is ready to be called: its state is bound.
pub struct Callback {
    pub(crate) requires: RequiredParts,
    /// True if the handler takes the event as an `Arc`, and so the event must be shared.
    pub(crate) takes_arc: bool,
    /// The events, among those that match its patterns, for which the handler is called.
    pub(crate) accepts: AcceptedEvents,
    /// True if the handler returns a future.
    pub(crate) is_async: bool,
    pub(crate) function: Arc<HandlerFn>,
}
