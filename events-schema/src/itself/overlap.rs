//! Checks of untagged variants. serde reads the first variant that fits, so an earlier one must not read the values of
//! a later one.
//!
//! A variant is refused if some value of it certainly comes back as an earlier variant. A later `String`, `Value` or
//! map is accepted as "everything else": a value of it that looks like an earlier variant comes back as that one.

use super::{MAX_FRAMES, Verdict, has_untagged, refuse};
use crate::compat::reads_format;
use crate::mismatch::Problem;
use crate::written::{
    Entries, Entry, Object, Part, Shape, Taken, WrittenVariant, is_one_character, read, reads, reads_field,
    same, variant_parts, written,
};
use crate::{EnumSchema, FieldSchema, Keeps, Presence, StructSchema, Tag, TypeSchema, VariantSchema};

/// Whether a reader reads some value of a writer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overlap {
    /// It reads no value.
    Never,
    /// It may read a value, depending on the content of a text, a `Value` or a map, or on a part without a schema.
    Perhaps,
    /// It reads at least one value.
    Certainly,
}

use Overlap::{Certainly, Never, Perhaps};

impl Overlap {
    const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Certainly, _) | (_, Certainly) => Certainly,
            (Perhaps, _) | (_, Perhaps) => Perhaps,
            _ => Never,
        }
    }

    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Never, _) | (_, Never) => Never,
            (Perhaps, _) | (_, Perhaps) => Perhaps,
            _ => Certainly,
        }
    }

    const fn if_(condition: bool) -> Self {
        if condition { Certainly } else { Never }
    }
}

/// Checks that no earlier variant reads a value of an untagged variant.
pub(super) const fn check_earlier(schema: &'static EnumSchema, index: usize, frames: usize) -> Verdict {
    let body = match schema.variants[index].body {
        Some(body) => Shape::Type(body),
        None => Shape::Null,
    };
    let mut i = 0;
    while i < index {
        let earlier = &schema.variants[i];
        i += 1;
        let (Some(name), None | Some(_)) = (earlier.read, earlier.written) else { continue };
        let untagged = earlier.untagged || matches!(schema.tag, Tag::Untagged);
        let overlap = match untagged {
            true => reads_body(earlier, body, frames),
            false => reads_tagged(schema, earlier, body, frames),
        };
        if let Certainly = overlap {
            return refuse(Problem::Earlier(name));
        }
    }
    Ok(())
}

/// Returns whether an untagged variant reads a value of a shape.
const fn reads_body(variant: &'static VariantSchema, shape: Shape, frames: usize) -> Overlap {
    match variant.body {
        None => writes_null(shape),
        // The fields of an untagged variant are not read from an array.
        Some(body @ TypeSchema::Struct(_)) if !is_object(shape) => {
            let _ = body;
            match shape {
                Shape::Type(ty) => match written(ty) {
                    TypeSchema::Option(_) | TypeSchema::Enum(_) | TypeSchema::Any | TypeSchema::Opaque(_) => {
                        reads_some(body, shape, true, frames + 1)
                    }
                    _ => Never,
                },
                _ => Never,
            }
        }
        Some(body) => reads_some(body, shape, matches!(body, TypeSchema::Struct(_)), frames + 1),
    }
}

const fn is_object(shape: Shape) -> bool {
    match shape {
        Shape::Type(ty) => matches!(written(ty), TypeSchema::Struct(_) | TypeSchema::Map(..)),
        _ => false,
    }
}

const fn writes_null(shape: Shape) -> Overlap {
    reads_some(&TypeSchema::Null, shape, false, 1)
}

