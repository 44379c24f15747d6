//! The handlers of names that are not in the registry, as they were found last.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::routes::List;

/// The most names that are remembered.
const SLOTS: usize = 1024;

/// One name per slot. Names come from outside, so there is no more of it, whatever they are.
#[derive(Default)]
pub(crate) struct NameCache {
    /// None until the first name comes.
    slots: Vec<Slot>,
    used: Vec<usize>,
    hasher: RandomState,
}

#[derive(Default)]
struct Slot {
    kept: Option<(Box<str>, Arc<List>)>,
    /// The hash of the last name that was not found here. Only when it comes a second time it takes the
    /// place: a name that comes once costs no memory, and drives out none that comes often.
    missed: u64,
}

impl NameCache {
    /// Forgets all, because a handler comes or goes. So a list that is kept here has no handler that is not
    /// kept elsewhere, too, and drops none when it is dropped.
    pub(crate) fn clear(&mut self) {
        for slot in self.used.drain(..) {
            self.slots[slot].kept = None;
        }
    }

    /// The handlers of a name; `find` is asked where they are not remembered.
    pub(crate) fn get_or_find(&mut self, name: &str, find: impl FnOnce() -> List) -> Arc<List> {
        self.slots.resize_with(SLOTS, Slot::default);
        let hash = self.hasher.hash_one(name);
        let place = hash as usize % SLOTS;
        let slot = &mut self.slots[place];
        if let Some((known, list)) = &slot.kept
            && **known == *name
        {
            return Arc::clone(list);
        }
        let list = Arc::new(find());
        if std::mem::replace(&mut slot.missed, hash) == hash {
            if slot.kept.is_none() {
                self.used.push(place);
            }
            slot.kept = Some((name.into(), Arc::clone(&list)));
        }
        list
    }
}
