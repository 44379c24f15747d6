//! `Bus::builder()`: settings, state, handlers, and the checks of `build()`.

#[cfg(feature = "durable")]
mod durable;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::adapter::receiver::Receiver;
use crate::adapter::{Adapter, AdapterError, BoxFuture};
use crate::bus::handlers::state::{Binder, States};
use crate::bus::handlers::{Handler, HandlerDecl};
use crate::bus::inner::call::Callback;
use crate::bus::inner::calling::HandlerLists;
use crate::bus::inner::in_flight::Lifecycle;
use crate::bus::inner::outcome::panicked;
use crate::bus::inner::report::Reporter;
use crate::bus::inner::reported_once::ReportedOnce;
use crate::bus::inner::routes::Routes;
use crate::bus::inner::routes::{Lifetime, Patterns};
use crate::bus::inner::runtime::has_timer;
use crate::bus::inner::slow::SlowHandlers;
use crate::bus::inner::unreachable_patterns::unreachable;
use crate::bus::inner::{Bus, Counters, Inner, Settings};
use crate::bus::select::{Selected, Selection};
use crate::error::{Error, ErrorKind};
use crate::event::accepted::AcceptedEvents;
use crate::event::declared::DeclaredEvents;
use crate::event::pattern::{Pattern, is_of_library};
use crate::event::seal::Seal;
use crate::event::{Event, EventDecl, registry, sort_by_location};
use crate::id::InstanceId;
use crate::panics::caught;

#[cfg(feature = "lock")]
use crate::lock::SchemaLock;
use crate::log::{Bounds, Log};
use crate::record::codec::RecordCodec;
use crate::record::read_back::OnLoss;
use crate::schema;

/// Configures and builds a [`Bus`]. Returned by [`Bus::builder`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use std::sync::Arc;
/// use typed_events::{Bus, event, on};
///
/// #[event("build_doc.counted")]
/// pub struct Counted;
///
/// #[on]
/// fn count(_: &Counted, counter: &AtomicU32) {
///     counter.fetch_add(1, Relaxed);
/// }
///
/// let counter = Arc::new(AtomicU32::new(0));
/// let bus = Bus::builder()
///     .shared(Arc::clone(&counter))
///     .handler::<count>()
///     .history(100)
///     .build()
///     .await?;
/// bus.emit(Counted).await?;
/// assert_eq!(counter.load(Relaxed), 1);
/// # Ok(()) }
/// ```
#[must_use = "builders do nothing until `build()` is awaited"]
pub struct BusBuilder {
    states: States,
    events: Vec<&'static EventDecl>,
    selection: Selection,
    /// The selected handlers; empty before `build()`.
    handlers: Vec<&'static HandlerDecl>,
    adapter: Option<Arc<dyn Adapter>>,
    bounds: Bounds,
    settings: Settings,
    #[cfg(feature = "lock")]
    lock: Option<SchemaLock>,
    codec: RecordCodec,
    #[cfg(feature = "durable")]
    durable: Vec<durable::DurableClosure>,
}

impl Bus {
    /// Returns a builder with default settings.
    pub fn builder() -> BusBuilder {
        BusBuilder::new()
    }

    /// Builds a bus with default settings and without handlers. If `#[on]` functions are linked, `build()`
    /// warns that the bus takes none of them: use `Bus::builder().discover()` or `.no_handlers()` then.
    ///
    /// # Errors
    ///
    /// Those of [`BusBuilder::build`].
    pub fn new() -> impl Future<Output = Result<Self, Error>> + Send {
        Self::builder().build()
    }
}

