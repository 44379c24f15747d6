//! Durable consumption: what an engine must do so that each event reaches a handler at least once.

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

/// An adapter that hands out each event to durable consumers until one says that it is done.
///
/// A *consumer* is a name with a position in the log. All processes that open it share its events.
///
/// - **At least once.** Every event behind the position a consumer began at, which its patterns take, is
///   handed out until it is `Outcome::Done` or `Outcome::Dead`. Nothing else ends it: not a crash,
///   not a change of the consumer's patterns, and no trimming of the log unless the user asked for that.
/// - **One at a time.** An event that was handed out is not handed out again until it is finished, or its
///   *lease* has run out ([`Consumer::lease`]); then whoever still works on it is told that it is late
///   ([`Claims::late`]), and what it reports changes nothing.
/// - **Counted first.** The attempt an event is handed out for is counted, where a crash of the process does not
///   lose it, before [`exchange`](Self::exchange) returns it.
/// - **Order.** Events of one [`Consumer::key`] are handed out one after the other, in the order of the log, also
///   while one of them waits to be retried. Events without a key, and of other keys, never wait for them.
/// - **Newer versions.** Events the consumer calls `Interest::Newer` are kept for a program that knows
///   them, and count as lag.
/// - **Time.** An engine takes the time from `now`, never from a clock of its own.
/// - **Cancellation, panics.** As for [`Adapter`]: the bus drives every future to its end, but for
///   [`wait`](Self::wait), which is dropped at any time.
pub trait DurableAdapter: Send + Sync {
    /// Registers a consumer, or joins it. A new one begins at [`Consumer::from`]; one that is known keeps its
    /// position, whatever its patterns were.
    fn open<'a>(&'a self, consumer: &'a Arc<Consumer>) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Takes what became of events that were handed out before, and hands out up to `max` more, all or nothing.
    ///
    /// Returns at once, also with nothing.
    fn exchange<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        finished: &'a [Finished],
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Claims, AdapterError>>;

    /// Extends the leases of events that are still being handled.
    fn renew<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        held: &'a [Claim],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Notes that the program that opened a consumer has stopped, so that its
    /// [status](ConsumerStatus::is_running) is not that of one that is open, unless another program says afterwards
    /// that it lives: it wakes those that [`wait`](Self::wait), so that they [`exchange`](Self::exchange), which says it,
    /// also of a paused consumer. What is still being handled stays leased. An engine that does not note it takes the
    /// consumer for open until nothing was heard of it for a while.
    fn close<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        let _ = (consumer, now);
        Box::pin(async { Ok(()) })
    }

    /// Resolves when there may be more to claim than [`Claims::seen`] knew of: something was appended, by
    /// whichever process, or an operator changed something. May resolve for nothing.
    fn wait(&self, seen: u64) -> BoxFuture<'_, ()>;

    /// What consumers there are, those included that no program opens any more.
    fn consumers(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<ConsumerStatus>, AdapterError>>;

    /// How many events that a consumer's patterns take stand behind what it has looked at; `None` where more than
    /// `max` events of any name do, so that to count them takes long, or where the engine can't say.
    fn count_ahead<'a>(
        &'a self,
        consumer: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        let _ = (consumer, max);
        Box::pin(async { Ok(None) })
    }

    /// Does what an operator asked for; returns how many events or dead letters it concerned, or `None` where
    /// there is no such consumer.
    fn control<'a>(
        &'a self,
        consumer: &'a str,
        control: Control,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>>;

    /// The oldest `limit` dead letters of a consumer, by the order of the log.
    fn dead_letters<'a>(
        &'a self,
        consumer: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, AdapterError>>;

    /// The consumers that have yet to finish an event; `None` where the event is not in the log.
    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>>;
}

/// A transaction of a user's own in an engine's database, in which events can be appended.
///
/// The adapter's crate implements it for the transactions of drivers, with its own type as `Engine`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction in which an event can be emitted",
    note = "for `emit_in` and `first_time` pass `&mut tx`, with `tx` a `sqlx::Transaction<'_, sqlx::Sqlite>` of sqlx 0.9 from `pool.begin_with(\"BEGIN IMMEDIATE\")`",
    note = "the features `sqlite` and `sqlx` of typed-events are needed: `features = [\"sqlite\", \"sqlx\"]`"
)]
pub trait Transaction<Engine>: Send {
    /// Appends a record that exists if, and only if, the transaction commits. Every instance, the emitting one
    /// included, then gets it from the log, by [`Receiver::deliver_committed`](super::Receiver::deliver_committed).
    ///
    /// `adapter` is that of the bus; a transaction of another engine refuses it.
    fn append<'a>(
        &'a mut self,
        adapter: &'a dyn Adapter,
        record: &'a Record,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Notes that a consumer has handled an event; false if it was noted before.
    fn first_time<'a>(
        &'a mut self,
        adapter: &'a dyn Adapter,
        consumer: &'a str,
        event: EventId,
    ) -> BoxFuture<'a, Result<bool, AdapterError>>;
}

