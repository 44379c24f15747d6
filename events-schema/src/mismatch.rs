//! Mismatches between two schemas: the path, the reason and the fix, as messages.

use std::fmt;

use super::written::Shape;
use super::{Keeps, NamedSchema, StructSchema, TypeSchema};
use crate::text::Text;

/// Maximum number of steps in the path of a mismatch. Outer steps beyond it are dropped.
const MAX_STEPS: usize = 8;

/// The error of comparing two schemas: where and why a type does not read the JSON of another one.
#[derive(Clone, Copy)]
pub struct SchemaMismatch {
    /// The path, innermost step first.
    steps: [Step; MAX_STEPS],
    len: usize,
    /// The innermost declared type that contains the mismatch, if there is one.
    owner: Option<&'static NamedSchema>,
    pub(super) problem: Problem,
}

/// One step of the path into a value.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Field(&'static str),
    Items,
    Item(usize),
    Keys,
    Values,
}

/// The reason why a value is not read.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "lock"), expect(dead_code, reason = "some are what only the lock refuses"))]
pub(super) enum Problem {
    /// A required field is never written. `beside` is the first struct whose fields are written, if there is one.
    Missing { beside: Option<&'static StructSchema> },
    /// A required field is not always written.
    MayBeMissing,
    /// The value may be `null`.
    MayBeNull,
    /// A value of another kind is written.
    Other { expected: &'static TypeSchema, found: Shape },
    /// An object is written, but another kind of value is read.
    Object { expected: &'static TypeSchema },
    /// Numbers outside of the reader's range are written.
    Range { expected: &'static TypeSchema, found: &'static TypeSchema },
    /// Numbers are written whose digits the reader's float type can't represent.
    Digits { expected: &'static TypeSchema, found: &'static TypeSchema },
    /// The order or the repetition of elements is written, but the reader's collection does not keep it.
    NotKept { expected: Keeps },
    /// The reader's format keeps only a part of the text that is written.
    Shortened { expected: &'static TypeSchema, found: &'static TypeSchema },
    /// A variant of this name is written, but unknown to the reader.
    UnknownVariant {
        name: &'static str,
        /// Whether a `#[serde(other)]` variant could read it.
        is_unit: bool,
    },
    /// The tag of the enum is not always written.
    NoTag(&'static str),
    /// A field of this name is written, but the reader refuses unknown fields.
    UnknownField(&'static str),
    /// Fields of any name are written, but the reader refuses unknown fields.
    AnyField,
    /// The value is secret, but would not be secret in the reader.
    Exposed,
    /// Two of the names under which the field is read are written.
    Twice,
    /// The map next to the field may have this key, which is one of the field's names.
    KeyTwice(&'static str),
    /// serde can't read numbers of 128 bits, or number keys, inside tagged and untagged enums and flattened fields.
    Buffered,
    /// No variant of an untagged enum reads the value.
    NoVariant,
    /// A secret is no longer secret.
    Revealed,
    /// A secret field of this name was removed, so old records would show its value.
    Unhidden(&'static str),
    /// A user's code that writes or reads the value has changed. A text is empty if there is no such code.
    Recoded { now: &'static str, before: &'static str },
    /// The default for a missing value has changed.
    Refilled { now: &'static str, before: &'static str },
    /// The field is now left out in some cases, and old programs read a default instead.
    Omitted { function: &'static str, default: &'static str },
    /// The field or variant is no longer read under this name.
    Unread(&'static str),
    /// Another field or variant is now read under this name.
    Moved { name: &'static str, to: &'static str },
    /// A field of a nested type was removed, and a new field could be the renamed one.
    Renamed { name: &'static str, to: &'static str },
    /// The field is no longer written under this name or any other name under which it was read.
    Unwritten(&'static str),
    /// The `#[serde(other)]` variant was removed.
    NoOther,
    /// Unknown fields were ignored, and are now refused.
    Denies,
    /// The tag of the enum has changed.
    Retagged,
    /// An untagged variant that is not the last has changed its position or its shape.
    Reordered,
    /// A written variant is now read as the `#[serde(other)]` variant.
    ReadAs { name: &'static str, other: &'static str },
    /// A variant that had a tag can now only be read by an untagged one.
    ReadUntagged(&'static str),
    /// The types are nested too deeply to be compared.
    TooDeep,
    /// The types have too many parts to be compared.
    TooMany,
    /// A required field is never written.
    Skipped,
    /// The field or variant is written under one name and read under others.
    OtherName { written: &'static str, read: &'static str },
    /// A variant is written, but never read.
    NeverRead,
    /// Another part of the type has this name, too.
    SameName(&'static str),
    /// The content of a variant has an entry with the name of the tag.
    TagTwice(&'static str),
    /// Keys of this type can't be written as strings.
    Key { found: Shape },
    /// The type of a flattened field is not written as an object.
    NotFlat { found: Shape },
    /// The content of an internally tagged variant is not written as an object.
    BesideTag { found: Shape },
    /// An earlier variant, with this name, reads the value.
    Earlier(&'static str),
    /// Both `None` and a value in `Some` are written as `null`. `inner` is the type in `Some`.
    NullTwice { inner: &'static TypeSchema },
    /// An empty value is left out, but read as the value that a user's function returns.
    Replaced { function: &'static str, default: &'static str },
    /// `Some` is left out, and read as `None`.
    NeverSome { function: &'static str },
    /// An element of a tuple is left out in some cases or on one side, so that other elements are read as it.
    Moves,
    /// A flattened field reads the entries of this other field.
    ReadsOthers(&'static str),
    /// A flattened `Option` is read as `Some` although it was `None`.
    NeverNone,
    /// A flattened field does not consume its entries, so they are refused as unknown fields.
    LeavesEntries,
}

impl SchemaMismatch {
    pub(super) const fn new(problem: Problem) -> Self {
        Self { steps: [Step::Items; MAX_STEPS], len: 0, owner: None, problem }
    }

    /// Adds an outer step to the path.
    pub(super) const fn inside(mut self, step: Step) -> Self {
        if self.len < MAX_STEPS {
            self.steps[self.len] = step;
            self.len += 1;
        }
        self
    }

    /// Sets the declared type, unless an inner one is set already.
    pub(super) const fn of(mut self, owner: &'static NamedSchema) -> Self {
        if self.owner.is_none() {
            self.owner = Some(owner);
        }
        self
    }

    /// Returns whether the mismatch is in the compared value itself, not in a part of it.
    pub(super) const fn is_here(&self) -> bool {
        self.len == 0
    }

    /// Returns whether serde reads the value without an error but loses a part of it.
    pub(super) const fn is_loss(&self) -> bool {
        matches!(self.problem, Problem::Digits { .. } | Problem::Shortened { .. } | Problem::NotKept { .. })
    }

    #[doc(hidden)]
    /// Appends the path and the reason to a message.
    pub const fn describe(&self, text: Text) -> Text {
        let mut text = text;
        let mut left = self.len;
        while left > 0 {
            left -= 1;
            text = match self.steps[left] {
                Step::Field(name) => text.push(".").quote(name),
                Step::Items => text.push("[]"),
                Step::Item(index) => text.push("[").number(index).push("]"),
                Step::Keys => text.push(".(key)"),
                Step::Values => text.push(".*"),
            };
        }
        if self.len > 0 {
            text = text.push(": ");
        }
        self.problem.describe(text)
    }
}

impl SchemaMismatch {
    #[doc(hidden)]
    /// Appends the advice for a type that reads another type.
    pub const fn fix(&self, text: Text) -> Text {
        match self.problem {
            Problem::Missing { beside } => push_fields(text, beside),
            Problem::MayBeMissing => text.push("; use an `Option`, or add `#[serde(default)]`"),
            Problem::MayBeNull => text.push("; make it an `Option`"),
            Problem::Range { found, .. }
            | Problem::Digits { found, .. }
            | Problem::Shortened { found, .. }
            | Problem::Other { found: Shape::Type(found), .. } => {
                push_type(text.push("; use `"), found).push("`")
            }
            Problem::UnknownField(_) | Problem::AnyField => text.push("; remove `deny_unknown_fields`"),
            Problem::Exposed => text.push("; mark the field `#[event(secret)]`, or use a secret type"),
            Problem::Object { expected: TypeSchema::Tuple(_) } if self.is_here() => {
                text.push("; name its fields")
            }
            Problem::UnknownVariant { is_unit: false, .. } => text.push("; add it"),
            Problem::UnknownVariant { .. } => {
                text.push("; add it, or a `#[serde(other)]` variant for all unknown names")
            }
            _ => text,
        }
    }
}

impl SchemaMismatch {
    #[doc(hidden)]
    /// Returns whether the comparison stopped at one of its limits, without a result.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.problem, Problem::TooDeep | Problem::TooMany)
    }

    #[doc(hidden)]
    /// Appends the advice for a type that should read back what it writes.
    pub const fn fix_of_itself(&self, text: Text) -> Text {
        let fix = match self.problem {
            Problem::MayBeMissing | Problem::Skipped => "; add `#[serde(default)]`",
            Problem::OtherName { written, .. } => {
                let text = text.push("; add `#[serde(alias = \"").quote(written).push("\")]`");
                return self.push_owner(text, " to it, in `", "`");
            }
            Problem::NeverRead => "; remove `skip_deserializing`, or add `skip_serializing`",
            Problem::SameName(_) => "; rename one of them",
            Problem::TagTwice(_) => "; rename the tag, or the field",
            Problem::Key { .. } => {
                "; use a `Vec` of pairs, or a key that is text, a number or an enum without data"
            }
            Problem::NotFlat { .. } => "; remove `flatten`",
            Problem::BesideTag { .. } => {
                "; add `#[serde(content = \"...\")]` to the enum, or name the fields of the variant"
            }
            Problem::Earlier(_) => "; give the enum a tag, or require a field that only one of them has",
            Problem::NullTwice { inner } if is_option(inner) => {
                "; use an enum with a variant for each of the three cases"
            }
            Problem::NullTwice { inner } if is_null(inner) => "; use a `bool`, or an enum with two variants",
            Problem::NullTwice { inner } => {
                let text = push_type(text.push("; remove `Option`, or give `"), inner);
                return text.push("` a tag");
            }
            Problem::Replaced { .. } => {
                "; write `#[serde(default)]` without a function, or remove `skip_serializing_if`"
            }
            Problem::NeverSome { .. } => "; write `skip_serializing_if = \"Option::is_none\"`",
            Problem::Moves => {
                let text = text.push("; remove serde's `skip_...` from its elements");
                return self.push_owner(text, " in `", "`").push(", or name the fields");
            }
            Problem::ReadsOthers(_) => {
                "; put the map after flattened structs, or remove `flatten` from one of them"
            }
            Problem::NeverNone => "; remove `Option`",
            Problem::Buffered => {
                "; remove `flatten` or the tag, or write it as text (`#[serde(with = \"...\")]`)"
            }
            Problem::UnknownField(_) | Problem::AnyField | Problem::LeavesEntries => {
                "; remove `deny_unknown_fields`"
            }
            _ if self.is_converted() => {
                let text = text.push("; use the same type in `into` and `from`");
                return self.push_owner(text, " of `", "`");
            }
            _ => "; make both sides match: `from` and `into`, `deserialize_with` and `serialize_with`",
        };
        text.push(fix)
    }

    /// Returns whether the declared type that contains the mismatch is converted by serde's `from`, `try_from` or
    /// `into`.
    const fn is_converted(&self) -> bool {
        match self.owner {
            Some(owner) => !owner.converts.is_empty(),
            None => false,
        }
    }

    /// Appends the declared type that contains the mismatch, if there is one.
    const fn push_owner(&self, text: Text, before: &str, after: &str) -> Text {
        match self.owner {
            Some(owner) => push_last_segment(text.push(before), owner.path).push(after),
            None => text,
        }
    }
}

#[cfg(feature = "lock")]
impl SchemaMismatch {
    #[doc(hidden)]
    /// Returns the unknown field that the compared value itself refuses.
    pub const fn unknown_field(&self) -> Option<&'static str> {
        match self.problem {
            Problem::UnknownField(name) if self.is_here() => Some(name),
            _ => None,
        }
    }

    #[doc(hidden)]
    /// Returns whether a field of the compared value itself is missing.
    pub const fn is_missing_field(&self) -> bool {
        self.len == 1 && matches!(self.problem, Problem::Missing { .. })
    }

    #[doc(hidden)]
    /// Appends the advice for a changed type that should read the records of its earlier version.
    pub const fn fix_of_new(&self, text: Text) -> Text {
        match self.problem {
            Problem::Missing { .. } | Problem::MayBeMissing => {
                text.push("; use an `Option`, add `#[serde(default)]`")
            }
            Problem::MayBeNull => text.push("; make it an `Option`"),
            _ => text.push("; restore it"),
        }
    }
}

/// Appends the fields that are written, if one is missing.
const fn push_fields(text: Text, beside: Option<&'static StructSchema>) -> Text {
    let text = text.push("; make it optional");
    let Some(schema) = beside else { return text };
    if schema.fields.is_empty() {
        return text;
    }
    let mut text = text.push(", or use a field that is written: ");
    let mut i = 0;
    while i < schema.fields.len() && i < MAX_STEPS {
        if let Some(name) = schema.fields[i].written {
            let separated = if i == 0 { text } else { text.push(", ") };
            text = separated.push("`").quote(name).push("`");
        }
        i += 1;
    }
    if i < schema.fields.len() { text.push(", ...") } else { text }
}

impl Problem {
    /// Appends the reason to a message.
    pub(crate) const fn describe(&self, text: Text) -> Text {
        match *self {
            Self::Missing { .. } => text.push("it is never written, but required"),
            Self::MayBeMissing => text.push("it is not always written, but required"),
            Self::MayBeNull => text.push("it may be `null`"),
            Self::Other { expected, found } => {
                let text = push_shape(text.push("`"), found).push("` is written, but `");
                push_type(text, expected).push("` is expected")
            }
            Self::Object { expected } => {
                push_type(text.push("an object is written, but `"), expected).push("` is expected")
            }
            Self::Range { expected, found } => {
                let text = push_type(text.push("`"), found).push("` is written, which does not fit into `");
                push_type(text, expected).push("`")
            }
            Self::Digits { expected, found } => {
                let text = push_type(text.push("`"), found).push("` is written, but `");
                push_type(text, expected).push("` can't represent all of its digits")
            }
            Self::NotKept { expected: Keeps::Distinct } => {
                text.push("the elements are written in an order or repeatedly, but a set keeps neither")
            }
            Self::NotKept { .. } => {
                text.push("the elements are written in an order or without repetition, but a `BinaryHeap` keeps neither")
            }
            Self::Shortened { expected, found } => {
                let text = push_type(text.push("`"), found).push("` is written, but `");
                push_type(text, expected).push("` keeps only a part of it")
            }
            Self::UnknownVariant { name, .. } => {
                text.push("the variant `").quote(name).push("` is written, but not known here")
            }
            Self::NoTag(tag) => {
                text.push("the tag `").quote(tag).push("` is not always written, but required")
            }
            Self::UnknownField(name) => {
                text.push("the field `").quote(name).push("` is written, but unknown fields are denied")
            }
            Self::AnyField => text.push("fields of any name are written, but unknown fields are denied"),
            Self::Exposed => text.push("it is secret, but would be shown here"),
            Self::Twice => text.push("two of the names that it is read under are written"),
            Self::KeyTwice(name) => text
                .push("the map next to it may have the key `")
                .quote(name)
                .push("`, which is one of its names"),
            Self::Buffered => text.push(
                "serde can't read numbers of 128 bits, or numbers as keys, inside tagged and untagged enums and flattened fields",
            ),
            Self::NoVariant => text.push("none of the variants reads it"),
            Self::TooDeep => text.push("it is nested too deeply to be compared: the limit is about 15 structs or 10 enums"),
            Self::TooMany => text.push("it has too many flattened parts to be compared"),
            _ => self.describe_itself(text),
        }
    }
}

impl Problem {
    /// Appends the reason why a type does not read back what it writes.
    const fn describe_itself(&self, text: Text) -> Text {
        match *self {
            Self::Skipped => text.push("it is never written, but required"),
            Self::OtherName { written, read } => {
                text.push("it is written as `").quote(written).push("` and read as `").quote(read).push("`")
            }
            Self::NeverRead => text.push("it is written, but never read"),
            Self::SameName(name) => text.push("another part of it is named `").quote(name).push("`, too"),
            Self::TagTwice(tag) => {
                text.push("a field of it and the tag are both named `").quote(tag).push("`")
            }
            Self::Key { found } => {
                push_shape(text.push("`"), found).push("` can't be the key of a map: JSON's keys are text")
            }
            Self::NotFlat { found } => {
                let text = push_shape(text.push("`"), found)
                    .push("` can't be flattened: it is not a struct, a map ");
                text.push("or an enum of these")
            }
            Self::BesideTag { found } => {
                let text = push_shape(text.push("`"), found)
                    .push("` can't be in one object with a tag: it is not a ");
                text.push("struct, a map or an enum of these")
            }
            Self::Earlier(name) => {
                let text = text
                    .push("the variant `")
                    .quote(name)
                    .push("` before it also reads some of its values, ");
                text.push("which then come back as `").quote(name).push("`")
            }
            Self::NullTwice { inner } => {
                let text = match is_option(inner) {
                    true => text.push("`Some(None)`"),
                    false => push_type(text.push("`Some` of `"), inner).push("`"),
                };
                text.push(" is written as `null`, which is read as `None`")
            }
            Self::Replaced { function, default } => text
                .push("it is left out if `")
                .quote(function)
                .push("` returns `true`, and is then read as the result of `")
                .quote(default)
                .push("`"),
            Self::NeverSome { function } => text
                .push("it is left out if `")
                .quote(function)
                .push("` returns `true`, and is then read as `None`"),
            Self::Moves => text.push("an element may be left out, which shifts the elements after it"),
            Self::ReadsOthers(name) => {
                text.push("it also reads the entries of `").quote(name).push("`, which then come back twice")
            }
            Self::NeverNone => text.push("`None` comes back as `Some`, since none of its fields is required"),
            Self::LeavesEntries => {
                text.push("serde takes its entries for unknown fields, and unknown fields are denied")
            }
            _ => self.describe_change(text),
        }
    }

    /// Appends the reason why a changed type breaks its promise.
    const fn describe_change(&self, text: Text) -> Text {
        match *self {
            Self::Revealed => text.push("it was secret, but would be shown now"),
            Self::Unhidden(name) => text
                .push("the secret field `")
                .quote(name)
                .push("` is gone, so old records would show its value"),
            Self::Recoded { now, before } => describe_code(text, now, before),
            Self::Refilled { now, before } => text
                .push("a record without it was read with `")
                .quote(before)
                .push("`, and is now read with `")
                .quote(now)
                .push("`"),
            Self::Omitted { function, default } => {
                let text = match function.is_empty() {
                    true => text.push("it is left out if it is `None`"),
                    false => text.push("it is left out if `").quote(function).push("` returns `true`"),
                };
                text.push(", and programs that know the locked type read `").quote(default).push("` instead")
            }
            Self::Unread(name) => {
                text.push("records may have it under the name `").quote(name).push("`, which is no longer read")
            }
            Self::Moved { name, to } => text
                .push("records may have it under the name `")
                .quote(name)
                .push("`, which is now read as `")
                .quote(to)
                .push("`"),
            Self::Renamed { name, to } => text
                .push("the field `")
                .quote(name)
                .push("` is gone, and `")
                .quote(to)
                .push("` is new: the values under the old name would no longer be read"),
            Self::Unwritten(name) => text
                .push("programs that know the locked type read `")
                .quote(name)
                .push("`, which is no longer written"),
            Self::NoOther => text.push("variants with unknown names were read, but are refused now"),
            Self::Denies => text.push("unknown fields were ignored, but are refused now"),
            Self::Retagged => text.push("the tag of the enum has changed"),
            Self::Reordered => text.push(
                "an untagged variant that is not the last has changed its position or its shape, so it may read the values of another one",
            ),
            Self::ReadUntagged(name) => text
                .push("the variant `")
                .quote(name)
                .push("` was written, but now only an untagged variant may read it"),
            Self::ReadAs { name, other } => text
                .push("the variant `")
                .quote(name)
                .push("` was written, but is now read as `")
                .quote(other)
                .push("`"),
            _ => text,
        }
    }
}

/// Appends how the code that writes or reads a value has changed.
const fn describe_code(text: Text, now: &'static str, before: &'static str) -> Text {
    let text = text.push("code that the lock can't check writes or reads it: ");
    match (before.is_empty(), now.is_empty()) {
        (true, _) => text.push("`").quote(now).push("` was added"),
        (_, true) => text.push("`").quote(before).push("` was removed"),
        _ => text.push("`").quote(now).push("` replaces `").quote(before).push("`"),
    }
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe(Text::EMPTY).as_str())
    }
}

impl fmt::Debug for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaMismatch({self})")
    }
}

impl std::error::Error for SchemaMismatch {}

const fn push_shape(text: Text, shape: Shape) -> Text {
    match shape {
        Shape::Type(ty) => push_type(text, ty),
        Shape::Literal(name) => text.push("\"").quote(name).push("\""),
        Shape::Null => text.push("null"),
    }
}

/// Appends a type, in a form similar to Rust's.
pub(crate) const fn push_type(text: Text, shape: &'static TypeSchema) -> Text {
    match shape {
        TypeSchema::Any => text.push("Value"),
        TypeSchema::Opaque(_) => text.push("?"),
        TypeSchema::Null => text.push("()"),
        TypeSchema::Bool => text.push("bool"),
        // The minimum is 1 only for `NonZero` of an unsigned type.
        TypeSchema::Integer(1, max) => text.push("NonZero<").push(integer_name(0, *max)).push(">"),
        TypeSchema::Integer(min, max) => text.push(integer_name(*min, *max)),
        TypeSchema::NonZero(min, max) => text.push("NonZero<").push(integer_name(*min, *max)).push(">"),
        TypeSchema::Float32 => text.push("f32"),
        TypeSchema::Float => text.push("f64"),
        TypeSchema::Char => text.push("char"),
        TypeSchema::String => text.push("String"),
        TypeSchema::Format(format) => text.push(format),
        TypeSchema::Named(named) => push_last_segment(text, named.get().path),
        TypeSchema::Option(inner) => push_type(text.push("Option<"), inner).push(">"),
        TypeSchema::Sequence(inner, keeps) => {
            let text = text.push(match keeps {
                Keeps::Order => "Vec<",
                Keeps::Repeats => "BinaryHeap<",
                Keeps::Distinct => "Set<",
            });
            push_type(text, inner).push(">")
        }
        TypeSchema::Map(keys, values) => {
            push_type(push_type(text.push("Map<"), keys).push(", "), values).push(">")
        }
        TypeSchema::Tuple(items) => {
            let mut text = text.push("(");
            let mut i = 0;
            while i < items.len() && i < MAX_STEPS {
                let separated = if i == 0 { text } else { text.push(", ") };
                text = push_type(separated, items[i]);
                i += 1;
            }
            text.push(if i < items.len() { ", ...)" } else { ")" })
        }
        TypeSchema::Struct(_) => text.push("{ ... }"),
        TypeSchema::Enum(schema) => {
            let mut text = text;
            let mut i = 0;
            while i < schema.variants.len() && i < MAX_STEPS {
                let separated = if i == 0 { text } else { text.push(" | ") };
                text = match schema.variants[i].read {
                    Some(name) => separated.quote(name),
                    None => separated.push("_"),
                };
                i += 1;
            }
            if i < schema.variants.len() { text.push(" | ...") } else { text }
        }
        TypeSchema::Differs { read, .. } => push_type(text, read),
    }
}

const fn is_null(shape: &TypeSchema) -> bool {
    match shape {
        TypeSchema::Named(named) => matches!(named.get().shape, TypeSchema::Null),
        shape => matches!(shape, TypeSchema::Null),
    }
}

const fn is_option(shape: &TypeSchema) -> bool {
    match shape {
        TypeSchema::Option(_) => true,
        TypeSchema::Named(named) => named.is_optional(),
        _ => false,
    }
}

const fn push_last_segment(text: Text, path: &'static str) -> Text {
    let bytes = path.as_bytes();
    let mut start = bytes.len();
    while start > 0 && bytes[start - 1] != b':' {
        start -= 1;
    }
    text.push(path.split_at(start).1)
}

const fn integer_name(min: i128, max: u128) -> &'static str {
    const NAMES: [(&str, i128, u128); 10] = [
        ("u8", 0, u8::MAX as u128),
        ("u16", 0, u16::MAX as u128),
        ("u32", 0, u32::MAX as u128),
        ("u64", 0, u64::MAX as u128),
        ("u128", 0, u128::MAX),
        ("i8", i8::MIN as i128, i8::MAX as u128),
        ("i16", i16::MIN as i128, i16::MAX as u128),
        ("i32", i32::MIN as i128, i32::MAX as u128),
        ("i64", i64::MIN as i128, i64::MAX as u128),
        ("i128", i128::MIN, i128::MAX as u128),
    ];
    let mut i = 0;
    while i < NAMES.len() {
        let (name, from, to) = NAMES[i];
        if max == to && min == from {
            return name;
        }
        i += 1;
    }
    "integer"
}
