//! The log as durable consumers see it.

use std::collections::BTreeMap;

use super::log::{Entry, State, Text};
use crate::adapter::durable::{DurableError, Position};
use crate::adapter::kit::store::StoredRecord;
use crate::adapter::kit::tables::{Tables, TablesLog};
use crate::id::EventId;
use crate::time::Timestamp;

type Result<T> = std::result::Result<T, DurableError>;

impl State {
    /// The entry at a position of consumers, which count from 1.
    fn at(&self, position: Position) -> Option<&Entry> {
        self.entry(position.checked_sub(1)?).filter(|entry| matches!(entry.text, Text::Here(_)))
    }
}

/// Positions of consumers begin with 1, and those of entries with 0.
impl TablesLog for State {
    fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    fn newest(&mut self) -> Result<Position> {
        Ok(self.filled)
    }

    fn begins(&mut self) -> Result<Position> {
        Ok(self.first + 1)
    }

    fn event_at(&mut self, position: Position) -> Result<Option<EventId>> {
        Ok(self.at(position).map(|entry| entry.id))
    }

    fn record_at(&mut self, position: Position) -> Result<Option<StoredRecord>> {
        let Some(Entry { id, name, version, text: Text::Here(text), .. }) = self.at(position) else {
            return Ok(None);
        };
        let kind = crate::adapter::durable::Kind { name: name.to_string(), version: *version };
        Ok(Some(StoredRecord { event: *id, kind, bytes: text.as_bytes().to_vec(), damaged: false }))
    }

    fn find(&mut self, event: EventId) -> Result<Option<(Position, String)>> {
        let Some(index) = self.ids.get(&event).copied() else { return Ok(None) };
        Ok(self.at(index + 1).map(|entry| (index + 1, entry.name.to_string())))
    }

    fn position_at(&mut self, time: Timestamp) -> Result<Position> {
        let before = self.entries.partition_point(|entry| entry.time < time);
        Ok((self.first + before as u64).min(self.filled) + 1)
    }

    fn names_between(&mut self, from: Position, to: Position) -> Result<Vec<(String, u64)>> {
        let mut names: BTreeMap<&str, u64> = BTreeMap::new();
        for position in from.max(self.first + 1)..=to.min(self.filled) {
            if let Some(entry) = self.at(position) {
                *names.entry(&entry.name).or_default() += 1;
            }
        }
        Ok(names.into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
    }

    fn trim_log(&mut self, to: Position) -> Result<()> {
        while self.first < to && !self.entries.is_empty() {
            self.drop_first();
        }
        self.note_filled();
        Ok(())
    }
}
