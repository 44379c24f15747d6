//! Checks at compile time whether a type reads back what it writes.
//!
//! Events and payloads are checked at their declaration. Other types are checked at each event or payload with a field
//! of them. The check does not enter scalars, options and lists of scalars, or types that were checked at their
//! declaration. It stops at [`MAX_FRAMES`] and [`MAX_VISITS`], and accepts everything beyond these limits.
//!
//! The rule: every value that is written is read back as the same value. Exceptions, because the user asks for them or
//! because they can't be decided here:
//!
//! - Fields that serde is told to skip, and opaque types, are accepted.
//! - A `String`, `Value` or map is accepted if only some of its values are ambiguous. For example, a key of a flattened
//!   map may be the name of a field. The writer (`json/write.rs`) refuses an object with the same key twice. A key with
//!   the name of a field that is not written, or with an alias, is read as that field.
//! - `Option<Value>` is accepted, although `Some(Value::Null)` comes back as `None`.
//! - A field that a user's function leaves out, or that gets its value from the default of its whole struct
//!   (`#[serde(default)]` above the struct), is accepted, since its value is not known here.

#![allow(clippy::result_large_err, reason = "a constant can't box an error")]

mod absent;
mod beside;
mod keys;
mod overlap;

use absent::check_absent;
use beside::{check_beside_tag, check_flattened, has_flattened};
use keys::check_keys;
use overlap::check_earlier;

use super::mismatch::{Problem, SchemaMismatch, Step};
use super::written::{reads, reads_field, same, written};
use super::{EnumSchema, FieldSchema, NamedSchema, Presence, StructSchema, Tag, TypeSchema, Verified};

/// Maximum number of frames of the compiler's const evaluator that a check uses. The evaluator's limit is 128.
const MAX_FRAMES: usize = 90;

/// Maximum number of types that a check visits, since the compiler warns about constants that take long.
const MAX_VISITS: usize = 4_000;

/// Maximum number of nested untagged enums in which a `null` is searched.
const MAX_NULL: usize = 8;

/// Maximum number of declarations that a check records as visited.
const MAX_VISITED: usize = 48;

type Verdict = Result<(), SchemaMismatch>;

const fn refuse(problem: Problem) -> Verdict {
    Err(SchemaMismatch::new(problem))
}

const fn at(step: Step, verdict: Verdict) -> Verdict {
    match verdict {
        Ok(()) => Ok(()),
        Err(mismatch) => Err(mismatch.inside(step)),
    }
}

/// Sets the declared type that contains a mismatch.
const fn of(owner: &'static NamedSchema, verdict: Verdict) -> Verdict {
    match verdict {
        Ok(()) => Ok(()),
        Err(mismatch) => Err(mismatch.of(owner)),
    }
}

impl TypeSchema {
    /// Checks whether this type reads back every value that it writes, as JSON with serde.
    ///
    /// # Errors
    ///
    /// The path of the first mismatch, and the reason.
    ///
    /// ```
    /// use typed_events::Schema;
    ///
    /// assert!(<Option<Vec<u8>>>::TYPE.reads_itself().is_ok());
    /// let mismatch = <Option<Option<u8>>>::TYPE.reads_itself().unwrap_err();
    /// assert_eq!(mismatch.to_string(), "`Some(None)` is written as `null`, which is read as `None`");
    /// ```
    pub const fn reads_itself(&'static self) -> Result<(), SchemaMismatch> {
        check_type(self, Scope::START, &mut Visited::none())
    }
}

/// Checks a declared type, except for the parts that have a bit in `done`, and for the fields of variants that have one
/// in `of_variants`, beside the index of the variant. The names of its fields and variants are not checked, since the
/// macro has done so.
pub const fn check_declared(
    declared: &'static TypeSchema,
    done: u128,
    of_variants: &[(usize, u128)],
) -> Verdict {
    let scope = Scope { must_check_names: false, ..Scope::START };
    let mut visited = Visited::none();
    let shape = behind_name(declared);
    let parts = match shape {
        TypeSchema::Struct(schema) => schema.fields.len(),
        TypeSchema::Enum(schema) => schema.variants.len(),
        TypeSchema::Tuple(items) => items.len(),
        _ if done == 0 => return in_declared(declared, check_type(shape, scope, &mut visited)),
        _ => return Ok(()),
    };
    let mut i = 0;
    while i < parts {
        let verdict = match shape {
            _ if is_done(done, i) => Ok(()),
            TypeSchema::Struct(schema) => check_field(schema, i, scope, &mut visited),
            TypeSchema::Enum(schema) => match checked_fields_of(i, of_variants) {
                0 => check_variant(schema, i, scope, &mut visited),
                done => rest_of_variant(schema, i, done, scope, &mut visited),
            },
            TypeSchema::Tuple(items) => at(Step::Item(i), check_type(items[i], scope, &mut visited)),
            _ => Ok(()),
        };
        if verdict.is_err() {
            return verdict;
        }
        i += 1;
    }
    Ok(())
}

