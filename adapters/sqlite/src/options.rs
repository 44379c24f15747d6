//! What a user may set.

use std::path::PathBuf;
use std::time::Duration;

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

/// What the log keeps: everything, unless said otherwise. What exceeds any one bound is trimmed, the oldest first, in
/// the background, a thousand events at a time: when the log is opened, and every 10 s. Between these, there may be more.
///
/// Events that a consumer has yet to finish are kept, whoever it is: an abandoned consumer keeps everything until it
/// is removed. The newest event is always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub(crate) records: Option<u64>,
    pub(crate) age: Option<Duration>,
    pub(crate) bytes: Option<u64>,
    pub(crate) past_consumers: bool,
}

impl Retention {
    /// Keeps everything.
    pub const fn everything() -> Self {
        Self { records: None, age: None, bytes: None, past_consumers: false }
    }

    /// Keeps at most this many events.
    #[must_use]
    pub const fn records(mut self, records: u64) -> Self {
        self.records = Some(records);
        self
    }

    /// Keeps events for this long.
    #[must_use]
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Keeps what fits into this many bytes of the file, without the write-ahead log.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Trims also what consumers have yet to finish. They lose it, and log how many events of the log that were, of
    /// whichever name.
    ///
    /// A handler that is at work on an event goes on, and may finish it. If it fails, or the process ends, the event is
    /// not handed out again and does not go to the dead letters: it is lost, too. Dead letters stay, also those that
    /// are replayed.
    #[must_use]
    pub const fn even_past_consumers(mut self) -> Self {
        self.past_consumers = true;
        self
    }

    pub(crate) const fn is_everything(&self) -> bool {
        self.records.is_none() && self.age.is_none() && self.bytes.is_none()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) retention: Retention,
    /// How often the file is looked at for what other processes did.
    pub(crate) poll: Duration,
    /// How long it is remembered that a handler has handled an event.
    pub(crate) remember: Duration,
    /// The VFS that SQLite is to use, where it is not its own.
    pub(crate) vfs: Option<String>,
}
