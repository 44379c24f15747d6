//! What the store keeps, and the storage that an engine provides for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::moves::Move;
use crate::adapter::durable::{
    ConsumerId, DeadLetter, EventFilter, Exchanged, Incarnation, Kind, Position, Refusal, SessionId,
    Settings, Token,
};
use crate::id::EventId;
use crate::time::Timestamp;

/// A time in microseconds since 1970.
pub type Micros = i64;
/// The number of a kind of events at a consumer, from 1.
pub type KindId = u32;

/// The state of the whole store, besides its lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The period since the last loss of stored data that a session has noticed.
    pub incarnation: Incarnation,
    /// The newest time that a call which changed something was given.
    pub last: Micros,
    /// What is added to the engine's clock while it is behind.
    pub offset: Micros,
    /// The clock of beats, in microseconds: see *heard* in ARCHITECTURE.md.
    pub heard: u64,
    /// After a loss of data: claims wait until *heard* is there.
    pub claims_from: u64,
    /// When the incarnation was raised, as *heard*.
    pub raised_at: Option<u64>,
    /// After a jump of the clock: trimming by age waits until *heard* is there.
    pub trim_from: u64,
    /// The newest id of a consumer.
    pub newest_consumer: u64,
    /// Removed consumers whose data is not deleted yet.
    pub removed: Vec<ConsumerId>,
    /// Rises with each call after which other sessions may have more to claim.
    pub released: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its lease in microseconds.
    pub lease: u64,
    /// *heard* at its last beat.
    pub note: u64,
    /// Number of its last beat.
    pub beat: u64,
    /// The store's time at its last beat.
    pub beat_time: Micros,
    /// When it ended, as *heard*.
    pub ended: Option<u64>,
}

/// What a durable name points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A consumer.
    Consumer(ConsumerId),
    /// It was removed.
    Removed,
}

/// The part of a consumer that most exchanges change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Events up to it have a row or are gone.
    pub position: Position,
    /// Rows may exist after the position up to here: a seek back has left them.
    pub ahead_to: Position,
    /// Rises with the union and with the filters of live sessions.
    pub patterns_number: u64,
    /// Random; differs after each change of the profile, of live members, or of the kinds.
    pub stamp: u64,
    /// Number of the settings that decide. 0 before there are any.
    pub deciding: u64,
    /// Number of moves that began.
    pub moves: u64,
    /// The move that runs.
    pub running: Option<Move>,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Whether it was removed.
    pub removed: bool,
    /// Number of events that were dropped and counted.
    pub dropped: u64,
    /// Number of events that were lost and that no exchange has reported yet.
    pub lost: u64,
    /// Number of waiting rows.
    pub waiting: u64,
    /// Number of waiting rows that are suspects.
    pub suspects: u64,
    /// Number of waiting rows that are blocked.
    pub blocked: u64,
    /// Number of rows in hand.
    pub in_hand: u64,
    /// Number of dead letters.
    pub dead: u64,
    /// Number of dead letters whose announcement is not confirmed.
    pub unannounced: u64,
    /// The row that is in hand alone.
    pub solo: Option<(Position, Token)>,
    /// Ended sessions whose deliveries have not all come back.
    pub ended: Vec<SessionId>,
    /// Kinds whose rows are looked through because they became claimed or unclaimed, and the next position of each.
    pub sweeps: Vec<(KindId, Position)>,
    /// Time of the last exchange or registration.
    pub seen: Micros,
}

/// The part of a consumer that changes when programs or operators change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The durable name.
    pub name: String,
    /// The patterns with which it was ever opened, without those that were given up.
    pub union: Vec<String>,
    /// Given-up patterns: whether their waiting events become dead letters.
    pub forgotten: BTreeMap<String, bool>,
    /// Sets of settings by their numbers.
    pub settings: BTreeMap<u64, Settings>,
}

