//! Where an adapter passes on the events of other instances.

use std::sync::{Arc, Weak};

use crate::adapter::BoxFuture;
use crate::error::{Error, ErrorKind};
use crate::id::InstanceId;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::text::quoted;

/// The bus, which takes what an adapter brings.
pub(crate) trait Receive: Send + Sync {
    /// Delivers a record of another instance, or of a transaction.
    fn deliver(self: Arc<Self>, record: Record) -> BoxFuture<'static, Result<(), Error>>;
    /// Delivers a payload that came without a record.
    fn deliver_payload(self: Arc<Self>, name: &str, json: &[u8]) -> BoxFuture<'static, Result<(), Error>>;
    /// Counts a record of the bus that came back.
    fn count_echo(&self);
    /// Logs what the adapter says.
    fn warn(&self, what: &str);
    /// Counts, and logs once, a record that can't be read.
    fn unreadable(&self, name: Option<&str>, why: &str);
    /// Counts and logs events that were lost.
    fn lost(self: Arc<Self>, events: u64, why: &str);
}

/// The bus as an adapter sees it: takes events that other instances published.
///
/// It does not keep the bus alive.
#[derive(Clone)]
pub struct Receiver {
    pub(crate) bus: Weak<dyn Receive>,
    pub(crate) instance: InstanceId,
    pub(crate) codec: RecordCodec,
    /// Counted by `build`: an adapter that has kept no clone passes on nothing.
    pub(crate) _kept: Arc<()>,
}

impl Receiver {
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
        match self.bus.upgrade() {
            Some(bus) if record.origin() == self.instance => {
                bus.count_echo();
                Ok(())
            }
            Some(bus) => bus.deliver(record).await,
            None => Err(gone(record.name())),
        }
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
            Some(bus) => bus.deliver(record).await,
            None => Err(gone(record.name())),
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
        match self.bus.upgrade() {
            Some(bus) => bus.deliver_payload(name, json).await,
            None => Err(gone(&quoted(name))),
        }
    }

    /// The bus: the origin of its own records.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Tells what a developer should know of the adapter, where the bus tells of failures.
    pub fn warn(&self, what: &str) {
        if let Some(bus) = self.bus.upgrade() {
            bus.warn(what);
        }
    }

    /// What reads the records of other instances.
    pub fn codec(&self) -> &RecordCodec {
        &self.codec
    }

    /// Tells the bus of a record of another instance that can't be read: it is counted as
    /// [lost](crate::Stats::lost), and the first one of its name is logged, of the first 1,000 names. Where nothing
    /// says its name, the first one with its reason is; numbers in it, such as a position, make no other reason.
    pub fn unreadable(&self, name: Option<&str>, why: &str) {
        if let Some(bus) = self.bus.upgrade() {
            bus.unreadable(name, why);
        }
    }

    /// Tells the bus that events of other instances were lost, as far as is known how many: during
    /// a reconnect, for example. They are counted, and logged: the first at once, and those that are lost within 10 s
    /// after it, for the same reason, in one line.
    pub fn lost(&self, events: u64, why: &str) {
        if let Some(bus) = self.bus.upgrade() {
            bus.lost(events, why);
        }
    }
}

fn gone(name: &str) -> Error {
    Error::new(ErrorKind::Stopped, format!("{name}: the bus is gone"))
}
