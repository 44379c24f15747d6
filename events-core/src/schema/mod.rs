//! What a type looks like on the wire, as constants.

mod explain;
mod std_types;

pub(crate) use explain::{explain, path_text};

/// A type that can be a field of an event: its shape is known to the compiler.
///
/// `#[payload]` above a type of your own gives it one, and so does `#[derive(Schema)]` beside serde's
/// derives. Types of the standard
/// library that serde reads and writes have it, with few exceptions (ranges, `OsString`, `CString`). For a foreign type, mark the field `#[event(opaque)]`
/// (`#[schema(opaque)]` in a `#[derive(Schema)]`).
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_events::{Schema, event};
///
/// #[derive(Debug, Clone, Serialize, Deserialize, Schema)]
/// pub struct Address { pub street: String, pub city: String }
///
/// #[event("user.moved")]
/// pub struct UserMoved { pub id: u64, pub to: Address }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no schema, so an event can't have a field of it",
    label = "this type has no schema",
    note = "if `{Self}` is yours, put `#[payload]` (from typed_events) above it, or `#[derive(Schema)]` if it has serde's derives",
    note = "if it is foreign, mark the field `#[event(opaque)]`, or `#[schema(opaque)]` below `#[derive(Schema)]`: it is then not checked"
)]
pub trait Schema {
    /// The shape of the type on the wire.
    const TYPE: &'static TypeSchema;

    /// Whether serde reads a missing field of this type as if it were there: an `Option`.
    const OPTIONAL: bool = false;

    /// About how many bytes the value holds outside of its own `size_of`: what a bounded history
    /// counts. 0 unless said.
    ///
    /// # Complexity
    ///
    /// Visits every element of a collection whose elements hold memory of their own.
    fn heap_size(&self) -> usize {
        0
    }
}

/// The shape of a type as serde reads it from JSON.
#[derive(Debug)]
#[non_exhaustive]
pub enum TypeSchema {
    /// Anything: what is behind it is not described.
    Any,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number from the first to the second, both included.
    Integer(i128, u128),
    /// A number.
    Float,
    /// A string of one character.
    Char,
    /// A string.
    String,
    /// What the function returns: a type with a declaration of its own, which may contain itself.
    Named(fn() -> &'static TypeSchema),
    /// What the type looks like: a newtype, which adds nothing on the wire.
    Newtype(&'static TypeSchema),
    /// `null` or the type.
    Option(&'static TypeSchema),
    /// An array of any length.
    Sequence(&'static TypeSchema),
    /// An array with these elements.
    Tuple(&'static [&'static TypeSchema]),
    /// An object with any keys.
    Map(&'static TypeSchema),
    /// An object with these fields.
    Struct(StructSchema),
    /// An enum: a string that names a variant, or an object with the variant as its one key.
    Enum(&'static [&'static str]),
}

/// The fields of an object.
#[derive(Debug)]
pub struct StructSchema {
    /// The fields that are read, under their names on the wire.
    pub fields: &'static [FieldSchema],
    /// Whether a field of another name is an error.
    pub deny_unknown: bool,
}

/// One field of an object.
#[derive(Debug)]
pub struct FieldSchema {
    /// The name on the wire.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// The shape of its value.
    pub shape: &'static TypeSchema,
}

/// What a JSON value holds outside of itself; see [`Schema::heap_size`].
pub(crate) fn heap_of(value: &serde_json::Value) -> usize {
    value.heap_size()
}
