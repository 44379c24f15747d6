//! What a durable handler has read in the log after the position of its consumer: the events for its next claim.

use std::collections::VecDeque;

use crate::adapter::AdapterError;
use crate::adapter::consumer::Consumer;
use crate::adapter::durable::{EventFilter, Position, ReadMark, Terms, Wanted, Window, matches_any};
use crate::bus::durable::feed::{Entry, Feed, Signal};
use crate::record::Record;

/// Positions that a window spans at most.
const MAX_SPAN: u64 = 1_000;
/// Events of a window at most.
pub(super) const MAX_WANTED: usize = 256;

/// Events that were read ahead of the consumer's position.
pub(super) struct Lookahead {
    filter: EventFilter,
    /// The terms by which events were selected.
    terms: Terms,
    /// Last position that was read.
    scanned: Position,
    wanted: VecDeque<(Wanted, Entry)>,
    begins: Position,
    newest: Option<ReadMark>,
}

impl Lookahead {
    pub(super) fn new(filter: EventFilter, terms: Terms) -> Self {
        let scanned = terms.position;
        Self { filter, terms, scanned, wanted: VecDeque::new(), begins: 0, newest: None }
    }

    /// Continues with newer terms: reads again if the consumer was moved, or its patterns or settings have changed.
    pub(super) fn set_terms(&mut self, terms: &Terms) {
        let is_same = terms.patterns_number == self.terms.patterns_number
            && terms.settings_number == self.terms.settings_number
            && terms.moves == self.terms.moves
            && terms.position >= self.terms.position;
        self.terms = terms.clone();
        if !is_same || terms.position > self.scanned {
            (self.scanned, self.newest) = (terms.position, None);
            self.wanted.clear();
        }
        while self.wanted.front().is_some_and(|(wanted, _)| wanted.position <= terms.position) {
            self.wanted.pop_front();
        }
    }

    /// Reads on until it has `count` events, or until the newest record.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    pub(super) async fn fill(
        &mut self,
        feed: &Feed,
        signal: &Signal,
        consumer: &Consumer,
        count: usize,
    ) -> Result<(), AdapterError> {
        let last = self.terms.position + MAX_SPAN;
        while self.wanted.len() < count.min(MAX_WANTED) && self.scanned < last {
            let skippable = signal.skippable_after(self.scanned).min(last);
            if skippable > self.scanned {
                (self.scanned, self.newest) = (skippable, feed.mark().or(self.newest));
            }
            let (newest, _) = feed.bounds();
            if self.scanned >= newest.min(last) {
                break;
            }
            let range = feed.after(self.scanned).await?;
            self.begins = range.begins;
            if range.end <= self.scanned {
                break;
            }
            self.scan(consumer, range.entries, range.end.min(last));
        }
        if self.begins == 0 {
            self.begins = feed.bounds().1;
        }
        Ok(())
    }

    fn scan(&mut self, consumer: &Consumer, entries: Vec<Entry>, end: Position) {
        for entry in entries {
            if entry.position > end {
                break;
            }
            if self.wanted.len() >= MAX_WANTED {
                return;
            }
            self.scanned = entry.position;
            self.newest = entry.mark().or(self.newest);
            if matches_any(&self.terms.union, &entry.kind.name) {
                let order = self.terms.settings.order.as_ref();
                let key = order.and_then(|order| consumer.key(entry.record.as_ref().ok()?, order));
                let (kind, takes) = (entry.kind.clone(), self.filter.takes(&entry.kind));
                self.wanted.push_back((Wanted { position: entry.position, kind, key, takes }, entry));
            }
        }
        self.scanned = end;
    }

    /// Whether a claim would get new events.
    pub(super) fn has_events(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether a claim would move the position.
    pub(super) fn is_ahead(&self) -> bool {
        self.scanned > self.terms.position
    }

    /// The window of a claim of up to `max` events: it ends where there are enough. In an order, more events are needed,
    /// since some wait for others of their keys.
    pub(super) fn window(&self, max: usize) -> Window {
        let enough = match self.terms.settings.order {
            Some(_) => max.saturating_mul(4).saturating_add(32),
            None => max,
        };
        let (mut taken, mut wanted, mut to) = (0, Vec::new(), self.scanned);
        for (event, _) in &self.wanted {
            if taken == enough {
                to = event.position - 1;
                break;
            }
            taken += usize::from(event.takes);
            wanted.push(event.clone());
        }
        Window {
            patterns_number: self.terms.patterns_number,
            settings_number: self.terms.settings_number,
            from: self.terms.position + 1,
            to,
            begins: self.begins,
            newest: self.newest,
            wanted,
        }
    }

    /// Returns the record at a position, if it was read.
    pub(super) fn record(&self, position: Position) -> Option<Result<Record, AdapterError>> {
        let index = self.wanted.binary_search_by_key(&position, |(wanted, _)| wanted.position).ok()?;
        Some(self.wanted[index].1.record.clone())
    }
}
