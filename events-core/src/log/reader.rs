//! Cursors on the log, which streams and replays are built on.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::event::pattern::Pattern;
use crate::id::EventId;
use crate::log::{AfterUnlock, Log};
use crate::panics::catch_panic;
use crate::record::Record;

pub(crate) struct ReaderState {
    pattern: Box<str>,
    /// Whether the pattern is a name, which can be compared without matching.
    is_name: bool,
    /// Set if the reader is restricted to one event type.
    name: Option<&'static str>,
    /// Position of the next record to examine.
    cursor: u64,
    /// Number of matching records that were evicted before they were read.
    lost: u64,
    pub(crate) waker: Option<Waker>,
}

impl ReaderState {
    pub(crate) fn matches(&self, name: &str) -> bool {
        let matches = match self.is_name {
            true => *self.pattern == *name,
            false => Pattern::new(&self.pattern).is_ok_and(|pattern| pattern.matches(name)),
        };
        matches && self.name.is_none_or(|only| only == name)
    }

    /// Handles the eviction of a record. Counts it as lost if it matches and was not read.
    pub(crate) fn evicted(&mut self, position: u64, name: &str) {
        if self.cursor <= position {
            self.cursor = position + 1;
            self.lost += u64::from(self.matches(name));
        }
    }
}

/// A cursor on the log for the records of a pattern. While any reader exists, the log keeps at least the
/// number of records reserved for readers, within its byte limit.
pub(crate) struct Reader {
    log: Arc<Log>,
    key: u64,
}

/// Result of reading from the log.
pub(crate) enum ReadItem {
    Record(Record, u64),
    /// Number of matching records that were evicted before they were read.
    Lost(u64),
}

impl Reader {
    /// Creates a reader of records that are appended from now on.
    pub(crate) fn new(log: Arc<Log>, pattern: Pattern<'_>) -> Self {
        let mut state = log.lock();
        let key = state.next_reader;
        state.next_reader += 1;
        let reader = ReaderState {
            pattern: pattern.as_str().into(),
            is_name: pattern.is_name(),
            name: None,
            cursor: state.end(),
            lost: 0,
            waker: None,
        };
        state.readers.insert(key, reader);
        log.update_stores_appends(&state);
        drop(state);
        Self { log, key }
    }

    /// Restricts the reader to events of this name.
    pub(crate) fn restrict_to(&self, name: &'static str) {
        if let Some(reader) = self.log.lock().readers.get_mut(&self.key) {
            reader.name = Some(name);
        }
    }

    /// Returns the position of the next record to compare with the pattern.
    pub(crate) fn cursor(&self) -> u64 {
        self.log.lock().readers.get(&self.key).map_or(0, |reader| reader.cursor)
    }

    /// Returns the ids of the records that the reader has not compared with the pattern yet.
    pub(crate) fn unread_ids(&self) -> HashSet<EventId> {
        let state = self.log.lock();
        let cursor = state.readers.get(&self.key).map_or(u64::MAX, |reader| reader.cursor);
        let unread = state.records.iter().skip(cursor.saturating_sub(state.first) as usize);
        unread.map(Record::id).collect()
    }

    /// Returns the next matching record in the order of the log. `None` if the log is closed and fully read.
    ///
    /// # Complexity
    ///
    /// Compares each appended record with the pattern once.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReadItem>> {
        if let Some(read) = self.read_now(None) {
            return Poll::Ready(read);
        }
        // The new waker is cloned, and the old one dropped, without the lock, because both may run user code.
        let mut waker = Some(cx.waker().clone());
        match self.read_now(Some(&mut waker)) {
            Some(read) => Poll::Ready(read),
            None => Poll::Pending,
        }
    }

    /// Reads without waiting. If there is nothing to read, swaps the stored waker with `waker`.
    fn read_now(&self, waker: Option<&mut Option<Waker>>) -> Option<Option<ReadItem>> {
        let mut state = self.log.lock();
        let state = &mut *state;
        let Some(reader) = state.readers.get_mut(&self.key) else { return Some(None) };
        if reader.lost > 0 {
            return Some(Some(ReadItem::Lost(std::mem::take(&mut reader.lost))));
        }
        let skip = reader.cursor.saturating_sub(state.first) as usize;
        for record in state.records.iter().skip(skip) {
            let position = reader.cursor;
            reader.cursor += 1;
            if reader.matches(record.name()) {
                return Some(Some(ReadItem::Record(record.clone(), position)));
            }
        }
        if state.closed {
            return Some(None);
        }
        if let Some(waker) = waker {
            std::mem::swap(&mut reader.waker, waker);
        }
        None
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut after = AfterUnlock::default();
        let mut state = self.log.lock();
        let reader = state.readers.remove(&self.key);
        state.evict(&mut after);
        self.log.update_stores_appends(&state);
        drop(state);
        after.run();
        catch_panic(|| drop(reader));
    }
}
