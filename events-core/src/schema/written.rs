//! What a type writes, taken apart into what a reader looks at, one alternative after the other.

use super::{EnumSchema, FieldSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema};

/// The most parts an object is put together from: a struct, what it flattens, tags.
const MAX_PARTS: usize = 16;

/// The most names a type may stand behind: a newtype of a newtype, and so on.
const MAX_NAMES: usize = 64;

/// What is written at one place.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// What a type writes.
    Type(&'static TypeSchema),
    /// This string.
    Literal(&'static str),
    /// `null`.
    Null,
}

/// One thing that entries of an object come from.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The fields of a struct that are not flattened.
    Fields(&'static StructSchema),
    /// One entry that is always there.
    Entry(&'static str, Shape),
    /// Entries of any keys.
    Map(&'static TypeSchema, &'static TypeSchema),
}

/// One alternative of what is written where an object is.
#[derive(Clone, Copy)]
pub(super) struct Object {
    parts: [Option<Part>; MAX_PARTS],
    len: usize,
    /// What others have read already.
    taken: [Option<Taken>; MAX_TAKEN],
    /// Something was left out: there were too many parts, or some are not described.
    pub(super) vague: bool,
}

/// Entries that somebody else has read.
#[derive(Clone, Copy)]
pub(super) enum Taken {
    /// Those a struct reads by name.
    Fields(&'static StructSchema),
    /// The tag of an enum.
    Key(&'static str),
}

/// The most structs and tags that may read one object together.
const MAX_TAKEN: usize = 8;

/// One entry of an object: what a reader finds under a name.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) shape: Shape,
    pub(super) presence: Presence,
    /// The part it is in: entries come in the order of the parts.
    pub(super) part: usize,
}

impl Object {
    pub(super) const EMPTY: Self =
        Self { parts: [None; MAX_PARTS], len: 0, taken: [None; MAX_TAKEN], vague: false };

    pub(super) const fn with(mut self, part: Part) -> Self {
        if self.len == MAX_PARTS {
            self.vague = true;
            return self;
        }
        self.parts[self.len] = Some(part);
        self.len += 1;
        self
    }

    /// What is left when others have read their part.
    pub(super) const fn without(mut self, taken: Taken) -> Self {
        let mut i = 0;
        while i < MAX_TAKEN {
            if self.taken[i].is_none() {
                self.taken[i] = Some(taken);
                return self;
            }
            i += 1;
        }
        self.vague = true;
        self
    }

    /// Whether the entry of this name is read by others.
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

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn part(&self, i: usize) -> Part {
        match self.parts[i] {
            Some(part) => part,
            None => Part::Entry("", Shape::Null),
        }
    }

    /// The entry of this name from a part of its own; a map may have one, too.
    pub(super) const fn entry(&self, name: &str) -> Option<Entry> {
        if self.is_taken(name) {
            return None;
        }
        let mut i = 0;
        while i < self.len {
            match self.part(i) {
                Part::Fields(schema) => {
                    if let Some(field) = written_field(schema, name) {
                        return Some(Entry { shape: shape_of(field), presence: field.presence, part: i });
                    }
                }
                Part::Entry(key, shape) => {
                    if same(key, name) {
                        return Some(Entry { shape, presence: Presence::Always, part: i });
                    }
                }
                Part::Map(..) => {}
            }
            i += 1;
        }
        None
    }

    /// The values of the map among the parts, if there is one.
    pub(super) const fn map(&self) -> Option<(&'static TypeSchema, &'static TypeSchema)> {
        let mut i = 0;
        while i < self.len {
            if let Part::Map(keys, values) = self.part(i) {
                return Some((keys, values));
            }
            i += 1;
        }
        None
    }
}

/// The field that is written under a name, unless its parts stand in its place.
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

/// Whether a struct reads a field of this name by itself.
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

/// Whether something that is read under these names is read under this one.
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

/// What stands under a field's name when it is written.
pub(super) const fn shape_of(field: &FieldSchema) -> Shape {
    let shape = written(field.shape);
    match (field.presence, shape) {
        (Presence::UnlessNone, TypeSchema::Option(inner)) => Shape::Type(inner),
        _ => Shape::Type(shape),
    }
}

/// What stands in the object of a variant: its tag, what it holds, and the struct or enum whose
/// parts stand beside the tag.
pub(super) struct WrittenVariant {
    pub(super) parts: [Option<Part>; 2],
    pub(super) beside: Option<&'static TypeSchema>,
}

/// The parts of the object a variant is written as; `None` where it is no object by its tag.
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

/// A type as it is written: not behind its name.
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
    &TypeSchema::Opaque
}

/// A type as it is read: not behind its name.
pub(super) const fn read(shape: &'static TypeSchema) -> &'static TypeSchema {
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
    &TypeSchema::Opaque
}

/// Whether two texts are the same.
pub(crate) const fn same(a: &str, b: &str) -> bool {
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
