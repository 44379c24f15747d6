//! Names for the declared types of a document, one for each.

use events_core::{NamedSchema, TypeSchema};

/// The types that were met, in that order, each under a name of its own.
#[derive(Default)]
pub(crate) struct Names {
    /// Names that are not free.
    taken: &'static [&'static str],
    types: Vec<(String, &'static NamedSchema)>,
}

impl Names {
    /// In a document where these names mean something else.
    pub(crate) fn beside(taken: &'static [&'static str]) -> Self {
        Self { taken, types: Vec::new() }
    }

    /// The name of a type; the second of a name is `Name2`.
    pub(crate) fn of(&mut self, schema: &'static NamedSchema) -> String {
        let known = |(_, other): &&(String, &'static NamedSchema)| {
            other.is(schema) && other.shape.is_same(schema.shape)
        };
        if let Some((name, _)) = self.types.iter().find(known) {
            return name.clone();
        }
        let plain: String =
            schema.name().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let plain = match plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            true => plain,
            false => format!("Type{plain}"),
        };
        let taken = |name: &String| {
            self.taken.contains(&name.as_str()) || self.types.iter().any(|(other, _)| other == name)
        };
        let numbered = (2..).map(|number| format!("{plain}{number}"));
        let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name));
        let name = name.unwrap_or_default();
        self.types.push((name.clone(), schema));
        name
    }

    /// The type that was met `index`th.
    pub(crate) fn get(&self, index: usize) -> Option<(String, &'static NamedSchema)> {
        self.types.get(index).cloned()
    }
}

/// The shape behind names.
pub(crate) fn resolved(shape: &'static TypeSchema) -> &'static TypeSchema {
    match shape {
        TypeSchema::Named(named) => resolved(named.get().shape),
        other => other,
    }
}
