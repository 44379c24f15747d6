//! The handlers of each event name. The first emit after a change of subscriptions builds the list of an
//! event; every emit reads it.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;

use crate::bus::inner::call::{Callback, HandlerFn, RequiredParts};
use crate::bus::inner::calling::{HandlerLists, note_replaced_list};
use crate::bus::inner::in_flight::{Lifecycle, OpenListGuard};
use crate::bus::inner::name_cache::NameCache;
use crate::bus::inner::pattern_map::{PatternMap, is_name};
use crate::event::EventDecl;
use crate::event::pattern::Pattern;
use crate::record::Record;

/// One handler of one bus. Kept small, because a bus may have a million: fields that few handlers use are
/// behind a pointer.
pub(crate) struct Registration {
    id: u64,
    name: Arc<str>,
    patterns: Patterns,
    pub(crate) callback: Callback,
    lifetime: Lifetime,
    active: AtomicBool,
}

/// The patterns of a handler: valid, distinct, and at least one.
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

/// How long a handler stays registered.
pub(crate) enum Lifetime {
    /// Until it is removed.
    UntilRemoved,
    /// For one event. The flag is set by the one emit that may call the handler.
    Once(AtomicBool),
    /// Until it is removed. The replay task calls the handler.
    Replay(Arc<dyn Replay>),
}

impl Lifetime {
    pub(crate) fn once() -> Self {
        Self::Once(AtomicBool::new(false))
    }
}

/// The replay of past events to a handler. A task calls the handler, and emits wait for that task.
///
/// A trait, because its implementation holds the bus, and the bus holds the routes. Without `dyn`, the types would
/// form a cycle, and the compiler would prove `Send` for the whole cycle in every async function.
pub(crate) trait Replay: Send + Sync {
    /// Releases every waiting emit after the handler was removed, except the one whose event the handler is handling
    /// now. The code that removes the handler calls this, not the task of the replay: the handler may be blocking its
    /// thread.
    fn end(&self, route: &Route);

    /// Returns true once per call of the handler, so that the warning about waiting emits is logged once per call.
    fn should_report_slow(&self) -> bool;
}

/// A handler under one of its patterns.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) registration: Arc<Registration>,
    /// Index of the pattern in the handler's patterns.
    pattern: u32,
}

impl Route {
    /// Returns the handler under its first pattern.
    pub(crate) fn first(registration: &Arc<Registration>) -> Self {
        Self { registration: Arc::clone(registration), pattern: 0 }
    }

    /// Returns the handler under the pattern with this index.
    #[cfg(feature = "durable")]
    pub(crate) fn of(registration: &Arc<Registration>, pattern: usize) -> Self {
        Self { registration: Arc::clone(registration), pattern: pattern as u32 }
    }

    /// Returns the name of the handler.
    pub(crate) fn name(&self) -> &str {
        self.registration.name()
    }

    pub(crate) fn pattern(&self) -> &Arc<str> {
        &self.registration.patterns.get()[self.pattern as usize]
    }

    fn matches(&self, name: &str) -> bool {
        Pattern::of_valid(self.pattern()).matches(name)
    }

    pub(crate) fn is_of(&self, registration: &Arc<Registration>) -> bool {
        Arc::ptr_eq(&self.registration, registration)
    }
}

impl Registration {
    /// Creates a handler that is in no table, so that no emit calls it.
    #[cfg(feature = "durable")]
    pub(crate) fn unrouted(name: Arc<str>, patterns: Vec<Arc<str>>, callback: Callback) -> Arc<Self> {
        let patterns = Patterns::Many(patterns.into());
        let active = AtomicBool::new(true);
        Arc::new(Self { id: 0, name, patterns, callback, lifetime: Lifetime::UntilRemoved, active })
    }

    /// Creates the inactive handler that a subscription to a stopped bus refers to.
    pub(crate) fn inactive(name: Arc<str>, patterns: Patterns, callback: Callback) -> Arc<Self> {
        let active = AtomicBool::new(false);
        Arc::new(Self { id: 0, name, patterns, callback, lifetime: Lifetime::UntilRemoved, active })
    }

