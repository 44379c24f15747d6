//! What goes wrong between here and Redis, in the words of the adapter.

use events_core::AdapterError;
use redis::{ErrorKind, RedisError};

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: RedisError,
    /// Whether it may have been done all the same.
    pub(crate) unknown: bool,
}

pub(crate) type Result<T> = std::result::Result<T, CallError>;

/// What a server says that can't do something now, and may do it later.
const TEMPORARY_CODES: [&str; 9] =
    ["LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "MISCONF", "OOM", "READONLY", "NOREPLICAS"];

impl CallError {
    /// Of a call that was not sent.
    pub(crate) fn unsent(error: RedisError) -> Self {
        Self { error, unknown: false }
    }

    /// Of a call that was sent: what a server answers, it has not done.
    pub(crate) fn sent(error: RedisError) -> Self {
        Self { unknown: error.kind() == ErrorKind::Io, error }
    }

    /// Of a call that nobody answered in time.
    pub(crate) fn timed_out() -> Self {
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer");
        Self { error: error.into(), unknown: true }
    }

    /// Whether to try again.
    pub(crate) fn is_temporary(&self) -> bool {
        self.error.kind() == ErrorKind::Io
            || self.error.code().is_some_and(|code| TEMPORARY_CODES.contains(&code))
    }

    /// Whether the connection is of no more use: it is gone, or leads to a server that takes no writes any more.
    pub(crate) fn is_of_connection(&self) -> bool {
        self.error.kind() == ErrorKind::Io || self.error.code() == Some("READONLY")
    }

    /// Whether the log is not the one that was opened: the server has lost its data, or was given others.
    pub(crate) fn is_of_other_log(&self) -> bool {
        self.error.code() == Some("OTHERLOG")
    }

    /// What it is to the bus, which says itself of which adapter.
    pub(crate) fn to_bus(&self) -> AdapterError {
        let message = &self.error;
        match (self.unknown, self.is_temporary()) {
            (true, _) => AdapterError::unknown(message),
            (false, true) => AdapterError::unavailable(message),
            (false, false) => AdapterError::refused(message),
        }
    }
}