/// Returns whether a type reads a value of a shape. `fields` is true for the fields of a variant, which are not read
/// from an array.
const fn reads_some(reader: &'static TypeSchema, shape: Shape, fields: bool, frames: usize) -> Overlap {
    if frames > MAX_FRAMES {
        return Perhaps;
    }
    let reader = read(reader);
    if let TypeSchema::Any = reader {
        return Certainly;
    }
    let ty = match shape {
        Shape::Null => {
            return match reader {
                TypeSchema::Null | TypeSchema::Option(_) => Certainly,
                TypeSchema::Enum(schema) => reads_plain_variant(schema, shape, frames),
                TypeSchema::Opaque(_) => Perhaps,
                _ => Never,
            };
        }
        Shape::Literal(text) => return reads_literal(reader, text, frames),
        Shape::Type(ty) => written(ty),
    };
    match (reader, ty) {
        (TypeSchema::Opaque(_), _) | (_, TypeSchema::Opaque(_) | TypeSchema::Any) => Perhaps,
        (_, TypeSchema::Null) => reads_some(reader, Shape::Null, fields, frames + 1),
        (_, TypeSchema::Option(inner)) => {
            let null = reads_some(reader, Shape::Null, fields, frames + 1);
            null.or(reads_some(reader, Shape::Type(inner), fields, frames + 1))
        }
        (TypeSchema::Option(inner), _) => reads_some(inner, shape, false, frames + 1),
        (_, TypeSchema::Enum(schema)) => reads_variants(reader, schema, fields, frames),
        (_, TypeSchema::Struct(schema)) => {
            let (mut overlap, mut choice) = (Never, 0);
            while let Some(object) = object_of(schema, choice) {
                overlap = overlap.or(reads_object(reader, &object, frames));
                choice += 1;
            }
            overlap
        }
        (_, TypeSchema::Map(keys, values)) => {
            reads_object(reader, &Object::EMPTY.with(Part::Map(keys, values)), frames)
        }
        (TypeSchema::Enum(schema), _) => reads_plain_variant(schema, shape, frames),
        (TypeSchema::Struct(schema), TypeSchema::Tuple(items)) if !fields => {
            reads_items(schema, Items::Each(items), frames)
        }
        (TypeSchema::Struct(schema), TypeSchema::Sequence(item, _)) if !fields => {
            reads_items(schema, Items::All(item), frames)
        }
        (TypeSchema::Sequence(..), TypeSchema::Sequence(..)) => Certainly,
        (TypeSchema::Sequence(item, _), TypeSchema::Tuple(items)) => {
            reads_each(Items::All(item), Items::Each(items), items.len(), frames)
        }
        (TypeSchema::Tuple(items), TypeSchema::Sequence(item, _)) => {
            reads_each(Items::Each(items), Items::All(item), items.len(), frames)
        }
        (TypeSchema::Tuple(read), TypeSchema::Tuple(written)) if read.len() == written.len() => {
            reads_each(Items::Each(read), Items::Each(written), read.len(), frames)
        }
        _ => reads_scalar(reader, ty),
    }
}

const fn reads_scalar(reader: &'static TypeSchema, writer: &'static TypeSchema) -> Overlap {
    match (reader, writer) {
        (TypeSchema::Bool, TypeSchema::Bool)
        | (
            TypeSchema::Float | TypeSchema::Float32,
            TypeSchema::Float | TypeSchema::Float32 | TypeSchema::Integer(..) | TypeSchema::NonZero(..),
        )
        | (TypeSchema::Char, TypeSchema::Char)
        | (TypeSchema::String, TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_)) => Certainly,
        // A float is always written with a decimal point, so an integer does not read it.
        (
            TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max),
            TypeSchema::Integer(from, to) | TypeSchema::NonZero(from, to),
        ) => {
            let below = *from > 0 && *from as u128 > *max;
            let above = *min > 0 && *min as u128 > *to;
            Overlap::if_(!below && !above)
        }
        // If one format reads all texts of the other one, both read those texts.
        (TypeSchema::Format(one), TypeSchema::Format(other))
            if reads_format(one, other) || reads_format(other, one) =>
        {
            Certainly
        }
        (
            TypeSchema::Char | TypeSchema::Format(_),
            TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_),
        ) => Perhaps,
        _ => Never,
    }
}

