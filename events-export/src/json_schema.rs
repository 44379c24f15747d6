//! Payloads as JSON Schema, draft 2020-12.

mod beside;
mod keys;

use beside::Rest;
use events_core::{
    EnumSchema, EventEntry, FieldSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema,
};
use serde_json::{Map, Value, json};

use crate::names::{Names, Titles, resolved};

/// Whether a schema describes the JSON that serde writes or the JSON that serde reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The JSON that is written by programs that emit the event, without secrets.
    Written,
    /// The JSON that is accepted by programs that handle the event: optional fields may be missing, and aliases are accepted.
    Read,
}

/// Returns the JSON Schema of an event's payload as a complete document.
///
/// Numbers are limited to the range of their type as far as JSON libraries can represent it: exactly up to 64 bits, as
/// the nearest float beyond. Opaque types accept any JSON. Each part that a code generator would make a type has a
/// unique `title`, such as `WayOne` for the variant `One` of `Way`.
///
/// ```
/// use typed_events::export::{Side, json_schema};
/// use typed_events::{catalog, event};
///
/// #[event("schema_doc.paid")]
/// pub struct Paid { pub cents: u32 }
///
/// let schema = json_schema(catalog().event("schema_doc.paid").unwrap(), Side::Read);
/// assert_eq!(schema["$defs"]["Paid"]["properties"]["cents"]["maximum"], u32::MAX);
/// ```
pub fn json_schema(event: &EventEntry, side: Side) -> Value {
    let mut writer = Writer::new(side, "#/$defs/", [event].into_iter());
    let mut schema = object([
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!(event.name())),
    ]);
    merge(&mut schema, writer.shape(event.schema()));
    let defs = writer.definitions();
    if !defs.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(defs));
    }
    Value::Object(schema)
}

pub(crate) type Object = Map<String, Value>;

pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Object {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn merge(into: &mut Object, from: Value) {
    if let Value::Object(from) = from {
        into.extend(from);
    }
}

/// Writes the schemas of types, and collects the declared types that they refer to.
pub(crate) struct Writer {
    side: Side,
    /// The beginning of each reference to a declared type.
    prefix: &'static str,
    names: Names,
    titles: Titles,
    written: usize,
}

impl Writer {
    /// Creates a writer for a document with these events.
    pub(crate) fn new<'a>(
        side: Side,
        prefix: &'static str,
        events: impl Iterator<Item = &'a EventEntry>,
    ) -> Self {
        let mut writer =
            Self { side, prefix, names: Names::default(), titles: Titles::default(), written: 0 };
        events.for_each(|event| drop(writer.shape(event.schema())));
        drop(writer.definitions());
        // The names of all types are known now, so that no title is one of them.
        Self { titles: Titles::beside(&writer.names), written: 0, ..writer }
    }

    /// Returns the schemas of the types that were referred to since the last call.
    pub(crate) fn definitions(&mut self) -> Object {
        let mut definitions = Object::new();
        while let Some((name, named)) = self.names.get(self.written) {
            self.written += 1;
            self.titles.declare(&name);
            let schema = self.shape(named.shape);
            definitions.insert(name, documented(schema, named.doc, named.deprecated));
        }
        definitions
    }

    /// Writes a part of the current type; the title of the part begins with that of the type.
    fn within<T>(&mut self, part: &str, write: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.titles.enter(part);
        let written = write(self);
        self.titles.leave(outer);
        written
    }

    /// Adds a title to a schema, unless the schema is a declared type or a reference to one.
    fn titled(&mut self, mut schema: Value) -> Value {
        if let Value::Object(object) = &mut schema
            && !object.contains_key("$ref")
            && let Some(title) = self.titles.next()
        {
            object.insert("title".to_owned(), json!(title));
        }
        schema
    }

    pub(crate) fn shape(&mut self, shape: &'static TypeSchema) -> Value {
        match shape {
            TypeSchema::Null => json!({"type": "null"}),
            TypeSchema::Bool => json!({"type": "boolean"}),
            TypeSchema::Integer(min, max) => integer(*min, *max),
            TypeSchema::NonZero(min, max) => {
                let mut integer = integer(*min, *max);
                integer["not"] = json!({"const": 0});
                integer
            }
            TypeSchema::Float32 => {
                json!({"type": "number", "minimum": f64::from(f32::MIN), "maximum": f64::from(f32::MAX)})
            }
            TypeSchema::Float => json!({"type": "number"}),
            TypeSchema::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            TypeSchema::String => json!({"type": "string"}),
            TypeSchema::Format(format) => {
                json!({"type": "string", "format": format_name(format)})
            }
            TypeSchema::Named(named) if named.get().secret && self.side == Side::Written => {
                json!({"const": "[secret]"})
            }
            TypeSchema::Named(named) => {
                let name = self.names.of(named.get());
                json!({"$ref": format!("{}{name}", self.prefix)})
            }
            TypeSchema::Option(inner) => {
                let inner = self.within("", |writer| writer.shape(inner));
                json!({"anyOf": [inner, {"type": "null"}]})
            }
            TypeSchema::Sequence(items, _) => {
                json!({"type": "array", "items": self.within("item", |writer| writer.shape(items))})
            }
            TypeSchema::Tuple([]) => json!({"type": "array", "maxItems": 0}),
            TypeSchema::Tuple(items) => {
                let count = items.len();
                let item = |(index, item): (usize, &&'static TypeSchema)| {
                    self.within(&(index + 1).to_string(), |writer| writer.shape(item))
                };
                let items: Vec<_> = items.iter().enumerate().map(item).collect();
                json!({"type": "array", "prefixItems": items, "items": false, "minItems": count, "maxItems": count})
            }
            TypeSchema::Map(keys, values) => {
                let values = self.within("value", |writer| writer.shape(values));
                let mut map = object([("type", json!("object")), ("additionalProperties", values)]);
                if let Some(names) = self.keys(keys) {
                    map.insert("propertyNames".to_owned(), names);
                }
                Value::Object(map)
            }
            TypeSchema::Struct(schema) => self.fields(schema, &Rest::NONE),
            TypeSchema::Enum(schema) => self.variants(schema),
            TypeSchema::Differs { written, read } => match self.side {
                Side::Written => self.shape(written),
                Side::Read => self.shape(read),
            },
            // `Any` and `Opaque` accept any value.
            _ => json!({}),
        }
    }

    fn sided(&self, shape: &'static TypeSchema) -> &'static TypeSchema {
        match resolved(shape) {
            TypeSchema::Differs { written, read } => match self.side {
                Side::Written => self.sided(written),
                Side::Read => self.sided(read),
            },
            other => other,
        }
    }

    fn names_of(&self, variant: &VariantSchema) -> Vec<&'static str> {
        match self.side {
            Side::Written => variant.written.into_iter().collect(),
            Side::Read => variant.read.into_iter().chain(variant.aliases.iter().copied()).collect(),
        }
    }

    /// Writes an object with these fields. `rest` describes the other entries of the same object.
    fn fields(&mut self, schema: &'static StructSchema, rest: &Rest) -> Value {
        let title = self.titles.next();
        let mut object = object([("type", json!("object"))]);
        let (mut properties, mut required, mut beside) = (Properties::default(), Vec::new(), Vec::new());
        for field in schema.fields.iter().filter(|field| !field.flatten) {
            let names: Vec<_> = match self.side {
                // Secret fields are left out of text.
                Side::Written if field.secret => continue,
                _ => field_names(field, self.side),
            };
            let Some(first) = names.first() else { continue };
            let shape =
                self.within(first, |writer| match (writer.side, field.presence, resolved(field.shape)) {
                    (Side::Written, Presence::UnlessNone, TypeSchema::Option(inner)) => writer.shape(inner),
                    _ => writer.shape(field.shape),
                });
            let needed = match self.side {
                Side::Written => field.presence == Presence::Always,
                Side::Read => field.required,
            };
            match (needed, names.len()) {
                (true, 1) => required.push(json!(first)),
                (false, 1) => {}
                (needed, _) => beside.push(one_of_names(&names, needed)),
            }
            let shape = documented(shape, field.doc, field.deprecated);
            names.iter().for_each(|name| properties.insert(name, shape.clone()));
        }
        beside.extend(self.all_flattened(schema, rest));
        properties.put_into(&mut object);
        if !required.is_empty() {
            object.insert("required".to_owned(), Value::Array(required));
        }
        if schema.deny_unknown && self.side == Side::Read {
            object.insert(beside::DENIALS[usize::from(!beside.is_empty())].to_owned(), json!(false));
        }
        if !beside.is_empty() {
            object.insert("allOf".to_owned(), Value::Array(beside));
        }
        if let Some(title) = title {
            object.insert("title".to_owned(), json!(title));
        }
        Value::Object(object)
    }

    fn variants(&mut self, schema: &'static EnumSchema) -> Value {
        let (mut any, mut units) = (Vec::new(), Vec::new());
        for variant in schema.variants {
            let untagged = variant.untagged || schema.tag == Tag::Untagged;
            for name in self.names_of(variant) {
                if !untagged
                    && schema.tag == Tag::External
                    && variant.body.is_none()
                    && !variant.other
                    && variant.doc.is_empty()
                {
                    units.push(json!(name));
                    continue;
                }
                let tag = match variant.other && self.side == Side::Read {
                    true => json!({"type": "string"}),
                    false => json!({"const": name}),
                };
                let shape = self.within(name, |writer| {
                    let shape = writer.variant(schema, variant, tag, untagged);
                    match shape.get("title") {
                        Some(_) => shape,
                        None => writer.titled(shape),
                    }
                });
                any.push(documented(shape, variant.doc, variant.deprecated));
                if untagged {
                    break;
                }
            }
        }
        if !units.is_empty() {
            let units = json!({"enum": units});
            // If the enum has only unit variants, they are the whole type and get its title.
            let part = if any.is_empty() { None } else { Some("unit") };
            let units = match part {
                Some(part) => self.within(part, |writer| writer.titled(units)),
                None => self.titled(units),
            };
            any.insert(0, units);
        }
        any_of(any)
    }

    fn variant(
        &mut self,
        schema: &EnumSchema,
        variant: &VariantSchema,
        name: Value,
        untagged: bool,
    ) -> Value {
        let deny = schema.deny_unknown && self.side == Side::Read;
        match schema.tag {
            _ if untagged => variant.body.map_or_else(|| json!({"type": "null"}), |body| self.shape(body)),
            Tag::Untagged => variant.body.map_or_else(|| json!({"type": "null"}), |body| self.shape(body)),
            Tag::External => {
                let Some(body) = variant.body else { return name };
                let key = name["const"].as_str().unwrap_or_default();
                let mut whole = object([("type", json!("object"))]);
                let mut properties = Properties::default();
                properties.insert(key, self.within("content", |writer| writer.shape(body)));
                properties.put_into(&mut whole);
                whole.insert("required".to_owned(), json!([key]));
                whole.insert("additionalProperties".to_owned(), json!(false));
                Value::Object(whole)
            }
            Tag::Internal(tag) => self.beside_tag(tag, name, variant.body, &Rest::NONE),
            Tag::Adjacent(tag, content) => {
                let mut whole = object([("type", json!("object"))]);
                let (mut properties, mut required) = (Properties::default(), vec![json!(tag)]);
                properties.insert(tag, name);
                if let Some(body) = variant.body {
                    properties.insert(content, self.within("content", |writer| writer.shape(body)));
                    if !body.is_optional() || self.side == Side::Written {
                        required.push(json!(content));
                    }
                }
                properties.put_into(&mut whole);
                whole.insert("required".to_owned(), Value::Array(required));
                if deny {
                    whole.insert("additionalProperties".to_owned(), json!(false));
                }
                Value::Object(whole)
            }
        }
    }
}

