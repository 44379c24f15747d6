//! Checks at compile time whether one type reads everything that another one writes.
//!
//! The rules are those of serde and serde_json. The alternatives of the writer (`null`, each variant) are taken one by
//! one, and each must be read. If an untagged enum tries alternatives that are nested deeper, the check may refuse
//! types that do fit.

#![allow(clippy::result_large_err, reason = "a constant can't box an error")]

use super::mismatch::{Problem, SchemaMismatch, Step};
use super::written::{
    Entry, MAX_FLATTENED, Object, Part, Shape, Taken, is_one_character, looks_for, reads, reads_field, same,
    variant_parts,
};
use super::written::{read as as_read, written as as_written};
use super::{
    EnumSchema, FieldSchema, Keeps, NamedSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema,
};

impl TypeSchema {
    /// Checks whether this type reads every value of `writer` from the JSON that serde writes for it.
    ///
    /// Opaque types are not compared. The check fails at its limits, too: about 15 structs or 10 enums nested in each
    /// other, and objects made of more than 16 flattened structs and tags.
    ///
    /// # Errors
    ///
    /// The path of the first mismatch, and the reason.
    ///
    /// ```
    /// use typed_events::Schema;
    ///
    /// assert!(u64::TYPE.can_read(u32::TYPE).is_ok());
    /// let mismatch = <Vec<u8>>::TYPE.can_read(<Vec<i32>>::TYPE).unwrap_err();
    /// assert_eq!(mismatch.to_string(), "[]: `i32` is written, which does not fit into `u8`");
    /// ```
    pub const fn can_read(&'static self, writer: &'static TypeSchema) -> Result<(), SchemaMismatch> {
        accept(self, Shape::Type(writer), Walk::START)
    }

    /// Like [`can_read`](Self::can_read), for a type nested in others. `frames` is the number of frames used so far;
    /// `buffered` says whether serde has read the value into memory first.
    pub(super) const fn can_read_within(
        &'static self,
        writer: &'static TypeSchema,
        frames: usize,
        buffered: bool,
    ) -> Result<(), SchemaMismatch> {
        accept(self, Shape::Type(writer), Walk { frames, buffered, ..Walk::START })
    }

    /// Like `can_read_within`, for the keys of a map, which are written as strings.
    pub(super) const fn can_read_key(
        &'static self,
        writer: &'static TypeSchema,
        frames: usize,
        buffered: bool,
    ) -> Result<(), SchemaMismatch> {
        accept(self, Shape::Type(writer), Walk { frames, buffered, key: true, ..Walk::START })
    }

    #[doc(hidden)]
    /// Checks whether a view reads every value of `writer` and keeps the writer's secrets secret. With `field`, only
    /// the view's field of that name is checked.
    pub const fn can_view(
        &'static self,
        field: Option<&'static str>,
        writer: &'static TypeSchema,
    ) -> Result<(), SchemaMismatch> {
        let checked_fields = match field {
            Some(field) => CheckedFields::Field(field),
            None => CheckedFields::All,
        };
        accept(self, Shape::Type(writer), Walk { checked_fields, must_hide: true, ..Walk::START })
    }

    #[doc(hidden)]
    /// Like [`can_read`](Self::can_read), but checks only the field that this struct reads under the name `field`.
    #[cfg(feature = "lock")]
    pub const fn can_read_field(
        &'static self,
        field: &'static str,
        writer: &'static TypeSchema,
    ) -> Result<(), SchemaMismatch> {
        accept(self, Shape::Type(writer), Walk { checked_fields: CheckedFields::Field(field), ..Walk::START })
    }

    #[doc(hidden)]
    /// Like [`can_read`](Self::can_read), but checks only whether this struct refuses fields that it does not know.
    pub const fn can_ignore_rest(&'static self, writer: &'static TypeSchema) -> Result<(), SchemaMismatch> {
        accept(self, Shape::Type(writer), Walk { checked_fields: CheckedFields::Unknown, ..Walk::START })
    }
}

/// Maximum number of frames of the compiler's const evaluator that a comparison uses. The evaluator's limit is 128;
/// exceeding it would be an error that names no field.
const MAX_FRAMES: usize = 100;

/// Maximum depth of the search for secrets in types that are read by an opaque type.
const MAX_HIDDEN: usize = 6;

/// Maximum number of pairs of declarations around a compared type.
const MAX_PAIRS: usize = 32;

type Verdict = Result<(), SchemaMismatch>;

const fn refuse(problem: Problem) -> Verdict {
    Err(SchemaMismatch::new(problem))
}

/// Adds an outer step to the path of a mismatch.
const fn at(step: Step, verdict: Verdict) -> Verdict {
    match verdict {
        Ok(()) => Ok(()),
        Err(mismatch) => Err(mismatch.inside(step)),
    }
}

/// The part of the outermost struct that is checked.
#[derive(Clone, Copy)]
enum CheckedFields {
    All,
    /// The field that is read under this name.
    Field(&'static str),
    /// Fields that the struct does not know.
    Unknown,
}

/// The context of a comparison.
#[derive(Clone, Copy)]
struct Walk {
    /// The pairs of declarations around the current types. A pair that is found again needs no check, since the outer
    /// comparison of that pair continues.
    pairs: [Option<(&'static NamedSchema, &'static NamedSchema)>; MAX_PAIRS],
    inside: usize,
    /// The upper bound of the frames used so far.
    frames: usize,
    /// serde has read the value into memory first, as it does for tagged and untagged enums and for flattened fields.
    buffered: bool,
    /// The value is a flattened, adjacently tagged enum, to which serde passes only the entries of its tag and its
    /// content.
    only_own_entries: bool,
    /// The value is the key of a map, which is always written as a string.
    key: bool,
    /// The part of the outermost struct that is checked.
    checked_fields: CheckedFields,
    /// Whether the writer's secrets must be secret in the reader, too.
    must_hide: bool,
}

impl Walk {
    const START: Self = Self {
        pairs: [None; MAX_PAIRS],
        inside: 0,
        frames: 0,
        buffered: false,
        only_own_entries: false,
        key: false,
        checked_fields: CheckedFields::All,
        must_hide: false,
    };