const fn is_done(done: u128, index: usize) -> bool {
    index < 128 && done >> index & 1 == 1
}

/// Returns the bits of the fields of a variant that are checked separately.
const fn checked_fields_of(variant: usize, of_variants: &[(usize, u128)]) -> u128 {
    let mut i = 0;
    while i < of_variants.len() {
        if of_variants[i].0 == variant {
            return of_variants[i].1;
        }
        i += 1;
    }
    0
}

/// Checks the fields of a variant that have no bit in `done`.
const fn rest_of_variant(
    schema: &'static EnumSchema,
    index: usize,
    done: u128,
    scope: Scope,
    visited: &mut Visited,
) -> Verdict {
    let variant = &schema.variants[index];
    let (Some(name), Some(TypeSchema::Struct(fields))) = (variant.written, variant.body) else {
        return Ok(());
    };
    let mut i = 0;
    while i < fields.fields.len() {
        if !is_done(done, i)
            && let refused @ Err(_) = check_field(fields, i, scope.of_variant(schema, index), visited)
        {
            return at(Step::Field(name), refused);
        }
        i += 1;
    }
    Ok(())
}

/// Checks one part of a declared type: a variant, or a field of a struct or of a variant. Without `variant` and
/// `field`, checks the whole type.
pub const fn check_part(shape: &'static TypeSchema, variant: Option<usize>, field: Option<usize>) -> Verdict {
    let scope = Scope { must_check_names: false, ..Scope::START };
    let mut visited = Visited::none();
    match (behind_name(shape), variant, field) {
        (TypeSchema::Enum(schema), Some(index), None) if index < schema.variants.len() => {
            check_variant(schema, index, scope, &mut visited)
        }
        (TypeSchema::Enum(schema), Some(index), Some(field)) if index < schema.variants.len() => {
            match schema.variants[index].body {
                Some(TypeSchema::Struct(fields)) if field < fields.fields.len() => {
                    check_field(fields, field, scope.of_variant(schema, index), &mut visited)
                }
                _ => Ok(()),
            }
        }
        (TypeSchema::Struct(schema), None, Some(field)) if field < schema.fields.len() => {
            check_field(schema, field, scope, &mut visited)
        }
        (_, None, None) => check_type(shape, Scope::START, &mut visited),
        _ => Ok(()),
    }
}

/// The context of a check.
#[derive(Clone, Copy)]
struct Scope {
    /// serde has read the value into memory first, as it does for tagged and untagged enums and for flattened fields.
    buffered: bool,
    /// The type is that of a flattened field. A struct then gets only the entries that its fields name, unless it has
    /// flattened fields itself.
    flattened: bool,
    /// Whether the names of fields and variants are still to be checked.
    must_check_names: bool,
    /// The upper bound of the frames used so far.
    frames: usize,
}

impl Scope {
    const START: Self = Self { buffered: false, flattened: false, must_check_names: true, frames: 0 };

    const fn deeper(self, frames: usize) -> Self {
        Self { frames: self.frames + frames, ..self }
    }

    const fn buffered(self) -> Self {
        Self { buffered: true, ..self }
    }

    const fn flattened(self) -> Self {
        Self { buffered: true, flattened: true, ..self }
    }

    /// Continues inside a field, an item or a value.
    const fn within(self) -> Self {
        Self { flattened: false, ..self }
    }

    /// Continues inside a variant.
    const fn of_variant(self, schema: &EnumSchema, index: usize) -> Self {
        let inside = self.within();
        match schema.tag {
            Tag::Internal(_) | Tag::Untagged => inside.buffered(),
            _ if schema.variants[index].untagged || has_untagged(schema) => inside.buffered(),
            _ => inside,
        }
    }
}

