//! The implementation of `DurableAdapter`: each call is one step of the store, in a transaction that others share.

use std::sync::Arc;

use events_core::durable::{
    Answer, Beat, Beaten, Caller, Changes, ConsumerId, DurableError, Exchange, Exchanged, Incarnation,
    Operated, Operation, Position, RaiseIncarnation, Register, Registered, SessionId,
};
use events_core::store::{Done, Store};
use events_core::{
    AdapterError, BoxFuture, ConsumerStatus, DeadLetter, DurableAdapter, EventId, Record, RecordCodec,
    Timestamp,
};

use crate::Sqlite;
use crate::adapter::Engine;
use crate::error::{Result, StoreError};
use crate::executor::{Durability, Tx};
use crate::log::{COLUMNS, Stored};
use crate::rows::Tables;

/// An exchange of at most this many outcomes and claims may run in the task that calls it.
const SMALL_EXCHANGE: usize = 4;

impl Sqlite {
    /// Runs a call, and wakes the consumers of this process if they may have more to claim.
    async fn call<T: Send + 'static>(
        &self,
        durability: Durability,
        is_small: bool,
        caller: &Caller,
        work: impl Fn(&mut Store<'_, Tables<'_>>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, DurableError> {
        let engine = self.engine()?;
        let (views, limits, caller) = (Arc::clone(&engine.views), engine.limits, *caller);
        let call = move |tx: &Tx<'_>| {
            let mut tables = Tables(tx);
            let step = |tables: &mut Tables<'_>| -> Result<(T, Done)> {
                let mut store = Store::begin(tables, &views, &limits, &caller, Timestamp::now())?;
                let answer = work(&mut store)?;
                Ok((answer, store.end()?))
            };
            // A refused call has changed nothing, so the other calls of the transaction are not affected.
            match step(&mut tables) {
                Err(StoreError::RefusedCall(refusal)) => Ok(Err(refusal)),
                done => done.map(Ok),
            }
        };
        let done = match is_small {
            true => engine.writer.run_small(durability, call).await?,
            false => engine.writer.run(durability, call).await?,
        };
        let (answer, Done { released, .. }) = done?;
        if released {
            engine.notify_of(false, true);
        }
        Ok(answer)
    }

    /// Reads the state of consumers.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&mut Store<'_, Tables<'_>>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, AdapterError> {
        let engine = self.engine()?;
        let (views, limits) = (Arc::clone(&engine.views), engine.limits);
        let read = move |tx: &Tx<'_>| {
            let mut tables = Tables(tx);
            read(&mut Store::new(&mut tables, &views, &limits, Timestamp::now())?)
        };
        engine.reader.run(Durability::ReadOnly, read).await
    }
}

