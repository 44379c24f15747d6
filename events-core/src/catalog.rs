//! The events and handlers that the program declares, and which events reach which handlers.

use crate::bus::handlers::{Handler, HandlerDecl, LinkedHandler};
use crate::event::accepted::AcceptedEvents;
use crate::event::pattern::Pattern;
use crate::event::{Event, EventDecl, SourceLocation, registry, sort_by_location};
use crate::schema::{NamedSchema, TypeSchema};

/// Returns all events and handlers that are linked into the program. Events are sorted by name, handlers by location.
///
/// ```
/// use typed_events::{catalog, event, on};
///
/// /// A user signed up.
/// #[event("catalog_doc.joined")]
/// pub struct Joined { pub id: u64 }
///
/// #[event("catalog_doc.left")]
/// pub struct Left { pub id: u64 }
///
/// #[on]
/// fn greet(_: &Joined) {}
///
/// # fn main() {
/// let catalog = catalog();
/// assert_eq!(catalog.event("catalog_doc.joined").unwrap().doc(), "A user signed up.");
/// let unhandled: Vec<_> = catalog.unhandled().map(|event| event.name()).collect();
/// assert!(unhandled.contains(&"catalog_doc.left"));
/// # }
/// ```
pub fn catalog() -> Catalog {
    let events = registry().events.iter().copied();
    let handlers = inventory::iter::<LinkedHandler>.into_iter().map(|LinkedHandler(decl)| decl());
    Catalog::of(events.collect(), handlers.collect())
}

/// The events and handlers of a program.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    events: Vec<EventEntry>,
    handlers: Vec<HandlerEntry>,
}

/// One declared event.
#[derive(Clone, Copy)]
pub struct EventEntry {
    decl: &'static EventDecl,
}

/// One function marked `#[on]`.
#[derive(Clone)]
pub struct HandlerEntry {
    decl: &'static HandlerDecl,
    events: Vec<&'static str>,
}

impl Catalog {
    fn of(mut events: Vec<&'static EventDecl>, mut handlers: Vec<&'static HandlerDecl>) -> Self {
        let of_handlers = handlers.iter().flat_map(|handler| handler.accepts.events()).map(|decl| decl());
        events.extend(of_handlers);
        sort_by_location(&mut events, |decl| (decl.name, decl.location));
        events.dedup_by(|one, other| std::ptr::eq(*one, *other));
        sort_by_location(&mut handlers, |decl| ("", decl.location));
        handlers.dedup_by(|one, other| std::ptr::eq(*one, *other));
        let reached = |handler: &HandlerDecl| {
            let patterns: Vec<_> =
                handler.patterns.iter().filter_map(|text| Pattern::new(text).ok()).collect();
            let taken = |name: &&str| {
                handler.accepts.contains(name) && patterns.iter().any(|pattern| pattern.matches(name))
            };
            let mut names: Vec<_> = events.iter().map(|decl| decl.name).filter(taken).collect();
            names.dedup();
            names
        };
        let handlers = handlers.iter().map(|decl| HandlerEntry { decl, events: reached(decl) }).collect();
        Self { events: events.into_iter().map(|decl| EventEntry { decl }).collect(), handlers }
    }

    /// Adds an event that is not registered by linking.
    pub fn with_event<E: Event>(self) -> Self {
        let decls = self.events.iter().map(|event| event.decl).chain([E::decl()]);
        Self::of(decls.collect(), self.handlers.iter().map(|handler| handler.decl).collect())
    }

    /// Adds a handler that is not registered by linking.
    pub fn with_handler<H: Handler>(self) -> Self {
        let decls = self.handlers.iter().map(|handler| handler.decl).chain([H::decl()]);
        Self::of(self.events.iter().map(|event| event.decl).collect(), decls.collect())
    }

    /// Keeps the events and handlers for which `keep` returns `true`. `keep` gets the module path of the item, such as
    /// `shop::orders::OrderPaid`.
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.events.retain(|event| keep(event.item()));
        self.handlers.retain(|handler| keep(handler.item()));
        self
    }

    /// Returns the declared events, sorted by name.
    pub fn events(&self) -> &[EventEntry] {
        &self.events
    }

    /// Returns the event with this name, or `None` if it is not declared.
    pub fn event(&self, name: &str) -> Option<&EventEntry> {
        self.events.iter().find(|event| event.name() == name)
    }

    /// Returns the handlers, sorted by location.
    pub fn handlers(&self) -> &[HandlerEntry] {
        &self.handlers
    }

    /// Returns the events that no handler takes, not even a handler of records.
    pub fn unhandled(&self) -> impl Iterator<Item = &EventEntry> {
        self.events
            .iter()
            .filter(|event| !self.handlers.iter().any(|handler| handler.events.contains(&event.name())))
    }

    /// Returns the handlers that no declared event reaches.
    pub fn unreached(&self) -> impl Iterator<Item = &HandlerEntry> {
        self.handlers.iter().filter(|handler| handler.events.is_empty())
    }
}

impl EventEntry {
    /// Returns the name of the event.
    pub fn name(&self) -> &'static str {
        self.decl.name
    }

    /// Returns the version of the event's schema.
    pub fn version(&self) -> u32 {
        self.decl.version
    }

    /// Returns the schema of the event's payload.
    pub fn schema(&self) -> &'static TypeSchema {
        self.decl.schema
    }

    /// Returns the doc comment of the event's type; empty if it has none.
    pub fn doc(&self) -> &'static str {
        self.named().map_or("", |named| named.doc)
    }

    /// Returns whether the event's type is marked `#[deprecated]`.
    pub fn is_deprecated(&self) -> bool {
        self.named().is_some_and(|named| named.deprecated)
    }

    /// Returns the module path and the name of the event's type.
    pub fn item(&self) -> &'static str {
        self.decl.location.item
    }

    /// Returns the file and the line of the event's type.
    pub fn location(&self) -> (&'static str, u32) {
        location(&self.decl.location)
    }

    fn named(&self) -> Option<&'static NamedSchema> {
        match self.decl.schema {
            TypeSchema::Named(named) => Some(named.get()),
            _ => None,
        }
    }
}

impl HandlerEntry {
    /// Returns the module path and the name of the function.
    pub fn item(&self) -> &'static str {
        self.decl.location.item
    }

    /// Returns the file and the line of the function.
    pub fn location(&self) -> (&'static str, u32) {
        location(&self.decl.location)
    }

    /// Returns the patterns of `#[on]` as written, or the name of the handler's event if `#[on]` has no pattern.
    pub fn patterns(&self) -> &'static [&'static str] {
        self.decl.patterns
    }

    /// Returns the names of the declared events that reach this handler.
    pub fn events(&self) -> &[&'static str] {
        &self.events
    }

    /// Returns whether the handler takes records of any event, and so names no event type.
    pub fn takes_records(&self) -> bool {
        matches!(self.decl.accepts, AcceptedEvents::Any)
    }
}

fn location(location: &SourceLocation) -> (&'static str, u32) {
    (location.file, location.line)
}

impl std::fmt::Debug for EventEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.name(), self.decl.location)
    }
}

impl std::fmt::Debug for HandlerEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {:?}", self.decl.location, self.patterns())
    }
}
