//! Events in a transaction of the user's own.

use std::sync::Arc;

use crate::adapter::Adapter;
use crate::adapter::durable::Transaction;
use crate::bus::emit::admit::Options;
use crate::bus::emit::publish;
use crate::bus::inner::Bus;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::id::EventId;
use crate::record::Record;
use crate::record::metadata::Metadata;

impl Bus {
    /// Emits an event as part of a transaction in the database the adapter keeps its log in: the event exists if,
    /// and only if, the transaction commits.
    ///
    /// No handler runs before that. Durable handlers get it like any other event; live handlers run when the
    /// committed record is read from the log, on every instance, this one included.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Append`]: the bus has no adapter, the transaction is not one of its engine or is in another
    ///   database, or the database refuses. Roll the transaction back.
    /// - [`ErrorKind::ChainTooDeep`], [`ErrorKind::Stopped`]: nothing was written.
    /// - [`ErrorKind::Runtime`]: the runtime of the bus shut down, on which handlers of the event ran; nothing was
    ///   written.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, roll the transaction back.
    pub async fn emit_in<K, T, E>(&self, tx: &mut T, event: E) -> Result<EventId, Error>
    where
        T: Transaction<K> + ?Sized,
        E: Event,
    {
        self.emit_in_with(tx, event, Metadata::new()).await
    }

    /// [`emit_in`](Self::emit_in) with metadata, as for [`emit_with`](Self::emit_with).
    ///
    /// # Errors
    ///
    /// Those of [`emit_in`](Self::emit_in).
    ///
    /// # Cancel safety
    ///
    /// That of [`emit_in`](Self::emit_in).
    pub async fn emit_in_with<K, T, E>(
        &self,
        tx: &mut T,
        event: E,
        metadata: Metadata,
    ) -> Result<EventId, Error>
    where
        T: Transaction<K> + ?Sized,
        E: Event,
    {
        let inner = &self.inner;
        let (_flight, envelope) = inner.admit(E::NAME, Options::with(metadata))?;
        inner.check_runtime_of_transaction(E::NAME)?;
        let adapter = self.adapter_of_transaction(ErrorKind::Append, E::NAME)?;
        let record = Record::shared(E::decl(), Arc::new(event), envelope);
        publish::check_written(inner, std::slice::from_ref(&record))?;
        match tx.append(&**adapter, &record, &inner.codec).await {
            Ok(()) => Ok(record.id()),
            Err(error) => Err(publish::refused(inner, std::slice::from_ref(&record), error)),
        }
    }

    pub(crate) async fn first_time<K, T>(
        &self,
        tx: &mut T,
        consumer: &str,
        event: EventId,
    ) -> Result<bool, Error>
    where
        T: Transaction<K> + ?Sized,
    {
        let adapter = self.adapter_of_transaction(ErrorKind::Consumer, consumer)?;
        tx.first_time(&**adapter, consumer, event).await.map_err(|error| {
            let message = format!("{consumer}: whether {event} was handled before can't be noted: {error}");
            Error::new(ErrorKind::Consumer, message).with_temporary(error.is_temporary())
        })
    }

    fn adapter_of_transaction(&self, kind: ErrorKind, name: &str) -> Result<&Arc<dyn Adapter>, Error> {
        self.inner.adapter.as_ref().ok_or_else(|| {
            let what = "the bus has no adapter, so there is nothing to share a transaction with";
            Error::new(kind, format!("{name}: {what}"))
        })
    }
}