/// The declarations that a check has visited, and the number of types that it may still visit.
struct Visited {
    types: [Option<(&'static NamedSchema, Scope)>; MAX_VISITED],
    len: usize,
    visits_left: usize,
}

impl Visited {
    const fn none() -> Self {
        Self { types: [None; MAX_VISITED], len: 0, visits_left: MAX_VISITS }
    }

    /// Returns whether this declaration was visited in an equal context, and records the visit.
    const fn visit(&mut self, named: &'static NamedSchema, scope: Scope) -> bool {
        let mut i = 0;
        while i < self.len {
            if let Some((seen, other)) = self.types[i]
                && other.buffered == scope.buffered
                && other.flattened == scope.flattened
                && seen.is(named)
            {
                return true;
            }
            i += 1;
        }
        if self.len < MAX_VISITED {
            self.types[self.len] = Some((named, scope));
            self.len += 1;
        }
        false
    }
}

const fn check_type(shape: &'static TypeSchema, scope: Scope, visited: &mut Visited) -> Verdict {
    match shape {
        TypeSchema::Option(inner) if writes_null(inner, MAX_NULL) => refuse(Problem::NullTwice { inner }),
        TypeSchema::Option(inner) => check_type(inner, scope.deeper(1).within(), visited),
        TypeSchema::Sequence(inner, _) => {
            at(Step::Items, check_type(inner, scope.deeper(1).within(), visited))
        }
        TypeSchema::Named(named) => {
            let named = named.get();
            match named.verified {
                Verified::Declared if !scope.buffered => return Ok(()),
                // Different instances of a generic type have the same name.
                Verified::Instance => {}
                _ if visited.visit(named, scope) => return Ok(()),
                _ => {}
            }
            let must_check_names = !matches!(named.verified, Verified::Declared);
            of(named, check_shape(named.shape, Scope { must_check_names, ..scope.deeper(1) }, visited))
        }
        shape => check_shape(shape, scope, visited),
    }
}

/// Checks a type that is not a named declaration.
const fn check_shape(shape: &'static TypeSchema, scope: Scope, visited: &mut Visited) -> Verdict {
    let is_flat = matches!(
        shape,
        TypeSchema::Any
            | TypeSchema::Opaque(_)
            | TypeSchema::Null
            | TypeSchema::Bool
            | TypeSchema::Float
            | TypeSchema::Float32
            | TypeSchema::Char
            | TypeSchema::String
            | TypeSchema::Format(_)
    );
    if is_flat || visited.visits_left == 0 || scope.frames > MAX_FRAMES {
        return Ok(());
    }
    visited.visits_left -= 1;
    match shape {
        TypeSchema::Integer(min, max) | TypeSchema::NonZero(min, max) => {
            let beyond_64_bits = *min < i64::MIN as i128 || *max > u64::MAX as u128;
            match scope.buffered && beyond_64_bits {
                true => refuse(Problem::Buffered),
                false => Ok(()),
            }
        }
        TypeSchema::Tuple(items) => {
            let mut i = 0;
            while i < items.len() {
                if let refused @ Err(_) =
                    at(Step::Item(i), check_type(items[i], scope.deeper(1).within(), visited))
                {
                    return refused;
                }
                i += 1;
            }
            Ok(())
        }
        TypeSchema::Map(keys, values) => match check_keys(keys, scope.deeper(2)) {
            Ok(()) => at(Step::Values, check_type(values, scope.deeper(1).within(), visited)),
            refused => refused,
        },
        TypeSchema::Struct(schema) => check_fields(schema, scope.deeper(3), visited),
        TypeSchema::Enum(schema) => check_variants(schema, scope.deeper(4), visited),
        TypeSchema::Differs { written, read } => check_sides(written, read, scope, visited),
        // `check_type` has handled these cases, and all others have returned above. They are listed, so that a new kind of
        // type is a compiler error here.
        TypeSchema::Option(_) | TypeSchema::Sequence(..) | TypeSchema::Named(_) => {
            check_type(shape, scope.deeper(1), visited)
        }
        TypeSchema::Any
        | TypeSchema::Opaque(_)
        | TypeSchema::Null
        | TypeSchema::Bool
        | TypeSchema::Float
        | TypeSchema::Float32
        | TypeSchema::Char
        | TypeSchema::String
        | TypeSchema::Format(_) => Ok(()),
    }
}

/// Checks a type that is written in one shape and read in another.
const fn check_sides(
    written: &'static TypeSchema,
    read: &'static TypeSchema,
    scope: Scope,
    visited: &mut Visited,
) -> Verdict {
    match (written, read) {
        // The schema that the derive writes for a tuple, see `Writer::tuple_shape` in events-macros.
        (TypeSchema::Enum(EnumSchema { tag: Tag::Untagged, .. }), TypeSchema::Tuple(_)) => {
            refuse(Problem::Moves)
        }
        (TypeSchema::Named(one), TypeSchema::Named(other))
            if one.get().is(other.get()) && !matches!(one.get().verified, Verified::Instance) =>
        {
            check_type(read, scope.deeper(1), visited)
        }
        // The comparison counts its frames from here, so it needs some in reserve.
        _ if scope.frames > MAX_FRAMES / 2 => Ok(()),
        (TypeSchema::Named(_), TypeSchema::Named(_)) if written.is_same(read) => {
            check_type(read, scope.deeper(1), visited)
        }
        _ => match read.can_read_within(written, scope.frames, scope.buffered) {
            Err(mismatch) if mismatch.is_undecided() => Ok(()),
            verdict => verdict,
        },
    }
}

const fn check_fields(schema: &'static StructSchema, scope: Scope, visited: &mut Visited) -> Verdict {
    let mut i = 0;
    while i < schema.fields.len() {
        if let refused @ Err(_) = check_field(schema, i, scope, visited) {
            return refused;
        }
        i += 1;
    }
    Ok(())
}

/// Checks one field, and whether it conflicts with other fields.
const fn check_field(
    schema: &'static StructSchema,
    index: usize,
    scope: Scope,
    visited: &mut Visited,
) -> Verdict {
    let field = &schema.fields[index];
    let name = match (field.written, field.read) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Ok(()),
    };
    if field.flatten {
        return at(Step::Field(name), check_flattened(schema, index, scope, visited));
    }
    let verdict = check_presence(field);
    if verdict.is_err() {
        return at(Step::Field(name), verdict);
    }
    let denies = schema.deny_unknown && (!scope.flattened || has_flattened(schema));
    if let Some(written) = field.written
        && denies
        && !reads_field(schema, written)
    {
        return at(Step::Field(name), refuse(Problem::UnknownField(written)));
    }
    if scope.must_check_names
        && let Some(clash) = name_twice(schema, index)
    {
        return at(Step::Field(name), refuse(Problem::SameName(clash)));
    }
    if field.written.is_none() || field.read.is_none() {
        return Ok(());
    }
    match check_type(field.shape, scope.within(), visited) {
        Ok(()) => Ok(()),
        refused => at(Step::Field(name), refused),
    }
}

/// Checks that a required field is always written, under a name under which it is read.
const fn check_presence(field: &FieldSchema) -> Verdict {
    let Some(read) = field.read else { return Ok(()) };
    match (field.written, field.presence) {
        (None, _) if field.required => refuse(Problem::Skipped),
        (None, _) => Ok(()),
        (Some(written), _) if !reads(Some(read), field.aliases, written) => {
            refuse(Problem::OtherName { written, read })
        }
        (Some(_), Presence::Sometimes | Presence::UnlessNone) if field.required => {
            refuse(Problem::MayBeMissing)
        }
        _ => check_absent(field),
    }
}

/// Returns a name of a field that an earlier field has, too.
const fn name_twice(schema: &'static StructSchema, index: usize) -> Option<&'static str> {
    let field = &schema.fields[index];
    let mut i = 0;
    while i < index {
        let other = &schema.fields[i];
        if !other.flatten
            && let Some(name) = common_name(
                (field.written, field.read, field.aliases),
                (other.written, other.read, other.aliases),
            )
        {
            return Some(name);
        }
        i += 1;
    }
    None
}

type Names = (Option<&'static str>, Option<&'static str>, &'static [&'static str]);

/// Returns a name under which both are written or read.
const fn common_name(one: Names, other: Names) -> Option<&'static str> {
    if let Some(name) = one.0
        && is_name(other, name)
    {
        return Some(name);
    }
    if let Some(name) = one.1
        && is_name(other, name)
    {
        return Some(name);
    }
    let mut i = 0;
    while one.1.is_some() && i < one.2.len() {
        if is_name(other, one.2[i]) {
            return Some(one.2[i]);
        }
        i += 1;
    }
    None
}

