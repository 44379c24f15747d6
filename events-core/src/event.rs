//! What `#[event]` makes of a type, and the registry of all that are linked.

use std::any::Any;
use std::cmp::Ordering::{Equal, Greater, Less};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::{self, Schema, TypeSchema};

/// A type that can be emitted. Written by `#[event("user.created")]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "this type is not an event",
    note = "add `#[event(\"...\")]` with the event's name above `{Self}`; a type marked `superseded` is only read, and the current version stands for it"
)]
pub trait Event: Schema + Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static {
    /// The name the event is emitted under.
    const NAME: &'static str;
    /// The version of the event's shape; 1 unless declared.
    const VERSION: u32;
    /// The shape of the payload.
    const SCHEMA: &'static TypeSchema = <Self as Schema>::TYPE;

    #[doc(hidden)]
    fn decl() -> &'static EventDecl;

    #[doc(hidden)]
    fn older(version: u32, _json: &str) -> Result<Self, DecodeError> {
        Err(DecodeError::too_old(Self::NAME, version, Self::VERSION))
    }
}

pub(crate) type Payload = Arc<dyn Any + Send + Sync>;

/// One declared event, as a constant that needs no type parameter.
pub struct EventDecl {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) place: Place,
    codec: Codec,
    /// Where the event stands in the registry, and so its slot in every bus; [`NO_INDEX`] until the
    /// registry is read, and forever where linking did not register the event.
    index: AtomicU32,
}

const NO_INDEX: u32 = u32::MAX;

struct Codec {
    decode: fn(u32, &str) -> Result<Payload, DecodeError>,
    encode: fn(&dyn Any) -> Result<String, String>,
    heap_size: fn(&dyn Any) -> usize,
    debug: fn(&dyn Any, &mut fmt::Formatter<'_>) -> fmt::Result,
}

/// Where an item of the user stands: what errors and listings point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The item with its module path.
    pub(crate) item: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl Place {
    #[doc(hidden)]
    pub const fn new(item: &'static str, file: &'static str, line: u32) -> Self {
        Self { item, file, line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.item, self.file, self.line)
    }
}

impl EventDecl {
    #[doc(hidden)]
    pub const fn new<E: Event>(place: Place) -> Self {
        Self {
            name: E::NAME,
            version: E::VERSION,
            place,
            codec: Codec {
                decode: decode::<E>,
                encode: encode::<E>,
                heap_size: heap_size::<E>,
                debug: debug::<E>,
            },
            index: AtomicU32::new(NO_INDEX),
        }
    }

    /// The event's slot; `None` where linking did not register it.
    pub(crate) fn index(&self) -> Option<usize> {
        let index = self.index.load(Ordering::Relaxed);
        (index != NO_INDEX).then_some(index as usize)
    }

    /// Reads a payload of any version this program knows as the current one.
    pub(crate) fn decode(&self, version: u32, json: &str) -> Result<Payload, DecodeError> {
        (self.codec.decode)(version, json)
    }

    pub(crate) fn encode(&self, event: &dyn Any) -> Result<String, String> {
        (self.codec.encode)(event)
    }

    pub(crate) fn heap_size(&self, event: &dyn Any) -> usize {
        (self.codec.heap_size)(event)
    }

    pub(crate) fn debug(&self, event: &dyn Any, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.codec.debug)(event, f)
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
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.event, self.problem)
    }
}

impl std::error::Error for DecodeError {}

fn decode<E: Event>(version: u32, json: &str) -> Result<Payload, DecodeError> {
    let event = match version.cmp(&E::VERSION) {
        Equal => read_json::<E>(E::NAME, E::SCHEMA, json)?,
        Less => E::older(version, json)?,
        Greater => {
            let known = E::VERSION;
            let problem = format!("version {version} is newer than {known}, the newest this program knows");
            return Err(DecodeError { event: E::NAME, problem });
        }
    };
    Ok(Arc::new(event))
}

