//! Items that generated code names, and functions for the tests of this repository. Not for users: they change without
//! notice.

use std::marker::PhantomData;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub use inventory;

#[cfg(feature = "durable")]
pub use crate::adapter::options::{DurableOptions, Nulls, StartAt};
pub use crate::bus::handlers::argument::Argument;
pub use crate::bus::handlers::set::{Delivered, EventSet, NoSet, Patterns, Variant, no_variant};
pub use crate::bus::handlers::state::{BindState, Binder, Probe};
pub use crate::bus::handlers::{Handler, HandlerDecl, LinkedHandler};
pub use crate::bus::inner::call::Callback;
pub use crate::bus::inner::call::RequiredParts;
pub use crate::bus::inner::call::{Call, Delivery};
pub use crate::bus::inner::outcome::HandlerError;
pub use crate::bus::inner::outcome::HandlerReturn;
#[cfg(feature = "durable")]
pub use crate::check::durable::{durable_name, ordered_by};
pub use crate::check::{
    beside_tag, declared, event_name, flattened, handler, part, pattern, previous, set_reached, set_variant,
    view, view_rest,
};
pub use crate::error::Error;
pub use crate::event::accepted::AcceptedEvents;
pub use crate::event::locking::{Change, Compatibility, LockFile, LockedVersion, Locking, PastLocking};
pub use crate::event::version::{PastEvent, Upcast};
pub use crate::event::view::{View, Viewed};
pub use crate::event::{DecodeError, Event, EventDecl, LinkedEvent, SourceLocation};
#[cfg(feature = "lock")]
pub use crate::lock::SchemaLock;
#[cfg(feature = "lock")]
pub use crate::lock::check::{
    Locked, is_writing, locked_field, locked_item, locked_pattern, locked_previous, locked_promise,
    locked_reason, locked_rest, locked_set,
};
pub use crate::record::Record;
pub use crate::record::read_back::read_back;
pub use crate::schema::{
    EnumSchema, FieldSchema, Keeps, NamedRef, NamedSchema, Presence, Schema, StructSchema, Tag, TypeSchema,
    VariantSchema, Verified,
};
pub use crate::secret::{HIDDEN, hides, is_hidden};

use crate::json;
use crate::schema::memory::{Collection, heap_of_written};

/// Stands in for the default of a field that `#[event]` has refused, so that the field causes only one error. A program
/// with such a field never compiles, so this is never called.
#[allow(clippy::panic, reason = "it is never run")]
pub fn unread<T>() -> T {
    panic!("this field was refused when the program was compiled")
}

/// Returns the pattern of a handler whose `#[on]` has none: the name of its event. It is empty if the handler takes no
/// single event; then [`handler`] has already failed to compile.
pub const fn own_name(name: Option<&'static str>) -> &'static str {
    match name {
        Some(name) => name,
        None => "",
    }
}

/// Clones the event of a call, for a handler that takes it by value.
///
/// # Errors
///
/// If the event has another type.
pub fn receive_owned<E: Event>(call: &Call<'_>) -> Result<E, HandlerError> {
    call.event::<E>().cloned()
}

/// Converts the record of a call into a handler's argument.
///
/// # Errors
///
/// If the argument does not take this event, or the payload does not fit its type.
pub fn receive_of_record<'a, T: Argument<'a>>(call: &Call<'a>) -> Result<T, HandlerError> {
    T::of_record(call.record()?).map_err(|error| HandlerError::new(&error))
}

/// Clones the event of a record.
///
/// # Errors
///
/// If the event has another type.
pub fn owned<E: Event>(record: &Record) -> Result<E, Error> {
    record.decoded::<E>().cloned()
}

/// Computes the memory of a field whose type may have no schema.
///
/// Generated code calls the method on three references to this. Method resolution then takes the first of
/// [`WeighDescribed`], [`WeighParts`], [`WeighWritten`] and [`WeighNothing`] that the type implements.
pub struct Weigh<'a, T: ?Sized>(pub &'a T);

impl<T: ?Sized> Clone for Weigh<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Weigh<'_, T> {}

/// See [`Weigh`]: for types with a schema.
pub trait WeighDescribed {
    /// Returns the bytes that the field holds outside of itself.
    fn __typed_events_weight(&self) -> usize;
}

impl<T: Schema> WeighDescribed for &&Weigh<'_, T> {
    fn __typed_events_weight(&self) -> usize {
        self.0.heap_size()
    }
}

/// See [`Weigh`]: for collections that can be serialized, but whose items have no schema.
pub trait WeighParts {
    /// Returns the bytes of the collection and an estimate for each item from its serialized form.
    fn __typed_events_weight(&self) -> usize;
}

impl<T: Collection> WeighParts for &Weigh<'_, T> {
    fn __typed_events_weight(&self) -> usize {
        self.0.weight()
    }
}

/// See [`Weigh`]: for all other types that can be serialized.
pub trait WeighWritten {
    /// Returns an estimate from the serialized form.
    fn __typed_events_weight(&self) -> usize;
}

impl<T: Serialize + ?Sized> WeighWritten for Weigh<'_, T> {
    fn __typed_events_weight(&self) -> usize {
        heap_of_written(self.0)
    }
}

/// See [`Weigh`]: for all other types. It comes last, since it is found with one reference less.
pub trait WeighNothing: Sized {
    /// Returns 0, since nothing is known of the type.
    fn __typed_events_weight(self) -> usize {
        0
    }
}

impl<T: ?Sized> WeighNothing for Weigh<'_, T> {}

/// Writes a value as JSON, as the bus writes payloads. For tests that compare a schema with the JSON.
///
/// # Errors
///
/// The reason why the value can't be written.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    json::to_string(value).map_err(|error| error.to_string())
}

/// Reads JSON as the bus reads payloads. For tests that compare a schema with the JSON that is accepted.
///
/// # Errors
///
/// The path and the reason why the JSON is refused.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    json::from_str(text).map_err(|error| error.to_string())
}

/// Fails to compile if a handler's future is not `Send`.
pub fn require_send<F: Future + Send>(future: F) -> F {
    future
}

/// A version of an event that follows another one. That one is a parameter of the function, since its bound is then an
/// error at the type that the user names.
pub struct Newer<E>(PhantomData<E>);

impl<E> Newer<E> {
    /// [`Upcast::upcast`].
    pub fn upcast<Old>() -> fn(Old) -> E
    where
        E: Upcast<Old>,
    {
        E::upcast
    }
}
