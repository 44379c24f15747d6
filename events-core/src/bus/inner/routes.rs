//! Which handlers an event reaches: resolved by the first emit after a subscription changed, read by every emit.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;

use crate::bus::inner::call::{Callback, Run, Wants};
use crate::bus::inner::calling::{Lists, tell_replaced};
use crate::bus::inner::in_flight::{Lifecycle, Open};
use crate::bus::inner::name_cache::NameCache;
use crate::bus::inner::pattern_map::{PatternMap, is_name};
use crate::bus::inner::rendezvous::Rendezvous;
use crate::event::EventDecl;
use crate::event::pattern::Pattern;
use crate::record::Record;

/// One handler of one bus. A bus may have a million: so what few have is behind a pointer.
pub(crate) struct Registration {
    id: u64,
    name: Arc<str>,
    patterns: Patterns,
    pub(crate) callback: Callback,
    lifetime: Lifetime,
    active: AtomicBool,
}

/// Valid and distinct, and at least one.
pub(crate) enum Patterns {
    One(Arc<str>),
    Many(Box<[Arc<str>]>),
}

impl Patterns {
    fn get(&self) -> &[Arc<str>] {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Many(patterns) => patterns,
        }
    }
}

/// How long a handler stays.
pub(crate) enum Lifetime {
    /// Until it is removed.
    Long,
    /// For one event: set by the one emit that may call it.
    Once(AtomicBool),
    /// Until it is removed, which the worker of a replay and the emits that wait for it are told.
    Replay(Arc<Rendezvous>),
}

impl Lifetime {
    pub(crate) fn once() -> Self {
        Self::Once(AtomicBool::new(false))
    }
}

/// A handler under one of its patterns.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) registration: Arc<Registration>,
    /// The pattern's place among those of the handler.
    pattern: u32,
}

impl Route {
    /// The handler under its first pattern.
    pub(crate) fn first(registration: &Arc<Registration>) -> Self {
        Self { registration: Arc::clone(registration), pattern: 0 }
    }

    /// The handler under one of its patterns.
    pub(crate) fn of(registration: &Arc<Registration>, pattern: usize) -> Self {
        Self { registration: Arc::clone(registration), pattern: pattern as u32 }
    }

    /// The name of the handler.
    pub(crate) fn name(&self) -> &str {
        self.registration.name()
    }

    pub(crate) fn pattern(&self) -> &Arc<str> {
        &self.registration.patterns.get()[self.pattern as usize]
    }

    fn takes(&self, name: &str) -> bool {
        Pattern::of_valid(self.pattern()).matches(name)
    }

    pub(crate) fn is_of(&self, registration: &Arc<Registration>) -> bool {
        Arc::ptr_eq(&self.registration, registration)
    }
}

impl Registration {
    /// A handler that no emit calls.
    pub(crate) fn alone(name: Arc<str>, patterns: Vec<Arc<str>>, callback: Callback) -> Arc<Self> {
        let patterns = Patterns::Many(patterns.into());
        let active = AtomicBool::new(true);
        Arc::new(Self { id: 0, name, patterns, callback, lifetime: Lifetime::Long, active })
    }

    /// A handler of a bus that has stopped.
    pub(crate) fn ended(name: Arc<str>, patterns: Patterns, callback: Callback) -> Arc<Self> {
        let active = AtomicBool::new(false);
        Arc::new(Self { id: 0, name, patterns, callback, lifetime: Lifetime::Long, active })
    }

    /// The module path of the function, or where the closure was registered.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The handler under each of its patterns, removed ones included.
    pub(crate) fn routes(self: &Arc<Self>) -> impl Iterator<Item = Route> {
        let count = self.patterns.get().len() as u32;
        (0..count).map(|pattern| Route { registration: Arc::clone(self), pattern })
    }

    /// Whether the handler is still registered.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Whether the handler was registered until now.
    fn end(&self) -> bool {
        self.active.swap(false, Ordering::AcqRel)
    }

    /// Tells who waits for the handler that it was removed. Without the lock of the table: it wakes tasks.
    fn tell_removed(self: &Arc<Self>) {
        if let Some(rendezvous) = self.rendezvous() {
            rendezvous.end(&Route::first(self));
        }
    }

    /// Where emits wait for the worker of a replay, if this is its handler.
    pub(crate) fn rendezvous(&self) -> Option<&Rendezvous> {
        match &self.lifetime {
            Lifetime::Replay(rendezvous) => Some(rendezvous),
            Lifetime::Long | Lifetime::Once(_) => None,
        }
    }

    pub(crate) fn is_once(&self) -> bool {
        matches!(self.lifetime, Lifetime::Once(_))
    }

