//! Events appended in a transaction of the user.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::adapter::durable::Transaction;
use crate::adapter::{Adapter, BoxFuture};
use crate::bus::emit::begin::EmitOptions;
use crate::bus::emit::publish;
use crate::bus::inner::Bus;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::id::EventId;
use crate::record::Record;
use crate::record::metadata::Metadata;

/// An emit in a transaction of the database in which the adapter keeps its log: see [`Bus::emit_in`].
///
/// Awaiting it appends the event and returns its id.
///
/// # Errors
///
/// - [`ErrorKind::Append`]: the bus has no adapter, the transaction belongs to another engine or another
///   database, the log already has an event with this [id](Self::id), or the database refuses the event.
///   Roll the transaction back.
/// - [`ErrorKind::ChainTooDeep`], [`ErrorKind::Overloaded`], [`ErrorKind::Serialize`],
///   [`ErrorKind::Stopped`]: nothing was written.
/// - [`ErrorKind::Runtime`]: the runtime of the bus, on which handlers of the event run, has shut down;
///   nothing was written.
///
/// # Cancel safety
///
/// Not cancel safe: roll the transaction back if the future is dropped after its first poll. If it is dropped
/// before that, it writes nothing.
#[must_use = "emits in a transaction do nothing unless awaited"]
pub struct EmitIn<'a, K, T: ?Sized, E> {
    bus: &'a Bus,
    tx: &'a mut T,
    event: E,
    options: EmitOptions,
    engine: PhantomData<fn() -> K>,
}

impl<K, T: ?Sized, E> EmitIn<'_, K, T, E> {
    /// Sets the metadata of the event, as [`Emit::metadata`](crate::Emit::metadata) does.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.options.metadata = metadata;
        self
    }

    /// Sets the id of the event. An id that the log already has is an error here, unlike with
    /// [`Emit::id`](crate::Emit::id), because other statements of the transaction may depend on the event.
    pub fn id(mut self, id: EventId) -> Self {
        self.options.id = Some(id);
        self
    }
}

impl<K, T: Transaction<K> + ?Sized, E: Event> EmitIn<'_, K, T, E> {
    async fn append(self) -> Result<EventId, Error> {
        let inner = &self.bus.inner;
        let (_flight, envelope) = inner.begin_emit(E::NAME, Some(Box::new(self.options)))?;
        inner.check_runtime_of_transaction(E::NAME)?;
        let adapter = self.bus.adapter_of_transaction(ErrorKind::Append, E::NAME)?;
        let record = Record::shared(E::decl(), Arc::new(self.event), envelope);
        publish::check_writable(inner, std::slice::from_ref(&record))?;
        match self.tx.append(&**adapter, &record, &inner.codec).await {
            Ok(()) => Ok(record.id()),
            Err(error) => Err(publish::publish_error(inner, std::slice::from_ref(&record), error)),
        }
    }
}

impl<'a, K, T, E> IntoFuture for EmitIn<'a, K, T, E>
where
    K: 'a,
    T: Transaction<K> + ?Sized,
    E: Event,
{
    type Output = Result<EventId, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.append())
    }
}

impl Bus {
    /// Emits an event in a transaction of the database in which the adapter keeps its log (the outbox
    /// pattern): the event is stored if, and only if, the transaction commits.
    ///
    /// No handler runs before the commit. After it, durable handlers get the event like any other. Live
    /// handlers run on every instance, this one included, when the instance reads the committed record from
    /// the log.
    ///
    /// Nothing happens until the [`EmitIn`] is awaited. Its options are [`metadata`](EmitIn::metadata) and
    /// [`id`](EmitIn::id); it documents errors and cancellation.
    pub fn emit_in<'a, K, T, E>(&'a self, tx: &'a mut T, event: E) -> EmitIn<'a, K, T, E>
    where
        T: Transaction<K> + ?Sized,
        E: Event,
    {
        EmitIn { bus: self, tx, event, options: EmitOptions::default(), engine: PhantomData }
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
            let message = format!("{consumer}: can't record that {event} was handled: {error}");
            Error::new(ErrorKind::Consumer, message).with_temporary(error.is_temporary())
        })
    }

    fn adapter_of_transaction(&self, kind: ErrorKind, name: &str) -> Result<&Arc<dyn Adapter>, Error> {
        self.inner.adapter.as_ref().ok_or_else(|| {
            let what = "the bus has no adapter, which a transaction needs; nothing was written";
            Error::new(kind, format!("{name}: {what}"))
        })
    }
}
