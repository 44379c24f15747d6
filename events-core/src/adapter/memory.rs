//! An adapter without an engine, which connects the buses of one process.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::adapter::log::{LogId, LogPage, LogQuery};
use crate::adapter::query::HistoryQuery;
use crate::adapter::receiver::Receiver;
use crate::adapter::{Adapter, AdapterError, BoxFuture, Published};
use crate::error::{Error, ErrorKind};
use crate::id::{EventId, InstanceId};
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::time::Timestamp;

/// Connects the buses of one process and keeps their most recent events. Use it to test programs that run as
/// several instances, or to connect parts of one program that each have a bus.
///
/// Clones share one log; give each bus its own clone. Events are encoded as for any other adapter, so that a
/// bus reads the events of the others as if they came from another process. The events are lost when the last
/// clone is dropped. Durable consumers are not supported.
///
/// - **Order.** Each bus gets the events of the others in the order of the history.
/// - **Slow buses.** A bus is behind if the number of events it has not read reaches an eighth of the maximum
///   number of kept events. Emits of the other buses then wait for it, each for at most 1 s. After one such
///   wait has timed out, emits no longer wait for that bus until it has caught up. Events that are evicted
///   before a bus gets them are counted in [`Stats::lost`](crate::Stats::lost) and logged.
/// - **Duplicates.** An event whose id is already among the kept events is not stored again.
/// - **Runtime.** The runtime of a bus must have its timer enabled (`enable_time`).
///
/// # Complexity
///
/// A history query reads backwards through the kept events until its limit is reached.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::adapter::InMemory;
/// use typed_events::{Bus, event};
///
/// #[event("memory_doc.paid")]
/// pub struct Paid { pub order: u32 }
///
/// let memory = InMemory::new();
/// let shop = Bus::builder().adapter(memory.clone()).build().await?;
/// let billing = Bus::builder().adapter(memory).build().await?;
/// shop.emit(Paid { order: 2 }).await?;
/// assert_eq!(billing.history("*").of::<Paid>().await?[0].order, 2);
/// # Ok(()) }
/// ```
pub struct InMemory {
    hub: Arc<Hub>,
    /// Delivers events to the one bus that uses this clone.
    follower: OnceLock<Follower>,
}

/// Default limits.
const DEFAULT_BOUNDS: Bounds = Bounds { records: 100_000, bytes: 256 << 20 };
/// A bus counts as behind if the number of records it has not read reaches the maximum number of kept records
/// divided by this.
const PART_BEHIND: usize = 8;
/// Maximum time that an emit waits for buses that are behind.
const FOLLOWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of entries that are read under the lock at a time.
const BATCH: u64 = 256;

impl InMemory {
    /// Creates a new log, which keeps the last 100,000 events, at most 256 MiB of them.
    pub fn new() -> Self {
        Self::of(DEFAULT_BOUNDS)
    }

    /// Creates a new log, which keeps the last `records` events (at least 1). The encoded events have at most
    /// `bytes` bytes together. The newest event is kept whatever its size.
    pub fn bounded(records: usize, bytes: usize) -> Self {
        Self::of(Bounds { records: records.max(1), bytes })
    }

    fn of(bounds: Bounds) -> Self {
        let (state, filled) = (Mutex::default(), watch::Sender::new(0));
        let hub = Hub {
            bounds,
            id: LogId::new(EventId::new().to_bytes()),
            state,
            filled,
            caught_up: Notify::new(),
        };
        Self { hub: Arc::new(hub), follower: OnceLock::new() }
    }
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

/// Creates another handle to the same log, for another bus.
impl Clone for InMemory {
    fn clone(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), follower: OnceLock::new() }
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.hub.lock();
        write!(f, "InMemory({} records, {} buses)", state.entries.len(), state.readers.len())
    }
}

impl Adapter for InMemory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            let own = self.follower.get().map(|follower| follower.key);
            self.hub.wait_for_those_behind(own).await;
            let reserved = self.hub.reserve(records).await;
            Ok(reserved.fill(records, codec)?)
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let found = self.hub.find(query).await;
            Ok(found.iter().rev().map(|text| Ok(codec.decode(text)?)).collect())
        })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move {
            let (mut page, found) = self.hub.page(query);
            for (number, text) in found {
                if !page.push(number, text.len(), codec.decode(&text).map_err(AdapterError::from)) {
                    break;
                }
            }
            Ok(page)
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            let reader = self.hub.join(receiver.instance());
            let key = reader.key;
            let task = tokio::spawn(Box::pin(reader.run(receiver)) as BoxFuture<'static, ()>).abort_handle();
            self.follower.set(Follower { key, task }).map_err(|_| {
                AdapterError::refused(
                    "this `InMemory` is already used by another bus: give each bus its own clone",
                )
            })
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        if let Some(follower) = self.follower.get() {
            follower.task.abort();
        }
        Box::pin(async { Ok(()) })
    }
}

