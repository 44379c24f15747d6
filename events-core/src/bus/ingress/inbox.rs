//! Where an adapter passes on the events of other instances.
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::bus::inner::told::Tell;
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::event::pattern::MAX_NAME_BYTES;
use crate::id::InstanceId;
use crate::record::codec::Wire;
use crate::record::{Envelope, Record};
use crate::text::{escaped, quoted};

/// The bus as an adapter sees it: takes events that other instances published.
///
/// It does not keep the bus alive.
#[derive(Clone)]
pub struct Inbox {
    pub(crate) bus: Weak<Inner>,
    pub(crate) instance: InstanceId,
    pub(crate) wire: Wire,
    /// Counted by `build`: an adapter that has kept no clone passes on nothing.
    pub(crate) _kept: Arc<()>,
}

impl Inbox {
    /// Passes a record to the handlers of this instance, and waits for them. It is not published
    /// again.
    ///
    /// A record this bus has published is dropped, and so is one whose id is still in its log.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::UnknownEvent`]: the name is not declared here, and the bus does not accept
    ///   such.
    /// - [`ErrorKind::Payload`]: it does not fit its type. Both are counted in
    ///   [`Bus::stats`](crate::Bus::stats), logged once for each name, of the first 1,000, and nothing is delivered.
    /// - [`ErrorKind::Stopped`]: the bus has stopped or is gone; end the subscription.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, handlers finish even if it is dropped.
    pub async fn deliver(&self, record: Record) -> Result<(), Error> {
        let Some(inner) = self.bus.upgrade() else {
            return Err(gone(&record));
        };
        if record.origin() == inner.instance {
            inner.counters.echoes.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.deliver_to(inner, record).await
    }

    /// [`deliver`](Self::deliver) of a record that was [emitted in a transaction](crate::Bus::emit_in): also to the
    /// bus that emitted it, which could not call its handlers before it was known to be committed.
    ///
    /// # Errors
    ///
    /// Those of [`deliver`](Self::deliver).
    ///
    /// # Cancel safety
    ///
    /// That of [`deliver`](Self::deliver).
    pub async fn deliver_committed(&self, record: Record) -> Result<(), Error> {
        match self.bus.upgrade() {
            Some(inner) => self.deliver_to(inner, record).await,
            None => Err(gone(&record)),
        }
    }

    /// Passes on a payload of a program that knows nothing of records, under the name it came with: it gets a new id,
    /// the time of now, and the [nil id](InstanceId::NIL) for its origin. It is checked as
    /// [`Bus::emit_json`](crate::Bus::emit_json) does.
    ///
    /// # Errors
    ///
    /// Those of `emit_json` where it is not delivered: it is counted in [`Bus::stats`](crate::Bus::stats), and not
    /// logged, as anything may come over a channel that others use, too: say what should be known by
    /// [`warn`](Self::warn). [`ErrorKind::Stopped`] as of [`deliver`](Self::deliver).
    ///
    /// # Cancel safety
    ///
    /// That of [`deliver`](Self::deliver).
    pub async fn deliver_payload(&self, name: &str, json: &[u8]) -> Result<(), Error> {
        let Some(inner) = self.bus.upgrade() else {
            return Err(Error::new(ErrorKind::Stopped, format!("{}: the bus is gone", quoted(name))));
        };
        let read = inner.read(name, inner.known.version(name), json).inspect_err(|_| {
            inner.counters.refused.fetch_add(1, Ordering::Relaxed);
        });
        let record = read?.record(Envelope::new(InstanceId::NIL));
        Bus { inner }.deliver_remote(record).await.map(drop)
    }

    async fn deliver_to(&self, inner: Arc<Inner>, record: Record) -> Result<(), Error> {
        if let Err(error) = inner.check_foreign(&record) {
            inner.counters.refused.fetch_add(1, Ordering::Relaxed);
            inner.note_refused(record.name(), &error);
            return Err(error);
        }
        Bus { inner }.deliver_remote(record).await.map(drop)
    }

    /// The bus: the origin of its own records.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Tells what a developer should know of the adapter, where the bus tells of failures.
    pub fn warn(&self, what: &str) {
        if let Some(inner) = self.bus.upgrade() {
            let what = escaped(what);
            inner.warn(format_args!("{} {what}", inner.adapter_name()));
        }
    }

    /// What reads the records of other instances.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Tells the bus of a record of another instance that can't be read: it is counted as
    /// [lost](crate::Stats::lost), and the first one of its name is logged, of the first 1,000 names. Where nothing
    /// says its name, the first one with its reason is; numbers in it, such as a position, make no other reason.
    pub fn unreadable(&self, name: Option<&str>, why: &str) {
        let Some(inner) = self.bus.upgrade() else { return };
        inner.counters.lost.fetch_add(1, Ordering::Relaxed);
        let key = match name {
            Some(name) => name_key(name),
            None => quoted(&why.replace(|c: char| c.is_ascii_digit(), "")).into(),
        };
        let Some(more) = more(inner.told_unreadable.tell((name.is_some(), key))) else { return };
        let (adapter, why) = (inner.adapter_name(), escaped(why));
        let of = name.map(|name| format!("event `{}`", quoted(name)));
        let event = of.as_deref().unwrap_or("record");
        inner.warn(format_args!(
            "the {event} from {adapter} can't be read, and is lost (others like it are only counted{more}): {why}"
        ));
    }

    /// Tells the bus that events of other instances were lost, as far as is known how many: during
    /// a reconnect, for example. They are counted, and logged: the first at once, and those that are lost within 10 s
    /// after it, for the same reason, in one line.
    pub fn lost(&self, events: u64, why: &str) {
        if let Some(inner) = self.bus.upgrade() {
            inner.counters.lost.fetch_add(events, Ordering::Relaxed);
            inner.warn_of_lost(inner.adapter_name(), events, format!(": {}", quoted(why)));
        }
    }
}

/// A name by which something is remembered: bounded, as it may come from outside.
fn name_key(name: &str) -> Box<str> {
    if name.len() <= MAX_NAME_BYTES { name.into() } else { quoted(name).into() }
}

/// What a line adds of what is only counted; `None` where there is no line.
fn more(tell: Tell) -> Option<&'static str> {
    match tell {
        Tell::No => None,
        Tell::Yes => Some(""),
        Tell::Last => Some(", those of further names too"),
    }
}

fn gone(record: &Record) -> Error {
    Error::new(ErrorKind::Stopped, format!("{}: the bus is gone", record.name()))
}

impl Inner {
    pub(crate) fn warn(&self, what: std::fmt::Arguments<'_>) {
        self.settings.fallback.warning(what);
    }

    /// Reports an event of another instance that was refused: the first of its name.
    fn note_refused(&self, name: &str, error: &Error) {
        let Some(more) = more(self.told_events.tell((error.kind(), name_key(name)))) else { return };
        let adapter = self.adapter_name();
        self.warn(format_args!(
            "an event from {adapter} was refused (others like it are only counted{more}): {error}"
        ));
    }

    /// Decodes a record from outside, so that handlers find it decoded.
    fn check_foreign(&self, record: &Record) -> Result<(), Error> {
        match self.known.get(record.name()) {
            Some(decl) => {
                let decoded = record.payload(decl).map(drop);
                decoded.map_err(|error| Error::new(ErrorKind::Payload, error.to_string()))
            }
            None => self.check_undeclared(record.name()),
        }
    }
}
