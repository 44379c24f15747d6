//! `bus.stop()`: refuse, drain, close.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::task::spawn_boxed;
use super::{Bus, Inner, context};
use crate::adapter::{Adapter, BoxFuture};
use crate::contain::{caught, discard};
use crate::error::{Error, ErrorKind};

/// The first `stop`, for others to wait for.
pub(super) type Stopping = Mutex<Option<watch::Receiver<Option<Outcome>>>>;

/// What the first `stop` came to: on what it gave up, if on anything.
type Outcome = Result<(), String>;

/// The time an adapter has to make things safe, even where handlers took all of the deadline.
const ADAPTER_GRACE: Duration = Duration::from_secs(1);

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
    /// first.
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
        for runtime in [self.runtime.clone(), self.runtime()] {
            match self.begin_stop(&runtime).wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Err(left))) => return Err(Error::new(ErrorKind::StopIncomplete, left.as_str())),
                Ok(_) => return Ok(()),
                Err(_) => {}
            }
        }
        let message = "the runtime shut down before the bus had stopped";
        Err(Error::new(ErrorKind::Runtime, message))
    }

    /// Starts to stop, unless that is under way or done; and says where the outcome will be.
    fn begin_stop(self: &Arc<Self>, runtime: &Handle) -> watch::Receiver<Option<Outcome>> {
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        match &*stopping {
            // A drain whose runtime is gone has no sender and no outcome.
            Some(outcome) if outcome.has_changed().is_ok() || outcome.borrow().is_some() => {
                return outcome.clone();
            }
            _ => {}
        }
        self.flight.begin_stop();
        self.routes.close();
        self.stop_works.send_replace(true);
        let (done, outcome) = watch::channel(None);
        let inner = Arc::clone(self);
        let drained = async move { drop(done.send_replace(Some(inner.drain().await))) };
        spawn_boxed(runtime, Box::pin(drained));
        stopping.insert(outcome).clone()
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

    async fn drain(&self) -> Outcome {
        let limit = self.settings.stop_deadline;
        let deadline = Instant::now() + limit.min(NEVER);
        let drained = timeout_at(deadline, self.flight.idle()).await;
        self.flight.end_stop();
        let mut left = Vec::new();
        // Once more: the last nested emits may have passed just before.
        if drained.is_err() || timeout_at(deadline, self.flight.idle()).await.is_err() {
            let (handlers, emits) = self.watch.describe();
            left = handlers;
            // How many they are is not known: emits that hold one list count as one.
            if self.flight.count() > emits {
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
        let gave_up = || format!("stop gave up after {} s on: {}", limit.as_secs_f64(), left.join("; "));
        let problems = [(!left.is_empty()).then(gave_up), self.abandoned.describe()];
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}
