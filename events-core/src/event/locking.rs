//! What `#[event]` of `typed_events::locked` says of an event, and what the event's file says.

use crate::schema::TypeSchema;

/// How the shape of an event may change within one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// New programs read what old ones wrote, and old ones what new ones write.
    Full,
    /// New programs read what old ones wrote: enough for replays.
    Backward,
    /// Old programs read what new ones write: enough for programs that run meanwhile.
    Forward,
}

/// Why a change that the lock would refuse is all right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The field, by the name it is written or read under; empty for what no field stands for.
    pub field: &'static str,
    /// The reason, as the user gives it.
    pub reason: &'static str,
}

/// What an event type under the lock says of itself, and what its file says.
#[derive(Clone, Copy)]
pub struct Locking {
    /// As declared.
    pub compatibility: Compatibility,
    /// Names of removed fields, as declared.
    pub reserved: &'static [&'static str],
    /// The reasons for changes, as declared.
    pub changed: &'static [Change],
    /// The event's file; `None` where there is none, which is an error unless the lock is written.
    pub file: Option<LockFile>,
    /// The version before.
    pub previous: Option<&'static PastLocking>,
}

/// The file of an event.
#[derive(Clone, Copy)]
pub struct LockFile {
    /// All of it.
    pub text: &'static str,
    /// The type that has claimed the name.
    pub item: &'static str,
    /// What it promises.
    pub compatibility: Compatibility,
    /// Names that no field may have again.
    pub reserved: &'static [&'static str],
    /// The version of the type that reads it, if it is there.
    pub version: Option<LockedVersion>,
}

/// A version in the file of an event.
#[derive(Clone, Copy)]
pub struct LockedVersion {
    /// Its shape.
    pub schema: &'static TypeSchema,
    /// The reasons for the changes it has had.
    pub changed: &'static [Change],
}

/// What a superseded version of an event under the lock says of itself, and what the file says of it.
#[derive(Clone, Copy)]
pub struct PastLocking {
    /// Its number.
    pub version: u32,
    /// Its shape, as declared.
    pub schema: &'static TypeSchema,
    /// The reasons for changes, as declared.
    pub changed: &'static [Change],
    /// What the file says, if it has the version.
    pub locked: Option<LockedVersion>,
    /// The version before.
    pub previous: Option<&'static PastLocking>,
}
