//! Comparison of schemas for equality, at compile time.

use super::written::same;
use super::{EnumSchema, FieldSchema, NamedSchema, StructSchema, Tag, TypeSchema, VariantSchema};

/// Maximum number of declarations around a compared type.
const MAX_PAIRS: usize = 32;

/// Maximum number of frames of the compiler's const evaluator that a comparison uses. The evaluator's limit is 128.
const MAX_FRAMES: usize = 110;

/// The pairs of declarations around the current type. A pair that is found again is equal, since the outer comparison
/// of that pair continues.
#[derive(Clone, Copy)]
struct Inside {
    pairs: [Option<(&'static NamedSchema, &'static NamedSchema)>; MAX_PAIRS],
    len: usize,
    /// The upper bound of the frames used so far.
    frames: usize,
}

impl Inside {
    const fn deeper(mut self, frames: usize) -> Self {
        self.frames += frames;
        self
    }
}

impl TypeSchema {
    #[doc(hidden)]
    /// Returns whether both types are written and read in the same way. Names, docs and deprecation are ignored, except
    /// that secrets must be secret in both. Types nested deeper than about 25 declarations count as different.
    pub const fn is_same(&'static self, other: &'static TypeSchema) -> bool {
        self.is_same_within(other, 0)
    }

    /// Like [`is_same`](Self::is_same), for a type nested in others that use `frames` frames.
    pub(super) const fn is_same_within(&'static self, other: &'static TypeSchema, frames: usize) -> bool {
        same_types(self, other, Inside { pairs: [None; MAX_PAIRS], len: 0, frames })
    }
}

const fn same_types(one: &'static TypeSchema, other: &'static TypeSchema, inside: Inside) -> bool {
    let inside = inside.deeper(1);
    if inside.frames > MAX_FRAMES {
        return false;
    }
    match (one, other) {
        (TypeSchema::Named(one), TypeSchema::Named(other)) => {
            let (one, other) = (one.get(), other.get());
            let mut inside = inside;
            let mut i = 0;
            while i < inside.len {
                if let Some((a, b)) = inside.pairs[i]
                    && a.is(one)
                    && b.is(other)
                {
                    return true;
                }
                i += 1;
            }
            if inside.len == MAX_PAIRS {
                return false;
            }
            if !one.are_instances(other) {
                inside.pairs[inside.len] = Some((one, other));
                inside.len += 1;
            }
            one.secret == other.secret
                && same(one.converts, other.converts)
                && same_types(one.shape, other.shape, inside)
        }
        (TypeSchema::Named(one), other) => is_plain(one.get()) && same_types(one.get().shape, other, inside),
        (one, TypeSchema::Named(other)) => {
            is_plain(other.get()) && same_types(one, other.get().shape, inside)
        }
        (TypeSchema::Any, TypeSchema::Any)
        | (TypeSchema::Null, TypeSchema::Null)
        | (TypeSchema::Bool, TypeSchema::Bool)
        | (TypeSchema::Float32, TypeSchema::Float32)
        | (TypeSchema::Float, TypeSchema::Float)
        | (TypeSchema::Char, TypeSchema::Char)
        | (TypeSchema::String, TypeSchema::String) => true,
        (TypeSchema::Integer(min, max), TypeSchema::Integer(from, to))
        | (TypeSchema::NonZero(min, max), TypeSchema::NonZero(from, to)) => *min == *from && *max == *to,
        (TypeSchema::Opaque(one), TypeSchema::Opaque(other))
        | (TypeSchema::Format(one), TypeSchema::Format(other)) => same(one, other),
        (TypeSchema::Option(one), TypeSchema::Option(other)) => same_types(one, other, inside),
        (TypeSchema::Sequence(one, kept), TypeSchema::Sequence(other, other_kept)) => {
            *kept as u8 == *other_kept as u8 && same_types(one, other, inside)
        }
        (TypeSchema::Tuple(one), TypeSchema::Tuple(other)) => {
            let mut i = 0;
            while i < one.len() && i < other.len() {
                if !same_types(one[i], other[i], inside) {
                    return false;
                }
                i += 1;
            }
            one.len() == other.len()
        }
        (TypeSchema::Map(keys, values), TypeSchema::Map(other_keys, other_values)) => {
            same_types(keys, other_keys, inside) && same_types(values, other_values, inside)
        }
        (TypeSchema::Struct(one), TypeSchema::Struct(other)) => same_fields(one, other, inside),
        (TypeSchema::Enum(one), TypeSchema::Enum(other)) => same_variants(one, other, inside),
        (
            TypeSchema::Differs { written, read },
            TypeSchema::Differs { written: other_written, read: other_read },
        ) => same_types(written, other_written, inside) && same_types(read, other_read, inside),
        _ => false,
    }
}

