//! What a handler is called with.

use std::fmt;
use std::sync::Arc;

use super::HandlerError;
use crate::bus::{Bus, Registration};
use crate::event::{Event, Payload};
use crate::metadata::Metadata;
use crate::record::Record;

/// One call of a handler, borrowed from the emit.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub(crate) bus: &'a Bus,
    /// The event; `None` for JSON of an undeclared name.
    pub(crate) event: Option<&'a dyn Payload>,
    /// The record, where the handler [wants](super::Wants) it.
    pub(crate) record: Option<&'a Record>,
    pub(crate) registration: &'a Arc<Registration>,
    pub(crate) pattern: &'a Arc<str>,
    pub(crate) position: LogPosition,
    pub(crate) delivery: Option<&'a Delivery>,
}

/// Where the record stands in this bus's own log, if it is kept at all.
pub(crate) type LogPosition = Option<u64>;

impl<'a> Call<'a> {
    pub(crate) fn event<E: Event>(self) -> Result<&'a E, HandlerError> {
        let event = match (self.event, self.record) {
            // JSON from a history is decoded by the first handler that wants the event.
            (None, Some(record)) => record
                .payload(E::decl())
                .map(|event| event.as_ref())
                .map_err(|error| HandlerError::new(&error))?,
            (Some(event), _) => event,
            (None, None) => return Err(HandlerError::new(&"the handler was called without an event")),
        };
        event.get().ok_or_else(|| {
            let name = E::NAME;
            HandlerError::new(&format_args!(
                "two types claim `{name}`, and the event is not of this handler's type"
            ))
        })
    }

    pub(crate) fn record(self) -> Result<&'a Record, HandlerError> {
        self.record.ok_or_else(|| HandlerError::new(&"the handler was called without a record"))
    }

    /// What the call borrows, to keep: an async handler outlives the first poll of its emit.
    ///
    /// # Errors
    ///
    /// A handler that did not ask for a record ([`Wants::Record`]) has none to keep.
    #[doc(hidden)]
    pub fn to_delivery(self) -> Result<Delivery, HandlerError> {
        Ok(Delivery {
            bus: self.bus.clone(),
            record: self.record()?.clone(),
            registration: Arc::clone(self.registration),
            pattern: Arc::clone(self.pattern),
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
    registration: Arc<Registration>,
    pattern: Arc<str>,
    position: LogPosition,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({} to {} for {})", self.record, self.handler(), self.pattern)
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
        self.registration.name()
    }

    /// The pattern under which the handler gets this event.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    #[doc(hidden)]
    pub fn call(&self) -> Call<'_> {
        Call {
            bus: &self.bus,
            event: self.record.event(),
            record: Some(&self.record),
            registration: &self.registration,
            pattern: &self.pattern,
            position: self.position,
            delivery: Some(self),
        }
    }
}
