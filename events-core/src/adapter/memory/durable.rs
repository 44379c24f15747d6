//! Durable consumers of an in-memory adapter.

use super::InMemory;
use super::log::{Hub, State};
use crate::adapter::durable::{
    Answer, Beat, Beaten, Caller, Changes, ConsumerId, ConsumerStatus, DeadLetter, DurableAdapter,
    DurableError, Exchange, Exchanged, Incarnation, Operated, Operation, Position, RaiseIncarnation,
    Register, Registered, SessionId,
};
use crate::adapter::kit::store::{Done, Store};
use crate::adapter::{AdapterError, BoxFuture};
use crate::id::EventId;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::time::Timestamp;

type Result<T> = std::result::Result<T, DurableError>;

impl Hub {
    /// Runs a call under the lock, and wakes the buses if they may have more to claim.
    fn call<T>(&self, caller: &Caller, call: impl FnOnce(&mut Store<'_, State>) -> Result<T>) -> Result<T> {
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

    /// Reads under the lock.
    fn read<T>(
        &self,
        read: impl FnOnce(&mut Store<'_, State>) -> Result<T>,
    ) -> std::result::Result<T, AdapterError> {
        self.call(&Caller::default(), read).map_err(|error| match error {
            DurableError::Failed(error) => error,
            DurableError::Refused(refusal) => AdapterError::refused(refusal),
        })
    }
}

impl DurableAdapter for InMemory {
    fn register<'a>(&'a self, caller: &'a Caller, register: &'a Register) -> Answer<'a, Registered> {
        Box::pin(async move { self.hub.call(caller, |store| store.register(register)) })
    }

    fn beat<'a>(&'a self, caller: &'a Caller, beat: &'a Beat) -> Answer<'a, Beaten> {
        Box::pin(async move { self.hub.call(caller, |store| store.beat(beat)) })
    }

    fn exchange<'a>(&'a self, caller: &'a Caller, exchange: &'a Exchange) -> Answer<'a, Exchanged> {
        Box::pin(async move { self.hub.call(caller, |store| store.exchange(exchange)) })
    }

    fn end_session<'a>(&'a self, caller: &'a Caller, session: SessionId) -> Answer<'a, ()> {
        Box::pin(async move { self.hub.call(caller, |store| store.end_session(session)) })
    }

    fn raise_incarnation<'a>(
        &'a self,
        caller: &'a Caller,
        raise: &'a RaiseIncarnation,
    ) -> Answer<'a, Incarnation> {
        Box::pin(async move {
            // The call is of a session that knows more than the store.
            let caller = Caller { knows: None, ..*caller };
            self.hub.call(&caller, |store| store.raise_incarnation(raise))
        })
    }

    fn operate<'a>(
        &'a self,
        caller: &'a Caller,
        consumer: ConsumerId,
        operation: &'a Operation,
    ) -> Answer<'a, Operated> {
        Box::pin(async move { self.hub.call(caller, |store| store.operate(consumer, operation)) })
    }

    fn wait(&self, since: Changes) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut changes = self.hub.changes.subscribe();
            // Can't fail: `self` owns the sender.
            let _ = changes.wait_for(|changes| *changes != since).await;
        })
    }

    fn changes(&self) -> Changes {
        *self.hub.changes.borrow()
    }

    fn records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<
        'a,
        std::result::Result<Vec<(Position, std::result::Result<Record, AdapterError>)>, AdapterError>,
    > {
        Box::pin(async move {
            let found = self.hub.texts_at(positions);
            Ok(found.into_iter().map(|(at, text)| (at, codec.decode(&text).map_err(Into::into))).collect())
        })
    }

    fn consumers<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> BoxFuture<'a, std::result::Result<Vec<ConsumerStatus>, AdapterError>> {
        let _ = caller;
        Box::pin(async move { self.hub.read(|store| store.consumers()) })
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: ConsumerId,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'a, std::result::Result<Vec<DeadLetter>, AdapterError>> {
        Box::pin(async move { self.hub.read(|store| store.dead_letters(consumer, after, limit)) })
    }

    fn unfinished(
        &self,
        event: EventId,
    ) -> BoxFuture<'_, std::result::Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(async move { self.hub.read(|store| store.unfinished(event)) })
    }
}
