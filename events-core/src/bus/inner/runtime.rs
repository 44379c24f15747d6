//! What a bus loses when the runtime on which it was built shuts down before `stop`: the tasks of its adapter and of
//! its durable handlers, which can't move. It is said when that happens, and by each emit that needs them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Context;
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::adapter::BoxFuture;
use crate::bus::inner::Inner;
use crate::error::{Error, ErrorKind};
use crate::panics::catch_panic;

/// Whether the runtime of the bus has shut down before `stop`.
#[derive(Default)]
pub(crate) struct Home {
    is_lost: AtomicBool,
}

/// Held by a task on the runtime of the bus, which ends when the bus stops or is gone: dropped before, its runtime has
/// shut down.
struct Guard {
    bus: Weak<Inner>,
    /// Whether an adapter passes on events of other instances.
    joins: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(bus) = self.bus.upgrade().filter(|bus| bus.flight.is_running()) else { return };
        bus.home.is_lost.store(true, Ordering::Release);
        catch_panic(|| bus.warn_of_lost_runtime(self.joins));
        // Perhaps the last owner of what handlers hold.
        catch_panic(|| drop(bus));
    }
}

impl Inner {
    /// Begins to watch the runtime of the bus, which has tasks there; `joins` where an adapter passes on events of
    /// other instances.
    pub(crate) fn watch_runtime(self: &Arc<Self>, joins: bool) {
        let guard = Guard { bus: Arc::downgrade(self), joins };
        let mut stops = self.stop_works.subscribe();
        let stay = async move {
            // An error says that the bus is gone.
            let _ = stops.wait_for(|stops| *stops).await;
            drop(guard);
        };
        spawn_boxed(&self.runtime, Box::pin(stay));
    }

    fn warn_of_lost_runtime(&self, joins: bool) {
        let mut lost = Vec::new();
        if joins {
            let adapter = self.adapter_name();
            lost.push(format!("events of other instances may no longer arrive from {adapter}"));
        }
        if !self.works.is_empty() {
            lost.push(format!("durable handlers get none here ({})", self.durable_names(|_| true)));
        }
        let lost = lost.join(", and ");
        self.warn(format_args!(
            "the runtime on which the bus was built has shut down before `stop`: {lost}; call `stop().await` before that runtime ends, or build the bus on the runtime that lives longest"
        ));
    }

    /// The durable handlers of the bus that take an event of such a name.
    fn durable_names(&self, takes: impl Fn(&crate::bus::inner::work::Work) -> bool) -> String {
        let names = self.works.iter().filter(|work| takes(work)).map(|work| work.consumer.name());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Refuses an emit whose durable handlers here were lost with their runtime.
    pub(crate) fn check_runtime(&self, event: &str) -> Result<(), Error> {
        if !self.home.is_lost.load(Ordering::Acquire) || !self.has_work_on(event) {
            return Ok(());
        }
        let names = self.durable_names(|work| work.takes(event));
        Err(lost_with_runtime(event, &format!("its durable handlers ({names})")))
    }

    /// The same of an emit in a transaction, which a task of the adapter brings to live handlers as well.
    pub(crate) fn check_runtime_of_transaction(&self, event: &str) -> Result<(), Error> {
        self.check_runtime(event)?;
        if !self.home.is_lost.load(Ordering::Acquire) || self.routes.of_name(event).entries.is_empty() {
            return Ok(());
        }
        Err(lost_with_runtime(event, "what calls its handlers for events of transactions"))
    }
}

fn lost_with_runtime(event: &str, what: &str) -> Error {
    let message = format!(
        "{event}: the runtime on which the bus was built has shut down, and {what} with it; nothing was emitted"
    );
    Error::new(ErrorKind::Runtime, message)
}

/// Spawns what nobody waits for. One type of task for all, since each costs every build of this crate.
pub(crate) fn spawn_boxed(runtime: &Handle, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(task)
}

/// Whether timers can be used on the current runtime. Tokio has no way to ask, so this takes one: where there is none,
/// it panics, and the panic hook shows tokio's own message before the caller says the same.
pub(crate) fn has_timer() -> bool {
    let mut has_timer = false;
    catch_panic(|| {
        let mut timer = std::pin::pin!(tokio::time::sleep(Duration::from_secs(1)));
        let _ = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        has_timer = true;
    });
    has_timer
}
