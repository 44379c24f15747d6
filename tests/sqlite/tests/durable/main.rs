//! Durable handlers, through the facade.

mod basics;
mod files;
mod operators;
mod order;
mod outbox;
mod retention;
mod runtimes;
mod set_up;
mod silence;
mod values;
mod versions;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use typed_events::sqlite::Sqlite;
use typed_events::{Bus, BusBuilder};

/// The file of a log, in a temporary folder.
pub(crate) struct File(tempfile::TempDir);

impl File {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("events.db")
    }

    /// Waits until the file is closed, which removes its write-ahead log.
    pub(crate) async fn until_closed(&self) {
        let gone = async {
            while self.0.path().join("events.db-wal").exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the file is closed");
    }

    /// A bus on the file.
    pub(crate) fn builder(&self) -> BusBuilder {
        Bus::builder().adapter(Sqlite::at(self.path())).lease(Duration::from_millis(500)).quiet()
    }
}

/// The values that handlers noted.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<String>>);

impl Seen {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
