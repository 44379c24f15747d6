//! A record as browsers get it.

use axum::response::sse;
use events_core::Record;

use crate::place::Place;

/// A record, and its JSON without secrets.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) record: Record,
    pub(crate) place: Place,
    json: String,
}

impl Message {
    /// None, and a warning, where the record can't be written.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        match record.json() {
            // In a line of its own, a carriage return would end it.
            Ok(json) => {
                let (record, place) = (record.clone(), Place::of(record));
                Some(Self { record, place, json: json.replace('\r', " ") })
            }
            Err(error) => {
                tracing::warn!(event = record.name(), %error, "an event can't be sent to browsers");
                None
            }
        }
    }

    pub(crate) fn to_sse(&self) -> sse::Event {
        let event = sse::Event::default().id(self.place.to_string());
        event.event(self.record.name()).data(&self.json)
    }
}