/// A session at a consumer, as it was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The events that it takes.
    pub filter: EventFilter,
    /// Number of attempts of an event.
    pub attempts: u32,
    /// Delay after a lost lease, in microseconds.
    pub backoff: Micros,
    /// Number of its settings.
    pub settings: u64,
}

/// The exchanges of a session at a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of the last one.
    pub number: u64,
    /// Its answer without the deliveries: those are the rows in hand.
    pub result: Option<Exchanged>,
}

/// A kind of events that rows of a consumer have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKind {
    /// Its number.
    pub id: KindId,
    /// The kind.
    pub kind: Kind,
    /// Whether waiting rows of it may exist.
    pub open: bool,
}

/// An unfinished event before the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Position of the event.
    pub position: Position,
    /// Its kind.
    pub kind: KindId,
    /// Whether it is in hand. Otherwise it waits.
    pub in_hand: bool,
    /// Whether it waits for an earlier event of its key, or for the position of the consumer. It is no candidate then.
    pub blocked: bool,
    /// The key.
    pub key: Option<String>,
    /// Attempts that were handed out and not given back.
    pub attempts: u32,
    /// When it is due.
    pub due: Micros,
    /// In hand: the delivery. Waiting: the delivery whose lease was lost, if nothing has happened since.
    pub token: Option<Token>,
    /// Whether the lease of the last attempt that began was lost: its handler may end the process.
    pub suspect: bool,
    /// Whether it is in hand alone, as a suspect in its last attempt.
    pub solo: bool,
    /// Whether it has a record of its own.
    pub copied: bool,
    /// Error of the last attempt.
    pub error: Option<String>,
    /// Time of the first attempt; 0 before it.
    pub first: Micros,
}

impl Row {
    /// Where the row is found by its key: 0 in hand, else its kind.
    #[must_use]
    pub fn slot(&self) -> u32 {
        if self.in_hand { 0 } else { self.kind }
    }
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Id of the event.
    pub event: EventId,
    /// Name and version.
    pub kind: Kind,
    /// The encoded record.
    pub bytes: Vec<u8>,
    /// Whether it does not match its checksum.
    pub damaged: bool,
}

/// An event whose last attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Position of the event.
    pub position: Position,
    /// Its key.
    pub key: Option<String>,
    /// Its record.
    pub record: StoredRecord,
    /// Error of the last attempt.
    pub error: String,
    /// Number of attempts.
    pub attempts: u32,
    /// Time of the first attempt.
    pub first: Micros,
    /// Time at which it became a dead letter.
    pub last: Micros,
    /// The delivery whose lost lease made it.
    pub lost: Option<Token>,
    /// Whether a program was told of it.
    pub announced: Announced,
}

/// Whether a program was told of a dead letter that no report made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// No.
    No,
    /// In the answer to this exchange, which the session has not confirmed.
    By(Token),
    /// Yes.
    Yes,
}

impl Dead {
    /// The dead letter as operators see it.
    #[must_use]
    pub fn letter(self) -> DeadLetter {
        let mut letter =
            DeadLetter::new(self.record.event, self.record.kind.name, self.position, self.record.bytes);
        (letter.error, letter.attempts) = (self.error, self.attempts);
        letter.first = Timestamp::from_micros(self.first);
        letter.last = Timestamp::from_micros(self.last);
        letter
    }
}

/// The storage of an engine. A call of the store reads and writes through it in one transaction.
///
/// Every query is answered by an index, so that its cost depends on the length of its answer only.
#[allow(missing_docs, reason = "pairs of get and put")]
pub trait Rows {
    /// The engine's error, or a refused call.
    type Error: From<Refusal>;

    fn meta(&mut self) -> Result<Meta, Self::Error>;
    fn put_meta(&mut self, meta: &Meta) -> Result<(), Self::Error>;

