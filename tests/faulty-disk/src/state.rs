//! The state that all connections of a disk share: the images of its files, and the armed faults.

use crate::image::{Change, Image};
use rusqlite::ffi::{
    SQLITE_FULL, SQLITE_IOERR_DELETE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE,
    SQLITE_OK,
};
use std::collections::BTreeMap;
use std::ffi::{OsString, c_int};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with an I/O error and changes nothing. Writes before a failed sync can still become durable
    /// with the next sync.
    Io,
    /// The disk is full: a write fails with `SQLITE_FULL`. Syncs and truncates need no space, so a fault that is due at
    /// one of them waits for the next write.
    Full,
    /// A sync fails with an I/O error, and the writes to its file since the last sync can't become durable any more,
    /// although they can still be read. Linux does the same: it marks pages as clean after a failed `fsync`, so a
    /// second one has nothing to write and succeeds. Only syncs are counted for this fault.
    Sync,
}

/// The operations that are counted and can fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Sync,
    Truncate,
}

impl Operation {
    fn error(self) -> c_int {
        match self {
            Operation::Write => SQLITE_IOERR_WRITE,
            Operation::Sync => SQLITE_IOERR_FSYNC,
            Operation::Truncate => SQLITE_IOERR_TRUNCATE,
        }
    }
}

/// An armed fault.
struct Armed {
    fault: Fault,
    /// How many operations are left until it is due.
    left: u64,
    stays: bool,
}

impl Armed {
    /// Counts an operation, and returns whether it fails.
    fn strikes(&mut self, operation: Operation) -> bool {
        if self.fault == Fault::Sync && operation != Operation::Sync {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0 && (self.fault != Fault::Full || operation == Operation::Write)
    }
}

/// The outcome of an operation.
enum Verdict {
    Passes,
    /// The power is cut at this operation, so a part of it may be applied.
    IsCut,
    Fails(Fault),
    /// The power was cut before.
    IsLate,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) operations: u64,
    pub(crate) syncs: u64,
    pub(crate) cut: bool,
    cut_at: Option<u64>,
    faults: Vec<Armed>,
    /// Sorted, so that a seed makes the same choices in each run.
    pub(crate) files: BTreeMap<PathBuf, Image>,
}

impl State {
    pub(crate) fn cut_power_at(&mut self, operation: u64) {
        self.cut_at = Some(self.operations.saturating_add(operation.max(1)));
    }

    pub(crate) fn arm(&mut self, operation: u64, fault: Fault, stays: bool) {
        self.faults.push(Armed { fault, left: operation.max(1), stays });
    }

    pub(crate) fn heal(&mut self) {
        self.faults.clear();
    }

    fn begin(&mut self, operation: Operation) -> Verdict {
        if self.cut {
            return Verdict::IsLate;
        }
        self.operations += 1;
        self.syncs += u64::from(operation == Operation::Sync);
        if self.cut_at.is_some_and(|at| at <= self.operations) {
            self.cut = true;
            return Verdict::IsCut;
        }
        let mut struck = None;
        self.faults.retain_mut(|armed| {
            let strikes = armed.strikes(operation);
            if strikes {
                struck = struck.or(Some(armed.fault));
            }
            armed.stays || !strikes
        });
        struck.map_or(Verdict::Passes, Verdict::Fails)
    }

    fn image(&mut self, path: &Path) -> &mut Image {
        self.files.entry(path.to_path_buf()).or_default()
    }

    /// Starts to watch a file, unless it is watched already.
    fn watch(&mut self, path: &Path) -> io::Result<()> {
        if !self.files.contains_key(path) {
            let content = match std::fs::read(path) {
                Ok(content) => Some(content),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            self.files.insert(path.to_path_buf(), Image::existing(content));
        }
        Ok(())
    }
}

/// The suffixes of the files that SQLite may create next to a database.
pub(crate) const SUFFIXES: [&str; 3] = ["-wal", "-journal", "-shm"];

/// Returns the path of a file next to a database.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}

/// The state of a disk, shared by several threads.
///
/// It stays locked while the underlying file is changed, so that the images get the changes in the same order.
#[derive(Default)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned state is still valid: no panic can happen in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a database and the files next to it, because a WAL that no connection has opened survives as well.
    pub(crate) fn watch(&self, path: &Path, is_database: bool) -> io::Result<()> {
        let mut state = self.lock();
        state.watch(path)?;
        if is_database {
            state.watch(&beside(path, "-wal"))?;
            state.watch(&beside(path, "-journal"))?;
        }
        Ok(())
    }

    /// Writes or truncates a file. `through` does it to the underlying file. A temporary file has no path.
    pub(crate) fn change(
        &self,
        path: Option<&Path>,
        operation: Operation,
        change: impl FnOnce() -> Change,
        through: impl FnOnce() -> c_int,
    ) -> c_int {
        let mut state = self.lock();
        let Some(path) = path else {
            return if state.cut { operation.error() } else { through() };
        };
        match state.begin(operation) {
            Verdict::Passes => {
                let code = through();
                if code == SQLITE_OK {
                    state.image(path).change(change());
                }
                code
            }
            Verdict::IsCut => {
                state.image(path).change(change());
                operation.error()
            }
            Verdict::Fails(Fault::Full) => SQLITE_FULL,
            Verdict::Fails(Fault::Io | Fault::Sync) | Verdict::IsLate => operation.error(),
        }
    }

    /// Makes the writes to a file durable and, if `syncs_folder`, the deletes in its folder.
    pub(crate) fn sync(&self, path: Option<&Path>, syncs_folder: bool) -> c_int {
        let mut state = self.lock();
        let Some(path) = path else {
            return if state.cut { SQLITE_IOERR_FSYNC } else { SQLITE_OK };
        };
        match state.begin(Operation::Sync) {
            Verdict::Passes => {
                state.image(path).sync();
                if syncs_folder {
                    let beside = state.files.iter_mut().filter(|(file, _)| file.parent() == path.parent());
                    beside.for_each(|(_, image)| image.delete_durably());
                }
                SQLITE_OK
            }
            Verdict::Fails(Fault::Sync) => {
                state.image(path).drop_writes();
                SQLITE_IOERR_FSYNC
            }
            Verdict::Fails(_) | Verdict::IsCut | Verdict::IsLate => SQLITE_IOERR_FSYNC,
        }
    }

    /// Deletes a file. `through` deletes the underlying one.
    pub(crate) fn delete(&self, path: &Path, durably: bool, through: impl FnOnce() -> c_int) -> c_int {
        let mut state = self.lock();
        if state.cut {
            return SQLITE_IOERR_DELETE;
        }
        let code = through();
        if code == SQLITE_OK
            && let Some(image) = state.files.get_mut(path)
        {
            image.change(Change::Delete);
            if durably {
                image.delete_durably();
            }
        }
        code
    }
}
