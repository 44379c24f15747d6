//! The promises of the README and the docs, tested through the public API, with a module per subject.
//!
//! All event names of a test binary are linked together, so the names of each module start with a different word.

mod adapter;
mod bounds;
mod build;
mod cancel;
mod detach;
mod emit;
mod failures;
mod handlers;
mod history;
mod ingress;
mod lifecycle;
mod logs;
mod memory;
mod metadata;
mod nesting;
mod patterns;
mod replay;
mod schema;
mod sets;
mod silence;
mod stop;
mod stream;
mod stuck;
mod subscriptions;
mod values;
mod versions;
mod views;

use std::sync::Mutex;

use typed_events::{Bus, Record};

/// A list that handlers write to.
#[derive(Default)]
pub struct Seen(Mutex<Vec<String>>);

impl Seen {
    fn push(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn sorted(&self) -> Vec<String> {
        let mut seen = self.take();
        seen.sort();
        seen
    }
}

/// Builds a bus with default settings.
async fn bus() -> Bus {
    Bus::new().await.unwrap()
}

fn names(records: &[Record]) -> Vec<&str> {
    records.iter().map(Record::name).collect()
}

/// Waits for a condition, for at most a minute.
async fn until(is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("it comes to be");
}
