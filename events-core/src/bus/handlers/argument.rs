//! The first argument of a handler.

use std::sync::Arc;

use crate::bus::inner::call::Call;
use crate::bus::inner::call::RequiredParts;
use crate::bus::inner::outcome::HandlerError;
use crate::error::Error;
use crate::event::Event;
use crate::event::accepted::AcceptedEvents;
use crate::record::Record;

/// Type of the first argument of a handler: `&E`, `Arc<E>` or `E` of an event, an [event
/// set](trait@crate::EventSet), or `&Record`.
///
/// An `E` by value is a clone. `&E` and `Arc<E>` share the event with the other handlers.
#[diagnostic::on_unimplemented(
    message = "a handler can't take `{Self}` as its first argument",
    label = "expected an event in its current version, a view of one, or `&Record`",
    note = "take `&E`, `Arc<E>` or `E`, where `E` is a type with `#[event(\"...\")]`; for several events an enum with `#[derive(EventSet)]`, for any event `&Record`",
    note = "if this is state, put it after the event, as a reference",
    note = "instead of a `superseded` version, take the current one: older records are converted to it"
)]
pub trait Argument<'a>: Sized {
    #[doc(hidden)]
    const ACCEPTS: AcceptedEvents;
    #[doc(hidden)]
    const REQUIRES: RequiredParts;
    /// True if the handler takes the event as an `Arc`.
    #[doc(hidden)]
    const TAKES_ARC: bool = false;

    #[doc(hidden)]
    fn receive(call: &Call<'a>) -> Result<Self, HandlerError>;

    #[doc(hidden)]
    fn of_record(record: &'a Record) -> Result<Self, Error>;
}

impl<'a, E: Event> Argument<'a> for &'a E {
    const ACCEPTS: AcceptedEvents = AcceptedEvents::event::<E>();
    const REQUIRES: RequiredParts = RequiredParts::Event;

    fn receive(call: &Call<'a>) -> Result<Self, HandlerError> {
        call.event()
    }

    fn of_record(record: &'a Record) -> Result<Self, Error> {
        record.decoded()
    }
}

#[diagnostic::do_not_recommend]
impl<'a, E: Event> Argument<'a> for Arc<E> {
    const ACCEPTS: AcceptedEvents = AcceptedEvents::event::<E>();
    const REQUIRES: RequiredParts = RequiredParts::Record;
    const TAKES_ARC: bool = true;

    fn receive(call: &Call<'a>) -> Result<Self, HandlerError> {
        call.record()?.decode().map_err(|error| HandlerError::new(&error))
    }

    fn of_record(record: &'a Record) -> Result<Self, Error> {
        record.decode()
    }
}

#[diagnostic::do_not_recommend]
impl<'a> Argument<'a> for &'a Record {
    const ACCEPTS: AcceptedEvents = AcceptedEvents::Any;
    const REQUIRES: RequiredParts = RequiredParts::Record;

    fn receive(call: &Call<'a>) -> Result<Self, HandlerError> {
        call.record()
    }

    fn of_record(record: &'a Record) -> Result<Self, Error> {
        Ok(record)
    }
}
