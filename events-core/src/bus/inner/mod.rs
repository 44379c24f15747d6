//! The `Bus` handle, the data that all its clones share, and its counters.

pub(crate) mod call;
pub(crate) mod calling;
pub(crate) mod context;
#[cfg_attr(not(feature = "durable"), path = "no_durable_handler.rs")]
pub(crate) mod durable_handler;
pub(crate) mod failure;
pub(crate) mod failure_log;
pub(crate) mod in_flight;
pub(crate) mod losses;
pub(crate) mod lost_work;
pub(crate) mod name_cache;
pub(crate) mod outcome;
pub(crate) mod pattern_map;
pub(crate) mod report;
pub(crate) mod reported_once;
pub(crate) mod routes;
pub(crate) mod runtime;
pub(crate) mod shared_future;
pub(crate) mod slow;
pub(crate) mod stopping;
pub(crate) mod unreachable_patterns;

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::runtime::Handle;

use crate::adapter::Adapter;
use crate::bus::inner::durable_handler::DurableHandler;
use crate::bus::inner::in_flight::Lifecycle;
use crate::bus::inner::lost_work::LostWork;
use crate::bus::inner::report::Reporter;
use crate::bus::inner::reported_once::ReportedOnce;
use crate::bus::inner::routes::Routes;
use crate::bus::inner::slow::SlowHandlers;
use crate::bus::inner::stopping::Stopping;
use crate::error::ErrorKind;
use crate::event::declared::DeclaredEvents;
use crate::id::InstanceId;
use crate::log::Log;
use crate::record::codec::RecordCodec;
use crate::record::read_back::OnLoss;

/// A bus: passes emitted events to handlers, and keeps them in its history.
///
/// Clones are handles to one bus. Dropping the last handle does not cancel handlers that are running; call
/// [`stop`](Self::stop) to wait for them. An async handler that waits runs on the runtime of its emit. If
/// that runtime shuts down, the handler moves to the runtime of the bus. If both have shut down, as at the
/// end of `main`, the call is lost: it is logged, and counted in [`Stats::abandoned`].
///
/// The runtime of the bus is the one on which it was built. Durable handlers and events from other instances
/// run there and can't move, so build a bus with an adapter on the runtime that lives longest. If that
/// runtime shuts down before `stop`, the bus logs what is lost, and refuses emits of events for which it has
/// durable handlers.
///
/// ```
/// use typed_events::{Bus, event};
///
/// #[event("room.booked")]
/// pub struct RoomBooked { pub room: u32 }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// let bus = Bus::new().await?;
/// bus.on(|booked: &RoomBooked| println!("room {} is booked", booked.room));
/// bus.emit(RoomBooked { room: 12 }).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) instance: InstanceId,
    pub(crate) settings: Settings,
    /// The declared events by name: all linked events, and those given to the builder.
    pub(crate) declared_events: Arc<DeclaredEvents>,
    pub(crate) routes: Routes,
    /// One entry per durable handler.
    pub(crate) durable_handlers: Vec<Arc<DurableHandler>>,
    /// Set to true to end the tasks of durable handlers, of the orphan check and of the runtime guard.
    pub(crate) stop_tasks: tokio::sync::watch::Sender<bool>,
    /// The session of the durable handlers, if there are any.
    #[cfg(feature = "durable")]
    pub(crate) session: std::sync::OnceLock<Arc<dyn durable_handler::OpenSession>>,
    pub(crate) log: Arc<Log>,
    pub(crate) adapter: Option<Arc<dyn Adapter>>,
    pub(crate) codec: RecordCodec,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) stopping: Stopping,
    pub(crate) slow_handlers: Arc<SlowHandlers>,
    pub(crate) counters: Counters,
    /// Locations whose pattern matches no event, and that were reported.
    pub(crate) reported_locations: ReportedOnce<&'static Location<'static>>,
    /// Events from other instances that were refused and reported, by kind of error and event name.
    pub(crate) reported_refusals: ReportedOnce<(ErrorKind, Box<str>)>,
    /// Unreadable records that were reported: by event name (`true`), or by the reason if the name is
    /// unknown.
    pub(crate) reported_unreadable: ReportedOnce<(bool, Box<str>)>,
    pub(crate) losses: losses::Losses,
    pub(crate) lost_work: LostWork,
    /// True once the runtime on which the bus was built has shut down before `stop`.
    pub(crate) has_lost_runtime: AtomicBool,
    /// The runtime on which the bus was built. Runs emits that are polled outside of any runtime.
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
    pub(crate) reporter: Reporter,
    #[cfg(feature = "durable")]
    pub(crate) lease: std::time::Duration,
    #[cfg(feature = "durable")]
    pub(crate) clock: crate::time::clock::Clock,
    /// If set, each event is read back before the adapter gets it, and this is called with the error if it
    /// differs. Used by tests.
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

/// Counters of a bus, each counted since the bus was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that reached no handler, neither a live nor a durable one of this bus.
    pub unhandled: u64,
    /// Handler calls that returned an error or panicked.
    pub failed: u64,
    /// Events of this bus that the adapter delivered back to it, and that were dropped.
    pub echoes: u64,
    /// Events from other instances that were refused, because their name is undeclared or their payload does
    /// not fit the type.
    pub refused: u64,
    /// Events from other instances that the adapter reported as lost, for example during a reconnect, or that
    /// could not be read.
    pub lost: u64,
    /// Subscriptions, streams and queries whose pattern matches no declared event, and typed streams whose
    /// event does not match their pattern.
    pub unreachable: u64,
    /// Handler calls, and emits that waited for the adapter, that were lost because their runtime shut down.
    /// Each was logged, and the error of [`Bus::stop`] names them.
    pub abandoned: u64,
}

impl Bus {
    /// Logs a warning.
    pub(crate) fn warn(&self, what: std::fmt::Arguments<'_>) {
        self.inner.settings.reporter.warning(what);
    }

    /// Returns true until the bus begins to stop.
    pub(crate) fn is_running(&self) -> bool {
        self.inner.lifecycle.is_running()
    }

    /// Returns true if the history is stored by the adapter and shared with other instances, and false if it
    /// is this bus's own history in memory.
    pub fn shares_history(&self) -> bool {
        self.inner.adapter.as_ref().is_some_and(|adapter| adapter.keeps_history())
    }

    /// Returns the id of this bus, which is the origin of the records that it emits.
    pub fn instance(&self) -> InstanceId {
        self.inner.instance
    }

    /// Returns the counters of this bus.
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
            abandoned: self.inner.lost_work.count(),
        }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}

impl Inner {
    /// Returns true if this bus has a durable handler that takes events of this name.
    pub(crate) fn has_durable_handler_for(&self, name: &str) -> bool {
        self.durable_handlers.iter().any(|handler| handler.matches(name))
    }

    /// Returns the current runtime, or the runtime of the bus if there is none.
    pub(crate) fn runtime(&self) -> Handle {
        Handle::try_current().unwrap_or_else(|_| self.runtime.clone())
    }

    /// Enters the runtime of the bus if the thread is outside of any runtime.
    pub(crate) fn enter_runtime(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        Handle::try_current().is_err().then(|| self.runtime.enter())
    }

    pub(crate) fn adapter_name(&self) -> String {
        self.adapter.as_ref().map_or_else(|| "no adapter".to_owned(), |adapter| adapter.name())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.log.close();
    }
}
