//! `bus.stop()`: refuse, drain, close.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::builder::has_timer;
use super::task::spawn_boxed;
use super::{Bus, Inner, context};
use crate::adapter::{Adapter, BoxFuture};
use crate::contain::{caught, discard};
use crate::error::{Error, ErrorKind};

/// Where a bus that stops has got to.
#[derive(Default)]
pub(super) struct Stopping {
    /// Closed when the task that drains the bus is gone.
    task: Mutex<Option<watch::Receiver<()>>>,
    /// Whether somebody closes the bus.
    is_closing: AtomicBool,
    /// For all who wait for it.
    outcome: watch::Sender<Option<Outcome>>,
}

/// What `stop` came to: on what it gave up, if on anything.
type Outcome = Result<(), String>;

/// Until it is dropped, nobody else closes the bus.
struct Closing<'a>(&'a AtomicBool);

impl Stopping {
    fn begin_close(&self) -> Option<Closing<'_>> {
        (!self.is_closing.swap(true, Ordering::AcqRel)).then_some(Closing(&self.is_closing))
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The time an adapter has to make things safe, even where handlers took all of the deadline.
const ADAPTER_GRACE: Duration = Duration::from_secs(1);

/// How long the caller of `stop` leaves it to the runtime of the bus to close it, which goes first.
const PATIENCE: Duration = Duration::from_secs(1);

/// Deadlines further away are as good as none.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Bus {
    /// Stops the bus: waits for what is in flight, then stops the adapter and ends streams.
    ///
    /// From the call on, emits from outside are refused; emits of running handlers pass, until all
    /// is done or the deadline (30 s unless set by [`BusBuilder::stop_deadline`]) is reached. What
    /// still runs then is left running, and its emits are refused. Handlers that wait, or
    /// block a thread, are named in the error; that emits wait for the adapter or a replay, is said. So are the calls
    /// that were lost before with a runtime that shut down ([`Stats::abandoned`](crate::Stats::abandoned)). A
    /// handler of [`on_replay`](Self::on_replay) that has not caught up by then ends. The
    /// history can still be read. A second `stop` waits for the first and has the same outcome.
    ///
    /// The runtime of the bus does this. Where that is gone, or is one of a single thread that nobody drives, the
    /// runtime of the caller does, which needs a timer for it.
    ///
    /// The deadline is told by the clock of the runtime: under
    /// [`tokio::time::pause`](https://docs.rs/tokio/latest/tokio/time/fn.pause.html) it passes as soon as nothing is
    /// left that could run.
    ///
    /// [`BusBuilder::stop_deadline`]: crate::BusBuilder::stop_deadline
    ///
    /// # Errors
    ///
    /// [`ErrorKind::StopIncomplete`] at the deadline, where calls were lost, or where the adapter fails to stop;
    /// [`ErrorKind::StopInHandler`] inside a handler of this bus, which would wait for itself;
    /// [`ErrorKind::Runtime`] where the runtime of the bus, and then that of the caller, shuts down
    /// first, or that of the caller has no timer.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, the bus stops even if this is dropped.
    pub fn stop(&self) -> impl Future<Output = Result<(), Error>> + Send {
        let stopped: BoxFuture<'_, _> = Box::pin(self.inner.stop());
        stopped // as a box, it is compiled in this crate, and not again in each program
    }
}

impl Inner {
    async fn stop(self: &Arc<Self>) -> Result<(), Error> {
        if context::is_inside_of(self.instance) {
            let message =
                "stop was called inside a handler, which it would wait for; call it outside, or spawn it";
            return Err(Error::new(ErrorKind::StopInHandler, message));
        }
        let caller = Handle::try_current().ok();
        let has_timer = caller.is_some() && has_timer();
        for runtime in [Some(&self.runtime), caller.as_ref()].into_iter().flatten() {
            if let Some(outcome) = self.stop_on(runtime, has_timer).await {
                return outcome.map_err(|left| Error::new(ErrorKind::StopIncomplete, left));
            }
            if caller.is_some() && !has_timer {
                let message = "the runtime of the bus has shut down, and that of the caller has no timer, which `stop` needs: say `enable_all()`, or `enable_time()`, where it is built";
                return Err(Error::new(ErrorKind::Runtime, message));
            }
        }
        let message = "the runtime shut down before the bus had stopped";
        Err(Error::new(ErrorKind::Runtime, message))
    }

