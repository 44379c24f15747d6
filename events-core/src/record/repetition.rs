//! Compares an emitted record with the stored one that has the same id.

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::record::Record;

impl Record {
    /// Checks that this record repeats a stored one: the same event, emitted again under its id.
    ///
    /// The names must be equal, and the payloads if both have the same version and can be read. The order of the
    /// elements of arrays does not count, because sets are written in any order. Secrets are not compared.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::IdConflict`], which names the id and both events.
    pub(crate) fn check_repeats(&self, stored: &Self) -> Result<(), Error> {
        let (id, name) = (self.id(), self.name());
        let what = match stored.name() == name {
            false => format!("`{}`", crate::text::quoted(stored.name())),
            true if self.version() != stored.version() || same_payload(self, stored) => return Ok(()),
            true => format!("another `{name}`, with another payload"),
        };
        let message = format!(
            "{name}: the log has the id {id} already, of {what}, emitted at {}; nothing was stored: an id identifies one event, so use it again only to repeat that emit",
            stored.timestamp()
        );
        Err(Error::new(ErrorKind::IdConflict, message).with_event_id(id))
    }
}

/// Compares payloads. True if one of them can't be read.
fn same_payload(one: &Record, other: &Record) -> bool {
    let value = |record: &Record| serde_json::from_str::<Value>(record.json().ok()?).ok().map(sorted);
    match (value(one), value(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

/// Sorts the elements of all arrays.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(elements) => {
            let mut elements: Vec<_> = elements.into_iter().map(sorted).collect();
            elements.sort_by_cached_key(Value::to_string);
            Value::Array(elements)
        }
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, sorted(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Value {
        sorted(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_order_of_sets_and_maps_does_not_count() {
        assert_eq!(of(r#"{"a":[3,{"c":[1,2]},1],"b":null}"#), of(r#"{"b":null,"a":[1,3,{"c":[2,1]}]}"#));
        assert_ne!(of("[1,1,2]"), of("[1,2,2]"));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":1,"b":null}"#));
        assert_ne!(of("0.1"), of("0.10000000000000001e1"));
    }
}
