//! The in-process log: the default history, and what streams and replays read.

mod query;
mod reader;

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

pub(crate) use query::parse_pattern;
pub use query::{History, HistoryQuery, TypedHistory};
pub(crate) use reader::{Read, Reader};

use crate::contain::contained;
use crate::id::EventId;
use crate::record::Record;
use crate::time::Timestamp;
use reader::ReaderState;

/// How much the log keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Records the history shows.
    pub(crate) records: usize,
    /// Bytes of payloads and metadata.
    pub(crate) bytes: usize,
    /// Records that are kept, beyond the history's, while somebody reads along.
    pub(crate) for_readers: usize,
}

/// A bounded log of records in the order in which they were appended.
///
/// Everything is behind one lock, under which a record also gets its timestamp: so timestamps never
/// decrease in the log's order.
pub(crate) struct Log {
    state: Mutex<State>,
    /// Whether an append has any effect; read by emits that could do without a record.
    keeps: AtomicBool,
}

struct State {
    bounds: Bounds,
    entries: VecDeque<Entry>,
    /// The position of the first entry; positions count all appends, from 0.
    first: u64,
    bytes: usize,
    /// The positions of each name's entries, ascending.
    by_name: HashMap<Box<str>, VecDeque<u64>>,
    /// The ids that entries came with, so that a retry is recognised.
    given_ids: HashSet<EventId>,
    /// The last position whose timestamp was earlier than the one before: events from other instances
    /// keep their own.
    inversion: Option<u64>,
    readers: HashMap<u64, ReaderState>,
    next_reader: u64,
    closed: bool,
}

/// What an append or eviction leaves to do without the lock: it runs code of users.
#[derive(Default)]
struct AfterUnlock {
    wake: Vec<Waker>,
    /// Perhaps the last owner of its event: one for one, once the log is full.
    drop: Option<Record>,
    /// Others.
    drop_too: Vec<Record>,
}

impl AfterUnlock {
    fn run(self) {
        self.wake.into_iter().for_each(|waker| contained(|| waker.wake()));
        self.drop.into_iter().chain(self.drop_too).for_each(|record| contained(|| drop(record)));
    }
}

struct Entry {
    record: Record,
    timestamp: Timestamp,
    weight: usize,
    given_id: Option<EventId>,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The record has this position now (and may already be gone, where nothing is kept).
    At(u64),
    /// A record with the same id is in the log; this one was not added.
    Duplicate,
}

impl Log {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            keeps: AtomicBool::new(bounds.records > 0),
            state: Mutex::new(State {
                bounds,
                entries: VecDeque::new(),
                first: 0,
                bytes: 0,
                by_name: HashMap::new(),
                given_ids: HashSet::new(),
                inversion: None,
                readers: HashMap::new(),
                next_reader: 0,
                closed: false,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of a user runs under the lock (see `AfterUnlock`); the state stays whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an append has any effect.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// Appends records, in order and without others between them.
    pub(crate) fn append(&self, records: &[Record], mut each: impl FnMut(Appended)) {
        let mut after = AfterUnlock::default();
        let mut state = self.lock();
        for record in records {
            each(state.append(record, &mut after));
        }
        drop(state);
        after.run();
    }

    /// Appends one record.
    pub(crate) fn append_one(&self, record: &Record) -> Appended {
        let mut appended = Appended::Duplicate;
        self.append(std::slice::from_ref(record), |position| appended = position);
        appended
    }

    /// The newest records the query asks for, oldest first.
    pub(crate) fn query(&self, query: &HistoryQuery) -> Vec<Record> {
        self.lock().query(query)
    }

    /// Wakes all readers; they end when they have read what is there.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wake = state.readers.values_mut().filter_map(|reader| reader.waker.take()).collect();
        drop(state);
        AfterUnlock { wake, ..AfterUnlock::default() }.run();
    }

    /// The position of the oldest record that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.lock().first
    }

    fn update_keeps(&self, state: &State) {
        let keeps = state.bounds.records > 0 || !state.readers.is_empty();
        self.keeps.store(keeps, Ordering::Relaxed);
    }
}

impl State {
    /// The position the next record gets.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether the timestamps of what is kept never decrease.
    fn is_ordered(&self) -> bool {
        self.inversion.is_none_or(|position| position <= self.first)
    }

    fn is_kept(&self, id: EventId, retried: bool) -> bool {
        let made_later = || self.entries.iter().any(|entry| entry.record.known_id() == Some(id));
        self.given_ids.contains(&id) || (retried && made_later())
    }

    fn append(&mut self, record: &Record, after: &mut AfterUnlock) -> Appended {
        let given_id = record.known_id();
        if given_id.is_some_and(|id| self.is_kept(id, record.is_retry())) {
            return Appended::Duplicate;
        }
        let timestamp = record.timestamp();
        let position = self.end();
        if self.bounds.records == 0 && self.readers.is_empty() {
            self.first += 1;
            return Appended::At(position);
        }
        if self.entries.back().is_some_and(|last| last.timestamp > timestamp) {
            self.inversion = Some(position);
        }
        self.given_ids.extend(given_id);
        match self.by_name.get_mut(record.name()) {
            Some(positions) => positions.push_back(position),
            None => drop(self.by_name.insert(record.name().into(), VecDeque::from([position]))),
        }
        let weight = record.weight();
        self.bytes += weight;
        self.entries.push_back(Entry { record: record.clone(), timestamp, weight, given_id });
        for reader in self.readers.values_mut() {
            if reader.waker.is_some() && reader.takes(record.name()) {
                after.wake.extend(reader.waker.take());
            }
        }
        self.evict(after);
        Appended::At(position)
    }

    fn evict(&mut self, after: &mut AfterUnlock) {
        let kept = match self.readers.is_empty() {
            true => self.bounds.records,
            false => self.bounds.records.max(self.bounds.for_readers),
        };
        while self.entries.len() > kept || self.bytes > self.bounds.bytes {
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            let position = self.first;
            self.first += 1;
            self.bytes -= entry.weight;
            let name = entry.record.name();
            if let Some(positions) = self.by_name.get_mut(name) {
                positions.pop_front();
                if positions.is_empty() {
                    self.by_name.remove(name);
                }
            }
            if let Some(id) = entry.given_id {
                self.given_ids.remove(&id);
            }
            for reader in self.readers.values_mut() {
                reader.evicted(position, name);
            }
            match after.drop {
                None => after.drop = Some(entry.record),
                Some(_) => after.drop_too.push(entry.record),
            }
        }
    }

    fn query(&self, query: &HistoryQuery) -> Vec<Record> {
        let shown = self.end().saturating_sub(self.bounds.records as u64);
        // Behind this position nothing can be early enough; only an ordered log can tell.
        let end = match query.until() {
            Some(until) if self.is_ordered() => {
                self.first + self.entries.partition_point(|entry| entry.timestamp <= until) as u64
            }
            _ => self.end(),
        };
        // Merges the matching names' positions from the newest to the oldest.
        let matching =
            self.by_name.iter().filter(|(name, _)| query.takes(name)).map(|(_, positions)| positions);
        let mut newest: BinaryHeap<(u64, usize, &VecDeque<u64>)> = matching
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
            let entry = &self.entries[(position - self.first) as usize];
            if query.since().is_some_and(|since| entry.timestamp < since) {
                if self.is_ordered() {
                    break;
                }
            } else if query.until().is_none_or(|until| entry.timestamp <= until) {
                found.push(&entry.record);
            }
        }
        found.into_iter().rev().cloned().collect()
    }
}
