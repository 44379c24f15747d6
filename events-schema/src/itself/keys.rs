//! Checks of the keys of maps, which are strings in JSON.

use super::{MAX_FRAMES, Scope, Verdict, at, check_earlier, check_variant_names, has_untagged, of, refuse};
use crate::mismatch::{Problem, SchemaMismatch, Step};
use crate::written::Shape;
use crate::{EnumSchema, Tag, TypeSchema};

/// Checks that keys of this type are written as strings and read back unchanged.
pub(super) const fn check_keys(keys: &'static TypeSchema, scope: Scope) -> Verdict {
    match check_key(keys, scope) {
        // These messages mention the key already.
        Err(mismatch @ SchemaMismatch { problem: Problem::Key { .. } | Problem::Buffered, .. })
            if mismatch.is_here() =>
        {
            Err(mismatch)
        }
        verdict => at(Step::Keys, verdict),
    }
}

const fn check_key(keys: &'static TypeSchema, scope: Scope) -> Verdict {
    if scope.frames > MAX_FRAMES {
        return Ok(());
    }
    match keys {
        TypeSchema::Named(named) => of(named.get(), check_key(named.get().shape, scope.deeper(1))),
        TypeSchema::Differs { written, read } => match check_key(written, scope.deeper(1)) {
            Ok(()) => check_key_sides(written, read, scope),
            refused => refused,
        },
        TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_) | TypeSchema::Opaque(_) => Ok(()),
        TypeSchema::Integer(..)
        | TypeSchema::NonZero(..)
        | TypeSchema::Float
        | TypeSchema::Float32
        | TypeSchema::Bool => match scope.buffered {
            true => refuse(Problem::Buffered),
            false => Ok(()),
        },
        TypeSchema::Enum(schema) => check_variants(keys, schema, scope.deeper(2)),
        _ => refuse(Problem::Key { found: Shape::Type(keys) }),
    }
}

/// Checks a key that is written in one shape and read in another.
const fn check_key_sides(written: &'static TypeSchema, read: &'static TypeSchema, scope: Scope) -> Verdict {
    // The comparison counts its frames from here, so it needs some in reserve.
    if scope.frames > MAX_FRAMES / 2 {
        return Ok(());
    }
    match read.can_read_key(written, scope.frames, scope.buffered) {
        Err(mismatch) if mismatch.is_undecided() => Ok(()),
        verdict => verdict,
    }
}

/// Checks an enum of keys. A unit variant is written as its name; an untagged variant is written as its content.
const fn check_variants(keys: &'static TypeSchema, schema: &'static EnumSchema, scope: Scope) -> Verdict {
    let untagged = matches!(schema.tag, Tag::Untagged) || has_untagged(schema);
    let inside = if untagged { scope.buffered() } else { scope };
    let mut i = 0;
    while i < schema.variants.len() {
        if let Some(name) = schema.variants[i].written {
            let verdict = check_variant(keys, schema, i, inside);
            // These problems concern the enum as a whole.
            match verdict {
                Err(SchemaMismatch { problem: Problem::Key { .. } | Problem::Buffered, .. }) => {
                    return verdict;
                }
                Err(_) => return at(Step::Field(name), verdict),
                Ok(()) => {}
            }
        }
        i += 1;
    }
    Ok(())
}

const fn check_variant(
    keys: &'static TypeSchema,
    schema: &'static EnumSchema,
    index: usize,
    inside: Scope,
) -> Verdict {
    let variant = &schema.variants[index];
    let has_tag = !variant.untagged && !matches!(schema.tag, Tag::Untagged);
    let verdict = match variant.body {
        Some(body) if !has_tag => check_key(body, inside.deeper(1)),
        None if has_tag && matches!(schema.tag, Tag::External) => Ok(()),
        _ => refuse(Problem::Key { found: Shape::Type(keys) }),
    };
    match verdict {
        Ok(()) => {}
        refused => return refused,
    }
    match check_variant_names(schema, index, true) {
        Ok(()) if !has_tag => check_earlier(schema, index, inside.frames),
        verdict => verdict,
    }
}
