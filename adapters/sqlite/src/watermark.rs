//! The position up to which records were acknowledged as safe, in a file next to the log.
//!
//! SQLite takes the first damaged frame of a write-ahead log for its end, as it must after a crash, and does not report
//! the frames after it. Only a note outside of SQLite shows that there were more records.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use events_core::Receiver;

/// Length of the file: the id of the log, the position of the newest record that was synced, and a checksum of both.
const LENGTH: usize = 16 + 8 + 4;

/// The open `-acknowledged` file.
///
/// It is not synced: after a power cut it may hold an older position, which is also safe. The same is true if processes
/// share a log, and one overwrites the newer position of another.
pub(crate) struct Watermark {
    file: File,
    log: [u8; 16],
    receiver: Receiver,
    failing: AtomicBool,
}

/// Returns the path of the file for a log.
pub(crate) fn path_of(log: &Path) -> PathBuf {
    let mut path = OsString::from(log);
    path.push("-acknowledged");
    path.into()
}

/// Reads the id of the log and the position. Returns `None` if there is no file or it is damaged.
pub(crate) fn read(path: &Path) -> Result<Option<([u8; 16], i64)>> {
    let mut noted = Vec::new();
    match File::open(path_of(path)) {
        Ok(file) => file.take(LENGTH as u64).read_to_end(&mut noted)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (Some(log), Some(position)) = (noted.first_chunk(), noted.get(16..24).and_then(<[u8]>::first_chunk))
    else {
        return Ok(None);
    };
    let (log, position) = (*log, i64::from_le_bytes(*position));
    Ok((noted == text(log, position)).then_some((log, position)))
}

/// Empties the file of a log that no longer exists. It is not removed, because another process that begins a new log
/// may have it open.
pub(crate) fn forget(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).truncate(true).open(path_of(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn text(log: [u8; 16], position: i64) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    text[..16].copy_from_slice(&log);
    text[16..24].copy_from_slice(&position.to_le_bytes());
    let crc = crc32fast::hash(&text[..24]);
    text[24..].copy_from_slice(&crc.to_le_bytes());
    text
}

#[cfg(unix)]
fn write(file: &File, text: &[u8]) -> Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, text, 0)
}

#[cfg(not(unix))]
fn write(mut file: &File, text: &[u8]) -> Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text)
}

impl Watermark {
    pub(crate) fn open(path: &Path, log: [u8; 16], receiver: Receiver) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path_of(path))?;
        Ok(Self { file, log, receiver, failing: AtomicBool::new(false) })
    }

    /// Writes that all records up to `position` are safe.
    pub(crate) fn note(&self, position: i64) {
        match write(&self.file, &text(self.log, position)) {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => self.receiver.warn(&format!(
                "can't write its `-acknowledged` file, so a loss of its newest records may not be detected: {error}"
            )),
            Err(_) => {}
        }
    }
}
