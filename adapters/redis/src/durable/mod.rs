//! The implementation of `DurableAdapter`. Scripts hold the stored states and apply the calls; which kinds of events a
//! session takes is decided here, because only Rust matches patterns.

mod answers;
mod calls;
mod judge;
mod operate;
mod status;

use std::sync::atomic::Ordering;
use std::time::Duration;

use events_core::durable::{
    Answer, Beat, Beaten, Caller, Changes, ConsumerId, DurableAdapter, DurableError, Exchange, Exchanged,
    Incarnation, Operated, Operation, Origin, Position, RaiseIncarnation, Register, Registered, SessionId,
};
use events_core::{
    AdapterError, BoxFuture, ConsumerStatus, DeadLetter, EventId, Record, RecordCodec, StartAt,
};

use crate::Redis;
use crate::history::decode;
use crate::log::Log;
use crate::scripts::{BEAT, END_SESSION, EXCHANGE, QUICK, RAISE, RECORDS, REGISTER, SWEEP};
use answers::{Refused, Reply};
pub(crate) use operate::{oldest, union_of};
pub(crate) use status::ids as consumer_ids;

/// How often a call is repeated that needed another judgement, because sessions came and went meanwhile.
const TRIES: usize = 10;

/// Microseconds of a duration. More than three years count as three years: numbers in answers have 14 digits.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(99_999_999_999_999)
}

/// The two arguments that `before` in `common.lua` takes for a start position.
fn start_argument(start: StartAt) -> (&'static str, i64) {
    match start {
        StartAt::Start => ("start", 0),
        StartAt::Position(position) => ("position", i64::try_from(position).unwrap_or(1 << 50).min(1 << 50)),
        StartAt::Time(time) => ("time", time.as_micros()),
        _ => ("now", 0),
    }
}

/// The consumers changed too often during a call.
fn too_busy() -> AdapterError {
    AdapterError::unavailable("the sessions of the consumer changed during each try of a call")
}

async fn register(log: &Log, caller: &Caller, register: &Register) -> Result<Registered, DurableError> {
    let mut id = ConsumerId(1);
    for _ in 0..TRIES {
        let argument = calls::register(caller, register, id);
        let reply: Reply = log.call_with(&REGISTER, &log.keys_of(id), &argument).await?;
        match answers::registered(&reply)? {
            Ok(registered) => return Ok(registered),
            Err(other) => id = other,
        }
    }
    Err(too_busy().into())
}

async fn exchange(log: &Log, caller: &Caller, exchange: &Exchange) -> Result<Exchanged, DurableError> {
    let argument = calls::exchange(caller, exchange);
    let of_consumer = log.of_consumer(exchange.consumer);
    if !of_consumer.has_rows.load(Ordering::Relaxed) && calls::may_be_quick(exchange) {
        let reply: Reply = log.call_with(&QUICK, &of_consumer.quick_keys, &argument).await?;
        if !matches!(reply.refused()?, Some(Refused::Full)) {
            return Ok(answers::exchanged(&reply, exchange)?.0);
        }
    }
    let reply = judge::call(log, &EXCHANGE, exchange.consumer, &argument).await?;
    let (exchanged, has_rows) = answers::exchanged(&reply, exchange)?;
    of_consumer.has_rows.store(has_rows, Ordering::Relaxed);
    Ok(exchanged)
}

async fn beat(log: &Log, caller: &Caller, beat: &Beat) -> Result<Beaten, DurableError> {
    let reply: Reply = log.call_with(&BEAT, log.keys(), &calls::beat(caller, beat)).await?;
    let beaten = answers::beaten(&reply)?;
    if !beaten.ended.is_empty() {
        for consumer in status::ids(log).await? {
            let argument = calls::bare(&Caller { knows: None, ..*caller });
            judge::call(log, &SWEEP, consumer, &argument).await?.accepted()?;
        }
    }
    Ok(beaten)
}

impl DurableAdapter for Redis {
    fn register<'a>(&'a self, caller: &'a Caller, call: &'a Register) -> Answer<'a, Registered> {
        Box::pin(async move {
            let engine = self.engine()?;
            let registered = register(&engine.log, caller, call).await?;
            if matches!(call.origin, Origin::New(_)) {
                engine.warn_if_forgetful().await;
            }
            Ok(registered)
        })
    }

    fn beat<'a>(&'a self, caller: &'a Caller, call: &'a Beat) -> Answer<'a, Beaten> {
        Box::pin(async move { beat(&self.engine()?.log, caller, call).await })
    }

    fn exchange<'a>(&'a self, caller: &'a Caller, call: &'a Exchange) -> Answer<'a, Exchanged> {
        Box::pin(async move { exchange(&self.engine()?.log, caller, call).await })
    }

    fn end_session<'a>(&'a self, caller: &'a Caller, session: SessionId) -> Answer<'a, ()> {
        Box::pin(async move {
            let log = &self.engine()?.log;
            let argument = calls::end_session(caller, session);
            let reply: Reply = log.call_with(&END_SESSION, log.keys(), &argument).await?;
            reply.accepted().map(drop)
        })
    }

    fn raise_incarnation<'a>(
        &'a self,
        caller: &'a Caller,
        raise: &'a RaiseIncarnation,
    ) -> Answer<'a, Incarnation> {
        Box::pin(async move {
            let log = &self.engine()?.log;
            let reply: Reply = log.call_with(&RAISE, log.keys(), &calls::raise(caller, raise)).await?;
            answers::raised(&reply)
        })
    }

    fn operate<'a>(
        &'a self,
        caller: &'a Caller,
        consumer: ConsumerId,
        operation: &'a Operation,
    ) -> Answer<'a, Operated> {
        Box::pin(async move { operate::operate(&self.engine()?.log, caller, consumer, operation).await })
    }

    fn wait(&self, since: Changes) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Ok(engine) = self.engine() else { return std::future::pending().await };
            let mut changed = engine.changed.changes.subscribe();
            if changed.wait_for(|changes| *changes != since).await.is_err() {
                // The engine was dropped: nothing changes any more.
                std::future::pending().await
            }
        })
    }

    fn changes(&self) -> Changes {
        self.engine().map(|engine| *engine.changed.changes.borrow()).unwrap_or_default()
    }

    fn records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<(Position, Result<Record, AdapterError>)>, AdapterError>> {
        Box::pin(async move {
            let log = &self.engine()?.log;
            let found: Vec<(Position, String, u32, Vec<u8>)> = log
                .call(&RECORDS, |call, _| {
                    call.arg(positions);
                })
                .await?;
            let read = |(position, name, version, text): (Position, String, u32, Vec<u8>)| {
                let record = decode(log, codec, position, &text);
                (position, record.map_err(|error| error.of_event(&name, version)))
            };
            Ok(found.into_iter().map(read).collect())
        })
    }

    fn consumers<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Result<Vec<ConsumerStatus>, AdapterError>> {
        Box::pin(async move { status::consumers(&self.engine()?.log, caller).await })
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: ConsumerId,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, AdapterError>> {
        Box::pin(async move { status::dead_letters(&self.engine()?.log, consumer, after, limit).await })
    }

    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(async move { status::unfinished(&self.engine()?.log, event).await })
    }
}
