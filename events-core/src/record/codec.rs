//! Encoding of the records that adapters store and send.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::event::seal::Seal;
use crate::panics::drop_quietly;
use crate::record::Record;
use crate::record::cloudevent::{Data, Draft};
use crate::text::{escaped, of_error};

/// Encodes records for an adapter and decodes them. The format is CloudEvents 1.0 JSON on one line.
///
/// A record without secrets is encoded as by [`Record::to_cloudevent`](crate::Record::to_cloudevent). For a
/// record with secrets, [`BusBuilder::secrets`](crate::BusBuilder::secrets) determines the format. With a
/// [`Seal`], `data` contains the payload without its secrets, and the attribute `sealed` contains the whole
/// payload, encrypted. With [`Plain`](crate::Plain), `data` contains the whole payload.
#[derive(Clone)]
pub struct RecordCodec {
    pub(crate) seal: Option<Arc<dyn Seal>>,
    /// Maximum size in bytes of a payload that is sent or received without its record.
    pub(crate) max_payload: usize,
}

impl Default for RecordCodec {
    fn default() -> Self {
        Self { seal: None, max_payload: 1 << 20 }
    }
}

impl RecordCodec {
    /// Encodes a record for an adapter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] if the payload can't be written as JSON or can't be sealed.
    pub fn encode(&self, record: &Record) -> Result<String, Error> {
        Ok(self.draft(record)?.complete())
    }

    /// Encodes a record except for its id and timestamp.
    ///
    /// An adapter uses this if it assigns positions one record at a time, for example under a lock, so that
    /// most of the encoding happens before that.
    ///
    /// # Errors
    ///
    /// The same as for [`encode`](Self::encode).
    pub fn draft(&self, record: &Record) -> Result<Draft, Error> {
        let refuse = |why: &str| {
            let message = format!("{}: its secrets can't be stored or sent: {}", record.name(), escaped(why));
            Error::new(ErrorKind::Serialize, message)
        };
        if !record.has_secrets() {
            // An opaque type may contain secrets that its schema does not show. They are refused, because
            // nothing could hide them again after decoding.
            return match record.json_with_secrets()? == record.json()? {
                true => record.draft(record.json()?, Data::All),
                false => Err(refuse("an opaque field contains secrets that its schema does not show")),
            };
        }
        let Some(seal) = &self.seal else {
            return Err(refuse("no encryption is set; call `.secrets(...)` on the builder"));
        };
        let json = record.json_with_secrets()?;
        if seal.is_plain() {
            return record.draft(&json, Data::All);
        }
        let sealed = seal.seal(&json).map_err(|why| refuse(&of_error(&why)))?;
        record.draft(record.json()?, Data::Sealed(sealed))
    }

    /// Checks that the record can be written as JSON. Called before the record is passed to an adapter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] with the path of the first value that can't be written.
    pub(crate) fn check(&self, record: &Record) -> Result<(), Error> {
        // Serialisation runs user code, which may panic.
        let written = catch_unwind(AssertUnwindSafe(|| {
            record.json_with_secrets()?;
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

    /// Encodes the payload without its record, for an adapter that shares channels with programs that do not
    /// use records.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Serialize`] if the payload can't be written as JSON, or if it has secrets. A payload
    ///   without its record can't carry sealed secrets, so they are sent only with [`Plain`](crate::Plain).
    /// - [`ErrorKind::TooLarge`] if the payload exceeds
    ///   [`BusBuilder::max_payload`](crate::BusBuilder::max_payload).
    ///   [`Receiver::deliver_payload`](crate::Receiver::deliver_payload) applies the same limit when
    ///   receiving.
    pub fn payload(&self, record: &Record) -> Result<String, Error> {
        let json = record.json_with_secrets()?;
        let is_plain = self.seal.as_ref().is_some_and(|seal| seal.is_plain());
        if !is_plain && (record.has_secrets() || json != record.json()?) {
            let message = format!(
                "{}: its secrets can't be sent: a payload without its record can't carry sealed secrets; `.secrets(Plain)` sends them in plain text",
                record.name()
            );
            return Err(Error::new(ErrorKind::Serialize, message));
        }
        self.check_size(record.name(), json.len())?;
        Ok(json.into_owned())
    }

    /// Returns an error if a payload without its record is too large.
    pub(crate) fn check_size(&self, name: &str, bytes: usize) -> Result<(), Error> {
        let max = self.max_payload;
        if bytes <= max {
            return Ok(());
        }
        let message = format!("{name}: the payload has {bytes} bytes, at most {max} are accepted");
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    /// Decodes a text returned by [`encode`](Self::encode). Ignores unknown attributes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] if the text is not an encoded record, or if its secrets can't be decrypted. The
    /// message names the location in the text and the cause.
    pub fn decode(&self, text: &str) -> Result<Record, Error> {
        Record::decode_cloudevent(text, &|sealed| match &self.seal {
            Some(seal) => catch_unwind(AssertUnwindSafe(|| seal.open(sealed)))
                .unwrap_or_else(|payload| {
                    drop_quietly(payload);
                    Err("the seal panicked".to_owned())
                })
                .map_err(|why| escaped(&of_error(&why)).into_owned()),
            None => Err("no encryption is set; call `.secrets(...)` on the builder".to_owned()),
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
