//! Event types: the `Event` trait, the declaration of each event, decoding, and the registry of linked
//! events.

pub(crate) mod accepted;
pub(crate) mod declared;
pub(crate) mod erased;
pub(crate) mod locking;
pub(crate) mod naming;
#[cfg(feature = "durable")]
pub(crate) mod order;
pub(crate) mod pattern;
pub(crate) mod seal;
pub(crate) mod suggestions;
pub(crate) mod version;
pub(crate) mod view;

use std::any::{Any, TypeId};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use crate::event::locking::Locking;
use crate::json::{self, JsonWriter, MAX_DEPTH, ReadError, ReadProblem, WriteError};
use crate::panics::drop_quietly;
use crate::schema::memory::allocation;
use crate::schema::{self, Schema, TypeSchema};
use crate::secret::Secrets;

/// A type that can be emitted. The `#[event("user.created")]` attribute implements it; do not implement it by
/// hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "expected a type with `#[event(\"...\")]`, in its current version",
    note = "to emit, pass the event alone and by value: `bus.emit(event)`, without a name, and not `&event` or a record; from an `Arc`, `(*event).clone()`",
    note = "if `{Self}` is your struct or enum, put `#[event(\"user.created\")]` above it to make it an event",
    note = "a view (`view_of`) or a `superseded` version can only be read: use the current event"
)]
pub trait Event: Schema + Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static {
    /// Name of the event, such as `user.created`.
    const NAME: &'static str;
    /// Version of the event's schema. The default is 1.
    const VERSION: u32;
    /// Schema of the payload.
    const SCHEMA: &'static TypeSchema = <Self as Schema>::TYPE;

    #[doc(hidden)]
    const LOCKING: Option<Locking> = None;

    #[doc(hidden)]
    fn decl() -> &'static EventDecl;

    #[doc(hidden)]
    fn decode_older(version: u32, _json: &str) -> Result<Self, DecodeError> {
        Err(DecodeError::too_old(Self::NAME, version, Self::VERSION))
    }

    /// Whether an earlier version of the event has secret fields.
    #[doc(hidden)]
    fn had_secrets() -> bool {
        false
    }
}

/// An event with its type erased.
pub(crate) trait Payload: Any + Send + Sync {
    /// Writes the payload as JSON.
    fn write(&self, json: &mut JsonWriter<'_>) -> Result<(), WriteError>;
    /// Approximate memory, in bytes, that the event takes if it is stored in an `Arc`.
    fn size(&self) -> usize;
    /// The event as a `Debug` value.
    fn as_debug(&self) -> &dyn fmt::Debug;
    /// Type ID of the event.
    fn type_of(&self) -> TypeId;
}

impl<E: Event> Payload for E {
    fn write(&self, json: &mut JsonWriter<'_>) -> Result<(), WriteError> {
        self.serialize(json)
    }

    fn size(&self) -> usize {
        const { allocation(size_of::<E>() + 16) }.saturating_add(self.heap_size())
    }

    fn as_debug(&self) -> &dyn fmt::Debug {
        self
    }

    fn type_of(&self) -> TypeId {
        TypeId::of::<E>()
    }
}

/// Placeholder in a record that does not store its event inline.
pub(crate) struct NoPayload;

impl Payload for NoPayload {
    fn write(&self, json: &mut JsonWriter<'_>) -> Result<(), WriteError> {
        ().serialize(json)
    }

    fn size(&self) -> usize {
        0
    }

    fn as_debug(&self) -> &dyn fmt::Debug {
        &()
    }

    fn type_of(&self) -> TypeId {
        TypeId::of::<Self>()
    }
}

impl dyn Payload {
    /// Returns the event if its type is `E`.
    pub(crate) fn get<E: Event>(&self) -> Option<&E> {
        let event: &dyn Any = self;
        event.downcast_ref()
    }

    /// Serialises the event as JSON. Secrets are included only inside [`reveal`](crate::secret::reveal).
    ///
    /// # Errors
    ///
    /// Returns an error with the path of the first value that can't be written and read back unchanged.
    pub(crate) fn to_json(&self) -> Result<Box<str>, WriteError> {
        let mut json = Vec::new();
        self.write(&mut JsonWriter::new(&mut json))?;
        String::from_utf8(json).map(Into::into).map_err(WriteError::new)
    }
}

/// Declaration of one event. It has no type parameter, so that declarations of all events have one type.
pub struct EventDecl {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) location: SourceLocation,
    pub(crate) schema: &'static TypeSchema,
    #[cfg(feature = "lock")]
    pub(crate) locking: Option<Locking>,
    decode: Decode,
    had_secrets: fn() -> bool,
    /// Index of the event in the registry, which is also its slot in every bus. It is [`NO_INDEX`] until the
    /// registry is built, and stays so if the event was not registered by linking.
    index: AtomicU32,
    secrets: OnceLock<Secrets>,
}

