//! What `#[event]` makes of a type, and the registry of all that are linked.

pub(crate) mod declared;
pub(crate) mod erased;
pub(crate) mod locking;
pub(crate) mod naming;
pub(crate) mod order;
pub(crate) mod pattern;
pub(crate) mod seal;
pub(crate) mod suggestions;
pub(crate) mod takes;
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

/// A type that can be emitted. Written by `#[event("user.created")]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "expected an event itself, in its current version",
    note = "if `{Self}` is a view (`view_of`), emit the event that it is a view of; if it is `superseded`, use the current version",
    note = "any other struct or enum becomes an event by `#[event(\"user.created\")]` above it",
    note = "no name stands before the event: `bus.emit(event)`",
    note = "an event is emitted by value: not a reference, `Arc`, `Box`, record or name; of an `Arc`, emit `(*event).clone()`"
)]
pub trait Event: Schema + Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static {
    /// The name the event is emitted under.
    const NAME: &'static str;
    /// The version of the event's shape; 1 unless declared.
    const VERSION: u32;
    /// The shape of the payload.
    const SCHEMA: &'static TypeSchema = <Self as Schema>::TYPE;

    #[doc(hidden)]
    const LOCKING: Option<Locking> = None;

    #[doc(hidden)]
    fn decl() -> &'static EventDecl;

    #[doc(hidden)]
    fn older(version: u32, _json: &str) -> Result<Self, DecodeError> {
        Err(DecodeError::too_old(Self::NAME, version, Self::VERSION))
    }

    /// Whether a version before this one has secrets.
    #[doc(hidden)]
    fn had_secrets() -> bool {
        false
    }
}

/// An event, whatever its type.
pub(crate) trait Payload: Any + Send + Sync {
    /// Writes the payload as JSON.
    fn write(&self, json: &mut JsonWriter<'_>) -> Result<(), WriteError>;
    /// About how many bytes it takes in memory, in an allocation of its own that is shared.
    fn size(&self) -> usize;
    /// The event as its `Debug` shows it.
    fn as_debug(&self) -> &dyn fmt::Debug;
    /// The type of the event.
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

/// Stands in a record for an event that is somewhere else.
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
    /// The event, if it is an `E`.
    pub(crate) fn get<E: Event>(&self) -> Option<&E> {
        let event: &dyn Any = self;
        event.downcast_ref()
    }

    /// With its secrets only inside of [`reveal`](crate::secret::reveal).
    ///
    /// # Errors
    ///
    /// Where the value can't be written and read back as it is, with its path.
    pub(crate) fn to_json(&self) -> Result<Box<str>, WriteError> {
        let mut json = Vec::new();
        self.write(&mut JsonWriter::new(&mut json))?;
        String::from_utf8(json).map(Into::into).map_err(WriteError::new)
    }
}

/// One declared event, as a constant that needs no type parameter.
pub struct EventDecl {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) location: SourceLocation,
    pub(crate) schema: &'static TypeSchema,
    #[cfg(feature = "lock")]
    pub(crate) locking: Option<Locking>,
    decode: Decode,
    had_secrets: fn() -> bool,
    /// Where the event stands in the registry, and so its slot in every bus; [`NO_INDEX`] until the
    /// registry is read, and forever where linking did not register the event.
    index: AtomicU32,
    secrets: OnceLock<Secrets>,
}

const NO_INDEX: u32 = u32::MAX;

type Decode = fn(u32, &str) -> Result<Arc<dyn Payload>, DecodeError>;

/// Where an item of the user stands: what errors and listings point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLocation {
    /// The item with its module path.
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

/// Sorts declarations by a name and where they are.
///
/// Each instance of a generic sort costs every build of this crate, so there is one for all kinds of declarations.
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

    /// The event's slot; beyond all slots where linking did not register it.
    #[inline]
    pub(crate) fn slot(&self) -> usize {
        self.index.load(Ordering::Relaxed) as usize
    }

    /// Whether textual forms of a version leave something out.
    pub(crate) fn has_secrets(&self, version: u32) -> bool {
        self.secrets() == Secrets::Some || version < self.version && (self.had_secrets)()
    }

    pub(crate) fn secrets(&self) -> Secrets {
        *self.secrets.get_or_init(|| self.schema.secrets())
    }

    /// Reads a payload of any version this program knows as the current one.
    pub(crate) fn decode(&self, version: u32, json: &str) -> Result<Arc<dyn Payload>, DecodeError> {
        // An upcast or a `Deserialize` by hand is a user's code, and the payload may be anybody's.
        catch_unwind(AssertUnwindSafe(|| (self.decode)(version, json))).unwrap_or_else(|payload| {
            drop_quietly(payload);
            Err(DecodeError {
                event: self.name,
                problem: format!("reading version {version} of it panicked"),
            })
        })
    }
}

