//! Functions for the crates of this workspace that deliver the events of a bus elsewhere, such as events-axum. Not for
//! users: they change without notice.

use std::panic::Location;

use crate::adapter::log::{LogPage, LogQuery};
use crate::adapter::query::parse_pattern;
use crate::bus::inner::Bus;

pub use crate::bus::inner::reported_once::{ReportedOnce, ShouldLog};
use crate::bus::read::stream::EventStream;
use crate::error::{Error, ErrorKind};
use crate::panics::catch_panic;

/// Logs a warning of such a crate through the reporter of the bus.
pub fn warn(bus: &Bus, what: std::fmt::Arguments<'_>) {
    bus.inner.warn(what);
}

/// Returns whether the bus has not begun to stop.
pub fn is_running(bus: &Bus) -> bool {
    bus.is_running()
}

/// Reads forwards from the adapter's log, or from the log in memory if there is no adapter.
///
/// # Errors
///
/// [`ErrorKind::History`] if the adapter can't read its log.
pub async fn read_log(bus: &Bus, query: &LogQuery) -> Result<LogPage, Error> {
    bus.inner.read_log(query).await
}

/// Calls a user's code. Returns `None` if it panics.
pub fn call<T>(code: impl FnOnce() -> T) -> Option<T> {
    let mut result = None;
    catch_panic(|| result = Some(code()));
    result
}

/// Subscribes to a pattern on behalf of `what`, such as a route that delivers the events.
///
/// If no declared event matches the pattern, the warning names `what` and its location instead of the stream.
///
/// # Errors
///
/// [`ErrorKind::Pattern`](crate::ErrorKind::Pattern) if the text is not a pattern.
pub fn stream_for(
    bus: &Bus,
    pattern: &str,
    what: &str,
    location: &'static Location<'static>,
) -> Result<EventStream, Error> {
    let stream = bus.stream_unchecked(pattern)?;
    bus.inner.note_pattern_without_events(what, location, parse_pattern(pattern)?);
    Ok(stream)
}

/// Creates an error for such a crate.
pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error::new(kind, message)
}
