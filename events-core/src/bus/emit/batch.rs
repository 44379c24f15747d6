//! `bus.emit_all(...)`: emits several events with one append.

use std::sync::Arc;

use crate::adapter::{BoxFuture, Published};
use crate::bus::emit::dispatch::call_handlers_if_new;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::future_set::join_all;
use crate::bus::emit::publish::publish;
use crate::bus::emit::task::{self, Progress};
use crate::bus::inner::Bus;
use crate::bus::inner::context::Inherited;
use crate::error::Error;
use crate::event::Event;
use crate::log::Appended;
use crate::record::metadata::Metadata;
use crate::record::{Name, Record};

impl Bus {
    /// Emits several events of one type with one append: they are adjacent in the history, in the given
    /// order. Then the handlers of all of them run concurrently. Returns one [`Emitted`] per event, in the
    /// same order.
    ///
    /// # Errors
    ///
    /// Those of [`emit`](Self::emit). After an error, none of the events was stored, with two exceptions. With
    /// [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), either all or none were stored. With
    /// [`ErrorKind::Runtime`](crate::ErrorKind::Runtime), all are stored if handlers were running.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`Emit`](crate::Emit).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("seat.reserved")]
    /// pub struct SeatReserved(pub u16);
    ///
    /// let bus = Bus::new().await?;
    /// let emitted = bus.emit_all((1..=3).map(SeatReserved)).await?;
    /// assert_eq!(emitted.len(), 3);
    /// # Ok(()) }
    /// ```
    pub async fn emit_all<E: Event>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Emitted>, Error> {
        let decl = E::decl();
        let events: Vec<_> = events.into_iter().collect();
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &self.inner;
        let from = Inherited::current();
        let flight = inner.count_emit(decl.name, from.as_ref())?;
        let envelope = || inner.envelope(from.as_ref(), Metadata::new(), None);
        let records = events.into_iter().map(|event| Record::shared(decl, Arc::new(event), envelope()));
        let batch = boxed_batch(self.clone(), records.collect());
        task::run(inner, flight, Name::Declared(decl.name), batch).await
    }
}

fn boxed_batch(bus: Bus, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<Emitted>, Error>> {
    Box::pin(emit_batch(bus, records))
}

async fn emit_batch(bus: Bus, records: Vec<Record>) -> Result<Vec<Emitted>, Error> {
    let published = match &bus.inner.adapter {
        Some(adapter) => publish(&bus.inner, &**adapter, &records).await?,
        None => Published::default(),
    };
    let mut appended = Vec::with_capacity(records.len());
    bus.inner.log.append(&records, |record| appended.push(record));
    let mut emitted = Vec::with_capacity(records.len());
    let (mut indices, mut pending_handlers) = (Vec::new(), Vec::new());
    for (index, (record, appended)) in records.into_iter().zip(appended).enumerate() {
        let appended = if published.is_duplicate(index) { Appended::Duplicate } else { appended };
        emitted.push(match call_handlers_if_new(&bus, record, appended).await {
            Progress::Done(emitted) => Some(emitted),
            Progress::Pending(pending) => {
                indices.push(index);
                pending_handlers.push(pending);
                None
            }
        });
    }
    for (index, waited) in indices.into_iter().zip(join_all(pending_handlers).await) {
        emitted[index] = Some(waited);
    }
    Ok(emitted.into_iter().flatten().map(|emitted| emitted.with_consumers(&bus.inner)).collect())
}
