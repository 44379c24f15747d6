//! Checks whether an event survives serialisation, for tests.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::event::{Event, Payload, read_json};
use crate::json::{Path, Step, WriteError, from_str};
use crate::record::Record;
use crate::schema::{EnumSchema, Keeps, Tag, TypeSchema, VariantSchema};
use crate::secret;

/// Callback for each event that can't be read back.
#[derive(Clone)]
pub(crate) struct OnLoss(pub(crate) Arc<dyn Fn(&Error) + Send + Sync>);

impl fmt::Debug for OnLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLoss")
    }
}

/// Serialises an event as an adapter stores it, and deserialises the result.
///
/// # Errors
///
/// Returns a message if the event can't be written, if the result can't be read, or if it is read as another
/// value.
pub fn read_back<E: Event>(event: &E) -> Result<E, String> {
    let json = secret::reveal(|| <dyn Payload>::to_json(event)).map_err(|error| not_written(&error))?;
    let back = read_json::<E>(E::NAME, E::SCHEMA, &json).map_err(|error| not_read(&error))?;
    compare(E::SCHEMA, &json, &back).map(|()| back)
}

fn not_written(error: &WriteError) -> String {
    format!("it can't be written as JSON: {error}")
}

fn not_read(error: &dyn fmt::Display) -> String {
    format!("it can't read what it writes: {error}; correct its serde attributes or its `Deserialize`")
}

/// Serialises the value that was read and compares the result with the original JSON. Arrays with the same
/// items in another order are equal unless the schema says that the order is kept, because they may be sets.
fn compare(shape: &'static TypeSchema, json: &str, back: &dyn Payload) -> Result<(), String> {
    let again = secret::reveal(|| back.to_json()).map_err(|error| not_written(&error))?;
    if *again == *json {
        return Ok(());
    }
    let parse = |json: &str| from_str::<Value>(json).map_err(|error| not_read(&error));
    match difference(&[shape], &parse(json)?, &parse(&again)?) {
        None => Ok(()),
        Some(path) => {
            let (path, colon) = (path.text(), ": ");
            let at = if path.is_empty() { String::new() } else { format!("{path}{colon}") };
            Err(format!(
                "it comes back as another value: {at}the value read differs from the value written; correct its serde attributes, or its `Serialize` and `Deserialize`"
            ))
        }
    }
}

/// Schemas that a value may have.
type Shapes = Vec<&'static TypeSchema>;