impl BusBuilder {
    pub(crate) fn new() -> Self {
        Self {
            states: States::default(),
            events: Vec::new(),
            selection: Selection::default(),
            handlers: Vec::new(),
            adapter: None,
            bounds: Bounds { records: 1000, bytes: 64 << 20, for_readers: 1024 },
            settings: Settings {
                accept_undeclared: false,
                max_chain: 32,
                max_detached: 1024,
                max_in_flight: 65_536,
                slow_handler: Some(Duration::from_secs(1)),
                stop_deadline: Duration::from_secs(30),
                reporter: Reporter::Stderr,
                #[cfg(feature = "durable")]
                lease: crate::adapter::durable::LEASE,
                #[cfg(feature = "durable")]
                clock: crate::time::clock::Clock::Machine,
                on_loss: None,
            },
            #[cfg(feature = "lock")]
            lock: None,
            codec: RecordCodec::default(),
            #[cfg(feature = "durable")]
            durable: Vec::new(),
        }
    }

    /// Adds a value that handlers can take as an argument of type `&T`.
    ///
    /// Two values of one type are an error of [`build`](Self::build). A value that no handler takes is a
    /// warning.
    pub fn state<T: Send + Sync + 'static>(self, state: T) -> Self {
        self.shared(Arc::new(state))
    }

    /// Adds a shared value that handlers can take as an argument of type `&T`. `T` may be a `dyn Trait`:
    /// `.shared::<dyn Trait>(Arc::new(value))`.
    pub fn shared<T: ?Sized + Send + Sync + 'static>(mut self, state: Arc<T>) -> Self {
        self.states.insert(state);
        self
    }

    /// Selects every linked function marked `#[on]`.
    ///
    /// A crate of handlers that nothing refers to is not linked: write `use my_handlers as _;`.
    /// [`Bus::handlers`] lists the handlers that were found.
    ///
    /// A bus whose builder selects no handlers takes none. If handlers are linked, that is a warning of
    /// [`build`](Self::build). These methods select handlers: `discover`, [`discover_in`](Self::discover_in),
    /// [`without`](Self::without), [`handler`](Self::handler) and [`no_handlers`](Self::no_handlers).
    pub fn discover(mut self) -> Self {
        self.selection.all = true;
        self
    }

    /// Selects every linked function marked `#[on]` in a module and its submodules:
    /// `.discover_in("shop::web")` selects `shop::web::welcome` and `shop::web::admin::audit`, but not
    /// `shop::website::count`. The path begins with the name of the crate, as in [`module_path!`]. Each call
    /// adds a module.
    ///
    /// A path without handlers is an error of [`build`](Self::build).
    pub fn discover_in(mut self, module: impl Into<String>) -> Self {
        self.selection.modules.push(module.into());
        self
    }

    /// Excludes one function marked `#[on]` from those that [`discover`](Self::discover) or
    /// [`discover_in`](Self::discover_in) select: `.without::<audit>()`. If nothing else selects handlers,
    /// all other linked ones are selected.
    ///
    /// Excluding a handler that is also given to [`handler`](Self::handler) is an error of
    /// [`build`](Self::build). Excluding one that nothing else selects is a warning.
    pub fn without<H: Handler>(mut self) -> Self {
        self.selection.without.push(H::decl());
        self
    }

    /// Selects no function marked `#[on]`: for a bus that only emits, or has only closures.
    pub fn no_handlers(mut self) -> Self {
        self.selection.none = true;
        self
    }

    /// Selects one function marked `#[on]`: `.handler::<welcome>()`. For tests, and for targets on which
    /// linking finds no handlers (wasm, some static libraries). Has no effect on a handler that
    /// [`discover`](Self::discover) selects.
    pub fn handler<H: Handler>(mut self) -> Self {
        self.selection.single.push(H::decl());
        self
    }

    /// Reads back each event before an adapter gets it, and refuses an event that differs after that. Calls
    /// `on_loss` with the error. Used by tests.
    #[doc(hidden)]
    pub fn read_back(mut self, on_loss: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.settings.on_loss = Some(OnLoss(Arc::new(on_loss)));
        self
    }

    /// Declares an event. Needed only for an event that no handler takes, on targets where linking finds no
    /// events.
    pub fn event<E: Event>(mut self) -> Self {
        self.events.push(E::decl());
        self
    }

    /// Sets the adapter, which stores the events of the bus or connects it to other instances.
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Some(Arc::new(adapter));
        self
    }

    /// Sets how many of the last events the history keeps in memory: 1000 by default, 0 for none.
    pub fn history(mut self, records: usize) -> Self {
        self.bounds.records = records;
        self
    }

    /// Sets the maximum memory of the history, in bytes: about 64 MiB by default. The oldest records are
    /// dropped first.
    ///
    /// Each record counts with its event, its metadata, and about 300 bytes for the record itself. It also
    /// counts with what it caches, such as its JSON or a [`View`](crate::View), so a record that was printed
    /// takes more. A field without a schema counts with the size of its JSON. An event larger than the
    /// maximum is not kept.
    pub fn history_bytes(mut self, bytes: usize) -> Self {
        self.bounds.bytes = bytes;
        self
    }

    /// Sets how many of the last events, of any name, are kept at least while a stream exists: 1024 by
    /// default.
    pub fn stream_buffer(mut self, events: usize) -> Self {
        self.bounds.for_readers = events;
        self
    }

    /// Accepts events with undeclared names as JSON, from [`Bus::emit_json`] and from the adapter. They reach
    /// all handlers of records whose patterns match the name: `*.created` then also gets `x.created`.
    /// Patterns that match no declared event are then warnings of [`build`](Self::build), not errors.
    pub fn accept_undeclared(mut self) -> Self {
        self.settings.accept_undeclared = true;
        self
    }

    /// Sets the maximum size of a JSON payload from outside, in bytes: 1 MiB by default. It applies to
    /// [`Bus::emit_json`], and to events from channels that the adapter shares with other programs. An emit
    /// to such channels has the same limit, because the receiver would refuse a larger event: set the same
    /// value in all programs.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.codec.max_payload = bytes;
        self
    }

    /// Sets how many emits may be nested in each other's handlers: 32 by default. A deeper emit fails with
    /// [`ErrorKind::ChainTooDeep`].
    ///
    /// A nested emit runs on the stack of the emit around it until a handler waits, so far more than 1000
    /// need a larger stack. A record keeps the names of at most 32 emits around it: the first and the last
    /// 31.
    pub fn max_chain(mut self, emits: u32) -> Self {
        self.settings.max_chain = emits;
        self
    }

    /// Sets how many detached emits may run at a time: 1024 by default.
    pub fn max_detached(mut self, emits: usize) -> Self {
        self.settings.max_detached = emits;
        self
    }

    /// Sets how many emits may wait for their handlers at a time, including those whose futures were dropped:
    /// 65,536 by default. Beyond it, emits outside of handlers fail with [`ErrorKind::Overloaded`].
    pub fn max_in_flight(mut self, emits: usize) -> Self {
        self.settings.max_in_flight = emits;
        self
    }

    /// Sets the time after which a warning names a slow handler: 1 s by default, measured to about 0.1 s.
    /// [`Duration::MAX`] turns the warnings off.
    pub fn slow_handler(mut self, limit: Duration) -> Self {
        self.settings.slow_handler = (limit != Duration::MAX).then_some(limit);
        self
    }

    /// Sets how long [`Bus::stop`] waits for everything in flight: 30 s by default, at most a year.
    pub fn stop_deadline(mut self, limit: Duration) -> Self {
        self.settings.stop_deadline = limit;
        self
    }

    /// Sets how an adapter stores and sends secrets: encrypted by a [`Seal`], or in plain text with
    /// [`Plain`](crate::Plain). Without this call, [`build`](Self::build) refuses an adapter if a known event
    /// has secrets.
    pub fn secrets(mut self, seal: impl Seal) -> Self {
        self.codec.seal = Some(Arc::new(seal));
        self
    }

    /// Makes [`build`](Self::build) check that the [`SchemaLock`] fits the linked events:
    /// `.schema_lock(typed_events::schema_lock!())`.
    #[cfg(feature = "lock")]
    pub fn schema_lock(mut self, lock: SchemaLock) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Turns off output to stderr. By default, failures and warnings go to stderr if no `tracing` subscriber
    /// is installed or its filter does not enable them (their target is `typed_events`). So without this
    /// call, no output means success.
    pub fn quiet(mut self) -> Self {
        self.settings.reporter = Reporter::Nowhere;
        self
    }

    /// Checks the configuration and starts the bus.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Build`]. The message has one line per problem, with the name and file:line of its cause.
    /// Problems are, among others: a handler whose state is missing, two states of one type, two types that
    /// claim one event name, a pattern that no known event can match, no tokio runtime or one without a
    /// timer, and an adapter that fails to subscribe.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the bus.
    pub fn build(self) -> impl Future<Output = Result<Bus, Error>> + Send {
        let built: BoxFuture<'static, _> = Box::pin(async move {
            let inner = self.check_and_create()?;
            inner.start().await?;
            Ok(Bus { inner })
        });
        built // as a box, it is compiled in this crate, and not again in each program
    }

    fn check_and_create(mut self) -> Result<Arc<Inner>, Error> {
        let Checked { declared_events, callbacks, runtime, warnings } = self.check()?;
        for warning in warnings {
            self.settings.reporter.warning(format_args!("{warning}"));
        }
        for name in self.states.untaken() {
            let unused = "no handler of this bus takes the state of type";
            self.settings.reporter.warning(format_args!(
                "{unused} `{name}`: is its handler linked, and selected with `.discover()`?"
            ));
        }
        let lists = Arc::new(HandlerLists::default());
        let (slow, reporter) = (self.settings.slow_handler, self.settings.reporter);
        let slow_handlers = SlowHandlers::start(slow, reporter, Arc::clone(&lists)).map_err(|error| {
            Error::new(ErrorKind::Build, "the thread that detects slow handlers can't be started")
                .with_source(error)
        })?;
        let lifecycle = Arc::new(Lifecycle::default());
        let declared_events = Arc::new(declared_events);
        #[cfg(feature = "durable")]
        let (live, durable_handlers) = self.split_live_and_durable(callbacks, &declared_events);
        #[cfg(not(feature = "durable"))]
        let (live, durable_handlers) = (self.handlers.iter().zip(callbacks), Vec::new());
        let inner = Arc::new(Inner {
            instance: InstanceId::new(),
            settings: self.settings,
            declared_events,
            durable_handlers,
            stop_tasks: tokio::sync::watch::Sender::new(false),
            #[cfg(feature = "durable")]
            session: std::sync::OnceLock::new(),
            routes: Routes::new(&registry().events, &lifecycle, lists),
            log: Log::start(self.bounds),
            adapter: self.adapter,
            codec: self.codec,
            lifecycle,
            stopping: crate::bus::inner::stopping::Stopping::default(),
            slow_handlers,
            counters: Counters::default(),
            reported_locations: ReportedOnce::default(),
            reported_refusals: ReportedOnce::default(),
            reported_unreadable: ReportedOnce::default(),
            losses: crate::bus::inner::losses::Losses::new(reporter),
            lost_work: crate::bus::inner::lost_work::LostWork::default(),
            has_lost_runtime: AtomicBool::new(false),
            runtime,
        });
        for (handler, callback) in live {
            let patterns = handler.patterns.iter().map(|pattern| (*pattern).into()).collect();
            let (name, patterns) = (handler.location.to_string().into(), Patterns::Many(patterns));
            inner.routes.insert(name, patterns, callback, Lifetime::UntilRemoved);
        }
        Ok(inner)
    }

    /// Selects the handlers, binds their state, and collects every problem.
    fn check(&mut self) -> Result<Checked, Error> {
        let mut problems = Vec::new();
        let Selected { handlers, warnings } = self.selection.resolve(&mut problems);
        self.handlers = handlers;
        let repeated = self.states.repeated.iter();
        problems.extend(repeated.map(|ty| {
            format!(
                "two states of type `{ty}`: handlers can't tell them apart; wrap one of them in another type"
            )
        }));
        let declared_events = self.known_events(&mut problems);
        self.check_patterns(&declared_events, &mut problems);
        self.check_sets(&declared_events, &mut problems);
        self.check_secrets(&declared_events, &mut problems);
        #[cfg(feature = "lock")]
        problems.extend(self.lock.iter().flat_map(SchemaLock::problems));
        let callbacks = bind_all(&self.handlers, &self.states, &mut problems);
        #[cfg(feature = "durable")]
        self.check_durable(&declared_events, &mut problems);
        problems.extend(check_decimals(&declared_events));
        match (runtime(&mut problems), problems.is_empty()) {
            (Some(runtime), true) => Ok(Checked { declared_events, callbacks, runtime, warnings }),
            _ => Err(Error::of_problems(ErrorKind::Build, problems)),
        }
    }

    /// Returns all declared events by name.
    fn known_events(&self, problems: &mut Vec<String>) -> DeclaredEvents {
        let of_handlers =
            self.handlers.iter().flat_map(|handler| handler.accepts.events()).map(|decl| decl());
        #[cfg(feature = "durable")]
        let of_handlers = of_handlers.chain(self.events_of_closures());
        let mut declared_events = DeclaredEvents::default();
        for decl in registry().events.iter().copied().chain(self.events.iter().copied()).chain(of_handlers) {
            if is_of_library(decl.name) {
                problems.push(format!(
                    "event `{}` ({}) can't be declared: names that begin with `typed-events` belong to the library",
                    decl.name, decl.location
                ));
            }
            if let Err(other) = declared_events.declare(decl) {
                problems.push(format!(
                    "two types claim the event name `{}`: {} and {}",
                    decl.name, other.location, decl.location
                ));
            }
        }
        problems.dedup();
        for (name, version) in self.handlers.iter().flat_map(|handler| handler.accepts.undeclared()) {
            declared_events.add_undeclared(name, version);
        }
        declared_events
    }

    /// Refuses event sets that have no variant for a known event of their handler's patterns.
    fn check_sets(&self, declared_events: &DeclaredEvents, problems: &mut Vec<String>) {
        for handler in &self.handlers {
            let AcceptedEvents::Set(_) = handler.accepts else { continue };
            let taken_by = |name: &str| {
                let takes = |text: &&&str| Pattern::new(text).is_ok_and(|pattern| pattern.matches(name));
                handler.patterns.iter().find(takes)
            };
            let mut missing: Vec<_> = declared_events
                .names()
                .filter(|name| !handler.accepts.contains(name))
                .filter_map(|name| Some((name, *taken_by(name)?)))
                .collect();
            missing.sort_unstable();
            problems.extend(missing.into_iter().map(|(name, pattern)| {
                let location = handler.location;
                format!("handler {location}: `{pattern}` takes `{name}`, for which its event set has no variant: add one, or one for all others, `Other(&'a Record)`")
            }));
        }
    }

    /// Refuses events with secrets if there is an adapter and [`BusBuilder::secrets`] was not called.
    fn check_secrets(&self, declared_events: &DeclaredEvents, problems: &mut Vec<String>) {
        let (Some(adapter), None) = (&self.adapter, &self.codec.seal) else { return };
        let mut secret: Vec<_> =
            declared_events.decls().filter(|decl| decl.has_secrets(decl.version)).collect();
        sort_by_location(&mut secret, |decl| (decl.name, decl.location));
        problems.extend(secret.into_iter().map(|decl| {
            let (name, location, adapter) = (decl.name, decl.location, adapter.name());
            format!("event `{name}` ({location}) has secrets, which {adapter} would store or send: call `.secrets(seal)` to encrypt them, or `.secrets(Plain)` to keep them as plain text")
        }));
    }

    /// Refuses patterns that no known event can match, or logs a warning if undeclared events are accepted.
    fn check_patterns(&self, declared_events: &DeclaredEvents, problems: &mut Vec<String>) {
        let of_handlers = self.handlers.iter().flat_map(|handler| {
            handler.patterns.iter().map(|text| (format!("handler {}", handler.location), *text))
        });
        #[cfg(feature = "durable")]
        let of_handlers = of_handlers.chain(self.patterns_of_closures());
        for (handler, text) in of_handlers {
            let Ok(pattern) = Pattern::new(text) else { continue };
            let Some(problem) = unreachable(pattern, declared_events.names(), "known") else { continue };
            let problem = format!("{handler}: {problem}");
            match self.settings.accept_undeclared || is_of_library(text) {
                true => self.settings.reporter.warning(format_args!("{problem}")),
                false => problems.push(problem),
            }
        }
    }
}

