//! Reads the log once for all durable handlers of a bus, and wakes those that take the new events.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::adapter::durable::{Kind, Position, ReadMark, matches_any};
use crate::adapter::log::{LogPage, LogPosition, LogQuery, Start};
use crate::adapter::{Adapter, AdapterError};
use crate::bus::durable::session::{Session, back_off};
use crate::bus::inner::Inner;
use crate::bus::inner::outcome::panicked;
use crate::bus::inner::runtime::spawn_boxed;
use crate::panics::caught;
use crate::record::Record;
use crate::record::codec::RecordCodec;

/// Newest records that are kept for handlers, so that each does not read them again: their number and bytes.
const MAX_RECENT: (usize, usize) = (1_024, 4 << 20);

/// How long the positions of handlers that take none of the new events may stay behind in the store.
const FLUSH_INTERVAL: Duration = Duration::from_millis(250);

/// A stored record, as it was read from the log.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) kind: Kind,
    pub(super) record: Result<Record, AdapterError>,
}

impl Entry {
    fn new((position, record): (Position, Result<Record, AdapterError>)) -> Self {
        let kind = match &record {
            Ok(record) => Kind { name: record.name().to_owned(), version: record.version() },
            Err(error) => {
                let (name, version) = error.event().unwrap_or_default();
                Kind { name: name.to_owned(), version }
            }
        };
        Self { position, kind, record }
    }

    pub(super) fn mark(&self) -> Option<ReadMark> {
        let record = self.record.as_ref().ok()?;
        Some(ReadMark { position: self.position, id: record.id() })
    }

    fn bytes(&self) -> usize {
        self.record.as_ref().map_or(0, Record::weight)
    }
}

/// Consecutive entries of the log.
#[derive(Default)]
pub(super) struct EntryRange {
    pub(super) entries: Vec<Entry>,
    /// Last position that was read.
    pub(super) end: Position,
    /// Position at which the log begins.
    pub(super) begins: Position,
}

/// The feed of the durable handlers of a bus.
pub(crate) struct Feed {
    adapter: Arc<dyn Adapter>,
    codec: RecordCodec,
    recent: Mutex<Recent>,
    readers: Vec<Arc<Signal>>,
}

#[derive(Default)]
struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Position before the first kept one.
    after: Position,
    /// The newest position of the log.
    newest: Option<LogPosition>,
    begins: Position,
    /// The record at the newest position, if it could be read.
    mark: Option<ReadMark>,
}

/// Wakes one durable handler.
#[derive(Default)]
pub(super) struct Signal {
    pub(super) notify: Notify,
    state: Mutex<SignalState>,
}

#[derive(Default)]
struct SignalState {
    /// The handler may have new events, or waiting ones that became available.
    woken: bool,
    /// The handler is to store its position.
    flushes: bool,
    union: Arc<[String]>,
    /// Positions after the first and up to the second have no event that the union takes.
    skippable: (Position, Position),
}

/// What a handler was woken for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Woken {
    pub(super) events: bool,
    pub(super) flushes: bool,
}

impl Signal {
    pub(super) fn take(&self) -> Woken {
        let mut state = self.lock();
        Woken { events: std::mem::take(&mut state.woken), flushes: std::mem::take(&mut state.flushes) }
    }

    pub(super) fn wake(&self) {
        self.lock().woken = true;
        self.notify.notify_one();
    }

    fn flush(&self) {
        self.lock().flushes = true;
        self.notify.notify_one();
    }

    /// Sets the patterns by which the handler is woken.
    pub(super) fn set_union(&self, union: &[String]) {
        let mut state = self.lock();
        if *state.union != *union {
            (state.union, state.skippable) = (union.into(), (0, 0));
        }
    }

    /// Forgets which positions have no events: the log may be another one.
    pub(super) fn forget_read(&self) {
        self.lock().skippable = (0, 0);
    }

    /// Returns the last position of those after `scanned_to` that have no event of the union; `scanned_to` if there are
    /// none or it is not known.
    pub(super) fn skippable_until(&self, scanned_to: Position) -> Position {
        let (from, to) = self.lock().skippable;
        if from <= scanned_to && scanned_to < to { to } else { scanned_to }
    }