/// Returns whether a type reads a fixed text.
const fn reads_literal(reader: &'static TypeSchema, text: &'static str, frames: usize) -> Overlap {
    match reader {
        TypeSchema::String => Certainly,
        TypeSchema::Char => Overlap::if_(is_one_character(text)),
        TypeSchema::Format(_) | TypeSchema::Opaque(_) => Perhaps,
        TypeSchema::Option(inner) => reads_some(inner, Shape::Literal(text), false, frames + 1),
        TypeSchema::Enum(schema) => reads_plain_variant(schema, Shape::Literal(text), frames),
        _ => Never,
    }
}

/// The elements of an array.
#[derive(Clone, Copy)]
enum Items {
    Each(&'static [&'static TypeSchema]),
    /// The element type of an array of any length.
    All(&'static TypeSchema),
}

impl Items {
    const fn at(self, index: usize) -> &'static TypeSchema {
        match self {
            Self::Each(items) => items[index],
            Self::All(item) => item,
        }
    }
}

/// Returns whether one array type reads an array of another one with `count` elements.
const fn reads_each(reader: Items, writer: Items, count: usize, frames: usize) -> Overlap {
    let (mut overlap, mut i) = (Certainly, 0);
    while i < count {
        overlap = overlap.and(reads_some(reader.at(i), Shape::Type(writer.at(i)), false, frames + 2));
        i += 1;
    }
    overlap
}

/// Returns whether a struct reads an array, with the fields in their order. The last fields may be missing if they have
/// a default.
const fn reads_items(schema: &'static StructSchema, items: Items, frames: usize) -> Overlap {
    let needed = needed_items(schema);
    let (mut overlap, mut next, mut i) = (Certainly, 0, 0);
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if field.read.is_none() {
            continue;
        }
        if field.flatten {
            return Never;
        }
        let item = match items {
            Items::Each(items) if next < items.len() => items[next],
            // Only the shortest array that is read has to be compared.
            Items::All(item) if next < needed => item,
            Items::Each(_) if next < needed => return Never,
            _ => continue,
        };
        next += 1;
        overlap = overlap.and(reads_some(field.shape, Shape::Type(item), false, frames + 1));
    }
    match items {
        Items::Each(items) if items.len() != next => Never,
        _ => overlap,
    }
}

/// Returns the number of elements that an array must have to be read as a struct: all up to the last field without a
/// default. An `Option` without `#[serde(default)]` counts as having none, since serde requires its element in an
/// array.
const fn needed_items(schema: &'static StructSchema) -> usize {
    let (mut needed, mut readable, mut i) = (0, 0, 0);
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if field.read.is_none() {
            continue;
        }
        readable += 1;
        let may_be_implied = field.shape.is_optional() || matches!(field.shape, TypeSchema::Opaque(_));
        if field.required || field.default.is_empty() && may_be_implied {
            needed = readable;
        }
    }
    needed
}

/// Returns whether a type reads a value of one of the variants that an enum writes.
const fn reads_variants(
    reader: &'static TypeSchema,
    schema: &'static EnumSchema,
    fields: bool,
    frames: usize,
) -> Overlap {
    let (mut overlap, mut i) = (Never, 0);
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        let Some(name) = variant.written else { continue };
        let one = match (variant_parts(schema, variant, name, false), variant.body) {
            (Some(parts), _) => {
                let (mut one, mut choice) = (Never, 0);
                while let Some(object) = Written::EMPTY.with_parts(&parts, choice, MAX_DEPTH).object(choice) {
                    one = one.or(reads_object(reader, &object, frames));
                    choice += 1;
                }
                one
            }
            (None, Some(body)) => reads_some(reader, Shape::Type(body), fields, frames + 2),
            (None, None) if variant.untagged || matches!(schema.tag, Tag::Untagged) => {
                reads_some(reader, Shape::Null, fields, frames + 2)
            }
            (None, None) => reads_literal(reader, name, frames + 2),
        };
        overlap = overlap.or(one);
    }
    overlap
}

/// Returns whether an enum reads a value of a shape that is not an object.
const fn reads_plain_variant(schema: &'static EnumSchema, shape: Shape, frames: usize) -> Overlap {
    let (mut overlap, mut i) = (Never, 0);
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        if variant.read.is_none() {
            continue;
        }
        let one = match variant.untagged || matches!(schema.tag, Tag::Untagged) {
            true => reads_body(variant, shape, frames + 2),
            false => reads_tagged(schema, variant, shape, frames + 2),
        };
        overlap = overlap.or(one);
    }
    overlap
}