struct Follower {
    key: u64,
    task: AbortHandle,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    records: usize,
    bytes: usize,
}

/// State shared by all clones.
struct Hub {
    bounds: Bounds,
    id: LogId,
    /// No user code runs while this lock is held.
    state: Mutex<State>,
    /// Position before which every entry has its text or was withdrawn.
    filled: watch::Sender<u64>,
    /// Notified when a bus is no longer behind.
    caught_up: Notify,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Position of the first entry.
    first: u64,
    filled: u64,
    bytes: usize,
    ids: HashMap<EventId, u64>,
    latest: Option<Timestamp>,
    readers: HashMap<u64, Progress>,
    next_key: u64,
}

struct Entry {
    id: EventId,
    origin: InstanceId,
    name: Arc<str>,
    time: Timestamp,
    text: Text,
}

/// Text of an entry. An entry gets its position and its timestamp before its record is encoded, because
/// encoding runs user code, which must not run under the lock.
enum Text {
    Coming,
    Here(Arc<str>),
    /// The record could not be encoded.
    Withdrawn,
}

/// Progress of a bus in the log.
#[derive(Clone, Copy)]
struct Progress {
    instance: InstanceId,
    /// Position at which the bus began. It does not miss entries before that.
    from: u64,
    next: u64,
    /// Position before which every entry was handed to the bus or dropped.
    taken: u64,
    /// Number of events of other buses that were dropped before they were handed to the bus.
    lost: u64,
    /// Whether an emit has timed out waiting for the bus since it last caught up.
    stalled: bool,
}

impl State {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn entry(&self, position: u64) -> Option<&Entry> {
        self.entries.get(position.checked_sub(self.first)? as usize)
    }

    fn is_coming(&self, id: EventId) -> bool {
        let entry = self.ids.get(&id).and_then(|position| self.entry(*position));
        entry.is_some_and(|entry| matches!(entry.text, Text::Coming))
    }

    /// Adds an entry for a record. Returns `None` if a record with its id is kept.
    fn push(&mut self, record: &Record) -> Option<Slot> {
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
        let (origin, name) = (record.origin(), Arc::from(record.name()));
        self.entries.push_back(Entry { id, origin, name, time, text: Text::Coming });
        Some(Slot { position, origin })
    }