    /// Continues inside a secret of the reader, where nothing else must be secret.
    const fn hidden(self) -> Self {
        Self { must_hide: false, ..self }
    }

    const fn buffered(self) -> Self {
        Self { buffered: true, ..self }
    }

    const fn only_own_entries(self) -> Self {
        Self { only_own_entries: true, ..self }
    }

    const fn key(self) -> Self {
        Self { key: true, ..self }
    }

    const fn looks_at(&self, field: &FieldSchema) -> bool {
        match (self.checked_fields, field.read) {
            (CheckedFields::Field(only), Some(name)) => same(only, name),
            (CheckedFields::Field(_) | CheckedFields::Unknown, _) => false,
            (CheckedFields::All, _) => true,
        }
    }

    const fn looks_at_unknown(&self) -> bool {
        matches!(self.checked_fields, CheckedFields::All | CheckedFields::Unknown)
    }

    const fn is_inside(&self, reader: &NamedSchema, writer: &NamedSchema) -> bool {
        let mut i = 0;
        while i < self.inside {
            if let Some((r, w)) = self.pairs[i]
                && r.is(reader)
                && w.is(writer)
            {
                return true;
            }
            i += 1;
        }
        false
    }
}

/// Checks whether a type reads a written shape.
const fn accept(reader: &'static TypeSchema, shape: Shape, walk: Walk) -> Verdict {
    let mut walk = walk;
    walk.frames += frames(reader, shape);
    if walk.frames > MAX_FRAMES || walk.inside == MAX_PAIRS {
        return refuse(Problem::TooDeep);
    }
    if walk.must_hide
        && let Shape::Type(ty) = shape
    {
        if reader.is_hidden() {
            walk = walk.hidden();
        } else if ty.is_hidden() || reader.reads_anything() && ty.hides_within(MAX_HIDDEN) {
            return refuse(Problem::Exposed);
        }
    }
    // A recursive type may be behind an `Option`, too, so the pair is recorded without it.
    let reader = match (as_read(reader), shape) {
        (TypeSchema::Option(inner), Shape::Type(ty @ TypeSchema::Named(_)))
            if !matches!(as_written(ty), TypeSchema::Option(_) | TypeSchema::Null) =>
        {
            inner
        }
        _ => reader,
    };
    if let (TypeSchema::Named(r), Shape::Type(TypeSchema::Named(w))) = (reader, shape) {
        if walk.is_inside(r.get(), w.get()) {
            return Ok(());
        }
        if !r.get().are_instances(w.get()) {
            walk.pairs[walk.inside] = Some((r.get(), w.get()));
            walk.inside += 1;
        }
    }
    let reader = as_read(reader);
    if matches!(reader, TypeSchema::Any | TypeSchema::Opaque(_)) {
        return Ok(());
    }
    let shape = match shape {
        Shape::Type(ty) => match as_written(ty) {
            TypeSchema::Null => Shape::Null,
            ty => Shape::Type(ty),
        },
        other => other,
    };
    match shape {
        Shape::Type(TypeSchema::Opaque(_)) => Ok(()),
        Shape::Type(TypeSchema::Option(inner)) => {
            if let Err(mismatch) = accept(reader, Shape::Null, walk) {
                return match mismatch.problem {
                    Problem::Other { .. } if mismatch.is_here() => refuse(Problem::MayBeNull),
                    _ => Err(mismatch),
                };
            }
            accept(reader, Shape::Type(inner), walk)
        }
        Shape::Type(TypeSchema::Enum(schema)) => accept_variants(reader, schema, walk),
        Shape::Type(object @ (TypeSchema::Struct(_) | TypeSchema::Map(..))) => {
            accept_alternatives(reader, Object::EMPTY, TypesToAdd::NONE.with(object), walk)
        }
        _ => accept_plain(reader, shape, walk),
    }
}

/// Returns the upper bound of the frames between one call of [`accept`] and the next one inside it.
const fn frames(reader: &'static TypeSchema, shape: Shape) -> usize {
    match (as_read(reader), shape) {
        (TypeSchema::Enum(_), _) => 10,
        (_, Shape::Type(ty)) => match as_written(ty) {
            TypeSchema::Enum(_) => 10,
            TypeSchema::Struct(_) | TypeSchema::Map(..) => 6,
            _ => 2,
        },
        _ => 2,
    }
}

/// Like [`accept`], for a shape that is not an object.
const fn accept_plain(reader: &'static TypeSchema, shape: Shape, walk: Walk) -> Verdict {
    match (reader, shape) {
        (TypeSchema::Any | TypeSchema::Opaque(_), _) => Ok(()),
        (TypeSchema::Option(_), Shape::Null) | (TypeSchema::Null, Shape::Null) => Ok(()),
        (TypeSchema::Option(inner), _) => accept_plain(as_read(inner), shape, walk),
        (TypeSchema::Enum(schema), _) => accept_plain_as_variant(reader, schema, shape, walk),
        (TypeSchema::Sequence(items, keeps), Shape::Type(TypeSchema::Sequence(written, kept))) => {
            if !keeps_all_of(*keeps, *kept) {
                return refuse(Problem::NotKept { expected: *keeps });
            }
            at(Step::Items, accept(items, Shape::Type(written), walk))
        }
        (TypeSchema::Sequence(items, keeps), Shape::Type(TypeSchema::Tuple(written))) => {
            if written.len() > 1 && !matches!(keeps, Keeps::Order) {
                return refuse(Problem::NotKept { expected: *keeps });
            }
            let mut i = 0;
            while i < written.len() {
                if let refused @ Err(_) = at(Step::Item(i), accept(items, Shape::Type(written[i]), walk)) {
                    return refused;
                }
                i += 1;
            }
            Ok(())
        }
        (TypeSchema::Tuple(items), Shape::Type(TypeSchema::Tuple(written)))
            if items.len() == written.len() =>
        {
            let mut i = 0;
            while i < written.len() {
                if let refused @ Err(_) = at(Step::Item(i), accept(items[i], Shape::Type(written[i]), walk)) {
                    return refused;
                }
                i += 1;
            }
            Ok(())
        }
        (TypeSchema::Struct(schema), Shape::Type(TypeSchema::Tuple(written))) => {
            accept_tuple_as_fields(reader, schema, written, shape, walk)
        }
        _ => accept_scalar(reader, shape, walk),
    }
}

/// Like [`accept`], for a shape that is neither an object nor an array.
const fn accept_scalar(reader: &'static TypeSchema, shape: Shape, walk: Walk) -> Verdict {
    let beyond_64_bits = match reader {
        TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max) => {
            *min < i64::MIN as i128 || *max > u64::MAX as u128
        }
        _ => false,
    };
    // As keys they are strings, which only serde_json's own maps convert back.
    let number_or_bool = is_number(reader) || matches!(reader, TypeSchema::Bool);
    if walk.buffered && (beyond_64_bits || walk.key && number_or_bool) {
        return refuse(Problem::Buffered);
    }
    let fits = match (reader, shape) {
        (TypeSchema::Bool, Shape::Type(TypeSchema::Bool)) => true,
        (TypeSchema::Integer(..) | TypeSchema::NonZero(..), Shape::Type(found)) if is_integer(found) => {
            if !contains_range_of(reader, found) {
                return refuse(Problem::Range { expected: reader, found });
            }
            true
        }
        (TypeSchema::Float32 | TypeSchema::Float, Shape::Type(found)) if is_number(found) => {
            if !represents_digits_of(reader, found) {
                return refuse(Problem::Digits { expected: reader, found });
            }
            true
        }
        (TypeSchema::Char, Shape::Type(TypeSchema::Char)) => true,
        (TypeSchema::Char, Shape::Literal(text)) => is_one_character(text),
        (TypeSchema::String, Shape::Literal(_)) => true,
        (TypeSchema::String, Shape::Type(TypeSchema::String | TypeSchema::Char | TypeSchema::Format(_))) => {
            true
        }
        (TypeSchema::String, Shape::Type(found)) if is_number(found) || matches!(found, TypeSchema::Bool) => {
            walk.key
        }
        (TypeSchema::Format(read), Shape::Type(found @ TypeSchema::Format(written))) => {
            if keeps_part_of(read, written) {
                return refuse(Problem::Shortened { expected: reader, found });
            }
            reads_format(read, written)
        }
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => refuse(Problem::Other { expected: reader, found: shape }),
    }
}

