//! `Bus::stop`: refuses emits, drains the bus, and closes the adapter.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::adapter::{Adapter, BoxFuture};
use crate::bus::inner::context;
use crate::bus::inner::in_flight::StopDeferral;
use crate::bus::inner::runtime::has_timer;
use crate::bus::inner::runtime::spawn_boxed;
use crate::bus::inner::shared_future::SharedFuture;
use crate::bus::inner::stopping::AdapterStops;
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::panics::{caught, drop_quietly};

/// Minimum time that an adapter has to stop, even if the handlers took all of the deadline.
const ADAPTER_GRACE: Duration = Duration::from_secs(1);

/// Maximum deadline, one year, so that adding it to the current time can't overflow.
const MAX_STOP_DEADLINE: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Bus {
    /// Stops the bus: waits until everything in flight has finished, then stops the adapter and ends streams.
    ///
    /// Once the stop begins, emits outside of handlers are refused, unless the stop is
    /// [deferred](Self::defer_stop). Emits of running handlers are accepted until everything has finished or
    /// the deadline is reached; the deadline is 30 s unless set by [`BusBuilder::stop_deadline`]. At the
    /// deadline, handlers that are still running are left running, and their emits are refused. The error
    /// then names the handlers that wait or block a thread, and says if emits still wait for the adapter or a
    /// replay. It also names the calls that were lost before because a runtime shut down
    /// ([`Stats::abandoned`](crate::Stats::abandoned)). A handler with a [`replay`](Self::replay) that has
    /// not caught up by then is removed. The history can still be read after the stop. A second `stop` waits
    /// for the first and returns the same result.
    ///
    /// The runtime of the bus and the runtime of the caller drain the bus together, so the stop makes
    /// progress while either of them runs. The runtime of the caller needs a timer if the runtime of the bus
    /// has shut down, or is a current-thread runtime that no thread drives.
    ///
    /// The deadline is measured by the clock of the runtime. Under
    /// [`tokio::time::pause`](https://docs.rs/tokio/latest/tokio/time/fn.pause.html) it passes as soon as no
    /// task can make progress.
    ///
    /// [`BusBuilder::stop_deadline`]: crate::BusBuilder::stop_deadline
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::StopIncomplete`] if the deadline was reached, calls were lost, or the adapter failed to
    ///   stop.
    /// - [`ErrorKind::StopInHandler`] if it is called inside a handler of this bus, which would wait for
    ///   itself. Nothing was stopped.
    /// - [`ErrorKind::Runtime`] if the runtimes of the bus and of the caller shut down first, or the runtime
    ///   of the caller has no timer and needs one.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the bus continues to stop even if the future is dropped.
    pub fn stop(&self) -> impl Future<Output = Result<(), Error>> + Send {
        let stopped: BoxFuture<'_, _> = Box::pin(self.inner.stop());
        stopped // as a box, it is compiled in this crate, and not again in each program
    }

    /// Defers [`stop`](Self::stop) for work that emits, such as a request that is being answered. Until the
    /// last guard that was taken before the stop is dropped, or until the deadline, `stop` waits and all
    /// emits are accepted.
    ///
    /// With axum, the middleware `typed_events::axum::defer_stop` takes a guard for each request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Stopped`] once the bus is stopping.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("defer_doc.answered")]
    /// pub struct Answered { pub status: u16 }
    ///
    /// let bus = Bus::builder().build().await?;
    /// let deferral = bus.defer_stop()?;
    /// let request = async {
    ///     tokio::task::yield_now().await; // the stop begins
    ///     let emitted = bus.emit(Answered { status: 200 }).await;
    ///     drop(deferral);
    ///     emitted
    /// };
    /// let (stopped, emitted) = tokio::join!(bus.stop(), request);
    /// assert!(stopped.is_ok() && emitted.is_ok());
    /// # Ok(()) }
    /// ```
    pub fn defer_stop(&self) -> Result<StopDeferral, Error> {
        let stopping = |_| Error::new(ErrorKind::Stopped, "defer_stop: the bus is stopping or stopped");
        self.inner.lifecycle.defer_stop().map_err(stopping)
    }
}

