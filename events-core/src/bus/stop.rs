//! `bus.stop()`: refuse, drain, close.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Bus, Inner, context};
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
    /// still runs then is left running, and its emits are refused. Handlers that wait are named in
    /// the error; emits that block a thread, or wait for the adapter or a replay, are counted. The
    /// history can still be read. A second `stop` waits for the first and has the same outcome.
    ///
    /// [`BusBuilder::stop_deadline`]: crate::BusBuilder::stop_deadline
    ///
    /// # Errors
    ///
    /// [`ErrorKind::StopIncomplete`] at the deadline, or where the adapter fails to stop;
    /// [`ErrorKind::StopInHandler`] inside a handler of this bus, which would wait for itself;
    /// [`ErrorKind::Runtime`] where the runtime shuts down first.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, the bus stops even if this is dropped.
    ///
    /// # Panics
    ///
    /// Where tokio's timer is disabled (a runtime built without `enable_time`).
    pub async fn stop(&self) -> Result<(), Error> {
        if context::is_inside_of(self.inner.instance) {
            let message =
                "stop was called inside a handler, which it would wait for; call it outside, or spawn it";
            return Err(Error::new(ErrorKind::StopInHandler, message));
        }
        match self.inner.begin_stop().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(left))) => Err(Error::new(ErrorKind::StopIncomplete, left.as_str())),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Runtime, "the runtime shut down before the bus had stopped")),
        }
    }
}

impl Inner {
    /// Starts to stop, once; and says where the outcome will be.
    fn begin_stop(self: &Arc<Self>) -> watch::Receiver<Option<Outcome>> {
        let mut stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = &*stopping {
            return outcome.clone();
        }
        self.flight.begin_stop();
        let (done, outcome) = watch::channel(None);
        let inner = Arc::clone(self);
        self.runtime().spawn(async move { done.send_replace(Some(inner.drain().await)) });
        stopping.insert(outcome).clone()
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
            match self.flight.count().saturating_sub(emits) {
                0 => {}
                others => left
                    .push(format!("{others} emits that block a thread, or wait for the adapter or a replay")),
            }
        }
        self.log.close();
        if let Some(adapter) = &self.adapter {
            let deadline = deadline.max(Instant::now() + ADAPTER_GRACE);
            match timeout_at(deadline, adapter.stop()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => left.push(format!("{} failed to stop: {error}", adapter.name())),
                Err(_) => left.push(format!("{} did not stop in time", adapter.name())),
            }
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("stop gave up after {} s on: {}", limit.as_secs_f64(), left.join("; "))),
        }
    }
}
