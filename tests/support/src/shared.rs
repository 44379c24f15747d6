//! An adapter that a bus and a test share.

use std::sync::Arc;

use typed_events::Record;
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, DurableAdapter, HistoryQuery, LogPage, LogQuery, Published, Receiver,
    RecordCodec,
};

/// A handle to an adapter, so that a test can use it without the bus.
pub struct Shared<A>(pub Arc<A>);

impl<A: Adapter> Adapter for Shared<A> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn keeps_history(&self) -> bool {
        self.0.keeps_history()
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        self.0.publish(records, codec)
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        self.0.history(query, codec)
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        self.0.read_log(query, codec)
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.0.subscribe(receiver)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.0.stop()
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        self.0.durable()
    }
}
