//! Says where and why a JSON value does not fit a schema, without repeating the value.

use std::borrow::Cow;

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::{StructSchema, TypeSchema};
use crate::text::{MAX_QUOTED, quoted};

/// The most variants a message lists.
const MAX_SHOWN: usize = 16;

/// The longest path a message shows.
const MAX_PATH_BYTES: usize = 200;

/// Why `value` does not fit, at the place where serde refused it; `None` where the schema can't tell.
///
/// Only that place is looked at: elsewhere serde may accept more than the schema says, such as an
/// array for a struct.
pub(crate) fn explain(shape: &TypeSchema, value: &Value, path: &Path) -> Option<String> {
    let (mut shape, mut value) = (shape, value);
    let mut place = String::new();
    for step in path {
        match (step_shape(shape, step), step_value(value, step)) {
            (Some(next), Some(part)) => (shape, value) = (next, part),
            // serde reads a struct from an array, too: then what is wrong is one of its elements.
            _ if matches!(step, Segment::Seq { .. }) => return None,
            // An unknown field, for one, is a matter of the object it is in.
            _ => break,
        }
        push_step(&mut place, step);
    }
    let misfit = misfit(shape, value)?;
    let colon = if place.is_empty() && misfit.step.is_empty() { "" } else { ": " };
    Some(format!("{}{}{colon}{}", cut(place), misfit.step, misfit.problem))
}

fn step_value<'a>(value: &'a Value, step: &Segment) -> Option<&'a Value> {
    match step {
        Segment::Seq { index } => value.get(*index),
        Segment::Map { key } => value.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn step_shape<'a>(shape: &'a TypeSchema, step: &Segment) -> Option<&'a TypeSchema> {
    match (shape, step) {
        (TypeSchema::Named(shape), _) => step_shape(shape(), step),
        (TypeSchema::Newtype(inner) | TypeSchema::Option(inner), _) => step_shape(inner, step),
        (TypeSchema::Sequence(inner), Segment::Seq { .. }) => Some(inner),
        (TypeSchema::Map(inner), Segment::Map { .. }) => Some(inner),
        (TypeSchema::Tuple(shapes), Segment::Seq { index }) => shapes.get(*index).copied(),
        (TypeSchema::Struct(schema), Segment::Map { key }) => {
            schema.fields.iter().find(|field| field.name == key).map(|field| field.shape)
        }
        _ => None,
    }
}

/// Why a value does not fit, without its parts.
struct Misfit {
    /// The field that is missing or unknown.
    step: String,
    problem: String,
}

fn misfit(shape: &TypeSchema, value: &Value) -> Option<Misfit> {
    let problem = match (shape, value) {
        (TypeSchema::Any, _) | (TypeSchema::Option(_), Value::Null) => return None,
        (TypeSchema::Named(shape), value) => return misfit(shape(), value),
        (TypeSchema::Newtype(inner), value) => return misfit(inner, value),
        (TypeSchema::Option(inner), value) => return misfit(inner, value).map(Misfit::or_null),
        (TypeSchema::Struct(schema), Value::Object(map)) => return misfit_of_fields(schema, map),
        (TypeSchema::Null, Value::Null)
        | (TypeSchema::Bool, Value::Bool(_))
        | (TypeSchema::Float, Value::Number(_))
        | (TypeSchema::String, Value::String(_))
        | (TypeSchema::Sequence(_), Value::Array(_))
        | (TypeSchema::Map(_), Value::Object(_)) => return None,
        (TypeSchema::Char, Value::String(text)) if text.chars().count() == 1 => return None,
        (TypeSchema::Integer(min, max), Value::Number(number)) => match number.as_i128() {
            Some(n) if n >= *min && (n < 0 || n.unsigned_abs() <= *max) => return None,
            Some(_) => format!("expected {}, found a number outside of it", expected(shape)),
            None => format!("expected {}, found a fraction or a number beyond 64 bits", expected(shape)),
        },
        (TypeSchema::Tuple(shapes), Value::Array(items)) if shapes.len() == items.len() => return None,
        (TypeSchema::Tuple(shapes), Value::Array(items)) => {
            format!("expected an array of {}, found one of {}", shapes.len(), items.len())
        }
        (TypeSchema::Enum(variants), Value::String(text)) if variants.contains(&text.as_str()) => {
            return None;
        }
        (TypeSchema::Enum(_), Value::String(_)) => {
            format!("expected {}, found another string", expected(shape))
        }
        (TypeSchema::Enum(variants), Value::Object(map)) if map.len() == 1 => {
            if map.keys().all(|key| variants.contains(&key.as_str())) {
                return None;
            }
            format!("expected {}, found another name", expected(shape))
        }
        _ => format!("expected {}, found {}", expected(shape), found(value)),
    };
    Some(Misfit { step: String::new(), problem })
}

