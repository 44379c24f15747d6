//! A simulated disk for tests of code that stores its data in SQLite. It loses power on request, and its writes and
//! syncs fail on request.
//!
//! A [`Disk`] is an SQLite VFS on top of the default one. Files are read and written at their real paths, so
//! connections see the same content as without it. The disk also tracks which bytes are durable: those that were
//! written before a successful `xSync` of the same file. After a power cut, [`Disk::surviving`] writes the files that a
//! machine may find after a restart to another folder, where SQLite's default VFS can open them.
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
//! # Model
//!
//! * A sync makes the writes to its file durable, and the existence of the file. The first sync of a journal or WAL
//!   that a connection opened also makes the deletes in its folder durable, because SQLite's unix VFS then syncs the folder.
//! * A delete is durable if SQLite requests a sync of the folder. Otherwise the old file may come back.
//! * Unsynced sectors of 512 bytes survive independently of each other and of the length of the file. A sector is
//!   atomic: it has the bytes that it had after one of the writes to it.
//! * The VFS reports sectors of 512 bytes and a disk without guarantees, so that SQLite takes all precautions. There is
//!   no memory mapping, which would bypass the disk.
//! * Nothing is really synced. The surviving files are made from memory, and tests are faster.
//!
//! Databases, WALs, rollback and super-journals are watched. Temporary files are passed through and are not counted,
//! but fail after a power cut. The shared memory of a WAL is rebuilt after a crash, so it never survives.

#![cfg(unix)]
#![deny(unsafe_op_in_unsafe_fn)]

mod disk;
mod image;
mod random;
mod state;
mod vfs;

pub use disk::Disk;
pub use state::Fault;
