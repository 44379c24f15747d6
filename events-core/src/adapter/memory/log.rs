//! The log of an in-memory adapter.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::reader::{Batch, Reader};
use crate::adapter::durable::Changes;
use crate::adapter::kit::store::{Limits, Views};
use crate::adapter::kit::tables::Tables;
use crate::adapter::log::{LogId, LogPage, LogQuery};
use crate::adapter::query::HistoryQuery;
use crate::adapter::{AdapterError, Published};
use crate::error::Error;
use crate::id::{EventId, InstanceId};
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::time::Timestamp;

/// A bus counts as behind if the number of records it has not read reaches the maximum number of kept records
/// divided by this.
const PART_BEHIND: usize = 8;
/// Maximum time that an emit waits for buses that are behind.
const FOLLOWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of entries that are read under the lock at a time.
const BATCH: u64 = 256;

#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// State shared by all clones.
pub(super) struct Hub {
    pub(super) bounds: Bounds,
    /// Maximum size of the records that are kept beyond the bounds, because consumers have not finished them.
    pub(super) pending_bytes: AtomicUsize,
    pub(super) id: LogId,
    /// No user code runs while this lock is held.
    pub(super) state: Mutex<State>,
    /// Position before which every entry has its text or was withdrawn.
    pub(super) filled: watch::Sender<u64>,
    /// Notified when a bus is no longer behind.
    pub(super) caught_up: Notify,
    /// Changes of the log and of consumers.
    pub(super) changes: watch::Sender<Changes>,
    pub(super) views: Views,
    /// Bounds of the work of a call; others in tests only.
    pub(super) limits: Limits,
}

#[derive(Default)]
pub struct State {
    pub(super) tables: Tables,
    pub(super) entries: VecDeque<Entry>,
    /// Position of the first entry.
    pub(super) first: u64,
    pub(super) filled: u64,
    pub(super) bytes: usize,
    pub(super) ids: HashMap<EventId, u64>,
    pub(super) latest: Option<Timestamp>,
    pub(super) readers: HashMap<u64, Progress>,
    pub(super) next_key: u64,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: EventId,
    pub(super) origin: InstanceId,
    pub(super) name: Arc<str>,
    pub(super) version: u32,
    pub(super) time: Timestamp,
    pub(super) text: Text,
}

/// Text of an entry. An entry gets its position and its timestamp before its record is encoded, because
/// encoding runs user code, which must not run under the lock.
#[derive(Clone)]
pub(super) enum Text {
    Coming,
    Here(Arc<str>),
    /// The record could not be encoded.
    Withdrawn,
}

/// Progress of a bus in the log.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    pub(super) instance: InstanceId,
    /// Position at which the bus began. It does not miss entries before that.
    pub(super) from: u64,
    pub(super) next: u64,
    /// Position before which every entry was handed to the bus or dropped.
    pub(super) taken: u64,
    /// Number of events of other buses that were dropped before they were handed to the bus.
    pub(super) lost: u64,
    /// Whether an emit has timed out waiting for the bus since it last caught up.
    pub(super) stalled: bool,
}

impl State {
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn entry(&self, position: u64) -> Option<&Entry> {
        self.entries.get(position.checked_sub(self.first)? as usize)
    }

    pub(super) fn is_coming(&self, id: EventId) -> bool {
        let entry = self.ids.get(&id).and_then(|position| self.entry(*position));
        entry.is_some_and(|entry| matches!(entry.text, Text::Coming))
    }

    /// Adds an entry for a record. Returns `None` if a record with its id is kept.
    pub(super) fn push(&mut self, record: &Record) -> Option<Slot> {
        // Get the timestamp first, and under the lock, so that timestamps never decrease along the log. A
        // generated id is derived from the timestamp.
        let earliest = self.latest.unwrap_or(Timestamp::from_micros(i64::MIN));
        let time = record.stamp_after(earliest);
        let (id, position) = (record.id(), self.end());
        if self.ids.contains_key(&id) {
            return None;
        }
        self.latest = Some(time.max(earliest));
        self.ids.insert(id, position);
        let (origin, name, version) = (record.origin(), Arc::from(record.name()), record.version());
        self.entries.push_back(Entry { id, origin, name, version, time, text: Text::Coming });
        Some(Slot { position, origin })
    }