/// Returns whether a collection reads an array of another collection without loss.
const fn keeps_all_of(reader: Keeps, writer: Keeps) -> bool {
    match (reader, writer) {
        (Keeps::Order, _) | (_, Keeps::Distinct) => true,
        (Keeps::Repeats, Keeps::Repeats) => true,
        (Keeps::Repeats | Keeps::Distinct, _) => false,
    }
}

const fn is_integer(ty: &TypeSchema) -> bool {
    matches!(ty, TypeSchema::Integer(..) | TypeSchema::NonZero(..))
}

const fn is_number(ty: &TypeSchema) -> bool {
    is_integer(ty) || matches!(ty, TypeSchema::Float32 | TypeSchema::Float)
}

/// Returns whether the range of one integer type contains that of another one.
const fn contains_range_of(reader: &TypeSchema, writer: &TypeSchema) -> bool {
    let (
        TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max),
        TypeSchema::Integer(from, to) | TypeSchema::NonZero(from, to),
    ) = (reader, writer)
    else {
        return false;
    };
    let may_be_zero = matches!(writer, TypeSchema::Integer(from, _) if *from <= 0);
    *from >= *min && *to <= *max && !(may_be_zero && matches!(reader, TypeSchema::NonZero(..)))
}

/// Returns whether a float type represents all numbers of another type exactly.
const fn represents_digits_of(reader: &TypeSchema, writer: &TypeSchema) -> bool {
    let bits = match reader {
        TypeSchema::Float32 => f32::MANTISSA_DIGITS,
        _ => f64::MANTISSA_DIGITS,
    };
    match writer {
        TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max) => {
            *max <= 1 << bits && *min >= -(1 << bits)
        }
        TypeSchema::Float32 => true,
        _ => matches!(reader, TypeSchema::Float),
    }
}

/// Returns whether a format reads the texts of another one, but drops the offset or the nanoseconds.
const fn keeps_part_of(read: &str, written: &str) -> bool {
    same(written, "offset-date-time") && (same(read, "date-time") || same(read, "date-time-micros"))
        || same(written, "date-time") && same(read, "date-time-micros")
}

/// Returns whether a format reads all texts of another one.
pub(super) const fn reads_format(read: &str, written: &str) -> bool {
    same(read, written)
        || (same(written, "date-time-micros") && (same(read, "date-time") || same(read, "offset-date-time")))
        || (same(written, "date-time") && same(read, "offset-date-time"))
        || (same(read, "ip") && (same(written, "ipv4") || same(written, "ipv6")))
        || (same(read, "socket") && (same(written, "socket-v4") || same(written, "socket-v6")))
}

