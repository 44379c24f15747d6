//! Writes a version of an event into its file of the lock.
//!
//! What is written remembers: a field that was once absent stays one that may be absent, since old
//! records are still read; one that was once needed stays needed, since old programs still read; what
//! is gone from a type below the event stays, for whoever takes its name again.

use std::fmt::Write as _;

use crate::event::locking::{Change, LockedVersion};
use crate::lock::check::{has_fields, keeps_entries};
use crate::schema::{
    EnumSchema, FieldSchema, Keeps, NamedSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema,
    Within, count_others, flattened,
};

/// The text of a version: `now` as it is, what `before` was locked as, and the reasons for its changes,
/// to which those of the `excused` ones come. What is excused is written as if it were new. `reserved` are
/// the names of fields that are gone.
pub(super) fn version(
    number: u32,
    now: &'static TypeSchema,
    before: Option<LockedVersion>,
    excused: &[Change],
    reserved: &[&'static str],
) -> String {
    let is_whole = excused.iter().any(|change| change.field.is_empty()) && !has_fields(now);
    let shape = before.filter(|_| !is_whole).map(|before| before.schema);
    let excused_fields = excused.iter().map(|change| change.field).filter(|field| !field.is_empty());
    let mut printer =
        Printer { excused: excused_fields.collect(), reserved: reserved.to_vec(), ..Printer::default() };
    let mut text = printer.version(number, now, shape);
    // A type may have been written before a place was met where it was known.
    while std::mem::take(&mut printer.learned) {
        printer.declared.clear();
        text = printer.version(number, now, shape);
    }
    let kept = before.map_or(&[][..], |before| before.changed);
    let reasons = kept.iter().chain(excused).map(|Change { field, reason }| match field.is_empty() {
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
        self.is_below = false;
        let root = self.shape(now, before, 0);
        let mut text = format!("version {number} = {root}\n");
        let mut next = 0;
        while let Some(Declared { name, schema }) = self.declared.get(next).cloned() {
            next += 1;
            self.is_below = next > 1;
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
    /// The types that are written on their own, in the order in which they were met.
    declared: Vec<Declared>,
    /// The fields of the event whose changes are excused.
    excused: Vec<&'static str>,
    /// The names of fields of the event that are gone.
    reserved: Vec<&'static str>,
    /// Whether what is written belongs to another type than the event's own.
    is_below: bool,
    /// What types were locked as.
    befores: Vec<(&'static NamedSchema, &'static TypeSchema)>,
    /// Whether `befores` has grown since the version was begun.
    learned: bool,
}

#[derive(Clone)]
struct Declared {
    name: String,
    schema: &'static NamedSchema,
}

impl Printer {
    /// A shape, at most on the lines of its own fields.
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

    /// The name of a type that is written on its own.
    fn declare(&mut self, schema: &'static NamedSchema, before: Option<&'static TypeSchema>) -> String {
        if let (Some(before), None) = (before, self.before(schema)) {
            self.befores.push((schema, before));
            self.learned = true;
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

    /// What a type was locked as, as far as is known.
    fn before(&self, schema: &'static NamedSchema) -> Option<&'static TypeSchema> {
        let known = self.befores.iter().find(|(known, _)| is_one(known, schema));
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
            let is_below = self.is_below || depth > 0;
            let is_excused =
                !is_below && field.written.or(field.read).is_some_and(|name| self.excused.contains(&name));
            let before = before.filter(|_| !is_excused);
            let was = before.map(|before| all_of(before).into_iter().find(|was| is_of(was, field)));
            let flags = flags_of_field(field, was);
            let shape = self.shape(field.shape, was.flatten().map(|was| was.shape), depth + 1);
            let name = identifier(field.written.or(field.read).unwrap_or_default());
            let _ = writeln!(text, "{}{flags}{name}: {shape},", indent(depth + 1));
        }
        // Below the event itself nothing says `reserved`: what is gone stays, as something that old
        // records may have. So does what is flattened, of which no name says what it wrote.
        let is_below = self.is_below || depth > 0;
        for was in before.into_iter().flat_map(|before| gone(schema, before)) {
            let name = was.written.unwrap_or_default();
            let is_kept = is_below || was.flatten && self.reserved.contains(&name);
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

/// Whether two declarations are of one type.
fn is_one(one: &'static NamedSchema, other: &'static NamedSchema) -> bool {
    one.is(other) && one.shape.is_same(other.shape)
}

/// The shape behind names.
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

/// The fields of a struct, and those that stand beside them.
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

/// The fields that were written, and for which a struct has none.
fn gone(now: &'static StructSchema, before: &'static StructSchema) -> Vec<&'static FieldSchema> {
    let mut within = Within { root: before, others: 0 };
    let mut gone = Vec::new();
    for was in all_of(before) {
        let is_kept = match (was.flatten, flattened(was)) {
            (true, Some(_)) => true,
            (true, None) => keeps_entries(now, was, within),
            (false, _) => is_known(now, was),
        };
        within.others += match (resolved(was.shape), flattened(was)) {
            // The fields of a struct that is always there come one by one.
            (TypeSchema::Struct(_), _) => 0,
            (_, Some(inner)) => count_others(inner),
            (_, None) => usize::from(was.flatten),
        };
        if was.written.is_some() && !is_kept {
            gone.push(was);
        }
    }
    gone
}

/// Whether a struct has a field for what is written as another one.
fn is_known(schema: &StructSchema, was: &FieldSchema) -> bool {
    let names = |field: &FieldSchema| {
        let aliases = field.aliases.iter().map(|alias| Some(*alias));
        [field.written, field.read].into_iter().chain(aliases).any(|name| name == was.written)
    };
    all_of(schema).into_iter().any(names)
}

/// What is said of a field; `was` is `None` for a new type, `Some(None)` for a new field of a known one.
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
    // A type that is not written on its own can't say so itself.
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

/// What is said where something is not written and read under one name.
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

/// Whether a word means something by itself in a lock, so that no type there can have it as its name.
fn is_word(name: &str) -> bool {
    const WORDS: [&str; 22] = [
        "any", "bool", "char", "differs", "enum", "f32", "f64", "format", "Heap", "int", "Map", "nonzero",
        "null", "opaque", "Option", "Set", "String", "struct", "type", "Vec", "version", "changed",
    ];
    let bits = name.strip_prefix(['u', 'i']).unwrap_or_default();
    WORDS.contains(&name) || ["8", "16", "32", "64", "128"].contains(&bits)
}

/// A name as it is, or as a string where it could not be read as a name.
fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { quoted(name) }
}

/// A string literal of Rust.
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