    /// The newest position that the log has given out.
    fn newest(&mut self) -> Result<Position, Self::Error>;
    /// The first position that was not trimmed.
    fn begins(&mut self) -> Result<Position, Self::Error>;
    /// The event at a position.
    fn event_at(&mut self, position: Position) -> Result<Option<EventId>, Self::Error>;
    /// The record at a position. A damaged one is not an error.
    fn record_at(&mut self, position: Position) -> Result<Option<StoredRecord>, Self::Error>;
    /// The position and the name of an event.
    fn find(&mut self, event: EventId) -> Result<Option<(Position, String)>, Self::Error>;
    /// The first position whose record has this time or a later one; the position after the newest if none has.
    fn position_at(&mut self, time: Timestamp) -> Result<Position, Self::Error>;
    /// The names of the events from `from` to `to`, and how many there are of each.
    fn names_between(&mut self, from: Position, to: Position) -> Result<Vec<(String, u64)>, Self::Error>;
    /// Deletes the records up to `to`.
    fn trim_log(&mut self, to: Position) -> Result<(), Self::Error>;

    fn session(&mut self, id: SessionId) -> Result<Option<Session>, Self::Error>;
    fn put_session(&mut self, id: SessionId, session: &Session) -> Result<(), Self::Error>;
    /// Deletes a session, with its members and exchanges.
    fn delete_session(&mut self, id: SessionId) -> Result<(), Self::Error>;
    /// Sessions that have ended, or that have not.
    fn sessions(&mut self, ended: bool) -> Result<Vec<(SessionId, Session)>, Self::Error>;

    fn name(&mut self, name: &str) -> Result<Option<Named>, Self::Error>;
    fn put_name(&mut self, name: &str, named: Named) -> Result<(), Self::Error>;
    /// The consumers that were not removed.
    fn consumers(&mut self) -> Result<Vec<ConsumerId>, Self::Error>;

    fn header(&mut self, id: ConsumerId) -> Result<Option<Header>, Self::Error>;
    fn put_header(&mut self, id: ConsumerId, header: &Header) -> Result<(), Self::Error>;
    fn profile(&mut self, id: ConsumerId) -> Result<Profile, Self::Error>;
    fn put_profile(&mut self, id: ConsumerId, profile: &Profile) -> Result<(), Self::Error>;

    fn member(&mut self, id: ConsumerId, session: SessionId) -> Result<Option<Member>, Self::Error>;
    /// Writes a member; `live`: whether its session has not ended.
    fn put_member(
        &mut self,
        id: ConsumerId,
        session: SessionId,
        member: &Member,
        live: bool,
    ) -> Result<(), Self::Error>;
    fn live_members(&mut self, id: ConsumerId) -> Result<BTreeMap<SessionId, Member>, Self::Error>;
    /// The consumers that a session has registered.
    fn consumers_of(&mut self, session: SessionId) -> Result<Vec<ConsumerId>, Self::Error>;
    fn progress(&mut self, id: ConsumerId, session: SessionId) -> Result<Option<Progress>, Self::Error>;
    fn put_progress(
        &mut self,
        id: ConsumerId,
        session: SessionId,
        progress: &Progress,
    ) -> Result<(), Self::Error>;

    fn kinds(&mut self, id: ConsumerId) -> Result<Vec<KnownKind>, Self::Error>;
    fn put_kind(&mut self, id: ConsumerId, kind: &KnownKind) -> Result<(), Self::Error>;

