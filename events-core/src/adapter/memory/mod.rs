//! An adapter without an engine, which connects the buses of one process and has durable consumers.

#[cfg(feature = "conformance")]
mod checked;
mod durable;
mod log;
mod reader;
mod tables;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::log::{Bounds, Hub};
use crate::adapter::durable::DurableAdapter;
use crate::adapter::kit::store::{LIMITS, Limits, Views};
use crate::adapter::log::{LogId, LogPage, LogQuery};
use crate::adapter::query::HistoryQuery;
use crate::adapter::receiver::Receiver;
use crate::adapter::{Adapter, AdapterError, BoxFuture, Published};
use crate::id::EventId;
use crate::record::Record;
use crate::record::codec::RecordCodec;

/// Connects the buses of one process and keeps their most recent events. Use it to test programs that run as
/// several instances, or to connect parts of one program that each have a bus.
///
/// Clones share one log; give each bus its own clone. Events are encoded as for any other adapter, so that a
/// bus reads the events of the others as if they came from another process. The events and the state of durable
/// consumers are lost when the last clone is dropped.
///
/// - **Order.** Each bus gets the events of the others in the order of the history.
/// - **Slow buses.** A bus is behind if the number of events it has not read reaches an eighth of the maximum
///   number of kept events. Emits of the other buses then wait for it, each for at most 1 s. After one such
///   wait has timed out, emits no longer wait for that bus until it has caught up. Events that are evicted
///   before a bus gets them are counted in [`Stats::lost`](crate::Stats::lost) and logged.
/// - **Durable consumers.** Events that a consumer has not finished are kept beyond the bounds, up to
///   [`pending_bytes`](Self::pending_bytes). Beyond that an emit fails with an error that names the consumer.
/// - **Duplicates.** An event whose id is already among the kept events is not stored again.
/// - **Runtime.** The runtime of a bus must have its timer enabled (`enable_time`).
///
/// # Complexity
///
/// A history query reads backwards through the kept events until its limit is reached.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::adapter::InMemory;
/// use typed_events::{Bus, event};
///
/// #[event("memory_doc.paid")]
/// pub struct Paid { pub order: u32 }
///
/// let memory = InMemory::new();
/// let shop = Bus::builder().adapter(memory.clone()).build().await?;
/// let billing = Bus::builder().adapter(memory).build().await?;
/// shop.emit(Paid { order: 2 }).await?;
/// assert_eq!(billing.history("*").of::<Paid>().await?[0].order, 2);
/// # Ok(()) }
/// ```
pub struct InMemory {
    hub: Arc<Hub>,
    /// Delivers events to the one bus that uses this clone.
    follower: OnceLock<Follower>,
}

/// Default limits.
const DEFAULT_BOUNDS: Bounds = Bounds { records: 100_000, bytes: 256 << 20 };
/// Default size of the records that are kept for consumers alone.
const PENDING_BYTES: usize = 1 << 30;

impl InMemory {
    /// Creates a new log, which keeps the last 100,000 events, at most 256 MiB of them.
    pub fn new() -> Self {
        Self::of(DEFAULT_BOUNDS)
    }

    /// Creates a new log, which keeps the last `records` events (at least 1). The encoded events have at most
    /// `bytes` bytes together. The newest event is kept whatever its size.
    pub fn bounded(records: usize, bytes: usize) -> Self {
        Self::of(Bounds { records: records.max(1), bytes })
    }

    /// Sets how many bytes of events are kept for consumers that have not finished them, beyond what is kept anyway. The
    /// default is 1 GiB. It applies to all clones.
    #[must_use]
    pub fn pending_bytes(self, bytes: usize) -> Self {
        self.hub.pending_bytes.store(bytes, Ordering::Relaxed);
        self
    }

    fn of(bounds: Bounds) -> Self {
        Self::with(bounds, LIMITS)
    }

    fn with(bounds: Bounds, limits: Limits) -> Self {
        let hub = Hub {
            bounds,
            pending_bytes: AtomicUsize::new(PENDING_BYTES),
            id: LogId::new(EventId::new().to_bytes()),
            state: Mutex::default(),
            filled: watch::Sender::new(0),
            caught_up: Notify::new(),
            changes: watch::Sender::default(),
            views: Views::default(),
            limits,
        };
        Self { hub: Arc::new(hub), follower: OnceLock::new() }
    }
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

/// Creates another handle to the same log, for another bus.
impl Clone for InMemory {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), follower: OnceLock::new() }
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.hub.lock();
        write!(f, "InMemory({} records, {} buses)", state.entries.len(), state.readers.len())
    }
}

impl Adapter for InMemory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            let own = self.follower.get().map(|follower| follower.key);
            self.hub.check_room()?;
            self.hub.wait_for_those_behind(own).await;
            let reserved = self.hub.reserve(records).await;
            Ok(reserved.fill(records, codec)?)
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let found = self.hub.find(query).await;
            Ok(found.iter().rev().map(|text| Ok(codec.decode(text)?)).collect())
        })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move {
            let (mut page, found) = self.hub.page(query);
            for (number, text) in found {
                if !page.push(number, text.len(), codec.decode(&text).map_err(AdapterError::from)) {
                    break;
                }
            }
            Ok(page)
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            let reader = self.hub.join(receiver.instance());
            let key = reader.key;
            let task = tokio::spawn(Box::pin(reader.run(receiver)) as BoxFuture<'static, ()>).abort_handle();
            self.follower.set(Follower { key, task }).map_err(|_| {
                AdapterError::refused(
                    "this `InMemory` is already used by another bus: give each bus its own clone",
                )
            })
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        if let Some(follower) = self.follower.get() {
            follower.task.abort();
        }
        Box::pin(async { Ok(()) })
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        Some(self)
    }
}

struct Follower {
    key: u64,
    task: AbortHandle,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}
