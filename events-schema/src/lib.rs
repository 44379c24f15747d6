//! Schemas of event types: constants that describe a type's JSON, checks of which type reads the JSON of which, and the
//! writer and reader of that JSON.
//!
//! Write programs against the `typed-events` crate. This is a separate crate so that the compiler can build it in
//! parallel with tokio. Hidden items are for events-core alone and change without notice.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod compat;
#[cfg(feature = "lock")]
mod drift;
mod explain;
#[cfg(any(
    feature = "bytes",
    feature = "chrono",
    feature = "jiff",
    feature = "rust_decimal",
    feature = "time",
    feature = "url",
    feature = "uuid"
))]
mod external;
mod itself;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod memory;
mod mismatch;
mod named;
#[doc(hidden)]
pub mod panics;
mod same;
#[doc(hidden)]
pub mod secret;
mod std_types;
#[doc(hidden)]
pub mod text;
mod written;

#[doc(hidden)]
pub use explain::{Segment, explain, path_text};

#[cfg(feature = "lock")]
#[doc(hidden)]
pub use drift::{CheckedPart, Promise, Within, count_non_structs, non_struct_for};
#[doc(hidden)]
pub use itself::{check_declared, check_part};

#[doc(hidden)]
pub use written::{MAX_NAMES, read as as_read, same};

pub use mismatch::SchemaMismatch;
pub use named::{NamedRef, NamedSchema, Verified};

/// A type that can be a field of an event, since its schema is known at compile time.
///
/// Implement it for your own types with `#[payload]`, or with `#[derive(Schema)]` next to serde's derives. It is
/// implemented for the types of the standard library that payloads are made of, but not for ranges, cells, locks and
/// atomics. The features `bytes`, `chrono`, `jiff`, `rust_decimal`, `time`, `url` and `uuid` implement it for the types
/// of these crates. For any other type of another crate, mark the field `#[event(opaque)]` (`#[schema(opaque)]` in a
/// `#[derive(Schema)]`).
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
    note = "if `{Self}` is yours: `#[payload]` (from typed_events) above `{Self}` (above its derives) adds all that it needs, and ends the errors below",
    note = "for a type of `chrono`, add the feature `chrono`: `cargo add typed-events --features chrono`; `bytes`, `jiff`, `rust_decimal`, `time`, `url` and `uuid` have features of their names, too",
    note = "an event owns plain data: use `String` instead of `&str`, and the value itself instead of `Rc`, `Cell`, `RefCell` or `Mutex`",
    note = "for any other type of another crate: mark the field `#[event(opaque)]`, or `#[schema(opaque)]` below `#[derive(Schema)]`; it is not checked"
)]
pub trait Schema {
    /// The schema of the type's JSON.
    // Not for events, whose `SCHEMA` it is: editors offer one of them.
    #[cfg_attr(not(doc), doc(hidden))]
    const TYPE: &'static TypeSchema;

    /// Estimates the memory that the value holds outside of its `size_of`, in bytes, including the overhead of the
    /// allocator. A bounded history counts it. Default: 0.
    ///
    /// A field without a schema is estimated from its serialized form. A field that has no schema and is not serialized
    /// counts as 0. Memory that several values share is counted for each of them.
    ///
    /// # Complexity
    ///
    /// Visits every element of a collection whose elements hold memory.
    // For those who write a schema by hand, and read the docs; editors offer it at no event.
    #[cfg_attr(not(doc), doc(hidden))]
    fn heap_size(&self) -> usize {
        0
    }
}

