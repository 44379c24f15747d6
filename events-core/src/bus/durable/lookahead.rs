//! The events that a durable handler has read in the log after the position of its consumer, for its next claim.

use std::collections::VecDeque;

use crate::adapter::AdapterError;
use crate::adapter::consumer::Consumer;
use crate::adapter::durable::{EventFilter, Position, ReadMark, Terms, Wanted, Window, matches_any};
use crate::bus::durable::feed::{Entry, Feed, Signal};
use crate::record::Record;

/// Maximum number of positions in a window.
const MAX_SPAN: u64 = 1_000;
/// Maximum number of events in a window.
pub(super) const MAX_WANTED: usize = 256;

/// Events that were read ahead of the consumer's position.
pub(super) struct Lookahead {
    filter: EventFilter,
    /// The newest state of the consumer that the store has returned. Its union of patterns selects the events, and its
    /// order gives their keys.
    terms: Terms,
    /// Last position that was read, or skipped: it was trimmed, or has no event of the union. At first the position of the
    /// consumer.
    scanned_to: Position,
    /// The events after the consumer's position that the union takes, in the order of their positions.
    wanted: VecDeque<(Wanted, Entry)>,
    /// Position at which the log began when it was read. 0 if it was not read yet.
    log_begins: Position,
    /// A record that this lookahead or the feed has read. The store checks by it that the log is the same.
    newest: Option<ReadMark>,
}

impl Lookahead {
    pub(super) fn new(filter: EventFilter, terms: Terms) -> Self {
        let scanned_to = terms.position;
        Self { filter, terms, scanned_to, wanted: VecDeque::new(), log_begins: 0, newest: None }
    }

    /// Takes newer terms, and discards the events up to the consumer's position. Discards all events if the consumer
    /// was moved, if its patterns or settings have changed, or if its position has passed the last position that was
    /// read.
    pub(super) fn set_terms(&mut self, terms: &Terms) {
        let is_same = terms.patterns_number == self.terms.patterns_number
            && terms.settings_number == self.terms.settings_number
            && terms.moves == self.terms.moves
            && terms.position >= self.terms.position;
        self.terms = terms.clone();
        if !is_same || terms.position > self.scanned_to {
            (self.scanned_to, self.newest) = (terms.position, None);
            self.wanted.clear();
        }
        while self.wanted.front().is_some_and(|(wanted, _)| wanted.position <= terms.position) {
            self.wanted.pop_front();
        }
    }

    /// Reads on until it has `count` events, but at most [`MAX_WANTED`]. Ends earlier at the newest record, or
    /// [`MAX_SPAN`] positions after that of the consumer.
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
        let limit = self.terms.position + MAX_SPAN;
        while self.wanted.len() < count.min(MAX_WANTED) && self.scanned_to < limit {
            let skippable_to = signal.skippable_until(self.scanned_to).min(limit);
            if skippable_to > self.scanned_to {
                (self.scanned_to, self.newest) = (skippable_to, feed.mark().or(self.newest));
            }
            let (newest, _) = feed.bounds();
            if self.scanned_to >= newest.min(limit) {
                break;
            }
            let range = feed.after(self.scanned_to).await?;
            self.log_begins = range.begins;
            if range.end <= self.scanned_to {
                break;
            }
            self.scan(consumer, range.entries, range.end.min(limit));
        }
        if self.log_begins == 0 {
            self.log_begins = feed.bounds().1;
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
            self.scanned_to = entry.position;
            self.newest = entry.mark().or(self.newest);
            if matches_any(&self.terms.union, &entry.kind.name) {
                let order = self.terms.settings.order.as_ref();
                let key = order.and_then(|order| consumer.key(entry.record.as_ref().ok()?, order));
                let (kind, takes) = (entry.kind.clone(), self.filter.takes(&entry.kind));
                self.wanted.push_back((Wanted { position: entry.position, kind, key, takes }, entry));
            }
        }
        self.scanned_to = end;
    }

    /// Whether events were read that the union takes, even if this program does not take them.
    pub(super) fn has_events(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether positions after that of the consumer were read, over which a claim can move it.
    pub(super) fn is_ahead(&self) -> bool {
        self.scanned_to > self.terms.position
    }

    /// Returns the window for a claim of up to `max` events. It begins after the position of the consumer. It ends before
    /// the first event that the claim does not need, or at the last position that was read.
    ///
    /// Without an order, the claim needs `max` events that this program takes. With an order, it needs more, because an
    /// event whose key is busy only becomes a waiting row. The numbers are estimates: if the window is too short, the
    /// next claim continues after it.
    pub(super) fn window(&self, max: usize) -> Window {
        let enough = match self.terms.settings.order {
            Some(_) => max.saturating_mul(4).saturating_add(32),
            None => max,
        };
        let (mut taken, mut wanted, mut to) = (0, Vec::new(), self.scanned_to);
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
            begins: self.log_begins,
            newest: self.newest,
            wanted,
        }
    }

    /// Returns the record at a position, if it is among the events that were read and not yet discarded.
    pub(super) fn record(&self, position: Position) -> Option<Result<Record, AdapterError>> {
        let index = self.wanted.binary_search_by_key(&position, |(wanted, _)| wanted.position).ok()?;
        Some(self.wanted[index].1.record.clone())
    }
}
