//! Explains where and why a JSON value does not fit a schema, without repeating the value.

use std::borrow::Cow;

use serde_json::Value;

use super::written::{read as as_read, reads};
use super::{EnumSchema, FieldSchema, StructSchema, Tag, TypeSchema, VariantSchema};
use crate::text::{MAX_QUOTED, prefix, quoted};

/// Maximum number of variants in a message.
const MAX_SHOWN: usize = 16;

/// Maximum length of a path in a message, in bytes.
const MAX_PATH_BYTES: usize = 200;

/// Returns the path of the first mismatch between a value and the schema, and the reason; `None` if the schema does not
/// show one. An array in place of a struct counts as a mismatch, although serde may read it.
pub fn explain(shape: &'static TypeSchema, value: &Value) -> Option<String> {
    let SchemaMismatch { path, problem } = mismatch(shape, value)?;
    let colon = if path.is_empty() { "" } else { ": " };
    Some(format!("{}{colon}{problem}", cut(path)))
}

fn field_named(schema: &StructSchema, name: &str) -> Option<&'static FieldSchema> {
    schema.fields.iter().find(|field| !field.flatten && reads(field.read, field.aliases, name))
}

fn variant_named(schema: &EnumSchema, name: &str) -> Option<&'static VariantSchema> {
    let named = |variant: &&VariantSchema| !variant.untagged && reads(variant.read, variant.aliases, name);
    schema.variants.iter().find(named).or_else(|| schema.variants.iter().find(|variant| variant.other))
}

/// The path of a mismatch, and the reason.
struct SchemaMismatch {
    path: String,
    problem: String,
}

impl From<String> for SchemaMismatch {
    fn from(problem: String) -> Self {
        Self { path: String::new(), problem }
    }
}

/// Returns the reason why `value` is not read as `shape`.
fn mismatch(shape: &'static TypeSchema, value: &Value) -> Option<SchemaMismatch> {
    let mismatch = mismatch_within(as_read(shape), value)?;
    Some(if shape.is_hidden() { mismatch.hidden() } else { mismatch })
}

fn mismatch_within(shape: &'static TypeSchema, value: &Value) -> Option<SchemaMismatch> {
    let problem = match (shape, value) {
        (TypeSchema::Any | TypeSchema::Opaque(_), _) | (TypeSchema::Option(_), Value::Null) => return None,
        (TypeSchema::Option(inner), value) => return mismatch(inner, value).map(SchemaMismatch::or_null),
        (TypeSchema::Struct(schema), Value::Object(map)) => return mismatch_of_fields(schema, map),
        (TypeSchema::Enum(schema), value) => return mismatch_of_enum(shape, schema, value),
        (TypeSchema::Null, Value::Null)
        | (TypeSchema::Bool, Value::Bool(_))
        | (TypeSchema::Float32 | TypeSchema::Float, Value::Number(_))
        | (TypeSchema::String | TypeSchema::Format(_), Value::String(_)) => return None,
        (TypeSchema::Sequence(inner, _), Value::Array(items)) => {
            return items
                .iter()
                .enumerate()
                .find_map(|(index, item)| Some(mismatch(inner, item)?.below(&Segment::Index(index))));
        }
        (TypeSchema::Map(keys, inner), Value::Object(map)) => {
            return map.iter().find_map(|(key, part)| match keys.is_hidden() {
                true => mismatch(inner, part).map(SchemaMismatch::hidden),
                false => Some(mismatch(inner, part)?.below(&Segment::Key(key))),
            });
        }
        (TypeSchema::Char, Value::String(text)) if text.chars().count() == 1 => return None,
        (TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max), Value::Number(number)) => {
            match number.as_i128() {
                Some(0) if matches!(shape, TypeSchema::NonZero(..)) => {
                    format!("expected {}, found 0", expected(shape))
                }
                Some(n) if n >= *min && (n < 0 || n.unsigned_abs() <= *max) => return None,
                Some(_) => format!("expected {}, found a number outside of it", expected(shape)),
                None if is_beyond_64_bits(*min, *max, number) => return None,
                None => format!("expected {}, found a fraction or a number beyond 64 bits", expected(shape)),
            }
        }
        (TypeSchema::Tuple(shapes), Value::Array(items)) if shapes.len() == items.len() => {
            return shapes.iter().zip(items).enumerate().find_map(|(index, (inner, item))| {
                Some(mismatch(inner, item)?.below(&Segment::Index(index)))
            });
        }
        (TypeSchema::Tuple(shapes), Value::Array(items)) => {
            format!("expected an array of {}, found one of {}", shapes.len(), items.len())
        }
        _ => format!("expected {}, found {}", expected(shape), found(value)),
    };
    Some(problem.into())
}

