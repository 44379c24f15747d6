//! Keys of maps: JSON has text alone.

use super::{Verdict, refuse};
use crate::schema::misfit::Problem;
use crate::schema::written::{Shape, written};
use crate::schema::{EnumSchema, Tag, TypeSchema};

/// Whether keys of this type are written as text, and read back from it.
pub(super) const fn check_key(keys: &'static TypeSchema, buffered: bool) -> Verdict {
    match written(keys) {
        TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_) | TypeSchema::Opaque(_) => Ok(()),
        TypeSchema::Integer(..)
        | TypeSchema::NonZero(..)
        | TypeSchema::Float
        | TypeSchema::Float32
        | TypeSchema::Bool => match buffered {
            true => refuse(Problem::Buffered),
            false => Ok(()),
        },
        TypeSchema::Enum(schema) => check_variants(keys, schema, buffered),
        _ => refuse(Problem::Key { found: Shape::Type(keys) }),
    }
}

/// The name of a unit variant is text; what an untagged variant holds may be.
const fn check_variants(keys: &'static TypeSchema, schema: &'static EnumSchema, buffered: bool) -> Verdict {
    let mut untagged = matches!(schema.tag, Tag::Untagged);
    let mut i = 0;
    while i < schema.variants.len() {
        untagged |= schema.variants[i].untagged;
        i += 1;
    }
    i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        if variant.written.is_none() {
            continue;
        }
        let has_tag = !variant.untagged && !matches!(schema.tag, Tag::Untagged);
        let verdict = match variant.body {
            Some(body) if !has_tag => check_key(body, buffered || untagged),
            None if has_tag && matches!(schema.tag, Tag::External) => Ok(()),
            _ => refuse(Problem::Key { found: Shape::Type(keys) }),
        };
        if verdict.is_err() {
            return verdict;
        }
    }
    Ok(())
}
