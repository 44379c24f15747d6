//! Emits through an adapter.

use std::sync::Arc;

use crate::adapter::{Adapter, AdapterError, Published};
use crate::bus::emit::dispatch::call_handlers_if_new;
use crate::bus::emit::emitted::Emitted;
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::panics::{catch_panic, caught};
use crate::record::Record;

/// Passes a record to the adapter, then calls its handlers.
pub(super) async fn publish_and_call(
    bus: Bus,
    adapter: Arc<dyn Adapter>,
    record: Record,
) -> Result<Emitted, Error> {
    let records = std::slice::from_ref(&record);
    if publish(&bus.inner, &*adapter, records).await?.is_duplicate(0) {
        return Ok(Emitted::duplicate(record));
    }
    let appended = bus.inner.log.append_one(&record);
    let delivered = call_handlers_if_new(&bus, record, appended).await;
    Ok(delivered.finish().await.with_consumers(&bus.inner))
}

impl Emitted {
    /// Adds the bus for [`settled`](Self::settled), if the adapter has durable consumers.
    #[cfg(feature = "durable")]
    pub(super) fn with_consumers(self, inner: &Arc<Inner>) -> Self {
        match inner.adapter.as_ref().is_some_and(|adapter| adapter.durable().is_some()) {
            true => self.with_bus(Arc::downgrade(inner)),
            false => self,
        }
    }

    #[cfg(not(feature = "durable"))]
    pub(super) fn with_consumers(self, _: &Arc<Inner>) -> Self {
        self
    }
}

/// Passes records to the adapter and returns its answer.
pub(super) async fn publish(
    inner: &Inner,
    adapter: &dyn Adapter,
    records: &[Record],
) -> Result<Published, Error> {
    inner.check_runtime(records.first().map_or("", Record::name))?;
    check_writable(inner, records)?;
    let unanswered = UnansweredPublish { inner, records };
    // The block also catches a panic before the adapter returns its future.
    let published = caught(async { adapter.publish(records, &inner.codec).await }).await;
    std::mem::forget(unanswered);
    match published {
        Ok(Ok(published)) => published.check_duplicates(records).map(|()| published),
        Ok(Err(error)) => Err(publish_error(inner, records, error)),
        Err(_) => Err(publish_error(inner, records, AdapterError::unknown("it panicked"))),
    }
}

/// Reports the emit as lost if it is dropped before the adapter has answered.
struct UnansweredPublish<'a> {
    inner: &'a Inner,
    records: &'a [Record],
}

impl Drop for UnansweredPublish<'_> {
    fn drop(&mut self) {
        let name = self.records.first().map_or("", Record::name);
        catch_panic(|| self.inner.report_lost_emit(name, self.records.len() as u64));
    }
}

/// Refuses records that can't be written as JSON and, if tests have set `BusBuilder::read_back`, records that
/// differ when they are read back. Runs before the adapter gets any of them.
pub(crate) fn check_writable(inner: &Inner, records: &[Record]) -> Result<(), Error> {
    for (index, record) in records.iter().enumerate() {
        let checked = inner.codec.check(record).and_then(|()| match &inner.settings.on_loss {
            Some(on_loss) => record.check_read_back().inspect_err(|error| (on_loss.0)(error)),
            None => Ok(()),
        });
        checked.map_err(|error| match records.len() {
            1 => error,
            all => error.in_batch(index + 1, all),
        })?;
    }
    Ok(())
}

/// Creates the error of an emit whose adapter failed.
pub(crate) fn publish_error(inner: &Inner, records: &[Record], error: AdapterError) -> Error {
    let first = records.first();
    let name = first.map_or("", Record::name);
    let (kind, what) = match (error.is_unknown(), error.is_too_large()) {
        (true, _) => (ErrorKind::OutcomeUnknown, "may or may not have stored the event; no live handler ran"),
        (false, true) => (ErrorKind::TooLarge, "did not accept the event; no handler ran"),
        (false, false) => (ErrorKind::Append, "did not store the event; no handler ran"),
    };
    let message = format!("{name}: {} {what}: {error}", inner.adapter_name());
    let failed = Error::new(kind, message).with_temporary(error.is_temporary());
    match first {
        Some(record) => failed.with_event_id(record.id()),
        None => failed,
    }
}