/// Reads a payload as a type, and says in terms of its schema where it does not fit.
pub(crate) fn read_json<T: DeserializeOwned>(
    name: &'static str,
    shape: &'static TypeSchema,
    json: &str,
) -> Result<T, DecodeError> {
    let mut input = serde_json::Deserializer::from_str(json);
    let refused = match serde_path_to_error::deserialize::<_, T>(&mut input) {
        Ok(event) => match input.end() {
            Ok(()) => return Ok(event),
            Err(_) => None,
        },
        Err(error) => Some(error),
    };
    Err(DecodeError { event: name, problem: problem(shape, json, refused) })
}

/// Why serde refused the payload: in terms of the schema where it can tell. serde's own text is
/// not used, because it repeats values.
fn problem(
    shape: &'static TypeSchema,
    json: &str,
    refused: Option<serde_path_to_error::Error<serde_json::Error>>,
) -> String {
    let (value, refused) = match (parse_json(json), refused) {
        (Ok(value), Some(refused)) => (value, refused),
        (Err(problem), _) => return problem,
        (Ok(_), None) => return "more text follows the value".to_owned(),
    };
    if let Some(problem) = schema::explain(shape, &value, refused.path()) {
        return problem;
    }
    let path = schema::path_text(refused.path());
    let error = refused.into_inner();
    let twice = error.to_string().starts_with("duplicate field");
    let why = if twice { "a field is given twice" } else { "the value is not one the type accepts" };
    let why = match error.line() {
        // serde had to read it into memory first, as for tagged enums, and lost the place.
        0 => why.to_owned(),
        _ => at_position(why, &error),
    };
    if path.is_empty() { why } else { format!("{path}: {why}") }
}

/// Reads any JSON, at most 128 deep.
///
/// # Errors
///
/// Says where the text stops being JSON, or gets too deep, without repeating it.
pub(crate) fn parse_json(json: &str) -> Result<serde_json::Value, String> {
    let mut input = serde_json::Deserializer::from_str(json);
    let parsed = serde_path_to_error::deserialize::<_, serde_json::Value>(&mut input);
    let error = match parsed {
        Ok(value) => match input.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(at_position("more text follows the value", &error)),
        },
        Err(error) => error,
    };
    let path = schema::path_text(error.path());
    let error = error.into_inner();
    if error.to_string().starts_with("recursion limit") {
        return Err(format!("{path}: {}", at_position("nested deeper than 128", &error)));
    }
    let what = if error.is_eof() { "the JSON ends too early" } else { "not JSON" };
    Err(at_position(what, &error))
}

fn at_position(what: &str, error: &serde_json::Error) -> String {
    format!("{what} (line {}, column {})", error.line(), error.column())
}

fn encode<E: Event>(event: &dyn Any) -> Result<String, String> {
    let Some(event) = event.downcast_ref::<E>() else {
        return Err(format!("the payload is not a {}", E::NAME));
    };
    serde_json::to_string(event).map_err(|error| error.to_string())
}

fn heap_size<E: Event>(event: &dyn Any) -> usize {
    size_of::<E>() + event.downcast_ref::<E>().map_or(0, Schema::heap_size)
}

fn debug<E: Event>(event: &dyn Any, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event.downcast_ref::<E>() {
        Some(event) => event.fmt(f),
        None => f.write_str("?"),
    }
}

/// What `#[event]` submits to the linker.
pub struct LinkedEvent(pub fn() -> &'static EventDecl);

inventory::collect!(LinkedEvent);

/// All linked events, each with its index, in the order of their names.
pub(crate) struct Registry {
    pub(crate) events: Vec<&'static EventDecl>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut events: Vec<_> =
        inventory::iter::<LinkedEvent>.into_iter().map(|LinkedEvent(decl)| decl()).collect();
    events.sort_by_key(|decl| (decl.name, decl.place));
    for (index, decl) in events.iter().enumerate() {
        decl.index.store(u32::try_from(index).unwrap_or(NO_INDEX), Ordering::Relaxed);
    }
    Registry { events }
});

pub(crate) fn registry() -> &'static Registry {
    &REGISTRY
}