impl Inner {
    async fn stop(self: &Arc<Self>) -> Result<(), Error> {
        if context::is_in_handler_of(self.instance) {
            let message = "`stop` was called inside a handler, for which it would wait; call it outside of handlers, or spawn it";
            return Err(Error::new(ErrorKind::StopInHandler, message));
        }
        let caller = Handle::try_current().ok();
        let has_timer = caller.is_some() && has_timer();
        let mut outcome = self.stopping.outcome.subscribe();
        let mut has_outcome = pin!(outcome.wait_for(Option::is_some));
        let mut task_lost = pin!(self.keep_draining(caller.as_ref(), has_timer));
        // The runtime of the draining task may not be driven, so the caller drains the bus as well.
        let mut drained = pin!(self.drain());
        let mut drains = has_timer && self.stopping.outcome.borrow().is_none();
        let stopped = std::future::poll_fn(|cx| {
            let task_lost = task_lost.as_mut().poll(cx);
            drains = drains && drained.as_mut().poll(cx).is_pending();
            match has_outcome.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(Ok(())),
                Poll::Pending => task_lost.map(Err),
            }
        });
        let outcome_or_lost = stopped.await;
        // If there is an outcome, it counts even if the draining task was lost. `has_outcome` may still be pending,
        // because tokio limits how much a task does per poll.
        match &*self.stopping.outcome.borrow() {
            Some(Err(problems)) => Err(Error::new(ErrorKind::StopIncomplete, problems.clone())),
            Some(Ok(())) => Ok(()),
            None => outcome_or_lost,
        }
    }

    /// Begins to stop, and ensures that a task drains the bus even if the caller drops its future: on the
    /// runtime of the bus, or on that of the caller if the former has shut down. Returns once no such task is
    /// left.
    async fn keep_draining(self: &Arc<Self>, caller: Option<&Handle>, has_timer: bool) -> Error {
        // Returns an error once the task has ended or was dropped.
        let _ = self.begin_stop(&self.runtime).changed().await;
        if let Some(caller) = caller {
            if !has_timer {
                let message = "the runtime of the bus has shut down, and that of the caller has no timer, which `stop` needs: call `enable_all()` or `enable_time()` when building it";
                return Error::new(ErrorKind::Runtime, message);
            }
            let _ = self.begin_stop(caller).changed().await;
        }
        Error::new(ErrorKind::Runtime, "the runtime shut down before the bus had stopped")
    }

    /// Begins to stop and spawns a task that drains the bus, unless there is such a task or an outcome.
    /// Returns a receiver that is closed when the task has ended or was dropped.
    fn begin_stop(self: &Arc<Self>, runtime: &Handle) -> watch::Receiver<()> {
        let mut stopping = self.stopping.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*stopping
            && (task.has_changed().is_ok() || self.stopping.outcome.borrow().is_some())
        {
            return task.clone();
        }
        if self.lifecycle.is_running() {
            self.lifecycle.begin_stop();
            self.routes.close();
            self.stop_tasks.send_replace(true);
        }
        let (lives, task) = watch::channel(());
        let inner = Arc::clone(self);
        let drained = async move {
            inner.drain().await;
            drop(lives);
        };
        spawn_boxed(runtime, Box::pin(drained));
        stopping.insert(task).clone()
    }

    /// Waits for everything in flight, then closes the bus. Several tasks may run this concurrently, each
    /// with its own clock. They share the steps that happen only once, and the first to finish sets the
    /// outcome.
    async fn drain(&self) {
        let deadline = Instant::now() + self.settings.stop_deadline.min(MAX_STOP_DEADLINE);
        let idle = timeout_at(deadline, self.lifecycle.idle()).await.is_ok();
        self.lifecycle.end_stop();
        // Wait once more: nested emits may have been accepted just before `end_stop`.
        let idle = idle && timeout_at(deadline, self.lifecycle.idle()).await.is_ok();
        let unfinished = if idle { Vec::new() } else { self.describe_unfinished() };
        let unfinished = self.stopping.unfinished.get_or_init(|| unfinished);
        self.lifecycle.end_drain();
        self.log.close();
        let failed = self.stop_adapter(deadline).await;
        // The periods of added-up losses end with the bus.
        self.losses.log_all();
        let limit = self.settings.stop_deadline.as_secs_f64();
        let unfinished: Vec<_> = unfinished.iter().cloned().chain(failed).collect();
        let gave_up = || format!("stop gave up after {limit} s on: {}", unfinished.join("; "));
        let problems = [(!unfinished.is_empty()).then(gave_up), self.lost_work.describe()];
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        let outcome = if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) };
        self.stopping.outcome.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert(outcome);
            is_first
        });
    }

    /// Describes the emits and handler calls that are still in flight.
    fn describe_unfinished(&self) -> Vec<String> {
        let (mut unfinished, accounted_for) = self.slow_handlers.describe();
        let deferrals = self.lifecycle.deferrals();
        // The number of unnamed emits is unknown: an emit that only holds a list has one count in flight,
        // others have up to three.
        if self.lifecycle.count() > accounted_for + deferrals {
            unfinished.push("emits that block a thread, or wait for the adapter or a replay".to_owned());
        }
        if deferrals > 0 {
            unfinished.push(format!("guards of `defer_stop` ({deferrals})"));
        }
        unfinished
    }

    /// Ends the session of the durable handlers and stops the adapter. Returns a description of what went wrong.
    async fn stop_adapter(&self, deadline: Instant) -> Option<String> {
        let adapter = self.adapter.as_ref()?;
        let AdapterStops { session_end, adapter_stop } = self.stopping.adapter.get_or_init(|| AdapterStops {
            session_end: SharedFuture::new(self.end_session()),
            adapter_stop: SharedFuture::new(stop_caught(Arc::clone(adapter))),
        });
        // If this fails, the session ends after its lease.
        session_end.output_by(Instant::now() + ADAPTER_GRACE, || ()).await;
        let deadline = deadline.max(Instant::now() + ADAPTER_GRACE);
        adapter_stop.output_by(deadline, || Some(format!("{} did not stop in time", adapter.name()))).await
    }
}

/// Stops the adapter. Returns a description of what went wrong.
fn stop_caught(adapter: Arc<dyn Adapter>) -> BoxFuture<'static, Option<String>> {
    Box::pin(async move {
        // The block also catches a panic before the adapter returns its future.
        match caught(async { adapter.stop().await }).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{} failed to stop: {error}", adapter.name())),
            Err(payload) => {
                drop_quietly(payload);
                Some(format!("{} panicked when it was stopped", adapter.name()))
            }
        }
    })
}
