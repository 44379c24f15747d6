//! An event reference with its type erased, as handlers get it.

use std::any::TypeId;

use crate::event::{NoPayload, Payload};

/// A type-erased event reference with a copy of its type ID.
///
/// `dyn Any` fetches the type ID with a virtual call, for each handler again. Here that call is made once per
/// event, and each handler compares two words.
#[derive(Clone, Copy)]
pub(crate) struct ErasedEvent<'a> {
    event: &'a dyn Payload,
    type_id: TypeId,
}

impl<'a> ErasedEvent<'a> {
    /// A reference to no event. [`get`](Self::get) returns `None` for every event type.
    pub(crate) fn none() -> Self {
        Self { event: &NoPayload, type_id: TypeId::of::<NoPayload>() }
    }

    /// Whether this refers to no event.
    pub(crate) fn is_none(self) -> bool {
        self.type_id == TypeId::of::<NoPayload>()
    }

    /// Wraps an event of any type.
    #[inline]
    pub(crate) fn new(event: &'a dyn Payload) -> Self {
        Self { event, type_id: event.type_of() }
    }

    /// Returns the event if its type is `E`.
    #[inline]
    #[allow(unsafe_code, reason = "saves a call per handler: see the figures in ARCHITECTURE.md")]
    pub(crate) fn get<E: 'static>(self) -> Option<&'a E> {
        if self.type_id != TypeId::of::<E>() {
            return None;
        }
        let event: *const dyn Payload = self.event;
        // SAFETY: `type_id` was returned by `type_of` of this same value. Every impl of `Payload` returns its
        // own type there, and the value can't change its type while it is borrowed, so it is an `E`. The
        // returned reference lives as long as that borrow.
        Some(unsafe { &*event.cast::<E>() })
    }
}
