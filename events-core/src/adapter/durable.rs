//! Durable consumption: the contract by which each event reaches a handler at least once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::adapter::consumer::Consumer;
use crate::adapter::options::StartAt;
use crate::adapter::{Adapter, AdapterError, BoxFuture};
use crate::id::EventId;
use crate::record::Record;
use crate::record::codec::RecordCodec;
use crate::time::Timestamp;

/// An adapter that hands out events to durable consumers until they are handled.
///
/// A *consumer* is stored by the engine: a name with a position in the log. All processes that open a
/// consumer share its events.
///
/// - **At least once.** Every event that follows the start of a consumer and matches its patterns is handed
///   out until its outcome is [`Outcome::Done`] or [`Outcome::Dead`]. Neither a crash nor a change of the
///   consumer's patterns ends this. Trimming ends it only if the user has set
///   [`Retention::ignoring_consumers`](crate::Retention::ignoring_consumers).
/// - **One claim at a time.** A claimed event is not handed out again until it is finished or the *lease* of
///   its claim ([`Consumer::lease`]) has expired.
/// - **An outcome belongs to its claim.** It changes the event only while that claim holds: not once the event
///   was handed out again, and not after a seek, a replay or a loss of the log, even if position and number of
///   the attempt are the same again. Otherwise `exchange` lists the claim in [`Claims::late`].
/// - **Attempts are counted first.** Before [`exchange`](Self::exchange) returns a claim, the engine stores
///   the number of its attempt, so that a crash of the process does not lose it.
/// - **Order.** Events with the same [`Consumer::key`] are handed out one after the other, in the order of
///   the log, even while one of them waits for a retry. Events without a key or with other keys do not wait
///   for them.
/// - **Newer versions.** Events for which the consumer returns [`Interest::Newer`] are kept for a program that
///   knows their version. They count as lag.
/// - **Time.** An engine uses the `now` it is given, never a clock of the engine.
/// - **Cancellation, panics.** The same as for [`Adapter`]: the bus polls every future to completion, except
///   for [`wait`](Self::wait), which may be dropped at any time.
pub trait DurableAdapter: Send + Sync {
    /// Creates a consumer, or opens it if it exists. A new consumer starts at [`Consumer::from`]; an existing
    /// one keeps its position, even if its patterns have changed.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the consumer can't be stored. `build()` of the bus then fails.
    fn open<'a>(&'a self, consumer: &'a Arc<Consumer>) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Applies the outcomes of claimed events, and claims up to `max` further events, in one atomic step.
    ///
    /// Returns immediately, even if there are no events.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if nothing was applied, or if that is unknown. The bus then calls this again with the
    /// same outcomes, unless it is stopping.
    fn exchange<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        finished: &'a [Finished],
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Claims, AdapterError>>;

    /// Extends the leases of claims that are still being handled.
    ///
    /// While a consumer is idle, the bus calls this about once a minute without claims, so that the engine
    /// records that the consumer is [running](ConsumerStatus::is_running).
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the leases may not have been extended. The bus logs it, because another instance
    /// may then handle the same events.
    fn renew<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        held: &'a [Claim],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Records that a program with the consumer open has stopped, so that [`ConsumerStatus::is_running`] becomes
    /// false.
    ///
    /// Other programs may still run the consumer. The engine resolves their [`wait`](Self::wait), so that
    /// they call [`exchange`](Self::exchange), which marks the consumer as running again, even if it is
    /// paused. Claims keep their leases.
    ///
    /// The default implementation does nothing. The consumer then counts as running until 150 s after its last
    /// `exchange` or [`renew`](Self::renew).
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the stop can't be stored.
    fn close<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        let _ = (consumer, now);
        Box::pin(async { Ok(()) })
    }

    /// Resolves when there may be more to claim than at an earlier exchange: any process has appended an event,
    /// or an operator has changed a consumer. `seen` is the [`Claims::seen`] of that exchange. It may also
    /// resolve without a change.
    fn wait(&self, seen: u64) -> BoxFuture<'_, ()>;

    /// Returns the status of all consumers, including those that no program opens any more.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if they can't be read.
    fn consumers(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<ConsumerStatus>, AdapterError>>;

    /// Counts the events after the cursor of the consumer that match its patterns. Returns `None` if more than
    /// `max` events of any name are after the cursor, because counting would take long, or if the engine can't
    /// count.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the log can't be read.
    fn count_ahead<'a>(
        &'a self,
        consumer: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        let _ = (consumer, max);
        Box::pin(async { Ok(None) })
    }

    /// Applies an operator's command. Returns the number of events or dead letters it affected, or `None` if
    /// there is no such consumer.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the command was not applied or if its outcome is unknown.
    fn control<'a>(
        &'a self,
        consumer: &'a str,
        control: Control,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>>;

    /// Returns the oldest `limit` dead letters of a consumer, in the order of the log.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if they can't be read.
    fn dead_letters<'a>(
        &'a self,
        consumer: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, AdapterError>>;

    /// Returns the consumers that have not finished an event. `None` if the event is not in the log.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if they can't be read.
    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>>;
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