/// Returns whether a tagged variant reads a value of a shape.
const fn reads_tagged(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    shape: Shape,
    frames: usize,
) -> Overlap {
    let ty = match (shape, schema.tag, variant.body) {
        (Shape::Literal(name), Tag::External, None) => {
            return Overlap::if_(is_named(schema, variant, name));
        }
        (Shape::Type(ty), ..) => written(ty),
        _ => return Never,
    };
    match (ty, schema.tag) {
        (TypeSchema::Any | TypeSchema::Opaque(_), _) => Perhaps,
        (TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_), Tag::External) => {
            match variant.body {
                // A text that is not the name of a variant is read as the `#[serde(other)]` variant.
                None if variant.other => Certainly,
                None => Perhaps,
                Some(_) => Never,
            }
        }
        (TypeSchema::Option(inner), _) => reads_tagged(schema, variant, Shape::Type(inner), frames + 1),
        (TypeSchema::Struct(fields), _) => {
            let (mut overlap, mut choice) = (Never, 0);
            while let Some(object) = object_of(fields, choice) {
                let one = reads_tagged_object(schema, variant, &object, frames + 1);
                overlap = overlap.or(if object.is_incomplete { one.and(Perhaps) } else { one });
                choice += 1;
            }
            overlap
        }
        (TypeSchema::Map(..), _) => Perhaps,
        (TypeSchema::Enum(written), Tag::External) => reads_names(schema, variant, written),
        (TypeSchema::Enum(_), _) => Perhaps,
        (TypeSchema::Tuple([tag, content]), Tag::Adjacent(..)) => {
            reads_tag_and_content(schema, variant, tag, content, frames)
        }
        (TypeSchema::Sequence(item, _), Tag::Adjacent(..)) => {
            reads_tag_and_content(schema, variant, item, item, frames)
        }
        (TypeSchema::Tuple(items), Tag::Internal(_)) => match items.split_first() {
            Some((tag, rest)) => {
                is_tag(schema, variant, tag).and(reads_beside_tag(variant, Items::Each(rest), frames))
            }
            None => Never,
        },
        (TypeSchema::Sequence(item, Keeps::Order), Tag::Internal(_)) => {
            is_tag(schema, variant, item).and(reads_beside_tag(variant, Items::All(item), frames))
        }
        // A set has no repeated values and no defined order.
        (TypeSchema::Sequence(item, _), Tag::Internal(_)) => match variant.body {
            None => is_tag(schema, variant, item),
            Some(_) => is_tag(schema, variant, item).and(Perhaps),
        },
        _ => Never,
    }
}

/// Returns whether an adjacently tagged variant reads an array of two elements, as its tag and its content.
const fn reads_tag_and_content(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    tag: &'static TypeSchema,
    content: &'static TypeSchema,
    frames: usize,
) -> Overlap {
    is_tag(schema, variant, tag).and(reads_body(variant, Shape::Type(content), frames + 2))
}

/// Returns whether an internally tagged variant reads its content from the elements after the tag. serde reads such a
/// variant from an array, too.
const fn reads_beside_tag(variant: &'static VariantSchema, items: Items, frames: usize) -> Overlap {
    match (variant.body, items) {
        (Some(body), _) => reads_array(body, items, frames + 2),
        (None, Items::Each(items)) => Overlap::if_(items.is_empty()),
        (None, Items::All(_)) => Certainly,
    }
}

/// Returns whether a type reads an array, or the remaining elements of one.
const fn reads_array(reader: &'static TypeSchema, items: Items, frames: usize) -> Overlap {
    if frames > MAX_FRAMES {
        return Perhaps;
    }
    match (read(reader), items) {
        (TypeSchema::Any, _) | (TypeSchema::Sequence(..), Items::All(_)) => Certainly,
        (TypeSchema::Option(inner), _) => reads_array(inner, items, frames + 1),
        (TypeSchema::Struct(schema), _) => reads_items(schema, items, frames),
        (TypeSchema::Sequence(item, _), Items::Each(written)) => {
            reads_each(Items::All(item), items, written.len(), frames)
        }
        (TypeSchema::Tuple(read), Items::Each(written)) if read.len() != written.len() => Never,
        (TypeSchema::Tuple(read), _) => reads_each(Items::Each(read), items, read.len(), frames),
        (TypeSchema::Null | TypeSchema::Enum(_) | TypeSchema::Opaque(_), _) => Perhaps,
        _ => Never,
    }
}

