//! A cache of pages of the history, for clients that are further behind than the feed. Each page is read and rendered
//! once for all clients.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events_core::bridge::{ReportedOnce, ShouldLog, call, read_log, warn};
use events_core::{AdapterError, Bus, Error, LogPosition, LogQuery, Record, Start};
use tokio::sync::OnceCell;
use tokio::task::yield_now;

use crate::message::Message;

/// The most positions of a page.
const POSITIONS: u64 = 128;
/// The most bytes of records on a page, unless a single record has more.
const PAGE_BYTES: usize = 64 << 10;

/// The messages of an interval of positions.
pub(crate) struct Page<U> {
    pub(crate) messages: Vec<Arc<Message<U>>>,
    /// The positions of records that can't be read.
    pub(crate) unreadable: Vec<u64>,
    /// Whether the log has the position at which the page begins.
    pub(crate) start: Start,
    /// The position at which the next page begins.
    pub(crate) end: LogPosition,
    /// The position before the oldest record.
    pub(crate) oldest: LogPosition,
    /// The position behind which the page begins.
    pub(crate) from: LogPosition,
}

impl<U> Page<U> {
    /// Whether the page stays the same while the log grows.
    fn is_final(&self) -> bool {
        self.start == Start::Found && self.end.number > self.from.number
    }

    fn weight(&self) -> usize {
        self.messages.iter().map(|message| message.weight()).sum::<usize>() + 256
    }
}

/// Creates a message from a record and its position.
pub(crate) type Render<U> = Box<dyn Fn(u64, Record) -> Option<Message<U>> + Send + Sync>;

pub(crate) struct Pages<U> {
    bus: Bus,
    query: LogQuery,
    pub(crate) render: Render<U>,
    max_bytes: usize,
    kept: Mutex<Kept<U>>,
    /// The positions of unreadable records that were logged.
    reported_positions: ReportedOnce<LogPosition>,
}

type Cell<U> = Arc<OnceCell<Arc<Page<U>>>>;

struct Entry<U> {
    cell: Cell<U>,
    /// Whether the page is in [`Kept::order`].
    is_counted: bool,
}

impl<U> Default for Entry<U> {
    fn default() -> Self {
        Self { cell: Cell::default(), is_counted: false }
    }
}

struct Kept<U> {
    /// The pages that are cached, and those that are being read.
    pages: HashMap<LogPosition, Entry<U>>,
    /// The cached pages with their weights in bytes, oldest first.
    order: VecDeque<(LogPosition, usize)>,
    bytes: usize,
}

