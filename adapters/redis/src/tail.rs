//! Follows the log: what other instances append. They ring by Pub/Sub, and the log says what is new; so what a
//! connection misses is read when there is another one.

use std::sync::Arc;
use std::time::Duration;

use events_core::{AdapterError, ErrorKind, Inbox};
use redis::RedisError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::history::decode;
use crate::link::{Channel, Pause};
use crate::log::Log;
use crate::scripts::READ;

/// How many records are read at a time.
const AT_ONCE: usize = 256;

/// Counts what may be of interest to the live handlers and the consumers of this bus.
pub(crate) type News = watch::Sender<u64>;

fn ring(news: &News) {
    news.send_modify(|count| *count += 1);
}

/// Listens to what instances say is new, for ever.
pub(crate) async fn listen(log: Arc<Log>, news: Arc<News>) {
    let mut lost: Option<Instant> = None;
    let mut pause = Pause::new();
    loop {
        let heard = hear(&log, &news, &mut lost).await;
        let is_new = lost.is_none();
        lost.get_or_insert_with(Instant::now);
        match heard {
            Err(error) if is_new => log.inbox.warn(&format!("lost its connection, and tries again: {error}")),
            Ok(()) if is_new => log.inbox.warn("closed the connection; trying again"),
            _ => {}
        }
        pause.wait().await;
    }
}

/// Listens until the connection is lost.
async fn hear(log: &Log, news: &News, lost: &mut Option<Instant>) -> Result<(), RedisError> {
    let mut listening = log.link.listen(Channel::Named(&log.channel())).await?;
    if let Some(since) = lost.take() {
        log.inbox.warn(&format!(
            "is there again after {:.1} s; what other instances appended meanwhile is read from the log",
            since.elapsed().as_secs_f64()
        ));
    }
    ring(news);
    while listening.next().await.is_some() {
        ring(news);
    }
    Ok(())
}

/// The task that follows the log.
pub(crate) struct Tail {
    log: Arc<Log>,
    news: Arc<News>,
    inbox: Inbox,
    /// Which log it is, and up to where it was passed on.
    id: String,
    seen: u64,
    failing: bool,
}

/// Where the log ends, up to where it was trimmed, and what is new, without the texts of this bus's own records.
type New = (u64, u64, Vec<(u64, Vec<u8>)>);

impl Tail {
    pub(crate) fn new(log: &Arc<Log>, news: &Arc<News>, last: u64) -> Self {
        let (log, news) = (Arc::clone(log), Arc::clone(news));
        Self { inbox: log.inbox.clone(), id: log.id(), log, news, seen: last, failing: false }
    }

    /// Looks when somebody rings, and at each interval, should that have been missed.
    pub(crate) async fn run(mut self, poll: Duration) {
        let mut rung = self.news.subscribe();
        loop {
            if timeout(poll, rung.changed()).await.is_err() {
                // Consumers look, too.
                ring(&self.news);
                rung.mark_unchanged();
            }
            match self.follow().await {
                Ok(true) => self.failing = false,
                Ok(false) => return,
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    self.inbox.warn(&format!("can't follow the log, and tries again: {error}"));
                }
                Err(_) => {}
            }
        }
    }

    /// Passes on what is new; false when the bus has stopped.
    async fn follow(&mut self) -> Result<bool, AdapterError> {
        let instance = self.inbox.instance().to_string();
        loop {
            let (seen, id) = (self.seen, self.id.clone());
            let read = self.log.call(&READ, |call, _| {
                // Another log is read from where it begins.
                let from = if self.log.id() == id { seen } else { 0 };
                call.arg(from).arg(AT_ONCE).arg(&instance);
            });
            let (last, trimmed, found): New = read.await?;
            if self.id != self.log.id() {
                (self.id, self.seen) = (self.log.id(), 0);
            }
            if self.seen < trimmed {
                self.inbox.lost(trimmed - self.seen, "they were trimmed from the log before they were read");
                self.seen = trimmed;
            }
            let full = found.len() == AT_ONCE;
            for (position, text) in found {
                if !text.is_empty() && !self.deliver(position, &text).await {
                    return Ok(false);
                }
                self.seen = position;
            }
            if !full {
                self.seen = self.seen.max(last);
                return Ok(true);
            }
        }
    }

    /// False when the bus has stopped.
    async fn deliver(&self, position: u64, text: &[u8]) -> bool {
        match decode(&self.log, self.inbox.wire(), position, text) {
            // What the bus refuses, it counts and logs.
            Ok(record) => {
                let delivered = self.inbox.deliver(record).await;
                !delivered.is_err_and(|error| error.kind() == ErrorKind::Stopped)
            }
            Err(error) => {
                self.inbox.lost(1, &error.to_string());
                true
            }
        }
    }
}
