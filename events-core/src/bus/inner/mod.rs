//! The bus: handlers, history and adapter behind one handle.

pub(crate) mod abandoned;
pub(crate) mod call;
pub(crate) mod calling;
pub(crate) mod context;
pub(crate) mod failure;
pub(crate) mod in_flight;
pub(crate) mod losses;
pub(crate) mod name_cache;
pub(crate) mod outcome;
pub(crate) mod pattern_map;
pub(crate) mod reach;
pub(crate) mod rendezvous;
pub(crate) mod report;
pub(crate) mod routes;
pub(crate) mod runtime;
pub(crate) mod shared;
pub(crate) mod slow;
pub(crate) mod stopping;
pub(crate) mod told;
pub(crate) mod work;

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;

use crate::adapter::Adapter;
use crate::bus::inner::abandoned::Abandoned;
use crate::bus::inner::in_flight::Lifecycle;
use crate::bus::inner::report::Fallback;
use crate::bus::inner::routes::Routes;
use crate::bus::inner::runtime::Home;
use crate::bus::inner::slow::SlowHandlers;
use crate::bus::inner::stopping::Stopping;
use crate::bus::inner::told::Told;
use crate::bus::inner::work::Work;
use crate::error::ErrorKind;
use crate::event::declared::DeclaredEvents;
use crate::id::InstanceId;
use crate::log::Log;
use crate::record::codec::RecordCodec;
use crate::record::read_back::OnLoss;
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
    pub(crate) known: Arc<DeclaredEvents>,
    pub(crate) routes: Routes,
    /// The durable handlers.
    pub(crate) works: Vec<Arc<Work>>,
    /// Tells their tasks to end.
    pub(crate) stop_works: tokio::sync::watch::Sender<bool>,
    pub(crate) log: Arc<Log>,
    pub(crate) adapter: Option<Arc<dyn Adapter>>,
    pub(crate) codec: RecordCodec,
    pub(crate) flight: Arc<Lifecycle>,
    pub(crate) stopping: Stopping,
    pub(crate) watch: Arc<SlowHandlers>,
    pub(crate) counters: Counters,
    /// The places whose pattern no event can match.
    pub(crate) told_locations: Told<&'static Location<'static>>,
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
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.log.close();
    }
}