    /// Sets the text of an entry. If the entry was dropped before it had a text, no bus has got it. If it now
    /// has a text, it is lost for every bus that began at its position or before.
    pub(super) fn set(&mut self, slot: Slot, text: Text) {
        let Slot { position, origin } = slot;
        let index = position.checked_sub(self.first).map(|index| index as usize);
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
            if matches!(text, Text::Here(_)) {
                self.record_loss(origin, |reader| reader.from <= position);
            }
            return;
        };
        match &text {
            Text::Here(text) => self.bytes += text.len(),
            Text::Coming | Text::Withdrawn => {
                self.ids.remove(&entry.id);
            }
        }
        entry.text = text;
    }

    /// Counts a dropped event for the buses that should have got it. The emitting bus has handled it already.
    pub(super) fn record_loss(&mut self, origin: InstanceId, is_to_get: impl Fn(&Progress) -> bool) {
        let readers = self.readers.values_mut();
        for reader in readers.filter(|reader| reader.instance != origin && is_to_get(reader)) {
            reader.lost += 1;
        }
    }

    /// Drops entries beyond the limits that no consumer needs, and returns the position before which every entry has
    /// its text or was withdrawn.
    ///
    /// An entry without a text is dropped like any other, because encoding may take any time.
    /// [`set`](Self::set) then decides whether it is lost.
    pub(super) fn trim(&mut self, bounds: Bounds) -> u64 {
        let mut held = None;
        while self.is_over(bounds) {
            let held = *held
                .get_or_insert_with(|| self.tables.held_up_from().map_or(u64::MAX, |(held, _)| held - 1));
            if self.first >= held {
                break;
            }
            self.drop_first();
        }
        self.note_filled()
    }

    fn is_over(&self, bounds: Bounds) -> bool {
        self.entries.len() > bounds.records || self.bytes > bounds.bytes && self.entries.len() > 1
    }

    /// Drops the first entry.
    pub(super) fn drop_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if let Text::Here(text) = &entry.text {
            self.bytes -= text.len();
        }
        if self.ids.get(&entry.id) == Some(&self.first) {
            self.ids.remove(&entry.id);
        }
        let dropped = self.first;
        if matches!(entry.text, Text::Here(_)) {
            self.record_loss(entry.origin, |reader| reader.taken <= dropped);
        }
        self.first += 1;
        for reader in self.readers.values_mut() {
            reader.taken = reader.taken.max(self.first);
        }
    }

    pub(super) fn note_filled(&mut self) -> u64 {
        self.filled = self.filled.max(self.first);
        while self.entry(self.filled).is_some_and(|entry| !matches!(entry.text, Text::Coming)) {
            self.filled += 1;
        }
        self.filled
    }
}

impl Hub {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_behind(&self, progress: Progress, end: u64) -> bool {
        let max = (self.bounds.records / PART_BEHIND).max(1) as u64;
        end.saturating_sub(progress.next) >= max
    }

    /// Creates a page, and returns it with the texts of the records to add. Positions of a page begin with 1,
    /// and those of entries with 0.
    pub(super) fn page(&self, query: &LogQuery) -> (LogPage, Vec<(u64, Arc<str>)>) {
        let state = self.lock();
        let page = query.page(self.id, state.first + 1, state.filled);
        let found = page.wanted().filter_map(|number| {
            let entry = state.entry(number - 1)?;
            match &entry.text {
                Text::Here(text) if query.takes(&entry.name) => Some((number, Arc::clone(text))),
                _ => None,
            }
        });
        let found = found.collect();
        (page, found)
    }