/// Checks whether a struct reads a tuple. serde also reads a struct from an array, with the fields in their order.
const fn accept_tuple_as_fields(
    reader: &'static TypeSchema,
    schema: &'static StructSchema,
    written: &'static [&'static TypeSchema],
    shape: Shape,
    walk: Walk,
) -> Verdict {
    let mut item = 0;
    let mut i = 0;
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if field.flatten || (field.read.is_some() && item == written.len()) {
            return refuse(Problem::Other { expected: reader, found: shape });
        }
        if field.read.is_none() {
            continue;
        }
        if let refused @ Err(_) = at(Step::Item(item), accept(field.shape, Shape::Type(written[item]), walk))
        {
            return refused;
        }
        item += 1;
    }
    match item == written.len() {
        true => Ok(()),
        false => refuse(Problem::Other { expected: reader, found: shape }),
    }
}

/// Types whose entries are still to be added to an object.
#[derive(Clone, Copy)]
struct TypesToAdd {
    types: [Option<&'static TypeSchema>; MAX_TYPES_TO_ADD],
    len: usize,
}

/// Maximum number of flattened fields whose alternatives are combined.
const MAX_TYPES_TO_ADD: usize = 8;

impl TypesToAdd {
    const NONE: Self = Self { types: [None; MAX_TYPES_TO_ADD], len: 0 };

    const fn with(mut self, ty: &'static TypeSchema) -> Self {
        if self.len < MAX_TYPES_TO_ADD {
            self.types[self.len] = Some(ty);
            self.len += 1;
        }
        self
    }

    const fn is_full(&self) -> bool {
        self.len == MAX_TYPES_TO_ADD
    }
}

/// Checks whether a type reads each variant that an enum may write.
const fn accept_variants(reader: &'static TypeSchema, schema: &'static EnumSchema, walk: Walk) -> Verdict {
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        let Some(name) = variant.written else { continue };
        let verdict = match variant_parts(schema, variant, name, false) {
            Some(written) => {
                let object = with_parts(Object::EMPTY, written.parts);
                let types_to_add = match written.beside {
                    Some(beside) => TypesToAdd::NONE.with(beside),
                    None => TypesToAdd::NONE,
                };
                accept_alternatives(reader, object, types_to_add, walk)
            }
            None => match variant.body {
                Some(body) => accept(reader, Shape::Type(body), walk),
                None if variant.untagged || matches!(schema.tag, Tag::Untagged) => {
                    accept_plain(reader, Shape::Null, walk)
                }
                None => accept_plain(reader, Shape::Literal(name), walk),
            },
        };
        if verdict.is_err() {
            return verdict;
        }
    }
    Ok(())
}

const fn with_parts(object: Object, parts: [Option<Part>; 2]) -> Object {
    let mut object = object;
    let mut i = 0;
    while i < parts.len() {
        if let Some(part) = parts[i] {
            object = object.with(part);
        }
        i += 1;
    }
    object
}

/// Checks whether a type reads each object that results from adding the types of `types_to_add` to `object`. Each of
/// them may have alternatives.
const fn accept_alternatives(
    reader: &'static TypeSchema,
    object: Object,
    types_to_add: TypesToAdd,
    walk: Walk,
) -> Verdict {
    if types_to_add.len == 0 {
        if object.is_incomplete {
            return refuse(Problem::TooMany);
        }
        return accept_object(reader, &object, walk);
    }
    let mut rest = types_to_add;
    rest.len -= 1;
    let Some(next) = rest.types[rest.len] else { return refuse(Problem::TooMany) };
    match as_written(next) {
        TypeSchema::Struct(schema) => {
            let mut i = 0;
            while i < schema.fields.len() {
                if schema.fields[i].flatten && schema.fields[i].written.is_some() {
                    if rest.is_full() {
                        return refuse(Problem::TooMany);
                    }
                    rest = rest.with(schema.fields[i].shape);
                }
                i += 1;
            }
            accept_alternatives(reader, object.with(Part::Fields(schema)), rest, walk)
        }
        TypeSchema::Map(keys, values) => {
            accept_alternatives(reader, object.with(Part::Map(keys, values)), rest, walk)
        }
        TypeSchema::Any => {
            let part = Part::Map(&TypeSchema::String, &TypeSchema::Any);
            accept_alternatives(reader, object.with(part), rest, walk)
        }
        TypeSchema::Option(inner) => {
            if let refused @ Err(_) = accept_alternatives(reader, object, rest, walk) {
                return refused;
            }
            accept_alternatives(reader, object, rest.with(inner), walk)
        }
        TypeSchema::Enum(schema) => accept_flattened_variants(reader, schema, object, rest, walk),
        TypeSchema::Opaque(_) => Ok(()),
        // serde can't flatten any other type, except one that writes nothing.
        _ => accept_alternatives(reader, object, rest, walk),
    }
}

const fn accept_flattened_variants(
    reader: &'static TypeSchema,
    schema: &'static EnumSchema,
    object: Object,
    rest: TypesToAdd,
    walk: Walk,
) -> Verdict {
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        let Some(name) = variant.written else { continue };
        let (object, beside) = match variant_parts(schema, variant, name, true) {
            Some(written) => (with_parts(object, written.parts), written.beside),
            None => (object, variant.body),
        };
        let types_to_add = match beside {
            Some(beside) => rest.with(beside),
            None => rest,
        };
        if let refused @ Err(_) = accept_alternatives(reader, object, types_to_add, walk) {
            return refused;
        }
    }
    Ok(())
}

