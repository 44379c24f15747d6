//! Where a bus that stops has got to.

use std::sync::{Mutex, OnceLock};

use tokio::sync::watch;

use crate::bus::inner::shared::Shared;

/// Where a bus that stops has got to.
#[derive(Default)]
pub(crate) struct Stopping {
    /// Closed when the task that drains the bus is gone.
    pub(crate) task: Mutex<Option<watch::Receiver<()>>>,
    /// What was given up on.
    pub(crate) left: OnceLock<Vec<String>>,
    pub(crate) adapter: OnceLock<AdapterStops>,
    /// For all who wait for it.
    pub(crate) outcome: watch::Sender<Option<StopResult>>,
}

/// What `stop` came to: on what it gave up, if on anything.
type StopResult = Result<(), String>;

/// What is done with the adapter, once, by all who drain the bus.
pub(crate) struct AdapterStops {
    /// Closes the durable consumers.
    pub(crate) closes: Shared<()>,
    /// Gives what went wrong.
    pub(crate) stops: Shared<Option<String>>,
}
