//! What the program declares: its events, its handlers, and which of them meet.

use crate::bus::handlers::{Handler, HandlerDecl, LinkedHandler};
use crate::event::pattern::Pattern;
use crate::event::takes::Takes;
use crate::event::{Event, EventDecl, SourceLocation, registry, sort_by_location};
use crate::schema::{NamedSchema, TypeSchema};

/// All events and handlers that are linked into the program, each sorted by name.
///
/// ```
/// use typed_events::{catalog, event, on};
///
/// /// Somebody signed up.
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
/// assert_eq!(catalog.event("catalog_doc.joined").unwrap().doc(), "Somebody signed up.");
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
        let of_handlers = handlers.iter().flat_map(|handler| handler.takes.events()).map(|decl| decl());
        events.extend(of_handlers);
        sort_by_location(&mut events, |decl| (decl.name, decl.location));
        events.dedup_by(|one, other| std::ptr::eq(*one, *other));
        sort_by_location(&mut handlers, |decl| ("", decl.location));
        handlers.dedup_by(|one, other| std::ptr::eq(*one, *other));
        let reached = |handler: &HandlerDecl| {
            let patterns: Vec<_> =
                handler.patterns.iter().filter_map(|text| Pattern::new(text).ok()).collect();
            let taken = |name: &&str| {
                handler.takes.takes(name) && patterns.iter().any(|pattern| pattern.matches(name))
            };
            let mut names: Vec<_> = events.iter().map(|decl| decl.name).filter(taken).collect();
            names.dedup();
            names
        };
        let handlers = handlers.iter().map(|decl| HandlerEntry { decl, events: reached(decl) }).collect();
        Self { events: events.into_iter().map(|decl| EventEntry { decl }).collect(), handlers }
    }

    /// A catalog with an event that linking did not register.
    pub fn with_event<E: Event>(self) -> Self {
        let decls = self.events.iter().map(|event| event.decl).chain([E::decl()]);
        Self::of(decls.collect(), self.handlers.iter().map(|handler| handler.decl).collect())
    }

    /// A catalog with a handler that linking did not register.
    pub fn with_handler<H: Handler>(self) -> Self {
        let decls = self.handlers.iter().map(|handler| handler.decl).chain([H::decl()]);
        Self::of(self.events.iter().map(|event| event.decl).collect(), decls.collect())
    }

    /// Only what `keep` takes by its module path, such as what is of one crate.
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.events.retain(|event| keep(event.item()));
        self.handlers.retain(|handler| keep(handler.item()));
        self
    }

    /// The declared events.
    pub fn events(&self) -> &[EventEntry] {
        &self.events
    }

    /// The event of a name.
    pub fn event(&self, name: &str) -> Option<&EventEntry> {
        self.events.iter().find(|event| event.name() == name)
    }

    /// The handlers.
    pub fn handlers(&self) -> &[HandlerEntry] {
        &self.handlers
    }

    /// The events for which there is no handler, not even for records.
    pub fn unhandled(&self) -> impl Iterator<Item = &EventEntry> {
        self.events
            .iter()
            .filter(|event| !self.handlers.iter().any(|handler| handler.events.contains(&event.name())))
    }

    /// The handlers that no declared event reaches.
    pub fn unreached(&self) -> impl Iterator<Item = &HandlerEntry> {
        self.handlers.iter().filter(|handler| handler.events.is_empty())
    }
}

impl EventEntry {
    /// The name it is emitted under.
    pub fn name(&self) -> &'static str {
        self.decl.name
    }

    /// The version of its shape.
    pub fn version(&self) -> u32 {
        self.decl.version
    }

    /// The shape of its payload.
    pub fn schema(&self) -> &'static TypeSchema {
        self.decl.schema
    }

    /// What its doc comment says; empty where there is none.
    pub fn doc(&self) -> &'static str {
        self.named().map_or("", |named| named.doc)
    }

    /// Whether it is marked `#[deprecated]`.
    pub fn is_deprecated(&self) -> bool {
        self.named().is_some_and(|named| named.deprecated)
    }

    /// The type with its module path.
    pub fn item(&self) -> &'static str {
        self.decl.location.item
    }

    /// Where the type stands: the file and the line.
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
    /// The function with its module path.
    pub fn item(&self) -> &'static str {
        self.decl.location.item
    }

    /// Where the function stands: the file and the line.
    pub fn location(&self) -> (&'static str, u32) {
        location(&self.decl.location)
    }

    /// Its patterns, as written; its event's name where nothing was.
    pub fn patterns(&self) -> &'static [&'static str] {
        self.decl.patterns
    }

    /// The names of the declared events that reach it.
    pub fn events(&self) -> &[&'static str] {
        &self.events
    }

    /// Whether it takes records of any event, and so has no type for them.
    pub fn takes_records(&self) -> bool {
        matches!(self.decl.takes, Takes::Any)
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