/// Checks whether a type reads one alternative of an object.
const fn accept_object(reader: &'static TypeSchema, object: &Object, walk: Walk) -> Verdict {
    match as_read(reader) {
        TypeSchema::Any | TypeSchema::Opaque(_) => Ok(()),
        TypeSchema::Option(inner) => accept_object(inner, object, walk),
        TypeSchema::Map(keys, values) => accept_map(keys, values, object, walk),
        TypeSchema::Struct(schema) => accept_fields(schema, object, walk),
        TypeSchema::Enum(schema) => accept_object_as_variant(reader, schema, object, walk),
        TypeSchema::Null if walk.buffered && object.len() == 0 => Ok(()),
        other => refuse(Problem::Object { expected: other }),
    }
}

/// Checks whether a map reads the entries of an object that are not taken.
const fn accept_map(
    keys: &'static TypeSchema,
    values: &'static TypeSchema,
    object: &Object,
    walk: Walk,
) -> Verdict {
    let mut i = 0;
    while i < object.len() {
        let verdict = match object.part(i) {
            Part::Entry(key, shape) if !object.is_taken(key) => accept_entry(keys, values, key, shape, walk),
            Part::Entry(..) => Ok(()),
            Part::Map(written_keys, written_values) => {
                match accept(keys, Shape::Type(written_keys), walk.key()) {
                    Ok(()) => at(Step::Values, accept(values, Shape::Type(written_values), walk)),
                    refused => refused,
                }
            }
            Part::Fields(schema) => {
                let mut verdict = Ok(());
                let mut k = 0;
                while k < schema.fields.len() && verdict.is_ok() {
                    let field = &schema.fields[k];
                    k += 1;
                    if let Some(name) = field.written
                        && !field.flatten
                        && let Some(entry) = object.entry(name)
                    {
                        verdict = match walk.must_hide && entry.secret && !values.is_hidden() {
                            true => at(Step::Field(name), refuse(Problem::Exposed)),
                            false => accept_entry(keys, values, name, entry.shape, walk),
                        };
                    }
                }
                verdict
            }
        };
        if verdict.is_err() {
            return verdict;
        }
        i += 1;
    }
    Ok(())
}

const fn accept_entry(
    keys: &'static TypeSchema,
    values: &'static TypeSchema,
    key: &'static str,
    shape: Shape,
    walk: Walk,
) -> Verdict {
    match accept(keys, Shape::Literal(key), walk.key()) {
        Ok(()) => at(Step::Field(key), accept(values, shape, walk)),
        refused => at(Step::Field(key), refused),
    }
}

const fn accept_fields(reader: &'static StructSchema, object: &Object, walk: Walk) -> Verdict {
    let inner = Walk { checked_fields: CheckedFields::All, ..walk };
    if !flattens(reader) {
        let mut i = 0;
        while i < reader.fields.len() {
            if walk.looks_at(&reader.fields[i])
                && let refused @ Err(_) = accept_field(reader, i, object, inner)
            {
                return refused;
            }
            i += 1;
        }
        return match reader.deny_unknown && walk.looks_at_unknown() {
            true => deny_unknown(reader, object),
            false => Ok(()),
        };
    }
    // serde reads the struct's own fields first, then each flattened field from the entries that remain.
    let mut rest = object.without(Taken::Fields(reader));
    let mut i = 0;
    while i < reader.fields.len() {
        let field = &reader.fields[i];
        let is_flat = field.flatten && field.read.is_some();
        if walk.looks_at(field)
            && let refused @ Err(_) = match is_flat {
                true => match deny_unknown_variant(field, reader, &rest) {
                    Ok(()) => accept_flattened(as_read(field.shape), &rest, inner.buffered()),
                    refused => refused,
                },
                false => accept_field(reader, i, object, inner),
            }
        {
            return refused;
        }
        if is_flat {
            rest = taken_by(field.shape, rest);
        }
        i += 1;
    }
    match reader.deny_unknown && walk.looks_at_unknown() {
        true => {
            const NONE: StructSchema = StructSchema { fields: &[], deny_unknown: true };
            deny_unknown(&NONE, &rest)
        }
        false => Ok(()),
    }
}

/// Returns whether a struct reads flattened fields.
const fn flattens(schema: &StructSchema) -> bool {
    let mut i = 0;
    while i < schema.fields.len() {
        if schema.fields[i].flatten && schema.fields[i].read.is_some() {
            return true;
        }
        i += 1;
    }
    false
}

/// Returns the entries that remain after a flattened field. A struct takes the entries of its fields; an externally or
/// adjacently tagged enum takes the entries of its variant. All other types read all entries and take none.
const fn taken_by(shape: &'static TypeSchema, rest: Object) -> Object {
    match as_read(shape) {
        TypeSchema::Option(inner) => taken_by(inner, rest),
        TypeSchema::Struct(schema) if !flattens(schema) => rest.without(Taken::Fields(schema)),
        TypeSchema::Enum(EnumSchema { tag: Tag::Adjacent(tag, content), variants, .. })
            if !has_untagged(variants) =>
        {
            rest.without(Taken::Key(tag)).without(Taken::Key(content))
        }
        TypeSchema::Enum(schema) if matches!(schema.tag, Tag::External) && !has_untagged(schema.variants) => {
            match first_variant(schema, &rest) {
                Some(name) => rest.without(Taken::Key(name)),
                None => rest,
            }
        }
        _ => rest,
    }
}

const fn has_untagged(variants: &[VariantSchema]) -> bool {
    let mut i = 0;
    while i < variants.len() {
        if variants[i].untagged {
            return true;
        }
        i += 1;
    }
    false
}

