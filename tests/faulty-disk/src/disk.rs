//! [`Disk`], the handle that tests use.

use crate::image::Survival;
use crate::random::Random;
use crate::state::{Fault, SUFFIXES, Shared, beside};
use crate::vfs::Registration;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// A disk that fails on request. See the [crate] for what it models.
///
/// Any number of connections on any threads may use it, and any number of disks may exist. After it is dropped, new
/// connections can't use it. Connections that are open stay usable.
pub struct Disk {
    shared: Arc<Shared>,
    registration: Registration,
}

impl Disk {
    /// Registers a new disk with SQLite, under a new name.
    ///
    /// # Panics
    ///
    /// Panics if SQLite has no memory left for it, or no default VFS.
    #[expect(clippy::new_without_default, reason = "a default should not register anything")]
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let registration = Registration::new(&shared).expect("SQLite registers another VFS");
        Disk { shared, registration }
    }

    /// Returns the name to pass to SQLite, as in `file:events.db?vfs=name` or
    /// [`Connection::open_with_flags_and_vfs`].
    pub fn vfs_name(&self) -> &str {
        self.registration.name()
    }

    /// Opens a database on this disk, and creates it if it doesn't exist.
    ///
    /// # Errors
    ///
    /// Returns SQLite's error; `SQLITE_IOERR` if the power is cut.
    pub fn open(&self, path: &Path) -> rusqlite::Result<Connection> {
        Connection::open_with_flags_and_vfs(path, OpenFlags::default(), self.vfs_name())
    }

    /// Returns how many writes, syncs and truncates there were, including failed ones, but not those after a power cut.
    /// A test that ran once without faults can use it to choose where to inject them.
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations
    }

    /// Returns how many of the [operations](Self::operations) were syncs, so that a test can measure the cost of a
    /// commit.
    pub fn syncs(&self) -> u64 {
        self.shared.lock().syncs
    }

    /// Makes the `operation`-th write, sync or truncate from now fail once. The next one is the first. For
    /// [`Fault::Sync`], only syncs are counted.
    ///
    /// Several faults may be armed at the same time. If two are due at the same operation, the one that was armed first
    /// applies.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.shared.lock().arm(operation, fault, false);
    }

    /// Like [`fail_at`](Self::fail_at), but all later operations that the fault applies to fail, too, until
    /// [`heal`](Self::heal).
    pub fn fail_from(&self, operation: u64, fault: Fault) {
        self.shared.lock().arm(operation, fault, true);
    }

    /// Removes all faults, including armed ones. Writes that a failed sync dropped stay lost, and a power cut stays.
    pub fn heal(&self) {
        self.shared.lock().heal();
    }

    /// Cuts the power at the `operation`-th write, sync or truncate from now. The next one is the first.
    ///
    /// That operation and all later writes, syncs, truncates, deletes and opens fail. If it is a write, a part of it
    /// may have reached the disk. If it is a sync, it has made nothing durable.
    pub fn cut_power_at(&self, operation: u64) {
        self.shared.lock().cut_power_at(operation);
    }

    /// Cuts the power now.
    pub fn cut_power(&self) {
        self.shared.lock().cut = true;
    }

    /// Whether the power is cut.
    pub fn is_cut(&self) -> bool {
        self.shared.lock().cut
    }

    /// Writes the files that survive a power cut into the folder `into`, which is created if needed. If the power is
    /// not cut yet, these are the files that would survive a cut now. They keep their names. Files of these names from
    /// an earlier call, or of a database that was opened there, are removed.
    ///
    /// The seed chooses which unsynced changes survive: with 0 none, with 1 all, and with any other seed some of them,
    /// chosen separately for each file. The same seed makes the same choice for the same writes.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder can't be written, or if the disk has two files of the same name in different
    /// folders.
    pub fn surviving(&self, into: &Path, seed: u64) -> io::Result<()> {
        fs::create_dir_all(into)?;
        let survival = match seed {
            0 => Survival::None,
            1 => Survival::All,
            _ => Survival::Random,
        };
        let mut random = Random::new(seed);
        let state = self.shared.lock();
        let mut names = std::collections::BTreeSet::new();
        for path in state.files.keys() {
            let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
            if !names.insert(name) {
                let message = format!("two files of the disk have the name {}", name.display());
                return Err(io::Error::new(ErrorKind::AlreadyExists, message));
            }
            let survivor = into.join(name);
            remove(&survivor)?;
            for suffix in SUFFIXES {
                remove(&beside(&survivor, suffix))?;
            }
        }
        for (path, image) in &state.files {
            if let (Some(content), Some(name)) = (image.surviving(survival, &mut random), path.file_name()) {
                fs::write(into.join(name), content)?;
            }
        }
        Ok(())
    }
}

/// Removes a file that may not exist.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
