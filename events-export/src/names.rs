//! Unique names for the types of a document.

use std::collections::HashSet;

use events_core::{NamedSchema, TypeSchema};

/// The declared types that a document refers to, in the order of their first use. Each has a unique name.
#[derive(Default)]
pub(crate) struct Names {
    /// Names that no type may have.
    taken: &'static [&'static str],
    types: Vec<(String, &'static NamedSchema)>,
}

impl Names {
    /// Creates an empty list for a document where the names in `taken` have another meaning.
    pub(crate) fn beside(taken: &'static [&'static str]) -> Self {
        Self { taken, types: Vec::new() }
    }

    /// Returns the name of a type. A second type called `Name` is `Name2`.
    pub(crate) fn of(&mut self, schema: &'static NamedSchema) -> String {
        let known = |(_, other): &&(String, &'static NamedSchema)| {
            other.is(schema) && other.shape.is_same(schema.shape)
        };
        if let Some((name, _)) = self.types.iter().find(known) {
            return name.clone();
        }
        let normalized: String =
            schema.name().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let normalized = match normalized.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            true => normalized,
            false => format!("Type{normalized}"),
        };
        let taken = |name: &String| {
            self.taken.contains(&name.as_str()) || self.types.iter().any(|(other, _)| other == name)
        };
        let numbered = (2..).map(|number| format!("{normalized}{number}"));
        let name = std::iter::once(normalized.clone()).chain(numbered).find(|name| !taken(name));
        let name = name.unwrap_or_default();
        self.types.push((name.clone(), schema));
        name
    }

    /// Returns the type at `index`, in the order of first use.
    pub(crate) fn get(&self, index: usize) -> Option<(String, &'static NamedSchema)> {
        self.types.get(index).cloned()
    }
}

/// Unique titles for the parts of types that are not declared types themselves. No title is the name of a type.
#[derive(Default)]
pub(crate) struct Titles {
    /// The name of the type being written, followed by the names of the part being written.
    path: String,
    /// Whether the type itself is being written, which needs no title.
    is_declared: bool,
    /// Titles in the form in which code generators compare them.
    taken: HashSet<String>,
}

impl Titles {
    /// Creates the titles for a document with these types.
    pub(crate) fn beside(names: &Names) -> Self {
        let taken = names.types.iter().map(|(name, _)| normalized(name)).collect();
        Self { taken, ..Self::default() }
    }

    /// Begins a declared type.
    pub(crate) fn declare(&mut self, name: &str) {
        (self.path, self.is_declared) = (name.to_owned(), true);
    }

    /// Begins a part of the current type. Pass the result to [`leave`](Self::leave) at the end of the part.
    pub(crate) fn enter(&mut self, part: &str) -> (usize, bool) {
        let outer = (self.path.len(), self.is_declared);
        let mut starts_word = true;
        for c in part.chars() {
            match c.is_ascii_alphanumeric() {
                true if starts_word => self.path.push(c.to_ascii_uppercase()),
                true => self.path.push(c),
                false => {}
            }
            starts_word = !c.is_ascii_alphanumeric();
        }
        self.is_declared = false;
        outer
    }

    pub(crate) fn leave(&mut self, (length, is_declared): (usize, bool)) {
        self.path.truncate(length);
        self.is_declared = is_declared;
    }

    /// Returns a title for the current part, or `None` for a declared type. A second part with the title `WayOne` gets
    /// `WayOne2`.
    pub(crate) fn next(&mut self) -> Option<String> {
        if self.is_declared || self.path.is_empty() {
            return None;
        }
        let numbered = (2..).map(|number| format!("{}{number}", self.path));
        let title = std::iter::once(self.path.clone()).chain(numbered);
        title.into_iter().find(|title| self.taken.insert(normalized(title)))
    }
}

/// Returns a name in the form in which code generators compare it: they convert names to the case of their language.
fn normalized(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// Follows names of types to the shape itself.
pub(crate) fn resolved(shape: &'static TypeSchema) -> &'static TypeSchema {
    match shape {
        TypeSchema::Named(named) => resolved(named.get().shape),
        other => other,
    }
}
