//! Names of events in messages.

use crate::schema::TypeSchema;
use crate::text::Text;

/// Appends the event to the text: its type and its name, or its name only if the schema has no type name.
pub(crate) const fn push_event(text: Text, shape: &'static TypeSchema, name: &str) -> Text {
    match shape {
        TypeSchema::Named(named) => {
            let text = text.push("`").push(last_segment(named.get().path)).push("` (`");
            text.push(name).push("`)")
        }
        _ => text.push("`").push(name).push("`"),
    }
}

/// Returns the last segment of a type path.
const fn last_segment(path: &str) -> &str {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b':' {
        start -= 1;
    }
    path.split_at(start).1
}