    /// Returns the name: the module path of the function, or the location at which the closure was
    /// registered.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the handler under each of its patterns, including patterns from which it was removed.
    pub(crate) fn routes(self: &Arc<Self>) -> impl Iterator<Item = Route> {
        let count = self.patterns.get().len() as u32;
        (0..count).map(|pattern| Route { registration: Arc::clone(self), pattern })
    }

    /// Returns true if the handler is still registered.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Marks the handler as removed; returns false if it was marked before.
    fn mark_removed(&self) -> bool {
        self.active.swap(false, Ordering::AcqRel)
    }

    /// Releases the tasks and emits that wait for the handler. Call it without the lock of the table, because
    /// it wakes tasks.
    fn notify_removed(self: &Arc<Self>) {
        if let Some(replay) = self.replay() {
            replay.end(&Route::first(self));
        }
    }

    /// Returns the replay, if this handler was registered with one.
    pub(crate) fn replay(&self) -> Option<&dyn Replay> {
        match &self.lifetime {
            Lifetime::Replay(replay) => Some(&**replay),
            Lifetime::UntilRemoved | Lifetime::Once(_) => None,
        }
    }

    pub(crate) fn is_once(&self) -> bool {
        matches!(self.lifetime, Lifetime::Once(_))
    }

    /// Returns true if an emit may call the handler. For a `once` handler, only the first caller gets true.
    pub(crate) fn try_begin_call(&self) -> bool {
        self.is_active()
            && match &self.lifetime {
                Lifetime::Once(used) => !used.swap(true, Ordering::AcqRel),
                Lifetime::UntilRemoved | Lifetime::Replay(_) => true,
            }
    }
}

/// The handlers of one event name, in the order of their registration.
pub(crate) struct HandlerList {
    pub(crate) entries: Box<[Entry]>,
    /// True if this is a placeholder: the list must be built before it is read. See [`Routes::placeholder`].
    is_placeholder: bool,
    /// True if any handler needs a record.
    pub(crate) needs_record: bool,
    /// True if any handler takes the event as an `Arc`.
    pub(crate) takes_arc: bool,
    /// True if any handler returns a future.
    pub(crate) has_async: bool,
    /// True if [`Registration::try_begin_call`] must be called before each handler: one of them is a `once` handler,
    /// or this list was replaced.
    must_check_handlers: AtomicBool,
    /// True if another list has replaced this one, so that handlers in it may have been removed.
    replaced: AtomicBool,
    /// While this exists, an emit that holds the list counts as in flight and does not increment the counter. `None` if
    /// the list was built while the bus was
    /// stopping.
    open: Option<OpenListGuard>,
}

/// A handler as an emit calls it.
#[derive(Clone)]
pub(crate) struct Entry {
    /// A copy of the registration's pointer, to save an indirection.
    pub(crate) function: Arc<HandlerFn>,
    /// The handler under the pattern that matches the list's event name.
    pub(crate) route: Route,
}

impl Entry {
    pub(crate) fn new(route: Route) -> Self {
        Self { function: Arc::clone(&route.registration.callback.function), route }
    }
}

impl HandlerList {
    pub(crate) fn new(entries: Vec<Entry>, open: Option<OpenListGuard>) -> Self {
        let any = |is: fn(&Registration) -> bool| entries.iter().any(|entry| is(&entry.route.registration));
        Self {
            needs_record: any(|handler| handler.callback.requires > RequiredParts::Event),
            takes_arc: any(|handler| handler.callback.takes_arc),
            has_async: any(|handler| handler.callback.is_async),
            must_check_handlers: any(Registration::is_once).into(),
            replaced: AtomicBool::new(false),
            open,
            is_placeholder: false,
            entries: entries.into(),
        }
    }

    /// Creates the placeholder for a list that must be built before it is read.
    fn placeholder() -> Self {
        Self { is_placeholder: true, ..Self::new(Vec::new(), None) }
    }