    /// Waits until no bus is behind. Ignores the bus `own` and the buses for which a wait has timed out.
    pub(super) async fn wait_for_those_behind(&self, own: Option<u64>) {
        let mut deadline = None;
        loop {
            let mut caught_up = pin!(self.caught_up.notified());
            caught_up.as_mut().enable();
            if self.those_behind(own).is_empty() {
                return;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + FOLLOWER_TIMEOUT);
            if timeout_at(deadline, caught_up).await.is_err() {
                let behind = self.those_behind(own);
                let mut state = self.lock();
                for key in behind {
                    state.readers.entry(key).and_modify(|progress| progress.stalled = true);
                }
                return;
            }
        }
    }

    pub(super) fn those_behind(&self, own: Option<u64>) -> Vec<u64> {
        let state = self.lock();
        let end = state.end();
        let behind = state.readers.iter().filter(|(key, progress)| {
            own != Some(**key) && !progress.stalled && self.is_behind(**progress, end)
        });
        behind.map(|(key, _)| *key).collect()
    }

    /// Adds entries for records, without others between them. Records that are kept already are skipped.
    pub(super) async fn reserve(&self, records: &[Record]) -> Reserved<'_> {
        let mut filled = self.filled.subscribe();
        loop {
            if let Some(reserved) = self.try_reserve(records) {
                return reserved;
            }
            // Can't fail: `self` owns the sender.
            let _ = filled.changed().await;
        }
    }

    /// Returns `None` if a record with the same id is being encoded, so that it is not known whether it will
    /// be kept.
    pub(super) fn try_reserve(&self, records: &[Record]) -> Option<Reserved<'_>> {
        let mut state = self.lock();
        let is_coming = |record: &Record| record.known_id().is_some_and(|id| state.is_coming(id));
        if records.iter().any(is_coming) {
            return None;
        }
        let slots = records.iter().map(|record| state.push(record)).collect();
        Some(Reserved { hub: self, slots })
    }

    /// Returns the text of the record with this id, if it is kept.
    pub(super) fn text_of(&self, id: EventId) -> Option<Arc<str>> {
        let state = self.lock();
        match &state.entry(*state.ids.get(&id)?)?.text {
            Text::Here(text) => Some(Arc::clone(text)),
            Text::Coming | Text::Withdrawn => None,
        }
    }

    /// Returns the texts of the records at positions of consumers, which count from 1.
    pub(super) fn texts_at(&self, positions: &[u64]) -> Vec<(u64, Arc<str>)> {
        let state = self.lock();
        let text = |position: &u64| match &state.entry(position.checked_sub(1)?)?.text {
            Text::Here(text) => Some((*position, Arc::clone(text))),
            Text::Coming | Text::Withdrawn => None,
        };
        positions.iter().filter_map(text).collect()
    }

    /// Sets the texts of entries.
    pub(super) fn set(&self, texts: impl Iterator<Item = (Slot, Text)>) {
        let mut state = self.lock();
        texts.for_each(|(slot, text)| state.set(slot, text));
        let filled = state.trim(self.bounds);
        drop(state);
        // Notify even if entries were withdrawn: a task may wait for the outcome of their ids.
        self.filled.send_modify(|known| *known = filled.max(*known));
        self.changes.send_modify(|changes| changes.log = filled.max(changes.log));
    }

    /// Refuses new records while those that a consumer has not finished take too much memory.
    pub(super) fn check_room(&self) -> Result<(), AdapterError> {
        let mut state = self.lock();
        let pending = self.pending_bytes.load(Ordering::Relaxed);
        let max = self.bounds.bytes.saturating_add(pending);
        if state.bytes >= max {
            // The consumer may have finished events since the last one was added.
            state.trim(self.bounds);
        }
        if state.bytes < max {
            return Ok(());
        }
        let Some((_, consumer)) = state.tables.held_up_from() else { return Ok(()) };
        let name = state.tables.name_of(consumer);
        Err(AdapterError::unavailable(format_args!(
            "the consumer `{name}` has not finished {} bytes of events, and no more than {pending} bytes are kept for consumers",
            state.bytes
        )))
    }

    /// Texts of the records that a query requests, newest first.
    pub(super) async fn find(&self, query: &HistoryQuery) -> Vec<Arc<str>> {
        let (mut found, mut end) = (Vec::new(), u64::MAX);
        while let Some(next) = self.find_before(end, query, &mut found) {
            end = next;
            tokio::task::yield_now().await;
        }
        found
    }

    /// Searches up to `BATCH` entries before `end`. Returns the position to continue from.
    pub(super) fn find_before(
        &self,
        end: u64,
        query: &HistoryQuery,
        found: &mut Vec<Arc<str>>,
    ) -> Option<u64> {
        let state = self.lock();
        let end = end.min(state.end());
        let begin = end.saturating_sub(BATCH).max(state.first);
        for position in (begin..end).rev() {
            let entry = state.entry(position)?;
            if found.len() >= query.limit() || query.since().is_some_and(|since| entry.time < since) {
                return None;
            }
            let is_asked = query.until().is_none_or(|until| entry.time <= until);
            if let Text::Here(text) = &entry.text
                && is_asked
                && query.takes(&entry.name)
            {
                found.push(Arc::clone(text));
            }
        }
        (begin > state.first).then_some(begin)
    }

    /// Adds a bus, which gets the entries from the current end of the log on.
    pub(super) fn join(self: &Arc<Self>, instance: InstanceId) -> Reader {
        let mut state = self.lock();
        let (key, next) = (state.next_key, state.end());
        state.next_key += 1;
        let progress = Progress { instance, from: next, next, taken: next, lost: 0, stalled: false };
        state.readers.insert(key, progress);
        Reader { hub: Arc::clone(self), key }
    }

    /// Sets the position that a bus has reached.
    pub(super) fn advance(&self, key: u64, next: u64) {
        let mut state = self.lock();
        let end = state.end();
        let Some(progress) = state.readers.get_mut(&key) else { return };
        progress.next = next;
        if !self.is_behind(*progress, end) {
            progress.stalled = false;
            drop(state);
            self.caught_up.notify_waiters();
        }
    }

    pub(super) fn next(&self, key: u64) -> Batch {
        let mut state = self.lock();
        let (first, filled) = (state.first, state.filled);
        let Some(reader) = state.readers.get_mut(&key) else { return Batch::default() };
        let begin = reader.next.max(first);
        let end = filled.min(begin + BATCH).max(begin);
        let (instance, lost) = (reader.instance, std::mem::take(&mut reader.lost));
        reader.taken = end;
        let theirs = (begin..end).filter_map(|position| match state.entry(position)? {
            Entry { text: Text::Here(text), origin, name, .. } if *origin != instance => {
                Some((position, Arc::clone(name), Arc::clone(text)))
            }
            _ => None,
        });
        Batch { lost, texts: theirs.collect(), begin, end }
    }
}

