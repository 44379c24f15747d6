//! The receiver: the bus as its adapter sees it.

use std::sync::{Arc, Weak};

use crate::adapter::BoxFuture;
use crate::adapter::retention::Retention;
use crate::error::{Error, ErrorKind};
use crate::id::InstanceId;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::text::{escaped, quoted};

/// The functions of a bus that an adapter calls through a [`Receiver`].
pub(crate) trait Receive: Send + Sync {
    /// Delivers a record of another instance, or of a transaction.
    fn deliver(self: Arc<Self>, record: Record) -> BoxFuture<'static, Result<(), Error>>;
    /// Delivers a payload that was received without a record.
    fn deliver_payload(self: Arc<Self>, name: &str, json: &[u8]) -> BoxFuture<'static, Result<(), Error>>;
    /// Counts a record of this bus that was received again.
    fn count_echo(&self);
    /// Logs a warning of the adapter.
    fn warn(&self, what: &str);
    /// Counts a record that can't be decoded, and logs it once.
    fn unreadable(&self, name: Option<&str>, why: &str);
    /// Counts and logs lost events.
    fn lost(self: Arc<Self>, events: u64, why: &str);
}

/// The bus as its adapter sees it. It accepts events that other instances have published.
///
/// A receiver does not keep the bus from being dropped.
#[derive(Clone)]
pub struct Receiver {
    pub(crate) bus: Weak<dyn Receive>,
    pub(crate) instance: InstanceId,
    pub(crate) codec: RecordCodec,
    /// Its number of references tells `build` whether the adapter has kept a clone. An adapter without a
    /// clone delivers nothing.
    pub(crate) _kept: Arc<()>,
}

impl Receiver {
    /// Passes a record to the handlers of this instance and waits for them. The record is not published
    /// again.
    ///
    /// A record that was published by this bus is ignored, and so is a record whose id is in the log of this
    /// bus.
    ///
    /// # Errors
    ///
    /// In all these cases, nothing is delivered:
    ///
    /// - [`ErrorKind::UnknownEvent`]: the name is not declared in this program, and the bus does not accept
    ///   undeclared names.
    /// - [`ErrorKind::Payload`]: the payload can't be decoded as its type.
    /// - [`ErrorKind::Stopped`]: the bus is stopped or dropped. The adapter should end the subscription.
    ///
    /// Unknown events and undecodable payloads are counted in [`Bus::stats`](crate::Bus::stats). The first
    /// one of each name is logged, for the first 1,000 names.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, the handlers run to completion even if the future is dropped.
    pub async fn deliver(&self, record: Record) -> Result<(), Error> {
        match self.bus.upgrade() {
            Some(bus) if record.origin() == self.instance => {
                bus.count_echo();
                Ok(())
            }
            Some(bus) => bus.deliver(record).await,
            None => Err(dropped_error(record.name())),
        }
    }

    /// Like [`deliver`](Self::deliver), for a record that was [emitted in a
    /// transaction](crate::Bus::emit_in). The record is also delivered to the bus that emitted it, because
    /// that bus has to wait for the commit before it calls its handlers.
    ///
    /// # Errors
    ///
    /// The same as for [`deliver`](Self::deliver).
    ///
    /// # Cancel safety
    ///
    /// The same as for [`deliver`](Self::deliver).
    pub async fn deliver_committed(&self, record: Record) -> Result<(), Error> {
        match self.bus.upgrade() {
            Some(bus) => bus.deliver(record).await,
            None => Err(dropped_error(record.name())),
        }
    }

    /// Delivers a payload from a program that does not use records, under the given event name. The event
    /// gets a new id, the current time, and the [nil id](InstanceId::NIL) as its origin. The name and the
    /// payload are checked as by [`Bus::emit_json`](crate::Bus::emit_json).
    ///
    /// # Errors
    ///
    /// The errors of `emit_json` for an invalid name or payload, and [`ErrorKind::Stopped`] as for
    /// [`deliver`](Self::deliver). Nothing is delivered. Refused payloads are counted in
    /// [`Bus::stats`](crate::Bus::stats), but not logged, because other programs may send anything over a
    /// shared channel. An adapter can log a refused payload with [`warn`](Self::warn).
    ///
    /// # Cancel safety
    ///
    /// The same as for [`deliver`](Self::deliver).
    pub async fn deliver_payload(&self, name: &str, json: &[u8]) -> Result<(), Error> {
        match self.bus.upgrade() {
            Some(bus) => bus.deliver_payload(name, json).await,
            None => Err(dropped_error(&quoted(name))),
        }
    }

    /// Instance id of the bus, which is the origin of the records it emits.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Logs that another program opened the log with another retention. `other` is the text that it stored.
    ///
    /// Engines store the text of the [`Retention`] when they open a log, and compare it with the stored one.
    pub fn warn_of_retention(&self, other: &str, own: Retention) {
        let other = escaped(other);
        self.warn(&format!(
            "was opened before with the retention `{other}`, and this program has `{own}`: if programs with both run, each trims the log, and the smaller limits apply"
        ));
    }

    /// Logs a warning about the adapter, for the developers of the program.
    pub fn warn(&self, what: &str) {
        if let Some(bus) = self.bus.upgrade() {
            bus.warn(what);
        }
    }

    /// Codec that decodes the records of other instances.
    pub fn codec(&self) -> &RecordCodec {
        &self.codec
    }

    /// Reports a record of another instance that can't be decoded. It is counted as
    /// [lost](crate::Stats::lost).
    ///
    /// If `name` is given, the first such record of each name is logged, for the first 1,000 names. If it is
    /// `None`, the first one of each reason is logged; reasons that differ only in their digits, for example
    /// in a position, count as one.
    pub fn unreadable(&self, name: Option<&str>, why: &str) {
        if let Some(bus) = self.bus.upgrade() {
            bus.unreadable(name, why);
        }
    }

    /// Reports that events of other instances were lost, for example during a reconnect. `events` is their
    /// number, as far as it is known.
    ///
    /// The events are counted as [lost](crate::Stats::lost) and logged: the first loss immediately, and
    /// further losses for the same reason within the next 10 s in one line.
    pub fn lost(&self, events: u64, why: &str) {
        if let Some(bus) = self.bus.upgrade() {
            bus.lost(events, why);
        }
    }
}

fn dropped_error(name: &str) -> Error {
    Error::new(ErrorKind::Stopped, format!("{name}: the bus was dropped"))
}
