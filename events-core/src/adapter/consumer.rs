//! A durable consumer as an adapter sees it: which events it takes, and in which order.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::durable::{EventFilter, Order, Settings, matches_any};
use crate::adapter::options::{DurableOptions, Nulls, StartAt};
use crate::event::accepted::AcceptedEvents;
use crate::event::declared::DeclaredEvents;
use crate::event::pattern::Pattern;
use crate::json;
use crate::panics::drop_quietly;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::text::prefix;

/// A consumer as its adapter sees it.
pub struct Consumer {
    pub(crate) durable: DurableOptions,
    pub(crate) patterns: Vec<Arc<str>>,
    pub(crate) accepts: AcceptedEvents,
    pub(crate) declared_events: Arc<DeclaredEvents>,
    pub(crate) accepts_undeclared: bool,
    pub(crate) lease: Duration,
    pub(crate) codec: RecordCodec,
}

impl Consumer {
    /// Name of the consumer. Consumers are identified by their name alone.
    pub fn name(&self) -> &str {
        self.durable.name()
    }

    /// Patterns of the handler.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(AsRef::as_ref)
    }

    /// Where a new consumer starts in the log.
    pub fn from(&self) -> StartAt {
        self.durable.start()
    }

    /// How long a session may send no sign of life before its events are handed out again. The default is 30 s.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Codec that decodes the stored records.
    pub fn codec(&self) -> &RecordCodec {
        &self.codec
    }

    /// The events that the consumer takes. A handler whose argument takes certain events only has their names as
    /// patterns.
    pub fn filter(&self) -> EventFilter {
        let names = self.accepts.names();
        let patterns: Vec<String> = match self.accepts {
            crate::event::accepted::AcceptedEvents::Any => self.patterns().map(str::to_owned).collect(),
            _ => names
                .iter()
                .filter(|name| self.pattern_of(name).is_some())
                .map(|name| (*name).into())
                .collect(),
        };
        let taken = self.declared_events.names().filter(|name| matches_any(&patterns, name));
        let versions = taken.map(|name| (name.to_owned(), self.declared_events.version(name))).collect();
        EventFilter { patterns, versions, undeclared: self.accepts_undeclared }
    }

    /// The settings that are stored with the consumer.
    pub fn settings(&self) -> Settings {
        let order = |field: &str| Order { field: field.to_owned(), nulls: self.durable.null_order() };
        Settings { order: self.durable.is_ordered().map(order) }
    }

    /// Returns the key of an event in an order, which may be that of another program: events with equal keys are
    /// handled in order. `None` if the event needs no order. A key is truncated to 512 bytes, so that events whose
    /// longer values begin alike are handled in order, too.
    pub fn key(&self, record: &Record, order: &Order) -> Option<String> {
        let field = order.field.as_str();
        let decl = self.declared_events.get(record.name());
        let json = match decl.filter(|decl| record.version() < decl.version) {
            // An old record may contain the field under another name.
            Some(decl) => {
                // User code writes the JSON.
                let json = catch_unwind(AssertUnwindSafe(|| record.payload(decl).ok()?.to_json().ok()));
                let json = json.unwrap_or_else(|payload| {
                    drop_quietly(payload);
                    None
                });
                Cow::Owned(json?.into())
            }
            None => Cow::Borrowed(record.json().ok()?),
        };
        // The text of the value in the JSON. It is the same in every program, whatever features of serde_json
        // are enabled.
        let mut key = match json::field(&json, field).unwrap_or("null") {
            "null" => match order.nulls {
                Nulls::Unordered => return None,
                Nulls::Together => NULL_KEY.to_owned(),
            },
            text if text.starts_with('"') => json::from_str(text).ok()?,
            text => text.to_owned(),
        };
        key.truncate(prefix(&key, MAX_KEY).len());
        Some(key)
    }

    /// Index of the first pattern that matches a name.
    pub(crate) fn pattern_of(&self, name: &str) -> Option<usize> {
        self.patterns.iter().position(|pattern| Pattern::of_valid(pattern).matches(name))
    }
}

/// Key of events whose field is `null`. No string from an event is likely to equal it.
const NULL_KEY: &str = "\u{0}null";

/// Maximum length of a key in bytes.
const MAX_KEY: usize = 512;

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer({} on {})", self.name(), self.patterns.join(", "))
    }
}
