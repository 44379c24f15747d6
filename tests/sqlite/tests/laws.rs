//! The random runs of the model on SQLite. The variables are those of the model's own runs.

use std::path::PathBuf;
use std::sync::Arc;

use durable_model::engine::{Checked, Engine, SMALL, run};
use durable_model::search::random_runs_on;
use events_core::store::TrimLimit;
use events_core::{Adapter, Bus, Timestamp};
use events_sqlite::{Sqlite, Synchronous};
use tempfile::TempDir;
use tests_support::Shared;

#[test]
fn sqlite_keeps_the_laws() {
    match random_runs_on(&Engine::new(File::new()), 60) {
        Ok(done) => println!("{done}"),
        Err(broken) => panic!("{broken}"),
    }
}

/// A file that is open.
struct File {
    folder: TempDir,
    sqlite: Arc<Sqlite>,
    /// Keeps the file open.
    _bus: Bus,
}

impl File {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder"))
    }

    fn in_folder(folder: TempDir) -> Self {
        let sqlite = Sqlite::at(folder.path().join("events.db")).synchronous(Synchronous::Normal);
        let sqlite = Arc::new(sqlite.with_limits(SMALL));
        let bus = run(Bus::builder().adapter(Shared(Arc::clone(&sqlite))).build()).expect("the file opens");
        Self { folder, sqlite, _bus: bus }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("events.db{suffix}"))
    }
}

impl Checked for File {
    fn adapter(&self) -> &dyn Adapter {
        &*self.sqlite
    }

    fn empty(&self) -> Self {
        Self::new()
    }

    /// Nothing writes between two calls.
    fn copied(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for suffix in ["", "-wal"] {
            let to = folder.path().join(format!("events.db{suffix}"));
            std::fs::copy(self.path(suffix), to).expect("a copy");
        }
        Self::in_folder(folder)
    }

    fn trim(&self, now: Timestamp, limit: TrimLimit, past_consumers: bool) -> Timestamp {
        run(self.sqlite.trim(now, limit, past_consumers)).expect("the file can be written").0
    }
}
