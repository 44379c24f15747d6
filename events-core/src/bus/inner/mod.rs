//! The bus: handlers, history and adapter behind one handle.

pub(crate) mod call;
pub(crate) mod calling;
pub(crate) mod in_flight;
pub(crate) mod losses;
pub(crate) mod name_cache;
pub(crate) mod outcome;
pub(crate) mod pattern_map;
pub(crate) mod reach;
pub(crate) mod report;
pub(crate) mod routes;
pub(crate) mod runtime;
pub(crate) mod shared;
pub(crate) mod slow;
pub(crate) mod told;

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;

use crate::bus::builder::BusBuilder;
use crate::bus::emit::Emit;
use crate::bus::emit::Options;
use crate::bus::emit::task::Abandoned;
use crate::bus::inner::runtime::Home;
use crate::bus::inner::told::Told;
use crate::bus::stop::Stopping;

use crate::adapter::log::{LogId, LogPage, LogQuery};
use crate::adapter::{Adapter, AdapterError};
use crate::bus::durable::worker::Work;
use crate::bus::emit::context::{self, Inherited};
use crate::bus::inner::in_flight::{Flight, InFlight};
use crate::bus::inner::report::Fallback;
use crate::bus::inner::routes::{Held, Routes};
use crate::bus::inner::slow::Watch;
use crate::error::{Error, ErrorKind};
use crate::event::known::Known;
use crate::event::{Event, EventDecl};
use crate::id::{EventId, InstanceId};
use crate::log::Log;
use crate::log::query::{Events, History, HistoryQuery};
use crate::record::codec::Wire;
use crate::record::metadata::Metadata;
use crate::record::read_back::OnLoss;
use crate::record::{Envelope, Record};
use crate::time::{Clock, Timestamp};

/// A bus: emits events to handlers, and remembers them.
///
/// A clone is another handle to the same bus. When the last handle is dropped, what runs finishes;
/// use [`stop`](Self::stop) to wait for it. Handlers that wait run on the runtime of their emit, and move to
/// the runtime of the bus when that one shuts down. What still runs when both have shut down, such as at the end of
/// `main`, is lost: each such call is logged, and counted in [`Stats::abandoned`].
///
/// What an adapter brings from other instances, and durable handlers, run on the runtime of the bus, where it was built,
/// and can't move: build a bus with an adapter on the runtime that lives longest. If that runtime shuts down before
/// `stop`, a warning says what is lost, and emits of events with durable handlers here are refused.
///
/// ```
/// use typed_events::{Bus, event};
///
/// #[event("door.opened")]
/// pub struct DoorOpened { pub room: u32 }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// let bus = Bus::new().await?;
/// bus.on(|door: &DoorOpened| println!("room {} is open", door.room));
/// bus.emit(DoorOpened { room: 12 }).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) instance: InstanceId,
    pub(crate) settings: Settings,
    /// The declared events by name: all that are linked, and those the builder was told.
    pub(crate) known: Arc<Known>,
    pub(crate) routes: Routes,
    /// The durable handlers.
    pub(crate) works: Vec<Arc<Work>>,
    /// Tells their tasks to end.
    pub(crate) stop_works: tokio::sync::watch::Sender<bool>,
    pub(crate) log: Arc<Log>,
    pub(crate) adapter: Option<Arc<dyn Adapter>>,
    pub(crate) wire: Wire,
    pub(crate) flight: Arc<Flight>,
    pub(crate) stopping: Stopping,
    pub(crate) watch: Arc<Watch>,
    pub(crate) counters: Counters,
    /// The places whose pattern no event can match.
    pub(crate) told_places: Told<&'static Location<'static>>,
    /// The events of other instances that were refused, by kind of error and name.
    pub(crate) told_events: Told<(ErrorKind, Box<str>)>,
    /// Those that could not be read: by name (true), or by the reason.
    pub(crate) told_unreadable: Told<(bool, Box<str>)>,
    pub(crate) losses: losses::Losses,
    pub(crate) abandoned: Abandoned,
    pub(crate) home: Home,
    /// Where the bus was built: runs what is emitted outside of any runtime.
    pub(crate) runtime: Handle,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) accept_undeclared: bool,
    pub(crate) max_chain: u32,
    pub(crate) max_detached: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) slow_handler: Option<std::time::Duration>,
    pub(crate) stop_deadline: std::time::Duration,
    pub(crate) fallback: Fallback,
    pub(crate) lease: std::time::Duration,
    pub(crate) clock: Clock,
    /// Where each event that is written is also read back: for tests.
    pub(crate) on_loss: Option<OnLoss>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) unhandled: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) echoes: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) unreachable: AtomicU64,
}

