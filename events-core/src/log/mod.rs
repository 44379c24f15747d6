//! The in-process log. It is the default history, and streams and replays read from it.

pub(crate) mod positions;
pub(crate) mod reader;

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::adapter::log::{LogId, LogPage, LogQuery};
use crate::adapter::query::HistoryQuery;
use crate::id::EventId;
use crate::log::positions::{Positions, Slot};
use crate::log::reader::ReaderState;
use crate::panics::catch_panic;
use crate::record::Record;
use crate::record::growth::{self, CountsBytes};
use crate::time::{self, Timestamp};

/// Capacity that the queues may keep, whatever their length.
const MAX_SPARE: usize = 256;

/// Limits of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Maximum number of records that the history shows.
    pub(crate) records: usize,
    /// Maximum size of the records in bytes, including payloads and metadata.
    pub(crate) bytes: usize,
    /// Maximum number of records that are kept while a reader exists, if that is more than `records`.
    pub(crate) for_readers: usize,
}

/// A bounded log of records in the order in which they were appended.
///
/// One lock protects the whole state. A record without a timestamp gets one under that lock, never earlier
/// than those assigned before, so that assigned timestamps never decrease in the order of the log.
pub(crate) struct Log {
    state: Mutex<State>,
    /// Whether an append has any effect. Emits that need no record otherwise read it.
    stores_appends: AtomicBool,
    /// Number of the log among all logs of the process, from 1. Its records store it.
    number: u32,
}

/// Aligned so that it shares no cache line with the lock. A thread that waits for the lock reads the lock's
/// cache line repeatedly, which would slow down each store of the owner to the same line. (Two threads that
/// emit the same event reach 0.75 of the throughput of one thread, and 0.67 without the alignment.)
#[repr(align(64))]
struct State {
    bounds: Bounds,
    number: u32,
    records: VecDeque<Record>,
    /// A summary of each record. It is stored here, because the record itself may not be in the CPU cache.
    summaries: VecDeque<RecordSummary>,
    /// Position of the first entry. Positions count all appends, from 0.
    first: u64,
    bytes: usize,
    /// Positions of the entries of each name.
    positions: Positions,
    /// Ids that entries had when they were appended, to recognise retried emits.
    given_ids: HashSet<EventId>,
    /// Latest time at which a record was appended.
    now: Timestamp,
    /// Last position whose timestamp is earlier than the one before. Events from other instances keep their
    /// timestamps.
    inversion: Option<u64>,
    readers: HashMap<u64, ReaderState>,
    next_reader: u64,
    closed: bool,
}

/// Work that an append or an eviction leaves until the lock is released, because it runs user code.
#[derive(Default)]
struct AfterUnlock {
    /// An evicted record, which may own the last reference to its event. In a full log, each append evicts
    /// one record.
    drop: Option<Record>,
    more: Vec<DeferredWork>,
}

enum DeferredWork {
    Wake(Waker),
    Drop(Record),
}

impl AfterUnlock {
    #[inline]
    fn run(&mut self) {
        if let Some(record) = self.drop.take() {
            catch_panic(|| drop(record));
        }
        if !self.more.is_empty() {
            DeferredWork::run_all(std::mem::take(&mut self.more));
        }
    }

    #[inline]
    fn drop(&mut self, record: Record) {
        match self.drop {
            None => self.drop = Some(record),
            Some(_) => self.more.push(DeferredWork::Drop(record)),
        }
    }

    fn wake(&mut self, waker: Option<Waker>) {
        self.more.extend(waker.map(DeferredWork::Wake));
    }
}

impl DeferredWork {
    #[cold]
    fn run_all(all: Vec<Self>) {
        for later in all {
            catch_panic(|| match later {
                Self::Wake(waker) => waker.wake(),
                Self::Drop(record) => drop(record),
            });
        }
    }
}

/// The values of a record that the log needs. They are two words, kept apart from the records, so that they are
/// passed in registers.
#[derive(Clone, Copy)]
struct RecordSummary {
    timestamp: Timestamp,
    /// The weight in the upper half, the slot of the name in the lower half.
    weight_and_slot: u64,
}

impl RecordSummary {
    fn new(timestamp: Timestamp, weight: usize, slot: Slot) -> Self {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        Self { timestamp, weight_and_slot: u64::from(weight) << 32 | u64::from(slot.0) }
    }

    fn weight(self) -> usize {
        (self.weight_and_slot >> 32) as usize
    }

    fn slot(self) -> Slot {
        Slot(self.weight_and_slot as u32)
    }
}

/// Result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The record was appended at this position. It may already be evicted, if nothing is kept.
    At(u64),
    /// A record with the same id is in the log. This one was not appended.
    Duplicate,
}

