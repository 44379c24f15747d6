//! Follows the log to deliver the records of other instances. Pub/Sub only announces that the log has changed. The
//! records are read from the log, so those announced while the connection was lost are read after the reconnect.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use events_core::durable::Changes;
use events_core::{AdapterError, ErrorKind};
use redis::RedisError;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::{Channel, Pause};
use crate::history::decode;
use crate::log::Log;
use crate::scripts::READ;

/// Number of records that one call reads.
const BATCH: usize = 256;
/// The shortest time between the begins of two reads, so that many small appends cost few reads. The first read after a
/// pause is immediate.
const READ_INTERVAL: Duration = Duration::from_millis(2);

/// What wakes the tail and the durable consumers.
#[derive(Default)]
pub(crate) struct Changed {
    /// Counts the notifications.
    pub(crate) changes: watch::Sender<Changes>,
    /// Notified when the log may have records of other instances.
    others: Notify,
}

impl Changed {
    /// Counts changes of which nothing is known.
    fn anything(&self) {
        self.count_unknown();
        self.others.notify_one();
    }

    fn count_unknown(&self) {
        self.changes.send_modify(|changes| {
            changes.log += 1;
            changes.consumers += 1;
        });
    }

    /// Counts an append of this bus.
    pub(crate) fn appended(&self) {
        self.changes.send_modify(|changes| changes.log += 1);
    }

    /// Counts the change that a notification announces: consumers, or an append of an instance.
    fn announced(&self, message: &[u8], instance: &str) {
        if message == b"consumers" {
            self.changes.send_modify(|changes| changes.consumers += 1);
        } else if message != instance.as_bytes() {
            self.changes.send_modify(|changes| changes.log += 1);
            self.others.notify_one();
        }
    }
}

/// Receives notifications and counts them in `changed`, until the task is aborted.
pub(crate) async fn listen(log: Arc<Log>, changed: Arc<Changed>) {
    let mut lost: Option<Instant> = None;
    let mut pause = Pause::new();
    loop {
        let result = listen_once(&log, &changed, &mut lost).await;
        let is_new = lost.is_none();
        lost.get_or_insert_with(Instant::now);
        match result {
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
    changed.anything();
    let instance = log.receiver.instance().to_string();
    while let Some(message) = listening.next().await {
        changed.announced(message.get_payload_bytes(), &instance);
    }
    Ok(())
}

/// The task that follows the log.
pub(crate) struct Tail {
    log: Arc<Log>,
    changed: Arc<Changed>,
    /// The id of the log, and the position up to which it was read.
    id: String,
    seen: u64,
    /// The positions and ids of the last records up to `seen`. They show whether the server has lost its newest data,
    /// in a restart or a failover.
    recent: VecDeque<(u64, String)>,
    rewinding: bool,
    failing: bool,
}

/// `(last position, last trimmed position, [(position, id, name, text)])`. The text of this bus's own records is empty.
type New = (u64, u64, Vec<(u64, String, String, Vec<u8>)>);

/// How many of the last records [`Tail::recent`] holds.
pub(crate) const MAX_RECENT: usize = 1000;

impl Tail {
    pub(crate) fn new(log: &Arc<Log>, changed: &Arc<Changed>, last: u64) -> Self {
        let (log, changed) = (Arc::clone(log), Arc::clone(changed));
        Self {
            id: log.id(),
            log,
            changed,
            seen: last,
            recent: VecDeque::new(),
            rewinding: false,
            failing: false,
        }
    }

    /// Reads the log after notifications of other instances, and at least once per `poll` in case one was missed.
    pub(crate) async fn run(mut self, poll: Duration) {
        loop {
            if timeout(poll, self.changed.others.notified()).await.is_err() {
                // Consumers have to poll, too.
                self.changed.count_unknown();
            }
            let next = Instant::now() + READ_INTERVAL;
            match self.follow().await {
                Ok(true) => self.failing = false,
                Ok(false) => return,
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    self.log.receiver.warn(&format!("can't follow the log and tries again: {error}"));
                }
                Err(_) => {}
            }
            sleep_until(next).await;
        }
    }

    /// Passes over the records that this bus has appended.
    fn pass_own(&mut self) {
        while let Some(own) = self.log.own_appends.behind(&self.id, self.seen) {
            own.into_iter().for_each(|(position, event)| self.pass(position, event));
        }
    }

    fn pass(&mut self, position: u64, event: String) {
        self.seen = position;
        self.recent.push_back((position, event));
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
    }

    /// Delivers new records. Returns false if the bus has stopped.
    async fn follow(&mut self) -> Result<bool, AdapterError> {
        let instance = self.log.receiver.instance().to_string();
        loop {
            self.pass_own();
            let (seen, id) = (self.seen, self.id.clone());
            let event = self.recent.back().filter(|(position, _)| *position == seen);
            let event = event.map(|(_, event)| event.clone()).unwrap_or_default();
            let read = self.log.call(&READ, |call, _| {
                // `call` retries with another id if the log was replaced. The new log is read from its beginning.
                match self.log.id() == id {
                    true => call.arg(seen).arg(&event),
                    false => call.arg(0).arg(""),
                };
                call.arg(BATCH).arg(&instance);
            });
            let read: Option<New> = read.await?;
            if self.id != self.log.id() {
                (self.id, self.seen) = (self.log.id(), 0);
                self.recent.clear();
            }
            let Some((last, trimmed, found)) = read else {
                self.step_back();
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
                self.pass(position, event);
            }
            if !full {
                self.seen = self.seen.max(last);
                self.rewinding = false;
                return Ok(true);
            }
        }
    }

    /// Steps back by one remembered record, or to 0 if none is left. `follow` repeats this until the server's log has
    /// the record at `seen`.
    fn step_back(&mut self) {
        if !std::mem::replace(&mut self.rewinding, true) {
            self.log.receiver.warn(
                "came back with older data: events that it had acknowledged are lost (see `appendfsync`)",
            );
        }
        self.recent.pop_back();
        self.seen = self.recent.back().map_or(0, |(position, _)| *position);
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