/// Returns whether a number may be an integer of more than 64 bits in this range. A `Value` holds the nearest float
/// instead.
fn is_beyond_64_bits(min: i128, max: u128, number: &serde_json::Number) -> bool {
    let float = number.as_f64().unwrap_or_default();
    float >= u64::MAX as f64 && max > u128::from(u64::MAX)
        || float <= i64::MIN as f64 && min < i128::from(i64::MIN)
}

fn mismatch_of_fields(schema: &StructSchema, map: &serde_json::Map<String, Value>) -> Option<SchemaMismatch> {
    let given = |field: &FieldSchema| map.iter().find(|(key, _)| reads(field.read, field.aliases, key));
    let missing =
        schema.fields.iter().find(|field| field.required && !field.flatten && given(field).is_none());
    if let Some(FieldSchema { read: Some(name), shape, .. }) = missing {
        let problem = format!("missing, expected {}", expected(shape));
        return Some(SchemaMismatch { path: key_step(name), problem });
    }
    let flattens = schema.fields.iter().any(|field| field.flatten);
    if schema.deny_unknown
        && !flattens
        && let Some(unknown) = map.keys().find(|key| field_named(schema, key).is_none())
    {
        let problem = "unknown field, which the type denies".into();
        return Some(SchemaMismatch { path: key_step(unknown), problem });
    }
    schema.fields.iter().find_map(|field| match given(field) {
        _ if field.flatten => mismatch_of_flattened(schema, field, map),
        Some((key, part)) => {
            let mismatch = mismatch(field.shape, part)?;
            let mismatch = if field.secret { mismatch.hidden() } else { mismatch };
            Some(mismatch.below(&Segment::Key(key)))
        }
        _ => None,
    })
}

/// Returns the reason why the entries next to the fields of `schema` do not fit its flattened field.
fn mismatch_of_flattened(
    schema: &StructSchema,
    field: &'static FieldSchema,
    map: &serde_json::Map<String, Value>,
) -> Option<SchemaMismatch> {
    let others = map.iter().filter(|(key, _)| field_named(schema, key).is_none());
    let rest = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    match as_read(field.shape) {
        TypeSchema::Struct(inner) => {
            mismatch_of_fields(&StructSchema { fields: inner.fields, deny_unknown: false }, &rest)
        }
        shape @ TypeSchema::Enum(inner) if inner.tag != Tag::External => {
            mismatch_of_enum(shape, inner, &Value::Object(rest))
        }
        _ => None,
    }
}

fn mismatch_of_enum(
    shape: &'static TypeSchema,
    schema: &'static EnumSchema,
    value: &Value,
) -> Option<SchemaMismatch> {
    let mut untagged =
        schema.variants.iter().filter(|variant| variant.untagged || schema.tag == Tag::Untagged);
    let fits = |variant: &VariantSchema| match variant.body {
        Some(body) => mismatch(body, value).is_none(),
        None => value.is_null(),
    };
    if untagged.clone().count() > 0 && (schema.tag == Tag::Untagged || untagged.clone().any(fits)) {
        return match untagged.any(fits) {
            true => None,
            false => Some("the value fits none of the variants".to_owned().into()),
        };
    }
    match (schema.tag, value) {
        (Tag::Internal(tag) | Tag::Adjacent(tag, _), Value::Object(map)) => {
            let Some(name) = map.get(tag) else {
                let problem = format!("missing, expected {}", expected(shape));
                return Some(SchemaMismatch { path: key_step(tag), problem });
            };
            let Some(variant) = name.as_str().and_then(|name| variant_named(schema, name)) else {
                let what = if name.is_string() { "another string" } else { found(name) };
                let problem = format!("expected {}, found {what}", expected(shape));
                return Some(SchemaMismatch { path: key_step(tag), problem });
            };
            match (schema.tag, variant.body) {
                (Tag::Adjacent(_, content), Some(body)) => match map.get(content) {
                    Some(part) => Some(mismatch(body, part)?.below(&Segment::Key(content))),
                    None if body.is_optional() => None,
                    None => {
                        let problem = format!("missing, expected {}", expected(body));
                        Some(SchemaMismatch { path: key_step(content), problem })
                    }
                },
                (_, Some(body)) => {
                    let mut rest = map.clone();
                    rest.remove(tag);
                    mismatch(body, &Value::Object(rest))
                }
                (_, None) => None,
            }
        }
        (Tag::External, Value::String(text)) => match variant_named(schema, text) {
            Some(variant) if variant.body.is_none() => None,
            Some(variant) => {
                let written = format!("{{\"{}\": ...}}", variant.read.unwrap_or_default());
                Some(format!("expected an object, `{written}`, found a string").into())
            }
            None => Some(format!("expected {}, found another string", expected(shape)).into()),
        },
        (Tag::External, Value::Object(map)) if map.len() == 1 => {
            let (key, part) = map.iter().next()?;
            match variant_named(schema, key) {
                None => Some(format!("expected {}, found another name", expected(shape)).into()),
                Some(VariantSchema { body: Some(body), .. }) => {
                    Some(mismatch(body, part)?.below(&Segment::Key(key)))
                }
                _ => None,
            }
        }
        _ if schema.tag == Tag::External => {
            Some(format!("expected {}, found {}", expected(shape), found(value)).into())
        }
        _ => Some(format!("expected an object, found {}", found(value)).into()),
    }
}

