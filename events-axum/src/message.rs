//! A record as browsers get it.

use axum::response::sse;
use events_core::__private::warn;
use events_core::{Bus, Record};

use crate::place::Place;

/// The message that says that events may be missing.
pub(crate) const GAP: &str = "typed-events.gap";

/// The message that ends the connection of a client that is too far behind.
pub(crate) const LAGGED: &str = "typed-events.lagged";

/// A record, and its JSON without secrets.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) record: Record,
    pub(crate) place: Place,
    json: String,
}

impl Message {
    /// None, and a warning, where the record can't be written, or has the name of a message of the bridge itself.
    pub(crate) fn of(bus: &Bus, record: &Record) -> Option<Self> {
        let name = record.name();
        if [GAP, LAGGED].contains(&name) {
            // Only another program that writes to the same log can have stored it.
            warn(
                bus,
                format_args!("an event is not sent to browsers: `{name}` is a message of the bridge itself"),
            );
            return None;
        }
        match record.json() {
            // In a line of its own, a carriage return would end it.
            Ok(json) => {
                let (record, place) = (record.clone(), Place::of(record));
                Some(Self { record, place, json: json.replace('\r', " ") })
            }
            Err(error) => {
                warn(bus, format_args!("an event `{name}` can't be sent to browsers: {error}"));
                None
            }
        }
    }

    pub(crate) fn to_sse(&self) -> sse::Event {
        let event = sse::Event::default().id(self.place.to_string());
        event.event(self.record.name()).data(&self.json)
    }
}
