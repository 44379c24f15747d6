//! A record as browsers get it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::sse;
use events_core::bridge::{Tell, Told, warn};
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

/// The events that were not sent.
#[derive(Default)]
pub(crate) struct Unsent {
    told: Told<Box<str>>,
    count: AtomicU64,
}

impl Unsent {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts an event; the first of its name is logged.
    fn note(&self, bus: &Bus, name: &str, why: &dyn Display) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let more = match self.told.tell(name.into()) {
            Tell::No => return,
            Tell::Yes => "",
            Tell::Last => ", those of further names too",
        };
        let counted = format_args!("others like it are only counted{more}");
        warn(bus, format_args!("the event `{name}` can't be sent to browsers ({counted}): {why}"));
    }
}

impl Message {
    /// None, and a note, where the record can't be written, or has the name of a message of the bridge itself.
    pub(crate) fn of(bus: &Bus, unsent: &Unsent, record: &Record) -> Option<Self> {
        let name = record.name();
        if [GAP, LAGGED].contains(&name) {
            // Only another program that writes to the same log can have stored it.
            unsent.note(bus, name, &"this is a message of the bridge itself");
            return None;
        }
        match record.json() {
            // In a line of its own, a carriage return would end it.
            Ok(json) => {
                let (record, place) = (record.clone(), Place::of(record));
                Some(Self { record, place, json: json.replace('\r', " ") })
            }
            Err(error) => {
                unsent.note(bus, name, &error);
                None
            }
        }
    }

    pub(crate) fn to_sse(&self) -> sse::Event {
        let event = sse::Event::default().id(self.place.to_string());
        event.event(self.record.name()).data(&self.json)
    }
}