/// Returns the name of the first entry that an externally tagged enum takes for a variant.
const fn first_variant(schema: &'static EnumSchema, object: &Object) -> Option<&'static str> {
    let mut i = 0;
    while i < object.len() {
        let name = match object.part(i) {
            Part::Entry(name, _) => Some(name),
            Part::Fields(fields) => match only_entry_of(fields, object) {
                Some((name, _)) => Some(name),
                None => None,
            },
            Part::Map(..) => None,
        };
        if let Some(name) = name
            && !object.is_taken(name)
            && known_variant(schema, name).is_some()
        {
            return Some(name);
        }
        i += 1;
    }
    None
}

const fn accept_field(reader: &'static StructSchema, index: usize, object: &Object, walk: Walk) -> Verdict {
    let field = &reader.fields[index];
    let Some(name) = field.read else { return Ok(()) };
    let (mut found, mut map, mut key) = (object.entry(name), object.map(name), None);
    if map.is_some() && !object.is_field(name) {
        key = Some(name);
    }
    let mut i = 0;
    while i < field.aliases.len() {
        let alias = field.aliases[i];
        i += 1;
        if same(alias, name) {
            continue;
        }
        let (entry, values) = (object.entry(alias), object.map(alias));
        if found.is_some() && entry.is_some() {
            return at(Step::Field(name), refuse(Problem::Twice));
        }
        if found.is_none() {
            found = entry;
        }
        if values.is_some() && !object.is_field(alias) {
            if key.is_some() && found.is_none() {
                return at(Step::Field(name), refuse(Problem::KeyTwice(alias)));
            }
            key = Some(alias);
        }
        if map.is_none() {
            map = values;
        }
    }
    if let (Some(_), Some(key)) = (found, key) {
        return at(Step::Field(name), refuse(Problem::KeyTwice(key)));
    }
    let walk = if field.is_hidden() { walk.hidden() } else { walk };
    let verdict = match (found, map) {
        (Some(Entry { secret: true, .. }), _) if walk.must_hide => refuse(Problem::Exposed),
        (Some(entry), _) if field.required && !matches!(entry.presence, Presence::Always) => {
            refuse(Problem::MayBeMissing)
        }
        (Some(entry), _) => accept(field.shape, entry.shape, walk),
        (None, Some(_)) if field.required => refuse(Problem::MayBeMissing),
        (None, Some(values)) => accept(field.shape, Shape::Type(values), walk),
        (None, None) if field.required => refuse(Problem::Missing { beside: object.fields() }),
        (None, None) => Ok(()),
    };
    at(Step::Field(name), verdict)
}

/// Checks whether the type of a flattened field reads the entries of an object.
const fn accept_flattened(reader: &'static TypeSchema, object: &Object, walk: Walk) -> Verdict {
    if object.is_incomplete {
        return refuse(Problem::TooMany);
    }
    match reader {
        TypeSchema::Any | TypeSchema::Opaque(_) | TypeSchema::Null => Ok(()),
        TypeSchema::Option(inner) => accept_flattened_option(inner, object, walk),
        // It asks only for its own fields, unless it has flattened fields itself.
        TypeSchema::Struct(schema) if !flattens(schema) => {
            let mut i = 0;
            while i < schema.fields.len() {
                if let refused @ Err(_) = accept_field(schema, i, object, walk) {
                    return refused;
                }
                i += 1;
            }
            Ok(())
        }
        // If it has an untagged variant, it looks at all entries.
        TypeSchema::Enum(schema) if has_untagged(schema.variants) => accept_object(reader, object, walk),
        TypeSchema::Enum(schema) if matches!(schema.tag, Tag::External) => {
            accept_entry_as_variant(reader, schema, true, object, walk)
        }
        TypeSchema::Enum(schema) if matches!(schema.tag, Tag::Adjacent(..)) => {
            accept_object_as_variant(reader, schema, object, walk.only_own_entries())
        }
        other => accept_object(other, object, walk),
    }
}

/// Checks whether a flattened `Option` reads the entries of an object. serde reads `None`, without an error, if it
/// can't read the inner type. That is right if the object has no entry that the inner type looks for. If it has one,
/// its value would be lost.
const fn accept_flattened_option(inner: &'static TypeSchema, object: &Object, walk: Walk) -> Verdict {
    let mut walk = walk;
    walk.frames += 2;
    let verdict = accept_flattened(as_read(inner), object, walk);
    if verdict.is_ok() || !object.has_entry_for(inner) {
        return Ok(());
    }
    match object.split_by_entry(Some(inner)) {
        Some([one, other]) => match accept_flattened_option(inner, &one, walk) {
            Ok(()) => accept_flattened_option(inner, &other, walk),
            refused => refused,
        },
        None => verdict,
    }
}

/// Refuses a variant of the writer's flattened enum that no flattened field of the reader knows. A flattened `Option`
/// of an externally tagged enum would read it as `None`.
const fn deny_unknown_variant(
    field: &'static FieldSchema,
    reader: &'static StructSchema,
    object: &Object,
) -> Verdict {
    let TypeSchema::Option(inner) = as_read(field.shape) else { return Ok(()) };
    let TypeSchema::Enum(EnumSchema { tag: Tag::External, .. }) = as_read(inner) else { return Ok(()) };
    let mut i = 0;
    while i < object.len() {
        if let Some(name) = object.flattened_variant(i)
            && !object.is_taken(name)
            && !flattened_fields_look_for(reader, name)
        {
            return at(Step::Field(name), refuse(Problem::UnknownVariant { name, is_unit: false }));
        }
        i += 1;
    }
    Ok(())
}

const fn flattened_fields_look_for(reader: &'static StructSchema, name: &str) -> bool {
    let mut i = 0;
    while i < reader.fields.len() {
        if reader.fields[i].flatten && looks_for(reader.fields[i].shape, name, MAX_FLATTENED) {
            return true;
        }
        i += 1;
    }
    false
}

/// Refuses entries that a struct does not know.
const fn deny_unknown(reader: &'static StructSchema, object: &Object) -> Verdict {
    let mut i = 0;
    while i < object.len() {
        match object.part(i) {
            Part::Map(..) => return refuse(Problem::AnyField),
            Part::Entry(key, _) => {
                if !object.is_taken(key) && !reads_field(reader, key) {
                    return refuse(Problem::UnknownField(key));
                }
            }
            Part::Fields(schema) => {
                let mut k = 0;
                while k < schema.fields.len() {
                    if let Some(key) = schema.fields[k].written
                        && !schema.fields[k].flatten
                        && object.entry(key).is_some()
                        && !reads_field(reader, key)
                    {
                        return refuse(Problem::UnknownField(key));
                    }
                    k += 1;
                }
            }
        }
        i += 1;
    }
    Ok(())
}

/// Returns the variant that is read under a name: the one of that name, or else the `#[serde(other)]` variant.
const fn variant_named(schema: &'static EnumSchema, name: &str) -> Option<&'static VariantSchema> {
    if let Some(known) = known_variant(schema, name) {
        return Some(known);
    }
    let mut i = 0;
    while i < schema.variants.len() {
        if schema.variants[i].other {
            return Some(&schema.variants[i]);
        }
        i += 1;
    }
    None
}

/// Returns the variant of this name.
const fn known_variant(schema: &'static EnumSchema, name: &str) -> Option<&'static VariantSchema> {
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        if !variant.untagged && reads(variant.read, variant.aliases, name) {
            return Some(variant);
        }
        i += 1;
    }
    None
}

/// Checks whether an enum reads a shape that is not an object.
const fn accept_plain_as_variant(
    reader: &'static TypeSchema,
    schema: &'static EnumSchema,
    shape: Shape,
    walk: Walk,
) -> Verdict {
    let tagged = match (schema.tag, shape) {
        (Tag::External, Shape::Literal(name)) => match variant_named(schema, name) {
            Some(VariantSchema { body: None, .. }) => return Ok(()),
            Some(_) => refuse(Problem::Other { expected: reader, found: shape }),
            None => refuse(Problem::UnknownVariant { name, is_unit: true }),
        },
        _ => refuse(Problem::Other { expected: reader, found: shape }),
    };
    let mut tried = match schema.tag {
        Tag::Untagged => refuse(Problem::NoVariant),
        _ => tagged,
    };
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        if variant.read.is_some() && (variant.untagged || matches!(schema.tag, Tag::Untagged)) {
            let body = match variant.body {
                // The fields of an untagged variant are not read from an array.
                Some(TypeSchema::Struct(_)) => continue,
                Some(body) => body,
                None => &TypeSchema::Null,
            };
            tried = either(tried, accept(body, shape, walk.buffered()));
            if tried.is_ok() {
                return tried;
            }
        }
    }
    tried
}

/// Combines the results of two variants for the same shape. The shape is read if one of them reads it. If one of them
/// reads it with a loss, the result is that loss.
const fn either(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        (Err(one), Err(other)) if other.is_loss() && !one.is_loss() => Err(other),
        (one, _) => one,
    }
}

