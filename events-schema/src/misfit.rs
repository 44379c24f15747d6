//! Where and why one type does not read what another writes, in words.

use std::fmt;

use super::written::Shape;
use super::{Keeps, NamedSchema, StructSchema, TypeSchema};
use crate::text::Text;

/// The most steps a misfit's path shows.
const MAX_STEPS: usize = 8;

/// Where and why a reader does not read what a writer writes.
#[derive(Clone, Copy)]
pub struct SchemaMismatch {
    /// From the inside out.
    steps: [Step; MAX_STEPS],
    len: usize,
    /// The declared type in which it is, where the walk came through one.
    owner: Option<&'static NamedSchema>,
    pub(super) problem: Problem,
}

/// One step into a value.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Field(&'static str),
    Items,
    Item(usize),
    Keys,
    Values,
}

/// Why something is not read.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "lock"), expect(dead_code, reason = "some are what only the lock refuses"))]
pub(super) enum Problem {
    /// A field that must be there is never written; others may be.
    Missing { beside: Option<&'static StructSchema> },
    /// A field that must be there is not always written.
    MayBeMissing,
    /// The value may be `null`.
    MayBeNull,
    /// Something else is written.
    Other { expected: &'static TypeSchema, found: Shape },
    /// An object is written where something else is read.
    Object { expected: &'static TypeSchema },
    /// The writer's numbers are beyond the reader's.
    Range { expected: &'static TypeSchema, found: &'static TypeSchema },
    /// The writer's numbers have digits that the reader's have not.
    Digits { expected: &'static TypeSchema, found: &'static TypeSchema },
    /// The order of the elements, or how often each is there, is written, and not kept.
    NotKept { expected: Keeps },
    /// Less of the writer's text is kept.
    Shortened { expected: &'static TypeSchema, found: &'static TypeSchema },
    /// A variant of this name is written, and not known.
    UnknownVariant {
        name: &'static str,
        /// Whether a variant for all others could read it.
        is_unit: bool,
    },
    /// What tells the variants apart is not always there.
    NoTag(&'static str),
    /// A field of this name is written, and refused.
    UnknownField(&'static str),
    /// Fields of any name are written, and refused.
    AnyField,
    /// It is secret, and would not be so here.
    Exposed,
    /// The field is written under two of the names it is read under.
    Twice,
    /// A key of the map beside the field may be this other name that it is read under.
    KeyTwice(&'static str),
    /// serde can't read numbers of 128 bits, or keys that are no strings, inside tagged and untagged
    /// enums and flattened fields.
    Buffered,
    /// None of an untagged enum's variants reads it.
    NoVariant,
    /// What was secret would be shown.
    Revealed,
    /// A secret field of this name is no longer described.
    Unhidden(&'static str),
    /// Code of the user, here another one, writes or reads it; empty where there is none.
    Recoded { now: &'static str, before: &'static str },
    /// Something else stands for it where it is absent.
    Refilled { now: &'static str, before: &'static str },
    /// It is left out where it was not, and old programs read something in its place.
    Omitted { function: &'static str, default: &'static str },
    /// It is no longer read under this name.
    Unread(&'static str),
    /// What has this name is read as another field or variant.
    Moved { name: &'static str, to: &'static str },
    /// A field below the event is gone, and a new one could have its values.
    Renamed { name: &'static str, to: &'static str },
    /// It is no longer written under this name, nor under another one it was read under.
    Unwritten(&'static str),
    /// There was a variant for all others.
    NoOther,
    /// Unknown fields were ignored.
    Denies,
    /// Variants are told apart in another way.
    Retagged,
    /// The order of untagged variants, or one that is not the last, has changed.
    Reordered,
    /// A variant is read as the one for all others.
    ReadAs { name: &'static str, other: &'static str },
    /// A variant that had a name is read as one that has no tag.
    ReadUntagged(&'static str),
    /// It is nested deeper than what is compared.
    TooDeep,
    /// There are more parts than what is compared.
    TooMany,
    /// A field that must be there to be read is never written.
    Skipped,
    /// It is written under one name, and not read under it.
    OtherName { written: &'static str, read: &'static str },
    /// A variant is written, and never read.
    NeverRead,
    /// Something else of the type has this name, too.
    SameName(&'static str),
    /// What a variant holds has an entry of the tag's name.
    TagTwice(&'static str),
    /// JSON has no such keys.
    Key { found: Shape },
    /// Something without entries stands where a flattened field's are.
    NotFlat { found: Shape },
    /// Something without entries stands beside a tag.
    BesideTag { found: Shape },
    /// An earlier variant, of this name, reads it.
    Earlier(&'static str),
    /// `null` would stand for two values: what this type has in `Some` may be written as `null`, too.
    NullTwice { inner: &'static TypeSchema },
    /// It is left out where it is empty, and read as what a function of the user gives.
    Replaced { function: &'static str, default: &'static str },
    /// It is left out where it is `Some`, and read as `None`.
    NeverSome { function: &'static str },
    /// An element of a tuple may be left out, or is so on one side, and others are read in its place.
    Moves,
    /// A flattened field reads entries that this other one writes.
    ReadsOthers(&'static str),
    /// A flattened `Option` is never `None` when it is read.
    NeverNone,
    /// A flattened field leaves its entries, which are then unknown, and denied.
    LeavesEntries,
}

impl SchemaMismatch {
    pub(super) const fn new(problem: Problem) -> Self {
        Self { steps: [Step::Items; MAX_STEPS], len: 0, owner: None, problem }
    }

    /// The misfit of a part, seen from the whole.
    pub(super) const fn inside(mut self, step: Step) -> Self {
        if self.len < MAX_STEPS {
            self.steps[self.len] = step;
            self.len += 1;
        }
        self
    }

    /// The misfit in a declared type; the innermost is kept.
    pub(super) const fn of(mut self, owner: &'static NamedSchema) -> Self {
        if self.owner.is_none() {
            self.owner = Some(owner);
        }
        self
    }

    /// Whether the value itself does not fit, not a part of it.
    pub(super) const fn is_here(&self) -> bool {
        self.len == 0
    }

    /// Whether serde reads what is written without an error, and keeps less of it.
    pub(super) const fn is_loss(&self) -> bool {
        matches!(self.problem, Problem::Digits { .. } | Problem::Shortened { .. } | Problem::NotKept { .. })
    }

    #[doc(hidden)]
    /// Adds the path and what is wrong there to a message.
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
    /// Adds what the reader can do about it.
    pub const fn fix(&self, text: Text) -> Text {
        match self.problem {
            Problem::Missing { beside } => push_fields(text, beside),
            Problem::MayBeMissing => text.push("; take an `Option`, or add `#[serde(default)]`"),
            Problem::MayBeNull => text.push("; take an `Option` of it"),
            Problem::Range { found, .. }
            | Problem::Digits { found, .. }
            | Problem::Shortened { found, .. }
            | Problem::Other { found: Shape::Type(found), .. } => {
                push_type(text.push("; take `"), found).push("`")
            }
            Problem::UnknownField(_) | Problem::AnyField => text.push("; leave `deny_unknown_fields` away"),
            Problem::Exposed => {
                text.push("; mark its field `#[event(secret)]`, or take a type that is secret")
            }
            Problem::Object { expected: TypeSchema::Tuple(_) } if self.is_here() => {
                text.push("; give its fields names")
            }
            Problem::UnknownVariant { is_unit: false, .. } => text.push("; add it"),
            Problem::UnknownVariant { .. } => {
                text.push("; add it, or a variant for all others, marked `#[serde(other)]`")
            }
            _ => text,
        }
    }
}

impl SchemaMismatch {
    #[doc(hidden)]
    /// Whether the comparison ended before there was an answer.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.problem, Problem::TooDeep | Problem::TooMany)
    }

    #[doc(hidden)]
    /// Adds what a type can do to read back what it writes.
    pub const fn fix_of_itself(&self, text: Text) -> Text {
        let fix = match self.problem {
            Problem::MayBeMissing | Problem::Skipped => "; add `#[serde(default)]`",
            Problem::OtherName { written, .. } => {
                let text = text.push("; add `#[serde(alias = \"").quote(written).push("\")]`");
                return self.push_owner(text, " to it, in `", "`");
            }
            Problem::NeverRead => "; leave `skip_deserializing` away, or add `skip_serializing`",
            Problem::SameName(_) => "; rename one of them",
            Problem::TagTwice(_) => "; rename the tag, or the field",
            Problem::Key { .. } => {
                "; take a `Vec` of pairs, or a key that is text, a number or an enum without data"
            }
            Problem::NotFlat { .. } => "; leave `flatten` away",
            Problem::BesideTag { .. } => {
                "; give the enum `#[serde(content = \"...\")]`, or the variant fields with names"
            }
            Problem::Earlier(_) => "; give the enum a tag, or require a field that only one of them has",
            Problem::NullTwice { inner } if is_option(inner) => "; take an enum that names the three cases",
            Problem::NullTwice { inner } if is_null(inner) => {
                "; take a `bool`, or an enum that names both cases"
            }
            Problem::NullTwice { inner } => {
                let text = push_type(text.push("; leave `Option` away, or give `"), inner);
                return text.push("` a tag");
            }
            Problem::Replaced { .. } => {
                "; write `#[serde(default)]` without a function, or leave `skip_serializing_if` away"
            }
            Problem::NeverSome { .. } => "; write `skip_serializing_if = \"Option::is_none\"`",
            Problem::Moves => {
                let text = text.push("; leave serde's `skip_...` of its elements");
                return self.push_owner(text, " in `", "`").push(" away, or give the fields names");
            }
            Problem::ReadsOthers(_) => {
                "; put the map after flattened structs, or leave `flatten` away at one of them"
            }
            Problem::NeverNone => "; leave `Option` away",
            Problem::Buffered => {
                "; leave `flatten` or the tag away, or write text (`#[serde(with = \"...\")]`)"
            }
            Problem::UnknownField(_) | Problem::AnyField | Problem::LeavesEntries => {
                "; leave `deny_unknown_fields` away"
            }
            _ if self.is_converted() => {
                let text = text.push("; name one type in both `into` and `from`");
                return self.push_owner(text, " of `", "`");
            }
            _ => {
                "; make both sides the same: `from` beside `into`, `deserialize_with` beside `serialize_with`"
            }
        };
        text.push(fix)
    }

    /// Whether the type in which it is is converted when it is written or read.
    const fn is_converted(&self) -> bool {
        match self.owner {
            Some(owner) => !owner.converts.is_empty(),
            None => false,
        }
    }

    /// Adds the type in which it is, if that is known.
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
    /// The field that is unknown, where the value itself refuses it.
    pub const fn unknown_field(&self) -> Option<&'static str> {
        match self.problem {
            Problem::UnknownField(name) if self.is_here() => Some(name),
            _ => None,
        }
    }

    #[doc(hidden)]
    /// Whether a field of the value itself is not there.
    pub const fn is_missing_field(&self) -> bool {
        self.len == 1 && matches!(self.problem, Problem::Missing { .. })
    }

    #[doc(hidden)]
    /// Adds what a type that has changed can do about what its former self wrote.
    pub const fn fix_of_new(&self, text: Text) -> Text {
        match self.problem {
            Problem::Missing { .. } | Problem::MayBeMissing => {
                text.push("; take an `Option`, add `#[serde(default)]`")
            }
            Problem::MayBeNull => text.push("; take an `Option` of it"),
            _ => text.push("; restore it"),
        }
    }
}

/// Adds which fields are written where one is missing.
const fn push_fields(text: Text, beside: Option<&'static StructSchema>) -> Text {
    let text = text.push("; make it optional");
    let Some(schema) = beside else { return text };
    if schema.fields.is_empty() {
        return text;
    }
    let mut text = text.push(", or take one that is written: ");
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
    /// Adds what is wrong to a message.
    pub(crate) const fn describe(&self, text: Text) -> Text {
        match *self {
            Self::Missing { .. } => text.push("it is never written, and must be there"),
            Self::MayBeMissing => text.push("it is not always written, and must be there"),
            Self::MayBeNull => text.push("it may be `null`"),
            Self::Other { expected, found } => {
                let text = push_shape(text.push("`"), found).push("` is written, which is no `");
                push_type(text, expected).push("`")
            }
            Self::Object { expected } => {
                push_type(text.push("an object is written, which is no `"), expected).push("`")
            }
            Self::Range { expected, found } => {
                let text = push_type(text.push("`"), found).push("` is written, which does not fit into `");
                push_type(text, expected).push("`")
            }
            Self::Digits { expected, found } => {
                let text = push_type(text.push("`"), found).push("` is written, of which `");
                push_type(text, expected).push("` loses digits")
            }
            Self::NotKept { expected: Keeps::Distinct } => {
                text.push("elements may be written twice, and a set keeps one of them, in no order")
            }
            Self::NotKept { .. } => {
                text.push("elements are written in an order, or just once, which is not kept")
            }
            Self::Shortened { expected, found } => {
                let text = push_type(text.push("`"), found).push("` is written, of which `");
                push_type(text, expected).push("` keeps a part")
            }
            Self::UnknownVariant { name, .. } => {
                text.push("the variant `").quote(name).push("` is written, and not known here")
            }
            Self::NoTag(tag) => {
                text.push("the tag `").quote(tag).push("` is not always written, and must be there")
            }
            Self::UnknownField(name) => {
                text.push("the field `").quote(name).push("` is written, and unknown fields are denied")
            }
            Self::AnyField => text.push("fields of any name are written, and unknown fields are denied"),
            Self::Exposed => text.push("it is secret, and would be shown here"),
            Self::Twice => text.push("it is written under two of the names it is read under"),
            Self::KeyTwice(name) => text
                .push("a key of the map beside it may be `")
                .quote(name)
                .push("`, under which it is read, too"),
            Self::Buffered => text.push(
                "serde can't read numbers of 128 bits, or numbers as keys, inside of tagged and untagged enums and flattened fields",
            ),
            Self::NoVariant => text.push("what is written fits none of the variants"),
            Self::TooDeep => text.push("it is nested deeper than what is compared, about 15 structs or 10 enums"),
            Self::TooMany => text.push("it is made up of too many flattened parts to be compared"),
            _ => self.describe_itself(text),
        }
    }
}

impl Problem {
    /// Adds why a type does not read back what it writes to a message.
    const fn describe_itself(&self, text: Text) -> Text {
        match *self {
            Self::Skipped => text.push("it is never written, and must be there to be read"),
            Self::OtherName { written, read } => {
                text.push("it is written as `").quote(written).push("` and read as `").quote(read).push("`")
            }
            Self::NeverRead => text.push("it is written, and never read"),
            Self::SameName(name) => text.push("`").quote(name).push("` is a name of another part of it, too"),
            Self::TagTwice(tag) => {
                text.push("a field of it and the tag are both named `").quote(tag).push("`")
            }
            Self::Key { found } => {
                push_shape(text.push("`"), found).push("` can't be the key of a map: JSON's keys are text")
            }
            Self::NotFlat { found } => {
                let text =
                    push_shape(text.push("`"), found).push("` can't be flattened: only structs, maps ");
                text.push("and enums that hold them have parts")
            }
            Self::BesideTag { found } => {
                let text =
                    push_shape(text.push("`"), found).push("` can't stand beside a tag: only structs, ");
                text.push("maps and enums that hold them have fields")
            }
            Self::Earlier(name) => {
                let text =
                    text.push("the variant `").quote(name).push("` stands before it and reads values ");
                text.push("of it, which come back as `").quote(name).push("`")
            }
            Self::NullTwice { inner } => {
                let text = match is_option(inner) {
                    true => text.push("`Some(None)`"),
                    false => push_type(text.push("`Some` of `"), inner).push("`"),
                };
                text.push(" is written as `null`, which is read as `None`")
            }
            Self::Replaced { function, default } => text
                .push("it is left out where `")
                .quote(function)
                .push("` says so, and is then read as what `")
                .quote(default)
                .push("` gives"),
            Self::NeverSome { function } => text
                .push("it is left out where `")
                .quote(function)
                .push("` says so, and is then read as `None`"),
            Self::Moves => text.push("an element of it may be left out, which moves those after it"),
            Self::ReadsOthers(name) => {
                text.push("it also reads what `").quote(name).push("` writes, which then comes back twice")
            }
            Self::NeverNone => {
                text.push("`None` comes back as `Some`, since nothing of it must be there to be read")
            }
            Self::LeavesEntries => {
                text.push("serde takes what it writes for unknown fields, and unknown fields are denied")
            }
            _ => self.describe_change(text),
        }
    }

    /// Adds what has changed to a message.
    const fn describe_change(&self, text: Text) -> Text {
        match *self {
            Self::Revealed => text.push("it was secret, and would be shown"),
            Self::Unhidden(name) => text
                .push("the secret field `")
                .quote(name)
                .push("` is gone, and the text of old records would show it"),
            Self::Recoded { now, before } => describe_code(text, now, before),
            Self::Refilled { now, before } => text
                .push("a record without it was read with `")
                .quote(before)
                .push("`, and would be with `")
                .quote(now)
                .push("`"),
            Self::Omitted { function, default } => {
                let text = match function.is_empty() {
                    true => text.push("it is left out where it is `None`"),
                    false => text.push("it is left out where `").quote(function).push("` says so"),
                };
                text.push(", and programs that know the locked type read `").quote(default).push("` there")
            }
            Self::Unread(name) => {
                text.push("records may have it under the name `").quote(name).push("`, which is not read any more")
            }
            Self::Moved { name, to } => text
                .push("records may have it under the name `")
                .quote(name)
                .push("`, which is read as `")
                .quote(to)
                .push("` now"),
            Self::Renamed { name, to } => text
                .push("the field `")
                .quote(name)
                .push("` is gone, and `")
                .quote(to)
                .push("` is new: the values under the old name would not be read any more"),
            Self::Unwritten(name) => text
                .push("programs that know the locked type look for `")
                .quote(name)
                .push("`, which is not written any more"),
            Self::NoOther => text.push("a variant of any other name was read, and is refused now"),
            Self::Denies => text.push("unknown fields were ignored, and are refused now"),
            Self::Retagged => text.push("its variants are told apart in another way"),
            Self::Reordered => text.push(
                "an untagged variant that is not the last has changed its place or its shape, and may read what another one wrote",
            ),
            Self::ReadUntagged(name) => text
                .push("the variant `")
                .quote(name)
                .push("` was written, and is read as an untagged one, if at all"),
            Self::ReadAs { name, other } => text
                .push("the variant `")
                .quote(name)
                .push("` was written, and is read as `")
                .quote(other)
                .push("`"),
            _ => text,
        }
    }
}

/// What a change of the code that writes or reads something may do.
const fn describe_code(text: Text, now: &'static str, before: &'static str) -> Text {
    let text = text.push("code that the lock can't look into writes or reads it: ");
    match (before.is_empty(), now.is_empty()) {
        (true, _) => text.push("`").quote(now).push("`, which was not there before"),
        (_, true) => text.push("`").quote(before).push("`, which is not there any more"),
        _ => text.push("`").quote(now).push("`, where it was `").quote(before).push("`"),
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

/// Adds a type to a message, about as it is written in Rust.
pub(crate) const fn push_type(text: Text, shape: &'static TypeSchema) -> Text {
    match shape {
        TypeSchema::Any => text.push("Value"),
        TypeSchema::Opaque(_) => text.push("?"),
        TypeSchema::Null => text.push("()"),
        TypeSchema::Bool => text.push("bool"),
        // No unsigned type begins there but `NonZero`.
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
