//! An event that is lent to handlers: what each of them asks first is whether it is of its type.

use std::any::TypeId;

use crate::event::{NoPayload, Payload};

/// An event, with its type at hand.
///
/// `dyn Any` answers by a call through the event's table, for each handler again. Here that call is made
/// once per event, and a handler compares two words.
#[derive(Clone, Copy)]
pub(crate) struct ErasedEvent<'a> {
    event: &'a dyn Payload,
    type_id: TypeId,
}

impl<'a> ErasedEvent<'a> {
    /// Stands for an event that is not at hand: of no type that is asked for.
    pub(crate) fn none() -> Self {
        Self { event: &NoPayload, type_id: TypeId::of::<NoPayload>() }
    }

    /// Whether there is no event at hand.
    pub(crate) fn is_none(self) -> bool {
        self.type_id == TypeId::of::<NoPayload>()
    }

    /// An event of any type.
    #[inline]
    pub(crate) fn new(event: &'a dyn Payload) -> Self {
        Self { event, type_id: event.type_of() }
    }

    /// The event, if it is an `E`.
    #[inline]
    #[allow(unsafe_code, reason = "saves a call per handler: see the figures in ARCHITECTURE.md")]
    pub(crate) fn get<E: 'static>(self) -> Option<&'a E> {
        if self.type_id != TypeId::of::<E>() {
            return None;
        }
        let event: *const dyn Payload = self.event;
        // SAFETY: `type_id` is what this very value says of itself, by each impl of `Payload`, whose type
        // can't change while it is borrowed, so it is an `E`; the reference lives as long as that borrow.
        Some(unsafe { &*event.cast::<E>() })
    }
}