/// The schemas of an object's fields, by name.
#[derive(Default)]
struct Properties {
    plain: Object,
    patterns: Object,
}

impl Properties {
    /// Names that can't be keys of `properties`. Readers of schemas take `$ref` for a reference even there, and
    /// `__proto__` for the prototype of the object.
    const NOT_KEYS: [&str; 2] = ["$ref", "__proto__"];

    fn insert(&mut self, name: &str, schema: Value) {
        match Self::NOT_KEYS.contains(&name) {
            true => self.patterns.insert(format!("^{}$", name.replace('$', "\\$")), schema),
            false => self.plain.insert(name.to_owned(), schema),
        };
    }

    fn put_into(self, object: &mut Object) {
        object.insert("properties".to_owned(), Value::Object(self.plain));
        if !self.patterns.is_empty() {
            object.insert("patternProperties".to_owned(), Value::Object(self.patterns));
        }
    }
}

/// Returns the names of a field without duplicates: first its own name, then its aliases.
fn field_names(field: &FieldSchema, side: Side) -> Vec<&'static str> {
    let all = match side {
        Side::Written => field.written.into_iter().chain([].iter().copied()),
        Side::Read => field.read.into_iter().chain(field.aliases.iter().copied()),
    };
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Allows at most one of a field's names, as serde refuses a second one. If the field is `needed`, one must be present.
fn one_of_names(names: &[&str], needed: bool) -> Value {
    if needed {
        let each: Vec<_> = names.iter().map(|name| json!({"required": [name]})).collect();
        return json!({"oneOf": each});
    }
    let pairs = names.iter().enumerate().flat_map(|(index, one)| {
        names[index + 1..].iter().map(move |other| json!({"required": [one, other]}))
    });
    json!({"not": any_of(pairs.collect())})
}

fn any_of(mut schemas: Vec<Value>) -> Value {
    match schemas.len() {
        0 => json!({"not": {}}),
        1 => schemas.remove(0),
        _ => json!({"anyOf": schemas}),
    }
}

/// Returns the name that JSON Schema has for a format. Formats of our own that are special cases of RFC 3339 become
/// `date-time`.
fn format_name(format: &'static str) -> &'static str {
    match format {
        "offset-date-time" | "date-time-micros" => "date-time",
        format => format,
    }
}

/// Returns an integer with its bounds. JSON libraries hold integers of up to 64 bits; larger bounds become the nearest
/// float.
fn integer(min: i128, max: u128) -> Value {
    let min = i64::try_from(min).map_or_else(|_| json!(min as f64), |min| json!(min));
    let max = u64::try_from(max).map_or_else(|_| json!(max as f64), |max| json!(max));
    json!({"type": "integer", "minimum": min, "maximum": max})
}

fn documented(schema: Value, doc: &str, deprecated: bool) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    if !doc.is_empty() {
        schema.insert("description".to_owned(), json!(doc));
    }
    if deprecated {
        schema.insert("deprecated".to_owned(), json!(true));
    }
    Value::Object(schema)
}
