//! The events that a handler or a history query accepts.

use crate::event::view::View;
use crate::event::{Event, EventDecl};
use crate::schema::TypeSchema;

/// The events that a handler argument or a history query accepts.
#[derive(Clone, Copy)]
pub enum AcceptedEvents {
    /// All events.
    Any,
    /// Events of one linked type: the name, the schema to read them with, and the declaration.
    Event(&'static str, &'static TypeSchema, fn() -> &'static EventDecl),
    /// Events of one name whose type is not linked: the name, the schema to read them with, and the version.
    Undeclared(&'static str, &'static TypeSchema, u32),
    /// The events that any of these accepts.
    Set(&'static [Self]),
}

impl AcceptedEvents {
    /// Accepts the events of one event type.
    pub const fn event<E: Event>() -> Self {
        Self::Event(E::NAME, E::SCHEMA, E::decl)
    }

    /// Accepts the events that a view reads.
    pub const fn view<V: View>() -> Self {
        match V::DECL {
            Some(decl) => Self::Event(V::NAME, V::TYPE, decl),
            None => Self::Undeclared(V::NAME, V::TYPE, V::VERSION),
        }
    }

    /// Returns the event name, if exactly one event is accepted.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Event(name, ..) | Self::Undeclared(name, ..) => Some(name),
            Self::Any | Self::Set(_) => None,
        }
    }

    /// Declarations of all linked event types that are named.
    pub(crate) fn events(&self) -> Vec<fn() -> &'static EventDecl> {
        match self {
            Self::Any | Self::Undeclared(..) => Vec::new(),
            Self::Event(.., decl) => vec![*decl],
            Self::Set(parts) => parts.iter().flat_map(Self::events).collect(),
        }
    }

    /// Names of all events that are named.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Any => Vec::new(),
            Self::Event(name, ..) | Self::Undeclared(name, ..) => vec![*name],
            Self::Set(parts) => parts.iter().flat_map(Self::names).collect(),
        }
    }

    /// Names and versions of all events that are named but not linked.
    pub(crate) fn undeclared(&self) -> Vec<(&'static str, u32)> {
        match self {
            Self::Any | Self::Event(..) => Vec::new(),
            Self::Undeclared(name, _, version) => vec![(name, *version)],
            Self::Set(parts) => parts.iter().flat_map(Self::undeclared).collect(),
        }
    }
}
