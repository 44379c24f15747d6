//! The first argument of a handler.

use std::sync::Arc;

use super::{Call, HandlerError, Wants};
use crate::event::{Event, EventDecl};
use crate::record::Record;

/// What a handler may take first: `&E`, `Arc<E>` or `E` of an event, or `&Record`.
///
/// An `E` by value is a clone; `&E` and `Arc<E>` share the event with the other handlers.
#[diagnostic::on_unimplemented(
    message = "a handler can't take `{Self}` as its first argument",
    label = "not an event and not `&Record`",
    note = "take `&E`, `Arc<E>` or `E` where `E` is a type with `#[event(\"...\")]`, or `&Record` to see any event",
    note = "if this is state, put it after the event, as a reference"
)]
pub trait Argument<'a>: Sized {
    #[doc(hidden)]
    const EVENT: Option<fn() -> &'static EventDecl>;
    #[doc(hidden)]
    const NAME: Option<&'static str>;
    #[doc(hidden)]
    const WANTS: Wants;

    #[doc(hidden)]
    fn receive(call: Call<'a>) -> Result<Self, HandlerError>;
}

impl<'a, E: Event> Argument<'a> for &'a E {
    const EVENT: Option<fn() -> &'static EventDecl> = Some(E::decl);
    const NAME: Option<&'static str> = Some(E::NAME);
    const WANTS: Wants = Wants::Event;

    fn receive(call: Call<'a>) -> Result<Self, HandlerError> {
        call.event()
    }
}

impl<'a, E: Event> Argument<'a> for Arc<E> {
    const EVENT: Option<fn() -> &'static EventDecl> = Some(E::decl);
    const NAME: Option<&'static str> = Some(E::NAME);
    const WANTS: Wants = Wants::Record;

    fn receive(call: Call<'a>) -> Result<Self, HandlerError> {
        call.record()?.decode().map_err(|error| HandlerError::new(&error))
    }
}

#[diagnostic::do_not_recommend]
impl<'a> Argument<'a> for &'a Record {
    const EVENT: Option<fn() -> &'static EventDecl> = None;
    const NAME: Option<&'static str> = None;
    const WANTS: Wants = Wants::Record;

    fn receive(call: Call<'a>) -> Result<Self, HandlerError> {
        call.record()
    }
}
