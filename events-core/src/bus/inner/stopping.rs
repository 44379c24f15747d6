//! The progress of `stop`.

use std::sync::{Mutex, OnceLock};

use tokio::sync::watch;

use crate::bus::inner::shared_future::SharedFuture;

/// The progress of `stop`, shared by all its callers.
#[derive(Default)]
pub(crate) struct Stopping {
    /// Closed when the task that drains the bus has ended or was dropped.
    pub(crate) task: Mutex<Option<watch::Receiver<()>>>,
    /// Descriptions of the work that was still in flight at the deadline.
    pub(crate) unfinished: OnceLock<Vec<String>>,
    pub(crate) adapter: OnceLock<AdapterStops>,
    /// The result of `stop`, sent to all its callers.
    pub(crate) outcome: watch::Sender<Option<StopResult>>,
}

/// `Err` lists the work that was not finished and the problems that occurred.
type StopResult = Result<(), String>;

/// The calls of the adapter that `stop` makes once, driven by every task that drains the bus.
pub(crate) struct AdapterStops {
    /// Closes the durable consumers.
    pub(crate) session_end: SharedFuture<()>,
    /// Stops the adapter. The output describes the problem, if there was one.
    pub(crate) adapter_stop: SharedFuture<Option<String>>,
}