/// Returns whether a variant is read under a name: one of its names, or any name that no other variant has if it is
/// the `#[serde(other)]` variant.
const fn is_named(schema: &'static EnumSchema, variant: &'static VariantSchema, name: &str) -> bool {
    let is_own = reads(variant.read, variant.aliases, name);
    if is_own || !variant.other {
        return is_own;
    }
    let mut i = 0;
    while i < schema.variants.len() {
        let other = &schema.variants[i];
        if !other.untagged && reads(other.read, other.aliases, name) {
            return false;
        }
        i += 1;
    }
    true
}

/// Returns whether one of the writer's variants has a name under which this variant is read.
const fn reads_names(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    written: &'static EnumSchema,
) -> Overlap {
    let mut i = 0;
    while i < written.variants.len() {
        let other = &written.variants[i];
        if let Some(name) = other.written
            && is_named(schema, variant, name)
            && matches!(written.tag, Tag::External)
            && !other.untagged
            && other.body.is_none() == variant.body.is_none()
        {
            return match variant.body {
                None => Certainly,
                Some(_) => Perhaps,
            };
        }
        i += 1;
    }
    Never
}

/// Maximum depth of flattened types.
const MAX_DEPTH: usize = 4;

/// Returns one of the objects that a struct writes: one for each variant of an enum that it flattens. `None` if there
/// are no more.
const fn object_of(schema: &'static StructSchema, choice: usize) -> Option<Object> {
    Written::EMPTY.with_fields(schema, choice, MAX_DEPTH).object(choice)
}

/// An object while its parts are collected.
#[derive(Clone, Copy)]
struct Written {
    object: Object,
    /// The largest number of variants of a flattened enum.
    choices: usize,
}

impl Written {
    const EMPTY: Self = Self { object: Object::EMPTY, choices: 1 };

    /// Returns the object, or `None` if `choice` is beyond the last one.
    const fn object(self, choice: usize) -> Option<Object> {
        if choice < self.choices { Some(self.object) } else { None }
    }

    const fn with_fields(mut self, schema: &'static StructSchema, choice: usize, depth: usize) -> Self {
        self.object = self.object.with(Part::Fields(schema));
        let mut i = 0;
        while i < schema.fields.len() {
            if schema.fields[i].flatten && schema.fields[i].written.is_some() {
                self = self.with_type(schema.fields[i].shape, choice, depth);
            }
            i += 1;
        }
        self
    }

    /// Adds the entries of a flattened type.
    const fn with_type(mut self, shape: &'static TypeSchema, choice: usize, depth: usize) -> Self {
        let object = self.object;
        self.object = match written(shape) {
            _ if depth == 0 => object.as_incomplete(),
            TypeSchema::Struct(schema) => return self.with_fields(schema, choice, depth - 1),
            TypeSchema::Enum(schema) => return self.with_variant(schema, choice, depth - 1),
            TypeSchema::Map(keys, values) => object.with(Part::Map(keys, values)),
            TypeSchema::Any => object.with(Part::Map(&TypeSchema::String, &TypeSchema::Any)),
            // The value without these entries is one of the writer's values.
            TypeSchema::Option(_) | TypeSchema::Null => object,
            _ => object.as_incomplete(),
        };
        self
    }

