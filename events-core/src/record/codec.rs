//! The one encoder of what adapters store and send.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::event::seal::Seal;
use crate::panics::drop_quietly;
use crate::record::Record;
use crate::record::cloudevent::{Data, Draft};
use crate::text::{escaped, of_error};

/// Encodes records for an adapter, and reads them back: CloudEvents 1.0 JSON on one line, with the
/// secrets as [`BusBuilder::secrets`](crate::BusBuilder::secrets) says.
///
/// A record of an event without secrets is the same text as
/// [`Record::to_cloudevent`](crate::Record::to_cloudevent). Under a [`Seal`], `data` has the payload without
/// its secrets, and the attribute `sealed` all of it, encrypted; under [`Plain`](crate::Plain), `data` has all of it.
#[derive(Clone)]
pub struct RecordCodec {
    pub(crate) seal: Option<Arc<dyn Seal>>,
    /// The most bytes of a payload alone, at both ends.
    pub(crate) max_payload: usize,
}

impl Default for RecordCodec {
    fn default() -> Self {
        Self { seal: None, max_payload: 1 << 20 }
    }
}

impl RecordCodec {
    /// The record as an adapter keeps it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] where the payload can't be written as JSON, or not be sealed.
    pub fn encode(&self, record: &Record) -> Result<String, Error> {
        Ok(self.draft(record)?.complete())
    }

    /// The same, but for the id and the time: for an adapter that gives records their places elsewhere, one after the
    /// other, to do the most of it before.
    ///
    /// # Errors
    ///
    /// As of [`encode`](Self::encode).
    pub fn draft(&self, record: &Record) -> Result<Draft, Error> {
        let refuse = |why: &str| {
            let message = format!("{}: its secrets can't be stored or sent: {}", record.name(), escaped(why));
            Error::new(ErrorKind::Serialize, message)
        };
        if !record.has_secrets() {
            // An opaque type may hide something that its schema does not show, and that nothing could
            // hide again when it is read.
            return match record.revealed()? == record.json()? {
                true => record.draft(record.json()?, Data::All),
                false => Err(refuse("they are in an opaque field, which can't show that it has some")),
            };
        }
        let Some(seal) = &self.seal else {
            return Err(refuse("the builder does not say how (`.secrets(...)`)"));
        };
        let json = record.revealed()?;
        if seal.is_plain() {
            return record.draft(&json, Data::All);
        }
        let sealed = seal.seal(&json).map_err(|why| refuse(&of_error(&why)))?;
        record.draft(record.json()?, Data::Sealed(sealed))
    }

    /// Whether the record can be written, and read back as it is: asked before an adapter gets it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] with the path of what can't.
    pub(crate) fn check(&self, record: &Record) -> Result<(), Error> {
        // What writes is a user's code.
        let written = catch_unwind(AssertUnwindSafe(|| {
            record.revealed()?;
            record.metadata_json()
        }));
        match written {
            Ok(written) => written.map(drop),
            Err(payload) => {
                drop_quietly(payload);
                let message = format!("{}: writing the event as JSON panicked", record.name());
                Err(Error::new(ErrorKind::Serialize, message))
            }
        }
    }

    /// The payload alone, for an adapter that shares channels with programs that know nothing of records.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Serialize`] where the payload can't be written as JSON, or has secrets: it has no place for sealed
    ///   ones, so they are sent under [`Plain`](crate::Plain) only.
    /// - [`ErrorKind::TooLarge`] where it is over the [limit](crate::BusBuilder::max_payload) that
    ///   [`Receiver::deliver_payload`](crate::Receiver::deliver_payload) has at the other end.
    pub fn payload(&self, record: &Record) -> Result<String, Error> {
        let json = record.revealed()?;
        let is_plain = self.seal.as_ref().is_some_and(|seal| seal.is_plain());
        if !is_plain && (record.has_secrets() || json != record.json()?) {
            let message = format!(
                "{}: its secrets can't be sent: a payload alone has no place for sealed ones (`.secrets(Plain)` sends them readable)",
                record.name()
            );
            return Err(Error::new(ErrorKind::Serialize, message));
        }
        self.check_size(record.name(), json.len())?;
        Ok(json.into_owned())
    }

    /// Refuses a payload alone that is too large.
    pub(crate) fn check_size(&self, name: &str, bytes: usize) -> Result<(), Error> {
        let max = self.max_payload;
        if bytes <= max {
            return Ok(());
        }
        let message = format!("{name}: the payload has {bytes} bytes, at most {max} are accepted");
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    /// Reads what [`encode`](Self::encode) returned; attributes it does not know are ignored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] says where the text is no such record, or why its secrets can't be opened.
    pub fn decode(&self, text: &str) -> Result<Record, Error> {
        Record::decode_cloudevent(text, &|sealed| match &self.seal {
            Some(seal) => catch_unwind(AssertUnwindSafe(|| seal.open(sealed)))
                .unwrap_or_else(|payload| {
                    drop_quietly(payload);
                    Err("the seal panicked".to_owned())
                })
                .map_err(|why| escaped(&of_error(&why)).into_owned()),
            None => Err("the builder does not say how (`.secrets(...)`)".to_owned()),
        })
    }
}

impl fmt::Debug for RecordCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets =
            self.seal.as_ref().map_or("refused", |seal| if seal.is_plain() { "plain" } else { "sealed" });
        write!(f, "RecordCodec(secrets {secrets})")
    }
}
