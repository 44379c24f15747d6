//! The JSON that a type writes, split into the parts that a reader looks for.

use super::{EnumSchema, FieldSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema};

/// Maximum number of parts of an object: structs, flattened types, tags.
const MAX_PARTS: usize = 16;

/// Maximum number of names around a type, such as newtypes of newtypes.
pub const MAX_NAMES: usize = 64;

/// The JSON of one value, as a type writes it.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// Everything that a type writes.
    Type(&'static TypeSchema),
    /// This string.
    Literal(&'static str),
    /// `null`.
    Null,
}

/// A source of entries in an object.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The fields of a struct that are not flattened.
    Fields(&'static StructSchema),
    /// One entry, which is always written.
    Entry(&'static str, Shape),
    /// Entries with any keys.
    Map(&'static TypeSchema, &'static TypeSchema),
}

/// One alternative of a written object.
#[derive(Clone, Copy)]
pub(super) struct Object {
    parts: [Option<Part>; MAX_PARTS],
    len: usize,
    /// Entries that other readers have taken.
    taken: [Option<Taken>; MAX_TAKEN],
    /// Entries for which one of several alternatives was chosen; `None` if the entry is missing.
    chosen_entries: [Option<(&'static str, Option<Entry>)>; MAX_CHOSEN],
    /// Whether the object is incomplete, since it has too many parts or some have no schema.
    pub(super) is_incomplete: bool,
}

/// Entries that another reader has taken.
#[derive(Clone, Copy)]
pub(super) enum Taken {
    /// The entries that a struct reads as its fields.
    Fields(&'static StructSchema),
    /// The entry with this key: the tag or the content of an enum, or an externally tagged variant.
    Key(&'static str),
}

/// Maximum number of entries for which an alternative is chosen.
const MAX_CHOSEN: usize = 4;

/// Maximum number of structs and tags that read one object.
const MAX_TAKEN: usize = 8;

/// One entry of an object, as a reader finds it by its name.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) shape: Shape,
    pub(super) presence: Presence,
    pub(super) secret: bool,
    /// The index of its part. Entries are in the order of the parts.
    pub(super) part: usize,
}

impl Object {
    pub(super) const EMPTY: Self = Self {
        parts: [None; MAX_PARTS],
        len: 0,
        taken: [None; MAX_TAKEN],
        chosen_entries: [None; MAX_CHOSEN],
        is_incomplete: false,
    };

    pub(super) const fn with(mut self, part: Part) -> Self {
        if self.len == MAX_PARTS {
            self.is_incomplete = true;
            return self;
        }
        self.parts[self.len] = Some(part);
        self.len += 1;
        self
    }

    /// Removes entries that another reader has taken.
    pub(super) const fn without(mut self, taken: Taken) -> Self {
        let mut i = 0;
        while i < MAX_TAKEN {
            if self.taken[i].is_none() {
                self.taken[i] = Some(taken);
                return self;
            }
            i += 1;
        }
        self.is_incomplete = true;
        self
    }

    /// Returns whether another reader has taken the entry of this name.
    pub(super) const fn is_taken(&self, name: &str) -> bool {
        let mut i = 0;
        while i < MAX_TAKEN {
            let taken = match self.taken[i] {
                Some(Taken::Fields(schema)) => reads_field(schema, name),
                Some(Taken::Key(key)) => same(key, name),
                None => return false,
            };
            if taken {
                return true;
            }
            i += 1;
        }
        false
    }

    /// Marks the object as incomplete.
    pub(super) const fn as_incomplete(mut self) -> Self {
        self.is_incomplete = true;
        self
    }

    /// Returns whether the object contains the entries of a map, whose keys are not known.
    pub(super) const fn has_map(&self) -> bool {
        let mut i = 0;
        while i < self.len {
            if let Part::Map(..) = self.part(i) {
                return true;
            }
            i += 1;
        }
        false
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn part(&self, i: usize) -> Part {
        match self.parts[i] {
            Some(part) => part,
            None => Part::Entry("", Shape::Null),
        }
    }

    /// Returns the entry of this name, unless it comes from a map, whose keys are not known.
    pub(super) const fn entry(&self, name: &str) -> Option<Entry> {
        if self.is_taken(name) {
            return None;
        }
        let mut i = 0;
        while i < MAX_CHOSEN {
            if let Some((chosen, entry)) = self.chosen_entries[i]
                && same(chosen, name)
            {
                return entry;
            }
            i += 1;
        }
        i = 0;
        while i < self.len {
            match self.part(i) {
                Part::Fields(schema) => {
                    if let Some(field) = written_field(schema, name) {
                        let (presence, secret) = (field.presence, field.is_hidden());
                        return Some(Entry { shape: shape_of(field), presence, secret, part: i });
                    }
                }
                Part::Entry(key, shape) => {
                    if same(key, name) {
                        return Some(Entry { shape, presence: Presence::Always, secret: false, part: i });
                    }
                }
                Part::Map(..) => {}
            }
            i += 1;
        }
        None
    }

    /// Returns the first struct among the parts.
    pub(super) const fn fields(&self) -> Option<&'static StructSchema> {
        let mut i = 0;
        while i < self.len {
            if let Part::Fields(schema) = self.part(i) {
                return Some(schema);
            }
            i += 1;
        }
        None
    }

    /// Returns whether a field or entry of the writer has this name. Then the map next to it has no such key, since the
    /// writer would not read it back.
    pub(super) const fn is_field(&self, name: &str) -> bool {
        let mut i = 0;
        while i < self.len {
            match self.part(i) {
                Part::Fields(schema)
                    if reads_field(schema, name) || written_field(schema, name).is_some() =>
                {
                    return true;
                }
                Part::Entry(key, _) if same(key, name) => return true,
                _ => {}
            }
            i += 1;
        }
        false
    }

    /// Returns the value type of the map that may have this key, if there is one.
    pub(super) const fn map(&self, key: &str) -> Option<&'static TypeSchema> {
        let mut i = 0;
        while i < self.len {
            if let Part::Map(keys, values) = self.part(i)
                && may_write(keys, key)
            {
                return Some(values);
            }
            i += 1;
        }
        None
    }

    /// Returns the name of the variant if this part is a flattened, externally tagged enum.
    pub(super) const fn flattened_variant(&self, i: usize) -> Option<&'static str> {
        // The content of an adjacently tagged enum follows its tag.
        if i > 0 && matches!(self.part(i - 1), Part::Entry(_, Shape::Literal(_))) {
            return None;
        }
        match self.part(i) {
            Part::Entry(_, Shape::Literal(_)) => None,
            Part::Entry(name, _) => Some(name),
            _ => None,
        }
    }

    /// Returns whether the object has an entry that a flattened type looks for, other than `null` in a struct. Maps are
    /// not considered, since their keys are not known.
    pub(super) const fn has_entry_for(&self, reader: &'static TypeSchema) -> bool {
        let mut i = 0;
        while i < self.len {
            match self.part(i) {
                Part::Entry(name, _) => {
                    if !self.is_taken(name) && looks_for(reader, name, MAX_FLATTENED) {
                        return true;
                    }
                }
                Part::Fields(schema) => {
                    let mut k = 0;
                    while k < schema.fields.len() {
                        if let Some(name) = schema.fields[k].written
                            && !schema.fields[k].flatten
                            && let Some(entry) = self.entry(name)
                            && !matches!(entry.shape, Shape::Null)
                            && looks_for(reader, name, MAX_FLATTENED)
                        {
                            return true;
                        }
                        k += 1;
                    }
                }
                Part::Map(..) => {}
            }
            i += 1;
        }
        false
    }

    /// Splits the object into two alternatives by one entry: missing or present, or `null` or another value. With
    /// `reader`, only entries that this flattened type looks for are considered. Returns `None` if there is no such
    /// entry, or if too many entries were split before.
    pub(super) const fn split_by_entry(&self, reader: Option<&'static TypeSchema>) -> Option<[Self; 2]> {
        let mut free = 0;
        while free < MAX_CHOSEN && self.chosen_entries[free].is_some() {
            free += 1;
        }
        if free == MAX_CHOSEN {
            return None;
        }
        let mut i = 0;
        while i < self.len {
            if let Part::Fields(schema) = self.part(i) {
                let mut k = 0;
                while k < schema.fields.len() {
                    if let Some(name) = schema.fields[k].written
                        && !schema.fields[k].flatten
                        && let Some(entry) = self.entry(name)
                        && let Some([one, other]) = entry.split()
                        && is_looked_for(reader, name)
                    {
                        let (mut without, mut with) = (*self, *self);
                        // An entry that was split before may be split again.
                        let at = self.index_of_choice(name, free);
                        without.chosen_entries[at] = Some((name, one));
                        with.chosen_entries[at] = Some((name, other));
                        return Some([without, with]);
                    }
                    k += 1;
                }
            }
            i += 1;
        }
        None
    }

    /// Returns the index of an entry in `chosen_entries`, or `free` if it is not there.
    const fn index_of_choice(&self, name: &str, free: usize) -> usize {
        let mut i = 0;
        while i < MAX_CHOSEN {
            if let Some((chosen, _)) = self.chosen_entries[i]
                && same(chosen, name)
            {
                return i;
            }
            i += 1;
        }
        free
    }
}

/// An iterator over the entries of an object with known names that no other reader has taken, in their order.
pub(super) struct Entries {
    part: usize,
    field: usize,
}

impl Entries {
    pub(super) const FIRST: Self = Self { part: 0, field: 0 };

    /// Returns the next entry of the object and its name.
    pub(super) const fn next(&mut self, object: &Object) -> Option<(&'static str, Entry)> {
        while self.part < object.len {
            let part = self.part;
            let found = match object.part(part) {
                Part::Entry(name, shape) if self.field == 0 => {
                    Some((name, Entry { shape, presence: Presence::Always, secret: false, part }))
                }
                Part::Fields(schema) if self.field < schema.fields.len() => {
                    let field = &schema.fields[self.field];
                    let (presence, secret) = (field.presence, field.is_hidden());
                    match field.written {
                        Some(name) if !field.flatten => {
                            Some((name, Entry { shape: shape_of(field), presence, secret, part }))
                        }
                        _ => None,
                    }
                }
                Part::Map(..) | Part::Entry(..) | Part::Fields(_) => {
                    *self = Self { part: part + 1, field: 0 };
                    continue;
                }
            };
            self.field += 1;
            if let Some((name, _)) = found
                && !object.is_taken(name)
            {
                return found;
            }
        }
        None
    }
}

impl Entry {
    const fn split(self) -> Option<[Option<Self>; 2]> {
        match (self.presence, self.shape) {
            (Presence::Always, Shape::Type(ty)) => match written(ty) {
                TypeSchema::Option(inner) => Some([
                    Some(Self { shape: Shape::Null, ..self }),
                    Some(Self { shape: Shape::Type(inner), ..self }),
                ]),
                _ => None,
            },
            (Presence::Always, _) => None,
            _ => Some([None, Some(Self { presence: Presence::Always, ..self })]),
        }
    }
}

/// Returns whether a key of this type may be written as this text.
const fn may_write(keys: &'static TypeSchema, text: &str) -> bool {
    match written(keys) {
        TypeSchema::Char => is_one_character(text),
        TypeSchema::Bool => same(text, "true") || same(text, "false"),
        TypeSchema::Integer(..) | TypeSchema::NonZero(..) => {
            let bytes = text.as_bytes();
            !bytes.is_empty() && (bytes[0] == b'-' || bytes[0].is_ascii_digit())
        }
        TypeSchema::Enum(EnumSchema { variants, .. }) => {
            let mut i = 0;
            while i < variants.len() {
                if let Some(name) = variants[i].written
                    && same(name, text)
                {
                    return true;
                }
                i += 1;
            }
            false
        }
        _ => true,
    }
}

pub(super) const fn is_one_character(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut characters = 0;
    let mut i = 0;
    while i < bytes.len() {
        // Counts every byte except the continuation bytes of a character.
        if bytes[i] & 0xc0 != 0x80 {
            characters += 1;
        }
        i += 1;
    }
    characters == 1
}

/// Returns the field that is written under a name, unless it is flattened.
pub(super) const fn written_field(schema: &'static StructSchema, name: &str) -> Option<&'static FieldSchema> {
    let mut i = 0;
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        if let Some(written) = field.written
            && !field.flatten
            && same(written, name)
        {
            return Some(field);
        }
        i += 1;
    }
    None
}

/// Returns whether a struct reads a field of this name, not counting flattened fields.
pub(super) const fn reads_field(schema: &StructSchema, name: &str) -> bool {
    let mut i = 0;
    while i < schema.fields.len() {
        if !schema.fields[i].flatten && reads(schema.fields[i].read, schema.fields[i].aliases, name) {
            return true;
        }
        i += 1;
    }
    false
}

/// Maximum depth of the search for names in flattened types.
pub(super) const MAX_FLATTENED: usize = 8;

const fn is_looked_for(reader: Option<&'static TypeSchema>, name: &str) -> bool {
    match reader {
        Some(reader) => looks_for(reader, name, MAX_FLATTENED),
        None => true,
    }
}

/// Returns whether a flattened type looks for an entry of this name.
pub(super) const fn looks_for(reader: &'static TypeSchema, name: &str, depth: usize) -> bool {
    match read(reader) {
        _ if depth == 0 => false,
        TypeSchema::Map(..) => true,
        TypeSchema::Option(inner) => looks_for(inner, name, depth - 1),
        TypeSchema::Struct(schema) => {
            let mut i = 0;
            while i < schema.fields.len() {
                let field = &schema.fields[i];
                i += 1;
                if field.flatten && field.read.is_some() && looks_for(field.shape, name, depth - 1) {
                    return true;
                }
            }
            reads_field(schema, name)
        }
        TypeSchema::Enum(schema) => variants_look_for(schema, name, depth),
        _ => false,
    }
}

const fn variants_look_for(schema: &'static EnumSchema, name: &str, depth: usize) -> bool {
    let is_tag = match schema.tag {
        Tag::Internal(tag) => same(tag, name),
        Tag::Adjacent(tag, content) => same(tag, name) || same(content, name),
        Tag::External | Tag::Untagged => false,
    };
    let mut i = 0;
    while i < schema.variants.len() && !is_tag {
        let variant = &schema.variants[i];
        i += 1;
        let untagged = variant.untagged || matches!(schema.tag, Tag::Untagged);
        if !untagged && matches!(schema.tag, Tag::External) && reads(variant.read, variant.aliases, name) {
            return true;
        }
        if let Some(body) = variant.body
            && (untagged || matches!(schema.tag, Tag::Internal(_)))
            && variant.read.is_some()
            && looks_for(body, name, depth - 1)
        {
            return true;
        }
    }
    is_tag
}

/// Returns whether a field or variant with these names is read under this one.
pub(super) const fn reads(read: Option<&str>, aliases: &[&str], name: &str) -> bool {
    let Some(own) = read else { return false };
    if same(own, name) {
        return true;
    }
    let mut i = 0;
    while i < aliases.len() {
        if same(aliases[i], name) {
            return true;
        }
        i += 1;
    }
    false
}

/// Returns the shape that is written for a field.
pub(super) const fn shape_of(field: &FieldSchema) -> Shape {
    let shape = written(field.shape);
    match (field.presence, shape) {
        (Presence::UnlessNone, TypeSchema::Option(inner)) => Shape::Type(inner),
        _ => Shape::Type(shape),
    }
}

/// The parts of a variant's object: the tag, the content, and the type whose entries are written next to the tag.
pub(super) struct WrittenVariant {
    pub(super) parts: [Option<Part>; 2],
    pub(super) beside: Option<&'static TypeSchema>,
}

/// Returns the parts of the object that a variant is written as, or `None` if its tag does not make it an object.
pub(super) const fn variant_parts(
    schema: &EnumSchema,
    variant: &'static VariantSchema,
    name: &'static str,
    flattened: bool,
) -> Option<WrittenVariant> {
    let body = match variant.body {
        Some(body) => Shape::Type(body),
        None => Shape::Null,
    };
    let (parts, beside) = match schema.tag {
        _ if variant.untagged => return None,
        Tag::Untagged => return None,
        Tag::External if variant.body.is_none() && !flattened => return None,
        Tag::External => ([Some(Part::Entry(name, body)), None], None),
        Tag::Internal(tag) => ([Some(Part::Entry(tag, Shape::Literal(name))), None], variant.body),
        Tag::Adjacent(tag, content) => {
            let tag = Some(Part::Entry(tag, Shape::Literal(name)));
            match variant.body {
                Some(_) => ([tag, Some(Part::Entry(content, body))], None),
                None => ([tag, None], None),
            }
        }
    };
    Some(WrittenVariant { parts, beside })
}

/// Returns the shape in which a type is written, without its names.
pub(super) const fn written(shape: &'static TypeSchema) -> &'static TypeSchema {
    let mut shape = shape;
    let mut left = MAX_NAMES;
    while left > 0 {
        shape = match shape {
            TypeSchema::Named(named) => named.get().shape,
            TypeSchema::Differs { written, .. } => written,
            _ => return shape,
        };
        left -= 1;
    }
    &TypeSchema::Opaque("")
}

/// Returns the shape in which a type is read, without its names.
pub const fn read(shape: &'static TypeSchema) -> &'static TypeSchema {
    let mut shape = shape;
    let mut left = MAX_NAMES;
    while left > 0 {
        shape = match shape {
            TypeSchema::Named(named) => named.get().shape,
            TypeSchema::Differs { read, .. } => read,
            _ => return shape,
        };
        left -= 1;
    }
    &TypeSchema::Opaque("")
}

/// Returns whether two texts are equal, in a `const fn`.
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