const fn is_name(names: Names, name: &str) -> bool {
    let is_written = match names.0 {
        Some(written) => same(written, name),
        None => false,
    };
    is_written || reads(names.1, names.2, name)
}

const fn check_variants(schema: &'static EnumSchema, scope: Scope, visited: &mut Visited) -> Verdict {
    let mut i = 0;
    while i < schema.variants.len() {
        if let refused @ Err(_) = check_variant(schema, i, scope, visited) {
            return refused;
        }
        i += 1;
    }
    Ok(())
}

/// Checks one variant, and whether it conflicts with other variants.
const fn check_variant(
    schema: &'static EnumSchema,
    index: usize,
    scope: Scope,
    visited: &mut Visited,
) -> Verdict {
    let variant = &schema.variants[index];
    // A variant that is never written need not be read.
    let Some(name) = variant.written else { return Ok(()) };
    let step = Step::Field(name);
    let untagged = variant.untagged || matches!(schema.tag, Tag::Untagged);
    let names = check_variant_names(schema, index, scope.must_check_names);
    if names.is_err() {
        return at(step, names);
    }
    let verdict = match variant.body {
        Some(body) => {
            let inside = scope.of_variant(schema, index);
            match (schema.tag, untagged) {
                (Tag::Internal(tag), false) => check_beside_tag(tag, body, inside, visited),
                _ => check_type(body, inside, visited),
            }
        }
        None => Ok(()),
    };
    match (verdict, untagged) {
        (Ok(()), true) => at(step, check_earlier(schema, index, scope.frames)),
        (verdict, _) => at(step, verdict),
    }
}