impl Log {
    pub(crate) fn start(bounds: Bounds) -> Arc<Self> {
        growth::register(|number| Self::new(bounds, number))
    }

    fn new(bounds: Bounds, number: u32) -> Self {
        Self {
            stores_appends: AtomicBool::new(bounds.records > 0),
            number,
            state: Mutex::new(State {
                bounds,
                number,
                records: VecDeque::new(),
                summaries: VecDeque::new(),
                first: 0,
                bytes: 0,
                positions: Positions::default(),
                given_ids: HashSet::new(),
                now: Timestamp::from_micros(i64::MIN),
                inversion: None,
                readers: HashMap::new(),
                next_reader: 0,
                closed: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock (see `AfterUnlock`), so a panic can't leave the state
        // inconsistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an append has any effect.
    #[inline]
    pub(crate) fn stores_appends(&self) -> bool {
        self.stores_appends.load(Ordering::Relaxed)
    }

    /// Appends records in order, without others between them.
    pub(crate) fn append(&self, records: &[Record], mut each: impl FnMut(Appended)) {
        let mut after = AfterUnlock::default();
        let now = time::now();
        let mut state = self.lock();
        for record in records {
            each(state.append(record, now, &mut after));
        }
        drop(state);
        after.run();
    }

    /// Appends one record.
    pub(crate) fn append_one(&self, record: &Record) -> Appended {
        let mut after = AfterUnlock::default();
        // Read the clock before taking the lock: this takes half the time of an append.
        let now = time::now();
        let mut state = self.lock();
        let appended = state.append(record, now, &mut after);
        drop(state);
        after.run();
        appended
    }

    /// Returns the record with this id, if it is kept.
    ///
    /// # Complexity
    ///
    /// Proportional to the number of records.
    pub(crate) fn find(&self, id: EventId) -> Option<Record> {
        let state = self.lock();
        state.records.iter().find(|record| record.known_id() == Some(id)).cloned()
    }

    /// Returns the newest records that match the query, oldest first.
    pub(crate) fn query(&self, query: &HistoryQuery) -> Vec<Record> {
        self.lock().query(query)
    }

    /// Reads the log forwards from a position. Positions of a page begin with 1.
    pub(crate) fn page(&self, id: LogId, query: &LogQuery) -> LogPage {
        let state = self.lock();
        let complete_from = state.positions.complete_from(query);
        let mut page = query.page_complete_after(id, state.first + 1, state.end(), complete_from);
        for number in page.wanted() {
            let index = (number - 1 - state.first) as usize;
            let record = &state.records[index];
            if query.takes(record.name())
                && !page.push(number, state.summaries[index].weight(), Ok(record.clone()))
            {
                break;
            }
        }
        page
    }

    /// Closes the log and wakes all readers. They end after reading the remaining records.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut after = AfterUnlock::default();
        state.readers.values_mut().for_each(|reader| after.wake(reader.waker.take()));
        drop(state);
        after.run();
    }

    /// Position of the oldest record that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.lock().first
    }

    fn update_stores_appends(&self, state: &State) {
        let keeps = state.bounds.records > 0 || !state.readers.is_empty();
        self.stores_appends.store(keeps, Ordering::Relaxed);
    }
}

impl CountsBytes for Log {
    fn grow(&self, record: &Record, bytes: usize) {
        let mut after = AfterUnlock::default();
        let mut state = self.lock();
        state.grow(record, bytes, &mut after);
        drop(state);
        after.run();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        growth::unregister(self.number);
    }
}

impl State {
    /// Position of the next record.
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Whether the timestamps of the kept records never decrease.
    fn is_ordered(&self) -> bool {
        self.inversion.is_none_or(|position| position <= self.first)
    }

    /// Whether the log has a record with the same id. If not, adds the id of this record to the known ids.
    #[cold]
    fn is_duplicate(&mut self, record: &Record) -> bool {
        let Some(id) = record.known_id() else { return false };
        let has_later_id = || self.records.iter().any(|record| record.known_id() == Some(id));
        !self.given_ids.insert(id) || (record.is_retry() && has_later_id())
    }

    /// Removes the id of an evicted record.
    #[cold]
    fn forget_id(&mut self, record: &Record) {
        if let Some(id) = record.known_id() {
            self.given_ids.remove(&id);
        }
    }

    fn append(&mut self, record: &Record, now: Timestamp, after: &mut AfterUnlock) -> Appended {
        let keeps = self.bounds.records > 0 || !self.readers.is_empty();
        if keeps && record.has_id() && self.is_duplicate(record) {
            return Appended::Duplicate;
        }
        // The clock was read before the lock was taken, so another emit may already have used a later time.
        self.now = self.now.max(now);
        let timestamp = record.stamp(self.now);
        let position = self.end();
        if !keeps {
            self.first += 1;
            self.positions.skip(self.first);
            return Appended::At(position);
        }
        if self.summaries.back().is_some_and(|last| last.timestamp > timestamp) {
            self.inversion = Some(position);
        }
        let slot = self.positions.push(record, position);
        record.set_log(self.number);
        let summary = RecordSummary::new(timestamp, record.weight(), slot);
        self.bytes += summary.weight();
        self.records.push_back(record.clone());
        self.summaries.push_back(summary);
        if !self.readers.is_empty() {
            self.notify_readers(record.name(), after);
        }
        self.evict(after);
        Appended::At(position)
    }

    /// Counts more bytes for a record, if it is kept.
    fn grow(&mut self, record: &Record, bytes: usize, after: &mut AfterUnlock) {
        let Some(index) = self.index_of(record) else { return };
        let before = self.summaries[index];
        let grown =
            RecordSummary::new(before.timestamp, before.weight().saturating_add(bytes), before.slot());
        self.summaries[index] = grown;
        self.bytes += grown.weight() - before.weight();
        self.evict(after);
    }

    fn index_of(&self, record: &Record) -> Option<usize> {
        let timestamp = record.known_timestamp()?;
        let is_it = |index: &usize| self.records[*index].is_clone_of(record);
        if !self.is_ordered() {
            return (0..self.records.len()).rev().find(is_it);
        }
        let first = self.summaries.partition_point(|summary| summary.timestamp < timestamp);
        let same_time = |index: &usize| self.summaries[*index].timestamp == timestamp;
        (first..self.records.len()).take_while(same_time).find(is_it)
    }

    fn notify_readers(&mut self, name: &str, after: &mut AfterUnlock) {
        for reader in self.readers.values_mut() {
            if reader.waker.is_some() && reader.matches(name) {
                after.wake(reader.waker.take());
            }
        }
    }

    fn evict(&mut self, after: &mut AfterUnlock) {
        let kept = match self.readers.is_empty() {
            true => self.bounds.records,
            false => self.bounds.records.max(self.bounds.for_readers),
        };
        while self.records.len() > kept || self.bytes > self.bounds.bytes {
            let (Some(record), Some(summary)) = (self.records.pop_front(), self.summaries.pop_front()) else {
                return;
            };
            let position = self.first;
            self.first += 1;
            self.bytes -= summary.weight();
            self.positions.pop(summary.slot(), &record, position);
            if !self.given_ids.is_empty() {
                self.forget_id(&record);
            }
            if !self.readers.is_empty() {
                self.readers.values_mut().for_each(|reader| reader.evicted(position, record.name()));
            }
            after.drop(record);
        }
        // Capacity that was needed for many small records is released when only a few large ones are kept.
        if self.records.capacity() > MAX_SPARE && self.records.len() < self.records.capacity() / 4 {
            self.shrink();
        }
    }

    #[cold]
    fn shrink(&mut self) {
        let max = self.records.len() * 2;
        self.records.shrink_to(max);
        self.summaries.shrink_to(max);
    }

    fn query(&self, query: &HistoryQuery) -> Vec<Record> {
        let shown = self.end().saturating_sub(self.bounds.records as u64);
        // Position after the last record that is not later than `until`. It is known only if the log is ordered.
        let end = match query.until() {
            Some(until) if self.is_ordered() => {
                self.first + self.summaries.partition_point(|summary| summary.timestamp <= until) as u64
            }
            _ => self.end(),
        };
        // Merge the positions of the matching names from the newest to the oldest.
        let matching = self.positions.matching(query);
        let mut newest: BinaryHeap<(u64, usize, &VecDeque<u64>)> = matching
            .into_iter()
            .filter_map(|positions| {
                let last = positions.partition_point(|position| *position < end).checked_sub(1)?;
                Some((positions[last], last, positions))
            })
            .collect();
        let mut found = Vec::new();
        while found.len() < query.limit() {
            let Some((position, at, positions)) = newest.pop() else {
                break;
            };
            if position < shown {
                break;
            }
            if let Some(at) = at.checked_sub(1) {
                newest.push((positions[at], at, positions));
            }
            let index = (position - self.first) as usize;
            let timestamp = self.summaries[index].timestamp;
            if query.since().is_some_and(|since| timestamp < since) {
                if self.is_ordered() {
                    break;
                }
            } else if query.until().is_none_or(|until| timestamp <= until) {
                found.push(&self.records[index]);
            }
        }
        found.into_iter().rev().cloned().collect()
    }
}
