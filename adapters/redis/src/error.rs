//! Errors of calls to Redis, and their translation to [`AdapterError`].

use events_core::AdapterError;
use redis::{ErrorKind, RedisError};

/// The error of a call.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: RedisError,
    /// Whether the call may have been applied nevertheless.
    pub(crate) unknown: bool,
}

pub(crate) type Result<T> = std::result::Result<T, CallError>;

/// Error codes of a server that can't serve the call now, but may later.
const TEMPORARY_CODES: [&str; 10] =
    // NOSCRIPT: the scripts were flushed between loading one and calling it.
    [
        "NOSCRIPT",
        "LOADING",
        "MASTERDOWN",
        "TRYAGAIN",
        "CLUSTERDOWN",
        "BUSY",
        "MISCONF",
        "OOM",
        "READONLY",
        "NOREPLICAS",
    ];

impl CallError {
    /// The error of a request that was not sent.
    pub(crate) fn unsent(error: RedisError) -> Self {
        Self { error, unknown: false }
    }

    /// The error of a request that was sent. An error reply of the server means that the request was not applied. A
    /// reply that can't be read does not tell.
    pub(crate) fn sent(error: RedisError) -> Self {
        Self { unknown: error.kind() == ErrorKind::Io || is_garbled(&error), error }
    }

    /// The error of a call that was not answered in time. `sent` is false if its request was not sent.
    pub(crate) fn timed_out(sent: bool) -> Self {
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer");
        Self { error: error.into(), unknown: sent }
    }

    /// Whether a retry may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        self.error.kind() == ErrorKind::Io
            || is_garbled(&self.error)
            || self.error.code().is_some_and(|code| TEMPORARY_CODES.contains(&code))
    }

    /// Whether to open a new connection: this one is lost, or leads to a server that has become read-only.
    pub(crate) fn is_of_connection(&self) -> bool {
        self.error.kind() == ErrorKind::Io || is_garbled(&self.error) || self.error.code() == Some("READONLY")
    }

    /// Whether the server has another log than the one that was opened: it has lost its data, or they were replaced.
    pub(crate) fn is_of_other_log(&self) -> bool {
        self.error.code() == Some("OTHERLOG")
    }

    /// The error as the bus reports it. The bus adds the adapter's name.
    pub(crate) fn to_bus(&self) -> AdapterError {
        let message = &self.error;
        match (self.unknown, self.is_temporary()) {
            (true, _) => AdapterError::unknown(message),
            (false, true) => AdapterError::unavailable(message),
            (false, false) => AdapterError::refused(message),
        }
    }
}

/// Whether the reply was not one that the call can have: it was damaged on the way, or answers another request.
fn is_garbled(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType)
}