    /// Whether an emit may call the handler; of all emits that ask, a `once` handler lets in one.
    pub(crate) fn admit(&self) -> bool {
        self.is_active()
            && match &self.lifetime {
                Lifetime::Once(used) => !used.swap(true, Ordering::AcqRel),
                Lifetime::Long | Lifetime::Replay(_) => true,
            }
    }
}

/// The handlers of one event name, in the order of their registration.
pub(crate) struct List {
    pub(crate) entries: Box<[Entry]>,
    /// Whether this stands for a list that is not made yet: see [`Routes::outdated`].
    is_outdated: bool,
    /// Whether any of them needs a record.
    pub(crate) wants_record: bool,
    /// Whether any of them shares the event.
    pub(crate) shares: bool,
    /// Whether any of them may wait.
    pub(crate) waits: bool,
    /// Whether each handler must be asked if it may still be called: one of them is a `once` handler, or
    /// another list took the place of this one.
    must_ask: AtomicBool,
    /// Set when another list took its place: its handlers may have been removed since.
    replaced: AtomicBool,
    /// Keeps the bus from being drained; a list made while it stops has none.
    open: Option<Open>,
}

/// A handler as it is called.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The registration's, at hand.
    pub(crate) run: Arc<Run>,
    /// The pattern that led to this name.
    pub(crate) route: Route,
}

impl Entry {
    pub(crate) fn new(route: Route) -> Self {
        Self { run: Arc::clone(&route.registration.callback.run), route }
    }
}

impl List {
    pub(crate) fn new(entries: Vec<Entry>, open: Option<Open>) -> Self {
        let any = |is: fn(&Registration) -> bool| entries.iter().any(|entry| is(&entry.route.registration));
        Self {
            wants_record: any(|handler| handler.callback.wants > Wants::Event),
            shares: any(|handler| handler.callback.shares),
            waits: any(|handler| handler.callback.waits),
            must_ask: any(Registration::is_once).into(),
            replaced: AtomicBool::new(false),
            open,
            is_outdated: false,
            entries: entries.into(),
        }
    }

    /// Stands for any list that has to be made before it is read.
    fn outdated() -> Self {
        Self { is_outdated: true, ..Self::new(Vec::new(), None) }
    }

    /// What stands behind one of the list's entries.
    pub(crate) fn behind(&self, route: &Route) -> &[Entry] {
        // By its address: to look for it would make n panics cost n².
        let first = std::ptr::from_ref(&self.entries[..]).addr();
        let index = std::ptr::from_ref(route).addr().saturating_sub(first) / size_of::<Entry>();
        match self.entries.get(index) {
            Some(entry) if std::ptr::eq(&entry.route, route) => &self.entries[index + 1..],
            _ => &[],
        }
    }

    /// Of a name outside of the registry. Nobody tells such a list that it was replaced: so each handler is
    /// always asked.
    fn undeclared(entries: Vec<Entry>) -> Self {
        let mut list = Self::new(entries, None);
        *list.must_ask.get_mut() = true;
        list
    }

    /// Whether holding this list is enough to be in flight.
    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether each handler must be asked if it may still be called: to be looked at again when there is
    /// [news](crate::bus::inner::calling::Calling::is_news).
    #[inline]
    pub(crate) fn must_ask(&self) -> bool {
        self.must_ask.load(Ordering::Acquire)
    }

    /// Whether another list took the place of this one.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    fn retire(&self) {
        self.must_ask.store(true, Ordering::Release);
        self.replaced.store(true, Ordering::Release);
        tell_replaced();
    }
}

/// What a closure is called, by the place where it was given.
pub(crate) fn name_of_closure(location: &Location<'_>) -> String {
    format!("closure at {}:{}", location.file(), location.line())
}

