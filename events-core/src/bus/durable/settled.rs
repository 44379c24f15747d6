//! `emitted.settled()`: waits until all durable handlers have finished an event.

use std::future::IntoFuture;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::adapter::BoxFuture;
use crate::bus::emit::emitted::Emitted;
use crate::bus::inner::runtime::has_timer;
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::id::EventId;

/// Future that waits for durable handlers. Returned by [`Emitted::settled`]; await it.
///
/// # Errors
///
/// - [`ErrorKind::Unsettled`] at the deadline, which is 30 s unless set by [`within`](Self::within). The
///   message names the consumers that have not finished.
/// - [`ErrorKind::Consumer`] if the adapter fails.
/// - [`ErrorKind::Stopped`] if the bus was dropped.
/// - [`ErrorKind::Runtime`] if the runtime of the caller has no timer.
///
/// # Cancel safety
///
/// Cancel safe: dropping it does not affect the handlers.
#[must_use = "futures do nothing unless awaited"]
pub struct Settled {
    bus: Option<Weak<Inner>>,
    event: Option<EventId>,
    within: Duration,
}

/// First and longest interval between two queries of the adapter.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

impl Settled {
    /// Sets the deadline to `limit` after the first poll; 30 s by default.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }
}

impl Emitted {
    /// Waits until every consumer that takes the event has acknowledged it or made it a dead letter. This
    /// includes consumers of other programs. Resolves at once if the adapter of the bus has no durable
    /// consumers.
    ///
    /// See [`Settled`] for the errors.
    pub fn settled(&self) -> Settled {
        Settled { bus: self.bus().cloned(), event: self.id(), within: Duration::from_secs(30) }
    }
}

impl IntoFuture for Settled {
    type Output = Result<(), Error>;
    type IntoFuture = BoxFuture<'static, Result<(), Error>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match (self.bus, self.event) {
                (Some(bus), Some(event)) => wait(&bus, event, self.within).await,
                _ => Ok(()),
            }
        })
    }
}

async fn wait(bus: &Weak<Inner>, event: EventId, within: Duration) -> Result<(), Error> {
    if !has_timer() {
        let message = "the runtime of the caller has no timer, which `settled` needs: call `enable_all()` or `enable_time()` when building it";
        return Err(Error::new(ErrorKind::Runtime, format!("{event}: {message}")));
    }
    let mut unfinished = Vec::new();
    let deadline = Instant::now().checked_add(within);
    let settled = async {
        let (mut pause, max) = POLL_INTERVAL;
        loop {
            let Some(inner) = bus.upgrade() else {
                let message = format!("{event}: the bus was dropped");
                return Err(Error::new(ErrorKind::Stopped, message));
            };
            unfinished = Bus { inner }.unfinished(event).await?;
            if unfinished.is_empty() {
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(max);
        }
    };
    let settled = match deadline {
        Some(deadline) => timeout_at(deadline, settled).await,
        None => Ok(settled.await),
    };
    settled.unwrap_or_else(|_| {
        let (seconds, unfinished) = (within.as_secs_f64(), unfinished.join(", "));
        let message = format!("{event}: not finished after {seconds} s by: {unfinished}");
        Err(Error::new(ErrorKind::Unsettled, message).with_event_id(event))
    })
}

impl Bus {
    async fn unfinished(&self, event: EventId) -> Result<Vec<String>, Error> {
        let (durable, adapter) = self.inner.durable(None)?;
        let unfinished = durable.unfinished(event).await.map_err(|error| {
            let message =
                format!("{event}: {} can't tell which consumers have handled it: {error}", adapter.name());
            Error::new(ErrorKind::Consumer, message).with_temporary(error.is_temporary())
        })?;
        Ok(unfinished.unwrap_or_default())
    }
}