/// The shape of a type's JSON, as serde writes and reads it.
///
/// Not `#[non_exhaustive]`: code that translates schemas must handle every kind, and the compiler shows where a new one
/// is missing.
#[derive(Debug)]
pub enum TypeSchema {
    /// Any JSON, written and read unchanged: `serde_json::Value`.
    Any,
    /// A type without a schema, which no check compares. The text names the code that writes and reads it.
    Opaque(&'static str),
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// An integer from the first to the second number, both included.
    Integer(i128, u128),
    /// Like [`Integer`](Self::Integer), but without 0.
    NonZero(i128, u128),
    /// A number that fits into an `f32`.
    Float32,
    /// A number that fits into an `f64`.
    Float,
    /// A string of one character.
    Char,
    /// A string.
    String,
    /// A string in this format, such as `uuid` or `date-time`. The names are those of JSON Schema where it has one.
    Format(&'static str),
    /// A declared type. It may contain itself.
    Named(NamedRef),
    /// `null` or the type.
    Option(&'static TypeSchema),
    /// An array of any length, and which properties of the array the collection keeps.
    Sequence(&'static TypeSchema, Keeps),
    /// An array with exactly these elements.
    Tuple(&'static [&'static TypeSchema]),
    /// An object whose keys have the first shape, written as strings, and whose values have the second shape.
    Map(&'static TypeSchema, &'static TypeSchema),
    /// An object with these fields.
    Struct(StructSchema),
    /// One of several alternatives.
    Enum(EnumSchema),
    /// A type that is written in one shape and read in another.
    Differs {
        /// The shape in which it is written.
        written: &'static TypeSchema,
        /// The shape in which it is read.
        read: &'static TypeSchema,
    },
}

/// Returns whether rust_decimal writes decimals as numbers. Any crate in the build can enable that through a feature of
/// rust_decimal.
pub fn decimals_are_numbers() -> bool {
    #[cfg(feature = "rust_decimal")]
    return crate::json::to_string(&rust_decimal::Decimal::ONE).is_ok_and(|json| !json.starts_with('"'));
    #[cfg(not(feature = "rust_decimal"))]
    false
}

impl TypeSchema {
    #[doc(hidden)]
    /// Returns whether the type contains a decimal.
    pub fn has_decimals(&'static self) -> bool {
        let mut seen = Vec::new();
        let mut left = vec![self];
        while let Some(shape) = left.pop() {
            match shape {
                Self::Format("decimal") => return true,
                Self::Named(named) => {
                    let named = named.get();
                    if !seen.iter().any(|other| std::ptr::eq(*other, named)) {
                        seen.push(named);
                        left.push(named.shape);
                    }
                }
                Self::Option(inner) | Self::Sequence(inner, _) => left.push(inner),
                Self::Tuple(items) => left.extend_from_slice(items),
                Self::Map(keys, values) => left.extend([*keys, *values]),
                Self::Struct(schema) => left.extend(schema.fields.iter().map(|field| field.shape)),
                Self::Enum(schema) => left.extend(schema.variants.iter().filter_map(|variant| variant.body)),
                Self::Differs { written, .. } => left.push(written),
                _ => {}
            }
        }
        false
    }

    /// Returns whether serde reads a missing field of this type as `None`.
    pub const fn is_optional(&self) -> bool {
        match self {
            Self::Option(_) => true,
            Self::Named(named) => named.is_optional(),
            Self::Differs { read, .. } => read.is_optional(),
            _ => false,
        }
    }
}

/// The properties of an array that a collection keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Every element, and the order: a `Vec`.
    Order,
    /// Every element, but not the order: a `BinaryHeap`.
    Repeats,
    /// One of several equal elements: a `HashSet` or `BTreeSet`.
    Distinct,
}

/// The fields of an object.
#[derive(Debug)]
pub struct StructSchema {
    /// The fields in the order of declaration, without those that serde neither writes nor reads.
    pub fields: &'static [FieldSchema],
    /// Whether an unknown field is an error when the object is read.
    pub deny_unknown: bool,
}

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub struct FieldSchema {
    /// The name under which it is written; `None` if it is never written.
    pub written: Option<&'static str>,
    /// When the field is written.
    pub presence: Presence,
    /// The name under which it is read; `None` if it is never read.
    pub read: Option<&'static str>,
    /// Further names under which it is read.
    pub aliases: &'static [&'static str],
    /// Whether an object without the field is an error when it is read.
    pub required: bool,
    /// Where the value comes from if the field is missing:
    ///
    /// - the path of a function: its result;
    /// - `struct`: this field of the default value of the whole struct;
    /// - `struct path`: this field of the struct that the function `path` returns;
    /// - empty: the default of the field's type, which is `None` for an `Option`.
    pub default: &'static str,
    /// The path of the function that decides whether the field is left out; empty if there is none.
    pub skipped_if: &'static str,
    /// Whether the entries of its value are written next to the other fields.
    pub flatten: bool,
    /// Whether the field is secret. It is left out of `Debug` output and of JSON, except in stored records.
    pub secret: bool,
    /// Whether only old records have the field. The schema lock keeps it.
    pub gone: bool,
    /// The doc comment of the field.
    pub doc: &'static str,
    /// Whether the field is marked `#[deprecated]`.
    pub deprecated: bool,
    /// The shape of the field's value.
    pub shape: &'static TypeSchema,
}

/// When a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// Unless a function of the user excludes it (`skip_serializing_if`).
    Sometimes,
    /// Unless it is `None` (`skip_serializing_if = "Option::is_none"`), so it is never `null`.
    UnlessNone,
}

impl FieldSchema {
    /// Creates a field that is written and read under one name. It is required unless its type is an `Option`.
    pub const fn new(name: &'static str, shape: &'static TypeSchema) -> Self {
        Self {
            written: Some(name),
            presence: Presence::Always,
            read: Some(name),
            aliases: &[],
            required: !shape.is_optional(),
            default: "",
            skipped_if: "",
            flatten: false,
            secret: false,
            gone: false,
            doc: "",
            deprecated: false,
            shape,
        }
    }

