//! Where the log's entries of each name stand.

use std::collections::{HashMap, VecDeque};

use super::HistoryQuery;
use crate::event::registry;
use crate::record::Record;

/// So many positions may be allocated for a name, whatever it has.
const MOST_SPARE: usize = 64;

/// The positions of each name's entries, ascending.
#[derive(Default)]
pub(super) struct Positions {
    /// Of events in the registry, by their slot.
    declared: Vec<VecDeque<u64>>,
    others: HashMap<Box<str>, VecDeque<u64>>,
}

/// Where the positions of a name are.
#[derive(Clone, Copy)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    const BY_NAME: Self = Self(u32::MAX);
}

impl Positions {
    /// Notes where a record stands.
    pub(super) fn push(&mut self, record: &Record, position: u64) -> Slot {
        let slot = record.decl().map_or(usize::MAX, |decl| decl.slot());
        match self.declared.get_mut(slot) {
            Some(positions) => {
                positions.push_back(position);
                Slot(slot as u32)
            }
            None => self.push_new(record, slot, position),
        }
    }

    #[cold]
    fn push_new(&mut self, record: &Record, slot: usize, position: u64) -> Slot {
        let declared = registry().events.len();
        if slot < declared {
            self.declared.resize_with(declared, VecDeque::new);
            return self.push(record, position);
        }
        match self.others.get_mut(record.name()) {
            Some(positions) => positions.push_back(position),
            None => drop(self.others.insert(record.name().into(), VecDeque::from([position]))),
        }
        Slot::BY_NAME
    }

    /// Forgets the first position of a record's name.
    pub(super) fn pop(&mut self, slot: Slot, record: &Record) {
        match self.declared.get_mut(slot.0 as usize) {
            Some(positions) => {
                positions.pop_front();
                if positions.capacity() > MOST_SPARE && positions.len() < positions.capacity() / 4 {
                    positions.shrink_to(positions.len() * 2);
                }
            }
            None => self.pop_other(record.name()),
        }
    }

    #[cold]
    fn pop_other(&mut self, name: &str) {
        if let Some(positions) = self.others.get_mut(name) {
            positions.pop_front();
            if positions.is_empty() {
                self.others.remove(name);
            }
        }
    }

    /// The positions of each name a query takes.
    ///
    /// # Complexity
    ///
    /// For one name, that of finding it; else that of matching all that are declared or kept.
    pub(super) fn matching<'a>(&'a self, query: &HistoryQuery) -> Vec<&'a VecDeque<u64>> {
        if let Some(name) = query.only_name() {
            let declared = registry().slots(name).filter_map(|slot| self.declared.get(slot));
            return declared.chain(self.others.get(name)).collect();
        }
        let declared = self.declared.iter().zip(&registry().events);
        let declared = declared.filter(|(positions, decl)| !positions.is_empty() && query.takes(decl.name));
        let others = self.others.iter().filter(|(name, _)| query.takes(name));
        declared.map(|(positions, _)| positions).chain(others.map(|(_, positions)| positions)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Chain;
    use crate::id::InstanceId;
    use crate::metadata::Metadata;
    use crate::record::Envelope;

    #[test]
    fn keeps_no_memory_for_names_that_are_gone() {
        let envelope = Envelope {
            origin: InstanceId::new(),
            metadata: Metadata::new(),
            id: None,
            timestamp: None,
            chain: Chain::default(),
        };
        let record = Record::of_json("gone.now".into(), 1, "{}".into(), envelope);
        let mut positions = Positions { declared: vec![VecDeque::new()], ..Positions::default() };
        for position in 0..10_000 {
            positions.declared[0].push_back(position);
            positions.push(&record, position);
        }
        for _ in 0..10_000 {
            positions.pop(Slot(0), &record);
            positions.pop(Slot::BY_NAME, &record);
        }
        assert!(positions.declared[0].capacity() <= MOST_SPARE);
        assert!(positions.others.is_empty());
    }
}
