//! The contract of durable delivery for engines whose storage can be read and written within a call.

use super::store::{Rows, Store};
use crate::adapter::durable::{
    Answer, Beat, Beaten, Caller, Changes, ConsumerId, ConsumerStatus, DeadLetter, DurableAdapter,
    DurableError, Exchange, Exchanged, Incarnation, Operated, Operation, Position, RaiseIncarnation,
    ReadRecord, Refusal, Register, Registered, SessionId,
};
use crate::adapter::{AdapterError, BoxFuture};
use crate::id::EventId;
use crate::record::codec::RecordCodec;

/// A call on the store of an engine.
pub type StoreCall<R, T> = Box<dyn FnOnce(&mut Store<'_, R>) -> Result<T, <R as Rows>::Error> + Send>;

/// An engine that keeps the state of consumers in a [`Rows`]. Every such engine is a [`DurableAdapter`].
pub trait StoreEngine: Send + Sync {
    /// The storage.
    type Rows: Rows + 'static;

    /// Runs a call as one atomic step. If the call has [released](super::store::Done::released) events, the engine
    /// raises [`Changes::consumers`] in all processes.
    ///
    /// # Errors
    ///
    /// The refusal or the error that the call returns, or another error of the engine. Then nothing has changed, or the
    /// outcome is unknown.
    fn run<T: Send + 'static>(&self, caller: Caller, call: StoreCall<Self::Rows, T>) -> Answer<'_, T>;

    /// Like [`run`](Self::run), for a call that only reads.
    ///
    /// # Errors
    ///
    /// As for `run`.
    fn read<T: Send + 'static>(&self, caller: Caller, call: StoreCall<Self::Rows, T>) -> Answer<'_, T> {
        self.run(caller, call)
    }

    /// As [`DurableAdapter::wait`].
    fn wait_for_changes(&self, since: Changes) -> BoxFuture<'_, ()>;

    /// As [`DurableAdapter::changes`].
    fn changed(&self) -> Changes;

    /// As [`DurableAdapter::records`].
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    fn read_records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<ReadRecord>, AdapterError>>;
}

impl<E: StoreEngine> DurableAdapter for E {
    fn register<'a>(&'a self, caller: &'a Caller, register: &'a Register) -> Answer<'a, Registered> {
        let register = register.clone();
        self.run(*caller, Box::new(move |store| store.register(&register)))
    }

    fn beat<'a>(&'a self, caller: &'a Caller, beat: &'a Beat) -> Answer<'a, Beaten> {
        let beat = *beat;
        self.run(*caller, Box::new(move |store| store.beat(&beat)))
    }

    fn exchange<'a>(&'a self, caller: &'a Caller, exchange: &'a Exchange) -> Answer<'a, Exchanged> {
        let exchange = exchange.clone();
        self.run(*caller, Box::new(move |store| store.exchange(&exchange)))
    }

    fn end_session<'a>(&'a self, caller: &'a Caller, session: SessionId) -> Answer<'a, ()> {
        self.run(*caller, Box::new(move |store| store.end_session(session)))
    }

    fn raise_incarnation<'a>(
        &'a self,
        caller: &'a Caller,
        raise: &'a RaiseIncarnation,
    ) -> Answer<'a, Incarnation> {
        let raise = *raise;
        // The call is of a session that knows more than the store.
        let caller = Caller { knows: None, ..*caller };
        self.run(caller, Box::new(move |store| store.raise_incarnation(&raise)))
    }

    fn operate<'a>(
        &'a self,
        caller: &'a Caller,
        consumer: ConsumerId,
        operation: &'a Operation,
    ) -> Answer<'a, Operated> {
        let operation = operation.clone();
        self.run(*caller, Box::new(move |store| store.operate(consumer, &operation)))
    }

    fn wait(&self, since: Changes) -> BoxFuture<'_, ()> {
        self.wait_for_changes(since)
    }

    fn changes(&self) -> Changes {
        self.changed()
    }

    fn records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<ReadRecord>, AdapterError>> {
        self.read_records(positions, codec)
    }

    fn consumers<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Result<Vec<ConsumerStatus>, AdapterError>> {
        let caller = Caller { knows: None, ..*caller };
        answered(self.read(caller, Box::new(|store| store.consumers())))
    }

    fn dead_letters(
        &self,
        consumer: ConsumerId,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, AdapterError>> {
        let call =
            self.read(Caller::default(), Box::new(move |store| store.dead_letters(consumer, after, limit)));
        Box::pin(async move {
            match call.await {
                Err(DurableError::Refused(Refusal::UnknownConsumer | Refusal::Removed)) => Ok(Vec::new()),
                answer => answer.map_err(failure),
            }
        })
    }

    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>> {
        answered(self.read(Caller::default(), Box::new(move |store| store.unfinished(event))))
    }
}

fn answered<T: Send + 'static>(answer: Answer<'_, T>) -> BoxFuture<'_, Result<T, AdapterError>> {
    Box::pin(async move { answer.await.map_err(failure) })
}

fn failure(error: DurableError) -> AdapterError {
    match error {
        DurableError::Failed(error) => error,
        DurableError::Refused(refusal) => AdapterError::refused(refusal),
    }
}
