//! A disk for tests of code that keeps its data in SQLite. It loses power when it is told to, and its writes
//! and syncs fail when they are told to.
//!
//! A [`Disk`] is a SQLite VFS on top of the default one. Files are read and written where their paths say, so
//! connections see what they would see without it. Beside that, the disk remembers which bytes are durable:
//! those that were written before an `xSync` of the same file succeeded. After a power cut,
//! [`Disk::surviving`] writes what a machine may find when it starts again into another folder, to be opened
//! with SQLite's ordinary VFS.
//!
//! ```no_run
//! use faulty_disk::Disk;
//! use std::path::Path;
//!
//! let disk = Disk::new();
//! let db = disk.open(Path::new("before/events.db"))?;
//! disk.cut_power_at(100);
//! // ... commits until one fails ...
//! disk.surviving(Path::new("after"), 7)?;
//! let db = rusqlite::Connection::open("after/events.db")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is modelled
//!
//! * A sync makes what was written to its file durable, and that the file exists. The first sync of a journal
//!   or WAL that a connection opened makes the deletes in its folder durable, too, as SQLite's unix VFS then
//!   syncs the folder.
//! * A delete is durable when SQLite asks for a sync of the folder, else the old file may come back.
//! * Unsynced sectors of 512 bytes survive independently of each other and of the length of the file, but a
//!   sector is whole: it has the bytes it had after one of the writes to it.
//! * SQLite is told that sectors have 512 bytes and that the disk promises nothing, so that it takes every
//!   precaution it has. There is no memory mapping, which would bypass the disk.
//! * Nothing is synced for real. What survives comes from memory, and tests are faster without.
//!
//! Databases, WALs, rollback and super-journals are watched. Temporary files are passed through and count
//! for nothing, except that they fail once the power is cut. The shared memory of a WAL is rebuilt after a
//! crash, so it never survives.

#![cfg(unix)]
#![deny(unsafe_op_in_unsafe_fn)]

mod disk;
mod image;
mod random;
mod state;
mod vfs;

pub use disk::Disk;
pub use state::Fault;