    /// Adds the entries of one variant of a flattened enum.
    const fn with_variant(mut self, schema: &'static EnumSchema, choice: usize, depth: usize) -> Self {
        let count = schema.variants.len();
        if count > self.choices {
            self.choices = count;
        }
        if count > 0 {
            let variant = &schema.variants[choice % count];
            if let Some(name) = variant.written {
                if let Some(parts) = variant_parts(schema, variant, name, true) {
                    return self.with_parts(&parts, choice, depth);
                }
                if let Some(body) = variant.body {
                    return self.with_type(body, choice, depth);
                }
                return self;
            }
        }
        self.object = self.object.as_incomplete();
        self
    }

    const fn with_parts(mut self, parts: &WrittenVariant, choice: usize, depth: usize) -> Self {
        let mut i = 0;
        while i < parts.parts.len() {
            if let Some(part) = parts.parts[i] {
                self.object = self.object.with(part);
            }
            i += 1;
        }
        match parts.beside {
            Some(beside) => self.with_type(beside, choice, depth),
            None => self,
        }
    }
}

/// Returns whether a type reads an object.
const fn reads_object(reader: &'static TypeSchema, object: &Object, frames: usize) -> Overlap {
    if frames > MAX_FRAMES {
        return Perhaps;
    }
    let overlap = match read(reader) {
        TypeSchema::Any => Certainly,
        TypeSchema::Opaque(_) => Perhaps,
        TypeSchema::Option(inner) => reads_object(inner, object, frames + 1),
        TypeSchema::Map(keys, values) => reads_entries(keys, values, object, frames),
        TypeSchema::Struct(schema) => reads_fields(schema, object, frames),
        TypeSchema::Enum(schema) => {
            let (mut overlap, mut i) = (Never, 0);
            while i < schema.variants.len() {
                let variant = &schema.variants[i];
                i += 1;
                if variant.read.is_none() {
                    continue;
                }
                let one = match (variant.untagged || matches!(schema.tag, Tag::Untagged), variant.body) {
                    (true, Some(body)) => reads_object(body, object, frames + 1),
                    (true, None) => Never,
                    (false, _) => reads_tagged_object(schema, variant, object, frames + 1),
                };
                overlap = overlap.or(one);
            }
            overlap
        }
        _ => Never,
    };
    match object.is_incomplete {
        true => overlap.and(Perhaps),
        false => overlap,
    }
}

/// Returns whether a map reads all entries of an object.
const fn reads_entries(
    keys: &'static TypeSchema,
    values: &'static TypeSchema,
    object: &Object,
    frames: usize,
) -> Overlap {
    // A map among the writer's parts may be empty.
    let (mut overlap, mut entries) = (Certainly, Entries::FIRST);
    while let Some((name, entry)) = entries.next(object) {
        if matches!(entry.presence, Presence::Always) {
            overlap = overlap.and(reads_entry(keys, values, name, entry.shape, frames));
        }
    }
    overlap
}

const fn reads_entry(
    keys: &'static TypeSchema,
    values: &'static TypeSchema,
    name: &'static str,
    shape: Shape,
    frames: usize,
) -> Overlap {
    let key = reads_some(keys, Shape::Literal(name), false, frames + 2);
    key.and(reads_some(values, shape, false, frames + 2))
}

const fn reads_fields(schema: &'static StructSchema, object: &Object, frames: usize) -> Overlap {
    let (mut overlap, mut flattens, mut i) = (Certainly, false, 0);
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        overlap = overlap.and(match (field.read, field.flatten) {
            (None, _) => continue,
            (Some(_), true) => {
                flattens = true;
                let rest = object.without(Taken::Fields(schema));
                reads_flattened(field.shape, &rest, frames)
            }
            (Some(name), false) => reads_field_of(field, name, object, frames),
        });
    }
    match schema.deny_unknown {
        true if flattens => overlap.and(Perhaps),
        true => overlap.and(knows_all(schema, object)),
        false => overlap,
    }
}

const fn reads_field_of(
    field: &'static FieldSchema,
    name: &'static str,
    object: &Object,
    frames: usize,
) -> Overlap {
    let mut found = object.entry(name);
    let mut i = 0;
    while i < field.aliases.len() && found.is_none() {
        found = object.entry(field.aliases[i]);
        i += 1;
    }
    match found {
        Some(entry) => {
            let overlap = reads_some(field.shape, entry.shape, false, frames + 2);
            match (entry.presence, field.required) {
                (Presence::Sometimes | Presence::UnlessNone, false) => Certainly,
                _ => overlap,
            }
        }
        None if !field.required => Certainly,
        None => match object.map(name) {
            Some(values) => Perhaps.and(reads_some(field.shape, Shape::Type(values), false, frames + 2)),
            None => Never,
        },
    }
}