/// What a bus has counted since it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that reached no handler.
    pub unhandled: u64,
    /// Calls of handlers that failed or panicked.
    pub failed: u64,
    /// Events of this bus that came back from the adapter, and were dropped.
    pub echoes: u64,
    /// Events from other instances that were not delivered: undeclared, or not fitting their type.
    pub refused: u64,
    /// Events from other instances that the adapter knows it lost, such as during a reconnect.
    pub lost: u64,
    /// Subscriptions, streams and queries whose pattern no declared event matches.
    pub unreachable: u64,
    /// Calls of handlers, and emits that waited for the adapter, that were lost because their runtime shut down.
    /// Each was logged, and [`Bus::stop`] names them.
    pub abandoned: u64,
}

impl Bus {
    /// Tells what a developer should know, where the bus tells of failures.
    pub(crate) fn warn(&self, what: std::fmt::Arguments<'_>) {
        self.inner.settings.fallback.warning(what);
    }

    /// Whether it has not begun to stop.
    pub(crate) fn is_running(&self) -> bool {
        self.inner.flight.is_running()
    }
}

impl Bus {
    /// A builder: for state, `#[on]` handlers and settings.
    pub fn builder() -> BusBuilder {
        BusBuilder::new()
    }

    /// A bus with default settings and no handlers yet. Where `#[on]` functions are linked, `build()` warns that it
    /// takes none of them: then write `Bus::builder().discover()` or `.no_handlers()`.
    ///
    /// # Errors
    ///
    /// Those of [`BusBuilder::build`].
    pub fn new() -> impl Future<Output = Result<Self, Error>> + Send {
        Self::builder().build()
    }

    /// Emits an event: it enters the history (or the adapter), then every matching handler runs.
    ///
    /// Nothing happens until the [`Emit`] is awaited or [detached](Emit::detach); it resolves when
    /// all handlers have finished. See [`Emit`] for errors and cancellation.
    ///
    /// # Complexity
    ///
    /// Does not depend on how many handlers or patterns other events have.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("user.created")]
    /// pub struct UserCreated { pub id: u64 }
    ///
    /// let bus = Bus::new().await?;
    /// bus.on(|user: &UserCreated| match user.id {
    ///     0 => Err("no such user"),
    ///     _ => Ok(()),
    /// });
    /// let emitted = bus.emit(UserCreated { id: 0 }).await?;
    /// assert_eq!(emitted.failures()[0].message(), "no such user");
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn emit<E: Event>(&self, event: E) -> Emit<'_, E> {
        Emit::new(self, event, None)
    }

    /// Emits an event with metadata. What the metadata leaves open is inherited from the event being
    /// handled.
    ///
    /// See [`emit`](Self::emit).
    pub fn emit_with<E: Event>(&self, event: E, metadata: Metadata) -> Emit<'_, E> {
        Emit::new(self, event, Options::with(metadata))
    }

    /// Asks the history for records of a pattern; see [`History`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// # let bus = typed_events::Bus::new().await?;
    /// for record in bus.history("user.*").limit(10).await? {
    ///     println!("{record}");
    /// }
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn history(&self, pattern: &str) -> History<'_> {
        History::new(self, pattern, Some(Location::caller()))
    }

    /// Whether the history is the adapter's, which instances share; else it is this bus's own, in memory.
    pub fn shares_history(&self) -> bool {
        self.inner.adapter.as_ref().is_some_and(|adapter| adapter.keeps_history())
    }

    /// The id of this bus: the origin of its records.
    pub fn instance(&self) -> InstanceId {
        self.inner.instance
    }

    /// What this bus has counted.
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            unhandled: read(&counters.unhandled),
            failed: read(&counters.failed),
            echoes: read(&counters.echoes),
            refused: read(&counters.refused),
            lost: read(&counters.lost),
            unreachable: read(&counters.unreachable),
            abandoned: self.inner.abandoned.count(),
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}