/// Checks whether an enum reads an object.
const fn accept_object_as_variant(
    reader: &'static TypeSchema,
    schema: &'static EnumSchema,
    object: &Object,
    walk: Walk,
) -> Verdict {
    let mut untagged = false;
    let mut i = 0;
    while i < schema.variants.len() {
        untagged |= schema.variants[i].untagged;
        i += 1;
    }
    let walk = if untagged { walk.buffered() } else { walk };
    let tagged = match schema.tag {
        Tag::External => accept_only_entry(reader, schema, object, walk),
        Tag::Internal(tag) => accept_tagged(schema, tag, None, object, walk.buffered()),
        Tag::Adjacent(tag, content) => accept_tagged(schema, tag, Some(content), object, walk),
        Tag::Untagged => refuse(Problem::NoVariant),
    };
    let mut tried = tagged;
    let mut i = 0;
    while i < schema.variants.len() && tried.is_err() {
        let variant = &schema.variants[i];
        if let Some(body) = variant.body
            && variant.read.is_some()
            && (variant.untagged || matches!(schema.tag, Tag::Untagged))
        {
            tried = either(tried, accept_object(body, object, walk.buffered()));
        }
        i += 1;
    }
    if tried.is_ok() {
        return tried;
    }
    // One variant may read some of the objects, and another variant the rest.
    if (untagged || matches!(schema.tag, Tag::Untagged))
        && let Some([one, other]) = object.split_by_entry(None)
    {
        return match accept_object_as_variant(reader, schema, &one, walk) {
            Ok(()) => accept_object_as_variant(reader, schema, &other, walk),
            refused => refused,
        };
    }
    tried
}

/// Checks whether an externally tagged enum reads an object, which must have one entry.
const fn accept_only_entry(
    reader: &'static TypeSchema,
    schema: &'static EnumSchema,
    object: &Object,
    walk: Walk,
) -> Verdict {
    let mut entries = 0;
    let mut i = 0;
    while i < object.len() {
        entries += match object.part(i) {
            Part::Map(..) => 2,
            Part::Entry(name, _) => !object.is_taken(name) as usize,
            Part::Fields(schema) => entries_of(schema, object),
        };
        i += 1;
    }
    match entries {
        1 => accept_entry_as_variant(reader, schema, false, object, walk),
        _ => refuse(Problem::Object { expected: reader }),
    }
}

/// Counts the fields of a struct that an object may have as entries.
const fn entries_of(schema: &'static StructSchema, object: &Object) -> usize {
    let (mut entries, mut i) = (0, 0);
    while i < schema.fields.len() {
        if let Some(name) = schema.fields[i].written
            && !schema.fields[i].flatten
            && object.entry(name).is_some()
        {
            entries += 1;
        }
        i += 1;
    }
    entries
}

