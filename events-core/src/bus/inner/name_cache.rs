//! A cache of values by event name.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Maximum number of names in the cache. Bounded because names, of at most 255 bytes each, come from outside.
const MAX: usize = 1024;

/// Number of hashes of names that were looked up but not found.
const MAX_MISSED: usize = 4096;

/// A bounded map from names to values that can be computed again.
pub(crate) struct NameCache<V> {
    values: HashMap<Box<str>, V, RandomState>,
    /// Hashes of names that were not in the cache; each index keeps the last one. A name is added only if it
    /// is looked up again while its hash is here, so a name that occurs once takes no memory and displaces no
    /// frequent one.
    missed_hashes: Vec<u64>,
}

impl<V> Default for NameCache<V> {
    fn default() -> Self {
        Self { values: HashMap::default(), missed_hashes: Vec::new() }
    }
}

impl<V: Clone> NameCache<V> {
    /// Removes all values.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }

    /// Returns the cached value of a name, or the result of `find` if there is none.
    pub(crate) fn get_or_find(&mut self, name: &str, find: impl FnOnce() -> V) -> V {
        if let Some(value) = self.values.get(name) {
            return value.clone();
        }
        let value = find();
        let hash = self.values.hasher().hash_one(name);
        self.missed_hashes.resize(MAX_MISSED, !hash);
        let missed = &mut self.missed_hashes[hash as usize % MAX_MISSED];
        if std::mem::replace(missed, hash) == hash {
            if self.values.len() >= MAX {
                self.values.clear();
            }
            self.values.insert(name.into(), value.clone());
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
        assert!(cache.values.len() <= MAX);
        assert_eq!(cache.missed_hashes.len(), MAX_MISSED);
    }
}
