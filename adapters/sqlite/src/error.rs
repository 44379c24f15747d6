//! Errors of work on the file, and their translation to [`AdapterError`].

use std::fmt;
use std::path::Path;

use events_core::AdapterError;
use events_core::durable::Refusal;
use rusqlite::ErrorCode;

use crate::watermark::path_of;

/// The error of a piece of work on the file.
#[derive(Debug)]
pub(crate) enum StoreError {
    Sqlite(rusqlite::Error),
    /// COMMIT failed: the transaction may or may not be stored.
    Commit(rusqlite::Error),
    /// The file does not contain what was written to it.
    Damaged(String),
    /// The file has a log of a format that this program does not read.
    OtherFormat(String),
    /// The `-acknowledged` file can't be read or written.
    Beside(std::io::Error),
    /// The files of the log can't be identified when it is opened.
    Identity(std::io::Error),
    /// A file of the log was removed or replaced before the work began. The text says which.
    Replaced(String),
    /// The same, found after a transaction: what it wrote is only in the old file.
    ReplacedMeanwhile(String),
    /// The work itself returned an error.
    Refused(AdapterError),
    /// The store of durable delivery refused a call.
    RefusedCall(Refusal),
    /// After a disk error, earlier commits can't be made safe while other connections use the file.
    Busy,
    /// The work panicked.
    Panicked,
    /// The runtime shut down before the work was done.
    Gone,
}

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            // A query for a row that may be missing is `optional`.
            rusqlite::Error::QueryReturnedNoRows => {
                Self::Damaged("a row that each log has is missing".to_owned())
            }
            error => Self::Sqlite(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Beside(error)
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::RefusedCall(refusal)
    }
}

impl From<AdapterError> for StoreError {
    fn from(error: AdapterError) -> Self {
        Self::Refused(error)
    }
}

impl StoreError {
    /// Whether the connection has to be opened again before its next use.
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

    /// Whether the log stays unusable until it is opened again.
    pub(crate) fn is_of_other_file(&self) -> bool {
        matches!(self, Self::Replaced(_) | Self::ReplacedMeanwhile(_))
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

    /// The error as the bus reports it, with the path of the file.
    pub(crate) fn of_file(&self, path: &Path) -> AdapterError {
        let file = path.display();
        let said = |error: &dyn fmt::Display| format!("{file}: {error}");
        match (self, self.code()) {
            (Self::Damaged(what), _) => AdapterError::refused(format_args!("{file} is damaged: {what}")),
            (Self::OtherFormat(what), _) => AdapterError::refused(said(what)),
            (Self::Beside(error), _) => {
                AdapterError::unavailable(format_args!("{}: {error}", path_of(path).display()))
            }
            (Self::Replaced(what), _) => AdapterError::refused(format_args!(
                "{what} while {file} was open: nothing is written until the program is started again"
            )),
            (Self::ReplacedMeanwhile(what), _) => AdapterError::unknown(format_args!(
                "{what} while {file} was open: what was written last is only in the old file"
            )),
            (Self::Identity(error), _) => AdapterError::unavailable(said(error)),
            (Self::Refused(error), _) => error.clone(),
            (Self::RefusedCall(refusal), _) => AdapterError::refused(refusal),
            (Self::Busy, _) => AdapterError::unavailable(format_args!(
                "{file}: after a disk error, earlier commits can't be made safe while other connections read the file"
            )),
            (Self::Panicked, _) => AdapterError::refused(format_args!(
                "{file}: nothing was written: code of the program panicked"
            )),
            (Self::Gone, _) => AdapterError::unknown(format_args!("{file}: the runtime has shut down")),
            (Self::Commit(error), Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull) | None) => {
                AdapterError::unknown(said(error))
            }
            (Self::Sqlite(error) | Self::Commit(error), code) => match code {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    AdapterError::refused(format_args!("{file} is damaged: {error}"))
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    AdapterError::unavailable(format_args!(
                        "{file}: another connection has it locked for writing: {error}; keep transactions short, and within one emit with `emit_in`"
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
