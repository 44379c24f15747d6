//! What a handler is called with.

use std::fmt;

use super::HandlerError;
use crate::bus::{Bus, Entry};
use crate::event::{Event, EventDecl, Payload};
use crate::lent::Lent;
use crate::metadata::Metadata;
use crate::record::Record;

/// One call of a handler, borrowed from the emit.
pub struct Call<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) name: &'a str,
    /// The event; `None` for JSON of an undeclared name.
    pub(crate) event: Option<Lent<'a>>,
    /// The record, where the handler [wants](super::Wants) it.
    pub(crate) record: Option<&'a Record>,
    /// The handler that is called.
    pub(crate) entry: &'a Entry,
    pub(crate) position: LogPosition,
    pub(crate) delivery: Option<&'a Delivery>,
}

#[cold]
fn other_type(name: &str) -> HandlerError {
    HandlerError::new(&format_args!("two types claim `{name}`, and the event is not of this handler's type"))
}

/// Where the record stands in this bus's own log, if it is kept at all.
pub(crate) type LogPosition = Option<u64>;

impl<'a> Call<'a> {
    #[inline]
    pub(crate) fn event<E: Event>(&self) -> Result<&'a E, HandlerError> {
        match self.event.and_then(|event| event.get()) {
            Some(event) => Ok(event),
            None => self.stored_event(E::decl())?.get().ok_or_else(|| other_type(E::NAME)),
        }
    }

    /// The event of a record that came as JSON: it is decoded by the first handler that wants it.
    #[cold]
    fn stored_event(&self, decl: &'static EventDecl) -> Result<&'a dyn Payload, HandlerError> {
        match (self.event, self.record) {
            (Some(_), _) => Err(other_type(decl.name)),
            (None, Some(record)) => match record.payload(decl) {
                Ok(event) => Ok(event.as_ref()),
                Err(error) => Err(HandlerError::new(&error)),
            },
            (None, None) => Err(HandlerError::new(&"the handler was called without an event")),
        }
    }

    pub(crate) fn record(&self) -> Result<&'a Record, HandlerError> {
        self.record.ok_or_else(|| HandlerError::new(&"the handler was called without a record"))
    }

    /// What the call borrows, to keep: an async handler outlives the first poll of its emit.
    ///
    /// # Errors
    ///
    /// A handler that did not ask for a record ([`Wants::Record`]) has none to keep.
    #[doc(hidden)]
    pub fn to_delivery(&self) -> Result<Delivery, HandlerError> {
        Ok(Delivery {
            bus: self.bus.clone(),
            record: self.record()?.clone(),
            entry: self.entry.clone(),
            position: self.position,
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
    entry: Entry,
    position: LogPosition,
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
        self.entry.name()
    }

    /// The pattern under which the handler gets this event.
    pub fn pattern(&self) -> &str {
        &self.entry.pattern
    }

    #[doc(hidden)]
    pub fn call(&self) -> Call<'_> {
        Call {
            bus: &self.bus,
            name: self.record.name(),
            event: self.record.event().map(Lent::new),
            record: Some(&self.record),
            entry: &self.entry,
            position: self.position,
            delivery: Some(self),
        }
    }
}
