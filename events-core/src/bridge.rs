//! For the crates of this workspace that pass the events of a bus on, such as events-axum. Not for users: it changes
//! without notice.

use std::panic::Location;

use crate::adapter::log::{LogPage, LogQuery};
use crate::adapter::query::parse_pattern;
use crate::bus::inner::Bus;

pub use crate::bus::inner::told::{Tell, Told};
use crate::bus::read::stream::EventStream;
use crate::error::{Error, ErrorKind};
use crate::panics::catch_panic;

/// A line among those of the bus, for a crate that passes its events on.
pub fn warn(bus: &Bus, what: std::fmt::Arguments<'_>) {
    bus.inner.warn(what);
}

/// Whether the bus has not begun to stop.
pub fn is_running(bus: &Bus) -> bool {
    bus.is_running()
}

/// Reads the log of the adapter forwards, or else that in memory.
///
/// # Errors
///
/// [`ErrorKind::History`] where the adapter can't read.
pub async fn read_log(bus: &Bus, query: &LogQuery) -> Result<LogPage, Error> {
    bus.inner.read_log(query).await
}

/// Calls code of a user; `None` where it panics.
pub fn call<T>(code: impl FnOnce() -> T) -> Option<T> {
    let mut result = None;
    catch_panic(|| result = Some(code()));
    result
}

/// The stream of a pattern that is not reported where no event can match it: for a crate that passes it on to `what`,
/// which was written at a place. It is reported as that.
///
/// # Errors
///
/// [`ErrorKind::Pattern`](crate::ErrorKind::Pattern) for a text that is not a pattern.
pub fn stream_for(
    bus: &Bus,
    pattern: &str,
    what: &str,
    location: &'static Location<'static>,
) -> Result<EventStream, Error> {
    let stream = bus.stream_unchecked(pattern)?;
    bus.inner.note_reach(what, location, parse_pattern(pattern)?);
    Ok(stream)
}

/// An error of a crate that passes events on.
pub fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error::new(kind, message)
}