    fn row(&mut self, id: ConsumerId, position: Position) -> Result<Option<Row>, Self::Error>;
    /// Writes a row; `old` is the one that it replaces.
    fn put_row(&mut self, id: ConsumerId, old: Option<&Row>, row: &Row) -> Result<(), Self::Error>;
    fn delete_row(&mut self, id: ConsumerId, old: &Row) -> Result<(), Self::Error>;
    /// The record of a row that has its own.
    fn copy(&mut self, id: ConsumerId, position: Position) -> Result<Option<StoredRecord>, Self::Error>;
    fn put_copy(
        &mut self,
        id: ConsumerId,
        position: Position,
        record: &StoredRecord,
    ) -> Result<(), Self::Error>;
    fn delete_copy(&mut self, id: ConsumerId, position: Position) -> Result<(), Self::Error>;
    /// Rows from `from` to `to`, in the order of their positions.
    fn rows_between(
        &mut self,
        id: ConsumerId,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<Row>, Self::Error>;
    /// The position of the last row.
    fn last_row(&mut self, id: ConsumerId) -> Result<Option<Position>, Self::Error>;
    /// The position of the first row that needs the record of the log.
    fn first_uncopied(&mut self, id: ConsumerId) -> Result<Option<Position>, Self::Error>;
    /// Waiting rows of a kind that are not blocked and are due at a time, the earliest first.
    fn due(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        suspect: bool,
        at: Micros,
        limit: usize,
    ) -> Result<Vec<Row>, Self::Error>;
    /// When the earliest such row is due that is due later.
    fn due_after(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        suspect: bool,
        after: Micros,
    ) -> Result<Option<Micros>, Self::Error>;
    /// Waiting rows of a kind from a position on, in the order of their positions.
    fn waiting(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Row>, Self::Error>;
    /// Number of waiting rows of a kind.
    fn count_waiting(&mut self, id: ConsumerId, kind: KindId) -> Result<u64, Self::Error>;
    /// Rows in hand of a session, in the order of their positions.
    fn in_hand(
        &mut self,
        id: ConsumerId,
        session: SessionId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Row>, Self::Error>;
    /// Number of rows in hand of a session.
    fn count_in_hand(&mut self, id: ConsumerId, session: SessionId) -> Result<usize, Self::Error>;
    /// The first [slot](Row::slot) from `slot` on in which rows have the key, and the position of the first of them.
    fn first_of_key(
        &mut self,
        id: ConsumerId,
        key: &str,
        slot: u32,
    ) -> Result<Option<(u32, Position)>, Self::Error>;

    fn dead(&mut self, id: ConsumerId, position: Position) -> Result<Option<Dead>, Self::Error>;
    fn put_dead(&mut self, id: ConsumerId, old: Option<&Dead>, dead: &Dead) -> Result<(), Self::Error>;
    fn delete_dead(&mut self, id: ConsumerId, old: &Dead) -> Result<(), Self::Error>;
    /// Dead letters after a position and up to `to`.
    fn dead_between(
        &mut self,
        id: ConsumerId,
        after: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<Dead>, Self::Error>;
    /// The position of the last dead letter.
    fn last_dead(&mut self, id: ConsumerId) -> Result<Option<Position>, Self::Error>;
    /// The position of the dead letter of an event.
    fn dead_of(&mut self, id: ConsumerId, event: EventId) -> Result<Option<Position>, Self::Error>;
    /// Dead letters that were announced to a session which has not confirmed it.
    fn announced_to(
        &mut self,
        id: ConsumerId,
        session: SessionId,
    ) -> Result<Vec<(Position, u64)>, Self::Error>;
    /// Dead letters that no one was told of.
    fn unannounced(&mut self, id: ConsumerId, limit: usize) -> Result<Vec<Position>, Self::Error>;
    fn put_announced(
        &mut self,
        id: ConsumerId,
        position: Position,
        old: Announced,
        announced: Announced,
    ) -> Result<(), Self::Error>;

    /// Deletes up to `limit` rows and dead letters of a removed consumer, or, if there are none, everything else except
    /// the header. Returns whether more may be left.
    fn delete_some(&mut self, id: ConsumerId, limit: usize) -> Result<bool, Self::Error>;
    /// Forgets which events from `from` on a consumer has noted by `first_time`.
    fn forget_notes(&mut self, consumer: &str, from: Position) -> Result<(), Self::Error>;
}