/// Position of an entry, and the bus that emitted its record.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) position: u64,
    pub(super) origin: InstanceId,
}

/// Entries that have a position but no text yet. They are withdrawn when this is dropped.
pub(super) struct Reserved<'a> {
    pub(super) hub: &'a Hub,
    /// `None` for a duplicate.
    pub(super) slots: Vec<Option<Slot>>,
}

impl Reserved<'_> {
    pub(super) fn fill(mut self, records: &[Record], codec: &RecordCodec) -> Result<Published, Error> {
        let mut texts = Vec::with_capacity(records.len());
        for (slot, record) in self.slots.iter().zip(records) {
            if let Some(slot) = slot {
                texts.push((*slot, Text::Here(codec.encode(record)?.into())));
            }
        }
        let slots = std::mem::take(&mut self.slots);
        self.hub.set(texts.into_iter());
        let duplicates = slots.iter().zip(records).enumerate().filter(|(_, (slot, _))| slot.is_none());
        Ok(duplicates.fold(Published::default(), |published, (index, (_, record))| {
            let stored = self.hub.text_of(record.id()).and_then(|text| codec.decode(&text).ok());
            published.with_duplicate(index, stored)
        }))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.slots.is_empty() {
            let slots = std::mem::take(&mut self.slots).into_iter().flatten();
            self.hub.set(slots.map(|slot| (slot, Text::Withdrawn)));
        }
    }
}
