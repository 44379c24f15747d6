//! Records the work that was lost because its runtime shut down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Maximum number of distinct descriptions that are kept.
const MAX_NAMED: usize = 16;

/// Counts and describes the work that was dropped unfinished because its runtime shut down.
#[derive(Default)]
pub(crate) struct Abandoned {
    count: AtomicU64,
    names: Mutex<Vec<String>>,
}

impl Abandoned {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, count: u64, name: String) {
        self.count.fetch_add(count, Ordering::Relaxed);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MAX_NAMED && !names.contains(&name) {
            names.push(name);
        }
    }

    /// Returns the text that the error of `stop` contains, or `None` if nothing was lost.
    pub(crate) fn describe(&self) -> Option<String> {
        let count = self.count();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let more = if names.len() == MAX_NAMED { "; and possibly others" } else { "" };
        (count > 0).then(|| format!("{count} lost because a runtime shut down: {}{more}", names.join("; ")))
    }
}