/// Returns the field of a struct that an object may have as an entry, if there is only one.
const fn only_entry_of(schema: &'static StructSchema, object: &Object) -> Option<(&'static str, Entry)> {
    if entries_of(schema, object) != 1 {
        return None;
    }
    let mut i = 0;
    while i < schema.fields.len() {
        if let Some(name) = schema.fields[i].written
            && !schema.fields[i].flatten
            && let Some(entry) = object.entry(name)
        {
            return Some((name, entry));
        }
        i += 1;
    }
    None
}

/// Checks whether an externally tagged enum reads the first entry of an object that is one of its variants. A flattened
/// enum selects entries by the names of its variants, so its `#[serde(other)]` variant is never read there.
const fn accept_entry_as_variant(
    reader: &'static TypeSchema,
    schema: &'static EnumSchema,
    flattened: bool,
    object: &Object,
    walk: Walk,
) -> Verdict {
    let mut unknown = None;
    let mut i = 0;
    while i < object.len() {
        let (name, shape) = match object.part(i) {
            Part::Entry(name, shape) => (name, shape),
            Part::Fields(fields) => match only_entry_of(fields, object) {
                Some((name, Entry { shape, presence: Presence::Always, .. })) => (name, shape),
                Some(_) => return refuse(Problem::Object { expected: reader }),
                None => {
                    i += 1;
                    continue;
                }
            },
            Part::Map(..) => {
                i += 1;
                continue;
            }
        };
        i += 1;
        if object.is_taken(name) {
            continue;
        }
        let variant = match flattened {
            true => known_variant(schema, name),
            false => variant_named(schema, name),
        };
        match variant {
            Some(variant) => return at(Step::Field(name), accept_body(variant, shape, walk)),
            None if unknown.is_none() => unknown = Some(name),
            None => {}
        }
    }
    match unknown {
        Some(name) => refuse(Problem::UnknownVariant { name, is_unit: false }),
        None => refuse(Problem::Object { expected: reader }),
    }
}

/// Checks whether a variant reads a shape as its content.
const fn accept_body(variant: &'static VariantSchema, shape: Shape, walk: Walk) -> Verdict {
    match variant.body {
        Some(body) => accept(body, shape, walk),
        None => accept(&TypeSchema::Null, shape, walk),
    }
}

/// Checks whether a tagged enum reads an object, for each value that the tag may have.
const fn accept_tagged(
    schema: &'static EnumSchema,
    tag: &'static str,
    content: Option<&'static str>,
    object: &Object,
    walk: Walk,
) -> Verdict {
    let Some(entry) = object.entry(tag) else { return refuse(Problem::NoTag(tag)) };
    if !matches!(entry.presence, Presence::Always) {
        return refuse(Problem::NoTag(tag));
    }
    let rest = object.without(Taken::Key(tag));
    if rest.is_incomplete {
        return refuse(Problem::TooMany);
    }
    match entry.shape {
        Shape::Literal(name) => accept_tag(schema, name, content, entry.part, &rest, walk),
        Shape::Type(ty) => {
            let TypeSchema::Enum(tags) = as_written(ty) else {
                return at(Step::Field(tag), not_a_tag(entry.shape));
            };
            let mut i = 0;
            while i < tags.variants.len() {
                let variant = &tags.variants[i];
                i += 1;
                let Some(name) = variant.written else { continue };
                if variant.body.is_some() || !matches!(tags.tag, Tag::External) {
                    return at(Step::Field(tag), not_a_tag(entry.shape));
                }
                if let refused @ Err(_) = accept_tag(schema, name, content, entry.part, &rest, walk) {
                    return refused;
                }
            }
            Ok(())
        }
        Shape::Null => at(Step::Field(tag), not_a_tag(entry.shape)),
    }
}

/// Refuses a tag that is not a fixed set of names.
const fn not_a_tag(found: Shape) -> Verdict {
    refuse(Problem::Other { expected: &TypeSchema::String, found })
}

/// Checks whether an enum reads an object with this tag. `rest` is the object without the tag.
const fn accept_tag(
    schema: &'static EnumSchema,
    name: &'static str,
    content: Option<&'static str>,
    tag_part: usize,
    rest: &Object,
    walk: Walk,
) -> Verdict {
    let Some(variant) = variant_named(schema, name) else {
        // An internally tagged unit variant does not look at the other entries.
        return refuse(Problem::UnknownVariant { name, is_unit: content.is_none() });
    };
    let denies = schema.deny_unknown && !walk.only_own_entries;
    let walk = Walk { only_own_entries: false, ..walk };
    let Some(content) = content else {
        // An internally tagged unit variant ignores the entries next to the tag.
        return match variant.body {
            Some(body) => accept_object(body, rest, walk),
            None => Ok(()),
        };
    };
    let verdict = match (rest.entry(content), variant.body) {
        (Some(entry), _) if !matches!(entry.presence, Presence::Always) => refuse(Problem::MayBeMissing),
        // The fields of an adjacently tagged variant are not read from an array.
        (Some(Entry { shape: shape @ Shape::Type(ty), .. }), Some(body @ TypeSchema::Struct(_)))
            if matches!(as_written(ty), TypeSchema::Tuple(_)) =>
        {
            refuse(Problem::Other { expected: body, found: shape })
        }
        // serde reads everything before the tag into memory first.
        (Some(entry), _) if entry.part < tag_part => accept_body(variant, entry.shape, walk.buffered()),
        (Some(entry), _) => accept_body(variant, entry.shape, walk),
        (None, None) => Ok(()),
        (None, Some(body)) if body.is_optional() => Ok(()),
        (None, Some(_)) => refuse(Problem::Missing { beside: None }),
    };
    if verdict.is_err() {
        return at(Step::Field(content), verdict);
    }
    match denies {
        true => {
            const NONE: StructSchema = StructSchema { fields: &[], deny_unknown: true };
            deny_unknown(&NONE, &rest.without(Taken::Key(content)))
        }
        false => Ok(()),
    }
}
