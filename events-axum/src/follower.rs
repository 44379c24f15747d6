//! The task that reads the log for all clients of a bridge.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use events_core::{Bus, Error, EventStream, LogPage, LogPosition, LogQuery, Start, bridge};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clients::Clients;
use crate::feed::{End, Feed};
use crate::message::Message;
use crate::pages::Pages;

/// Pause after the log could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// The most pages that are read before the follower checks whether the bus has stopped, in case events are appended
/// faster than it reads.
const PAGES_AT_ONCE: usize = 16;

/// Number of positions after which a client without messages is told its position.
const POSITION_INTERVAL: u64 = 256;

/// Whether to tell a client its position, given the last position it was told.
pub(crate) fn is_position_due(told: LogPosition, position: LogPosition) -> bool {
    told.number / POSITION_INTERVAL != position.number / POSITION_INTERVAL
}

pub(crate) struct Follower<U> {
    pub(crate) bus: Bus,
    pub(crate) query: LogQuery,
    /// Wakes the follower when there are new events.
    pub(crate) stream: EventStream,
    /// Interval between reads of the log's end while there are no new events of the pattern.
    pub(crate) interval: Duration,
    pub(crate) feed: Arc<Feed<U>>,
    pub(crate) pages: Arc<Pages<U>>,
    pub(crate) clients: Arc<Clients<U>>,
    /// Whether each message lists the users that see it.
    pub(crate) is_keyed: bool,
}

impl<U: Clone + Eq + Hash> Follower<U> {
    /// Follows the log until the bus stops, and then reads it to its end once more.
    pub(crate) async fn run(mut self) {
        let (mut is_failing, mut is_behind) = (false, false);
        let mut goes_on = true;
        while goes_on {
            goes_on = match (is_failing, is_behind) {
                (true, _) => self.wait(RETRY).await,
                (false, true) => self.wait(Duration::ZERO).await,
                (false, false) => self.has_news().await,
            };
            match self.read().await {
                Ok(is_at_end) => (is_failing, is_behind) = (false, !is_at_end),
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        let more = "browsers get no events until it can";
                        bridge::warn(&self.bus, format_args!("the log can't be read: {error}; {more}"));
                    }
                }
            }
        }
    }

    /// Waits for a new event or the end of the interval. Returns false if the bus has stopped.
    async fn has_news(&mut self) -> bool {
        !matches!(timeout(self.interval, self.stream.next()).await, Ok(None))
            && self.wait(Duration::ZERO).await
    }

    /// Waits for `time` and discards the notifications that arrive meanwhile, since one read of the log covers them.
    /// Returns false if the bus has stopped.
    async fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match timeout_at(until, self.stream.next()).await {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Reads up to the end of the log or [`PAGES_AT_ONCE`] pages. Returns whether it has reached the end.
    async fn read(&self) -> Result<bool, Error> {
        for _ in 0..PAGES_AT_ONCE {
            let from = self.feed.end();
            let page = bridge::read_log(&self.bus, &self.query.clone().after(from)).await?;
            let (end, newest) = (page.end(), page.newest());
            match page.start() {
                Start::Found => self.pass_on(from, page).await,
                Start::OtherLog | Start::Trimmed => self.restart(page.oldest()),
                Start::Ahead => self.restart(newest),
            }
            if end == newest && self.feed.end() == newest {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn restart(&self, position: LogPosition) {
        self.pages.clear();
        self.feed.restart(position);
        self.clients.wake_all();
    }

    async fn pass_on(&self, from: LogPosition, page: LogPage) {
        let end = page.end();
        let (mut messages, mut has_unreadable) = (Vec::new(), false);
        for (number, record) in page.into_records() {
            match record {
                Ok(record) => messages.extend((self.pages.render)(number, record)),
                // The buffer restarts behind the page. So clients read the page from the history, and report the gap.
                Err(_) => has_unreadable = true,
            }
            yield_now().await;
        }
        let wakes = self.wakes(from, end, &messages);
        match has_unreadable {
            true => self.feed.restart(end),
            false => self.feed.push(messages, end),
        }
        match wakes {
            Some(keys) if !has_unreadable => keys.iter().for_each(|key| self.clients.wake(key)),
            _ => self.clients.wake_all(),
        }
    }

    /// Returns the users whose clients to wake, or `None` for all clients.
    fn wakes(&self, from: LogPosition, end: LogPosition, messages: &[Message<U>]) -> Option<Vec<U>> {
        if is_position_due(from, end) || !self.is_keyed && !messages.is_empty() {
            return None;
        }
        Some(messages.iter().flat_map(|message| message.keys.iter().cloned()).collect())
    }
}

/// Ends the connections when the follower ends, also if the runtime drops its task.
pub(crate) struct Ending<U: Clone + Eq + Hash> {
    pub(crate) bus: Bus,
    pub(crate) pattern: String,
    pub(crate) feed: Arc<Feed<U>>,
    pub(crate) clients: Arc<Clients<U>>,
    pub(crate) is_over: Arc<AtomicBool>,
}

impl<U: Clone + Eq + Hash> Drop for Ending<U> {
    /// Warns if the follower ended by a panic or because its runtime has shut down.
    fn drop(&mut self) {
        self.feed.finish(End::Stopped);
        self.clients.wake_all();
        let pattern = &self.pattern;
        if std::thread::panicking() {
            let why = "`Hash`, `Eq` or `Clone` of its users, or the destructor of an event, panicked";
            let more = "browsers are told to reconnect later: build the bridge again";
            bridge::warn(&self.bus, format_args!("the SseBridge of {pattern} has ended: {why}; {more}"));
        } else if bridge::is_running(&self.bus) && !self.is_over.load(Ordering::Acquire) {
            bridge::warn(
                &self.bus,
                format_args!(
                    "the runtime on which the SseBridge of {pattern} was built has shut down before `stop`: the connections of browsers end at once; build it on the runtime that lives longest"
                ),
            );
        }
    }
}
