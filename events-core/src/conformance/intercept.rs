//! An adapter between a bus and the tested adapter, which gives a case access to both.

use std::sync::{Arc, Mutex, PoisonError};

use crate::adapter::consumer::Consumer;
use crate::adapter::durable::{Claim, Claims, ConsumerStatus, Control, DeadLetter, DurableAdapter, Finished};
use crate::adapter::log::{LogPage, LogQuery};
use crate::adapter::query::HistoryQuery;
use crate::adapter::receiver::Receiver;
use crate::adapter::{Adapter, AdapterError, BoxFuture, Published};
use crate::id::EventId;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::time::Timestamp;

/// Passes all calls to the tested adapter, except for the claiming and renewing of events by the bus. The
/// case makes these calls itself.
pub(super) struct Intercept<A> {
    pub(super) adapter: Arc<A>,
    pub(super) opened: Arc<Mutex<Vec<Arc<Consumer>>>>,
}

impl<A: Adapter> Intercept<A> {
    pub(super) fn new(adapter: A) -> Self {
        Self { adapter: Arc::new(adapter), opened: Arc::default() }
    }

    fn intercepted(&self) -> Result<&dyn DurableAdapter, AdapterError> {
        self.adapter.durable().ok_or_else(|| AdapterError::refused("it has no durable consumers"))
    }
}

impl<A: Adapter> Adapter for Intercept<A> {
    fn name(&self) -> String {
        self.adapter.name()
    }

    fn keeps_history(&self) -> bool {
        self.adapter.keeps_history()
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        self.adapter.publish(records, codec)
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        self.adapter.history(query, codec)
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        self.adapter.read_log(query, codec)
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.adapter.subscribe(receiver)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.adapter.stop()
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        self.adapter.durable().map(|_| self as &dyn DurableAdapter)
    }
}

impl<A: Adapter> DurableAdapter for Intercept<A> {
    fn open<'a>(&'a self, consumer: &'a Arc<Consumer>) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            self.intercepted()?.open(consumer).await?;
            self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(consumer));
            Ok(())
        })
    }

    fn exchange<'a>(
        &'a self,
        _: &'a Arc<Consumer>,
        _: &'a [Finished],
        _: usize,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<Claims, AdapterError>> {
        Box::pin(async { Ok(Claims::default()) })
    }

    fn renew<'a>(
        &'a self,
        _: &'a Arc<Consumer>,
        _: &'a [Claim],
        _: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }

    fn wait(&self, _: u64) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn consumers(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<ConsumerStatus>, AdapterError>> {
        Box::pin(async move { self.intercepted()?.consumers(now).await })
    }

    fn control<'a>(
        &'a self,
        consumer: &'a str,
        control: Control,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        Box::pin(async move { self.intercepted()?.control(consumer, control, now).await })
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, AdapterError>> {
        Box::pin(async move { self.intercepted()?.dead_letters(consumer, limit).await })
    }

    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(async move { self.intercepted()?.unfinished(event).await })
    }
}