fn misfit_of_fields(schema: &StructSchema, map: &serde_json::Map<String, Value>) -> Option<Misfit> {
    let missing = schema.fields.iter().find(|field| field.required && !map.contains_key(field.name));
    if let Some(field) = missing {
        let problem = format!("missing, expected {}", expected(field.shape));
        return Some(Misfit { step: key_step(field.name), problem });
    }
    let is_known = |key: &String| schema.fields.iter().any(|field| field.name == key.as_str());
    let unknown = map.keys().find(|key| schema.deny_unknown && !is_known(key))?;
    Some(Misfit { step: key_step(unknown), problem: "unknown field, and the type denies those".into() })
}

impl Misfit {
    /// What stood here might also have been `null`.
    fn or_null(mut self) -> Self {
        if self.step.is_empty() {
            self.problem = self.problem.replacen(", found", " or null, found", 1);
        }
        self
    }
}

/// One step into an object; a key from outside is escaped, cut and put in quotes where a dot would
/// mislead.
fn key_step(key: &str) -> String {
    let plain = key.len() <= MAX_QUOTED && key.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
    if plain { format!(".{key}") } else { format!("[\"{}\"]", quoted(key).replace('"', "\\\"")) }
}

/// A path as serde tracked it, escaped and cut.
pub(crate) fn path_text(path: &Path) -> String {
    let mut text = String::new();
    path.iter().for_each(|step| push_step(&mut text, step));
    cut(text)
}

fn push_step(path: &mut String, step: &Segment) {
    match step {
        Segment::Seq { index } => path.push_str(&format!("[{index}]")),
        Segment::Map { key } => path.push_str(&key_step(key)),
        Segment::Enum { variant } => path.push_str(&key_step(variant)),
        Segment::Unknown => path.push_str(".?"),
    }
}

fn cut(mut path: String) -> String {
    if path.len() > MAX_PATH_BYTES {
        path.truncate(path.floor_char_boundary(MAX_PATH_BYTES));
        path.push_str("...");
    }
    path
}

fn expected(shape: &TypeSchema) -> Cow<'static, str> {
    match shape {
        TypeSchema::Any => "a value".into(),
        TypeSchema::Null => "null".into(),
        TypeSchema::Bool => "true or false".into(),
        TypeSchema::Integer(min, max) => format!("an integer from {min} to {max}").into(),
        TypeSchema::Float => "a number".into(),
        TypeSchema::Char => "a string of one character".into(),
        TypeSchema::String => "a string".into(),
        TypeSchema::Named(shape) => expected(shape()),
        TypeSchema::Newtype(inner) => expected(inner),
        TypeSchema::Option(inner) => format!("{} or null", expected(inner)).into(),
        TypeSchema::Sequence(_) => "an array".into(),
        TypeSchema::Tuple(shapes) => format!("an array of {}", shapes.len()).into(),
        TypeSchema::Map(_) | TypeSchema::Struct(_) => "an object".into(),
        TypeSchema::Enum(variants) => {
            let more = if variants.len() > MAX_SHOWN { ", ..." } else { "" };
            let shown: Vec<_> = variants.iter().take(MAX_SHOWN).map(|v| format!("`{v}`")).collect();
            format!("one of {}{more}", shown.join(", ")).into()
        }
    }
}

/// The kind of a JSON value, for messages.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