/// All handlers of a bus, by event.
///
/// A registration or removal changes the table, and takes away the lists it makes wrong. The next emit of
/// such an event makes its list anew: so n changes between two emits copy n handlers, not n².
pub(crate) struct Routes {
    /// The name and handlers of each event in the registry, by its slot.
    declared: Box<[(&'static str, ArcSwap<List>)]>,
    by_name: HashMap<&'static str, usize, RandomState>,
    /// Stands in a slot whose list was taken away. No emit takes it for a list of handlers: it is not open.
    outdated: Arc<List>,
    table: Mutex<Table>,
    flight: Arc<Lifecycle>,
    lists: Arc<Lists>,
}

#[derive(Default)]
struct Table {
    /// The names of closures: one for all that are registered at one place.
    closures: HashMap<&'static Location<'static>, Arc<str>, RandomState>,
    by_pattern: PatternMap<Registered>,
    /// Handlers of names outside the registry, until the table changes. So a list in here has no handler that is
    /// not in the table, too, and drops none when it is dropped.
    cache: NameCache<Arc<List>>,
    last_id: u64,
    /// Whether the bus is stopping.
    closed: bool,
}

/// The handlers under one pattern.
enum Registered {
    One(Route),
    /// By the id of the registration, in no order.
    Many(HashMap<u64, Route, RandomState>),
}

impl Registered {
    fn routes(&self) -> impl Iterator<Item = &Route> {
        let (one, many) = match self {
            Self::One(route) => (Some(route), None),
            Self::Many(routes) => (None, Some(routes.values())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn has(&self, registration: &Arc<Registration>) -> bool {
        match self {
            Self::One(route) => route.is_of(registration),
            Self::Many(routes) => routes.contains_key(&registration.id),
        }
    }

    fn with(registered: Option<Self>, route: Route) -> Self {
        match registered {
            None => Self::One(route),
            Some(Self::One(first)) => {
                Self::Many([first, route].map(|route| (route.registration.id, route)).into_iter().collect())
            }
            Some(Self::Many(mut routes)) => {
                routes.insert(route.registration.id, route);
                Self::Many(routes)
            }
        }
    }

    fn without(self, registration: &Arc<Registration>) -> Option<Self> {
        match self {
            Self::One(route) => (!route.is_of(registration)).then_some(Self::One(route)),
            Self::Many(mut routes) => {
                routes.remove(&registration.id);
                (!routes.is_empty()).then_some(Self::Many(routes))
            }
        }
    }
}

impl Routes {
    /// Routes for the registry's events, in its order.
    pub(crate) fn new(events: &[&'static EventDecl], flight: &Arc<Lifecycle>, lists: Arc<Lists>) -> Self {
        let empty = Arc::new(List::new(Vec::new(), Some(Open::new(flight))));
        let list = || ArcSwap::new(Arc::clone(&empty));
        Self {
            declared: events.iter().map(|decl| (decl.name, list())).collect(),
            by_name: events.iter().enumerate().map(|(index, decl)| (decl.name, index)).collect(),
            outdated: Arc::new(List::outdated()),
            table: Mutex::default(),
            flight: Arc::clone(flight),
            lists,
        }
    }

    /// The handlers of an event that linking registered, where holding them is enough to be in flight: `None`
    /// once the bus stops.
    #[inline]
    pub(crate) fn of_declared(&self, decl: &'static EventDecl) -> Option<Held> {
        let list = self.declared.get(decl.slot())?.1.load();
        if list.is_open() { Some(list) } else { self.open_again(decl.slot()) }
    }

    /// [`of_declared`](Self::of_declared) where the list was taken away, or the bus stops.
    #[cold]
    fn open_again(&self, slot: usize) -> Option<Held> {
        let list = self.of_slot(slot)?;
        list.is_open().then_some(list)
    }

    /// The list of a slot, made anew where it was taken away.
    fn of_slot(&self, slot: usize) -> Option<Held> {
        let (name, list) = self.declared.get(slot)?;
        let held = list.load();
        if !held.is_outdated {
            return Some(held);
        }
        drop(held);
        let table = self.table();
        // Lists are only exchanged under the table's lock: two emits that find it outdated make it once.
        if list.load().is_outdated {
            let open = (!table.closed).then(|| Open::new(&self.flight));
            let made = Arc::new(List::new(resolve(&table.by_pattern, name), open));
            self.lists.add(*name, &made);
            list.store(made);
        }
        Some(list.load())
    }

    /// The handlers of a record's event.
    pub(crate) fn of_record(&self, record: &Record) -> Handlers {
        match record.decl().and_then(|decl| self.of_slot(decl.slot())) {
            Some(list) => Handlers::Declared(list),
            None => self.of_name(record.name()),
        }
    }

    /// The handlers of an event name.
    pub(crate) fn of_name(&self, name: &str) -> Handlers {
        if let Some(list) = self.by_name.get(name).and_then(|slot| self.of_slot(*slot)) {
            return Handlers::Declared(list);
        }
        let mut table = self.table();
        let Table { cache, by_pattern, .. } = &mut *table;
        Handlers::Undeclared(cache.get_or_find(name, || {
            let made = Arc::new(List::undeclared(resolve(by_pattern, name)));
            self.lists.add(name.to_owned(), &made);
            made
        }))
    }

    /// The name of a closure that is registered at this place.
    pub(crate) fn closure_name(&self, location: &'static Location<'static>) -> Arc<str> {
        let name = || name_of_closure(location).into();
        Arc::clone(self.table().closures.entry(location).or_insert_with(name))
    }

    /// Registers a handler.
    ///
    /// # Complexity
    ///
    /// A name: one look-up. A wildcard: the declared events.
    pub(crate) fn insert(
        &self,
        name: Arc<str>,
        patterns: Patterns,
        callback: Callback,
        lifetime: Lifetime,
    ) -> Arc<Registration> {
        let mut table = self.table();
        table.last_id += 1;
        let registration = Arc::new(Registration {
            id: table.last_id,
            name,
            patterns,
            callback,
            lifetime,
            active: AtomicBool::new(true),
        });
        table.cache.clear();
        for route in registration.routes() {
            let pattern = Arc::clone(route.pattern());
            table.by_pattern.change(&pattern, |registered| Some(Registered::with(registered, route)));
        }
        for route in registration.routes() {
            self.take_away(route.pattern());
        }
        registration
    }

    /// Removes a handler from all its patterns; whether it was there.
    pub(crate) fn remove(&self, registration: &Arc<Registration>) -> bool {
        let mut table = self.table();
        let was_active = registration.end();
        if was_active {
            for route in registration.routes() {
                self.detach(&mut table, &route);
            }
        }
        drop(table);
        if was_active {
            registration.tell_removed();
        }
        was_active
    }

    /// Removes all handlers from one pattern; they stay under their other patterns.
    pub(crate) fn remove_pattern(&self, pattern: &str) -> usize {
        let mut table = self.table();
        let registered = table.by_pattern.get(pattern);
        let routes: Vec<_> =
            registered.map_or_else(Vec::new, |registered| registered.routes().cloned().collect());
        let mut ended = Vec::new();
        for route in &routes {
            self.detach(&mut table, route);
            if !route.registration.routes().any(|other| table.has(&other)) && route.registration.end() {
                ended.push(&route.registration);
            }
        }
        // What a closure holds is dropped outside of the lock: it may be code of a user.
        drop(table);
        ended.into_iter().for_each(Registration::tell_removed);
        routes.len()
    }

    fn detach(&self, table: &mut Table, route: &Route) {
        let registration = &route.registration;
        table.cache.clear();
        table.by_pattern.change(route.pattern(), |registered| registered?.without(registration));
        self.take_away(route.pattern());
    }

    /// Takes away the lists of the events that a pattern takes; who calls this has the table's lock.
    fn take_away(&self, pattern: &str) {
        for (_, list) in self.matching(pattern) {
            self.outdate(list);
        }
    }

    fn outdate(&self, list: &ArcSwap<List>) {
        // Every handler in the old list is still in the table or held by the caller: none is dropped here.
        if !list.load().is_outdated {
            list.swap(Arc::clone(&self.outdated)).retire();
        }
    }

    /// Takes the lists away from emits that only hold them. From now on all emits count themselves.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        self.declared.iter().for_each(|(_, list)| self.outdate(list));
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
        let mut routes: Vec<&Route> =
            table.by_pattern.values().into_iter().flat_map(Registered::routes).collect();
        keep_first(&mut routes);
        let with_patterns = |route: &&Route| {
            let left = route.registration.routes().filter(|route| table.has(route));
            (Arc::clone(&route.registration), left.map(|route| Arc::clone(route.pattern())).collect())
        };
        routes.iter().map(with_patterns).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code of a user runs under the lock; the table stays whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has(&self, route: &Route) -> bool {
        let registered = self.by_pattern.get(route.pattern());
        registered.is_some_and(|registered| registered.has(&route.registration))
    }
}

/// The handlers of a name that is not in the registry.
fn resolve(by_pattern: &PatternMap<Registered>, name: &str) -> Vec<Entry> {
    let mut routes = Vec::new();
    by_pattern.of_name(name, |registered| {
        for route in registered.routes() {
            if route.takes(name) && route.registration.callback.takes.takes(name) {
                routes.push(route);
            }
        }
    });
    keep_first(&mut routes);
    let mut entries = Vec::with_capacity(routes.len());
    entries.extend(routes.iter().map(|route| Entry::new((*route).clone())));
    entries
}

/// Sorts routes by the registration of their handlers; of several patterns of a handler, the one that was given first
/// is kept.
fn keep_first(routes: &mut Vec<&Route>) {
    routes.sort_unstable_by_key(|route| (route.registration.id, route.pattern));
    routes.dedup_by_key(|route| route.registration.id);
}

/// A list that can't go away while this is held; cheaper than an `Arc` of it.
pub(crate) type Held = Guard<Arc<List>>;

/// A snapshot of the handlers of one event.
pub(crate) enum Handlers {
    Declared(Held),
    Undeclared(Arc<List>),
}

impl std::ops::Deref for Handlers {
    type Target = Arc<List>;

    fn deref(&self) -> &Arc<List> {
        match self {
            Self::Declared(list) => list,
            Self::Undeclared(list) => list,
        }
    }
}
