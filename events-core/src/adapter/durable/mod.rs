//! Durable consumption: the contract by which each event reaches a handler at least once.

mod answers;
mod calls;
mod status;
mod values;

use std::time::Duration;

pub use answers::{Beaten, Claims, Delivered, DurableError, Exchanged, Operated, Refusal, Registered, Terms};
pub use calls::{
    Beat, Caller, Claim, Exchange, Letters, Operation, Origin, Outcome, RaiseIncarnation, Register, Report,
    Wanted, Window,
};
pub use status::{ConsumerStatus, DeadLetter, DeadLetters};
pub use values::{
    ConsumerId, EventFilter, Incarnation, Kind, Knows, Order, Position, ReadMark, SessionId, Settings, Token,
    matches_any,
};

use crate::adapter::{Adapter, AdapterError, BoxFuture};
use crate::id::EventId;
use crate::record::Record;
use crate::record::codec::RecordCodec;

/// Default duration of a lease.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A record that was read at a position, or why it can't be decoded.
pub type ReadRecord = (Position, Result<Record, AdapterError>);

/// A future of a call.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, DurableError>>;

/// An adapter that hands out events to durable consumers until they are handled.
///
/// The page "Durable delivery" of ARCHITECTURE.md defines the stored states and what each call makes of them.
/// A *consumer* is the stored state under a durable name. A *session* is one bus of a program; all sessions that have
/// registered a consumer share its events. A *delivery* is one event in the hand of one session for one attempt.
///
/// The bus decides, and the store applies: options become data of a call, and every call is one atomic step.
///
/// 1. Every event after the beginning of a consumer that its union of patterns takes is handed out until it is done, a
///    dead letter, or counted as [dropped](ConsumerStatus::dropped).
/// 2. A report settles its own delivery, or what the loss of its lease has made of the event, and nothing else. Any
///    other report is late.
/// 3. An event has at most one delivery at a time.
/// 4. Events of one key are handed out in the order of the log.
/// 5. A claim makes no dead letter.
/// 6. A delivery that is given back does not count as an attempt. Any other does.
/// 7. A session that sends beats in time is not ended.
/// 8. The deliveries of an ended session come back to the consumer.
/// 9. A repeated call of an exchange changes nothing and gets the same answer.
/// 10. An exchange with a lower number than the last one is refused.
/// 11. The time of the store never decreases.
/// 12. The work of a call is bounded, however many events wait.
///
/// A call is refused before it has changed anything ([`Refusal`]). If its outcome is unknown, the caller repeats it
/// with the same number.
///
/// - **Time.** Each engine has one clock, that of its server if it has one. A call with [`Caller::now`] uses that time
///   instead.
/// - **Cancellation, panics.** The same as for [`Adapter`]: the bus polls every future to completion, except for
///   [`wait`](Self::wait), which may be dropped at any time.
pub trait DurableAdapter: Send + Sync {
    /// Opens a consumer for a session, and creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// - [`Refusal::SessionEnded`]: the session has ended.
    /// - [`Refusal::Removed`], only with [`Origin::Again`]: the consumer was removed.
    /// - An [`AdapterError`] if the engine fails.
    fn register<'a>(&'a self, caller: &'a Caller, register: &'a Register) -> Answer<'a, Registered>;

    /// Takes a sign of life of a session, marks the sessions as ended that sent none for their lease, and does a
    /// bounded part of the work that their ends leave.
    ///
    /// # Errors
    ///
    /// The [refusals](Refusal) of loss of data; [`Refusal::UnknownSession`], [`Refusal::SessionEnded`];
    /// [`Refusal::OldNumber`] if this beat or a later one was applied.
    fn beat<'a>(&'a self, caller: &'a Caller, beat: &'a Beat) -> Answer<'a, Beaten>;

    /// Applies the outcomes of deliveries, and claims events. Returns immediately, even if there are no events.
    ///
    /// # Errors
    ///
    /// The [refusals](Refusal) of loss of data; [`Refusal::UnknownConsumer`], [`Refusal::Removed`],
    /// [`Refusal::UnknownSession`], [`Refusal::SessionEnded`]; [`Refusal::OldNumber`] if a later exchange was applied.
    fn exchange<'a>(&'a self, caller: &'a Caller, exchange: &'a Exchange) -> Answer<'a, Exchanged>;

    /// Ends a session. Deliveries that it has in hand come back to their consumers, as after a lost lease.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`], and the [refusals](Refusal) of loss of data.
    fn end_session<'a>(&'a self, caller: &'a Caller, session: SessionId) -> Answer<'a, ()>;

    /// Begins the next incarnation, unless another session did. Returns the incarnation of the store.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the engine fails.
    fn raise_incarnation<'a>(
        &'a self,
        caller: &'a Caller,
        raise: &'a RaiseIncarnation,
    ) -> Answer<'a, Incarnation>;

    /// Applies an operator's call.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownConsumer`], [`Refusal::Removed`], and those that the [`Operation`] has.
    fn operate<'a>(
        &'a self,
        caller: &'a Caller,
        consumer: ConsumerId,
        operation: &'a Operation,
    ) -> Answer<'a, Operated>;

    /// Resolves when [`changes`](Self::changes) differs from `since`. It may also resolve without a change.
    fn wait(&self, since: Changes) -> BoxFuture<'_, ()>;

    /// Returns counters of the changes that may make events available to this process.
    fn changes(&self) -> Changes;

    /// Returns the stored records at these positions. A position without a record has none in the answer.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    fn records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<ReadRecord>, AdapterError>>;

    /// Returns the status of all consumers, including those that no program opens any more.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if they can't be read.
    fn consumers<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> BoxFuture<'a, Result<Vec<ConsumerStatus>, AdapterError>>;

    /// Returns up to `limit` dead letters of a consumer after a position, in the order of the log.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if they can't be read.
    fn dead_letters(
        &self,
        consumer: ConsumerId,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, AdapterError>>;

    /// Returns the names of the consumers that may not have finished an event: those whose position is before the event
    /// and whose union takes it, or for which it waits or is in hand. `None` if the event is not in the log.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if they can't be read.
    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>>;
}

