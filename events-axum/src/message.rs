//! The messages to browsers, as lines of server-sent events.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use events_core::bridge::{ReportedOnce, ShouldLog, call, warn};
use events_core::{Bus, LogId, LogPosition, Record};

/// Name of the message that reports missing events.
pub(crate) const GAP: &str = "typed-events.gap";

/// Name of the message that tells a client its position if no event does.
pub(crate) const POSITION: &str = "typed-events.position";

/// A comment that keeps a connection open. It has no empty line, because some clients take an empty line for a message.
pub(crate) const HEARTBEAT: &[u8] = b":\n";

/// The event names that browsers pass to listeners for other purposes.
pub(crate) const TAKEN_NAMES: [&str; 3] = ["error", "message", "open"];

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `event` is the event's name, and `data` its payload.
    Named,
    /// There is no `event`, and `data` is an object with the name and the payload.
    Plain,
}

/// The reason for which events may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The id is not a position, or is of another log.
    Unknown,
    /// The log ends before the position.
    Ahead,
    /// The history no longer has the records behind the position.
    Trimmed,
    /// More events were missed than are read for a client.
    TooMany,
    /// A record can't be read.
    Unreadable,
}

impl Gap {
    fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ahead => "ahead",
            Self::Trimmed => "trimmed",
            Self::TooMany => "too-many",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) fn to_bytes(self, position: LogPosition) -> Bytes {
        format!("event: {GAP}\nid: {position}\ndata: {{\"reason\":\"{}\"}}\n\n", self.reason()).into()
    }
}

/// Returns the first message of a connection: the position, or a gap.
pub(crate) fn first(retry: Duration, at: LogPosition, gap: Option<Gap>) -> Bytes {
    let message = gap.map_or_else(|| position(at), |gap| gap.to_bytes(at));
    [retry_line(retry).as_bytes(), &message].concat().into()
}

/// Returns the message that tells a client its position.
pub(crate) fn position(position: LogPosition) -> Bytes {
    format!("event: {POSITION}\nid: {position}\ndata: {{}}\n\n").into()
}

/// Returns the line that tells a client to reconnect after `wait` and a random time of up to half of it, so that not
/// all clients reconnect at once.
pub(crate) fn retry_line(wait: Duration) -> String {
    use std::hash::{BuildHasher, RandomState};
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let jitter = RandomState::new().hash_one(()) % (wait / 2 + 1);
    format!("retry: {}\n", wait.saturating_add(jitter))
}

/// A record to send to browsers.
pub(crate) struct Message<U> {
    pub(crate) record: Record,
    pub(crate) number: u64,
    /// The JSON on one line, if the JSON of the record has several.
    on_one_line: Option<String>,
    /// The users that see it, if the bridge has a function for them.
    pub(crate) keys: Vec<U>,
}

/// Counts the events that were not sent.
#[derive(Default)]
pub(crate) struct Unsent {
    reported_names: ReportedOnce<Box<str>>,
    count: AtomicU64,
}

impl Unsent {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts an event, and logs the first one of its name.
    fn note(&self, bus: &Bus, name: &str, why: &dyn Display) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let more = match self.reported_names.insert(name.into()) {
            ShouldLog::No => return,
            ShouldLog::Yes => "",
            ShouldLog::Last => ", also those of further names",
        };
        let counted = format!("others like it are only counted{more}");
        warn(bus, format_args!("the event `{name}` can't be sent to browsers ({counted}): {why}"));
    }
}

impl<U> Message<U> {
    /// Creates the message for a record. Returns `None`, and counts the event as unsent, if the record can't be written
    /// or browsers reserve its name.
    pub(crate) fn of(
        bus: &Bus,
        unsent: &Unsent,
        format: Format,
        number: u64,
        record: Record,
        keys: impl FnOnce(&Record) -> Vec<U>,
    ) -> Option<Self> {
        let name = record.name();
        if [GAP, POSITION].contains(&name) {
            // This library stores no event of this name, so another program has written to the log.
            unsent.note(bus, name, &"the name is reserved for messages of the bridge");
            return None;
        }
        if format == Format::Named && TAKEN_NAMES.contains(&name) {
            unsent.note(
                bus,
                name,
                &"browsers use this name for other listeners: call `.plain()` or rename the event",
            );
            return None;
        }
        let Some(keys) = call(|| keys(&record)) else {
            unsent.note(bus, name, &"the function that returns the users of an event panicked");
            return None;
        };
        let on_one_line = match record.json() {
            // A line break would end the `data` line. JSON has line breaks only between its tokens.
            Ok(json) => json.contains(['\r', '\n']).then(|| json.replace(['\r', '\n'], " ")),
            Err(error) => {
                unsent.note(bus, name, &error);
                return None;
            }
        };
        Some(Self { record, number, on_one_line, keys })
    }

    fn json(&self) -> &str {
        // `of` has checked that the record has JSON.
        self.on_one_line.as_deref().unwrap_or_else(|| self.record.json().unwrap_or_default())
    }

    /// Returns an estimate of the message's memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        3 * self.json().len() + self.keys.len() * (size_of::<U>() + 64) + 512
    }

    pub(crate) fn to_bytes(&self, format: Format, log: LogId) -> Bytes {
        let position = LogPosition { log, number: self.number };
        let (name, json) = (self.record.name(), self.json());
        let mut text = String::with_capacity(json.len() + name.len() + 128);
        let written = match format {
            Format::Named => write!(text, "id: {position}\nevent: {name}\ndata: {json}\n\n"),
            // Event names contain no characters that JSON escapes.
            Format::Plain => {
                write!(text, "id: {position}\ndata: {{\"name\":\"{name}\",\"data\":{json}}}\n\n")
            }
        };
        debug_assert!(written.is_ok(), "writing to a String can't fail");
        text.into()
    }
}
