//! Schemas of entries that share an object with others: flattened fields, and the fields of a variant next to its tag.
//!
//! serde reads a struct's own fields first, then each flattened field in the order of declaration. A flattened struct
//! takes the entries with its field names; a map reads all entries that remain.

use events_core::{EnumSchema, FieldSchema, StructSchema, Tag, TypeSchema, VariantSchema};
use serde_json::{Value, json};

use super::{Object, Properties, Side, Writer, any_of, field_names, merge, object};

/// The keywords that forbid further properties: in an object without `allOf`, and in one with `allOf`.
pub(super) const DENIALS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// Maximum depth of flattened fields, since a type may flatten itself.
const MAX_DEPTH: usize = 8;

/// What is known of the other entries of an object, for the schema of a type that shares it.
pub(super) struct Rest {
    /// The names of entries that belong to the fields before.
    taken: Vec<&'static str>,
    /// Whether unknown entries are refused.
    denied: bool,
    depth: usize,
}

impl Rest {
    pub(super) const NONE: Self = Self { taken: Vec::new(), denied: false, depth: 0 };

    fn with(&self, names: impl IntoIterator<Item = &'static str>) -> Self {
        let taken = self.taken.iter().copied().chain(names).collect();
        Self { taken, denied: self.denied, depth: self.depth + 1 }
    }
}

impl Writer {
    /// Returns the schemas of the flattened fields of a struct.
    pub(super) fn all_flattened(&mut self, schema: &'static StructSchema, rest: &Rest) -> Vec<Value> {
        let own = schema.fields.iter().filter(|field| !field.flatten);
        let mut rest = rest.with(own.flat_map(|field| field_names(field, self.side)));
        rest.denied |= schema.deny_unknown && self.side == Side::Read;
        let mut beside = Vec::new();
        for field in schema.fields.iter().filter(|field| field.flatten) {
            let name = field.read.or(field.written).unwrap_or_default();
            beside.push(self.within(name, |writer| writer.flattened(field, &rest)));
            rest = rest.with(self.takes(field.shape, MAX_DEPTH));
        }
        beside
    }

    fn flattened(&mut self, field: &FieldSchema, rest: &Rest) -> Value {
        let mut shape = self.among(field.shape, rest);
        // Unknown entries can only be refused for the object as a whole.
        open(&mut shape);
        shape
    }

    /// Returns the schema of a type whose entries share an object with other entries.
    fn among(&mut self, shape: &'static TypeSchema, rest: &Rest) -> Value {
        if rest.depth > MAX_DEPTH {
            return json!({});
        }
        match self.sided(shape) {
            TypeSchema::Struct(schema) => self.fields(schema, rest),
            TypeSchema::Enum(schema) => self.variants_among(schema, rest),
            TypeSchema::Map(keys, values) if self.side == Side::Read && !rest.denied => {
                Value::Object(self.entries(keys, values, &rest.taken))
            }
            // serde also reads `None` if the inner type can't be read, so any JSON is accepted.
            TypeSchema::Option(inner) if self.side == Side::Read => match self.sided(inner) {
                TypeSchema::Struct(schema) => json!({"anyOf": [self.fields(schema, rest), {}]}),
                _ => json!({}),
            },
            _ => json!({}),
        }
    }