const fn reads_flattened(shape: &'static TypeSchema, rest: &Object, frames: usize) -> Overlap {
    match read(shape) {
        // serde reads `None` if the inner type can't be read.
        TypeSchema::Any | TypeSchema::Option(_) | TypeSchema::Null => Certainly,
        TypeSchema::Struct(_) | TypeSchema::Map(..) => reads_object(shape, rest, frames + 2),
        // If it has an untagged variant, it looks at all entries.
        TypeSchema::Enum(schema) if has_untagged(schema) => reads_object(shape, rest, frames + 2),
        TypeSchema::Enum(schema) => reads_flattened_enum(schema, rest, frames + 2),
        _ => Perhaps,
    }
}

/// Returns whether a flattened enum finds one of its variants among the entries of an object.
const fn reads_flattened_enum(schema: &'static EnumSchema, rest: &Object, frames: usize) -> Overlap {
    let (mut overlap, mut named, mut i) = (Never, 0, 0);
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        if variant.read.is_none() {
            continue;
        }
        let one = match (schema.tag, variant.body) {
            (Tag::Untagged, Some(body)) => reads_object(body, rest, frames),
            (Tag::Untagged, None) => Perhaps,
            (Tag::External, body) => match entry_named(variant, rest) {
                None if rest.has_map() => Perhaps,
                None => Never,
                Some(entry) => {
                    named += 1;
                    let body = match body {
                        Some(body) => body,
                        None => &TypeSchema::Null,
                    };
                    reads_some(body, entry.shape, false, frames)
                }
            },
            (Tag::Adjacent(tag, content), _) => reads_adjacent(schema, variant, [tag, content], rest, frames),
            _ => reads_tagged_object(schema, variant, rest, frames),
        };
        overlap = overlap.or(one);
    }
    // It takes the first entry with the name of a variant.
    if named > 1 { overlap.and(Perhaps) } else { overlap }
}

/// Returns whether a struct that denies unknown fields knows all entries that are always written.
const fn knows_all(schema: &'static StructSchema, object: &Object) -> Overlap {
    let mut entries = Entries::FIRST;
    while let Some((name, entry)) = entries.next(object) {
        if matches!(entry.presence, Presence::Always) && !reads_field(schema, name) {
            return Never;
        }
    }
    Certainly
}

/// Returns whether a tagged variant reads an object.
const fn reads_tagged_object(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    object: &Object,
    frames: usize,
) -> Overlap {
    let body = match variant.body {
        Some(body) => body,
        None => &TypeSchema::Null,
    };
    match schema.tag {
        Tag::Untagged => Never,
        Tag::External => reads_only_entry(schema, variant, body, object, frames),
        Tag::Internal(tag) => {
            let rest = object.without(Taken::Key(tag));
            let inside = match variant.body {
                Some(body) => reads_object(body, &rest, frames + 2),
                None => Certainly,
            };
            has_tag(schema, variant, tag, object).and(inside)
        }
        Tag::Adjacent(tag, content) => {
            let rest = object.without(Taken::Key(tag)).without(Taken::Key(content));
            match schema.deny_unknown && has_always(&rest, None) {
                true => Never,
                false => reads_adjacent(schema, variant, [tag, content], object, frames),
            }
        }
    }
}