/// Where an event type stands: its schema is that of a declaration.
const fn location_of_type(schema: &TypeSchema) -> SourceLocation {
    match schema {
        TypeSchema::Named(named) => {
            let named = named.get();
            SourceLocation::new(named.path, named.file, named.line)
        }
        _ => SourceLocation::new("", "", 0),
    }
}

/// A payload does not fit its event: where and why, without the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    event: &'static str,
    problem: String,
}

impl DecodeError {
    /// No version of the chain reads it.
    pub(crate) fn too_old(event: &'static str, version: u32, oldest: u32) -> Self {
        let problem = format!("version {version} can't be read: the oldest this program knows is {oldest}");
        Self { event, problem }
    }

    /// About how many bytes it takes in memory, outside of itself.
    pub(crate) fn size(&self) -> usize {
        self.problem.heap_size()
    }

    fn too_new(event: &'static str, version: u32, known: u32) -> Self {
        let problem = format!("version {version} is newer than {known}, the newest this program knows");
        Self { event, problem }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.event, self.problem)
    }
}

impl std::error::Error for DecodeError {}

/// Kept short, since each event has its own.
fn decode<E: Event>(version: u32, json: &str) -> Result<Arc<dyn Payload>, DecodeError> {
    let event = match version == E::VERSION {
        true => read_json::<E>(E::NAME, E::SCHEMA, json),
        false if version < E::VERSION => E::older(version, json),
        false => Err(DecodeError::too_new(E::NAME, version, E::VERSION)),
    };
    match event {
        Ok(event) => Ok(Arc::new(event)),
        Err(error) => Err(error),
    }
}

/// Reads a payload as a type, and says in terms of its schema where it does not fit.
pub(crate) fn read_json<T: DeserializeOwned>(
    name: &'static str,
    shape: &'static TypeSchema,
    json: &str,
) -> Result<T, DecodeError> {
    json::from_str(json).map_err(|error| DecodeError { event: name, problem: problem(shape, json, &error) })
}

/// Why the payload was refused: in terms of the schema where it can tell. serde's own text is
/// not used, because it repeats values.
fn problem(shape: &'static TypeSchema, json: &str, refused: &ReadError) -> String {
    let value = match json::nearest_value(json) {
        Ok(value) => value,
        Err(error) => return not_any(json, &error),
    };
    if let Some(problem) = schema::explain(shape, &value) {
        return problem;
    }
    let why = match refused.problem() {
        ReadProblem::OutOfRange => OUT_OF_RANGE,
        ReadProblem::Type(text) if text.starts_with("duplicate field") => "a field is given twice",
        ReadProblem::Type(_) => "the value is not one the type accepts",
        _ => return at_position("not JSON", json, refused),
    };
    if refused.position(json).is_none() || shape.secrets() != Secrets::None {
        // serde had to read it into memory first, as for tagged enums, and lost the place; or keys on the
        // way there may be secret.
        return why.to_owned();
    }
    let location = refused.path().text();
    let why = at_position(why, json, refused);
    if location.is_empty() { why } else { format!("{location}: {why}") }
}

/// Reads any JSON, at most [`MAX_DEPTH`] deep.
///
/// # Errors
///
/// Says where the text stops being JSON, or gets too deep, without repeating it.
pub(crate) fn parse_json(json: &str) -> Result<serde_json::Value, String> {
    json::from_str(json).map_err(|error| not_any(json, &error))
}

const OUT_OF_RANGE: &str = "the number is out of range";

/// Why a text is not read as any JSON.
fn not_any(json: &str, error: &ReadError) -> String {
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

/// What `#[event]` submits to the linker.
pub struct LinkedEvent(fn() -> &'static EventDecl);

impl LinkedEvent {
    /// An event. It is named once, so that what is wrong with it is said once.
    pub const fn of<E: Event>() -> Self {
        Self(E::decl)
    }
}

inventory::collect!(LinkedEvent);

/// All linked events, each with its index, in the order of their names.
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
    /// The first linked event of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&'static EventDecl> {
        self.slots(name).next().map(|slot| self.events[slot])
    }

    /// The slots of the linked events of a name.
    pub(crate) fn slots(&self, name: &str) -> std::ops::Range<usize> {
        let first = self.events.partition_point(|decl| decl.name < name);
        let count = self.events[first..].iter().take_while(|decl| decl.name == name).count();
        first..first + count
    }
}
