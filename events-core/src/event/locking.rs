//! Data of the schema lock: what the type declares with `#[event]` of `typed_events::locked`, and the
//! contents of the event's file.

use crate::schema::TypeSchema;

/// Compatibility that an event promises for schema changes within one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// Backward and forward: new programs read old records, and old programs read new ones.
    Full,
    /// New programs read old records. This is enough for replays.
    Backward,
    /// Old programs read new records. This is enough for programs of both versions that run at the same time.
    Forward,
}

/// A reason that permits a change which the schema lock otherwise refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Name under which the field is serialised or deserialised; empty for a change that concerns no single
    /// field.
    pub field: &'static str,
    /// The user's reason.
    pub reason: &'static str,
}

/// Declaration of a locked event type, and the contents of its file.
#[derive(Clone, Copy)]
pub struct Locking {
    /// The declared compatibility.
    pub compatibility: Compatibility,
    /// Declared names of removed fields, which no field may reuse.
    pub reserved: &'static [&'static str],
    /// Declared reasons for changes.
    pub changed: &'static [Change],
    /// The event's file. `None` if there is no file, which is an error unless the lock is being written.
    pub file: Option<LockFile>,
    /// The previous version.
    pub previous: Option<&'static PastLocking>,
}

/// Contents of an event's file in the schema lock.
#[derive(Clone, Copy)]
pub struct LockFile {
    /// Full text of the file.
    pub text: &'static str,
    /// Path of the event type that claims the name.
    pub item: &'static str,
    /// The stored compatibility.
    pub compatibility: Compatibility,
    /// Names that no field may reuse.
    pub reserved: &'static [&'static str],
    /// Stored data for the version of the type, if the file contains that version.
    pub version: Option<LockedVersion>,
}

/// One version in the file of an event.
#[derive(Clone, Copy)]
pub struct LockedVersion {
    /// Schema of the version.
    pub schema: &'static TypeSchema,
    /// Reasons for the changes made within the version.
    pub changed: &'static [Change],
}

/// Declaration of a superseded version of a locked event, and the stored data for it.
#[derive(Clone, Copy)]
pub struct PastLocking {
    /// Number of the version.
    pub version: u32,
    /// The declared schema.
    pub schema: &'static TypeSchema,
    /// Declared reasons for changes.
    pub changed: &'static [Change],
    /// Stored data for the version, if the file contains it.
    pub locked: Option<LockedVersion>,
    /// The previous version.
    pub previous: Option<&'static PastLocking>,
}
