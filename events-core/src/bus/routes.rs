//! Which handlers an event reaches: resolved when a subscription changes, read by every emit.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};

use tokio::sync::Notify;

use super::flight::{Flight, Open};
use crate::event::EventDecl;
use crate::handler::{Callback, Run, Wants};
use crate::pattern::Pattern;
use crate::record::Record;

/// The most undeclared names whose handlers are remembered.
const MAX_CACHED_NAMES: usize = 1024;

/// One handler of one bus.
pub(crate) struct Registration {
    id: u64,
    name: Box<str>,
    patterns: Vec<Arc<str>>,
    pub(crate) callback: Callback,
    /// Set by the one emit that may call a `once` handler.
    once: Option<AtomicBool>,
    active: AtomicBool,
    /// Wakes the worker of a replay when the handler is removed.
    pub(crate) ended: Notify,
}

impl Registration {
    /// The module path of the function, or where the closure was registered.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the handler is still registered.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Whether the handler was registered until now.
    fn end(&self) -> bool {
        let was_active = self.active.swap(false, Ordering::AcqRel);
        self.ended.notify_one();
        was_active
    }

    pub(crate) fn is_once(&self) -> bool {
        self.once.is_some()
    }

    /// Whether an emit may call the handler; of all emits that ask, a `once` handler lets in one.
    pub(crate) fn admit(&self) -> bool {
        self.is_active() && self.once.as_ref().is_none_or(|used| !used.swap(true, Ordering::AcqRel))
    }
}

/// The handlers of one event name, in the order of their registration.
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
    /// Whether any of them needs a record.
    pub(crate) wants_record: bool,
    /// Whether any of them may wait.
    pub(crate) waits: bool,
    /// Whether one of them is a `once` handler.
    once: bool,
    /// Set when another list took its place: its handlers may have been removed since.
    replaced: AtomicBool,
    /// Keeps the bus from being drained; a list made while it stops has none.
    open: Option<Open>,
}

#[derive(Clone)]
pub(crate) struct Entry {
    /// The registration's, at hand.
    pub(crate) run: Arc<Run>,
    pub(crate) registration: Arc<Registration>,
    /// The pattern that led to this name.
    pub(crate) pattern: Arc<str>,
}

impl Entry {
    pub(crate) fn new(registration: &Arc<Registration>, pattern: &Arc<str>) -> Self {
        let run = Arc::clone(&registration.callback.run);
        Self { run, registration: Arc::clone(registration), pattern: Arc::clone(pattern) }
    }

    /// The name of the handler.
    pub(crate) fn name(&self) -> &str {
        self.registration.name()
    }
}

impl List {
    fn new(entries: Vec<Entry>, open: Option<Open>) -> Self {
        let wants_record = entries.iter().any(|entry| entry.registration.callback.wants > Wants::Event);
        let waits = entries.iter().any(|entry| entry.registration.callback.waits);
        let once = entries.iter().any(|entry| entry.registration.is_once());
        Self { entries, wants_record, waits, once, replaced: AtomicBool::new(false), open }
    }

    /// Whether nobody needs a record, and holding this list is enough to be in flight.
    pub(crate) fn is_bare(&self) -> bool {
        !self.wants_record && self.open.is_some()
    }

    /// Whether each handler must be asked if it may still be called.
    pub(crate) fn must_ask(&self) -> bool {
        self.once || self.replaced.load(Ordering::Acquire)
    }
}

