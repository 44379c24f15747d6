//! Passing the events of other buses to a bus.

use std::sync::Arc;

use super::log::Hub;
use crate::adapter::receiver::Receiver;
use crate::error::ErrorKind;

/// The next entries for a bus.
#[derive(Default)]
pub(super) struct Batch {
    /// Number of events that were dropped before these entries.
    pub(super) lost: u64,
    /// Position, name and text of each record.
    pub(super) texts: Vec<(u64, Arc<str>, Arc<str>)>,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// Passes events to one bus.
pub(super) struct Reader {
    pub(super) hub: Arc<Hub>,
    pub(super) key: u64,
}

impl Reader {
    pub(super) async fn run(self, receiver: Receiver) {
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
