//! What a handler is called with.

use std::fmt;
use std::sync::Arc;

use crate::adapter::durable::Transaction;
use crate::bus::inner::Bus;
use crate::bus::inner::outcome::{HandlerError, Pending};
use crate::bus::inner::routes::Route;
use crate::error::Error;
use crate::event::erased::ErasedEvent;
use crate::event::takes::Takes;
use crate::event::{Event, EventDecl, Payload};
use crate::record::Record;
use crate::record::metadata::Metadata;

/// One call of a handler, borrowed from the emit.
pub struct Call<'a> {
    pub(crate) bus: &'a Bus,
    /// The event, where it is at hand: not for JSON that nobody has decoded.
    pub(crate) event: ErasedEvent<'a>,
    pub(crate) source: Source<'a>,
    /// The handler that is called.
    pub(crate) route: &'a Route,
    pub(crate) delivery: Option<&'a Delivery>,
}

/// Where the event of a call is from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Straight from the emitter: no handler [wants](Wants) a record.
    Bare(&'static EventDecl),
    Stored(&'a Record, LogPosition),
}

impl<'a> Source<'a> {
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Bare(decl) => decl.name,
            Self::Stored(record, _) => record.name(),
        }
    }

    /// The record, where there is one.
    pub(crate) fn record(self) -> Option<&'a Record> {
        match self {
            Self::Bare(_) => None,
            Self::Stored(record, _) => Some(record),
        }
    }

    /// Where the record stands in the bus's own log.
    pub(crate) fn position(self) -> LogPosition {
        match self {
            Self::Bare(_) => None,
            Self::Stored(_, position) => position,
        }
    }
}

#[cold]
fn other_type(name: &str) -> HandlerError {
    HandlerError::new(&format_args!("two types claim `{name}`, and the event is not of this handler's type"))
}

/// Where the record stands in this bus's own log, if it is kept at all.
pub(crate) type LogPosition = Option<u64>;

impl<'a> Call<'a> {
    /// A call for a record.
    #[inline]
    pub(crate) fn of_record(
        bus: &'a Bus,
        record: &'a Record,
        route: &'a Route,
        position: LogPosition,
    ) -> Self {
        let event = record.event().map_or_else(ErasedEvent::none, ErasedEvent::new);
        Self { bus, event, source: Source::Stored(record, position), route, delivery: None }
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

    /// The event of a record that came as JSON: it is decoded by the first handler that wants it.
    #[cold]
    fn stored_event(&self, decl: &'static EventDecl) -> Result<&'a dyn Payload, HandlerError> {
        match self.source.record() {
            Some(record) if self.event.is_none() => match record.payload(decl) {
                Ok(event) => Ok(event),
                Err(error) => Err(HandlerError::new(&error)),
            },
            _ => Err(other_type(decl.name)),
        }
    }

    pub(crate) fn record(&self) -> Result<&'a Record, HandlerError> {
        self.source.record().ok_or_else(|| HandlerError::new(&"the handler was called without a record"))
    }

    /// What the call borrows, to keep: an async handler outlives the first poll of its emit.
    ///
    /// # Errors
    ///
    /// A handler that did not ask for a record ([`Wants::Record`]) has none to keep.
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
            position: self.source.position(),
            attempt,
        })
    }
}

/// How one event came to one handler: what `&Delivery` in a handler's arguments gives.
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

/// Which attempt a call is, and of which durable consumer.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) consumer: Option<Arc<str>>,
}

impl Default for Attempt {
    /// That of a live handler.
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
    /// The event with everything known about it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The event's metadata.
    pub fn metadata(&self) -> &Metadata {
        self.record.metadata()
    }

    /// The bus that delivers.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The handler that is called: its module path, or where it was registered.
    pub fn handler(&self) -> &str {
        self.route.name()
    }

    /// The pattern under which the handler gets this event.
    pub fn pattern(&self) -> &str {
        self.route.pattern()
    }

    /// How often the event was given to this durable handler, this time included: 1 for the first time, and
    /// for every call of a live handler. A call that may have happened before a crash counts.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// The name of the durable handler; `None` in a live one.
    pub fn consumer(&self) -> Option<&str> {
        self.attempt.consumer.as_deref()
    }

    /// Notes in a transaction of your own that this handler has handled this event; false where that was
    /// noted before, and so the handler's work is done already. What the handler writes in the same transaction
    /// then happens once, however often the event is delivered.
    ///
    /// A live handler is known by its place in the code, a durable one by its name. Notes are kept for 7 days unless
    /// the adapter is set otherwise. An event that an operator sends again was noted before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Consumer`](crate::ErrorKind::Consumer) where the transaction is not one of the adapter's
    /// engine, or the database fails.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, roll the transaction back.
    pub async fn first_time<K, T: Transaction<K> + ?Sized>(&self, tx: &mut T) -> Result<bool, Error> {
        let name = self.consumer().unwrap_or_else(|| self.handler());
        self.bus.first_time(tx, name, self.record.id()).await
    }

    #[doc(hidden)]
    pub fn call(&self) -> Call<'_> {
        let call = Call::of_record(&self.bus, &self.record, &self.route, self.position);
        Call { delivery: Some(self), ..call }
    }
}

/// What a handler needs to exist before it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// The event alone.
    Event,
    /// A record of it.
    Record,
    /// A record, and a [`Delivery`] to lend.
    Delivery,
}

/// Calls a handler.
pub(crate) type Run = dyn Fn(&Call<'_>) -> Pending + Send + Sync;

/// A handler, ready to be called: its state is bound.
pub struct Callback {
    pub(crate) wants: Wants,
    /// Whether it shares the event.
    pub(crate) shares: bool,
    /// Of the events its patterns take, those it is called for.
    pub(crate) takes: Takes,
    /// Whether it returns a future.
    pub(crate) waits: bool,
    pub(crate) run: Arc<Run>,
}