impl DurableAdapter for Sqlite {
    fn register<'a>(&'a self, caller: &'a Caller, register: &'a Register) -> Answer<'a, Registered> {
        let register = register.clone();
        Box::pin(self.call(Durability::Immediate, false, caller, move |store| store.register(&register)))
    }

    fn beat<'a>(&'a self, caller: &'a Caller, beat: &'a Beat) -> Answer<'a, Beaten> {
        let beat = *beat;
        Box::pin(self.call(Durability::Deferred, false, caller, move |store| store.beat(&beat)))
    }

    fn exchange<'a>(&'a self, caller: &'a Caller, exchange: &'a Exchange) -> Answer<'a, Exchanged> {
        let claimed = exchange.claim.as_ref().map_or(0, |claim| claim.max);
        let is_small = exchange.reports.len() + claimed <= SMALL_EXCHANGE;
        let exchange = exchange.clone();
        Box::pin(self.call(Durability::Deferred, is_small, caller, move |store| store.exchange(&exchange)))
    }

    fn end_session<'a>(&'a self, caller: &'a Caller, session: SessionId) -> Answer<'a, ()> {
        Box::pin(self.call(Durability::Deferred, false, caller, move |store| store.end_session(session)))
    }

    fn raise_incarnation<'a>(
        &'a self,
        caller: &'a Caller,
        raise: &'a RaiseIncarnation,
    ) -> Answer<'a, Incarnation> {
        // The call is of a session that knows more than the store.
        let (caller, raise) = (Caller { knows: None, ..*caller }, *raise);
        Box::pin(async move {
            self.call(Durability::Immediate, false, &caller, move |store| store.raise_incarnation(&raise))
                .await
        })
    }

    fn operate<'a>(
        &'a self,
        caller: &'a Caller,
        consumer: ConsumerId,
        operation: &'a Operation,
    ) -> Answer<'a, Operated> {
        let operation = operation.clone();
        let operate = move |store: &mut Store<'_, Tables<'_>>| store.operate(consumer, &operation);
        Box::pin(self.call(Durability::Immediate, false, caller, operate))
    }

    fn wait(&self, since: Changes) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Ok(engine) = self.engine() else { return std::future::pending().await };
            let mut changes = engine.changes.subscribe();
            if changes.wait_for(|changes| *changes != since).await.is_err() {
                // The engine was dropped: nothing changes any more.
                std::future::pending().await
            }
        })
    }

    fn changes(&self) -> Changes {
        self.engine().map_or(Changes::default(), |engine| *engine.changes.borrow())
    }

    fn records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<
        'a,
        std::result::Result<Vec<(Position, std::result::Result<Record, AdapterError>)>, AdapterError>,
    > {
        let positions = positions.to_vec();
        Box::pin(async move {
            let read = move |tx: &Tx<'_>| records(tx, &positions);
            let found = self.engine()?.reader.run(Durability::ReadOnly, read).await?;
            Ok(found.into_iter().map(|(at, stored)| (at, self.decode(stored, codec))).collect())
        })
    }

    fn consumers<'a>(
        &'a self,
        _: &'a Caller,
    ) -> BoxFuture<'a, std::result::Result<Vec<ConsumerStatus>, AdapterError>> {
        Box::pin(self.read(|store| store.consumers()))
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: ConsumerId,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'a, std::result::Result<Vec<DeadLetter>, AdapterError>> {
        Box::pin(self.read(move |store| store.dead_letters(consumer, after, limit)))
    }

    fn unfinished(
        &self,
        event: EventId,
    ) -> BoxFuture<'_, std::result::Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(self.read(move |store| store.unfinished(event)))
    }
}

impl Sqlite {
    fn decode(
        &self,
        stored: std::result::Result<Stored, String>,
        codec: &RecordCodec,
    ) -> std::result::Result<Record, AdapterError> {
        let of_file = |what: &dyn std::fmt::Display| {
            AdapterError::refused(format_args!("{}: {what}", self.path().display()))
        };
        let stored = stored.map_err(|what| of_file(&what))?;
        stored.record(codec).map_err(|why| of_file(&why).of_event(&stored.name, stored.version))
    }
}

type Read = (Position, std::result::Result<Stored, String>);

/// The records at these positions, or what damage was found in them.
fn records(connection: &rusqlite::Connection, positions: &[Position]) -> Result<Vec<Read>> {
    let query = format!("SELECT {COLUMNS} FROM typed_events_log WHERE position = ?1");
    let mut query = connection.prepare_cached(&query)?;
    let mut found = Vec::new();
    for position in positions {
        let mut rows = query.query([position.cast_signed()])?;
        let Some(row) = rows.next()? else { continue };
        found.push((
            *position,
            match Stored::read(row) {
                Ok(stored) => Ok(stored),
                Err(StoreError::Damaged(what)) => Err(what),
                Err(fault) => return Err(fault),
            },
        ));
    }
    Ok(found)
}

impl Engine {
    /// Wakes the consumers of this bus and the adapters of this process on the same file.
    pub(crate) fn notify_of(&self, log: bool, consumers: bool) {
        self.note(log, consumers);
        self.peers.notify_others();
    }

    /// Counts changes of the log and of consumers.
    fn note(&self, log: bool, consumers: bool) {
        self.changes.send_modify(|changes| {
            changes.log += u64::from(log);
            changes.consumers += u64::from(consumers);
        });
    }
}