    /// Returns the entries after the one that contains this route.
    pub(crate) fn entries_after(&self, route: &Route) -> &[Entry] {
        // Computes the index from the address: a search would make n panics cost n².
        let first = std::ptr::from_ref(&self.entries[..]).addr();
        let index = std::ptr::from_ref(route).addr().saturating_sub(first) / size_of::<Entry>();
        match self.entries.get(index) {
            Some(entry) if std::ptr::eq(&entry.route, route) => &self.entries[index + 1..],
            _ => &[],
        }
    }

    /// Creates the list of an undeclared name. Such a list is never marked when it is replaced, so `must_check_handlers` is
    /// true from the start.
    fn undeclared(entries: Vec<Entry>) -> Self {
        let mut list = Self::new(entries, None);
        *list.must_check_handlers.get_mut() = true;
        list
    }

    /// Returns true if holding this list is enough to be in flight, without `Lifecycle::enter`.
    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns true if [`Registration::try_begin_call`] must be called before each handler. Read it again whenever
    /// [`has_changed`](crate::bus::inner::calling::Calling::has_changed) returns true.
    #[inline]
    pub(crate) fn must_check_handlers(&self) -> bool {
        self.must_check_handlers.load(Ordering::Acquire)
    }

    /// Returns true if another list has replaced this one.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    fn mark_replaced(&self) {
        self.must_check_handlers.store(true, Ordering::Release);
        self.replaced.store(true, Ordering::Release);
        note_replaced_list();
    }
}

/// Returns the name of a closure: the location at which it was registered.
pub(crate) fn name_of_closure(location: &Location<'_>) -> String {
    format!("closure at {}:{}", location.file(), location.line())
}

