//! The events that a bus knows by name.

use std::collections::HashMap;

use crate::event::EventDecl;

/// The events a bus knows by name.
#[derive(Default)]
pub(crate) struct DeclaredEvents {
    events: HashMap<&'static str, &'static EventDecl>,
    /// Names of events whose type is not linked and of which the program has views only, each with the newest
    /// version that a view is checked against.
    undeclared: HashMap<&'static str, u32>,
}

impl DeclaredEvents {
    /// Adds a declaration. Adding the same declaration again has no effect.
    ///
    /// # Errors
    ///
    /// Returns the existing declaration if another one has this name.
    pub(crate) fn declare(&mut self, decl: &'static EventDecl) -> Result<(), &'static EventDecl> {
        let other = *self.events.entry(decl.name).or_insert(decl);
        if std::ptr::eq(other, decl) { Ok(()) } else { Err(other) }
    }

    /// Adds an event that is known only from a view.
    pub(crate) fn add_undeclared(&mut self, name: &'static str, version: u32) {
        let newest = self.undeclared.entry(name).or_insert(version);
        *newest = version.max(*newest);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'static EventDecl> {
        self.events.get(name).copied()
    }

    pub(crate) fn is_undeclared(&self, name: &str) -> bool {
        self.undeclared.contains_key(name)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.events.contains_key(name) || self.is_undeclared(name)
    }

    /// Version assumed for JSON that is emitted without one: the declared version, else the version of the
    /// views, else 1.
    pub(crate) fn version(&self, name: &str) -> u32 {
        let declared = self.get(name).map(|decl| decl.version);
        declared.or_else(|| self.undeclared.get(name).copied()).unwrap_or(1)
    }

    pub(crate) fn decls(&self) -> impl Iterator<Item = &'static EventDecl> {
        self.events.values().copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.events.keys().chain(self.undeclared.keys()).copied()
    }
}