    /// Returns the schema of a map that reads all entries except those in `taken`.
    fn entries(
        &mut self,
        keys: &'static TypeSchema,
        values: &'static TypeSchema,
        taken: &[&'static str],
    ) -> Object {
        let mut properties = Properties::default();
        taken.iter().for_each(|name| properties.insert(name, json!(true)));
        let mut map = object([("type", json!("object"))]);
        properties.put_into(&mut map);
        let values = self.within("value", |writer| writer.shape(values));
        map.insert("additionalProperties".to_owned(), values);
        if let Some(keys) = self.keys(keys) {
            let names = if taken.is_empty() { keys } else { json!({"anyOf": [{"enum": taken}, keys]}) };
            map.insert("propertyNames".to_owned(), names);
        }
        map
    }

    fn variants_among(&mut self, schema: &'static EnumSchema, rest: &Rest) -> Value {
        let mut any = Vec::new();
        for variant in schema.variants {
            if variant.untagged || schema.tag == Tag::Untagged {
                if let Some(name) = self.names_of(variant).first() {
                    let body = variant.body.map(|body| self.within(name, |writer| writer.among(body, rest)));
                    any.push(body.unwrap_or_else(|| json!({})));
                }
                continue;
            }
            for name in self.names_of(variant) {
                let shape = self.within(name, |writer| writer.variant_among(schema, variant, name, rest));
                any.push(super::documented(shape, variant.doc, variant.deprecated));
            }
        }
        any_of(any)
    }

    fn variant_among(
        &mut self,
        schema: &'static EnumSchema,
        variant: &'static VariantSchema,
        name: &'static str,
        rest: &Rest,
    ) -> Value {
        let tag_value = match variant.other && self.side == Side::Read {
            true => json!({"type": "string"}),
            false => json!({"const": name}),
        };
        let shape = match schema.tag {
            Tag::Internal(tag) => self.beside_tag(tag, tag_value, variant.body, rest),
            // An externally tagged variant is a field of its name.
            Tag::External => {
                let body = variant
                    .body
                    .map(|body| self.within("content", |writer| writer.shape(body)))
                    .unwrap_or_else(|| json!({"type": "null"}));
                let (mut whole, mut properties) =
                    (object([("type", json!("object"))]), Properties::default());
                properties.insert(name, body);
                properties.put_into(&mut whole);
                whole.insert("required".to_owned(), json!([name]));
                Value::Object(whole)
            }
            Tag::Adjacent(..) | Tag::Untagged => self.variant(schema, variant, tag_value, false),
        };
        match shape.get("title") {
            Some(_) => shape,
            None => self.titled(shape),
        }
    }

    /// Returns the schema of a variant whose fields are in one object with its tag.
    pub(super) fn beside_tag(
        &mut self,
        tag: &'static str,
        name: Value,
        body: Option<&'static TypeSchema>,
        rest: &Rest,
    ) -> Value {
        let rest = rest.with([tag]);
        let mut whole = object([("type", json!("object"))]);
        match body.map(|body| self.sided(body)) {
            None | Some(TypeSchema::Null) => {}
            Some(TypeSchema::Struct(schema)) => merge(&mut whole, self.fields(schema, &rest)),
            Some(other) => match self.within("content", |writer| writer.among(other, &rest)) {
                Value::Object(shape) if shape.is_empty() => {}
                Value::Object(shape) if shape.contains_key("additionalProperties") => {
                    merge(&mut whole, Value::Object(shape));
                }
                shape => {
                    whole.insert("allOf".to_owned(), json!([shape]));
                }
            },
        }
        let mut properties = Properties::default();
        properties.insert(tag, name);
        for (keyword, schemas) in
            [("properties", properties.plain), ("patternProperties", properties.patterns)]
        {
            if !schemas.is_empty() {
                merge_into(&mut whole, keyword, schemas);
            }
        }
        if let Value::Array(required) = whole.entry("required").or_insert_with(|| json!([])) {
            required.insert(0, json!(tag));
        }
        Value::Object(whole)
    }

    /// Returns the names of the entries that a flattened type takes, so that later fields do not see them. A map, an
    /// internally tagged or untagged enum, and a struct with flattened fields take none.
    fn takes(&self, shape: &'static TypeSchema, depth: usize) -> Vec<&'static str> {
        match self.sided(shape) {
            _ if depth == 0 => Vec::new(),
            TypeSchema::Option(inner) => self.takes(inner, depth - 1),
            TypeSchema::Struct(schema) if !schema.fields.iter().any(|field| field.flatten) => {
                schema.fields.iter().flat_map(|field| field_names(field, self.side)).collect()
            }
            TypeSchema::Enum(schema) if schema.variants.iter().any(|variant| variant.untagged) => Vec::new(),
            TypeSchema::Enum(schema) => match schema.tag {
                Tag::External => schema.variants.iter().flat_map(|variant| self.names_of(variant)).collect(),
                Tag::Adjacent(tag, content) => vec![tag, content],
                Tag::Internal(_) | Tag::Untagged => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn merge_into(whole: &mut Object, keyword: &str, schemas: Object) {
    if let Value::Object(object) = whole.entry(keyword).or_insert_with(|| json!({})) {
        object.extend(schemas);
    }
}

/// Removes the keywords that forbid further properties from a schema and its alternatives.
fn open(shape: &mut Value) {
    if let Value::Object(object) = shape {
        object.retain(|keyword, value| !DENIALS.contains(&keyword.as_str()) || *value != Value::Bool(false));
    }
    for of in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(shapes)) = shape.get_mut(of) {
            shapes.iter_mut().for_each(open);
        }
    }
}
