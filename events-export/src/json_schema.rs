//! JSON Schema, draft 2020-12.

use events_core::{
    EnumSchema, EventEntry, FieldSchema, Presence, StructSchema, Tag, TypeSchema, VariantSchema,
};
use serde_json::{Map, Value, json};

use crate::names::{Names, resolved};

/// What a schema describes: what serde writes, or what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What programs that emit the event write, as text: without secrets.
    Written,
    /// What programs that take the event read: optional fields may be missing, other names count.
    Read,
}

/// The schema of an event's payload: a document of its own.
///
/// Numbers are checked against the range of their type as far as JSON libraries hold them, 64 bits;
/// what is opaque is not checked.
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
    let mut writer = Writer::new(side, "#/$defs/");
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

/// The keywords that deny further properties: of an object alone, and of one with others beside it.
const DENIALS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// Lets an object, or each of several, have further properties.
fn open(shape: &mut Value) {
    if let Value::Object(object) = shape {
        DENIALS.iter().for_each(|denial| drop(object.remove(*denial)));
    }
    for of in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(shapes)) = shape.get_mut(of) {
            shapes.iter_mut().for_each(open);
        }
    }
}

fn merge(into: &mut Object, from: Value) {
    if let Value::Object(from) = from {
        into.extend(from);
    }
}

/// Writes shapes, and remembers the types they refer to.
pub(crate) struct Writer {
    side: Side,
    /// What a reference to a type begins with.
    prefix: &'static str,
    names: Names,
    written: usize,
}

impl Writer {
    pub(crate) fn new(side: Side, prefix: &'static str) -> Self {
        Self { side, prefix, names: Names::default(), written: 0 }
    }

