//! Counts and describes the handler calls and emits that were lost because their runtime shut down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Maximum number of distinct descriptions that are stored.
const MAX_DESCRIPTIONS: usize = 16;

/// The handler calls and emits that were lost because their runtime shut down.
#[derive(Default)]
pub(crate) struct LostWork {
    count: AtomicU64,
    descriptions: Mutex<Vec<String>>,
}

impl LostWork {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64, description: String) {
        self.count.fetch_add(count, Ordering::Relaxed);
        let mut descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        if descriptions.len() < MAX_DESCRIPTIONS && !descriptions.contains(&description) {
            descriptions.push(description);
        }
    }

    /// Returns the text that the error of `stop` contains, or `None` if nothing was lost.
    pub(crate) fn describe(&self) -> Option<String> {
        let count = self.count();
        let descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        let more = if descriptions.len() == MAX_DESCRIPTIONS { "; and possibly others" } else { "" };
        (count > 0)
            .then(|| format!("{count} lost because a runtime shut down: {}{more}", descriptions.join("; ")))
    }
}