/// Whether a consumer takes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// The consumer does not take the event.
    Skip,
    /// The consumer handles the event.
    Take,
    /// The event is kept for a program that knows its version.
    Newer,
}

/// One event handed out for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Position of the event in the log.
    pub position: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// A number that no other claim of this position has, not even after the log was lost and begun again. The engine
    /// stores it, and applies an outcome or a renewal only if it is equal.
    pub token: u64,
}

impl Claim {
    /// Creates a claim with a new token.
    pub fn new(position: u64, attempt: u32) -> Self {
        Self { position, attempt, token: Self::new_token() }
    }

    /// Returns a random number, for engines whose claims of one exchange share a token.
    pub fn new_token() -> u64 {
        crate::id::random_number()
    }
}

/// Outcome of a claimed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The claim.
    pub claim: Claim,
    /// Its outcome.
    pub outcome: Outcome,
}

/// Outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event was handled.
    Done,
    /// The handler failed. The event is handed out again.
    Retry {
        /// Earliest time of the next attempt.
        at: Timestamp,
        /// Error of the handler.
        error: String,
    },
    /// The event is not tried again and becomes a dead letter.
    Dead {
        /// Error of the last attempt.
        error: String,
        /// Number of attempts that were made: one less than the claim's [`attempt`](Claim::attempt) if this one did
        /// not reach the handler.
        attempts: u32,
    },
    /// The handler was not called. The attempt does not count.
    Returned,
}

/// Result of an exchange.
#[derive(Debug, Default)]
pub struct Claims {
    /// Claimed events, in the order of the log.
    pub claimed: Vec<Claimed>,
    /// Reported claims whose events had been handed out again in the meantime. Their outcomes were ignored.
    pub late: Vec<Claim>,
    /// Whether more events may be available immediately.
    pub more: bool,
    /// Earliest time at which a waiting event becomes due.
    pub due: Option<Timestamp>,
    /// Number that identifies the state of the log at this exchange, for [`DurableAdapter::wait`].
    pub seen: u64,
    /// Number of events that were lost because the log was trimmed beyond the position of the consumer.
    pub lost: u64,
}

/// A claimed event.
#[derive(Debug)]
pub struct Claimed {
    /// The claim.
    pub claim: Claim,
    /// The record. An error if the stored record can't be decoded; the event then becomes a dead letter.
    pub record: Result<Record, AdapterError>,
    /// Error of the previous attempt, if it is known.
    pub last_error: Option<String>,
    /// Whether the previous attempt ended without an outcome: its lease expired.
    pub lost_lease: bool,
}

