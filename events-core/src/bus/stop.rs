//! `bus.stop()`: refuse, drain, close.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{Bus, Inner, context};
use crate::error::{Error, ErrorKind};

/// The outcome of the first stop that came to its end; the lock makes others wait for it.
pub(super) type Stopping = Mutex<Option<Result<(), String>>>;

impl Bus {
    /// Stops the bus: waits for what is in flight, then stops the adapter and ends streams.
    ///
    /// From the call on, emits from outside are refused; emits of running handlers pass, until all
    /// is done or the deadline (30 s unless set by [`BusBuilder::stop_deadline`]) is reached. What
    /// still runs then is named in the error and left running; its emits are refused. The history
    /// can still be read. A second `stop` waits for the first and has the same outcome.
    ///
    /// [`BusBuilder::stop_deadline`]: crate::BusBuilder::stop_deadline
    ///
    /// # Errors
    ///
    /// [`ErrorKind::StopIncomplete`] at the deadline, or where the adapter fails to stop;
    /// [`ErrorKind::StopInHandler`] inside a handler of this bus, which would wait for itself.
    ///
    /// # Cancel safety
    ///
    /// When dropped, emits stay refused, and another `stop` goes on from there.
    ///
    /// # Panics
    ///
    /// Where tokio's timer is disabled (a runtime built without `enable_time`).
    pub async fn stop(&self) -> Result<(), Error> {
        let inner = &self.inner;
        if context::is_inside_of(inner.instance) {
            let message =
                "stop was called inside a handler, which it would wait for; call it outside, or spawn it";
            return Err(Error::new(ErrorKind::StopInHandler, message));
        }
        inner.flight.begin_stop_unless_stopped();
        let mut outcome = inner.stopping.lock().await;
        let outcome = match &*outcome {
            Some(outcome) => outcome,
            None => outcome.insert(inner.drain(inner.settings.stop_deadline).await),
        };
        outcome.clone().map_err(|message| Error::new(ErrorKind::StopIncomplete, message))
    }
}

impl Inner {
    async fn drain(&self, deadline: Duration) -> Result<(), String> {
        let seconds = deadline.as_secs_f64();
        let deadline = Instant::now() + deadline;
        let drained = timeout_at(deadline, self.flight.idle()).await;
        let mut left = Vec::new();
        if drained.is_err() {
            left = self.pending.describe();
            let emits = self.flight.count();
            left.push(format!("{emits} emits in all"));
        }
        self.flight.end_stop();
        self.log.close();
        if let Some(adapter) = &self.adapter {
            match timeout_at(deadline.max(Instant::now() + ADAPTER_GRACE), adapter.stop()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => left.push(format!("{} failed to stop: {error}", adapter.name())),
                Err(_) => left.push(format!("{} did not stop in time", adapter.name())),
            }
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("stop gave up after {seconds} s on: {}", left.join("; "))),
        }
    }
}

/// The time an adapter has to make things safe, even where handlers took all of the deadline.
const ADAPTER_GRACE: Duration = Duration::from_secs(1);