/// Returns whether an adjacently tagged variant reads its tag and its content from an object that may have other
/// entries.
const fn reads_adjacent(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    [tag, content]: [&'static str; 2],
    object: &Object,
    frames: usize,
) -> Overlap {
    let inside = match (object.entry(content), variant.body) {
        (None, None) => Certainly,
        (Some(entry), Some(body)) => reads_some(body, entry.shape, false, frames + 2),
        (Some(entry), None) => reads_some(&TypeSchema::Null, entry.shape, false, frames + 2),
        (None, Some(body)) if body.is_optional() => Certainly,
        (None, Some(_)) => match object.has_map() {
            true => Perhaps,
            false => Never,
        },
    };
    has_tag(schema, variant, tag, object).and(inside)
}

/// Returns whether an externally tagged variant reads an object that must have one entry. Any entry may be the only
/// one, unless another one is always written.
const fn reads_only_entry(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    body: &'static TypeSchema,
    object: &Object,
    frames: usize,
) -> Overlap {
    let (mut overlap, mut entries) = (if object.has_map() { Perhaps } else { Never }, Entries::FIRST);
    while let Some((name, entry)) = entries.next(object) {
        if is_named(schema, variant, name) && !has_always(object, Some(name)) {
            overlap = overlap.or(reads_some(body, entry.shape, false, frames + 2));
        }
    }
    overlap
}

/// Returns the entry with one of a variant's own names. A flattened enum looks for no others.
const fn entry_named(variant: &'static VariantSchema, object: &Object) -> Option<Entry> {
    let mut entries = Entries::FIRST;
    while let Some((name, entry)) = entries.next(object) {
        if reads(variant.read, variant.aliases, name) {
            return Some(entry);
        }
    }
    None
}

/// Returns whether an entry other than `but` is always written.
const fn has_always(object: &Object, but: Option<&str>) -> bool {
    let mut entries = Entries::FIRST;
    while let Some((name, entry)) = entries.next(object) {
        let is_it = match but {
            Some(but) => same(but, name),
            None => false,
        };
        if !is_it && matches!(entry.presence, Presence::Always) {
            return true;
        }
    }
    false
}

/// Returns whether an object has a tag with the name of the variant.
const fn has_tag(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    tag: &'static str,
    object: &Object,
) -> Overlap {
    match object.entry(tag) {
        Some(Entry { shape: Shape::Literal(name), .. }) => Overlap::if_(is_named(schema, variant, name)),
        Some(Entry { shape: Shape::Type(ty), .. }) => is_tag(schema, variant, ty),
        Some(_) => Never,
        None => match object.has_map() {
            true => Perhaps,
            false => Never,
        },
    }
}

/// Returns whether a type writes a value that is read as the tag of a variant.
const fn is_tag(
    schema: &'static EnumSchema,
    variant: &'static VariantSchema,
    ty: &'static TypeSchema,
) -> Overlap {
    match written(ty) {
        TypeSchema::Enum(written) => {
            let mut i = 0;
            while i < written.variants.len() {
                let other = &written.variants[i];
                i += 1;
                if let (Some(name), None, Tag::External, false) =
                    (other.written, other.body, written.tag, other.untagged)
                    && is_named(schema, variant, name)
                {
                    return Certainly;
                }
            }
            Perhaps
        }
        // A text that is not the name of a variant is read as the `#[serde(other)]` variant.
        TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_) if variant.other => Certainly,
        TypeSchema::Option(inner) => match written(inner) {
            TypeSchema::Option(_) => Perhaps,
            inner => is_tag(schema, variant, inner),
        },
        // serde reads a buffered number as the index of a variant.
        TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max) => {
            let number = number_of(schema, variant);
            let above = *max >= number as u128;
            let below = *min <= number as i128 && !(number == 0 && matches!(ty, TypeSchema::NonZero(..)));
            Overlap::if_(above && (below || variant.other))
        }
        TypeSchema::String
        | TypeSchema::Char
        | TypeSchema::Format(_)
        | TypeSchema::Any
        | TypeSchema::Opaque(_) => Perhaps,
        _ => Never,
    }
}

/// Returns the index of a variant among those with a tag.
const fn number_of(schema: &'static EnumSchema, variant: &'static VariantSchema) -> usize {
    let (mut number, mut i) = (0, 0);
    while i < schema.variants.len() {
        let other = &schema.variants[i];
        i += 1;
        if let (Some(name), Some(own), false) = (other.read, variant.read, other.untagged) {
            if same(name, own) {
                return number;
            }
            number += 1;
        }
    }
    number
}
