//! An adapter without an engine: joins the buses of one process.

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

/// Joins the buses of one process, and keeps what they emitted last: for tests of programs that run as several
/// instances, and for parts of one program that each have a bus.
///
/// A clone is another door to the same place; each bus takes one. Events cross as the text that any other adapter
/// would store, so what one bus emits is read by the others as if it came from another process. Nothing outlives
/// the last clone, and there are no durable consumers.
///
/// - **Order.** All buses get the events of the others in the order of the history.
/// - **A bus that is slow** may be an eighth of what is kept behind; then emits of the others wait for it, for at most
///   1 s each, and no longer for one that they have waited for in vain until it has caught up. What it falls off is
///   counted in [`Stats::lost`](crate::Stats::lost) and logged.
/// - **Duplicates** are told by the id, among what is kept.
/// - **The runtime** of a bus needs its timer (`enable_time`).
///
/// # Complexity
///
/// A history reads backwards through what is kept until its limit is reached.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::adapter::InMemory;
/// use typed_events::{Bus, event};
///
/// #[event("memory_doc.rung")]
/// pub struct Rung { pub door: u32 }
///
/// let memory = InMemory::new();
/// let hall = Bus::builder().adapter(memory.clone()).build().await?;
/// let kitchen = Bus::builder().adapter(memory).build().await?;
/// hall.emit(Rung { door: 2 }).await?;
/// assert_eq!(kitchen.history("*").of::<Rung>().await?[0].door, 2);
/// # Ok(()) }
/// ```
pub struct InMemory {
    hub: Arc<Hub>,
    /// What passes events on to the one bus that took this door.
    follower: OnceLock<Follower>,
}

/// How much is kept, unless set.
const DEFAULT_BOUNDS: Bounds = Bounds { records: 100_000, bytes: 256 << 20 };
/// The part of what is kept that a bus may be behind before others wait for it.
const PART_BEHIND: usize = 8;
/// How long an emit waits for buses that are behind.
const FOLLOWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How many entries are looked at under the lock at a time.
const BATCH: u64 = 256;

impl InMemory {
    /// A new place, which keeps the last 100,000 events, at most 256 MiB of them.
    pub fn new() -> Self {
        Self::of(DEFAULT_BOUNDS)
    }

    /// A new place, which keeps the last `records` events (at least 1), at most `bytes` of them as text. The newest
    /// event is kept whatever its size.
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

/// Another door to the same place.
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
                AdapterError::refused("this door to the memory is taken by another bus: give each a clone")
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

/// What all doors lead to.
struct Hub {
    bounds: Bounds,
    id: LogId,
    /// No user's code runs under the lock.
    state: Mutex<State>,
    /// Up to where the log has no place that waits for its text.
    filled: watch::Sender<u64>,
    /// Told when a bus is no longer behind.
    caught_up: Notify,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// The position of the first entry.
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

/// A record gets its place, and by that its time, before it is encoded: encoding runs a user's code.
enum Text {
    Coming,
    Here(Arc<str>),
    /// It could not be encoded.
    Withdrawn,
}

/// How far a bus is.
#[derive(Clone, Copy)]
struct Progress {
    instance: InstanceId,
    /// Where it began: what stands before it, it has not missed.
    from: u64,
    next: u64,
    /// Up to where it has been given what it is to get.
    taken: u64,
    /// The events of others that were dropped before they were given to it.
    lost: u64,
    /// Whether an emit has waited for it in vain since it was not behind.
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

    /// Places a record; `None` for one whose id is kept.
    fn push(&mut self, record: &Record) -> Option<Slot> {
        // The time first, and here: so that times never decrease along the log. The id is made of it.
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

    /// Sets what became of a place. One that was dropped before it had a text was given to no bus, so that, where it
    /// has become an event, it is lost to each that follows the log from there or from before.
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

    /// Counts an event that is dropped for the buses that were to get it: its own has handled it.
    fn record_loss(&mut self, origin: InstanceId, is_to_get: impl Fn(&Progress) -> bool) {
        let readers = self.readers.values_mut();
        for reader in readers.filter(|reader| reader.instance != origin && is_to_get(reader)) {
            reader.lost += 1;
        }
    }

    /// Drops what is too much, and finds up to where the log is filled.
    ///
    /// A place that has no text yet is dropped like any other, since its text may take as long as it likes: whether it
    /// is lost is known when it is [set](Self::set).
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

    /// Begins a page, with the texts of the records that it is to have. Positions begin with 1.
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

    /// Waits until no bus is far behind but `own`, and those that were waited for in vain.
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

    /// Gives records their places, together, but for those that are there already.
    async fn reserve(&self, records: &[Record]) -> Reserved<'_> {
        let mut filled = self.filled.subscribe();
        loop {
            if let Some(reserved) = self.try_reserve(records) {
                return reserved;
            }
            // The sender is in `self`.
            let _ = filled.changed().await;
        }
    }

