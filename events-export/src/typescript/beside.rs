//! Types of entries that share an object with others: flattened fields, and the fields of a variant next to its tag.

use events_core::{EnumSchema, Tag, TypeSchema};

use super::{Writer, quoted, union, written};
use crate::names::resolved;

/// Maximum depth of flattened types, since a type may flatten itself.
const MAX_DEPTH: usize = 8;

impl Writer {
    /// Returns the type of entries that share an object with others; `{}` if there are none.
    pub(super) fn beside(&mut self, shape: &'static TypeSchema, depth: usize, within: usize) -> String {
        if within > MAX_DEPTH {
            return "unknown".into();
        }
        match written(shape) {
            TypeSchema::Null => "{}".into(),
            // An index signature applies to the other entries, too, so their types would have to fit it.
            TypeSchema::Map(..) => "{ [key: string]: unknown }".into(),
            TypeSchema::Option(inner) => format!("{} | {{}}", self.beside(inner, depth, within + 1)),
            TypeSchema::Enum(schema) if is_same_beside(schema, MAX_DEPTH) => self.shape(shape, depth),
            TypeSchema::Enum(schema) => self.variants_beside(schema, depth, within),
            _ => self.shape(shape, depth),
        }
    }

    fn variants_beside(&mut self, schema: &'static EnumSchema, depth: usize, within: usize) -> String {
        let written = schema.variants.iter().filter_map(|variant| Some((variant.written?, variant)));
        let each = written.map(|(name, variant)| {
            let outer = self.integers.enter(name);
            let shape = match (schema.tag, variant.body) {
                (tag, body) if variant.untagged || tag == Tag::Untagged => {
                    body.map_or_else(|| "{}".into(), |body| self.beside(body, depth, within + 1))
                }
                // An externally tagged variant is a field of its name.
                (Tag::External, None) => format!("{{ {}: null }}", quoted(name)),
                _ => self.variant(schema, variant, name, depth),
            };
            self.integers.pass_on(outer);
            shape
        });
        union(each.collect(), depth)
    }
}

/// Returns whether an enum has the same form in an object with other entries as alone.
fn is_same_beside(schema: &'static EnumSchema, depth: usize) -> bool {
    schema.variants.iter().filter(|variant| variant.written.is_some()).all(|variant| {
        let untagged = variant.untagged || schema.tag == Tag::Untagged;
        match (schema.tag, variant.body) {
            (_, Some(body)) if untagged => match resolved(body) {
                _ if depth == 0 => false,
                TypeSchema::Struct(_) => true,
                TypeSchema::Enum(inner) => is_same_beside(inner, depth - 1),
                _ => false,
            },
            (_, None) if untagged => false,
            (Tag::External, None) => false,
            _ => true,
        }
    })
}
