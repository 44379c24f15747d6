//! What generated code names, and what tests of this repository compare it with. Not for users: it changes without notice.

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub use inventory;

pub use crate::adapter::options::{DurableOptions, Nulls, StartAt};
pub use crate::bus::handlers::argument::Argument;
pub use crate::bus::handlers::set::{Delivered, EventSet, NoSet, Patterns, Variant, no_variant};
pub use crate::bus::handlers::state::{BindState, Binder, Probe};
pub use crate::bus::handlers::{Handler, HandlerDecl, LinkedHandler};
pub use crate::bus::inner::call::Callback;
pub use crate::bus::inner::call::Wants;
pub use crate::bus::inner::call::{Call, Delivery};
pub use crate::bus::inner::outcome::HandlerError;
pub use crate::bus::inner::outcome::HandlerReturn;
pub use crate::check::{
    beside_tag, declared, durable_name, event_name, flattened, handler, ordered_by, part, pattern, previous,
    set_reached, set_variant, view, view_rest,
};
pub use crate::error::Error;
pub use crate::event::locking::{Change, Compatibility, LockFile, LockedVersion, Locking, PastLocking};
pub use crate::event::takes::Takes;
pub use crate::event::version::{PastEvent, Upcast};
pub use crate::event::view::View;
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

/// The default of a field that `#[event]` has refused, so that it has no other error. No program with one compiles.
#[allow(clippy::panic, reason = "it is never run")]
pub fn unread<T>() -> T {
    panic!("this field was refused when the program was compiled")
}

/// The pattern of a handler without one: the name of its event. Where it takes none, [`handler`]
/// has refused it.
pub const fn own_name(name: Option<&'static str>) -> &'static str {
    match name {
        Some(name) => name,
        None => "",
    }
}

/// The event by value: a clone.
///
/// # Errors
///
/// Where the event is of another type.
pub fn receive_owned<E: Event>(call: &Call<'_>) -> Result<E, HandlerError> {
    call.event::<E>().cloned()
}

/// What an argument makes of the record of a call.
///
/// # Errors
///
/// Where the record is of no event it takes, or does not fit.
pub fn receive_of_record<'a, T: Argument<'a>>(call: &Call<'a>) -> Result<T, HandlerError> {
    T::of_record(call.record()?).map_err(|error| HandlerError::new(&error))
}

/// The event of a record by value: a clone.
///
/// # Errors
///
/// Where the event is of another type.
pub fn owned<E: Event>(record: &Record) -> Result<E, Error> {
    record.decoded::<E>().cloned()
}

/// Weighs a field whose type may have no schema: called on three references to this, the first of [`WeighDescribed`],
/// [`WeighParts`], [`WeighWritten`] and [`WeighNothing`] that the type has.
pub struct Weigh<'a, T: ?Sized>(pub &'a T);

impl<T: ?Sized> Clone for Weigh<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Weigh<'_, T> {}

/// See [`Weigh`]: what has a schema.
pub trait WeighDescribed {
    /// What the field holds outside of itself.
    fn __typed_events_weight(&self) -> usize;
}

impl<T: Schema> WeighDescribed for &&Weigh<'_, T> {
    fn __typed_events_weight(&self) -> usize {
        self.0.heap_size()
    }
}

/// See [`Weigh`]: a collection of what has no schema, and is written.
pub trait WeighParts {
    /// Its own memory, and what each part holds as far as what is written shows it.
    fn __typed_events_weight(&self) -> usize;
}

impl<T: Collection> WeighParts for &Weigh<'_, T> {
    fn __typed_events_weight(&self) -> usize {
        self.0.weight()
    }
}

/// See [`Weigh`]: what else has no schema, and is written.
pub trait WeighWritten {
    /// As far as what is written shows it.
    fn __typed_events_weight(&self) -> usize;
}

impl<T: Serialize + ?Sized> WeighWritten for Weigh<'_, T> {
    fn __typed_events_weight(&self) -> usize {
        heap_of_written(self.0)
    }
}

/// See [`Weigh`]: comes last, as it takes a reference less.
pub trait WeighNothing: Sized {
    /// Nothing is known.
    fn __typed_events_weight(self) -> usize {
        0
    }
}

impl<T: ?Sized> WeighNothing for Weigh<'_, T> {}

/// The JSON of a value as the bus writes payloads: for tests that compare schemas with what is written.
///
/// # Errors
///
/// Says why the value can't be written.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    json::to_string(value).map_err(|error| error.to_string())
}

/// Reads JSON as the bus reads payloads: for tests that compare schemas with what is read.
///
/// # Errors
///
/// Says where and why the JSON is not read.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    json::from_str(text).map_err(|error| error.to_string())
}

/// Fails to compile where a handler's future can't move between threads.
pub fn require_send<F: Future + Send>(future: F) -> F {
    future
}