/// Returns the path to the first difference of two values that were written with one of these schemas.
fn difference(shapes: &[&'static TypeSchema], one: &Value, other: &Value) -> Option<Path> {
    let shapes = alternatives(shapes);
    let below = |step: Step, inner: &Shapes, one: &Value, other: &Value| {
        let mut path = difference(inner, one, other)?;
        path.push(step);
        Some(path)
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
            one.iter().find_map(|(key, value)| match other.get(key) {
                Some(found) => below(Step::Key(key.clone()), &entry_schemas(&shapes, one, key), value, found),
                None => Some(Path::of(Step::Key(key.clone()))),
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            if !keeps_order(&shapes, one.len()) && have_same_items(&item_schemas(&shapes, 0), one, other) {
                return None;
            }
            one.iter().zip(other).enumerate().find_map(|(index, (one, other))| {
                below(Step::Index(index), &item_schemas(&shapes, index), one, other)
            })
        }
        // Compared as text, because `0.0` and `-0.0` are equal as numbers.
        _ if format!("{one}") == format!("{other}") => None,
        _ => Some(Path::default()),
    }
}

/// Whether two arrays contain the same items in any order.
fn have_same_items(shapes: &Shapes, one: &[Value], other: &[Value]) -> bool {
    let mut left: Vec<&Value> = other.iter().collect();
    one.iter().all(|item| {
        let found = left.iter().position(|candidate| difference(shapes, item, candidate).is_none());
        found.map(|index| left.swap_remove(index)).is_some()
    })
}

/// Resolves names, options and untagged enums to the schemas behind them. Types that convert through user
/// code are not resolved.
fn alternatives(shapes: &[&'static TypeSchema]) -> Shapes {
    let (mut left, mut seen) = (shapes.to_vec(), Shapes::new());
    while let Some(shape) = left.pop() {
        if seen.iter().any(|other| std::ptr::eq(*other, shape)) {
            continue;
        }
        seen.push(shape);
        match shape {
            TypeSchema::Named(named) if named.get().converts.is_empty() => left.push(named.get().shape),
            TypeSchema::Option(inner) => left.push(inner),
            TypeSchema::Enum(schema) => {
                let untagged = schema.variants.iter().filter(|variant| is_untagged(schema, variant));
                left.extend(untagged.filter_map(|variant| variant.body));
            }
            TypeSchema::Differs { written, .. } => left.push(written),
            _ => {}
        }
    }
    seen
}

fn is_untagged(schema: &EnumSchema, variant: &VariantSchema) -> bool {
    variant.untagged || schema.tag == Tag::Untagged
}

/// Whether arrays of this length keep their order under every one of these schemas.
fn keeps_order(shapes: &Shapes, len: usize) -> bool {
    let each = shapes.iter().filter_map(|shape| match shape {
        TypeSchema::Sequence(_, keeps) => Some(*keeps == Keeps::Order),
        TypeSchema::Tuple(items) if items.len() == len => Some(true),
        TypeSchema::Any => Some(true),
        TypeSchema::Opaque(_) => Some(false),
        TypeSchema::Named(named) if !named.get().converts.is_empty() => Some(false),
        _ => None,
    });
    each.reduce(|all, one| all && one).unwrap_or(false)
}

/// Schemas that an item of an array may have.
fn item_schemas(shapes: &Shapes, index: usize) -> Shapes {
    let of = |shape: &&'static TypeSchema| match *shape {
        TypeSchema::Sequence(inner, _) => Some(*inner),
        TypeSchema::Tuple(items) => items.get(index).copied(),
        shape @ TypeSchema::Any => Some(shape),
        _ => None,
    };
    shapes.iter().filter_map(of).collect()
}

/// Schemas that the value of a key in an object may have.
fn entry_schemas(shapes: &Shapes, object: &Map<String, Value>, key: &str) -> Shapes {
    let (mut left, mut found) = (shapes.clone(), Shapes::new());
    // A struct may flatten itself, so the number of steps is limited.
    let mut visits = 0;
    while let Some(shape) = left.pop()
        && visits < MAX_SHAPES
    {
        visits += 1;
        match shape {
            TypeSchema::Any => found.push(shape),
            TypeSchema::Map(_, values) => found.push(values),
            TypeSchema::Struct(schema) => {
                let own = schema.fields.iter().filter(|field| !field.flatten && field.written == Some(key));
                found.extend(own.map(|field| field.shape));
                let flattened: Shapes =
                    schema.fields.iter().filter(|field| field.flatten).map(|field| field.shape).collect();
                left.extend(alternatives(&flattened));
            }
            TypeSchema::Enum(schema) => match schema.tag {
                Tag::External => found.extend(variant_schema(schema, key)),
                Tag::Internal(tag) => left.extend(alternatives(&tagged_variant_schemas(schema, object, tag))),
                Tag::Adjacent(tag, content) if content == key => {
                    found.extend(tagged_variant_schemas(schema, object, tag))
                }
                Tag::Adjacent(..) | Tag::Untagged => {}
            },
            _ => {}
        }
    }
    found
}

/// Maximum number of schemas that are visited for one entry.
const MAX_SHAPES: usize = 1_000;

/// Schema of the variant with this name.
fn variant_schema(schema: &EnumSchema, name: &str) -> Option<&'static TypeSchema> {
    let mut tagged = schema.variants.iter().filter(|variant| !is_untagged(schema, variant));
    tagged.find(|variant| variant.written == Some(name))?.body
}

/// Schema of the variant that the tag of an object names.
fn tagged_variant_schemas(schema: &EnumSchema, object: &Map<String, Value>, tag: &str) -> Shapes {
    let name = object.get(tag).and_then(Value::as_str);
    name.and_then(|name| variant_schema(schema, name)).into_iter().collect()
}

impl Record {
    /// Checks that the event is read back unchanged.
    pub(crate) fn check_read_back(&self) -> Result<(), Error> {
        let Some(decl) = self.decl() else { return Ok(()) };
        let json = self.json_with_secrets()?;
        let back = decl.decode(decl.version, &json).map_err(|error| not_read(&error));
        back.and_then(|back| compare(decl.schema, &json, &*back)).map_err(|why| {
            let message = format!("{} ({}): {why}", decl.name, decl.location);
            Error::new(ErrorKind::Serialize, message)
        })
    }
}