    /// Lets a task on a runtime stop the bus, unless one does, and waits for the outcome; `None` where that task is
    /// gone before. Where the caller has a timer, it drains the bus as well: nobody may drive the task.
    async fn stop_on(self: &Arc<Self>, runtime: &Handle, has_timer: bool) -> Option<Outcome> {
        let mut task = self.begin_stop(runtime);
        let mut outcome = self.stopping.outcome.subscribe();
        let mut known = pin!(outcome.wait_for(Option::is_some));
        let mut gone = pin!(task.changed());
        let mut drained = pin!(self.drain(PATIENCE));
        let mut drains = has_timer;
        std::future::poll_fn(|cx| {
            drains = drains && drained.as_mut().poll(cx).is_pending();
            if known.as_mut().poll(cx).is_ready() || gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(self.stopping.outcome.borrow().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Tells the adapter that this program no longer has its consumers open.
    async fn close_consumers(&self, adapter: &dyn Adapter) {
        let Some(durable) = adapter.durable() else { return };
        for work in &self.works {
            if durable.close(&work.consumer, self.now()).await.is_err() {
                return;
            }
        }
    }

    /// Begins to stop, unless that is under way or done; gives what is closed when the task that drains is gone.
    fn begin_stop(self: &Arc<Self>, runtime: &Handle) -> watch::Receiver<()> {
        let mut stopping = self.stopping.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*stopping
            && (task.has_changed().is_ok() || self.stopping.outcome.borrow().is_some())
        {
            return task.clone();
        }
        if self.flight.is_running() {
            self.flight.begin_stop();
            self.routes.close();
            self.stop_works.send_replace(true);
        }
        let (lives, task) = watch::channel(());
        let inner = Arc::clone(self);
        let drained = async move {
            inner.drain(Duration::ZERO).await;
            drop(lives);
        };
        spawn_boxed(runtime, Box::pin(drained));
        stopping.insert(task).clone()
    }

    /// Waits for what is in flight, and closes the bus, unless another one has done so within `patience`.
    async fn drain(&self, patience: Duration) {
        let deadline = Instant::now() + self.settings.stop_deadline.min(NEVER);
        let drained = timeout_at(deadline, self.flight.idle()).await.is_ok();
        if !patience.is_zero() {
            sleep(patience).await;
        }
        let mut closing = self.stopping.begin_close();
        if closing.is_none() {
            // The adapter has so long.
            sleep_until(deadline.max(Instant::now() + ADAPTER_GRACE) + PATIENCE).await;
            closing = self.stopping.begin_close();
        }
        if self.stopping.outcome.borrow().is_none() {
            let outcome = self.close(deadline, drained).await;
            self.stopping.outcome.send_replace(Some(outcome));
        }
        drop(closing);
    }

    async fn close(&self, deadline: Instant, drained: bool) -> Outcome {
        self.flight.end_stop();
        let mut left = Vec::new();
        // Once more: the last nested emits may have passed just before.
        if !drained || timeout_at(deadline, self.flight.idle()).await.is_err() {
            let (handlers, places) = self.watch.describe();
            left = handlers;
            // How many they are is not known: emits that hold one list have one place, others up to three.
            if self.flight.count() > places {
                left.push("emits that block a thread, or wait for the adapter or a replay".to_owned());
            }
        }
        self.flight.end();
        self.log.close();
        if let Some(adapter) = &self.adapter {
            // Where it fails, they are taken for open for a while longer.
            if let Ok(Err(payload)) = timeout(ADAPTER_GRACE, caught(self.close_consumers(&**adapter))).await {
                discard(payload);
            }
            let deadline = deadline.max(Instant::now() + ADAPTER_GRACE);
            let stopped = caught(async { adapter.stop().await });
            match timeout_at(deadline, stopped).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Err(payload)) => {
                    discard(payload);
                    left.push(format!("{} panicked", adapter.name()));
                }
                Ok(Ok(Err(error))) => left.push(format!("{} failed to stop: {error}", adapter.name())),
                Err(_) => left.push(format!("{} did not stop in time", adapter.name())),
            }
        }
        let limit = self.settings.stop_deadline;
        let gave_up = || format!("stop gave up after {} s on: {}", limit.as_secs_f64(), left.join("; "));
        let problems = [(!left.is_empty()).then(gave_up), self.abandoned.describe()];
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}