const NO_INDEX: u32 = u32::MAX;

type Decode = fn(u32, &str) -> Result<Arc<dyn Payload>, DecodeError>;

/// Location of an item in the user's source code, for errors and listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLocation {
    /// Full path of the item, including its modules.
    pub(crate) item: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl SourceLocation {
    #[doc(hidden)]
    pub const fn new(item: &'static str, file: &'static str, line: u32) -> Self {
        Self { item, file, line }
    }
}

/// Sorts declarations by name, then by location.
///
/// Each instantiation of a generic sort adds to the build time of this crate. This function sorts keys of one
/// type, so that the sort is instantiated once.
pub(crate) fn sort_by_location<T: Copy>(
    items: &mut Vec<T>,
    key: impl Fn(&T) -> (&'static str, SourceLocation),
) {
    let mut keys: Vec<_> = items.iter().enumerate().map(|(index, item)| (key(item), index)).collect();
    keys.sort_unstable();
    *items = keys.into_iter().map(|(_, index)| items[index]).collect();
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.item, self.file, self.line)
    }
}

impl EventDecl {
    #[doc(hidden)]
    pub const fn new<E: Event>() -> Self {
        Self {
            name: E::NAME,
            version: E::VERSION,
            location: location_of_type(E::SCHEMA),
            schema: E::SCHEMA,
            #[cfg(feature = "lock")]
            locking: E::LOCKING,
            decode: decode::<E>,
            had_secrets: E::had_secrets,
            index: AtomicU32::new(NO_INDEX),
            secrets: OnceLock::new(),
        }
    }

    /// Slot of the event in every bus. It is greater than every valid slot if the event was not registered by
    /// linking.
    #[inline]
    pub(crate) fn slot(&self) -> usize {
        self.index.load(Ordering::Relaxed) as usize
    }

    /// Whether a textual form of this version (JSON, `Debug`, `Display`) omits secrets.
    pub(crate) fn has_secrets(&self, version: u32) -> bool {
        self.secrets() == Secrets::Some || version < self.version && (self.had_secrets)()
    }

    pub(crate) fn secrets(&self) -> Secrets {
        *self.secrets.get_or_init(|| self.schema.secrets())
    }

    /// Decodes a payload of any version known to this program into the current version.
    pub(crate) fn decode(&self, version: u32, json: &str) -> Result<Arc<dyn Payload>, DecodeError> {
        // Upcasts and hand-written `Deserialize` impls are user code, and the payload may be untrusted.
        catch_unwind(AssertUnwindSafe(|| (self.decode)(version, json))).unwrap_or_else(|payload| {
            drop_quietly(payload);
            Err(DecodeError {
                event: self.name,
                problem: format!("reading version {version} of it panicked"),
            })
        })
    }
}

/// Returns the location of an event type. Its schema carries the location of the declaration.
const fn location_of_type(schema: &TypeSchema) -> SourceLocation {
    match schema {
        TypeSchema::Named(named) => {
            let named = named.get();
            SourceLocation::new(named.path, named.file, named.line)
        }
        _ => SourceLocation::new("", "", 0),
    }
}

/// Error of decoding a payload. The message names the event, the path and the cause, but never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    event: &'static str,
    problem: String,
}

impl DecodeError {
    /// Error for a version older than `oldest`, the first version in the chain of upcasts.
    pub(crate) fn too_old(event: &'static str, version: u32, oldest: u32) -> Self {
        let problem =
            format!("version {version} can't be read: the oldest version this program knows is {oldest}");
        Self { event, problem }
    }

    /// Approximate heap memory of the error in bytes.
    pub(crate) fn size(&self) -> usize {
        self.problem.heap_size()
    }

    fn too_new(event: &'static str, version: u32, known: u32) -> Self {
        let problem =
            format!("version {version} can't be read: the newest version this program knows is {known}");
        Self { event, problem }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.event, self.problem)
    }
}

impl std::error::Error for DecodeError {}

/// Decodes a payload of any version as `E`. Each event instantiates this function, so it is kept short.
fn decode<E: Event>(version: u32, json: &str) -> Result<Arc<dyn Payload>, DecodeError> {
    let event = match version == E::VERSION {
        true => read_json::<E>(E::NAME, E::SCHEMA, json),
        false if version < E::VERSION => E::decode_older(version, json),
        false => Err(DecodeError::too_new(E::NAME, version, E::VERSION)),
    };
    match event {
        Ok(event) => Ok(Arc::new(event)),
        Err(error) => Err(error),
    }
}