impl SchemaMismatch {
    /// Adds an outer step to the path.
    fn below(mut self, step: &Segment<'_>) -> Self {
        let mut path = String::new();
        push_step(&mut path, step);
        self.path.insert_str(0, &path);
        self
    }

    /// Removes the path, since keys inside a secret are secret, too.
    fn hidden(mut self) -> Self {
        self.path.clear();
        self
    }

    /// Adds to the expected kinds that the value may be `null`.
    fn or_null(mut self) -> Self {
        if self.path.is_empty() {
            self.problem = self.problem.replacen(", found", " or null, found", 1);
        }
        self
    }
}

/// Returns the path step for a key. A key from outside is escaped and cut, and quoted if it contains other characters
/// than letters, digits, `_`, `-` and `$`.
fn key_step(key: &str) -> String {
    let plain = key.len() <= MAX_QUOTED && key.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
    if plain { format!(".{key}") } else { format!("[\"{}\"]", quoted(key).replace('"', "\\\"")) }
}

/// A step of the path into a value.
pub enum Segment<'a> {
    /// An element of an array.
    Index(usize),
    /// An entry of an object.
    Key(&'a str),
}

/// Returns a path in the form of messages, escaped and cut.
pub fn path_text<'a>(path: impl Iterator<Item = Segment<'a>>) -> String {
    let mut text = String::new();
    path.take(MAX_PATH_BYTES).for_each(|step| push_step(&mut text, &step));
    cut(text)
}

fn push_step(path: &mut String, step: &Segment<'_>) {
    match step {
        Segment::Index(index) => path.push_str(&format!("[{index}]")),
        Segment::Key(key) => path.push_str(&key_step(key)),
    }
}

fn cut(mut path: String) -> String {
    if path.len() > MAX_PATH_BYTES {
        path.truncate(prefix(&path, MAX_PATH_BYTES).len());
        path.push_str("...");
    }
    path
}

fn expected(shape: &'static TypeSchema) -> Cow<'static, str> {
    match as_read(shape) {
        TypeSchema::Null => "null".into(),
        TypeSchema::Bool => "true or false".into(),
        TypeSchema::Integer(min, max) => format!("an integer from {min} to {max}").into(),
        TypeSchema::NonZero(min, max) => format!("an integer from {min} to {max}, not 0").into(),
        TypeSchema::Float32 | TypeSchema::Float => "a number".into(),
        TypeSchema::Char => "a string of one character".into(),
        TypeSchema::String => "a string".into(),
        TypeSchema::Format(format) => format!("a string ({format})").into(),
        TypeSchema::Option(inner) => format!("{} or null", expected(inner)).into(),
        TypeSchema::Sequence(..) => "an array".into(),
        TypeSchema::Tuple(shapes) => format!("an array of {}", shapes.len()).into(),
        TypeSchema::Map(..) | TypeSchema::Struct(_) => "an object".into(),
        TypeSchema::Enum(schema) if schema.tag != Tag::Untagged => {
            let names = || {
                let tagged = schema.variants.iter().filter(|variant| !variant.untagged);
                tagged.flat_map(|variant| variant.read.into_iter().chain(variant.aliases.iter().copied()))
            };
            let more = if names().count() > MAX_SHOWN { ", ..." } else { "" };
            let shown: Vec<_> = names().take(MAX_SHOWN).map(|name| format!("`{name}`")).collect();
            format!("one of {}{more}", shown.join(", ")).into()
        }
        _ => "a value".into(),
    }
}

/// Returns the kind of a JSON value, for messages.
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
