//! Whether an event comes back as it was: what tests ask.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::event::{Event, Payload, read_json};
use crate::json::{Path, Step, WriteError, from_str};
use crate::record::Record;
use crate::secret;

/// Told of each event that can't be read back.
#[derive(Clone)]
pub(crate) struct OnLoss(pub(crate) Arc<dyn Fn(&Error) + Send + Sync>);

impl fmt::Debug for OnLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLoss")
    }
}

/// Writes an event as an adapter keeps it, and reads that.
///
/// # Errors
///
/// Says where the event can't be written, where what is written can't be read, or where it is read as another value.
pub fn read_back<E: Event>(event: &E) -> Result<E, String> {
    let json = secret::reveal(|| <dyn Payload>::to_json(event)).map_err(|error| not_written(&error))?;
    let back = read_json::<E>(E::NAME, E::SCHEMA, &json).map_err(|error| not_read(&error))?;
    compare(&json, &back).map(|()| back)
}

fn not_written(error: &WriteError) -> String {
    format!("it can't be written as JSON: {error}")
}

fn not_read(error: &dyn fmt::Display) -> String {
    format!("it can't read what it writes: {error}: mend its serde attributes or its `Deserialize`")
}

/// Compares what a value that was read is written as with what it was read from. The order of an array that has the
/// same items is not compared: it may be a set.
fn compare(json: &str, back: &dyn Payload) -> Result<(), String> {
    let again = secret::reveal(|| back.to_json()).map_err(|error| not_written(&error))?;
    if *again == *json {
        return Ok(());
    }
    let parse = |json: &str| from_str::<Value>(json).map_err(|error| not_read(&error));
    match difference(&parse(json)?, &parse(&again)?) {
        None => Ok(()),
        Some(path) => {
            let (path, colon) = (path.text(), ": ");
            let place = if path.is_empty() { String::new() } else { format!("{path}{colon}") };
            Err(format!(
                "it comes back as another value: {place}what is read differs from what was written: mend its serde attributes, or its `Serialize` and `Deserialize`"
            ))
        }
    }
}

/// The path to the first difference of two values.
fn difference(one: &Value, other: &Value) -> Option<Path> {
    let below = |step: Step, one: &Value, other: &Value| {
        let mut path = difference(one, other)?;
        path.push(step);
        Some(path)
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
            one.iter().find_map(|(key, value)| match other.get(key) {
                Some(found) => below(Step::Key(key.clone()), value, found),
                None => Some(Path::of(Step::Key(key.clone()))),
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut left: Vec<&Value> = other.iter().collect();
            let has_all = one.iter().all(|item| {
                let found = left.iter().position(|candidate| difference(item, candidate).is_none());
                found.map(|index| left.swap_remove(index)).is_some()
            });
            if has_all {
                return None;
            }
            one.iter()
                .zip(other)
                .enumerate()
                .find_map(|(index, (one, other))| below(Step::Index(index), one, other))
        }
        // As text: `0.0` and `-0.0` are equal.
        _ if format!("{one}") == format!("{other}") => None,
        _ => Some(Path::default()),
    }
}

impl Record {
    /// Whether the event is read back as it was.
    pub(crate) fn check_read_back(&self) -> Result<(), Error> {
        let Some(decl) = self.decl() else { return Ok(()) };
        let json = self.revealed()?;
        let back = decl.decode(decl.version, &json).map_err(|error| not_read(&error));
        back.and_then(|back| compare(&json, &*back)).map_err(|why| {
            let message = format!("{} ({}): {why}", decl.name, decl.place);
            Error::new(ErrorKind::Serialize, message)
        })
    }
}
