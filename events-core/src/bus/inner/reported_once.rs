//! The problems that were reported, so that a repeated problem is logged once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Maximum number of keys that are stored, and so logged, per kind of problem.
pub(crate) const MAX_REPORTED: usize = 1_000;

/// The keys of the problems of one kind that were reported.
pub struct ReportedOnce<K>(Mutex<HashSet<K>>);

/// Whether the caller must log a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShouldLog {
    /// Do not log it: it was logged before, or the maximum of problems were.
    No,
    /// Log it.
    Yes,
    /// Log it, and say that further problems of its kind are not logged.
    Last,
}

impl<K> Default for ReportedOnce<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> ReportedOnce<K> {
    /// Stores the key of a problem, and returns whether the caller must log the problem.
    pub fn insert(&self, key: K) -> ShouldLog {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_REPORTED || !keys.insert(key) {
            return ShouldLog::No;
        }
        if keys.len() == MAX_REPORTED { ShouldLog::Last } else { ShouldLog::Yes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_reported_once_and_a_bounded_number_of_them() {
        let reported = ReportedOnce::default();
        assert_eq!((reported.insert(0), reported.insert(0)), (ShouldLog::Yes, ShouldLog::No));
        let last = (1..2 * MAX_REPORTED).filter(|key| reported.insert(*key) == ShouldLog::Last);
        assert_eq!(last.collect::<Vec<_>>(), [MAX_REPORTED - 1]);
        assert_eq!(reported.insert(MAX_REPORTED + 1), ShouldLog::No);
    }
}
