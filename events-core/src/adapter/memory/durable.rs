//! Durable consumers of an in-memory adapter.

use super::InMemory;
use super::log::{Hub, State};
use crate::adapter::durable::{Answer, Caller, Changes, DurableError, Position, ReadRecord};
use crate::adapter::kit::engine::{StoreCall, StoreEngine};
use crate::adapter::kit::store::{Done, Store};
use crate::adapter::{AdapterError, BoxFuture};
use crate::record::codec::RecordCodec;
use crate::time::Timestamp;

impl Hub {
    /// Runs a call under the lock, and wakes the buses if they may have more to claim.
    fn call<T>(&self, caller: &Caller, call: StoreCall<State, T>) -> Result<T, DurableError> {
        let mut state = self.lock();
        let mut store = Store::begin(&mut *state, &self.views, &self.limits, caller, Timestamp::now())?;
        let answer = call(&mut store)?;
        let Done { released, .. } = store.end()?;
        drop(state);
        if released {
            self.changes.send_modify(|changes| changes.consumers += 1);
        }
        Ok(answer)
    }
}

impl StoreEngine for InMemory {
    type Rows = State;

    fn run<T: Send + 'static>(&self, caller: Caller, call: StoreCall<State, T>) -> Answer<'_, T> {
        Box::pin(async move { self.hub.call(&caller, call) })
    }

    fn wait_for_changes(&self, since: Changes) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut changes = self.hub.changes.subscribe();
            // Can't fail: `self` owns the sender.
            let _ = changes.wait_for(|changes| *changes != since).await;
        })
    }

    fn changed(&self) -> Changes {
        *self.hub.changes.borrow()
    }

    fn read_records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<ReadRecord>, AdapterError>> {
        Box::pin(async move {
            let found = self.hub.texts_at(positions);
            Ok(found.into_iter().map(|(at, text)| (at, codec.decode(&text).map_err(Into::into))).collect())
        })
    }
}
