//! What was reported before, so that a thing that goes on for a million events is one line.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// The most things that are remembered, and so reported, of one kind.
pub(crate) const MAX_TOLD: usize = 1_000;

/// The things of one kind that were reported.
pub struct Told<K>(Mutex<HashSet<K>>);

/// Whether a thing is reported now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// It was reported before, or there were 1,000 others.
    No,
    /// It is reported.
    Yes,
    /// It is the last one of its kind to be reported.
    Last,
}

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Told<K> {
    /// Says whether a thing is to be reported, and remembers it.
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
