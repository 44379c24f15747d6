//! Follows the log to deliver the records of other instances. Pub/Sub only announces that the log has changed. The
//! records are read from the log, so those announced while the connection was lost are read after the reconnect.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use events_core::durable::Changes;
use events_core::{AdapterError, ErrorKind};
use redis::RedisError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::connection::{Channel, Pause};
use crate::history::decode;
use crate::log::Log;
use crate::scripts::READ;

/// Number of records that one call reads.
const BATCH: usize = 256;

/// Counters of changes that the live handlers and consumers of this bus may have to look at.
pub(crate) type Changed = watch::Sender<Changes>;

/// Counts changes of which nothing is known.
fn notify(changed: &Changed) {
    changed.send_modify(|changes| {
        changes.log += 1;
        changes.consumers += 1;
    });
}

/// Counts the change that a notification announces.
fn notify_of(changed: &Changed, message: &[u8]) {
    changed.send_modify(|changes| match message {
        b"consumers" => changes.consumers += 1,
        _ => changes.log += 1,
    });
}

/// Receives notifications and counts them in `changed`, until the task is aborted.
pub(crate) async fn listen(log: Arc<Log>, changed: Arc<Changed>) {
    let mut lost: Option<Instant> = None;
    let mut pause = Pause::new();
    loop {
        let heard = listen_once(&log, &changed, &mut lost).await;
        let is_new = lost.is_none();
        lost.get_or_insert_with(Instant::now);
        match heard {
            Err(error) if is_new => {
                log.receiver.warn(&format!("lost its connection and reconnects: {error}"))
            }
            Ok(()) if is_new => log.receiver.warn("closed the connection, which is made again"),
            _ => {}
        }
        pause.wait().await;
    }
}

/// Receives notifications until the connection is lost.
async fn listen_once(log: &Log, changed: &Changed, lost: &mut Option<Instant>) -> Result<(), RedisError> {
    let mut listening = log.server.listen(Channel::Named(&log.channel())).await?;
    if let Some(since) = lost.take() {
        log.receiver.warn(&format!(
            "is connected again after {:.1} s: events that other instances appended meanwhile are read from the log",
            since.elapsed().as_secs_f64()
        ));
    }
    notify(changed);
    while let Some(message) = listening.next().await {
        notify_of(changed, message.get_payload_bytes());
    }
    Ok(())
}

/// The task that follows the log.
pub(crate) struct Tail {
    log: Arc<Log>,
    changed: Arc<Changed>,
    /// The id of the log, and the last position that was delivered.
    id: String,
    seen: u64,
    /// The positions and ids of the last records up to `seen`. They show whether the server came back with older data.
    met: VecDeque<(u64, String)>,
    went_back: bool,
    failing: bool,
}

/// `(last position, last trimmed position, [(position, id, name, text)])`. The text of this bus's own records is empty.
type New = (u64, u64, Vec<(u64, String, String, Vec<u8>)>);

/// How many of the last records [`Tail::met`] holds.
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

    /// Reads the log after each notification, and at least once per `poll` in case a notification was missed.
    pub(crate) async fn run(mut self, poll: Duration) {
        let mut rung = self.changed.subscribe();
        loop {
            if timeout(poll, rung.changed()).await.is_err() {
                // Consumers have to poll, too.
                notify(&self.changed);
                rung.mark_unchanged();
            }
            match self.follow().await {
                Ok(true) => self.failing = false,
                Ok(false) => return,
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    self.log.receiver.warn(&format!("can't follow the log and tries again: {error}"));
                }
                Err(_) => {}
            }
        }
    }

    /// Delivers new records. Returns false if the bus has stopped.
    async fn follow(&mut self) -> Result<bool, AdapterError> {
        let instance = self.log.receiver.instance().to_string();
        loop {
            let (seen, id) = (self.seen, self.id.clone());
            let event = self.met.back().filter(|(position, _)| *position == seen);
            let event = event.map(|(_, event)| event.clone()).unwrap_or_default();
            let read = self.log.call(&READ, |call, _| {
                // A new log is read from its beginning.
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

    /// Moves one record back, after the server has come back with older data, until its log contains the record at
    /// `seen`.
    fn go_back(&mut self) {
        if !std::mem::replace(&mut self.went_back, true) {
            self.log.receiver.warn(
                "came back with older data: events that it had acknowledged are lost (see `appendfsync`)",
            );
        }
        self.met.pop_back();
        self.seen = self.met.back().map_or(0, |(position, _)| *position);
    }

    /// Delivers a record. Returns false if the bus has stopped.
    async fn deliver(&self, position: u64, name: &str, text: &[u8]) -> bool {
        match decode(&self.log, self.log.receiver.codec(), position, text) {
            // The bus counts and logs records that it refuses.
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
