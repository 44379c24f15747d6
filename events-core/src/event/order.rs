//! Checks whether the events of a type can be handled in the order of a field.

use crate::event::naming::push_event;
use crate::schema::{FieldSchema, MAX_NAMES, StructSchema, TypeSchema, as_read, same};
use crate::text::Text;

/// Reason why the events of a type can't be handled in the order of a field.
pub(crate) enum OrderProblem {
    NoFields,
    Secret,
    /// The event has no such field. Contains the fields that it has.
    Missing(&'static [FieldSchema]),
    /// Equal values of the field may be written as different text, or its type can't be a key for another
    /// reason. Contains a phrase that describes the type.
    NotAKey(&'static str),
}

impl OrderProblem {
    /// Whether the event has no field of the given name.
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::NoFields | Self::Missing(_))
    }

    /// Appends the problem to a text that ends with the name of the field. `shape` and `event` are the schema
    /// and the name of the event.
    pub(crate) const fn describe(&self, text: Text, shape: &'static TypeSchema, event: &str) -> Text {
        match self {
            Self::NoFields => push_event(text.push("`, but "), shape, event).push(" has no named fields"),
            Self::Secret => {
                let text = push_event(text.push("`, which is secret in "), shape, event);
                text.push(": keys are stored in plain text; choose another field")
            }
            Self::Missing(fields) => {
                let text = push_event(text.push("`, but "), shape, event);
                names_of(text.push(" has no such field: it has "), fields)
            }
            Self::NotAKey(what) => {
                let text = push_event(text.push("`, which is ").push(what).push(" in "), shape, event);
                text.push(": a key is a string, a whole number, a `bool`, a `char`, an enum without data, or a tuple of these")
            }
        }
    }
}

/// Returns the reason why events of this schema can't be handled in the order of `field`, or `None` if they
/// can.
pub(crate) const fn order_problem(schema: &'static TypeSchema, field: &str) -> Option<OrderProblem> {
    let fields = match as_read(schema) {
        TypeSchema::Struct(StructSchema { fields, .. }) => fields,
        // The fields of arbitrary JSON are known only at run time.
        TypeSchema::Any => return None,
        _ => return Some(OrderProblem::NoFields),
    };
    match field_of(fields, field) {
        None => Some(OrderProblem::Missing(fields)),
        Some(found) if found.is_hidden() => Some(OrderProblem::Secret),
        Some(found) => match not_a_key(found.shape, 0) {
            Some(what) => Some(OrderProblem::NotAKey(what)),
            None => None,
        },
    }
}

/// Describes the type if its values can't be keys because equal values may be written as different text.
/// Nested tuples are checked to a depth of 8.
const fn not_a_key(shape: &'static TypeSchema, depth: usize) -> Option<&'static str> {
    let (mut shape, mut names) = (shape, 0);
    while names < MAX_NAMES {
        shape = match shape {
            TypeSchema::Named(named) => named.get().shape,
            TypeSchema::Differs { written, .. } => written,
            TypeSchema::Option(inner) => inner,
            TypeSchema::Bool
            | TypeSchema::Integer(..)
            | TypeSchema::NonZero(..)
            | TypeSchema::Char
            | TypeSchema::String => {
                return None;
            }
            TypeSchema::Format(format) if same(format, "decimal") => return Some("a decimal"),
            TypeSchema::Format(_) => return None,
            TypeSchema::Float | TypeSchema::Float32 => return Some("a float"),
            TypeSchema::Null => return Some("always `null`"),
            TypeSchema::Map(..) => return Some("a map"),
            TypeSchema::Sequence(..) => return Some("a list or set"),
            TypeSchema::Struct(_) => return Some("a struct"),
            TypeSchema::Any | TypeSchema::Opaque(_) => return Some("of a type without a schema"),
            TypeSchema::Enum(schema) => {
                let mut i = 0;
                while i < schema.variants.len() {
                    if schema.variants[i].body.is_some() {
                        return Some("an enum with data");
                    }
                    i += 1;
                }
                return None;
            }
            TypeSchema::Tuple(items) => {
                let mut i = 0;
                while i < items.len() {
                    if depth == 8 || not_a_key(items[i], depth + 1).is_some() {
                        return Some("a tuple of other types");
                    }
                    i += 1;
                }
                return None;
            }
        };
        names += 1;
    }
    Some("a type that is declared too far away")
}

const fn field_of(fields: &'static [FieldSchema], name: &str) -> Option<&'static FieldSchema> {
    let mut i = 0;
    while i < fields.len() {
        if let Some(written) = fields[i].written
            && same(written, name)
        {
            return Some(&fields[i]);
        }
        i += 1;
    }
    None
}

const fn names_of(text: Text, fields: &[FieldSchema]) -> Text {
    let mut text = text;
    let (mut i, mut listed) = (0, 0);
    while i < fields.len() {
        if let Some(written) = fields[i].written
            && !fields[i].is_hidden()
        {
            text = if listed > 0 { text.push(", `") } else { text.push("`") };
            text = text.push(written).push("`");
            listed += 1;
        }
        i += 1;
    }
    if listed == 0 { text.push("none") } else { text }
}
