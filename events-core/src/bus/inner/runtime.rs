//! Detects that the runtime on which a bus was built shuts down before `stop`. The tasks of the adapter and
//! of durable handlers can't move to another runtime. The loss is logged once, and emits that need these
//! tasks are refused.

use std::sync::atomic::Ordering;
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

/// Owned by a task on the runtime of the bus, which ends when the bus stops or is dropped. If the guard is
/// dropped while the bus is running, the runtime has shut down.
struct RuntimeGuard {
    bus: Weak<Inner>,
    /// True if the adapter delivers events of other instances.
    has_remote_events: bool,
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        let Some(bus) = self.bus.upgrade().filter(|bus| bus.lifecycle.is_running()) else { return };
        bus.has_lost_runtime.store(true, Ordering::Release);
        catch_panic(|| bus.warn_of_lost_runtime(self.has_remote_events));
        // This may be the last owner of the bus, and dropping the values that its handlers hold runs user
        // code.
        catch_panic(|| drop(bus));
    }
}

impl Inner {
    /// Spawns the task that detects the shutdown of the bus's runtime. `has_remote_events` is true if the adapter
    /// delivers events of other instances.
    pub(crate) fn watch_runtime(self: &Arc<Self>, has_remote_events: bool) {
        let guard = RuntimeGuard { bus: Arc::downgrade(self), has_remote_events };
        let mut stops = self.stop_tasks.subscribe();
        let stay = async move {
            // Returns an error if the bus was dropped.
            let _ = stops.wait_for(|stops| *stops).await;
            drop(guard);
        };
        spawn_boxed(&self.runtime, Box::pin(stay));
    }

    fn warn_of_lost_runtime(&self, has_remote_events: bool) {
        let mut losses = Vec::new();
        if has_remote_events {
            let adapter = self.adapter_name();
            losses.push(format!("events of other instances may no longer arrive from {adapter}"));
        }
        if !self.durable_handlers.is_empty() {
            losses.push(format!(
                "durable handlers of this bus get no more events ({})",
                self.durable_names(|_| true)
            ));
        }
        let losses = losses.join(", and ");
        self.warn(format_args!(
            "the runtime on which the bus was built has shut down before `stop`: {losses}; call `stop().await` before that runtime ends, or build the bus on the runtime that lives longest"
        ));
    }

    /// Returns the names of the consumers whose durable handlers `takes` accepts.
    fn durable_names(
        &self,
        takes: impl Fn(&crate::bus::inner::durable_handler::DurableHandler) -> bool,
    ) -> String {
        let names =
            self.durable_handlers.iter().filter(|handler| takes(handler)).map(|handler| handler.name());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Refuses an emit if the runtime of the bus has shut down and the event has durable handlers here.
    pub(crate) fn check_runtime(&self, event: &str) -> Result<(), Error> {
        if !self.has_lost_runtime.load(Ordering::Acquire) || !self.has_durable_handler_for(event) {
            return Ok(());
        }
        let names = self.durable_names(|handler| handler.matches(event));
        Err(lost_with_runtime(event, &format!("its durable handlers ({names})")))
    }

    /// Refuses an emit in a transaction if the runtime of the bus has shut down and the event has durable or
    /// live handlers here. Live handlers get such events from a task of the adapter.
    #[cfg(feature = "durable")]
    pub(crate) fn check_runtime_of_transaction(&self, event: &str) -> Result<(), Error> {
        self.check_runtime(event)?;
        if !self.has_lost_runtime.load(Ordering::Acquire) || self.routes.of_name(event).entries.is_empty() {
            return Ok(());
        }
        Err(lost_with_runtime(event, "the task that calls its handlers for events of transactions"))
    }
}

fn lost_with_runtime(event: &str, what: &str) -> Error {
    let message = format!(
        "{event}: the runtime on which the bus was built has shut down, and {what} with it; nothing was emitted"
    );
    Error::new(ErrorKind::Runtime, message)
}

/// Spawns a task whose output is not used. All tasks have one type, because each further type makes this
/// crate slower to compile.
pub(crate) fn spawn_boxed(runtime: &Handle, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(task)
}

/// Returns true if the current runtime has a timer. Tokio has no function for that, so this polls a timer.
/// Without one, that panics: the panic hook prints tokio's message before the caller reports the problem.
pub(crate) fn has_timer() -> bool {
    let mut has_timer = false;
    catch_panic(|| {
        let mut timer = std::pin::pin!(tokio::time::sleep(Duration::from_secs(1)));
        let _ = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        has_timer = true;
    });
    has_timer
}