/// Returns whether a declaration adds nothing to its shape.
const fn is_plain(schema: &NamedSchema) -> bool {
    !schema.secret && schema.converts.is_empty()
}

const fn same_fields(one: &StructSchema, other: &StructSchema, inside: Inside) -> bool {
    if one.fields.len() != other.fields.len() || one.deny_unknown != other.deny_unknown {
        return false;
    }
    let mut i = 0;
    while i < one.fields.len() {
        if !same_field(&one.fields[i], &other.fields[i], inside.deeper(2)) {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(feature = "lock")]
impl FieldSchema {
    /// Returns whether both fields are written and read in the same way.
    pub const fn is_same(&self, other: &Self) -> bool {
        same_field(self, other, Inside { pairs: [None; MAX_PAIRS], len: 0, frames: 0 })
    }
}

const fn same_field(one: &FieldSchema, other: &FieldSchema, inside: Inside) -> bool {
    same_names(one.written, other.written)
        && same_names(one.read, other.read)
        && same_lists(one.aliases, other.aliases)
        && (one.written.is_none() || one.presence as u8 == other.presence as u8)
        && (one.written.is_none() || same(one.skipped_if, other.skipped_if))
        && (one.read.is_none() || one.required == other.required && same(one.default, other.default))
        && one.flatten == other.flatten
        && one.secret == other.secret
        && same_types(one.shape, other.shape, inside)
}

const fn same_variants(one: &EnumSchema, other: &EnumSchema, inside: Inside) -> bool {
    let tags = match (one.tag, other.tag) {
        (Tag::External, Tag::External) | (Tag::Untagged, Tag::Untagged) => true,
        (Tag::Internal(one), Tag::Internal(other)) => same(one, other),
        (Tag::Adjacent(tag, content), Tag::Adjacent(other_tag, other_content)) => {
            same(tag, other_tag) && same(content, other_content)
        }
        _ => false,
    };
    if !tags || one.variants.len() != other.variants.len() || one.deny_unknown != other.deny_unknown {
        return false;
    }
    let mut i = 0;
    while i < one.variants.len() {
        if !same_variant(&one.variants[i], &other.variants[i], inside.deeper(2)) {
            return false;
        }
        i += 1;
    }
    true
}

const fn same_variant(one: &VariantSchema, other: &VariantSchema, inside: Inside) -> bool {
    let bodies = match (one.body, other.body) {
        (Some(one), Some(other)) => same_types(one, other, inside),
        (None, None) => true,
        _ => false,
    };
    bodies
        && same_names(one.written, other.written)
        && same_names(one.read, other.read)
        && same_lists(one.aliases, other.aliases)
        && one.other == other.other
        && one.untagged == other.untagged
}

const fn same_names(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same(one, other),
        (None, None) => true,
        _ => false,
    }
}

const fn same_lists(one: &[&str], other: &[&str]) -> bool {
    let mut i = 0;
    while i < one.len() && i < other.len() {
        if !same(one[i], other[i]) {
            return false;
        }
        i += 1;
    }
    one.len() == other.len()
}
