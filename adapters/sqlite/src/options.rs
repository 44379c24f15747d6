//! The settings of the adapter.

use std::path::PathBuf;
use std::time::Duration;

use events_core::Retention;

/// What a power cut may lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Nothing: each commit of an `emit` waits for the disk. The default.
    #[default]
    Full,
    /// The newest events, unless the operating system has already written them. The file stays intact. A crash of the
    /// process alone loses nothing. Emits are many times faster on disks that are slow to flush.
    Normal,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) retention: Retention,
    /// Interval between checks for changes by other processes.
    pub(crate) poll: Duration,
    /// How long the marks of `first_time` are kept.
    pub(crate) dedup_window: Duration,
    /// The VFS to open the file with, if not SQLite's default.
    pub(crate) vfs: Option<String>,
}
