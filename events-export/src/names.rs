//! Names for the declared types of a document, one for each.

use std::collections::HashSet;

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

/// Titles for the parts of types that have no name of their own, none of them twice, and none the name of a type.
#[derive(Default)]
pub(crate) struct Titles {
    /// What is being written: the type, then its parts, in one word.
    at: String,
    /// Whether that is a declared type as a whole, which has its name.
    is_declared: bool,
    /// As generators compare them.
    taken: HashSet<String>,
}

impl Titles {
    /// In a document with these types.
    pub(crate) fn beside(names: &Names) -> Self {
        let taken = names.types.iter().map(|(name, _)| plain(name)).collect();
        Self { taken, ..Self::default() }
    }

    /// A declared type is written next.
    pub(crate) fn declare(&mut self, name: &str) {
        (self.at, self.is_declared) = (name.to_owned(), true);
    }

    /// A part is written next; returns what [`leave`](Self::leave) takes after it.
    pub(crate) fn enter(&mut self, part: &str) -> (usize, bool) {
        let outer = (self.at.len(), self.is_declared);
        let mut begins = true;
        for c in part.chars() {
            match c.is_ascii_alphanumeric() {
                true if begins => self.at.push(c.to_ascii_uppercase()),
                true => self.at.push(c),
                false => {}
            }
            begins = !c.is_ascii_alphanumeric();
        }
        self.is_declared = false;
        outer
    }

    pub(crate) fn leave(&mut self, (length, is_declared): (usize, bool)) {
        self.at.truncate(length);
        self.is_declared = is_declared;
    }

    /// The title of what is being written; a second one of it is `WayOne2`.
    pub(crate) fn next(&mut self) -> Option<String> {
        if self.is_declared || self.at.is_empty() {
            return None;
        }
        let numbered = (2..).map(|number| format!("{}{number}", self.at));
        let title = std::iter::once(self.at.clone()).chain(numbered);
        title.into_iter().find(|title| self.taken.insert(plain(title)))
    }
}

/// A name as generators compare it: they write it in the case of their language.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// The shape behind names.
pub(crate) fn resolved(shape: &'static TypeSchema) -> &'static TypeSchema {
    match shape {
        TypeSchema::Named(named) => resolved(named.get().shape),
        other => other,
    }
}
