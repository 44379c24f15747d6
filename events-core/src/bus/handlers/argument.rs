//! The first argument of a handler.
use std::sync::Arc;

use crate::bus::handlers::Wants;
use crate::bus::inner::call::Call;
use crate::bus::inner::outcome::HandlerError;
use crate::error::Error;
use crate::event::{Event, EventDecl};
use crate::record::Record;
use crate::record::view::View;
use crate::schema::TypeSchema;

/// What a handler may take first: `&E`, `Arc<E>` or `E` of an event, an [event set](trait@crate::EventSet),
/// or `&Record`.
///
/// An `E` by value is a clone; `&E` and `Arc<E>` share the event with the other handlers.
#[diagnostic::on_unimplemented(
    message = "a handler can't take `{Self}` as its first argument",
    label = "expected an event, a view of one, or `&Record`",
    note = "take `&E`, `Arc<E>` or `E`, where `E` is a type with `#[event(\"...\")]`; for several events an enum with `#[derive(EventSet)]`, for any event `&Record`",
    note = "if this is state, put it behind the event, as a reference"
)]
pub trait Argument<'a>: Sized {
    #[doc(hidden)]
    const TAKES: Takes;
    #[doc(hidden)]
    const WANTS: Wants;
    /// Whether the event is shared with the handler.
    #[doc(hidden)]
    const SHARES: bool = false;

    #[doc(hidden)]
    fn receive(call: &Call<'a>) -> Result<Self, HandlerError>;

    #[doc(hidden)]
    fn of_record(record: &'a Record) -> Result<Self, Error>;
}

/// Which events an argument stands for.
#[derive(Clone, Copy)]
pub enum Takes {
    /// Any.
    Any,
    /// Those of one name, with what is read of them.
    Event(&'static str, &'static TypeSchema, fn() -> &'static EventDecl),
    /// Those of one name, whose declaration is not part of the program, in this version.
    Foreign(&'static str, &'static TypeSchema, u32),
    /// Those that one of these takes.
    Set(&'static [Self]),
}

impl Takes {
    /// An event type.
    pub const fn event<E: Event>() -> Self {
        Self::Event(E::NAME, E::SCHEMA, E::decl)
    }

    /// The event of a view.
    pub const fn view<V: View>() -> Self {
        match V::OF {
            Some(decl) => Self::Event(V::NAME, V::TYPE, decl),
            None => Self::Foreign(V::NAME, V::TYPE, V::VERSION),
        }
    }

    /// The name of the one event.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Event(name, ..) | Self::Foreign(name, ..) => Some(name),
            Self::Any | Self::Set(_) => None,
        }
    }

    /// All event types that are named.
    pub(crate) fn events(&self) -> Vec<fn() -> &'static EventDecl> {
        match self {
            Self::Any | Self::Foreign(..) => Vec::new(),
            Self::Event(.., decl) => vec![*decl],
            Self::Set(parts) => parts.iter().flat_map(Self::events).collect(),
        }
    }

    /// The names of all events that are named.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Any => Vec::new(),
            Self::Event(name, ..) | Self::Foreign(name, ..) => vec![*name],
            Self::Set(parts) => parts.iter().flat_map(Self::names).collect(),
        }
    }

    /// All events that are named, but are not part of the program, with their versions.
    pub(crate) fn foreign(&self) -> Vec<(&'static str, u32)> {
        match self {
            Self::Any | Self::Event(..) => Vec::new(),
            Self::Foreign(name, _, version) => vec![(name, *version)],
            Self::Set(parts) => parts.iter().flat_map(Self::foreign).collect(),
        }
    }
}

impl<'a, E: Event> Argument<'a> for &'a E {
    const TAKES: Takes = Takes::event::<E>();
    const WANTS: Wants = Wants::Event;

    fn receive(call: &Call<'a>) -> Result<Self, HandlerError> {
        call.event()
    }

    fn of_record(record: &'a Record) -> Result<Self, Error> {
        record.decoded()
    }
}

#[diagnostic::do_not_recommend]
impl<'a, E: Event> Argument<'a> for Arc<E> {
    const TAKES: Takes = Takes::event::<E>();
    const WANTS: Wants = Wants::Record;
    const SHARES: bool = true;

    fn receive(call: &Call<'a>) -> Result<Self, HandlerError> {
        call.record()?.decode().map_err(|error| HandlerError::new(&error))
    }

    fn of_record(record: &'a Record) -> Result<Self, Error> {
        record.decode()
    }
}

#[diagnostic::do_not_recommend]
impl<'a> Argument<'a> for &'a Record {
    const TAKES: Takes = Takes::Any;
    const WANTS: Wants = Wants::Record;

    fn receive(call: &Call<'a>) -> Result<Self, HandlerError> {
        call.record()
    }

    fn of_record(record: &'a Record) -> Result<Self, Error> {
        Ok(record)
    }
}