/// All handlers of a bus, by event.
///
/// A registration or a removal changes the table, and replaces the lists that it affects by a placeholder.
/// The next emit of such an event builds its list again: n changes between two emits copy n handlers, not n².
pub(crate) struct Routes {
    /// The name and the list of each event in the registry, indexed by the event's slot.
    declared: Box<[(&'static str, ArcSwap<HandlerList>)]>,
    by_name: HashMap<&'static str, usize, RandomState>,
    /// The placeholder in a slot whose list must be built. No emit reads it: `of_declared` takes open lists only, and
    /// `of_slot` checks `is_placeholder`.
    placeholder: Arc<HandlerList>,
    table: Mutex<Table>,
    lifecycle: Arc<Lifecycle>,
    lists: Arc<HandlerLists>,
}

#[derive(Default)]
struct Table {
    /// The names of closures, one for all closures that are registered at one location.
    closures: HashMap<&'static Location<'static>, Arc<str>, RandomState>,
    by_pattern: PatternMap<PatternHandlers>,
    /// Lists of names outside the registry; cleared whenever the table changes. So every handler in these
    /// lists is also in the table, and dropping a list never drops a handler.
    cache: NameCache<Arc<HandlerList>>,
    last_id: u64,
    /// True if the bus is stopping.
    closed: bool,
}

/// The handlers under one pattern.
enum PatternHandlers {
    One(Route),
    /// Handlers by the id of their registration, unordered.
    Many(HashMap<u64, Route, RandomState>),
}

impl PatternHandlers {
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
    /// Creates the routes for the events of the registry, in its order.
    pub(crate) fn new(
        events: &[&'static EventDecl],
        lifecycle: &Arc<Lifecycle>,
        lists: Arc<HandlerLists>,
    ) -> Self {
        let empty = Arc::new(HandlerList::new(Vec::new(), Some(OpenListGuard::new(lifecycle))));
        let list = || ArcSwap::new(Arc::clone(&empty));
        Self {
            declared: events.iter().map(|decl| (decl.name, list())).collect(),
            by_name: events.iter().enumerate().map(|(index, decl)| (decl.name, index)).collect(),
            placeholder: Arc::new(HandlerList::placeholder()),
            table: Mutex::default(),
            lifecycle: Arc::clone(lifecycle),
            lists,
        }
    }

    /// Returns an open list of the handlers of a linked event, so that the caller is in flight while it holds the list.
    /// `None` once the bus is stopping.
    #[inline]
    pub(crate) fn of_declared(&self, decl: &'static EventDecl) -> Option<ListGuard> {
        let list = self.declared.get(decl.slot())?.1.load();
        if list.is_open() { Some(list) } else { self.of_declared_slow(decl.slot()) }
    }

    /// Does the work of [`of_declared`](Self::of_declared) if the list must be built or the bus is stopping.
    #[cold]
    fn of_declared_slow(&self, slot: usize) -> Option<ListGuard> {
        let list = self.of_slot(slot)?;
        list.is_open().then_some(list)
    }

    /// Returns the list of a slot; builds it if the slot has the placeholder.
    fn of_slot(&self, slot: usize) -> Option<ListGuard> {
        let (name, list) = self.declared.get(slot)?;
        let current = list.load();
        if !current.is_placeholder {
            return Some(current);
        }
        drop(current);
        let table = self.table();
        // Lists are replaced only under the lock of the table, so of two emits that find the placeholder, one
        // builds the list.
        if list.load().is_placeholder {
            let open = (!table.closed).then(|| OpenListGuard::new(&self.lifecycle));
            let built = Arc::new(HandlerList::new(handlers_of(&table.by_pattern, name), open));
            self.lists.add(*name, &built);
            list.store(built);
        }
        Some(list.load())
    }

    /// Returns the handlers of a record's event.
    pub(crate) fn of_record(&self, record: &Record) -> Handlers {
        match record.decl().and_then(|decl| self.of_slot(decl.slot())) {
            Some(list) => Handlers::Declared(list),
            None => self.of_name(record.name()),
        }
    }

    /// Returns the handlers of an event name.
    pub(crate) fn of_name(&self, name: &str) -> Handlers {
        if let Some(list) = self.by_name.get(name).and_then(|slot| self.of_slot(*slot)) {
            return Handlers::Declared(list);
        }
        let mut table = self.table();
        let Table { cache, by_pattern, .. } = &mut *table;
        Handlers::Undeclared(cache.get_or_find(name, || {
            let built = Arc::new(HandlerList::undeclared(handlers_of(by_pattern, name)));
            self.lists.add(name.to_owned(), &built);
            built
        }))
    }

    /// Returns the name of a closure that is registered at this location.
    pub(crate) fn closure_name(&self, location: &'static Location<'static>) -> Arc<str> {
        let name = || name_of_closure(location).into();
        Arc::clone(self.table().closures.entry(location).or_insert_with(name))
    }

    /// Registers a handler.
    ///
    /// # Complexity
    ///
    /// One look-up for a pattern that is a name; proportional to the number of declared events for a pattern
    /// with wildcards.
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
            table.by_pattern.change(&pattern, |registered| Some(PatternHandlers::with(registered, route)));
        }
        for route in registration.routes() {
            self.invalidate_matching(route.pattern());
        }
        registration
    }

    /// Removes a handler from all its patterns. Returns false if it was removed before.
    pub(crate) fn remove(&self, registration: &Arc<Registration>) -> bool {
        let mut table = self.table();
        let was_active = registration.mark_removed();
        if was_active {
            for route in registration.routes() {
                self.detach(&mut table, &route);
            }
        }
        drop(table);
        if was_active {
            registration.notify_removed();
        }
        was_active
    }

    /// Removes all handlers from one pattern, and returns their number. Handlers that have other patterns
    /// stay registered under these.
    pub(crate) fn remove_pattern(&self, pattern: &str) -> usize {
        let mut table = self.table();
        let registered = table.by_pattern.get(pattern);
        let routes: Vec<_> =
            registered.map_or_else(Vec::new, |registered| registered.routes().cloned().collect());
        let mut removed = Vec::new();
        for route in &routes {
            self.detach(&mut table, route);
            if !route.registration.routes().any(|other| table.has(&other))
                && route.registration.mark_removed()
            {
                removed.push(&route.registration);
            }
        }
        // Release the lock before closures are dropped: what they own may run user code when it is dropped.
        drop(table);
        removed.into_iter().for_each(Registration::notify_removed);
        routes.len()
    }

    fn detach(&self, table: &mut Table, route: &Route) {
        let registration = &route.registration;
        table.cache.clear();
        table.by_pattern.change(route.pattern(), |registered| registered?.without(registration));
        self.invalidate_matching(route.pattern());
    }

    /// Replaces the lists of the events that a pattern matches by the placeholder. The caller must hold the
    /// lock of the table.
    fn invalidate_matching(&self, pattern: &str) {
        for (_, list) in self.matching(pattern) {
            self.invalidate(list);
        }
    }

    fn invalidate(&self, list: &ArcSwap<HandlerList>) {
        // Every handler in the old list is still in the table or held by the caller, so none is dropped here.
        if !list.load().is_placeholder {
            list.swap(Arc::clone(&self.placeholder)).mark_replaced();
        }
    }

    /// Replaces all lists by the placeholder. Lists that are built later are not open, so every emit counts itself.
    pub(crate) fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        self.declared.iter().for_each(|(_, list)| self.invalidate(list));
    }