    /// `None` where it is not known yet whether one of them is kept.
    fn try_reserve(&self, records: &[Record]) -> Option<Reserved<'_>> {
        let mut state = self.lock();
        let is_coming = |record: &Record| record.known_id().is_some_and(|id| state.is_coming(id));
        if records.iter().any(is_coming) {
            return None;
        }
        let slots = records.iter().map(|record| state.push(record)).collect();
        Some(Reserved { hub: self, slots })
    }

    /// Sets what became of places.
    fn set(&self, texts: impl Iterator<Item = (Slot, Text)>) {
        let mut state = self.lock();
        texts.for_each(|(slot, text)| state.set(slot, text));
        let filled = state.trim(self.bounds);
        drop(state);
        // Also where only a place was withdrawn: somebody may wait for what becomes of its id.
        self.filled.send_modify(|known| *known = filled.max(*known));
    }

    /// The texts a query asks for, newest first.
    async fn find(&self, query: &HistoryQuery) -> Vec<Arc<str>> {
        let (mut found, mut end) = (Vec::new(), u64::MAX);
        while let Some(next) = self.find_before(end, query, &mut found) {
            end = next;
            tokio::task::yield_now().await;
        }
        found
    }

    /// Looks at a few entries; says where to go on.
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

    /// Lets a bus follow from here on.
    fn join(self: &Arc<Self>, instance: InstanceId) -> Reader {
        let mut state = self.lock();
        let (key, next) = (state.next_key, state.end());
        state.next_key += 1;
        let progress = Progress { instance, from: next, next, taken: next, lost: 0, stalled: false };
        state.readers.insert(key, progress);
        Reader { hub: Arc::clone(self), key }
    }

    /// A bus has come up to a position.
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

/// Where a record stands, and which bus emitted it.
#[derive(Clone, Copy)]
struct Slot {
    position: u64,
    origin: InstanceId,
}

/// Records that have a place, and no text yet; withdrawn when dropped.
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
        let duplicates = slots.iter().enumerate().filter(|(_, slot)| slot.is_none());
        Ok(duplicates.fold(Published::default(), |published, (index, _)| published.with_duplicate(index)))
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

/// What is next for a bus.
#[derive(Default)]
struct Batch {
    /// How many events before it are gone.
    lost: u64,
    /// The position, the name, and the text of each record.
    texts: Vec<(u64, Arc<str>, Arc<str>)>,
    begin: u64,
    end: u64,
}

/// Passes events on to one bus.
struct Reader {
    hub: Arc<Hub>,
    key: u64,
}

impl Reader {
    async fn run(self, receiver: Receiver) {
        let mut filled = self.hub.filled.subscribe();
        loop {
            // Before it is looked: what comes meanwhile is news.
            filled.borrow_and_update();
            let batch = self.hub.next(self.key);
            if batch.lost > 0 {
                receiver.lost(batch.lost, "this bus was too slow, and they are no longer kept");
            }
            if batch.begin == batch.end {
                // The sender is in the hub.
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

/// It no longer counts for others when its task ends, however it ends.
impl Drop for Reader {
    fn drop(&mut self) {
        self.hub.lock().readers.remove(&self.key);
        self.hub.caught_up.notify_waiters();
    }
}

/// False when the bus has stopped.
async fn deliver(receiver: &Receiver, name: &str, text: &str) -> bool {
    let record = match receiver.codec().decode(text) {
        Ok(record) => record,
        Err(error) => {
            receiver.unreadable(Some(name), &error.to_string());
            return true;
        }
    };
    // What the bus refuses, it counts and logs.
    !receiver.deliver(record).await.is_err_and(|error| error.kind() == ErrorKind::Stopped)
}
