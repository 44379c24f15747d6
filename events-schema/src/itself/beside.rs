//! Checks of entries that share an object with others: flattened fields, and the content of a variant next to its tag.
//!
//! serde reads a struct's own fields first, then each flattened field in the order of declaration. A flattened struct
//! takes the entries of its fields. A map, a `Value`, an internally tagged or untagged enum and a struct with flattened
//! fields read all entries that remain, and take none of them.

use super::{Scope, Verdict, Visited, check_type, refuse};
use crate::mismatch::Problem;
use crate::written::{Part, Shape, read, reads, reads_field, same, variant_parts, written};
use crate::{EnumSchema, FieldSchema, Presence, StructSchema, Tag, TypeSchema};

/// Maximum number of names that are compared at once: the size of a page.
const MAX_ENTRIES: usize = 64;

/// Maximum depth of flattened fields.
const MAX_DEPTH: usize = 8;

/// Checks that a flattened field can be written next to the other fields, and that no other field reads its entries.
pub(super) const fn check_flattened(
    schema: &'static StructSchema,
    index: usize,
    scope: Scope,
    visited: &mut Visited,
) -> Verdict {
    let field = &schema.fields[index];
    if field.written.is_none() && field.read.is_none() {
        return Ok(());
    }
    if let refused @ Err(_) = check_optional(field) {
        return refused;
    }
    if field.written.is_some() {
        if !is_object(field.shape, true, MAX_DEPTH) {
            return refuse(Problem::NotFlat { found: Shape::Type(field.shape) });
        }
        if let refused @ Err(_) = check_names(schema, index) {
            return refused;
        }
        if field.read.is_some()
            && let refused @ Err(_) = check_rest(schema, index)
        {
            return refused;
        }
    }
    match field.read.is_some() && field.written.is_some() {
        true => check_type(without_option(field.shape), scope.flattened(), visited),
        false => Ok(()),
    }
}

/// Checks a flattened `Option`, which serde reads as `None` if the inner type can't be read, and a flattened field that
/// is not always written.
const fn check_optional(field: &FieldSchema) -> Verdict {
    if field.read.is_none() {
        return Ok(());
    }
    match read(field.shape) {
        TypeSchema::Option(inner) => match reads_without_entries(inner, MAX_DEPTH) && field.written.is_some()
        {
            true => refuse(Problem::NeverNone),
            false => Ok(()),
        },
        shape => match (field.written, field.presence) {
            (Some(_), Presence::Always) => Ok(()),
            _ if reads_without_entries(shape, MAX_DEPTH) || matches!(shape, TypeSchema::Opaque(_)) => Ok(()),
            (None, _) => refuse(Problem::Skipped),
            _ => refuse(Problem::MayBeMissing),
        },
    }
}

