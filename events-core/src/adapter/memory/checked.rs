//! What the check of the laws needs besides the contract: other bounds, copies of all data, and trimming at will.

use super::InMemory;
use super::log::{Bounds, State};
use crate::adapter::durable::Caller;
use crate::adapter::kit::store::{Limits, Store, TrimLimit, Trimmed};
use crate::time::Timestamp;

impl InMemory {
    /// An empty log with other bounds of the work of a call.
    #[doc(hidden)]
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self::with(Bounds { records: usize::MAX, bytes: usize::MAX }, limits)
    }

    /// A log of its own with a copy of all data.
    #[doc(hidden)]
    #[must_use]
    pub fn copied(&self) -> Self {
        let copy = Self::with(self.hub.bounds, self.hub.limits);
        let state = self.hub.lock().copied();
        copy.hub.filled.send_replace(state.filled);
        *copy.hub.lock() = state;
        copy
    }

    /// Trims a chunk of records, and returns the store's time.
    #[doc(hidden)]
    pub fn trim(&self, now: Timestamp, limit: TrimLimit, past_consumers: bool) -> (Timestamp, Trimmed) {
        let mut state = self.hub.lock();
        let caller = Caller { now: Some(now), knows: None };
        let mut store = match Store::begin(&mut *state, &self.hub.views, &self.hub.limits, &caller, now) {
            Ok(store) => store,
            Err(_) => return (now, Trimmed::default()),
        };
        let chunk = self.hub.limits.chunk as u64;
        let trimmed = store.trim(limit, chunk, past_consumers).unwrap_or_default();
        let done = store.end().unwrap_or_default();
        (Timestamp::from_micros(done.time), trimmed)
    }
}

impl State {
    fn copied(&self) -> Self {
        Self {
            tables: self.tables.clone(),
            entries: self.entries.clone(),
            first: self.first,
            filled: self.filled,
            bytes: self.bytes,
            ids: self.ids.clone(),
            latest: self.latest,
            ..Self::default()
        }
    }
}
