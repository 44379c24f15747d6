//! Follows the log: what other instances append. They ring by Pub/Sub, and the log says what is new; so what a
//! connection misses is read when there is another one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use events_core::{AdapterError, ErrorKind};
use redis::RedisError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::connection::{Channel, Pause};
use crate::history::decode;
use crate::log::Log;
use crate::scripts::READ;

/// How many records are read at a time.
const BATCH: usize = 256;

/// Counts what may be of interest to the live handlers and the consumers of this bus.
pub(crate) type Changed = watch::Sender<u64>;

fn notify(changed: &Changed) {
    changed.send_modify(|count| *count += 1);
}

/// Listens to what instances say is new, for ever.
pub(crate) async fn listen(log: Arc<Log>, changed: Arc<Changed>) {
    let mut lost: Option<Instant> = None;
    let mut pause = Pause::new();
    loop {
        let heard = listen_once(&log, &changed, &mut lost).await;
        let is_new = lost.is_none();
        lost.get_or_insert_with(Instant::now);
        match heard {
            Err(error) if is_new => {
                log.receiver.warn(&format!("lost its connection, and tries again: {error}"))
            }
            Ok(()) if is_new => log.receiver.warn("closed the connection; trying again"),
            _ => {}
        }
        pause.wait().await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(log: &Log, changed: &Changed, lost: &mut Option<Instant>) -> Result<(), RedisError> {
    let mut listening = log.server.listen(Channel::Named(&log.channel())).await?;
    if let Some(since) = lost.take() {
        log.receiver.warn(&format!(
            "is there again after {:.1} s; what other instances appended meanwhile is read from the log",
            since.elapsed().as_secs_f64()
        ));
    }
    notify(changed);
    while listening.next().await.is_some() {
        notify(changed);
    }
    Ok(())
}

/// The task that follows the log.
pub(crate) struct Tail {
    log: Arc<Log>,
    changed: Arc<Changed>,
    /// Which log it is, and up to where it was passed on.
    id: String,
    seen: u64,
    /// The last events up to there, by which it is known that the server did not come back with older data.
    met: VecDeque<(u64, String)>,
    went_back: bool,
    failing: bool,
}

/// Where the log ends, up to where it was trimmed, and what is new, without the texts of this bus's own records.
type New = (u64, u64, Vec<(u64, String, String, Vec<u8>)>);

/// How many of the last events are remembered.
const MAX_RECENT: usize = 1000;

impl Tail {
    pub(crate) fn new(log: &Arc<Log>, changed: &Arc<Changed>, last: u64) -> Self {
        let (log, changed) = (Arc::clone(log), Arc::clone(changed));
        Self {
            id: log.id(),
            log,
            changed,
            seen: last,
            met: VecDeque::new(),
            went_back: false,
            failing: false,
        }
    }

    /// Looks when somebody rings, and at each interval, should that have been missed.
    pub(crate) async fn run(mut self, poll: Duration) {
        let mut rung = self.changed.subscribe();
        loop {
            if timeout(poll, rung.changed()).await.is_err() {
                // Consumers look, too.
                notify(&self.changed);
                rung.mark_unchanged();
            }
            match self.follow().await {
                Ok(true) => self.failing = false,
                Ok(false) => return,
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    self.log.receiver.warn(&format!("can't follow the log, and tries again: {error}"));
                }
                Err(_) => {}
            }
        }
    }

    /// Passes on what is new; false when the bus has stopped.
    async fn follow(&mut self) -> Result<bool, AdapterError> {
        let instance = self.log.receiver.instance().to_string();
        loop {
            let (seen, id) = (self.seen, self.id.clone());
            let event = self.met.back().filter(|(position, _)| *position == seen);
            let event = event.map(|(_, event)| event.clone()).unwrap_or_default();
            let read = self.log.call(&READ, |call, _| {
                // Another log is read from where it begins.
                match self.log.id() == id {
                    true => call.arg(seen).arg(&event),
                    false => call.arg(0).arg(""),
                };
                call.arg(BATCH).arg(&instance);
            });
            let read: Option<New> = read.await?;
            if self.id != self.log.id() {
                (self.id, self.seen) = (self.log.id(), 0);
                self.met.clear();
            }
            let Some((last, trimmed, found)) = read else {
                self.go_back();
                continue;
            };
            if self.seen < trimmed {
                self.log
                    .receiver
                    .lost(trimmed - self.seen, "they were trimmed from the log before they were read");
                self.seen = trimmed;
            }
            let full = found.len() == BATCH;
            for (position, event, name, text) in found {
                if !text.is_empty() && !self.deliver(position, &name, &text).await {
                    return Ok(false);
                }
                self.seen = position;
                self.met.push_back((position, event));
                if self.met.len() > MAX_RECENT {
                    self.met.pop_front();
                }
            }
            if !full {
                self.seen = self.seen.max(last);
                self.went_back = false;
                return Ok(true);
            }
        }
    }

    /// The server came back with older data than was read: goes on where both agree.
    fn go_back(&mut self) {
        if !std::mem::replace(&mut self.went_back, true) {
            self.log.receiver.warn(
                "came back with older data than it had: events that it had acknowledged are lost (see `appendfsync`)",
            );
        }
        self.met.pop_back();
        self.seen = self.met.back().map_or(0, |(position, _)| *position);
    }

    /// False when the bus has stopped.
    async fn deliver(&self, position: u64, name: &str, text: &[u8]) -> bool {
        match decode(&self.log, self.log.receiver.codec(), position, text) {
            // What the bus refuses, it counts and logs.
            Ok(record) => {
                let delivered = self.log.receiver.deliver(record).await;
                !delivered.is_err_and(|error| error.kind() == ErrorKind::Stopped)
            }
            Err(error) => {
                self.log.receiver.unreadable(Some(name), &error.to_string());
                true
            }
        }
    }
}
