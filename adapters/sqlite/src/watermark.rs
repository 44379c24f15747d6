//! How far the log was acknowledged, in a file of its own beside it.
//!
//! SQLite takes the first damaged frame of a write-ahead log for its end, as it must after a crash, and does not tell
//! what stood behind it. Only something outside of it knows that there was more.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use events_core::Receiver;

/// The id of the log, the position of the newest record that was synced, and a checksum of both.
const LENGTH: usize = 16 + 8 + 4;

/// The file, as it is written.
///
/// It is not synced: a power cut may leave an older position, which is as true. Where processes share a log, one may
/// overwrite a newer position of another; it is, too.
pub(crate) struct Watermark {
    file: File,
    log: [u8; 16],
    receiver: Receiver,
    failing: AtomicBool,
}

/// The file beside a log.
pub(crate) fn path_of(log: &Path) -> PathBuf {
    let mut path = OsString::from(log);
    path.push("-acknowledged");
    path.into()
}

/// What was noted last: the id of a log, and a position; nothing where nothing was, or what there is is damaged.
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

/// Forgets what was noted of a log that is gone. The file stays: somebody who begins a new log may have opened it.
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

    /// Notes that all up to here is safe.
    pub(crate) fn note(&self, position: i64) {
        match write(&self.file, &text(self.log, position)) {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => self.receiver.warn(&format!(
                "can't note how far it is, so damage to its newest part might not be found: {error}"
            )),
            Err(_) => {}
        }
    }
}