/// Counters of changes, in this process. Their values have no other meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rises after events were appended, by any process.
    pub log: u64,
    /// Rises after any process has changed a consumer otherwise than by an exchange: an operator's call, a
    /// registration, the end of a session.
    pub consumers: u64,
}

/// A user's transaction in the database of an engine, in which events can be appended.
///
/// The crate of an adapter implements it for the transactions of database drivers. `Engine` is a type of that
/// crate.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that events can be emitted in",
    note = "for `emit_in` and `first_time`, pass `&mut tx`, where `tx` is a `sqlx::Transaction<'_, sqlx::Sqlite>` of sqlx 0.9 from `pool.begin_with(\"BEGIN IMMEDIATE\")`",
    note = "enable the feature `sqlite-sqlx` of typed-events: `features = [\"sqlite-sqlx\"]`"
)]
pub trait Transaction<Engine>: Send {
    /// Appends a record if, and only if, the transaction commits. Every instance, including the emitting one,
    /// then receives the record from the log through
    /// [`Receiver::deliver_committed`](super::Receiver::deliver_committed).
    ///
    /// `adapter` is the adapter of the bus. A transaction of another engine returns an error.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the record can't be appended in this transaction.
    fn append<'a>(
        &'a mut self,
        adapter: &'a dyn Adapter,
        record: &'a Record,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Records in the transaction that a consumer has handled an event. Returns `false` if that was recorded
    /// before.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if it can't be recorded in this transaction.
    fn first_time<'a>(
        &'a mut self,
        adapter: &'a dyn Adapter,
        consumer: &'a str,
        event: EventId,
    ) -> BoxFuture<'a, Result<bool, AdapterError>>;
}