    /// Returns the declared events that a pattern matches.
    fn matching(&self, pattern: &str) -> impl Iterator<Item = &(&'static str, ArcSwap<HandlerList>)> {
        let (one, all) = match is_name(pattern) {
            true => (self.by_name.get(pattern).map(|index| &self.declared[*index]), None),
            false => (None, Pattern::new(pattern).ok()),
        };
        let many = all
            .into_iter()
            .flat_map(|pattern| self.declared.iter().filter(move |(name, _)| pattern.matches(name)));
        one.into_iter().chain(many)
    }

    /// Returns all handlers in the order of their registration, each with the patterns it is still registered
    /// under.
    pub(crate) fn all(&self) -> Vec<(Arc<Registration>, Vec<Arc<str>>)> {
        let table = self.table();
        let mut routes: Vec<&Route> =
            table.by_pattern.values().into_iter().flat_map(PatternHandlers::routes).collect();
        keep_first(&mut routes);
        let with_patterns = |route: &&Route| {
            let registered = route.registration.routes().filter(|route| table.has(route));
            (Arc::clone(&route.registration), registered.map(|route| Arc::clone(route.pattern())).collect())
        };
        routes.iter().map(with_patterns).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No user code runs under the lock, and no panic of ours leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has(&self, route: &Route) -> bool {
        let registered = self.by_pattern.get(route.pattern());
        registered.is_some_and(|registered| registered.has(&route.registration))
    }
}

/// Returns the handlers of an event name, from the table.
fn handlers_of(by_pattern: &PatternMap<PatternHandlers>, name: &str) -> Vec<Entry> {
    let mut routes = Vec::new();
    by_pattern.for_each_candidate(name, |registered| {
        for route in registered.routes() {
            if route.matches(name) && route.registration.callback.accepts.contains(name) {
                routes.push(route);
            }
        }
    });
    keep_first(&mut routes);
    let mut entries = Vec::with_capacity(routes.len());
    entries.extend(routes.iter().map(|route| Entry::new((*route).clone())));
    entries
}

/// Sorts routes by the registration of their handlers, and keeps the first pattern of each handler.
fn keep_first(routes: &mut Vec<&Route>) {
    routes.sort_unstable_by_key(|route| (route.registration.id, route.pattern));
    routes.dedup_by_key(|route| route.registration.id);
}

/// A reference to a list that keeps it from being dropped; cheaper than an `Arc`.
pub(crate) type ListGuard = Guard<Arc<HandlerList>>;

/// A snapshot of the handlers of one event.
pub(crate) enum Handlers {
    Declared(ListGuard),
    Undeclared(Arc<HandlerList>),
}

impl std::ops::Deref for Handlers {
    type Target = Arc<HandlerList>;

    fn deref(&self) -> &Arc<HandlerList> {
        match self {
            Self::Declared(list) => list,
            Self::Undeclared(list) => list,
        }
    }
}
