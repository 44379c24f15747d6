//! Says where and why a JSON value does not fit a schema, without repeating the value.

use std::borrow::Cow;

use serde_json::Value;

use super::{StructSchema, TypeSchema};
use crate::text::{MAX_QUOTED, quoted};

/// The deepest path and longest list a message shows.
const MAX_SHOWN: usize = 16;

/// The first place where a value does not fit, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Such as `.items[2].price`; empty for the value itself.
    pub(crate) path: String,
    /// Such as `expected a string, found a number`.
    pub(crate) problem: String,
}

/// The first misfit of `value`, if the schema can tell.
///
/// # Complexity
///
/// Visits at most every element of the value, as deep as it is nested (serde_json stops at 128).
pub(crate) fn explain(shape: &TypeSchema, value: &Value) -> Option<Misfit> {
    let problem = match (shape, value) {
        (TypeSchema::Any, _) | (TypeSchema::Option(_), Value::Null) => return None,
        (TypeSchema::Named(shape), value) => return explain(shape(), value),
        (TypeSchema::Newtype(inner), value) => return explain(inner, value),
        (TypeSchema::Option(inner), value) => return explain(inner, value).map(Misfit::or_null),
        (TypeSchema::Null, Value::Null)
        | (TypeSchema::Bool, Value::Bool(_))
        | (TypeSchema::Float, Value::Number(_))
        | (TypeSchema::String, Value::String(_)) => return None,
        (TypeSchema::Char, Value::String(text)) if text.chars().count() == 1 => return None,
        (TypeSchema::Integer(min, max), Value::Number(number)) => {
            if number.is_f64() {
                format!("expected {}, found a fraction or a number beyond 64 bits", expected(shape))
            } else if number.as_i128().is_some_and(|n| n >= *min && (n < 0 || n.unsigned_abs() <= *max)) {
                return None;
            } else {
                format!("expected {}, found a number outside of it", expected(shape))
            }
        }
        (TypeSchema::Sequence(inner), Value::Array(items)) => {
            return each(items.iter().map(|item| (*inner, item)));
        }
        (TypeSchema::Tuple(shapes), Value::Array(items)) if shapes.len() == items.len() => {
            return each(shapes.iter().copied().zip(items));
        }
        (TypeSchema::Tuple(shapes), Value::Array(items)) => {
            format!("expected an array of {}, found one of {}", shapes.len(), items.len())
        }
        (TypeSchema::Map(inner), Value::Object(map)) => {
            return map
                .iter()
                .find_map(|(key, value)| explain(inner, value).map(|misfit| misfit.under(&key_step(key))));
        }
        (TypeSchema::Struct(fields), Value::Object(map)) => return explain_fields(fields, map),
        (TypeSchema::Enum(variants), Value::String(text)) if variants.contains(&text.as_str()) => {
            return None;
        }
        (TypeSchema::Enum(variants), Value::Object(map)) if map.len() == 1 => {
            if map.keys().all(|key| variants.contains(&key.as_str())) {
                return None;
            }
            format!("expected {}, found another name", expected(shape))
        }
        (TypeSchema::Enum(_), Value::String(_)) => {
            format!("expected {}, found another string", expected(shape))
        }
        _ => format!("expected {}, found {}", expected(shape), found(value)),
    };
    Some(Misfit { path: String::new(), problem })
}

fn each<'a>(items: impl Iterator<Item = (&'a TypeSchema, &'a Value)>) -> Option<Misfit> {
    items
        .enumerate()
        .find_map(|(i, (shape, value))| explain(shape, value).map(|misfit| misfit.under(&format!("[{i}]"))))
}

fn explain_fields(schema: &StructSchema, map: &serde_json::Map<String, Value>) -> Option<Misfit> {
    for field in schema.fields {
        let misfit = match map.get(field.name) {
            Some(value) => explain(field.shape, value),
            None if field.required => Some(Misfit {
                path: String::new(),
                problem: format!("missing, expected {}", expected(field.shape)),
            }),
            None => None,
        };
        if let Some(misfit) = misfit {
            return Some(misfit.under(&key_step(field.name)));
        }
    }
    if !schema.deny_unknown {
        return None;
    }
    let unknown = map.keys().find(|key| schema.fields.iter().all(|field| field.name != key.as_str()))?;
    Some(Misfit { path: key_step(unknown), problem: "unknown field, and the type denies those".into() })
}

impl Misfit {
    /// What stood here might also have been `null`.
    fn or_null(mut self) -> Self {
        if self.path.is_empty() {
            self.problem = self.problem.replacen(", found", " or null, found", 1);
        }
        self
    }

    fn under(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }
}

/// One step into an object; a key from outside is escaped, cut and put in quotes where a dot would
/// mislead.
fn key_step(key: &str) -> String {
    let plain = key.len() <= MAX_QUOTED && key.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
    if plain { format!(".{key}") } else { format!("[\"{}\"]", quoted(key)) }
}

/// A path as serde tracked it, escaped, and cut after 16 steps.
pub(crate) fn path_text(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for (i, segment) in path.iter().enumerate() {
        if i == MAX_SHOWN {
            return text + "...";
        }
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } => text.push_str(&key_step(key)),
            Segment::Enum { variant } => text.push_str(&key_step(variant)),
            Segment::Unknown => text.push_str(".?"),
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Schema;

    fn check<T: Schema>(value: Value, expected: Option<(&str, &str)>) {
        let misfit = explain(T::TYPE, &value);
        let misfit = misfit.as_ref().map(|m| (m.path.as_str(), m.problem.as_str()));
        assert_eq!(misfit, expected, "{value}");
    }

    #[test]
    fn explains_the_first_misfit() {
        type Pairs = Vec<(u8, Option<String>)>;
        check::<Pairs>(json!([[1, "a"], [2, null]]), None);
        check::<Pairs>(
            json!([[1, "a"], [2, 3]]),
            Some(("[1][1]", "expected a string or null, found a number")),
        );
        check::<Pairs>(json!([[1]]), Some(("[0]", "expected an array of 2, found one of 1")));
        check::<Pairs>(
            json!([[256, null]]),
            Some(("[0][0]", "expected an integer from 0 to 255, found a number outside of it")),
        );
        check::<i8>(
            json!(-129),
            Some(("", "expected an integer from -128 to 127, found a number outside of it")),
        );
        check::<u64>(json!(u64::MAX), None);
        check::<u64>(
            json!(1.5),
            Some((
                "",
                "expected an integer from 0 to 18446744073709551615, found a fraction or a number beyond 64 bits",
            )),
        );
        check::<char>(json!("ab"), Some(("", "expected a string of one character, found a string")));
        check::<std::time::Duration>(
            json!({"secs": 1}),
            Some((".nanos", "missing, expected an integer from 0 to 4294967295")),
        );
        check::<std::collections::HashMap<String, bool>>(
            json!({"a b\u{1b}": 1}),
            Some(("[\"a b\\x1b\"]", "expected true or false, found a number")),
        );
    }
}
