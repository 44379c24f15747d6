//! Which events a handler, or a question to the history, takes.

use crate::event::view::View;
use crate::event::{Event, EventDecl};
use crate::schema::TypeSchema;

/// Which events an argument stands for.
#[derive(Clone, Copy)]
pub enum Takes {
    /// Any.
    Any,
    /// Those of one name, with what is read of them.
    Event(&'static str, &'static TypeSchema, fn() -> &'static EventDecl),
    /// Those of one name, whose declaration is not part of the program, in this version.
    Undeclared(&'static str, &'static TypeSchema, u32),
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
            None => Self::Undeclared(V::NAME, V::TYPE, V::VERSION),
        }
    }

    /// The name of the one event.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Event(name, ..) | Self::Undeclared(name, ..) => Some(name),
            Self::Any | Self::Set(_) => None,
        }
    }

    /// All event types that are named.
    pub(crate) fn events(&self) -> Vec<fn() -> &'static EventDecl> {
        match self {
            Self::Any | Self::Undeclared(..) => Vec::new(),
            Self::Event(.., decl) => vec![*decl],
            Self::Set(parts) => parts.iter().flat_map(Self::events).collect(),
        }
    }

    /// The names of all events that are named.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Any => Vec::new(),
            Self::Event(name, ..) | Self::Undeclared(name, ..) => vec![*name],
            Self::Set(parts) => parts.iter().flat_map(Self::names).collect(),
        }
    }

    /// All events that are named, but are not part of the program, with their versions.
    pub(crate) fn undeclared(&self) -> Vec<(&'static str, u32)> {
        match self {
            Self::Any | Self::Event(..) => Vec::new(),
            Self::Undeclared(name, _, version) => vec![(name, *version)],
            Self::Set(parts) => parts.iter().flat_map(Self::undeclared).collect(),
        }
    }
}