/// What a consumer wants of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nothing: its patterns don't take it.
    Skip,
    /// To handle it.
    Take,
    /// To leave it to a program that knows its version.
    Newer,
}

/// An event that was handed out, and for which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Where it stands in the log.
    pub position: u64,
    /// The attempt it was handed out for; the first is 1.
    pub attempt: u32,
}

/// What became of an event that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which one.
    pub claim: Claim,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler is done with it.
    Done,
    /// The handler failed; it is to be handed out again.
    Retry {
        /// Not before this time.
        at: Timestamp,
        /// Why.
        error: String,
    },
    /// It is not to be tried again: it goes to the dead letters.
    Dead {
        /// Why.
        error: String,
        /// How many attempts were made: one less than was counted where this one did not reach the handler.
        attempts: u32,
    },
    /// The handler was never called: the attempt does not count.
    Returned,
}

/// What an exchange hands out.
#[derive(Debug, Default)]
pub struct Claims {
    /// The events, in the order of the log.
    pub claimed: Vec<Claimed>,
    /// Those reported as finished that had been handed out to somebody else meanwhile: the report changed
    /// nothing.
    pub late: Vec<Claim>,
    /// Whether there may be more right away.
    pub more: bool,
    /// When the next event that waits for its time is due.
    pub due: Option<Timestamp>,
    /// What the engine knew of: for [`DurableAdapter::wait`].
    pub seen: u64,
    /// How many events were lost, because the log was trimmed past the consumer.
    pub lost: u64,
}

/// An event that is handed out.
#[derive(Debug)]
pub struct Claimed {
    /// Which, and for which attempt.
    pub claim: Claim,
    /// The record; an error where what is stored can't be read, which sends it to the dead letters.
    pub record: Result<Record, AdapterError>,
    /// Why the attempt before failed, where that is known.
    pub last_error: Option<String>,
}

/// A consumer as an operator sees it: what [`Bus::consumers`](crate::Bus::consumers) lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStatus {
    /// Its name.
    pub name: String,
    /// The patterns of the program that opened it last.
    pub patterns: Vec<String>,
    /// Everything up to this position is finished: the low watermark.
    pub position: u64,
    /// How many events of the log are behind the watermark and not known to be finished. An event counts from
    /// when it is stored, whether the patterns take it or not, until the consumer has looked at it.
    pub lag: u64,
    /// How many events are being handled.
    pub in_progress: u64,
    /// How many events wait to be retried, or for one of their key.
    pub waiting: u64,
    /// How many events are of a version that no running program knew.
    pub newer: u64,
    /// How many dead letters there are.
    pub dead: u64,
    /// Whether it hands out nothing.
    pub paused: bool,
    /// When a program that knows the consumer last asked for events.
    pub seen: Timestamp,
    /// Whether a program has the consumer open now: one asked for events in the last 150 s, and has not stopped since.
    pub is_running: bool,
}

impl ConsumerStatus {
    /// The status of a consumer of this name, of which nothing else is known yet.
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

    /// Notes when a program last asked for events, and whether one still has the consumer open: idle ones say every
    /// minute that they live. One that was [closed](DurableAdapter::close) since is not open.
    pub fn seen_at(&mut self, seen: Timestamp, now: Timestamp) {
        self.seen = seen;
        self.is_running = now.as_micros() - seen.as_micros() < ABANDONED;
    }
}

/// A consumer that has asked for nothing for so many microseconds runs nowhere.
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

/// What an operator may ask of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// Hand out nothing until [`Resume`](Self::Resume).
    Pause,
    /// Hand out events again.
    Resume,
    /// Hand out everything from here on again; what is being handled is finished by nobody.
    Seek(StartAt),
    /// Forget the consumer, its position, and its dead letters.
    Remove,
    /// Hand out dead letters again, with their attempts counted from 1.
    Replay(DeadLetters),
    /// Drop dead letters.
    Purge(DeadLetters),
}

/// Which dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetters {
    /// All of them.
    All,
    /// That of one event.
    Of(EventId),
}

/// An event that a consumer gave up on.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event's id, where what is stored says one.
    pub event: EventId,
    /// The event's name.
    pub name: String,
    /// Where it stands in the log.
    pub position: u64,
    /// What is stored, verbatim: sealed secrets stay sealed.
    pub stored: Vec<u8>,
    /// Why the last attempt failed.
    pub error: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the first attempt began.
    pub first: Timestamp,
    /// When the consumer gave up.
    pub last: Timestamp,
}

impl DeadLetter {
    /// A dead letter of an event at a position, of which nothing else is known yet.
    pub fn new(event: EventId, name: impl Into<String>, position: u64, stored: Vec<u8>) -> Self {
        let never = Timestamp::from_micros(0);
        let (name, error) = (name.into(), String::new());
        Self { event, name, position, stored, error, attempts: 0, first: never, last: never }
    }
}

/// Without what is stored, which may be large, or secret.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetter({self})")
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, name, attempts, last, .. } = self;
        let error = crate::text::escaped(&self.error);
        write!(f, "{name} (id {event}), given up at {last} after {attempts} attempts: {error}")
    }
}

/// The lease of an event, unless a program sets another.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
