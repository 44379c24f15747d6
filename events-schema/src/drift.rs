//! Checks at compile time whether a type has changed in a way that [`can_read`](TypeSchema::can_read) does not see: a
//! user's code, defaults, secrets, and names that are no longer read or written.

#![allow(clippy::result_large_err, reason = "a constant can't box an error")]

use super::mismatch::{Problem, SchemaMismatch, Step};
use super::written::{read as as_read, reads, same, written as as_written};
use super::{
    EnumSchema, FieldSchema, NamedSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema, flattened,
};

/// The promises that a change of a type has to keep.
#[derive(Clone, Copy)]
pub struct Promise {
    /// The new type reads the records of the old type.
    pub reads_old: bool,
    /// The old type reads the records of the new type.
    pub read_by_old: bool,
    /// Secrets stay secret. If this is the only promise, only secrets are checked.
    pub keeps_secrets: bool,
}

/// The part of the outermost struct that is checked.
#[derive(Clone, Copy)]
pub enum CheckedPart {
    /// The field of the new type that is written, or else read, under this name.
    Field(&'static str),
    /// Everything that belongs to no field of the new type.
    Rest,
    /// The whole type.
    All,
}

/// Maximum number of stack frames that a check uses in the compiler's const evaluator, whose limit is 128.
const MAX_FRAMES: usize = 90;

/// Upper bound of the number of frames between a call of [`check_types`] and the next call nested in it.
const FRAMES_PER_TYPE: usize = 5;

/// Maximum number of pairs of declarations around a checked type.
const MAX_PAIRS: usize = 24;

/// Maximum depth of the search for secrets in a type that has become another kind of type.
const MAX_HIDDEN: usize = 6;

type Verdict = Result<(), SchemaMismatch>;

impl TypeSchema {
    #[doc(hidden)]
    /// Checks that the type has not changed since `before` in a way that [`can_read`](Self::can_read) does not see.
    ///
    /// # Errors
    ///
    /// The path of the first such change, and the change.
    pub const fn drift(
        &'static self,
        part: CheckedPart,
        before: &'static TypeSchema,
        promise: Promise,
    ) -> Verdict {
        let walk = Walk { pairs: [None; MAX_PAIRS], inside: 0, frames: 0, is_nested: false, part, promise };
        check_types(self, before, walk)
    }
}

#[derive(Clone, Copy)]
struct Walk {
    /// The pairs of declarations around the current types. A pair that is found again needs no check, since the outer
    /// check of that pair continues.
    pairs: [Option<(&'static NamedSchema, &'static NamedSchema)>; MAX_PAIRS],
    inside: usize,
    frames: usize,
    /// Whether the check is inside a part of the event, where a removed field can't be declared as reserved.
    is_nested: bool,
    part: CheckedPart,
    promise: Promise,
}

impl Walk {
    const fn is_inside(&self, now: &NamedSchema, before: &NamedSchema) -> bool {
        let mut i = 0;
        while i < self.inside {
            if let Some((n, b)) = self.pairs[i]
                && n.is(now)
                && b.is(before)
            {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn looks_at_code(&self) -> bool {
        self.promise.reads_old || self.promise.read_by_old
    }

    /// Continues inside a secret of the new type, where no part needs to be secret itself.
    const fn hidden(mut self) -> Self {
        self.promise.keeps_secrets = false;
        self
    }

    /// Continues with a part of the type.
    const fn deeper(mut self) -> Self {
        self.part = CheckedPart::All;
        self.is_nested = true;
        self
    }
}

const fn refuse(problem: Problem) -> Verdict {
    Err(SchemaMismatch::new(problem))
}

const fn at(step: Step, verdict: Verdict) -> Verdict {
    match verdict {
        Ok(()) => Ok(()),
        Err(mismatch) => Err(mismatch.inside(step)),
    }
}

const fn both(one: Verdict, other: Verdict) -> Verdict {
    if one.is_err() { one } else { other }
}

/// Checks one type against its earlier version.
const fn check_types(now: &'static TypeSchema, before: &'static TypeSchema, walk: Walk) -> Verdict {
    let (mut now, mut before, mut walk) = (now, before, walk);
    walk.frames += FRAMES_PER_TYPE;
    if walk.frames > MAX_FRAMES {
        return refuse(Problem::TooDeep);
    }
    if now.is_hidden() {
        walk = walk.hidden();
    } else if walk.promise.keeps_secrets && before.is_hidden() {
        return refuse(Problem::Revealed);
    }
    // A type may have been wrapped in a new declaration. Only the conversions of the declarations matter.
    loop {
        match (now, before) {
            (TypeSchema::Named(n), TypeSchema::Named(b)) => {
                let (n, b) = (n.get(), b.get());
                if walk.is_inside(n, b) {
                    return Ok(());
                }
                if walk.inside == MAX_PAIRS {
                    return refuse(Problem::TooDeep);
                }
                if !n.are_instances(b) {
                    walk.pairs[walk.inside] = Some((n, b));
                    walk.inside += 1;
                }
                let alike = same(n.converts, b.converts);
                if walk.looks_at_code() && !alike && !n.converts.is_empty() && !b.converts.is_empty() {
                    return refuse(Problem::Recoded { now: n.converts, before: b.converts });
                }
                if alike || n.converts.is_empty() {
                    now = n.shape;
                }
                if alike || !n.converts.is_empty() {
                    before = b.shape;
                }
            }
            (TypeSchema::Named(n), _) => {
                if walk.looks_at_code() && !n.get().converts.is_empty() {
                    return refuse(Problem::Recoded { now: n.get().converts, before: "" });
                }
                now = n.get().shape;
            }
            (_, TypeSchema::Named(b)) => {
                if walk.looks_at_code() && !b.get().converts.is_empty() {
                    return refuse(Problem::Recoded { now: "", before: b.get().converts });
                }
                before = b.get().shape;
            }
            _ => return check_shapes(now, before, walk),
        }
    }
}

/// Like [`check_types`], for types that are not named declarations.
const fn check_shapes(now: &'static TypeSchema, before: &'static TypeSchema, walk: Walk) -> Verdict {
    let inner = walk.deeper();
    match (now, before) {
        (
            TypeSchema::Differs { written, read },
            TypeSchema::Differs { written: was_written, read: was_read },
        ) => both(check_types(written, was_written, walk), check_types(read, was_read, walk)),
        (TypeSchema::Differs { written, read }, _) => {
            both(check_types(written, before, walk), check_types(read, before, walk))
        }
        (_, TypeSchema::Differs { written, read }) => {
            both(check_types(now, written, walk), check_types(now, read, walk))
        }
        (TypeSchema::Opaque(now), TypeSchema::Opaque(before)) if same(now, before) => Ok(()),
        (TypeSchema::Opaque(now), TypeSchema::Opaque(before)) if walk.looks_at_code() => {
            refuse(Problem::Recoded { now, before })
        }
        (TypeSchema::Opaque(now), _) if walk.looks_at_code() => refuse(Problem::Recoded { now, before: "" }),
        (_, TypeSchema::Opaque(before)) if walk.looks_at_code() => {
            refuse(Problem::Recoded { now: "", before })
        }
        (TypeSchema::Option(now), TypeSchema::Option(before)) => check_types(now, before, walk),
        (TypeSchema::Option(now), _) => check_types(now, before, walk),
        (_, TypeSchema::Option(before)) => check_types(now, before, walk),
        (TypeSchema::Sequence(now, _), TypeSchema::Sequence(before, _)) => {
            at(Step::Items, check_types(now, before, inner))
        }
        (
            TypeSchema::Sequence(..) | TypeSchema::Tuple(_),
            TypeSchema::Sequence(..) | TypeSchema::Tuple(_),
        ) => check_items(now, before, inner),
        (TypeSchema::Map(keys, values), TypeSchema::Map(were_keys, were_values)) => both(
            check_types(keys, were_keys, inner),
            at(Step::Values, check_types(values, were_values, inner)),
        ),
        (TypeSchema::Struct(now), TypeSchema::Struct(before)) => check_structs(now, before, walk),
        (TypeSchema::Enum(now), TypeSchema::Enum(before)) => check_enums(now, before, inner),
        _ if walk.promise.keeps_secrets && before.hides_within(MAX_HIDDEN) => refuse(Problem::Revealed),
        _ => Ok(()),
    }
}

/// Checks the elements of two arrays, at least one of which is a tuple.
const fn check_items(now: &'static TypeSchema, before: &'static TypeSchema, walk: Walk) -> Verdict {
    let mut i = 0;
    loop {
        let (Some(n), Some(b)) = (item(now, i), item(before, i)) else { return Ok(()) };
        if let refused @ Err(_) = at(Step::Item(i), check_types(n, b, walk)) {
            return refused;
        }
        i += 1;
    }
}

const fn item(array: &'static TypeSchema, index: usize) -> Option<&'static TypeSchema> {
    match array {
        TypeSchema::Sequence(items, _) => Some(items),
        TypeSchema::Tuple(items) if index < items.len() => Some(items[index]),
        _ => None,
    }
}

const fn check_structs(now: &'static StructSchema, before: &'static StructSchema, walk: Walk) -> Verdict {
    if let CheckedPart::Rest | CheckedPart::All = walk.part
        && walk.promise.reads_old
        && now.deny_unknown
        && !before.deny_unknown
    {
        return refuse(Problem::Denies);
    }
    check_fields(now, before, Within { root: before, non_structs_before: 0 }, walk)
}

/// Checks each field of the old struct.
const fn check_fields(
    now: &'static StructSchema,
    before: &'static StructSchema,
    within: Within,
    walk: Walk,
) -> Verdict {
    let (mut walk, mut within) = (walk, within);
    walk.frames += 1;
    let mut i = 0;
    while i < before.fields.len() {
        let was = &before.fields[i];
        i += 1;
        let verdict = match flattened(was) {
            Some(inner) => {
                let verdict = check_fields(now, inner, within, walk);
                within.non_structs_before += count_non_structs(inner);
                verdict
            }
            None if was.flatten => {
                let found = non_struct_for(now, was, within);
                within.non_structs_before += 1;
                check_pair(now, found, was, walk)
            }
            None => match counterpart(now, was) {
                None if walk.is_nested && walk.promise.reads_old => {
                    both(check_not_renamed(now, within.root, was, walk), check_pair(now, None, was, walk))
                }
                found => check_pair(now, found, was, walk),
            },
        };
        if verdict.is_err() {
            return verdict;
        }
    }
    Ok(())
}

/// A field of a struct or of one of its flattened structs, and the field of the struct itself: the one that flattens it,
/// or the same.
pub(crate) type Found = Option<(&'static FieldSchema, &'static FieldSchema)>;

/// Finds the field of the new type that corresponds to a field of the old one.
const fn counterpart(now: &'static StructSchema, was: &'static FieldSchema) -> Found {
    let (Some(first), second) =
        (if was.written.is_some() { (was.written, was.read) } else { (was.read, None) })
    else {
        return None;
    };
    match find(now, first, true) {
        None => match second {
            Some(second) => match find(now, second, true) {
                None => find(now, first, false),
                found => found,
            },
            None => find(now, first, false),
        },
        found => found,
    }
}

/// Finds the field that is read under a name, or written under it if `read` is false.
const fn find(schema: &'static StructSchema, name: &str, read: bool) -> Found {
    let mut i = 0;
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if let Some(inner) = flattened(field) {
            if let Some((found, _)) = find(inner, name, read) {
                return Some((found, field));
            }
        } else if !field.flatten
            && match (read, field.written) {
                (true, _) => reads(field.read, field.aliases, name),
                (false, Some(written)) => same(written, name),
                (false, None) => false,
            }
        {
            return Some((field, field));
        }
    }
    None
}

/// Refuses a field that is missing without being reserved, if a new field could be the same one under another name.
const fn check_not_renamed(
    now: &'static StructSchema,
    before: &'static StructSchema,
    was: &'static FieldSchema,
    walk: Walk,
) -> Verdict {
    let Some(name) = was.written else { return Ok(()) };
    let mut i = 0;
    while i < now.fields.len() && !was.gone {
        let field = &now.fields[i];
        i += 1;
        if let Some(inner) = flattened(field) {
            if let refused @ Err(_) = check_not_renamed(inner, before, was, walk) {
                return refused;
            }
        } else if let Some(to) = field.read
            && !field.flatten
            && is_new(before, field)
            && field.shape.can_read_within(was.shape, walk.frames, true).is_ok()
        {
            return refuse(Problem::Renamed { name, to });
        }
    }
    Ok(())
}

/// Returns whether no field of the old type corresponds to a field, except one that was reserved.
const fn is_new(before: &'static StructSchema, field: &'static FieldSchema) -> bool {
    match counterpart(before, field) {
        Some((was, _)) => was.gone,
        None => true,
    }
}

/// The position of a flattened field that is not a struct, among those of the outermost struct.
#[derive(Clone, Copy)]
pub struct Within {
    /// The outermost struct.
    pub root: &'static StructSchema,
    /// The number of such fields before this one.
    pub non_structs_before: usize,
}

/// Counts the flattened fields that are not structs, including those of flattened structs.
pub const fn count_non_structs(schema: &'static StructSchema) -> usize {
    let (mut count, mut i) = (0, 0);
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        count += match flattened(field) {
            Some(inner) => count_non_structs(inner),
            None => field.flatten as usize,
        };
    }
    count
}

/// Finds the flattened field that corresponds to a flattened field of the old type that is not a struct: the one with
/// the same name, or else the one at the same position, unless that one has the name of another field of the old type.
pub const fn non_struct_for(now: &'static StructSchema, was: &FieldSchema, within: Within) -> Found {
    let mut i = 0;
    while i < count_non_structs(now) {
        let found = nth_non_struct(now, i);
        if let Some((field, _)) = found
            && same_name(field, was)
        {
            return found;
        }
        i += 1;
    }
    let found = nth_non_struct(now, within.non_structs_before);
    let Some((field, _)) = found else { return None };
    i = 0;
    while i < count_non_structs(within.root) {
        if let Some((other, _)) = nth_non_struct(within.root, i)
            && same_name(other, field)
        {
            return None;
        }
        i += 1;
    }
    found
}

/// Returns whether two flattened fields have the same name in the source.
const fn same_name(one: &FieldSchema, other: &FieldSchema) -> bool {
    match (one.written, one.read, other.written, other.read) {
        (Some(one), _, Some(other), _) | (_, Some(one), _, Some(other)) => same(one, other),
        (Some(one), _, _, Some(other)) | (_, Some(one), Some(other), _) => same(one, other),
        _ => false,
    }
}

/// Finds the `nth` flattened field that is not a struct, including those of flattened structs. Counts from 0.
const fn nth_non_struct(schema: &'static StructSchema, nth: usize) -> Found {
    let mut left = nth;
    let mut i = 0;
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if let Some(inner) = flattened(field) {
            let count = count_non_structs(inner);
            if left < count {
                return match nth_non_struct(inner, left) {
                    Some((found, _)) => Some((found, field)),
                    None => None,
                };
            }
            left -= count;
        } else if field.flatten {
            if left == 0 {
                return Some((field, field));
            }
            left -= 1;
        }
    }
    None
}

/// Checks a field of the old type and the corresponding field of the new one.
const fn check_pair(
    now: &'static StructSchema,
    found: Found,
    was: &'static FieldSchema,
    walk: Walk,
) -> Verdict {
    let name = match (was.written, was.read) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Ok(()),
    };
    let Some((field, top)) = found else {
        let is_hidden = was.is_hidden() || was.shape.hides_within(MAX_HIDDEN);
        return match walk.part {
            CheckedPart::Rest | CheckedPart::All if walk.promise.keeps_secrets && is_hidden => {
                refuse(Problem::Unhidden(name))
            }
            _ => Ok(()),
        };
    };
    let is_meant = match (walk.part, top.written, top.read) {
        (CheckedPart::All, ..) => true,
        (CheckedPart::Field(meant), Some(name), _) | (CheckedPart::Field(meant), None, Some(name)) => {
            same(meant, name)
        }
        _ => false,
    };
    if !is_meant {
        return Ok(());
    }
    let walk = match field.is_hidden() {
        true => walk.deeper().hidden(),
        false if walk.promise.keeps_secrets && was.is_hidden() => {
            return at(Step::Field(name), refuse(Problem::Revealed));
        }
        false => walk.deeper(),
    };
    let verdict = both(check_names(now, field, was, walk.promise), check_absence(field, was, walk.promise));
    let verdict = both(verdict, check_types(field.shape, was.shape, walk));
    if was.flatten {
        // A flattened field has no name in the JSON.
        return verdict;
    }
    at(Step::Field(name), verdict)
}

/// Checks that all names of an old field are still read by the corresponding field, and that one of them is still
/// written.
const fn check_names(
    now: &'static StructSchema,
    field: &'static FieldSchema,
    was: &'static FieldSchema,
    promise: Promise,
) -> Verdict {
    let Some(read) = was.read else { return Ok(()) };
    if was.flatten {
        return Ok(());
    }
    let mut is_written = find(now, read, false).is_some();
    let mut i = 0;
    while i <= was.aliases.len() {
        let name = if i == 0 { read } else { was.aliases[i - 1] };
        i += 1;
        if promise.reads_old && !reads(field.read, field.aliases, name) {
            return match find(now, name, true) {
                Some((FieldSchema { read: Some(to), .. }, _)) => refuse(Problem::Moved { name, to }),
                _ => refuse(Problem::Unread(name)),
            };
        }
        is_written |= find(now, name, false).is_some();
    }
    match was.written {
        // If the field is required, the comparison of the schemas finds it missing.
        Some(name) if promise.read_by_old && !is_written && !was.required => refuse(Problem::Unwritten(name)),
        _ => Ok(()),
    }
}

/// Checks that the default for a missing field has not changed.
const fn check_absence(now: &'static FieldSchema, was: &'static FieldSchema, promise: Promise) -> Verdict {
    if now.flatten || was.flatten || !(promise.reads_old || promise.read_by_old) {
        return Ok(());
    }
    let (default, was_default) = (default_of(now), default_of(was));
    let may_be_absent_now = now.read.is_some() && !now.required;
    let may_be_absent_before = was.read.is_some() && !(was.required && was.default.is_empty());
    // Only serde knows whether an opaque type is an `Option`.
    let unknown =
        (default.is_empty() && was.default.is_empty()) || (was_default.is_empty() && now.default.is_empty());
    if may_be_absent_now && may_be_absent_before && !unknown && !same(default, was_default) {
        return refuse(Problem::Refilled { now: default, before: was_default });
    }
    let is_omitted = now.written.is_some() && !matches!(now.presence, Presence::Always);
    let was_omitted = now.presence as u8 == was.presence as u8 && same(now.skipped_if, was.skipped_if);
    if promise.read_by_old && is_omitted && !was_omitted && was.read.is_some() && !omits_default(now, was) {
        return refuse(Problem::Omitted { function: now.skipped_if, default: was_default });
    }
    Ok(())
}

/// Returns the default for a missing field; empty if it is not known.
const fn default_of(field: &'static FieldSchema) -> &'static str {
    match as_read(field.shape) {
        _ if !field.default.is_empty() => field.default,
        _ if field.shape.is_optional() => "None",
        TypeSchema::Opaque(_) => "",
        _ => "Default::default()",
    }
}

/// Returns whether the field is left out only if it has the value that an old reader puts in its place.
const fn omits_default(now: &'static FieldSchema, was: &'static FieldSchema) -> bool {
    if !was.default.is_empty() {
        return false;
    }
    match now.presence {
        Presence::Always => true,
        Presence::UnlessNone => was.shape.is_optional(),
        Presence::Sometimes => {
            let collection = matches!(
                as_written(now.shape),
                TypeSchema::String | TypeSchema::Sequence(..) | TypeSchema::Map(..)
            );
            collection && !was.shape.is_optional() && ends_with(now.skipped_if, "::is_empty")
        }
    }
}

const fn ends_with(text: &str, end: &str) -> bool {
    let (text, end) = (text.as_bytes(), end.as_bytes());
    if text.len() < end.len() {
        return false;
    }
    let mut i = 0;
    while i < end.len() {
        if text[text.len() - end.len() + i] != end[i] {
            return false;
        }
        i += 1;
    }
    true
}

const fn check_enums(now: &'static EnumSchema, before: &'static EnumSchema, walk: Walk) -> Verdict {
    let tags = match (now.tag, before.tag) {
        (Tag::External, Tag::External) | (Tag::Untagged, Tag::Untagged) => true,
        (Tag::Internal(one), Tag::Internal(other)) => same(one, other),
        (Tag::Adjacent(tag, content), Tag::Adjacent(was_tag, was_content)) => {
            same(tag, was_tag) && same(content, was_content)
        }
        _ => false,
    };
    if walk.looks_at_code() && !tags {
        return refuse(Problem::Retagged);
    }
    if walk.promise.reads_old && now.deny_unknown && !before.deny_unknown {
        return refuse(Problem::Denies);
    }
    let (mut untagged, mut i) = (0, 0);
    while i < before.variants.len() {
        let was = &before.variants[i];
        i += 1;
        let verdict = match was.untagged || matches!(before.tag, Tag::Untagged) {
            true => {
                untagged += 1;
                untagged_variant(now, before, untagged, walk)
            }
            false => check_variant(now, was, walk),
        };
        if verdict.is_err() {
            return verdict;
        }
    }
    Ok(())
}

/// Checks a tagged variant.
const fn check_variant(now: &'static EnumSchema, was: &'static VariantSchema, walk: Walk) -> Verdict {
    let name = match (was.written, was.read) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Ok(()),
    };
    let (mut found, mut other) = (None, None);
    let mut i = 0;
    while i < now.variants.len() {
        let variant = &now.variants[i];
        i += 1;
        if !variant.untagged && reads(variant.read, variant.aliases, name) {
            found = Some(variant);
        }
        if variant.other {
            other = variant.read;
        }
    }
    if was.other && walk.promise.reads_old && other.is_none() {
        return refuse(Problem::NoOther);
    }
    let Some(variant) = found else {
        return match (other, was.body) {
            (Some(other), _) if walk.promise.reads_old && was.written.is_some() => {
                refuse(Problem::ReadAs { name, other })
            }
            _ if walk.promise.reads_old && was.written.is_some() && nth_untagged(now, 1).is_some() => {
                refuse(Problem::ReadUntagged(name))
            }
            (_, Some(body)) if walk.promise.keeps_secrets && body.hides_within(MAX_HIDDEN) => {
                refuse(Problem::Revealed)
            }
            _ => Ok(()),
        };
    };
    i = 0;
    while i < was.aliases.len() {
        let name = was.aliases[i];
        if walk.promise.reads_old && !reads(variant.read, variant.aliases, name) {
            return match reader_of(now, name) {
                Some(to) => refuse(Problem::Moved { name, to }),
                None => refuse(Problem::Unread(name)),
            };
        }
        i += 1;
    }
    if let (Some(written), Some(was_written)) = (variant.written, was.written)
        && walk.promise.read_by_old
        && !same(written, was_written)
        && !reads(was.read, was.aliases, written)
    {
        return refuse(Problem::Unwritten(was_written));
    }
    if walk.promise.reads_old
        && was.written.is_some()
        && nth_untagged(now, 1).is_some()
        && !reads_body(variant, was, walk)
    {
        return refuse(Problem::ReadUntagged(name));
    }
    match (variant.body, was.body) {
        (Some(body), Some(was_body)) => at(Step::Field(name), check_types(body, was_body, walk)),
        (None, Some(body)) if walk.promise.keeps_secrets && body.hides_within(MAX_HIDDEN) => {
            refuse(Problem::Revealed)
        }
        _ => Ok(()),
    }
}

/// Returns whether a variant reads the old variant's content. If it does not, an untagged variant may read it.
const fn reads_body(variant: &'static VariantSchema, was: &'static VariantSchema, walk: Walk) -> bool {
    match (variant.body, was.body) {
        (Some(body), Some(was_body)) => match body.can_read_within(was_body, walk.frames, true) {
            Ok(()) => true,
            Err(mismatch) => mismatch.is_undecided(),
        },
        (None, None) => true,
        _ => false,
    }
}

/// Returns the name of the tagged variant that is read under `name`.
const fn reader_of(schema: &'static EnumSchema, name: &str) -> Option<&'static str> {
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        if !variant.untagged && reads(variant.read, variant.aliases, name) {
            return variant.read;
        }
        i += 1;
    }
    None
}

/// Checks an untagged variant, counted from 1. All but the last one must be unchanged, so that each reads what it wrote
/// and nothing that a later one wrote.
const fn untagged_variant(
    now: &'static EnumSchema,
    before: &'static EnumSchema,
    nth: usize,
    walk: Walk,
) -> Verdict {
    let Some(was) = nth_untagged(before, nth) else { return Ok(()) };
    let (body, is_there) = match nth_untagged(now, nth) {
        Some(variant) => (variant.body, true),
        None => (None, false),
    };
    let is_last = nth_untagged(before, nth + 1).is_none();
    let is_same = match (body, was.body) {
        (Some(body), Some(was)) => body.is_same_within(was, walk.frames),
        (None, None) => is_there,
        _ => false,
    };
    match (body, was.body) {
        _ if is_same => Ok(()),
        _ if walk.looks_at_code() && (!is_last || !is_there) => refuse(Problem::Reordered),
        (Some(body), Some(was)) => check_types(body, was, walk),
        (_, Some(was)) if walk.promise.keeps_secrets && was.hides_within(MAX_HIDDEN) => {
            refuse(Problem::Revealed)
        }
        _ => Ok(()),
    }
}

const fn nth_untagged(schema: &'static EnumSchema, nth: usize) -> Option<&'static VariantSchema> {
    let mut left = nth;
    let mut i = 0;
    while i < schema.variants.len() {
        let variant = &schema.variants[i];
        i += 1;
        if variant.untagged || matches!(schema.tag, Tag::Untagged) {
            left -= 1;
            if left == 0 {
                return Some(variant);
            }
        }
    }
    None
}
