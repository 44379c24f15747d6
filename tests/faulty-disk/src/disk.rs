//! What tests hold.

use crate::image::Survival;
use crate::random::Random;
use crate::state::{Fault, SUFFIXES, Shared, beside};
use crate::vfs::Registration;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// A disk that fails when it is told to. See the [crate] for what it models.
///
/// Any number of connections on any threads may use it, and any number of disks may exist. When it is
/// dropped, SQLite finds it no more; connections that are still open go on.
pub struct Disk {
    shared: Arc<Shared>,
    registration: Registration,
}

impl Disk {
    /// Registers a new disk with SQLite, under a name of its own.
    ///
    /// # Panics
    ///
    /// If SQLite has no memory left for it, or no VFS beneath it.
    #[expect(clippy::new_without_default, reason = "it registers something, which a default shouldn't")]
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let registration = Registration::new(&shared).expect("SQLite takes another VFS");
        Disk { shared, registration }
    }

    /// The name to give to SQLite, as in `file:events.db?vfs=name` or
    /// [`Connection::open_with_flags_and_vfs`].
    pub fn vfs_name(&self) -> &str {
        self.registration.name()
    }

    /// Opens a database on this disk, and creates it if it doesn't exist.
    ///
    /// # Errors
    ///
    /// What SQLite says, and `SQLITE_IOERR` when the power is cut.
    pub fn open(&self, path: &Path) -> rusqlite::Result<Connection> {
        Connection::open_with_flags_and_vfs(path, OpenFlags::default(), self.vfs_name())
    }

    /// How many writes, syncs and truncates there were, including those that failed, but not those that came
    /// after a power cut. A test that ran once without faults knows from this where to put them.
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations
    }

    /// How many of the [operations](Self::operations) were syncs, so that a test can say what a commit costs.
    pub fn syncs(&self) -> u64 {
        self.shared.lock().syncs
    }

    /// Makes the `operation`-th write, sync or truncate from now fail, once. The next one is the first. For
    /// [`Fault::Sync`], only syncs are counted.
    ///
    /// Several faults may wait at the same time. If two strike the same operation, the one that was armed
    /// first does.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.shared.lock().arm(operation, fault, false);
    }

    /// As [`fail_at`](Self::fail_at), but all later operations that the fault can strike fail, too, until
    /// [`heal`](Self::heal).
    pub fn fail_from(&self, operation: u64, fault: Fault) {
        self.shared.lock().arm(operation, fault, true);
    }

    /// Ends all faults, also those that didn't strike yet. What a failed sync dropped is lost all the same,
    /// and a power cut is no fault: it lasts.
    pub fn heal(&self) {
        self.shared.lock().heal();
    }

    /// Cuts the power at the `operation`-th write, sync or truncate from now. The next one is the first.
    ///
    /// That one fails and so does all that comes later: writes, syncs, truncates, deletes and opens. A write
    /// that is cut may have reached the disk in part, a sync that is cut has made nothing durable.
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

    /// Writes the files that survive if the power is cut now, or those that survived the cut, into the folder
    /// `into`, which is created if need be. They keep their names; what an earlier call or a database that
    /// was opened there left under these names is removed.
    ///
    /// The seed chooses what survives of that which wasn't synced: with 0 nothing, with 1 everything, and
    /// with any other something in between, chosen for each file on its own. The same seed chooses the same
    /// for the same writes.
    ///
    /// # Errors
    ///
    /// If the folder can't be written, or if the disk has two files of the same name in different folders.
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