/// Binds the handlers to their state. Adds a problem for each state that is missing.
fn bind_all(handlers: &[&HandlerDecl], states: &States, problems: &mut Vec<String>) -> Vec<Callback> {
    let mut callbacks = Vec::with_capacity(handlers.len());
    for handler in handlers {
        let mut binder = Binder::new(states);
        callbacks.extend((handler.bind)(&mut binder));
        problems.extend(binder.missing.iter().map(|(argument, ty)| {
            let (location, advice) = (handler.location, states.advice(ty));
            format!("handler {location}: no state of type `{ty}` for its argument `{argument}`: {advice}")
        }));
    }
    callbacks
}

/// Returns a problem for each event with decimals, if a feature of rust_decimal makes them numbers in JSON.
fn check_decimals(declared_events: &DeclaredEvents) -> Vec<String> {
    if !schema::decimals_are_numbers() {
        return Vec::new();
    }
    let mut written: Vec<_> = declared_events.decls().filter(|decl| decl.schema.has_decimals()).collect();
    sort_by_location(&mut written, |decl| (decl.name, decl.location));
    let problem = |decl: &EventDecl| {
        format!(
            "event `{}` ({}) has a `Decimal`, which this program writes as a number, while its schema says a string: a crate turns on `rust_decimal/serde-float` or `rust_decimal/serde-arbitrary-precision`; turn it off (`cargo tree -e features -i rust_decimal` shows which crate does)",
            decl.name, decl.location
        )
    };
    written.into_iter().map(problem).collect()
}

