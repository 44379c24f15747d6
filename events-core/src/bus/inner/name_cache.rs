//! The handlers of names that are not in the registry, as they were found last.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::bus::inner::routes::List;

/// The most names that are kept, each of 255 bytes at most. They come from outside, so there is no more of
/// them, whatever they are.
const MOST: usize = 1024;

/// Of so many names at most the hashes are noted, until they come again.
const MOST_MISSED: usize = 4096;

#[derive(Default)]
pub(crate) struct NameCache {
    kept: HashMap<Box<str>, Arc<List>, RandomState>,
    /// The hashes of names that were not found here, the last one for each place. Only when it comes a second
    /// time a name is kept: one that comes once costs no memory, and drives out none that comes often.
    missed: Vec<u64>,
}

impl NameCache {
    /// Forgets all, because a handler comes or goes. So a list that is kept here has no handler that is not
    /// kept elsewhere, too, and drops none when it is dropped.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// The handlers of a name; `find` is asked where they are not remembered.
    pub(crate) fn get_or_find(&mut self, name: &str, find: impl FnOnce() -> Arc<List>) -> Arc<List> {
        if let Some(list) = self.kept.get(name) {
            return Arc::clone(list);
        }
        let list = find();
        let hash = self.kept.hasher().hash_one(name);
        self.missed.resize(MOST_MISSED, !hash);
        let missed = &mut self.missed[hash as usize % MOST_MISSED];
        if std::mem::replace(missed, hash) == hash {
            if self.kept.len() >= MOST {
                self.kept.clear();
            }
            self.kept.insert(name.into(), Arc::clone(&list));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(cache: &mut NameCache, name: &str) -> bool {
        let mut found = false;
        cache.get_or_find(name, || {
            found = true;
            Arc::new(List::new(Vec::new(), None))
        });
        found
    }

    #[test]
    fn keeps_what_comes_again_until_a_handler_does() {
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
        assert!(cache.kept.len() <= MOST);
        assert_eq!(cache.missed.len(), MOST_MISSED);
    }
}
