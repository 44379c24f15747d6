//! The problems that were logged, so that a repeated problem is logged once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Maximum number of keys that are stored, and so logged, per kind of problem.
pub(crate) const MAX_TOLD: usize = 1_000;

/// The keys of one kind of problem that were logged.
pub struct Told<K>(Mutex<HashSet<K>>);

/// Whether a problem must be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Do not log it: it was logged before, or the maximum is reached.
    No,
    /// Log it.
    Yes,
    /// Log it, and say that no further ones of its kind are logged.
    Last,
}

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Told<K> {
    /// Returns whether a problem must be logged, and stores its key.
    pub fn tell(&self, thing: K) -> Tell {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_TOLD || !told.insert(thing) {
            return Tell::No;
        }
        if told.len() == MAX_TOLD { Tell::Last } else { Tell::Yes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_a_bounded_number_of_them() {
        let told = Told::default();
        assert_eq!((told.tell(0), told.tell(0)), (Tell::Yes, Tell::No));
        let last = (1..2 * MAX_TOLD).filter(|thing| told.tell(*thing) == Tell::Last);
        assert_eq!(last.collect::<Vec<_>>(), [MAX_TOLD - 1]);
        assert_eq!(told.tell(MAX_TOLD + 1), Tell::No);
    }
}
