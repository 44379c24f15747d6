//! What goes wrong in SQLite, in the words of the adapter.

use std::fmt;
use std::path::Path;

use events_core::AdapterError;
use rusqlite::ErrorCode;

use crate::watermark::path_of;

/// Why a piece of work on the file failed.
#[derive(Debug)]
pub(crate) enum StoreError {
    Sqlite(rusqlite::Error),
    /// COMMIT failed: what it was to commit may or may not be there.
    Commit(rusqlite::Error),
    /// What is stored is not what was stored.
    Damaged(String),
    /// The file beside the log can't be used.
    Beside(std::io::Error),
    /// The work itself refuses.
    Refused(AdapterError),
    /// Others use the file, and it can't be made sure of what was written before a disk fault.
    Busy,
    /// The work itself panicked.
    Panicked,
    /// Whoever was to do the work is gone.
    Gone,
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Beside(error)
    }
}

impl From<AdapterError> for StoreError {
    fn from(error: AdapterError) -> Self {
        Self::Refused(error)
    }
}

impl StoreError {
    /// Whether the connection is to be opened anew before it is used again.
    pub(crate) fn is_of_disk(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseCorrupt
            )
        )
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) | Self::Commit(error) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// The error for the bus, which names the file.
    pub(crate) fn of_file(&self, path: &Path) -> AdapterError {
        let file = path.display();
        let said = |error: &dyn fmt::Display| format!("{file}: {error}");
        match (self, self.code()) {
            (Self::Damaged(what), _) => AdapterError::refused(format_args!("{file} is damaged: {what}")),
            (Self::Beside(error), _) => {
                AdapterError::unavailable(format_args!("{}: {error}", path_of(path).display()))
            }
            (Self::Refused(error), _) => error.clone(),
            (Self::Busy, _) => AdapterError::unavailable(format_args!(
                "{file}: after a disk fault it can't be made sure of what was written before, while others read the file"
            )),
            (Self::Panicked, _) => AdapterError::refused(format_args!(
                "{file}: nothing was changed: code of the program panicked"
            )),
            (Self::Gone, _) => AdapterError::unknown(format_args!("{file}: the runtime shut down")),
            (Self::Commit(error), Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull) | None) => {
                AdapterError::unknown(said(error))
            }
            (Self::Sqlite(error) | Self::Commit(error), code) => match code {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    AdapterError::refused(format_args!("{file} is damaged: {error}"))
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    AdapterError::unavailable(format_args!(
                        "{file}: another connection holds it for writing: {error}; is a transaction open for long? (within one, emit by `emit_in`)"
                    ))
                }
                Some(ErrorCode::DiskFull) => {
                    AdapterError::unavailable(format_args!("{file}: the disk is full: {error}"))
                }
                Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                    AdapterError::unavailable(said(error))
                }
                _ => AdapterError::refused(said(error)),
            },
        }
    }
}
