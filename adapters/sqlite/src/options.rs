//! What a user may set.

use std::path::PathBuf;
use std::time::Duration;

use events_core::Retention;

/// How much a power cut may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Nothing that `emit` said was stored: each commit waits for the disk. The default.
    #[default]
    Full,
    /// The newest events, as far as the operating system had not written them yet; the file stays whole. A crash of
    /// the process alone takes nothing. Many times faster on disks that are slow to flush.
    Normal,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) retention: Retention,
    /// How often the file is looked at for what other processes did.
    pub(crate) poll: Duration,
    /// How long it is remembered that a handler has handled an event.
    pub(crate) dedup_window: Duration,
    /// The VFS that SQLite is to use, where it is not its own.
    pub(crate) vfs: Option<String>,
}