impl<U> Pages<U> {
    pub(crate) fn new(bus: &Bus, query: LogQuery, max_bytes: usize, render: Render<U>) -> Self {
        let kept = Kept { pages: HashMap::new(), order: VecDeque::new(), bytes: 0 };
        Self {
            bus: bus.clone(),
            query,
            render,
            max_bytes,
            kept: Mutex::new(kept),
            reported_positions: ReportedOnce::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<U>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a page with the records behind a position, or one that says that the log does not have the position. A
    /// page without records means that the position was the end of the log at some time after this call began.
    ///
    /// Pages are read from `start` on, where another page began, if `start` is close before the position.
    ///
    /// # Errors
    ///
    /// Fails if the log can't be read.
    pub(crate) async fn after(
        &self,
        position: LogPosition,
        start: Option<LogPosition>,
    ) -> Result<Arc<Page<U>>, Error> {
        // Pages begin at the same positions for all clients, so that clients share them.
        let aligned = LogPosition { number: position.number - position.number % POSITIONS, ..position };
        let is_between = |start: &LogPosition| {
            start.log == position.log && (aligned.number..=position.number).contains(&start.number)
        };
        let mut from = start.filter(is_between).unwrap_or(aligned);
        loop {
            let page = self.at(from).await?;
            if from == position || page.is_final() && page.end.number > position.number {
                return Ok(page);
            }
            // Without a next page, read at the position itself: the log may have it without having `from`, and may have
            // `from` without having it.
            let has_next = page.is_final() && page.end.number <= position.number;
            from = if has_next { page.end } else { position };
        }
    }

    /// Returns the page at a position. One client reads it for all clients that wait for it.
    async fn at(&self, from: LogPosition) -> Result<Arc<Page<U>>, Error> {
        let (page, is_own) = self.shared(from).await?;
        if is_own || page.is_final() {
            return Ok(page);
        }
        // Another client may have read the page before the event that woke this one. A second read begins after this
        // call.
        Ok(self.shared(from).await?.0)
    }

    /// Returns the page at a position, and whether this call has read it.
    async fn shared(&self, from: LogPosition) -> Result<(Arc<Page<U>>, bool), Error> {
        let cell = Arc::clone(&self.lock().pages.entry(from).or_default().cell);
        // `Wanted` cleans up, also if this future is dropped before the page is read.
        let wanted = Wanted { pages: self, from, cell };
        let mut is_own = false;
        let read = || {
            is_own = true;
            self.read(from)
        };
        let page = Arc::clone(wanted.cell.get_or_try_init(read).await?);
        Ok((page, is_own))
    }

    /// Drops all pages, because the log has changed.
    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        let dropped = std::mem::take(&mut kept.pages);
        kept.order.clear();
        kept.bytes = 0;
        drop(kept);
        call(|| drop(dropped));
    }

    async fn read(&self, from: LogPosition) -> Result<Arc<Page<U>>, Error> {
        // The page ends at the position where the shared pages begin.
        let positions = POSITIONS - from.number % POSITIONS;
        let query = self.query.clone().after(from).max_records(positions).max_bytes(PAGE_BYTES);
        let page = read_log(&self.bus, &query).await?;
        let (start, end, oldest) = (page.start(), page.end(), page.oldest());
        let (mut messages, mut unreadable) = (Vec::new(), Vec::new());
        for (number, record) in page.into_records() {
            match record {
                Ok(record) => messages.extend((self.render)(number, record).map(Arc::new)),
                Err(error) => {
                    self.warn_of_unreadable(LogPosition { number, ..from }, &error);
                    unreadable.push(number);
                }
            }
            yield_now().await;
        }
        Ok(Arc::new(Page { messages, unreadable, start, end, oldest, from }))
    }

    fn warn_of_unreadable(&self, position: LogPosition, error: &AdapterError) {
        let more = match self.reported_positions.insert(position) {
            ShouldLog::No => return,
            ShouldLog::Yes => "",
            ShouldLog::Last => " (further records are not logged)",
        };
        warn(&self.bus, format_args!("a record can't be read for browsers{more}: {error}"));
    }

    /// Caches a page if it is final, and drops the oldest pages beyond the limit.
    fn keep(&self, from: LogPosition, cell: &Cell<U>) {
        let mut dropped = Vec::new();
        let mut kept = self.lock();
        let Some(entry) = kept.pages.get_mut(&from) else { return };
        if entry.is_counted || !Arc::ptr_eq(&entry.cell, cell) {
            return;
        }
        match cell.get() {
            Some(page) if page.is_final() => {
                entry.is_counted = true;
                let weight = page.weight();
                kept.order.push_back((from, weight));
                kept.bytes += weight;
            }
            _ => dropped.extend(kept.pages.remove(&from)),
        }
        while kept.bytes > self.max_bytes && kept.order.len() > 1 {
            let Some((oldest, weight)) = kept.order.pop_front() else { break };
            kept.bytes -= weight;
            dropped.extend(kept.pages.remove(&oldest));
        }
        drop(kept);
        call(|| drop(dropped));
    }
}

/// A page that a client waits for. Caches or removes the page when it is dropped.
struct Wanted<'a, U> {
    pages: &'a Pages<U>,
    from: LogPosition,
    cell: Cell<U>,
}

impl<U> Drop for Wanted<'_, U> {
    fn drop(&mut self) {
        self.pages.keep(self.from, &self.cell);
    }
}
