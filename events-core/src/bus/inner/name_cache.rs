//! Values of names that came more than once.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// The most names that are kept, each of 255 bytes at most. Names come from outside, so they need a limit.
const MAX: usize = 1024;

/// The most hashes of names that are noted.
const MAX_MISSED: usize = 4096;

/// A bounded map from names to values that are found again when they are not in it.
pub(crate) struct NameCache<V> {
    kept: HashMap<Box<str>, V, RandomState>,
    /// The hashes of names that were not found here, the last one for each index. A name is kept only when it comes
    /// a second time: one that comes once costs no memory, and displaces none that comes often.
    missed: Vec<u64>,
}

impl<V> Default for NameCache<V> {
    fn default() -> Self {
        Self { kept: HashMap::default(), missed: Vec::new() }
    }
}

impl<V: Clone> NameCache<V> {
    /// Forgets all values.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// The value of a name, from `find` if it is not kept.
    pub(crate) fn get_or_find(&mut self, name: &str, find: impl FnOnce() -> V) -> V {
        if let Some(value) = self.kept.get(name) {
            return value.clone();
        }
        let value = find();
        let hash = self.kept.hasher().hash_one(name);
        self.missed.resize(MAX_MISSED, !hash);
        let missed = &mut self.missed[hash as usize % MAX_MISSED];
        if std::mem::replace(missed, hash) == hash {
            if self.kept.len() >= MAX {
                self.kept.clear();
            }
            self.kept.insert(name.into(), value.clone());
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(cache: &mut NameCache<()>, name: &str) -> bool {
        let mut found = false;
        cache.get_or_find(name, || found = true);
        found
    }

    #[test]
    fn keeps_a_name_that_comes_again_until_it_is_cleared() {
        let mut cache = NameCache::default();
        assert!(finds(&mut cache, "a") && finds(&mut cache, "a"));
        assert!(!finds(&mut cache, "a"));
        cache.clear();
        assert!(finds(&mut cache, "a"));
    }

    #[test]
    fn has_a_bound() {
        let mut cache = NameCache::default();
        for index in 0..100_000 {
            let name = index.to_string();
            assert!(finds(&mut cache, &name) && finds(&mut cache, &name));
        }
        assert!(cache.kept.len() <= MAX);
        assert_eq!(cache.missed.len(), MAX_MISSED);
    }
}