    /// The types that were referred to since it was last asked.
    pub(crate) fn definitions(&mut self) -> Object {
        let mut definitions = Object::new();
        while let Some((name, named)) = self.names.get(self.written) {
            self.written += 1;
            let schema = self.shape(named.shape);
            definitions.insert(name, documented(schema, named.doc, named.deprecated));
        }
        definitions
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
            TypeSchema::Float32 | TypeSchema::Float => json!({"type": "number"}),
            TypeSchema::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            TypeSchema::String => json!({"type": "string"}),
            TypeSchema::Format(format) => {
                json!({"type": "string", "format": if is_moment(format) { "date-time" } else { format }})
            }
            TypeSchema::Named(named) if named.get().secret && self.side == Side::Written => {
                json!({"const": "[secret]"})
            }
            TypeSchema::Named(named) => {
                let name = self.names.of(named.get());
                json!({"$ref": format!("{}{name}", self.prefix)})
            }
            TypeSchema::Option(inner) => json!({"anyOf": [self.shape(inner), {"type": "null"}]}),
            TypeSchema::Sequence(items, _) => json!({"type": "array", "items": self.shape(items)}),
            TypeSchema::Tuple([]) => json!({"type": "array", "maxItems": 0}),
            TypeSchema::Tuple(items) => {
                let count = items.len();
                let items: Vec<_> = items.iter().map(|item| self.shape(item)).collect();
                json!({"type": "array", "prefixItems": items, "items": false, "minItems": count, "maxItems": count})
            }
            TypeSchema::Map(keys, values) => {
                let values = self.shape(values);
                let mut map = object([("type", json!("object")), ("additionalProperties", values)]);
                if let Some(names) = self.keys(keys) {
                    map.insert("propertyNames".to_owned(), names);
                }
                Value::Object(map)
            }
            TypeSchema::Struct(schema) => self.fields(schema),
            TypeSchema::Enum(schema) => self.variants(schema),
            TypeSchema::Differs { written, read } => match self.side {
                Side::Written => self.shape(written),
                Side::Read => self.shape(read),
            },
            // Any value, or nobody knows.
            _ => json!({}),
        }
    }

    /// What the keys of a map may be, where they are not any strings.
    fn keys(&mut self, keys: &'static TypeSchema) -> Option<Value> {
        if matches!(keys, TypeSchema::Named(named) if named.get().secret) && self.side == Side::Written {
            return None;
        }
        match self.sided(keys) {
            TypeSchema::Integer(min, _) | TypeSchema::NonZero(min, _) if *min < 0 => {
                Some(json!({"pattern": "^-?[0-9]+$"}))
            }
            TypeSchema::Integer(..) => Some(json!({"pattern": "^[0-9]+$"})),
            TypeSchema::Bool => Some(json!({"enum": ["true", "false"]})),
            TypeSchema::Enum(schema) => {
                let names: Vec<_> =
                    schema.variants.iter().flat_map(|variant| self.names_of(variant)).collect();
                let open = schema.variants.iter().any(|variant| variant.other);
                (!open).then(|| json!({"enum": names}))
            }
            _ => None,
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

    fn fields(&mut self, schema: &'static StructSchema) -> Value {
        let mut properties = Object::new();
        let (mut required, mut beside) = (Vec::new(), Vec::new());
        for field in schema.fields {
            if field.flatten {
                beside.push(self.flattened(field));
                continue;
            }
            let names: Vec<_> = match self.side {
                // Textual forms leave it out.
                Side::Written if field.secret => continue,
                Side::Written => field.written.into_iter().collect(),
                Side::Read => field.read.into_iter().chain(field.aliases.iter().copied()).collect(),
            };
            let mut names = names.into_iter();
            let Some(first) = names.next() else { continue };
            let shape = match (self.side, field.presence, resolved(field.shape)) {
                (Side::Written, Presence::UnlessNone, TypeSchema::Option(inner)) => self.shape(inner),
                _ => self.shape(field.shape),
            };
            let shape = documented(shape, field.doc, field.deprecated);
            let needed = match self.side {
                Side::Written => field.presence == Presence::Always,
                Side::Read => field.required,
            };
            let others: Vec<_> = names.filter(|name| *name != first).collect();
            match (needed, others.is_empty()) {
                (true, true) => required.push(json!(first)),
                (true, false) => {
                    let any: Vec<_> = std::iter::once(&first)
                        .chain(&others)
                        .map(|name| json!({"required": [name]}))
                        .collect();
                    beside.push(json!({"anyOf": any}));
                }
                (false, _) => {}
            }
            for name in others {
                properties.insert(name.to_owned(), shape.clone());
            }
            properties.insert(first.to_owned(), shape);
        }
        let mut object = object([("type", json!("object")), ("properties", Value::Object(properties))]);
        if !required.is_empty() {
            object.insert("required".to_owned(), Value::Array(required));
        }
        if schema.deny_unknown && self.side == Side::Read {
            object.insert(DENIALS[usize::from(!beside.is_empty())].to_owned(), json!(false));
        }
        if !beside.is_empty() {
            object.insert("allOf".to_owned(), Value::Array(beside));
        }
        Value::Object(object)
    }

    /// What stands beside the other fields. Entries of a map can't be told from those: they may be
    /// anything here.
    fn flattened(&mut self, field: &FieldSchema) -> Value {
        let mut shape = match self.sided(field.shape) {
            TypeSchema::Struct(schema) => self.fields(schema),
            TypeSchema::Enum(schema) if schema.tag == Tag::External => self.beside(schema),
            TypeSchema::Enum(schema) => self.variants(schema),
            // serde also reads `None` where its type can't be read; what is left then is not described.
            TypeSchema::Option(inner) if self.side == Side::Read => match self.sided(inner) {
                TypeSchema::Struct(schema) => json!({"anyOf": [self.fields(schema), {}]}),
                _ => json!({}),
            },
            _ => json!({}),
        };
        // Only the whole could deny what it does not know.
        open(&mut shape);
        shape
    }

    /// An externally tagged enum that stands beside other fields: a field for each variant.
    fn beside(&mut self, schema: &'static EnumSchema) -> Value {
        let mut any = Vec::new();
        for variant in schema.variants {
            let body = variant.body.map_or_else(|| json!({"type": "null"}), |body| self.shape(body));
            for name in self.names_of(variant) {
                any.push(json!({"type": "object", "properties": {name: body}, "required": [name]}));
            }
        }
        if any.is_empty() { json!({"not": {}}) } else { json!({"anyOf": any}) }
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
                let name = match variant.other && self.side == Side::Read {
                    true => json!({"type": "string"}),
                    false => json!({"const": name}),
                };
                let shape = self.variant(schema, variant, name, untagged);
                any.push(documented(shape, variant.doc, variant.deprecated));
                if untagged {
                    break;
                }
            }
        }
        if !units.is_empty() {
            any.insert(0, json!({"enum": units}));
        }
        match any.len() {
            0 => json!({"not": {}}),
            1 => any.remove(0),
            _ => json!({"anyOf": any}),
        }
    }

    /// A variant whose fields stand beside its tag.
    fn beside_tag(&mut self, tag: &str, name: Value, body: Option<&'static TypeSchema>) -> Value {
        let mut whole = object([("type", json!("object"))]);
        match body.map(|body| self.sided(body)) {
            // Entries of a map can't be told from the tag.
            None | Some(TypeSchema::Null | TypeSchema::Map(..)) => {}
            Some(TypeSchema::Struct(schema)) => merge(&mut whole, self.fields(schema)),
            Some(TypeSchema::Enum(schema)) if schema.tag == Tag::External => {
                whole.insert("allOf".to_owned(), json!([self.beside(schema)]));
            }
            Some(other) => {
                whole.insert("allOf".to_owned(), json!([self.shape(other)]));
            }
        }
        let properties = whole.entry("properties").or_insert_with(|| json!({}));
        properties[tag] = name;
        if let Value::Array(required) = whole.entry("required").or_insert_with(|| json!([])) {
            required.insert(0, json!(tag));
        }
        Value::Object(whole)
    }

    fn variant(
        &mut self,
        schema: &EnumSchema,
        variant: &VariantSchema,
        name: Value,
        untagged: bool,
    ) -> Value {
        let body = variant.body.map(|body| self.shape(body));
        let deny = schema.deny_unknown && self.side == Side::Read;
        match (schema.tag, body) {
            (_, body) if untagged => body.unwrap_or_else(|| json!({"type": "null"})),
            (Tag::Untagged, body) => body.unwrap_or_else(|| json!({"type": "null"})),
            (Tag::External, None) => name,
            (Tag::External, Some(body)) => {
                let key = name["const"].as_str().unwrap_or_default();
                json!({"type": "object", "properties": {key: body}, "required": [key], "additionalProperties": false})
            }
            (Tag::Internal(tag), _) => self.beside_tag(tag, name, variant.body),
            (Tag::Adjacent(tag, content), body) => {
                let optional = variant.body.is_some_and(TypeSchema::is_optional);
                let mut properties = object([(tag, name)]);
                let mut required = vec![json!(tag)];
                if let Some(body) = body {
                    properties.insert(content.to_owned(), body);
                    if !optional || self.side == Side::Written {
                        required.push(json!(content));
                    }
                }
                let mut whole = object([
                    ("type", json!("object")),
                    ("properties", Value::Object(properties)),
                    ("required", Value::Array(required)),
                ]);
                if deny {
                    whole.insert("additionalProperties".to_owned(), json!(false));
                }
                Value::Object(whole)
            }
        }
    }
}

/// Whether a format of ours is a moment as RFC 3339 writes it.
fn is_moment(format: &str) -> bool {
    ["offset-date-time", "date-time-micros"].contains(&format)
}

/// JSON libraries hold integers of 64 bits: bounds beyond them are left out.
fn integer(min: i128, max: u128) -> Value {
    let mut schema = object([("type", json!("integer"))]);
    if let Ok(min) = i64::try_from(min) {
        schema.insert("minimum".to_owned(), json!(min));
    }
    if let Ok(max) = u64::try_from(max) {
        schema.insert("maximum".to_owned(), json!(max));
    }
    Value::Object(schema)
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