impl Inner {
    /// Whether anything beyond the handlers wants a record of each event.
    #[inline]
    pub(crate) fn keeps_records(&self) -> bool {
        self.adapter.is_some() || self.log.keeps()
    }

    /// Counts an emit, unless the bus stops, too many are waiting, or the chain is too deep.
    pub(crate) fn admit(&self, name: &str, from: Option<&Inherited>) -> Result<InFlight<'_>, Error> {
        let nested = from.is_some_and(|from| from.chain.passes(self.instance));
        let flight = self.flight.enter(nested).map_err(|_| self.stopped(name))?;
        let most = self.settings.max_in_flight;
        match from {
            // What runs inside of other emits is bounded with them.
            None if self.flight.kept() >= most => {
                let message =
                    format!("{name}: {most} emits are waiting for their handlers; nothing was emitted");
                Err(Error::new(ErrorKind::Overloaded, message))
            }
            Some(from) if from.chain.depth >= self.settings.max_chain => {
                let (most, chain) = (self.settings.max_chain, from.chain.describe(name));
                let message = format!("{name}: more than {most} emits inside each other: {chain}");
                Err(Error::new(ErrorKind::ChainTooDeep, message))
            }
            _ => Ok(flight),
        }
    }

    fn stopped(&self, name: &str) -> Error {
        Error::new(ErrorKind::Stopped, format!("{name}: the bus is stopping or stopped; nothing was emitted"))
    }

    pub(crate) fn envelope(
        &self,
        from: Option<&Inherited>,
        mut metadata: Metadata,
        id: Option<EventId>,
    ) -> Envelope {
        if let Some(from) = from {
            from.fill(&mut metadata);
        }
        let chain = from.map(|from| from.chain.clone()).unwrap_or_default();
        Envelope { metadata, id, chain, ..Envelope::new(self.instance) }
    }

    /// The handlers of an event, where holding them is enough to be in flight: outside of handlers and
    /// adapters, while the bus runs and not too many are waiting.
    pub(crate) fn place_of(&self, decl: &'static EventDecl) -> Option<Held> {
        if self.adapter.is_some() || context::is_inside() || self.flight.kept() >= self.settings.max_in_flight
        {
            return None;
        }
        self.routes.of_declared(decl)
    }

    /// The time by which leases and retries are reckoned.
    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Whether a durable handler takes events of this name.
    pub(crate) fn has_work_on(&self, name: &str) -> bool {
        self.works.iter().any(|work| work.takes(name))
    }

    /// The runtime of the caller, or else of the bus.
    pub(crate) fn runtime(&self) -> Handle {
        Handle::try_current().unwrap_or_else(|_| self.runtime.clone())
    }

    /// Makes the bus's runtime the current one, where there is none.
    pub(crate) fn enter_runtime(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        Handle::try_current().is_err().then(|| self.runtime.enter())
    }

    pub(crate) fn adapter_name(&self) -> String {
        self.adapter.as_ref().map_or_else(|| "memory".to_owned(), |adapter| adapter.name())
    }

    /// Reads the adapter's history, or the bus's own where the adapter keeps none.
    pub(crate) async fn read_history(&self, query: &HistoryQuery) -> Result<Events<Record>, Error> {
        let Some(adapter) = self.adapter_with_history() else { return Ok(Events::of(self.log.query(query))) };
        let found = adapter.history(query, &self.wire).await;
        found.map(Events::stored).map_err(|error| {
            let pattern = query.pattern();
            history_error(format!("{pattern}: {} can't read its history: {error}", adapter.name()), error)
        })
    }

    /// Reads the log of the adapter forwards, or else that in memory.
    pub(crate) async fn read_log(&self, query: &LogQuery) -> Result<LogPage, Error> {
        let Some(adapter) = self.adapter_with_history() else {
            return Ok(self.log.page(LogId::new(self.instance.to_bytes()), query));
        };
        let page = adapter.read_log(query, &self.wire).await;
        page.map_err(|error| history_error(format!("{} can't read its log: {error}", adapter.name()), error))
    }

    fn adapter_with_history(&self) -> Option<&dyn Adapter> {
        self.adapter.as_deref().filter(|adapter| adapter.keeps_history())
    }
}

fn history_error(message: String, error: AdapterError) -> Error {
    Error::new(ErrorKind::History, message).with_temporary(error.is_temporary()).with_source(error)
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.log.close();
    }
}