/// The parts from which [`BusBuilder::build`] starts a bus, after all checks have passed.
struct Checked {
    declared_events: DeclaredEvents,
    callbacks: Vec<Callback>,
    runtime: Handle,
    warnings: Vec<String>,
}

/// Returns the current runtime. Adds a problem if there is none or it has no timer.
fn runtime(problems: &mut Vec<String>) -> Option<Handle> {
    let Ok(runtime) = Handle::try_current() else {
        problems
            .push("no tokio runtime: await `build()` inside one, for example in `#[tokio::main]`".to_owned());
        return None;
    };
    if !has_timer() {
        problems.push(
            "the tokio runtime has no timer, which `stop` and adapters need: call `enable_all()` or `enable_time()` when building it".to_owned(),
        );
    }
    Some(runtime)
}

impl Inner {
    /// Opens the adapter and starts the durable handlers. Boxed, so that the compiler proves only once that
    /// the future is `Send`, and not again within `build`.
    fn start(self: &Arc<Self>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.start_adapter())
    }

    async fn start_adapter(self: &Arc<Self>) -> Result<(), Error> {
        let Some(adapter) = &self.adapter else { return Ok(()) };
        let kept = Arc::new(());
        let (bus, codec) = (Arc::downgrade(self), self.codec.clone());
        let receiver = Receiver { bus, instance: self.instance, codec, _kept: Arc::clone(&kept) };
        let subscribed = caught(async { adapter.subscribe(receiver).await }).await;
        subscribed.unwrap_or_else(panicked).map_err(|error| refused(&**adapter, "subscribe", &error))?;
        let has_remote_events = Arc::strong_count(&kept) > 1;
        if has_remote_events || !self.durable_handlers.is_empty() {
            self.watch_runtime(has_remote_events);
        }
        #[cfg(feature = "durable")]
        self.start_consumers(adapter).await?;
        Ok(())
    }
}

/// Creates the error of `build()` for an adapter that can't do what is named by `what`.
fn refused(adapter: &dyn Adapter, what: &str, error: &AdapterError) -> Error {
    let message = format!("{} can't {what}: {error}", adapter.name());
    Error::new(ErrorKind::Build, message).with_temporary(error.is_temporary())
}