    /// Sets the name under which it is written; `None` if it is never written.
    pub const fn written_as(self, name: Option<&'static str>) -> Self {
        Self { written: name, ..self }
    }

    /// Sets the names under which it is read; `None` if it is never read.
    pub const fn read_as(self, name: Option<&'static str>, aliases: &'static [&'static str]) -> Self {
        Self { read: name, aliases, ..self }
    }

    /// Sets when it is written.
    pub const fn present(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    /// Sets whether it is required when the object is read.
    pub const fn required(self, required: bool) -> Self {
        Self { required, ..self }
    }

    /// Sets the source of the value if the field is missing; see [`default`](Self::default).
    pub const fn defaults_to(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// Sets the function that decides whether it is left out.
    pub const fn skipped_if(self, function: &'static str) -> Self {
        Self { skipped_if: function, ..self }
    }

    /// Writes the entries of its value next to the other fields.
    pub const fn flattened(self) -> Self {
        Self { flatten: true, ..self }
    }

    /// Marks the field as secret.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Marks a field that only old records have.
    pub const fn gone(self) -> Self {
        Self { gone: true, presence: Presence::Sometimes, required: false, ..self }
    }

    /// Sets the doc comment, and whether it is marked `#[deprecated]`.
    pub const fn documented(self, doc: &'static str, deprecated: bool) -> Self {
        Self { doc, deprecated, ..self }
    }
}

/// The variants of an enum.
#[derive(Debug)]
pub struct EnumSchema {
    /// How serde distinguishes the variants.
    pub tag: Tag,
    /// The variants in the order of declaration.
    pub variants: &'static [VariantSchema],
    /// Whether an unknown field next to the tag is an error when the enum is read.
    pub deny_unknown: bool,
}

/// How serde distinguishes the variants of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// By a string, or by the only key of an object.
    External,
    /// By a field of this name in the object of the variant's own fields.
    Internal(&'static str),
    /// By the first of two fields of an object. The second one holds the content of the variant.
    Adjacent(&'static str, &'static str),
    /// By the content: serde reads the first variant that fits.
    Untagged,
}

/// One variant of an enum.
#[derive(Clone, Copy, Debug)]
pub struct VariantSchema {
    /// The name under which it is written; `None` if it is never written.
    pub written: Option<&'static str>,
    /// The name under which it is read; `None` if it is never read.
    pub read: Option<&'static str>,
    /// Further names under which it is read.
    pub aliases: &'static [&'static str],
    /// Whether it is the variant for all unknown names (`#[serde(other)]`).
    pub other: bool,
    /// Whether this variant has no tag in an enum whose other variants have one.
    pub untagged: bool,
    /// The doc comment of the variant.
    pub doc: &'static str,
    /// Whether the variant is marked `#[deprecated]`.
    pub deprecated: bool,
    /// The shape of the variant's content; `None` for a unit variant.
    pub body: Option<&'static TypeSchema>,
}

impl VariantSchema {
    /// Creates a variant that is written and read under one name.
    pub const fn new(name: &'static str, body: Option<&'static TypeSchema>) -> Self {
        Self {
            written: Some(name),
            read: Some(name),
            aliases: &[],
            other: false,
            untagged: false,
            doc: "",
            deprecated: false,
            body,
        }
    }

    /// Sets the name under which it is written; `None` if it is never written.
    pub const fn written_as(self, name: Option<&'static str>) -> Self {
        Self { written: name, ..self }
    }

    /// Sets the names under which it is read; `None` if it is never read.
    pub const fn read_as(self, name: Option<&'static str>, aliases: &'static [&'static str]) -> Self {
        Self { read: name, aliases, ..self }
    }

    /// Makes it the variant for all unknown names.
    pub const fn other(self) -> Self {
        Self { other: true, ..self }
    }

    /// Makes it a variant without a tag.
    pub const fn untagged(self) -> Self {
        Self { untagged: true, ..self }
    }

    /// Sets the doc comment, and whether it is marked `#[deprecated]`.
    pub const fn documented(self, doc: &'static str, deprecated: bool) -> Self {
        Self { doc, deprecated, ..self }
    }
}

/// Returns the struct whose fields are written instead of this field, if the field is flattened.
#[cfg(feature = "lock")]
pub const fn flattened(field: &FieldSchema) -> Option<&'static StructSchema> {
    if !field.flatten {
        return None;
    }
    match as_read(field.shape) {
        TypeSchema::Struct(inner) => Some(inner),
        TypeSchema::Option(inner) => match as_read(inner) {
            TypeSchema::Struct(inner) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}
