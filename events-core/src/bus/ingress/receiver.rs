//! Receives events and reports from an adapter.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::adapter::BoxFuture;
use crate::adapter::receiver::Receive;
use crate::bus::emit::dispatch::call_handlers_if_new;
use crate::bus::emit::task;
use crate::bus::inner::reported_once::ShouldLog;
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::event::pattern::MAX_NAME_BYTES;
use crate::id::InstanceId;
use crate::record::{Envelope, Record};
use crate::text::{escaped, quoted};

impl Receive for Inner {
    fn deliver(self: Arc<Self>, record: Record) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            if let Err(error) = self.check_foreign(&record) {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                self.note_refused(record.name(), &error);
                return Err(error);
            }
            self.deliver_remote(record).await
        })
    }

    fn deliver_payload(self: Arc<Self>, name: &str, json: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        let read = self.read(name, self.declared_events.version(name), json);
        let record = read.map(|read| read.record(Envelope::new(InstanceId::NIL)));
        Box::pin(async move {
            match record {
                Ok(record) => self.deliver_remote(record).await,
                Err(error) => {
                    self.counters.refused.fetch_add(1, Ordering::Relaxed);
                    Err(error)
                }
            }
        })
    }

    fn count_echo(&self) {
        self.counters.echoes.fetch_add(1, Ordering::Relaxed);
    }

    fn warn(&self, what: &str) {
        let (adapter, what) = (self.adapter_name(), escaped(what));
        self.warn(format_args!("{adapter} {what}"));
    }

    fn unreadable(&self, name: Option<&str>, why: &str) {
        self.counters.lost.fetch_add(1, Ordering::Relaxed);
        let key = match name {
            Some(name) => name_key(name),
            None => quoted(&why.replace(|c: char| c.is_ascii_digit(), "")).into(),
        };
        let Some(more) = more(self.reported_unreadable.insert((name.is_some(), key))) else { return };
        let (adapter, why) = (self.adapter_name(), escaped(why));
        let of = name.map(|name| format!("event `{}`", quoted(name)));
        let event = of.as_deref().unwrap_or("record");
        self.warn(format_args!(
            "the {event} from {adapter} can't be read, and is lost (others like it are only counted{more}): {why}"
        ));
    }

    fn lost(self: Arc<Self>, events: u64, why: &str) {
        self.counters.lost.fetch_add(events, Ordering::Relaxed);
        let (adapter, why) = (self.adapter_name(), quoted(why));
        self.warn_of_lost(adapter, events, format!(": {why}"));
    }
}

/// Returns the key under which a name from outside is stored: shortened if it is too long to be a valid name.
fn name_key(name: &str) -> Box<str> {
    if name.len() <= MAX_NAME_BYTES { name.into() } else { quoted(name).into() }
}

/// Returns the text that a warning adds about further ones that are only counted; `None` if nothing is
/// logged.
fn more(should_log: ShouldLog) -> Option<&'static str> {
    match should_log {
        ShouldLog::No => None,
        ShouldLog::Yes => Some(""),
        ShouldLog::Last => Some(", as are all further ones"),
    }
}

impl Inner {
    pub(crate) fn warn(&self, what: std::fmt::Arguments<'_>) {
        self.settings.reporter.warning(what);
    }

    /// Logs the refusal of an event from another instance, once per event name and kind of error.
    fn note_refused(&self, name: &str, error: &Error) {
        let Some(more) = more(self.reported_refusals.insert((error.kind(), name_key(name)))) else { return };
        let adapter = self.adapter_name();
        self.warn(format_args!(
            "an event from {adapter} was refused (others like it are only counted{more}): {error}"
        ));
    }

    /// Appends a record of another instance to the log, calls its handlers, and waits for them.
    async fn deliver_remote(self: Arc<Self>, record: Record) -> Result<(), Error> {
        let flight = self.count_emit(record.name(), None)?;
        let appended = self.log.append_one(&record);
        let (bus, name) = (Bus { inner: Arc::clone(&self) }, record.shared_name());
        let work = async move {
            call_handlers_if_new(&bus, record, appended).await.finish().await;
            Ok(())
        };
        task::run(&self, flight, name, Box::pin(work)).await
    }

    /// Checks that a record from outside can be decoded. The decoded event is kept for the handlers.
    fn check_foreign(&self, record: &Record) -> Result<(), Error> {
        match self.declared_events.get(record.name()) {
            Some(decl) => {
                let decoded = record.payload(decl).map(drop);
                decoded.map_err(|error| Error::new(ErrorKind::Payload, error.to_string()))
            }
            None => self.check_undeclared(record.name()),
        }
    }
}
