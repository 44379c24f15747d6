//! What the types of events look like as JSON: their schemas, as constants, which of them reads which, and the one
//! writer and reader of that JSON.
//!
//! Write programs against the `typed-events` crate. This is a crate of its own because the compiler then works on it
//! beside tokio; what is hidden here is for events-core alone, and changes without notice.

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
mod misfit;
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
pub use drift::{Part, Promise, Within, count_others, other_for};
#[doc(hidden)]
pub use itself::{check_declared, check_part};

#[doc(hidden)]
pub use written::{MAX_NAMES, read as as_read, same};

pub use misfit::SchemaMismatch;
pub use named::{NamedRef, NamedSchema, Verified};

/// A type that can be a field of an event: its shape is known to the compiler.
///
/// `#[payload]` above a type of your own gives it one, and so does `#[derive(Schema)]` beside serde's
/// derives. So do the types of the standard library that payloads are made of; not ranges, cells, locks and
/// atomics. The features `bytes`, `chrono`, `jiff`,
/// `rust_decimal`, `time`, `url` and `uuid` add those of these crates. For any other type of another crate, mark the field `#[event(opaque)]`
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
    note = "of a type of `bytes`, `chrono`, `jiff`, `rust_decimal`, `time`, `url` or `uuid`, add the feature of that name: `cargo add typed-events --features uuid`",
    note = "if `{Self}` is yours: `#[payload]` (from typed_events) above `{Self}` (above its derives) gives it all that it needs, and ends the errors below",
    note = "an event owns plain data: take `String` in place of `&str`, and the value itself in place of `Rc`, `Cell`, `RefCell` or `Mutex`",
    note = "any other type of another crate: mark the field `#[event(opaque)]`, or `#[schema(opaque)]` below `#[derive(Schema)]`, and it is not checked"
)]
pub trait Schema {
    /// The shape of the type on the wire.
    const TYPE: &'static TypeSchema;

    /// About how many bytes the value holds outside of its own `size_of`, with what an allocator takes for them:
    /// what a bounded history counts. 0 unless said.
    ///
    /// A field without a schema is counted by what it writes; one that is neither described nor written is not
    /// counted. What several values share is counted for each.
    ///
    /// # Complexity
    ///
    /// Visits every element of a collection whose elements hold memory of their own.
    fn heap_size(&self) -> usize {
        0
    }
}

/// The shape of a type in JSON, as serde writes and reads it.
///
/// Not `#[non_exhaustive]`: code that translates shapes has to know of a new one, and the compiler shows where.
#[derive(Debug)]
pub enum TypeSchema {
    /// Any JSON is written and read: a `serde_json::Value`.
    Any,
    /// Not described, and so not compared with anything: the text says which code writes and reads it.
    Opaque(&'static str),
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number from the first to the second, both included.
    Integer(i128, u128),
    /// As [`Integer`](Self::Integer), but not 0.
    NonZero(i128, u128),
    /// A number that an `f32` holds.
    Float32,
    /// A number that an `f64` holds.
    Float,
    /// A string of one character.
    Char,
    /// A string.
    String,
    /// A string in this format, such as `uuid` or `date-time`; the names are JSON Schema's where it
    /// has one.
    Format(&'static str),
    /// A type with a declaration of its own, which may contain itself.
    Named(NamedRef),
    /// `null` or the type.
    Option(&'static TypeSchema),
    /// An array of any length, and what is kept of it.
    Sequence(&'static TypeSchema, Keeps),
    /// An array with these elements.
    Tuple(&'static [&'static TypeSchema]),
    /// An object with any keys of the first shape, written as strings, and values of the second.
    Map(&'static TypeSchema, &'static TypeSchema),
    /// An object with these fields.
    Struct(StructSchema),
    /// One of several variants.
    Enum(EnumSchema),
    /// What is written differs from what is read.
    Differs {
        /// What is written.
        written: &'static TypeSchema,
        /// What is read.
        read: &'static TypeSchema,
    },
}

/// Whether rust_decimal writes numbers: a feature of its own, which any crate may turn on.
pub fn decimals_are_numbers() -> bool {
    #[cfg(feature = "rust_decimal")]
    return crate::json::to_string(&rust_decimal::Decimal::ONE).is_ok_and(|json| !json.starts_with('"'));
    #[cfg(not(feature = "rust_decimal"))]
    false
}

impl TypeSchema {
    #[doc(hidden)]
    /// Whether there is a decimal in it.
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

    /// Whether serde reads a missing field of this type as if it were there: an `Option`.
    pub const fn is_optional(&self) -> bool {
        match self {
            Self::Option(_) => true,
            Self::Named(named) => named.is_optional(),
            Self::Differs { read, .. } => read.is_optional(),
            _ => false,
        }
    }
}

/// What a collection keeps of the elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// All of them, in their order: a `Vec`.
    Order,
    /// All of them, in an order of its own: a `BinaryHeap`.
    Repeats,
    /// One of those that are equal: a `HashSet` or `BTreeSet`.
    Distinct,
}

/// The fields of an object.
#[derive(Debug)]
pub struct StructSchema {
    /// The fields, in the order in which they are declared; those that serde skips both ways are left
    /// out.
    pub fields: &'static [FieldSchema],
    /// Whether reading a field of another name is an error.
    pub deny_unknown: bool,
}

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub struct FieldSchema {
    /// The name it is written under; `None` where it never is.
    pub written: Option<&'static str>,
    /// When it is written.
    pub presence: Presence,
    /// The name it is read under; `None` where it never is.
    pub read: Option<&'static str>,
    /// Further names it is read under.
    pub aliases: &'static [&'static str],
    /// Whether reading an object without it is an error.
    pub required: bool,
    /// What an object without it is read as: the path of a function, `struct` for the value that the
    /// type of the object has there by default, `struct path` for that of a function; empty where it is
    /// the default of the field's own type, which is `None` for an `Option`.
    pub default: &'static str,
    /// The path of the function that says when it is not written; empty where there is none.
    pub skipped_if: &'static str,
    /// Whether the parts of its value stand beside the other fields.
    pub flatten: bool,
    /// Whether textual forms leave it out.
    pub secret: bool,
    /// Whether only old records have it: the lock remembers it.
    pub gone: bool,
    /// What its doc comment says.
    pub doc: &'static str,
    /// Whether it is marked `#[deprecated]`.
    pub deprecated: bool,
    /// The shape of its value.
    pub shape: &'static TypeSchema,
}

/// When a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// Not where a function of the user says so (`skip_serializing_if`).
    Sometimes,
    /// Not where it is `None` (`skip_serializing_if = "Option::is_none"`): it is never `null`.
    UnlessNone,
}