const fn without_option(shape: &'static TypeSchema) -> &'static TypeSchema {
    match shape {
        TypeSchema::Option(inner) => inner,
        shape => shape,
    }
}

/// Compares the names of a flattened field's entries with those of the other fields.
const fn check_names(schema: &'static StructSchema, index: usize) -> Verdict {
    let shape = schema.fields[index].shape;
    let mut page = 0;
    loop {
        let entries = Entries::page(page).of(shape, Side::Written, MAX_DEPTH);
        let own = Entries::page(page).of(shape, Side::Read, MAX_DEPTH);
        if let refused @ Err(_) = check_page(schema, index, &entries, &own) {
            return refused;
        }
        if !entries.has_more() && !own.has_more() {
            return Ok(());
        }
        page += 1;
    }
}

/// Compares one page of the names that a flattened field writes (`entries`) and one page of those that it reads
/// (`own`).
const fn check_page(
    schema: &'static StructSchema,
    index: usize,
    entries: &Entries,
    own: &Entries,
) -> Verdict {
    let mut i = 0;
    while i < schema.fields.len() {
        let other = &schema.fields[i];
        let clash = match (i == index, other.flatten) {
            (true, _) => None,
            (false, true) => {
                match (other.written.is_some(), i < index) {
                    // If both write the same name, the mismatch is reported at the second field.
                    (true, true) => match entries.common_with_type(other.shape) {
                        None => own.common_with_type(other.shape),
                        clash => clash,
                    },
                    (true, false) => own.common_with_type(other.shape),
                    (false, _) => None,
                }
            }
            (false, false) => match entries.common_with_field(other) {
                None if other.read.is_none() => own.common_with_field(other),
                clash => clash,
            },
        };
        if let Some(name) = clash {
            return refuse(Problem::SameName(name));
        }
        i += 1;
    }
    Ok(())
}

/// Checks that a flattened field which reads all remaining entries does not find those of other fields, and that no
/// entries remain if unknown fields are denied.
const fn check_rest(schema: &'static StructSchema, index: usize) -> Verdict {
    let shape = schema.fields[index].shape;
    if schema.deny_unknown && !takes_own_entries(shape, MAX_DEPTH) && writes_entries(shape, MAX_DEPTH) {
        return refuse(Problem::LeavesEntries);
    }
    if !is_affected_by_other_entries(shape, true, MAX_DEPTH) {
        return Ok(());
    }
    let mut i = 0;
    while i < schema.fields.len() {
        let other = &schema.fields[i];
        i += 1;
        let Some(name) = other.written else { continue };
        let is_left = match other.flatten {
            _ if i == index + 1 => false,
            true if i <= index && other.read.is_some() && takes_own_entries(other.shape, MAX_DEPTH) => false,
            true => writes_entries(other.shape, MAX_DEPTH),
            false => !reads_field(schema, name),
        };
        if is_left {
            return refuse(Problem::ReadsOthers(name));
        }
    }
    Ok(())
}

/// Checks the content of an internally tagged variant.
pub(super) const fn check_beside_tag(
    tag: &'static str,
    body: &'static TypeSchema,
    scope: Scope,
    visited: &mut Visited,
) -> Verdict {
    if !is_object(body, false, MAX_DEPTH) {
        return refuse(Problem::BesideTag { found: Shape::Type(body) });
    }
    if Entries::NONE.with(tag).common_with_type(body).is_some() {
        return refuse(Problem::TagTwice(tag));
    }
    check_type(body, scope, visited)
}

/// Returns whether serde can write a type into an object with other entries, as a flattened field or next to a tag.
const fn is_object(shape: &'static TypeSchema, flattened: bool, depth: usize) -> bool {
    match written(shape) {
        _ if depth == 0 => true,
        TypeSchema::Struct(_)
        | TypeSchema::Map(..)
        | TypeSchema::Null
        | TypeSchema::Any
        | TypeSchema::Opaque(_) => true,
        TypeSchema::Option(inner) => flattened && is_object(inner, flattened, depth - 1),
        TypeSchema::Enum(schema) => {
            let mut i = 0;
            while i < schema.variants.len() {
                let variant = &schema.variants[i];
                i += 1;
                let untagged = variant.untagged || matches!(schema.tag, Tag::Untagged);
                if let Some(body) = variant.body
                    && untagged
                    && variant.written.is_some()
                    && !is_object(body, flattened, depth - 1)
                {
                    return false;
                }
                // It is written as nothing, and serde does not read it back from an object without entries.
                if variant.body.is_none() && untagged && variant.written.is_some() {
                    return false;
                }
            }
            true
        }
        _ => false,
    }
}

/// Returns whether a flattened type takes the entries that it reads, so that later fields do not see them.
const fn takes_own_entries(shape: &'static TypeSchema, depth: usize) -> bool {
    match read(shape) {
        _ if depth == 0 => true,
        TypeSchema::Struct(schema) => !has_flattened(schema) && reads_all(schema),
        TypeSchema::Option(inner) => takes_own_entries(inner, depth - 1),
        TypeSchema::Enum(schema) => {
            matches!(schema.tag, Tag::External | Tag::Adjacent(..)) && !super::has_untagged(schema)
        }
        TypeSchema::Null | TypeSchema::Opaque(_) => true,
        _ => false,
    }
}

/// Returns whether a flattened type is known to write entries.
const fn writes_entries(shape: &'static TypeSchema, depth: usize) -> bool {
    match written(shape) {
        _ if depth == 0 => false,
        TypeSchema::Any | TypeSchema::Map(..) => true,
        TypeSchema::Option(inner) => writes_entries(inner, depth - 1),
        TypeSchema::Struct(schema) => {
            let mut i = 0;
            while i < schema.fields.len() {
                let field = &schema.fields[i];
                i += 1;
                if field.written.is_some() && (!field.flatten || writes_entries(field.shape, depth - 1)) {
                    return true;
                }
            }
            false
        }
        TypeSchema::Enum(schema) => {
            let mut i = 0;
            while i < schema.variants.len() {
                let variant = &schema.variants[i];
                i += 1;
                let untagged = variant.untagged || matches!(schema.tag, Tag::Untagged);
                match (variant.written, variant.body) {
                    (None, _) => {}
                    (Some(_), Some(body)) if untagged => {
                        if writes_entries(body, depth - 1) {
                            return true;
                        }
                    }
                    (Some(_), _) => return true,
                }
            }
            false
        }
        _ => false,
    }
}

/// Returns whether a struct reads each name that it writes.
const fn reads_all(schema: &'static StructSchema) -> bool {
    let mut i = 0;
    while i < schema.fields.len() {
        if let Some(name) = schema.fields[i].written
            && !schema.fields[i].flatten
            && !reads_field(schema, name)
        {
            return false;
        }
        i += 1;
    }
    true
}

pub(super) const fn has_flattened(schema: &StructSchema) -> bool {
    let mut i = 0;
    while i < schema.fields.len() {
        if schema.fields[i].flatten && schema.fields[i].read.is_some() {
            return true;
        }
        i += 1;
    }
    false
}

/// Returns whether the entries of other fields change the value that is read, or are refused. `flattened` is false if
/// the object has only the type's own entries.
const fn is_affected_by_other_entries(shape: &'static TypeSchema, flattened: bool, depth: usize) -> bool {
    match read(shape) {
        _ if depth == 0 => false,
        TypeSchema::Any | TypeSchema::Map(..) => true,
        TypeSchema::Null => !flattened,
        TypeSchema::Option(inner) => is_affected_by_other_entries(inner, flattened, depth - 1),
        TypeSchema::Struct(schema) => {
            if !has_flattened(schema) {
                return !flattened && schema.deny_unknown;
            }
            if schema.deny_unknown {
                return true;
            }
            let mut i = 0;
            while i < schema.fields.len() {
                let field = &schema.fields[i];
                if field.flatten
                    && field.read.is_some()
                    && is_affected_by_other_entries(field.shape, true, depth - 1)
                {
                    return true;
                }
                i += 1;
            }
            false
        }
        TypeSchema::Enum(schema) => {
            let whole = matches!(schema.tag, Tag::Internal(_) | Tag::Untagged);
            let mut i = 0;
            while i < schema.variants.len() {
                let variant = &schema.variants[i];
                if let Some(body) = variant.body
                    && (whole || variant.untagged)
                    && variant.read.is_some()
                    && is_affected_by_other_entries(body, false, depth - 1)
                {
                    return true;
                }
                i += 1;
            }
            false
        }
        _ => false,
    }
}

/// Returns whether a flattened type can be read from an object without its entries.
const fn reads_without_entries(shape: &'static TypeSchema, depth: usize) -> bool {
    match read(shape) {
        _ if depth == 0 => false,
        TypeSchema::Any | TypeSchema::Map(..) | TypeSchema::Null | TypeSchema::Option(_) => true,
        TypeSchema::Struct(schema) => {
            let mut i = 0;
            while i < schema.fields.len() {
                let field = &schema.fields[i];
                let needed = match field.flatten {
                    true => field.read.is_some() && !reads_without_entries(field.shape, depth - 1),
                    false => field.read.is_some() && field.required,
                };
                if needed {
                    return false;
                }
                i += 1;
            }
            true
        }
        TypeSchema::Enum(schema) => {
            let mut i = 0;
            while i < schema.variants.len() {
                let variant = &schema.variants[i];
                if let Some(body) = variant.body
                    && (variant.untagged || matches!(schema.tag, Tag::Untagged))
                    && variant.read.is_some()
                    && reads_without_entries(body, depth - 1)
                {
                    return true;
                }
                i += 1;
            }
            false
        }
        _ => false,
    }
}

#[derive(Clone, Copy)]
enum Side {
    Written,
    Read,
}

/// A page of the names of the entries that a flattened type writes or reads. The names of a map's entries are not
/// known.
#[derive(Clone, Copy)]
struct Entries {
    names: [&'static str; MAX_ENTRIES],
    len: usize,
    /// The number of names before this page.
    before: usize,
    /// The number of names so far, on all pages.
    visited: usize,
}

impl Entries {
    const NONE: Self = Self::page(0);

    /// Creates an empty page. Two pages may repeat a name, but none is lost between them.
    const fn page(page: usize) -> Self {
        Self { names: [""; MAX_ENTRIES], len: 0, before: page * MAX_ENTRIES, visited: 0 }
    }

    const fn with(mut self, name: &'static str) -> Self {
        if self.visited >= self.before && self.len < MAX_ENTRIES {
            self.names[self.len] = name;
            self.len += 1;
        }
        self.visited += 1;
        self
    }

    /// Returns whether there are names after this page.
    const fn has_more(&self) -> bool {
        self.visited > self.before + MAX_ENTRIES
    }

    /// Adds the names of a type's entries.
    const fn of(self, shape: &'static TypeSchema, side: Side, depth: usize) -> Self {
        let shape = match side {
            Side::Written => written(shape),
            Side::Read => read(shape),
        };
        match shape {
            _ if depth == 0 => self,
            TypeSchema::Option(inner) => self.of(inner, side, depth - 1),
            TypeSchema::Struct(schema) => self.of_fields(schema, side, depth),
            TypeSchema::Enum(schema) => self.of_variants(schema, side, depth),
            _ => self,
        }
    }

    const fn of_fields(mut self, schema: &'static StructSchema, side: Side, depth: usize) -> Self {
        let mut i = 0;
        while i < schema.fields.len() {
            let field = &schema.fields[i];
            i += 1;
            let name = match side {
                Side::Written => field.written,
                Side::Read => field.read,
            };
            let Some(name) = name else { continue };
            if field.flatten {
                self = self.of(field.shape, side, depth - 1);
                continue;
            }
            self = self.with(name);
            if let Side::Read = side {
                self = self.with_all(field.aliases);
            }
        }
        self
    }

    const fn with_all(mut self, names: &'static [&'static str]) -> Self {
        let mut i = 0;
        while i < names.len() {
            self = self.with(names[i]);
            i += 1;
        }
        self
    }

    const fn of_variants(mut self, schema: &'static EnumSchema, side: Side, depth: usize) -> Self {
        let mut i = 0;
        while i < schema.variants.len() {
            let variant = &schema.variants[i];
            i += 1;
            let name = match side {
                Side::Written => variant.written,
                Side::Read => variant.read,
            };
            let Some(name) = name else { continue };
            let untagged = variant.untagged || matches!(schema.tag, Tag::Untagged);
            let body = match variant_parts(schema, variant, name, true) {
                Some(parts) => {
                    let mut k = 0;
                    while k < parts.parts.len() {
                        if let Some(Part::Entry(name, _)) = parts.parts[k]
                            && !self.has(name)
                        {
                            self = self.with(name);
                        }
                        k += 1;
                    }
                    parts.beside
                }
                None => variant.body,
            };
            if let (Side::Read, Tag::External, false) = (side, schema.tag, untagged) {
                self = self.with_all(variant.aliases);
            }
            if let Some(body) = body {
                self = self.of(body, side, depth - 1);
            }
        }
        self
    }

    const fn has(&self, name: &str) -> bool {
        let mut i = 0;
        while i < self.len {
            if same(self.names[i], name) {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn common(&self, other: &Self) -> Option<&'static str> {
        let mut i = 0;
        while i < self.len {
            if other.has(self.names[i]) {
                return Some(self.names[i]);
            }
            i += 1;
        }
        None
    }

    /// Returns a name that a type writes, too.
    const fn common_with_type(&self, shape: &'static TypeSchema) -> Option<&'static str> {
        let mut page = 0;
        loop {
            let others = Self::page(page).of(shape, Side::Written, MAX_DEPTH);
            match self.common(&others) {
                None if others.has_more() => page += 1,
                clash => return clash,
            }
        }
    }

    const fn common_with_field(&self, field: &FieldSchema) -> Option<&'static str> {
        let mut i = 0;
        while i < self.len {
            let is_written = match field.written {
                Some(written) => same(written, self.names[i]),
                None => false,
            };
            if is_written || reads(field.read, field.aliases, self.names[i]) {
                return Some(self.names[i]);
            }
            i += 1;
        }
        None
    }
}