/// Checks that a variant is read under the name that it is written under. If `twice` is true, also checks that no
/// earlier variant has one of its names.
const fn check_variant_names(schema: &'static EnumSchema, index: usize, twice: bool) -> Verdict {
    let variant = &schema.variants[index];
    let Some(name) = variant.written else { return Ok(()) };
    let Some(read) = variant.read else {
        return refuse(Problem::NeverRead);
    };
    if variant.untagged || matches!(schema.tag, Tag::Untagged) {
        return Ok(());
    }
    if !variant.other && !reads(variant.read, variant.aliases, name) {
        return refuse(Problem::OtherName { written: name, read });
    }
    match variant_name_twice(schema, index) {
        Some(clash) if twice => refuse(Problem::SameName(clash)),
        _ => Ok(()),
    }
}

/// Returns a name of a variant that an earlier variant has, too.
const fn variant_name_twice(schema: &'static EnumSchema, index: usize) -> Option<&'static str> {
    let variant = &schema.variants[index];
    let mut i = 0;
    while i < index {
        let other = &schema.variants[i];
        if !other.untagged
            && let Some(name) = common_name(
                (variant.written, variant.read, variant.aliases),
                (other.written, other.read, other.aliases),
            )
        {
            return Some(name);
        }
        i += 1;
    }
    None
}

/// Returns whether some variants have no tag in an enum whose other variants have one.
const fn has_untagged(schema: &EnumSchema) -> bool {
    let mut i = 0;
    while i < schema.variants.len() {
        if schema.variants[i].untagged {
            return true;
        }
        i += 1;
    }
    false
}

/// Returns whether a type writes one of its values as `null`, which an `Option` around it reads as `None`. `depth`
/// limits the nesting of untagged enums.
const fn writes_null(shape: &'static TypeSchema, depth: usize) -> bool {
    match written(shape) {
        TypeSchema::Null | TypeSchema::Option(_) => true,
        TypeSchema::Enum(schema) if depth > 0 => has_null(schema, depth - 1),
        _ => false,
    }
}

const fn has_null(schema: &'static EnumSchema, depth: usize) -> bool {
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        if variant.written.is_none() || !(variant.untagged || matches!(schema.tag, Tag::Untagged)) {
            continue;
        }
        match variant.body {
            None => return true,
            Some(body) if writes_null(body, depth) => return true,
            _ => {}
        }
    }
    false
}

/// Sets the declared type that contains a mismatch, if the type is declared.
const fn in_declared(shape: &'static TypeSchema, verdict: Verdict) -> Verdict {
    match shape {
        TypeSchema::Named(named) => of(named.get(), verdict),
        _ => verdict,
    }
}

const fn behind_name(shape: &'static TypeSchema) -> &'static TypeSchema {
    match shape {
        TypeSchema::Named(named) => named.get().shape,
        shape => shape,
    }
}
