//! A durable consumer as an adapter sees it: what it wants, and in which order.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::durable::Interest;
use crate::adapter::options::{DurableOptions, Nulls, StartAt};
use crate::event::declared::DeclaredEvents;
use crate::event::pattern::{Pattern, is_of_library};
use crate::event::takes::Takes;
use crate::json;
use crate::panics::drop_quietly;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::text::prefix;

/// A durable handler of a bus, as its adapter sees it.
pub struct Consumer {
    pub(crate) durable: DurableOptions,
    pub(crate) patterns: Vec<Arc<str>>,
    pub(crate) takes: Takes,
    pub(crate) known: Arc<DeclaredEvents>,
    pub(crate) accepts_undeclared: bool,
    pub(crate) lease: Duration,
    pub(crate) codec: RecordCodec,
}

impl Consumer {
    /// The name, which is all that tells consumers apart.
    pub fn name(&self) -> &str {
        self.durable.name()
    }

    /// The patterns, for engines that filter themselves. [`interest`](Self::interest) decides.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(AsRef::as_ref)
    }

    /// Where it begins, if it is new.
    pub fn from(&self) -> StartAt {
        self.durable.start()
    }

    /// How long an event that was handed out is kept from others; 10 s unless the program sets another.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// What reads the records that are stored.
    pub fn codec(&self) -> &RecordCodec {
        &self.codec
    }

    /// What it wants of an event of this name and version.
    pub fn interest(&self, name: &str, version: u32) -> Interest {
        // This library stores no event under a name of its own: another program wrote it.
        if is_of_library(name) || self.pattern_of(name).is_none() || !self.takes.takes(name) {
            return Interest::Skip;
        }
        match self.known.contains(name) {
            true if version > self.known.version(name) => Interest::Newer,
            true => Interest::Take,
            false if self.accepts_undeclared => Interest::Take,
            // Another program's event, which a newer version of this one may know.
            false => Interest::Newer,
        }
    }

    /// Whether events may have to wait for others.
    pub fn is_ordered(&self) -> bool {
        self.durable.is_ordered().is_some()
    }

    /// What an event must be handled in order by; `None` where it waits for none. At most 512 bytes: longer
    /// values are cut, and then wait for each other.
    pub fn key(&self, record: &Record) -> Option<String> {
        let field = self.durable.is_ordered()?;
        let decl = self.known.get(record.name());
        let json = match decl.filter(|decl| record.version() < decl.version) {
            // What an old record has under another name.
            Some(decl) => {
                // It is written by a user's code.
                let json = catch_unwind(AssertUnwindSafe(|| record.payload(decl).ok()?.to_json().ok()));
                let json = json.unwrap_or_else(|payload| {
                    drop_quietly(payload);
                    None
                });
                Cow::Owned(json?.into())
            }
            None => Cow::Borrowed(record.json().ok()?),
        };
        // The text of the value: the same in every program, whatever features of serde_json it has.
        let mut key = match json::field(&json, field).unwrap_or("null") {
            "null" => match self.durable.null_order() {
                Nulls::Unordered => return None,
                Nulls::Together => NULL_KEY.to_owned(),
            },
            text if text.starts_with('"') => json::from_str(text).ok()?,
            text => text.to_owned(),
        };
        key.truncate(prefix(&key, MAX_KEY).len());
        Some(key)
    }

    /// The place of the first pattern that takes a name.
    pub(crate) fn pattern_of(&self, name: &str) -> Option<usize> {
        self.patterns.iter().position(|pattern| Pattern::of_valid(pattern).matches(name))
    }
}

/// The key of events in which the field is `null`: not one that text would have.
const NULL_KEY: &str = "\u{0}null";

/// The longest key, in bytes.
const MAX_KEY: usize = 512;

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer({} on {})", self.name(), self.patterns.join(", "))
    }
}