    /// Takes note of new entries after a position, and wakes the handler if it takes one.
    fn note_new_entries(&self, after: Position, range: &EntryRange) {
        let mut state = self.lock();
        let takes = range.entries.iter().any(|entry| matches_any(&state.union, &entry.kind.name));
        if takes {
            (state.woken, state.skippable) = (true, (range.end, range.end));
            drop(state);
            self.notify.notify_one();
        } else {
            let from = if state.skippable.1 == after { state.skippable.0 } else { after };
            state.skippable = (from, range.end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SignalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Creates the feed for a number of handlers, and finds the end of the log.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    pub(super) async fn open(
        inner: &Inner,
        session: &Session,
        handlers: usize,
    ) -> Result<Arc<Self>, AdapterError> {
        let readers = (0..handlers).map(|_| Arc::default()).collect();
        let (adapter, codec) = (Arc::clone(session.adapter()), inner.codec.clone());
        let feed = Self { adapter, codec, recent: Mutex::default(), readers };
        feed.read_end().await?;
        Ok(Arc::new(feed))
    }

    pub(super) fn signal(&self, handler: usize) -> Arc<Signal> {
        Arc::clone(&self.readers[handler])
    }

    pub(super) fn wake_all(&self) {
        self.readers.iter().for_each(|signal| signal.wake());
    }

    /// Forgets the kept records: the log may be another one.
    pub(super) fn forget_read(&self) {
        let mut recent = self.lock();
        (recent.entries, recent.bytes, recent.mark) = (VecDeque::new(), 0, None);
        recent.after = recent.newest.map_or(0, |newest| newest.number);
    }

    /// Returns the newest record that was read.
    pub(super) fn mark(&self) -> Option<ReadMark> {
        self.lock().mark
    }

    /// Returns the newest position that was read, and the position at which the log begins.
    pub(super) fn bounds(&self) -> (Position, Position) {
        let recent = self.lock();
        (recent.newest.map_or(0, |newest| newest.number), recent.begins)
    }

    /// Returns entries after a position: the kept ones, or else a page of the log.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    pub(super) async fn after(&self, position: Position) -> Result<EntryRange, AdapterError> {
        let log = {
            let recent = self.lock();
            let Some(newest) = recent.newest else { return Ok(EntryRange::default()) };
            if position >= recent.after {
                let entries =
                    recent.entries.iter().filter(|entry| entry.position > position).cloned().collect();
                return Ok(EntryRange { entries, end: newest.number.max(position), begins: recent.begins });
            }
            newest.log
        };
        let page = self.page(Some(LogPosition { log, number: position })).await?;
        Ok(match page.start() {
            Start::Found => range(page),
            // The records in between were trimmed.
            Start::Trimmed => {
                let begins = page.oldest().number + 1;
                EntryRange { entries: Vec::new(), end: page.oldest().number, begins }
            }
            // The log was replaced: the task of the feed notices it as well.
            Start::OtherLog | Start::Ahead => EntryRange { end: position, ..EntryRange::default() },
        })
    }

    async fn page(&self, after: Option<LogPosition>) -> Result<LogPage, AdapterError> {
        let query = LogQuery::new("*").map_err(AdapterError::from)?;
        let query = match after {
            Some(after) => query.after(after),
            None => query,
        };
        caught(async { self.adapter.read_log(&query, &self.codec).await }).await.unwrap_or_else(panicked)
    }

    async fn read_end(&self) -> Result<(), AdapterError> {
        let page = self.page(None).await?;
        let mut recent = self.lock();
        *recent = Recent {
            after: page.newest().number,
            newest: Some(page.newest()),
            begins: page.oldest().number + 1,
            ..Recent::default()
        };
        Ok(())
    }

    /// Spawns the task that follows the log until the bus stops or is dropped.
    pub(super) fn spawn(self: &Arc<Self>, inner: &Arc<Inner>, session: &Arc<Session>) {
        let (feed, session) = (Arc::clone(self), Arc::clone(session));
        let (bus, stop) = (Arc::downgrade(inner), inner.stop_tasks.subscribe());
        spawn_boxed(&inner.runtime, Box::pin(async move { feed.follow(&session, bus, stop).await }));
    }

    async fn follow(&self, session: &Session, bus: Weak<Inner>, mut stop: watch::Receiver<bool>) {
        let Ok(durable) = session.durable() else { return };
        let (mut failed, mut flush_at, mut changes) = (0, None, durable.changes());
        let mut clock = session.clock.changes();
        loop {
            if bus.strong_count() == 0 || *stop.borrow() {
                return;
            }
            match self.read_new(session).await {
                Ok(moved) => {
                    failed = 0;
                    if moved && flush_at.is_none() {
                        flush_at = Some(Instant::now() + FLUSH_INTERVAL);
                    }
                }
                Err(error) => {
                    if failed == 0 {
                        let adapter = self.adapter.name();
                        session.warn(format_args!(
                            "the durable handlers can't read the log of {adapter}, and will retry: {error}"
                        ));
                    }
                    failed += 1;
                    back_off(failed).await;
                    continue;
                }
            }
            match wait_for_wake(durable.wait(changes), clock.changed(), flush_at, &mut stop).await {
                FeedWake::Changed => {
                    let now = durable.changes();
                    if now.consumers != changes.consumers {
                        self.wake_all();
                    }
                    changes = now;
                }
                FeedWake::Flush => {
                    flush_at = None;
                    self.readers.iter().for_each(|signal| signal.flush());
                }
                // Rows may be due now.
                FeedWake::Clock => self.wake_all(),
                FeedWake::Stop => {}
            }
        }
    }

    /// Reads the records that were appended since the last call. Returns whether there were any.
    async fn read_new(&self, session: &Session) -> Result<bool, AdapterError> {
        let mut moved = false;
        loop {
            let (newest, mark) = {
                let recent = self.lock();
                (recent.newest, recent.mark)
            };
            let Some(newest) = newest else { return Ok(moved) };
            // Reads the last record again, to notice that the log has another one there.
            let mark = mark.filter(|mark| mark.position == newest.number);
            let after = LogPosition { number: newest.number - u64::from(mark.is_some()), ..newest };
            let page = self.page(Some(after)).await?;
            match page.start() {
                Start::Found => {}
                Start::Trimmed => {
                    self.read_end().await?;
                    self.wake_all();
                    continue;
                }
                Start::OtherLog | Start::Ahead => return self.note_other_log(session).await,
            }
            let (end, is_last) = (page.end(), page.end() == page.newest());
            let mut range = range(page);
            if let Some(mark) = mark {
                let again = range.entries.first().and_then(Entry::mark);
                if again != Some(mark) {
                    return self.note_other_log(session).await;
                }
                range.entries.remove(0);
            }
            if end.number > newest.number {
                moved = true;
                self.readers.iter().for_each(|signal| signal.note_new_entries(newest.number, &range));
                self.lock().extend(range, end);
            }
            if is_last {
                return Ok(moved);
            }
        }
    }

    /// The log was replaced by another one, or by an older one. A beat finds out.
    async fn note_other_log(&self, session: &Session) -> Result<bool, AdapterError> {
        session.beat_now.notify_one();
        self.read_end().await?;
        self.readers.iter().for_each(|signal| signal.forget_read());
        self.wake_all();
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn extend(&mut self, range: EntryRange, end: LogPosition) {
        (self.newest, self.begins) = (Some(end), range.begins);
        self.mark = range.entries.last().and_then(Entry::mark);
        for entry in range.entries {
            self.bytes += entry.bytes();
            self.entries.push_back(entry);
        }
        while self.entries.len() > MAX_RECENT.0 || self.bytes > MAX_RECENT.1 {
            let Some(entry) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(entry.bytes());
            self.after = entry.position;
        }
    }
}

/// What the task of the feed waits for.
enum FeedWake {
    Changed,
    Clock,
    Flush,
    Stop,
}

async fn wait_for_wake(
    changed: impl Future<Output = ()>,
    clock: impl Future<Output = ()>,
    flush_at: Option<Instant>,
    stop: &mut watch::Receiver<bool>,
) -> FeedWake {
    let (mut changed, mut flush, mut stopped) =
        (pin!(changed), pin!(sleep_until_some(flush_at)), pin!(stop.changed()));
    let mut clock = pin!(clock);
    poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(FeedWake::Stop);
        }
        if changed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(FeedWake::Changed);
        }
        if clock.as_mut().poll(cx).is_ready() {
            return Poll::Ready(FeedWake::Clock);
        }
        flush.as_mut().poll(cx).map(|()| FeedWake::Flush)
    })
    .await
}

/// Resolves at a time, or never.
pub(super) async fn sleep_until_some(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn range(page: LogPage) -> EntryRange {
    let (end, begins) = (page.end().number, page.oldest().number + 1);
    EntryRange { entries: page.into_records().into_iter().map(Entry::new).collect(), end, begins }
}