impl FieldSchema {
    /// A field that is written and read under one name, and that must be there unless it is an
    /// `Option`.
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

    /// Written under another name, or never.
    pub const fn written_as(self, name: Option<&'static str>) -> Self {
        Self { written: name, ..self }
    }

    /// Read under other names, or never.
    pub const fn read_as(self, name: Option<&'static str>, aliases: &'static [&'static str]) -> Self {
        Self { read: name, aliases, ..self }
    }

    /// Not always written.
    pub const fn present(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }

    /// Whether it must be there to be read.
    pub const fn required(self, required: bool) -> Self {
        Self { required, ..self }
    }

    /// What an object without it is read as, where it is not required.
    pub const fn defaults_to(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// Which function says when it is not written.
    pub const fn skipped_if(self, function: &'static str) -> Self {
        Self { skipped_if: function, ..self }
    }

    /// Its parts stand beside the other fields.
    pub const fn flattened(self) -> Self {
        Self { flatten: true, ..self }
    }

    /// Left out of textual forms.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// In old records alone.
    pub const fn gone(self) -> Self {
        Self { gone: true, presence: Presence::Sometimes, required: false, ..self }
    }

    /// What the user says about it.
    pub const fn documented(self, doc: &'static str, deprecated: bool) -> Self {
        Self { doc, deprecated, ..self }
    }
}

/// The variants of an enum.
#[derive(Debug)]
pub struct EnumSchema {
    /// How a variant is told from the others.
    pub tag: Tag,
    /// The variants, in the order in which they are declared.
    pub variants: &'static [VariantSchema],
    /// Whether reading a field of another name beside the tag is an error.
    pub deny_unknown: bool,
}

/// How serde tells the variants of an enum from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A string, or an object with the variant as its one key.
    External,
    /// A field of this name inside the variant's own object.
    Internal(&'static str),
    /// An object with the variant's name in the first field and its value in the second.
    Adjacent(&'static str, &'static str),
    /// Not at all: the first that fits is read.
    Untagged,
}

/// One variant of an enum.
#[derive(Clone, Copy, Debug)]
pub struct VariantSchema {
    /// The name it is written under; `None` where it can't be.
    pub written: Option<&'static str>,
    /// The name it is read under; `None` where it is not.
    pub read: Option<&'static str>,
    /// Further names it is read under.
    pub aliases: &'static [&'static str],
    /// Whether any other name is read as this variant.
    pub other: bool,
    /// Whether it has no tag, although the other variants do.
    pub untagged: bool,
    /// What its doc comment says.
    pub doc: &'static str,
    /// Whether it is marked `#[deprecated]`.
    pub deprecated: bool,
    /// The shape of what it holds; `None` for a unit variant.
    pub body: Option<&'static TypeSchema>,
}

impl VariantSchema {
    /// A variant that is written and read under one name.
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

    /// Written under another name, or never.
    pub const fn written_as(self, name: Option<&'static str>) -> Self {
        Self { written: name, ..self }
    }

    /// Read under other names, or never.
    pub const fn read_as(self, name: Option<&'static str>, aliases: &'static [&'static str]) -> Self {
        Self { read: name, aliases, ..self }
    }

    /// Read for any other name.
    pub const fn other(self) -> Self {
        Self { other: true, ..self }
    }

    /// Written and read without a tag.
    pub const fn untagged(self) -> Self {
        Self { untagged: true, ..self }
    }

    /// What the user says about it.
    pub const fn documented(self, doc: &'static str, deprecated: bool) -> Self {
        Self { doc, deprecated, ..self }
    }
}

/// The struct whose fields stand in the place of one.
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
