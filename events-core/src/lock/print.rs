//! Writes one version of an event as text for its lock file.
//!
//! The text merges the declared schema with the locked one:
//!
//! - A field that was ever absent from records stays marked as sometimes absent, because old records are still
//!   read.
//! - A field that was ever required stays required, because old programs still read new records.
//! - A field that was removed from a type nested in the event stays in the text, so that a later field of the
//!   same name is compared with it.

use std::fmt::Write as _;

use crate::event::locking::{Change, LockedVersion};
use crate::lock::check::{has_fields, keeps_entries};
use crate::schema::{
    EnumSchema, FieldSchema, Keeps, NamedSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema,
    Within, count_non_structs, flattened,
};

/// Returns the text of a version. `now` is the declared schema, and `before` the locked version. `used_reasons`
/// are the reasons that permit changes: they are added to those in the file, and the parts they permit to
/// change are written as if they were new. `reserved` are the names of removed fields.
pub(super) fn version(
    number: u32,
    now: &'static TypeSchema,
    before: Option<LockedVersion>,
    used_reasons: &[Change],
    reserved: &[&'static str],
) -> String {
    let is_whole = used_reasons.iter().any(|change| change.field.is_empty()) && !has_fields(now);
    let shape = before.filter(|_| !is_whole).map(|before| before.schema);
    let fields_with_reason = used_reasons.iter().map(|change| change.field).filter(|field| !field.is_empty());
    let mut printer = Printer {
        fields_with_reason: fields_with_reason.collect(),
        reserved: reserved.to_vec(),
        ..Printer::default()
    };
    let mut text = printer.version(number, now, shape);
    // A type may have been written before its locked schema was found at another field. Repeat until no
    // further locked schema is found.
    while std::mem::take(&mut printer.has_new_locked_schema) {
        printer.declared.clear();
        text = printer.version(number, now, shape);
    }
    let kept = before.map_or(&[][..], |before| before.changed);
    let reasons = kept.iter().chain(used_reasons).map(|Change { field, reason }| match field.is_empty() {
        true => format!("changed = {}\n", quoted(reason)),
        false => format!("changed {} = {}\n", quoted(field), quoted(reason)),
    });
    let (head, types) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{head}\n{}{types}", reasons.collect::<String>())
}

impl Printer {
    fn version(
        &mut self,
        number: u32,
        now: &'static TypeSchema,
        before: Option<&'static TypeSchema>,
    ) -> String {
        self.is_nested = false;
        let root = self.shape(now, before, 0);
        let mut text = format!("version {number} = {root}\n");
        let mut next = 0;
        while let Some(Declared { name, schema }) = self.declared.get(next).cloned() {
            next += 1;
            self.is_nested = next > 1;
            let before = self.before(schema);
            let shape = self.shape(schema.shape, before, 0);
            let mut flags = if schema.secret { "#[secret] ".to_owned() } else { String::new() };
            if !schema.converts.is_empty() {
                let _ = write!(flags, "#[converts({})] ", quoted(schema.converts));
            }
            let _ = write!(text, "\n{flags}type {name} = {shape}\n");
        }
        text
    }
}

#[derive(Default)]
struct Printer {
    /// Types that are written separately, in the order in which they were found.
    declared: Vec<Declared>,
    /// Fields of the event whose changes have a reason.
    fields_with_reason: Vec<&'static str>,
    /// Names of removed fields of the event.
    reserved: Vec<&'static str>,
    /// Whether the current type is nested in the event, and is not the event type itself.
    is_nested: bool,
    /// Locked schemas of the types that have been found.
    locked_schemas: Vec<(&'static NamedSchema, &'static TypeSchema)>,
    /// Whether `locked_schemas` has grown since the version was begun.
    has_new_locked_schema: bool,
}

#[derive(Clone)]
struct Declared {
    name: String,
    schema: &'static NamedSchema,
}

impl Printer {
    /// Returns the text of a schema. It has several lines only for fields and variants.
    fn shape(
        &mut self,
        now: &'static TypeSchema,
        before: Option<&'static TypeSchema>,
        depth: usize,
    ) -> String {
        let before = before.map(resolved);
        match now {
            TypeSchema::Any => "any".into(),
            TypeSchema::Opaque("") => "opaque".into(),
            TypeSchema::Opaque(code) => format!("opaque({})", quoted(code)),
            TypeSchema::Null => "null".into(),
            TypeSchema::Bool => "bool".into(),
            TypeSchema::Float32 => "f32".into(),
            TypeSchema::Float => "f64".into(),
            TypeSchema::Char => "char".into(),
            TypeSchema::String => "String".into(),
            TypeSchema::Integer(min, max) => integer(*min, *max),
            TypeSchema::NonZero(min, max) => format!("nonzero({min}, {max})"),
            TypeSchema::Format(format) => format!("format({})", quoted(format)),
            TypeSchema::Named(named) if named.is_optional() => self.shape(named.get().shape, before, depth),
            TypeSchema::Named(named) => self.declare(named.get(), before),
            TypeSchema::Option(inner) => {
                let before = match before {
                    Some(TypeSchema::Option(before)) => Some(*before),
                    _ => None,
                };
                format!("Option<{}>", self.shape(inner, before, depth))
            }
            TypeSchema::Sequence(inner, keeps) => {
                let before = match before {
                    Some(TypeSchema::Sequence(before, _)) => Some(*before),
                    _ => None,
                };
                let name = match keeps {
                    Keeps::Order => "Vec",
                    Keeps::Repeats => "Heap",
                    Keeps::Distinct => "Set",
                };
                format!("{name}<{}>", self.shape(inner, before, depth))
            }
            TypeSchema::Tuple(items) => {
                let before: &[_] = match before {
                    Some(TypeSchema::Tuple(before)) => before,
                    _ => &[],
                };
                let items = items.iter().enumerate();
                let items = items.map(|(i, item)| self.shape(item, before.get(i).copied(), depth) + ",");
                format!("({})", items.collect::<Vec<_>>().join(" "))
            }
            TypeSchema::Map(keys, values) => {
                let before = match before {
                    Some(TypeSchema::Map(_, before)) => Some(*before),
                    _ => None,
                };
                format!("Map<{}, {}>", self.shape(keys, None, depth), self.shape(values, before, depth))
            }
            TypeSchema::Struct(schema) => self.fields(schema, before, depth),
            TypeSchema::Enum(schema) => self.variants(schema, before, depth),
            TypeSchema::Differs { written, read } => {
                let (was_written, was_read) = match before {
                    Some(TypeSchema::Differs { written, read }) => (Some(*written), Some(*read)),
                    other => (other, other),
                };
                let written = self.shape(written, was_written, depth);
                format!("differs({written}, {})", self.shape(read, was_read, depth))
            }
        }
    }

    /// Adds a type that is written separately, and returns its name.
    fn declare(&mut self, schema: &'static NamedSchema, before: Option<&'static TypeSchema>) -> String {
        if let (Some(before), None) = (before, self.before(schema)) {
            self.locked_schemas.push((schema, before));
            self.has_new_locked_schema = true;
        }
        let known = |declared: &&Declared| is_one(declared.schema, schema);
        if let Some(declared) = self.declared.iter().find(known) {
            return declared.name.clone();
        }
        let plain = schema.name();
        let taken = |name: &str| is_word(name) || self.declared.iter().any(|declared| declared.name == name);
        let numbered = (2..).map(|number| format!("{plain}{number}"));
        let name = std::iter::once(plain.to_owned()).chain(numbered).find(|name| !taken(name));
        let name = name.unwrap_or_default();
        self.declared.push(Declared { name: name.clone(), schema });
        name
    }

    /// Returns the locked schema of a type, if it has been found.
    fn before(&self, schema: &'static NamedSchema) -> Option<&'static TypeSchema> {
        let known = self.locked_schemas.iter().find(|(known, _)| is_one(known, schema));
        known.map(|(_, before)| *before)
    }

    fn fields(
        &mut self,
        schema: &'static StructSchema,
        before: Option<&'static TypeSchema>,
        depth: usize,
    ) -> String {
        let before = match before {
            Some(TypeSchema::Struct(before)) => Some(before),
            _ => None,
        };
        let deny = if schema.deny_unknown { " deny_unknown" } else { "" };
        let mut text = format!("struct{deny} {{\n");
        for field in schema.fields {
            let is_nested = self.is_nested || depth > 0;
            let has_reason = !is_nested
                && field.written.or(field.read).is_some_and(|name| self.fields_with_reason.contains(&name));
            let before = before.filter(|_| !has_reason);
            let was = before.map(|before| all_of(before).into_iter().find(|was| is_of(was, field)));
            let flags = flags_of_field(field, was);
            let shape = self.shape(field.shape, was.flatten().map(|was| was.shape), depth + 1);
            let name = identifier(field.written.or(field.read).unwrap_or_default());
            let _ = writeln!(text, "{}{flags}{name}: {shape},", indent(depth + 1));
        }
        // A removed field of the event itself is covered by `reserved`. Types nested in the event have no
        // `reserved`, so a removed field stays in the text as one that old records may have. So does a
        // removed flattened field, because its name does not tell what it wrote.
        let is_nested = self.is_nested || depth > 0;
        for was in before.into_iter().flat_map(|before| gone(schema, before)) {
            let name = was.written.unwrap_or_default();
            let is_kept = is_nested || was.flatten && self.reserved.contains(&name);
            if !is_kept {
                continue;
            }
            let kept = was.gone();
            let mut shape = self.shape(was.shape, Some(was.shape), depth + 1);
            if was.flatten && matches!(resolved(was.shape), TypeSchema::Enum(_)) {
                shape = format!("Option<{shape}>");
            }
            let name = identifier(name);
            let _ = writeln!(text, "{}{}{name}: {shape},", indent(depth + 1), flags_of_field(&kept, None));
        }
        text + &indent(depth) + "}"
    }

    fn variants(
        &mut self,
        schema: &'static EnumSchema,
        before: Option<&'static TypeSchema>,
        depth: usize,
    ) -> String {
        let before: &[_] = match before {
            Some(TypeSchema::Enum(before)) => before.variants,
            _ => &[],
        };
        let tag = match schema.tag {
            Tag::External => String::new(),
            Tag::Internal(tag) => format!(" tag({})", quoted(tag)),
            Tag::Adjacent(tag, content) => format!(" tag({}, {})", quoted(tag), quoted(content)),
            Tag::Untagged => " untagged".into(),
        };
        let deny = if schema.deny_unknown { " deny_unknown" } else { "" };
        let mut text = format!("enum{tag}{deny} {{\n");
        for variant in schema.variants {
            let was = before.iter().find(|was| was.written == variant.written && was.read == variant.read);
            let body = variant.body.map_or_else(String::new, |body| {
                let was = was.and_then(|was| was.body);
                format!(": {}", self.shape(body, was, depth + 1))
            });
            let name = identifier(variant.written.or(variant.read).unwrap_or_default());
            let _ = writeln!(text, "{}{}{name}{body},", indent(depth + 1), flags_of_variant(variant));
        }
        text + &indent(depth) + "}"
    }
}

/// Whether two declarations are of the same type.
fn is_one(one: &'static NamedSchema, other: &'static NamedSchema) -> bool {
    one.is(other) && one.shape.is_same(other.shape)
}

/// Resolves type names to the schemas behind them.
fn resolved(shape: &'static TypeSchema) -> &'static TypeSchema {
    match shape {
        TypeSchema::Named(named) => resolved(named.get().shape),
        other => other,
    }
}

fn is_of(was: &FieldSchema, field: &FieldSchema) -> bool {
    match field.written {
        Some(_) => was.written == field.written,
        None => was.read == field.read,
    }
}

/// The fields of a struct, including those of its flattened structs.
fn all_of(schema: &StructSchema) -> Vec<&'static FieldSchema> {
    let mut all = Vec::new();
    for field in schema.fields {
        all.push(field);
        if let (true, TypeSchema::Struct(inner)) = (field.flatten, resolved(field.shape)) {
            all.extend(all_of(inner));
        }
    }
    all
}

/// The fields that the locked struct wrote and that the declared struct lacks.
fn gone(now: &'static StructSchema, before: &'static StructSchema) -> Vec<&'static FieldSchema> {
    let mut within = Within { root: before, non_structs_before: 0 };
    let mut gone = Vec::new();
    for was in all_of(before) {
        let is_kept = match (was.flatten, flattened(was)) {
            (true, Some(_)) => true,
            (true, None) => keeps_entries(now, was, within),
            (false, _) => is_known(now, was),
        };
        within.non_structs_before += match (resolved(was.shape), flattened(was)) {
            // The fields of a flattened struct that is always present are visited separately.
            (TypeSchema::Struct(_), _) => 0,
            (_, Some(inner)) => count_non_structs(inner),
            (_, None) => usize::from(was.flatten),
        };
        if was.written.is_some() && !is_kept {
            gone.push(was);
        }
    }
    gone
}

/// Whether a struct has a field for the written name of another one.
fn is_known(schema: &StructSchema, was: &FieldSchema) -> bool {
    let names = |field: &FieldSchema| {
        let aliases = field.aliases.iter().map(|alias| Some(*alias));
        [field.written, field.read].into_iter().chain(aliases).any(|name| name == was.written)
    };
    all_of(schema).into_iter().any(names)
}

/// Attributes of a field. `was` is the locked field: `None` for a new type, `Some(None)` for a new field of a
/// locked type.
fn flags_of_field(field: &FieldSchema, was: Option<Option<&FieldSchema>>) -> String {
    let mut flags = names(field.written, field.read, field.aliases);
    if field.gone {
        flags += "#[gone] ";
    }
    let presence = match (field.presence, was) {
        _ if field.gone => Presence::Always,
        (Presence::Always, Some(None)) if !field.flatten => Presence::Sometimes,
        (now, Some(Some(was))) if now != was.presence => Presence::Sometimes,
        (now, _) => now,
    };
    flags += match presence {
        _ if field.written.is_none() => "",
        Presence::Always => "",
        Presence::Sometimes => "#[sometimes] ",
        Presence::UnlessNone => "#[unless_none] ",
    };
    let required = field.required || !field.gone && was.flatten().is_some_and(|was| was.required);
    if field.read.is_some() && !field.flatten && !field.gone {
        flags += match (required, field.shape.is_optional()) {
            (true, true) => "#[required] ",
            (false, false) => "#[optional] ",
            _ => "",
        };
    }
    if field.read.is_some() && !field.default.is_empty() {
        let _ = write!(flags, "#[default({})] ", quoted(field.default));
    }
    if field.written.is_some() && !field.skipped_if.is_empty() {
        let _ = write!(flags, "#[skipped_if({})] ", quoted(field.skipped_if));
    }
    if field.flatten {
        flags += "#[flatten] ";
    }
    // An optional type is not written separately, so its field carries the attribute.
    if field.secret || field.shape.is_optional() && field.is_hidden() {
        flags += "#[secret] ";
    }
    flags
}

fn flags_of_variant(variant: &VariantSchema) -> String {
    let mut flags = names(variant.written, variant.read, variant.aliases);
    if variant.other {
        flags += "#[other] ";
    }
    if variant.untagged {
        flags += "#[untagged] ";
    }
    flags
}

/// Attributes of an item that is not written and read under one and the same name.
fn names(written: Option<&str>, read: Option<&str>, aliases: &[&str]) -> String {
    let mut flags = String::new();
    if written.is_none() {
        flags += "#[unwritten] ";
    }
    match read {
        None => flags += "#[unread] ",
        Some(read) if aliases.is_empty() && written.is_none_or(|written| written == read) => {}
        Some(read) => {
            let all: Vec<_> = std::iter::once(&read).chain(aliases).map(|name| quoted(name)).collect();
            let _ = write!(flags, "#[reads({})] ", all.join(", "));
        }
    }
    flags
}

fn indent(depth: usize) -> String {
    "    ".repeat(depth)
}

/// Whether a word has a meaning in the lock's syntax, so that no type there can have it as its name.
fn is_word(name: &str) -> bool {
    const WORDS: [&str; 22] = [
        "any", "bool", "char", "differs", "enum", "f32", "f64", "format", "Heap", "int", "Map", "nonzero",
        "null", "opaque", "Option", "Set", "String", "struct", "type", "Vec", "version", "changed",
    ];
    let bits = name.strip_prefix(['u', 'i']).unwrap_or_default();
    WORDS.contains(&name) || ["8", "16", "32", "64", "128"].contains(&bits)
}

/// Returns the name unchanged if it is a valid identifier, else as a string literal.
fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { quoted(name) }
}

/// A Rust string literal.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn integer(min: i128, max: u128) -> String {
    let unsigned = [8, 16, 32, 64, 128].map(|bits| (format!("u{bits}"), 0, u128::MAX >> (128 - bits)));
    let signed = [8, 16, 32, 64, 128].map(|bits| {
        let max = u128::MAX >> (129 - bits);
        (format!("i{bits}"), i128::MIN >> (128 - bits), max)
    });
    let named = unsigned.into_iter().chain(signed).find(|(_, from, to)| (*from, *to) == (min, max));
    named.map_or_else(|| format!("int({min}, {max})"), |(name, ..)| name)
}
