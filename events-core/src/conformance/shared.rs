//! A handle to the tested adapter that gives a case access to it beside a bus.

use std::sync::Arc;

use crate::adapter::durable::DurableAdapter;
use crate::adapter::log::{LogPage, LogQuery};
use crate::adapter::query::HistoryQuery;
use crate::adapter::receiver::Receiver;
use crate::adapter::{Adapter, AdapterError, BoxFuture, Published};
use crate::record::Record;
use crate::record::codec::RecordCodec;

/// Passes all calls to the tested adapter.
pub(super) struct Shared<A>(pub(super) Arc<A>);

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