/// Deserialises a payload as `T`. The error describes the mismatch in terms of the schema.
pub(crate) fn read_json<T: DeserializeOwned>(
    name: &'static str,
    shape: &'static TypeSchema,
    json: &str,
) -> Result<T, DecodeError> {
    json::from_str(json).map_err(|error| DecodeError { event: name, problem: problem(shape, json, &error) })
}

/// Describes why the payload was refused, in terms of the schema if possible. Does not use serde's own
/// message, because that repeats values.
fn problem(shape: &'static TypeSchema, json: &str, refused: &ReadError) -> String {
    let value = match json::nearest_value(json) {
        Ok(value) => value,
        Err(error) => return not_json(json, &error),
    };
    if let Some(problem) = schema::explain(shape, &value) {
        return problem;
    }
    let why = match refused.problem() {
        ReadProblem::OutOfRange => OUT_OF_RANGE,
        ReadProblem::Type(text) if text.starts_with("duplicate field") => "a field is given twice",
        ReadProblem::Type(_) => "the type does not accept the value",
        _ => return at_position("not JSON", json, refused),
    };
    if refused.position(json).is_none() || shape.secrets() != Secrets::None {
        // No path is given in two cases: serde had buffered the value, as for tagged enums, and so has no
        // position; or keys in the path may be secret.
        return why.to_owned();
    }
    let location = refused.path().text();
    let why = at_position(why, json, refused);
    if location.is_empty() { why } else { format!("{location}: {why}") }
}

/// Parses any JSON value, nested at most [`MAX_DEPTH`] levels deep.
///
/// # Errors
///
/// Returns a message with the position at which the text is not valid JSON or is nested too deeply. The
/// message does not repeat the text.
pub(crate) fn parse_json(json: &str) -> Result<serde_json::Value, String> {
    json::from_str(json).map_err(|error| not_json(json, &error))
}

const OUT_OF_RANGE: &str = "the number is out of range";

/// Describes why a text could not be parsed as JSON.
fn not_json(json: &str, error: &ReadError) -> String {
    let below = |what: &str| {
        let (path, what) = (error.path().text(), at_position(what, json, error));
        if path.is_empty() { what } else { format!("{path}: {what}") }
    };
    match error.problem() {
        ReadProblem::MoreText => at_position("more text follows the value", json, error),
        ReadProblem::TooDeep => below(&format!("nested deeper than {MAX_DEPTH}")),
        ReadProblem::OutOfRange => below(OUT_OF_RANGE),
        ReadProblem::EndsEarly => at_position("the JSON ends too early", json, error),
        ReadProblem::NotJson | ReadProblem::Type(_) => at_position("not JSON", json, error),
    }
}

fn at_position(what: &str, json: &str, error: &ReadError) -> String {
    match error.position(json) {
        Some((line, column)) => format!("{what} (line {line}, column {column})"),
        None => what.to_owned(),
    }
}

/// Link-time registration of an event, submitted by `#[event]`.
pub struct LinkedEvent(fn() -> &'static EventDecl);

impl LinkedEvent {
    /// Registers an event. The generated code names the type once here, so that the compiler reports a
    /// problem with the type once.
    pub const fn of<E: Event>() -> Self {
        Self(E::decl)
    }
}

inventory::collect!(LinkedEvent);

/// All linked events in the order of their names. Each event has its index in this list.
pub(crate) struct Registry {
    pub(crate) events: Vec<&'static EventDecl>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut events: Vec<_> =
        inventory::iter::<LinkedEvent>.into_iter().map(|LinkedEvent(decl)| decl()).collect();
    sort_by_location(&mut events, |decl| (decl.name, decl.location));
    for (index, decl) in events.iter().enumerate() {
        decl.index.store(u32::try_from(index).unwrap_or(NO_INDEX), Ordering::Relaxed);
    }
    Registry { events }
});

pub(crate) fn registry() -> &'static Registry {
    &REGISTRY
}

impl Registry {
    /// Returns the first linked event with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&'static EventDecl> {
        self.slots(name).next().map(|slot| self.events[slot])
    }

    /// Slots of all linked events with this name.
    pub(crate) fn slots(&self, name: &str) -> std::ops::Range<usize> {
        let first = self.events.partition_point(|decl| decl.name < name);
        let count = self.events[first..].iter().take_while(|decl| decl.name == name).count();
        first..first + count
    }
}