    /// Sets the text of an entry. If the entry was dropped before it had a text, no bus has got it. If it now
    /// has a text, it is lost for every bus that began at its position or before.
    fn set(&mut self, slot: Slot, text: Text) {
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
    fn record_loss(&mut self, origin: InstanceId, is_to_get: impl Fn(&Progress) -> bool) {
        let readers = self.readers.values_mut();
        for reader in readers.filter(|reader| reader.instance != origin && is_to_get(reader)) {
            reader.lost += 1;
        }
    }

    /// Drops entries beyond the limits, and returns the position before which every entry has its text or was
    /// withdrawn.
    ///
    /// An entry without a text is dropped like any other, because encoding may take any time.
    /// [`set`](Self::set) then decides whether it is lost.
    fn trim(&mut self, bounds: Bounds) -> u64 {
        while self.entries.len() > bounds.records || self.bytes > bounds.bytes && self.entries.len() > 1 {
            let Some(entry) = self.entries.pop_front() else { break };
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
        self.filled = self.filled.max(self.first);
        while self.entry(self.filled).is_some_and(|entry| !matches!(entry.text, Text::Coming)) {
            self.filled += 1;
        }
        self.filled
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_behind(&self, progress: Progress, end: u64) -> bool {
        let max = (self.bounds.records / PART_BEHIND).max(1) as u64;
        end.saturating_sub(progress.next) >= max
    }

    /// Creates a page, and returns it with the texts of the records to add. Positions of a page begin with 1,
    /// and those of entries with 0.
    fn page(&self, query: &LogQuery) -> (LogPage, Vec<(u64, Arc<str>)>) {
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
    async fn wait_for_those_behind(&self, own: Option<u64>) {
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

    fn those_behind(&self, own: Option<u64>) -> Vec<u64> {
        let state = self.lock();
        let end = state.end();
        let behind = state.readers.iter().filter(|(key, progress)| {
            own != Some(**key) && !progress.stalled && self.is_behind(**progress, end)
        });
        behind.map(|(key, _)| *key).collect()
    }

    /// Adds entries for records, without others between them. Records that are kept already are skipped.
    async fn reserve(&self, records: &[Record]) -> Reserved<'_> {
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
    fn try_reserve(&self, records: &[Record]) -> Option<Reserved<'_>> {
        let mut state = self.lock();
        let is_coming = |record: &Record| record.known_id().is_some_and(|id| state.is_coming(id));
        if records.iter().any(is_coming) {
            return None;
        }
        let slots = records.iter().map(|record| state.push(record)).collect();
        Some(Reserved { hub: self, slots })
    }

    /// Returns the text of the record with this id, if it is kept.
    fn text_of(&self, id: EventId) -> Option<Arc<str>> {
        let state = self.lock();
        match &state.entry(*state.ids.get(&id)?)?.text {
            Text::Here(text) => Some(Arc::clone(text)),
            Text::Coming | Text::Withdrawn => None,
        }
    }

    /// Sets the texts of entries.
    fn set(&self, texts: impl Iterator<Item = (Slot, Text)>) {
        let mut state = self.lock();
        texts.for_each(|(slot, text)| state.set(slot, text));
        let filled = state.trim(self.bounds);
        drop(state);
        // Notify even if entries were withdrawn: a task may wait for the outcome of their ids.
        self.filled.send_modify(|known| *known = filled.max(*known));
    }

    /// Texts of the records that a query requests, newest first.
    async fn find(&self, query: &HistoryQuery) -> Vec<Arc<str>> {
        let (mut found, mut end) = (Vec::new(), u64::MAX);
        while let Some(next) = self.find_before(end, query, &mut found) {
            end = next;
            tokio::task::yield_now().await;
        }
        found
    }

    /// Searches up to `BATCH` entries before `end`. Returns the position to continue from.
    fn find_before(&self, end: u64, query: &HistoryQuery, found: &mut Vec<Arc<str>>) -> Option<u64> {
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
    fn join(self: &Arc<Self>, instance: InstanceId) -> Reader {
        let mut state = self.lock();
        let (key, next) = (state.next_key, state.end());
        state.next_key += 1;
        let progress = Progress { instance, from: next, next, taken: next, lost: 0, stalled: false };
        state.readers.insert(key, progress);
        Reader { hub: Arc::clone(self), key }
    }

    /// Sets the position that a bus has reached.
    fn advance(&self, key: u64, next: u64) {
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

    fn next(&self, key: u64) -> Batch {
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
struct Slot {
    position: u64,
    origin: InstanceId,
}

/// Entries that have a position but no text yet. They are withdrawn when this is dropped.
struct Reserved<'a> {
    hub: &'a Hub,
    /// `None` for a duplicate.
    slots: Vec<Option<Slot>>,
}

impl Reserved<'_> {
    fn fill(mut self, records: &[Record], codec: &RecordCodec) -> Result<Published, Error> {
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

/// The next entries for a bus.
#[derive(Default)]
struct Batch {
    /// Number of events that were dropped before these entries.
    lost: u64,
    /// Position, name and text of each record.
    texts: Vec<(u64, Arc<str>, Arc<str>)>,
    begin: u64,
    end: u64,
}

/// Passes events to one bus.
struct Reader {
    hub: Arc<Hub>,
    key: u64,
}

impl Reader {
    async fn run(self, receiver: Receiver) {
        let mut filled = self.hub.filled.subscribe();
        loop {
            // Mark the value as seen before reading, so that entries added during the read are noticed.
            filled.borrow_and_update();
            let batch = self.hub.next(self.key);
            if batch.lost > 0 {
                receiver.lost(batch.lost, "this bus was too slow, and they are no longer kept");
            }
            if batch.begin == batch.end {
                // Can't fail: the hub owns the sender.
                let _ = filled.changed().await;
                continue;
            }
            for (position, name, text) in batch.texts {
                if !deliver(&receiver, &name, &text).await {
                    return;
                }
                self.hub.advance(self.key, position + 1);
            }
            self.hub.advance(self.key, batch.end);
            tokio::task::yield_now().await;
        }
    }
}

/// Removes the bus when its task ends, even by a panic or an abort, so that no emit waits for it.
impl Drop for Reader {
    fn drop(&mut self) {
        self.hub.lock().readers.remove(&self.key);
        self.hub.caught_up.notify_waiters();
    }
}

/// Returns `false` if the bus is stopped.
async fn deliver(receiver: &Receiver, name: &str, text: &str) -> bool {
    let record = match receiver.codec().decode(text) {
        Ok(record) => record,
        Err(error) => {
            receiver.unreadable(Some(name), &error.to_string());
            return true;
        }
    };
    // The bus counts and logs the events that it refuses.
    !receiver.deliver(record).await.is_err_and(|error| error.kind() == ErrorKind::Stopped)
}
