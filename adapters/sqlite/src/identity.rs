//! Detects that the file of an open log was removed or replaced.
//!
//! SQLite keeps writing to the files that it has opened. If their paths no longer lead to them, other programs do not
//! see the writes, and the next start of this program does not find them.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The files at the paths of a log when it was opened: the database and its write-ahead log.
///
/// Compared by device and inode. On systems without these, nothing is detected.
#[derive(Debug)]
pub(crate) struct FileIdentity {
    files: Vec<(PathBuf, (u64, u64))>,
    /// What was found changed. Never reset, because a file that is moved back lacks what was written meanwhile.
    changed: OnceLock<String>,
}

impl FileIdentity {
    /// Notes the files of a log that is open, so that the write-ahead log exists.
    ///
    /// # Errors
    ///
    /// An error if a path can't be resolved.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        // The program may change its working directory.
        let path = path.canonicalize()?;
        let mut wal = path.clone().into_os_string();
        wal.push("-wal");
        let mut files = Vec::new();
        for path in [path, wal.into()] {
            if let Some(id) = id_of(&std::fs::metadata(&path)?) {
                files.push((path, id));
            }
        }
        Ok(Self { files, changed: OnceLock::new() })
    }

    /// Returns which file was found removed or replaced by [`check`](Self::check).
    pub(crate) fn changed(&self) -> Option<&str> {
        self.changed.get().map(String::as_str)
    }

    /// Looks whether the paths still lead to the same files. Returns which one does not.
    ///
    /// # Errors
    ///
    /// An error if that can't be found out.
    pub(crate) fn check(&self) -> std::io::Result<Option<&str>> {
        for (path, id) in &self.files {
            let what = match std::fs::metadata(path) {
                Ok(file) if id_of(&file) == Some(*id) => continue,
                Ok(_) => "replaced by another file",
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => "removed",
                Err(error) => return Err(error),
            };
            return Ok(Some(self.changed.get_or_init(|| format!("{} was {what}", path.display()))));
        }
        Ok(self.changed())
    }
}

/// Returns the device and the inode.
#[cfg(unix)]
fn id_of(file: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn id_of(_: &Metadata) -> Option<(u64, u64)> {
    None
}