/// All handlers of a bus, by event.
pub(crate) struct Routes {
    /// The name and handlers of each event in the registry, by its index.
    declared: Box<[(&'static str, ArcSwap<List>)]>,
    by_name: HashMap<&'static str, usize>,
    table: Mutex<Table>,
    flight: Arc<Flight>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct Table {
    by_pattern: HashMap<Arc<str>, Vec<Arc<Registration>>>,
    /// The patterns with wildcards among them.
    wildcards: Vec<Arc<str>>,
    /// Handlers of names outside the registry, until the table changes.
    cache: HashMap<Box<str>, Arc<List>>,
    /// Whether the bus is stopping.
    closed: bool,
}

impl Routes {
    /// Routes for the registry's events, in its order.
    pub(crate) fn new(events: &[&'static EventDecl], flight: &Arc<Flight>) -> Self {
        let empty = Arc::new(List::new(Vec::new(), Some(Open::new(flight))));
        let list = || ArcSwap::new(Arc::clone(&empty));
        Self {
            declared: events.iter().map(|decl| (decl.name, list())).collect(),
            by_name: events.iter().enumerate().map(|(index, decl)| (decl.name, index)).collect(),
            table: Mutex::default(),
            flight: Arc::clone(flight),
            next_id: AtomicU64::new(0),
        }
    }

    /// The handlers of an event type.
    pub(crate) fn of_event(&self, decl: &'static EventDecl) -> Handlers {
        match decl.index().and_then(|index| self.declared.get(index)) {
            Some((_, list)) => Handlers::Declared(list.load()),
            None => self.of_name(decl.name),
        }
    }

    /// The handlers of a record's event.
    pub(crate) fn of_record(&self, record: &Record) -> Handlers {
        match record.decl() {
            Some(decl) => self.of_event(decl),
            None => self.of_name(record.name()),
        }
    }

    /// The handlers of an event name.
    pub(crate) fn of_name(&self, name: &str) -> Handlers {
        if let Some(index) = self.by_name.get(name) {
            return Handlers::Declared(self.declared[*index].1.load());
        }
        let mut table = self.table();
        if let Some(list) = table.cache.get(name) {
            return Handlers::Foreign(Arc::clone(list));
        }
        let list = Arc::new(table.resolve(name));
        if table.cache.len() >= MAX_CACHED_NAMES {
            table.cache.clear();
        }
        table.cache.insert(name.into(), Arc::clone(&list));
        Handlers::Foreign(list)
    }

    /// Registers a handler; the patterns are valid and distinct.
    pub(crate) fn insert(
        &self,
        name: Box<str>,
        patterns: Vec<Arc<str>>,
        callback: Callback,
        once: bool,
    ) -> Arc<Registration> {
        let mut table = self.table();
        let registration = Arc::new(Registration {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            name,
            patterns,
            callback,
            once: once.then(AtomicBool::default),
            active: AtomicBool::new(true),
            ended: Notify::new(),
        });
        table.cache.clear();
        for pattern in &registration.patterns {
            let handlers = table.by_pattern.entry(Arc::clone(pattern)).or_default();
            handlers.push(Arc::clone(&registration));
            if handlers.len() == 1 && !is_name(pattern) {
                table.wildcards.push(Arc::clone(pattern));
            }
        }
        for pattern in &registration.patterns {
            for (name, list) in self.matching(pattern) {
                let old = list.load();
                if !registration.callback.takes.takes(name)
                    || old.entries.iter().any(|entry| Arc::ptr_eq(&entry.registration, &registration))
                {
                    continue;
                }
                let entry = Entry::new(&registration, pattern);
                let entries = old.entries.iter().cloned().chain([entry]).collect();
                self.replace(&table, list, entries);
            }
        }
        registration
    }

    /// Removes a handler from all its patterns; whether it was there.
    pub(crate) fn remove(&self, registration: &Arc<Registration>) -> bool {
        let mut table = self.table();
        let was_active = registration.end();
        for pattern in &registration.patterns {
            self.detach(&mut table, registration, pattern);
        }
        was_active
    }

    /// Removes all handlers from one pattern; they stay under their other patterns.
    pub(crate) fn remove_pattern(&self, pattern: &str) -> usize {
        let mut table = self.table();
        let handlers = table.by_pattern.get(pattern).cloned().unwrap_or_default();
        for registration in &handlers {
            self.detach(&mut table, registration, pattern);
            let left = registration.patterns.iter().any(|other| table.has(other, registration));
            if !left {
                registration.end();
            }
        }
        // What a closure holds is dropped outside of the lock: it may be code of a user.
        drop(table);
        handlers.len()
    }

    fn detach(&self, table: &mut Table, registration: &Arc<Registration>, pattern: &str) {
        table.cache.clear();
        if let Some(handlers) = table.by_pattern.get_mut(pattern) {
            handlers.retain(|other| !Arc::ptr_eq(other, registration));
            if handlers.is_empty() {
                table.by_pattern.remove(pattern);
                table.wildcards.retain(|other| **other != *pattern);
            }
        }
        for (name, list) in self.matching(pattern) {
            // Another pattern of the same handler may lead to this name, too.
            let other = registration
                .patterns
                .iter()
                .find(|other| takes(other, name) && table.has(other, registration));
            let old = list.load();
            let entries = old.entries.iter().filter_map(|entry| {
                if !Arc::ptr_eq(&entry.registration, registration) {
                    return Some(entry.clone());
                }
                Some(Entry { pattern: Arc::clone(other?), ..entry.clone() })
            });
            self.replace(table, list, entries.collect());
        }
    }

    /// Puts a list in the place of another.
    fn replace(&self, table: &Table, list: &ArcSwap<List>, entries: Vec<Entry>) {
        let open = (!table.closed).then(|| Open::new(&self.flight));
        list.swap(Arc::new(List::new(entries, open))).replaced.store(true, Ordering::Release);
    }

    /// Takes the lists away from emits that only hold them. From now on all emits count themselves.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        for (_, list) in &self.declared {
            let entries = list.load().entries.clone();
            self.replace(&table, list, entries);
        }
    }

    /// The declared events a pattern takes.
    fn matching(&self, pattern: &str) -> impl Iterator<Item = &(&'static str, ArcSwap<List>)> {
        let (one, all) = match is_name(pattern) {
            true => (self.by_name.get(pattern).map(|index| &self.declared[*index]), None),
            false => (None, Pattern::new(pattern).ok()),
        };
        let many = all
            .into_iter()
            .flat_map(|pattern| self.declared.iter().filter(move |(name, _)| pattern.matches(name)));
        one.into_iter().chain(many)
    }

    /// All handlers with the patterns they are still under, in the order of their registration.
    pub(crate) fn all(&self) -> Vec<(Arc<Registration>, Vec<Arc<str>>)> {
        let table = self.table();
        let mut all = BTreeMap::new();
        for registration in table.by_pattern.values().flatten() {
            let left = registration.patterns.iter().filter(|pattern| table.has(pattern, registration));
            all.entry(registration.id).or_insert_with(|| (Arc::clone(registration), left.cloned().collect()));
        }
        all.into_values().collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code of a user runs under the lock; the table stays whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has(&self, pattern: &str, registration: &Arc<Registration>) -> bool {
        let handlers = self.by_pattern.get(pattern);
        handlers.is_some_and(|handlers| handlers.iter().any(|other| Arc::ptr_eq(other, registration)))
    }

    /// The handlers of a name that is not in the registry.
    fn resolve(&self, name: &str) -> List {
        let exact = self.by_pattern.get_key_value(name);
        let wild = self.wildcards.iter().filter(|pattern| takes(pattern, name));
        let wild = wild.filter_map(|pattern| self.by_pattern.get_key_value(pattern));
        let mut entries: Vec<_> = exact
            .into_iter()
            .chain(wild)
            .flat_map(|(pattern, handlers)| {
                let entry = |registration: &Arc<Registration>| Entry::new(registration, pattern);
                handlers.iter().filter(|handler| handler.callback.takes.takes(name)).map(entry)
            })
            .collect();
        entries.sort_by_key(|entry| entry.registration.id);
        entries.dedup_by_key(|entry| entry.registration.id);
        List::new(entries, None)
    }
}

fn is_name(pattern: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.is_name())
}

fn takes(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}

/// A snapshot of the handlers of one event.
pub(crate) enum Handlers {
    Declared(Guard<Arc<List>>),
    Foreign(Arc<List>),
}

impl std::ops::Deref for Handlers {
    type Target = List;

    fn deref(&self) -> &List {
        match self {
            Self::Declared(list) => list,
            Self::Foreign(list) => list,
        }
    }
}