/// Status of a consumer, for operators. [`Bus::consumers`](crate::Bus::consumers) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Name of the consumer.
    pub name: String,
    /// Patterns of the program that opened the consumer last.
    pub patterns: Vec<String>,
    /// Position up to which every event is finished.
    pub position: u64,
    /// Number of events after `position` that may be unfinished: all events after the cursor of the consumer,
    /// whether its patterns match them or not, and the events before the cursor that it has not finished.
    pub lag: u64,
    /// Number of events that are being handled.
    pub in_progress: u64,
    /// Number of events that wait for a retry, or for another event with the same key.
    pub waiting: u64,
    /// Number of events whose version no running program knows.
    pub newer: u64,
    /// Number of dead letters.
    pub dead: u64,
    /// Whether the consumer is paused. A paused consumer gets no events.
    pub paused: bool,
    /// Time at which a program that runs the consumer last asked for events or renewed its leases.
    pub seen: Timestamp,
    /// Whether a program runs the consumer: one has asked for events or renewed its leases in the last 150 s,
    /// and has not stopped since.
    pub is_running: bool,
}

impl ConsumerStatus {
    /// Creates the status of a consumer with all other fields empty.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            patterns: Vec::new(),
            position: 0,
            lag: 0,
            in_progress: 0,
            waiting: 0,
            newer: 0,
            dead: 0,
            paused: false,
            seen: Timestamp::from_micros(0),
            is_running: false,
        }
    }

    /// Sets the time of the last [`exchange`](DurableAdapter::exchange) or [`renew`](DurableAdapter::renew), and
    /// derives [`is_running`](Self::is_running) from it. For a consumer that was
    /// [closed](DurableAdapter::close) since, the caller sets `is_running` to `false`.
    pub fn seen_at(&mut self, seen: Timestamp, now: Timestamp) {
        self.seen = seen;
        self.is_running = now.as_micros() - seen.as_micros() < ABANDONED;
    }
}

/// Time without an exchange or renewal, in microseconds, after which a consumer no longer counts as running.
const ABANDONED: i64 = 150_000_000;

impl fmt::Display for ConsumerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, position, lag, in_progress, waiting, dead, .. } = self;
        write!(
            f,
            "{name}: at {position}, {lag} behind, {in_progress} in progress, {waiting} waiting, {dead} dead"
        )?;
        match (self.paused, self.is_running) {
            (true, _) => f.write_str(", paused"),
            (false, true) => Ok(()),
            (false, false) => write!(f, ", abandoned since {}", self.seen),
        }
    }
}

/// A command of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// Hand out no events until [`Resume`](Self::Resume).
    Pause,
    /// Hand out events again.
    Resume,
    /// Move the consumer, so that it gets every event from there on again. Outcomes of current claims are
    /// ignored.
    Seek(StartAt),
    /// Delete the consumer with its position and its dead letters.
    Remove,
    /// Hand out dead letters again, with their attempts counted from 1.
    Replay(DeadLetters),
    /// Delete dead letters.
    Purge(DeadLetters),
}

/// A selection of dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetters {
    /// All dead letters.
    All,
    /// The dead letter of one event.
    Of(EventId),
}

/// An event whose last attempt failed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Id of the event; all zeros if the stored record can't be decoded and the engine does not store the id beside it.
    pub event: EventId,
    /// Name of the event.
    pub name: String,
    /// Position of the event in the log.
    pub position: u64,
    /// The stored record, unchanged. Sealed secrets stay sealed.
    pub stored: Vec<u8>,
    /// Error of the last attempt.
    pub error: String,
    /// Number of attempts that were made.
    pub attempts: u32,
    /// Start of the first attempt.
    pub first: Timestamp,
    /// Time at which the event became a dead letter.
    pub last: Timestamp,
}

impl DeadLetter {
    /// Creates a dead letter with all other fields empty.
    pub fn new(event: EventId, name: impl Into<String>, position: u64, stored: Vec<u8>) -> Self {
        let never = Timestamp::from_micros(0);
        let (name, error) = (name.into(), String::new());
        Self { event, name, position, stored, error, attempts: 0, first: never, last: never }
    }
}

/// Omits the stored record, which may be large or secret.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetter({self})")
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, name, attempts, last, .. } = self;
        let error = crate::text::escaped(&self.error);
        write!(f, "{name} (id {event}), dead letter since {last} after {attempts} attempts: {error}")
    }
}

/// Default duration of a lease.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
