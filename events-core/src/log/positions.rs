//! Index of the log by event name.

use std::collections::{HashMap, VecDeque};

use crate::adapter::log::LogQuery;
use crate::adapter::query::HistoryQuery;
use crate::event::registry;
use crate::record::Record;

/// Capacity that a queue of positions may keep, whatever its length.
const MAX_SPARE: usize = 64;

/// Positions of the entries of each name, ascending.
#[derive(Default)]
pub(crate) struct Positions {
    /// Declared events, by their slot in the registry.
    declared: Vec<NamePositions>,
    undeclared: HashMap<Box<str>, VecDeque<u64>>,
    /// Position after the newest entry that was evicted or was never kept, of all undeclared names.
    undeclared_complete_from: u64,
}

#[derive(Default)]
struct NamePositions {
    kept: VecDeque<u64>,
    /// Position after the newest entry of this name that was evicted.
    complete_from: u64,
}

/// Identifies the queue that has the positions of a name.
#[derive(Clone, Copy)]
pub(crate) struct Slot(pub(super) u32);

impl Slot {
    const UNDECLARED: Self = Self(u32::MAX);
}

impl Positions {
    /// Adds the position of a record.
    pub(crate) fn push(&mut self, record: &Record, position: u64) -> Slot {
        let slot = record.decl().map_or(usize::MAX, |decl| decl.slot());
        match self.declared.get_mut(slot) {
            Some(positions) => {
                positions.kept.push_back(position);
                Slot(slot as u32)
            }
            None => self.push_slow(record, slot, position),
        }
    }

    #[cold]
    fn push_slow(&mut self, record: &Record, slot: usize, position: u64) -> Slot {
        let declared = registry().events.len();
        if slot < declared {
            self.declared.resize_with(declared, NamePositions::default);
            return self.push(record, position);
        }
        match self.undeclared.get_mut(record.name()) {
            Some(positions) => positions.push_back(position),
            None => drop(self.undeclared.insert(record.name().into(), VecDeque::from([position]))),
        }
        Slot::UNDECLARED
    }

    /// Sets the position before which nothing is kept, for all names.
    pub(crate) fn skip(&mut self, position: u64) {
        self.undeclared_complete_from = position;
    }

    /// Removes the first position of a record's name.
    pub(crate) fn pop(&mut self, slot: Slot, record: &Record, position: u64) {
        match self.declared.get_mut(slot.0 as usize) {
            Some(NamePositions { kept, complete_from }) => {
                kept.pop_front();
                *complete_from = position + 1;
                if kept.capacity() > MAX_SPARE && kept.len() < kept.capacity() / 4 {
                    kept.shrink_to(kept.len() * 2);
                }
            }
            None => self.pop_undeclared(record.name(), position),
        }
    }

    #[cold]
    fn pop_undeclared(&mut self, name: &str, position: u64) {
        self.undeclared_complete_from = position + 1;
        if let Some(positions) = self.undeclared.get_mut(name) {
            positions.pop_front();
            if positions.is_empty() {
                self.undeclared.remove(name);
            }
        }
    }

    /// Returns the queue of positions of each name that matches a query.
    ///
    /// # Complexity
    ///
    /// For a single name, one lookup; otherwise one match for each declared name and each name with entries.
    pub(crate) fn matching<'a>(&'a self, query: &HistoryQuery) -> Vec<&'a VecDeque<u64>> {
        if let Some(name) = query.only_name() {
            let declared = registry().slots(name).filter_map(|slot| self.declared.get(slot));
            return declared.map(|positions| &positions.kept).chain(self.undeclared.get(name)).collect();
        }
        let declared = self.declared.iter().zip(&registry().events);
        let declared =
            declared.filter(|(positions, decl)| !positions.kept.is_empty() && query.takes(decl.name));
        let undeclared = self.undeclared.iter().filter(|(name, _)| query.takes(name));
        declared
            .map(|(positions, _)| &positions.kept)
            .chain(undeclared.map(|(_, positions)| positions))
            .collect()
    }

    /// Returns the position from which the log contains all records that match a query. All undeclared names
    /// are treated as one.
    ///
    /// # Complexity
    ///
    /// One match for each declared name.
    pub(crate) fn complete_from(&self, query: &LogQuery) -> u64 {
        let declared = self.declared.iter().zip(&registry().events);
        let taken =
            declared.filter(|(positions, decl)| positions.complete_from > 0 && query.takes(decl.name));
        taken.map(|(positions, _)| positions.complete_from).fold(self.undeclared_complete_from, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InstanceId;
    use crate::record::Envelope;
    use crate::record::chain::Chain;
    use crate::record::metadata::Metadata;

    #[test]
    fn keeps_no_memory_for_names_that_are_gone() {
        let envelope = Envelope {
            origin: InstanceId::new(),
            metadata: Metadata::new(),
            id: None,
            timestamp: None,
            chain: Chain::default(),
        };
        let record = Record::from_json("gone.now".into(), 1, "{}".into(), envelope);
        let mut positions = Positions { declared: vec![NamePositions::default()], ..Positions::default() };
        for position in 0..10_000 {
            positions.declared[0].kept.push_back(position);
            positions.push(&record, position);
        }
        for position in 0..10_000 {
            positions.pop(Slot(0), &record, position);
            positions.pop(Slot::UNDECLARED, &record, position);
        }
        assert!(positions.declared[0].kept.capacity() <= MAX_SPARE);
        assert!(positions.undeclared.is_empty());
    }
}
