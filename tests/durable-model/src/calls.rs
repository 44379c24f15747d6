//! The calls that programs, operators and emitters send to a store, and its answers. They are plain data, so that the
//! same calls can be sent to an engine and its answers compared.

use std::collections::BTreeSet;

/// A place in the log, from 1.
pub type Position = u64;
/// A time or a duration, in ticks.
pub type Time = u64;
/// The name of an event.
pub type Name = u8;
/// The version of an event.
pub type Version = u8;
/// The value of the field that orders a consumer.
pub type Key = u8;
/// The id of an event.
pub type EventId = u32;
/// The id of a session: 128 random bits in an engine.
pub type SessionId = u32;
/// The id of a consumer. A removed name gets another id when it is created again.
pub type ConsumerId = u32;
/// The durable name of a consumer.
pub type ConsumerName = u8;
/// The number of an exchange, a beat, a union of patterns, or a set of settings.
pub type Number = u32;

/// One history of the stored data. A session that notices lost data begins another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Rises with each incarnation that follows another one. 0: an empty store.
    pub number: Number,
    /// Distinguishes two incarnations that follow the same one.
    pub by: SessionId,
}

/// Which events a handler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    Every,
    One(Name),
}

pub type Patterns = BTreeSet<Pattern>;

/// Whether one of the patterns takes events of this name.
pub fn take(patterns: &Patterns, name: Name) -> bool {
    patterns.contains(&Pattern::Every) || patterns.contains(&Pattern::One(name))
}

/// An event as it is emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    pub id: EventId,
    pub name: Name,
    pub version: Version,
    /// Fields that a consumer can be ordered by.
    pub fields: [Key; 2],
}

/// An event of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub event: Event,
    /// The log's time, which never decreases.
    pub time: Time,
}

/// Settings that belong to a consumer, not to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The field that orders the events.
    pub ordered_by: Option<u8>,
    /// Stands for all other settings of a consumer.
    pub other: u8,
}

impl Settings {
    /// The key of an event.
    pub fn key(&self, event: &Event) -> Option<Key> {
        self.ordered_by.map(|field| event.fields[usize::from(field) % 2])
    }
}

/// A delivery: the session and the exchange that claimed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    pub session: SessionId,
    pub number: Number,
}

/// A call, with what its sender knows of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Absent for emitters, operators, and a session's first call.
    pub knows: Option<Knows>,
    pub call: Call,
}

/// The newest state that a session has seen. A store that is behind it has lost data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Knows {
    pub incarnation: Incarnation,
    pub heard: Time,
    pub newest: Position,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Register(Register),
    Beat(Beat),
    Exchange(Exchange),
    /// The session ends, with nothing in hand.
    EndSession {
        session: SessionId,
    },
    /// A session noticed that the store has lost data.
    RaiseIncarnation {
        session: SessionId,
        /// The incarnation that the session found.
        found: Incarnation,
        /// The newest incarnation that the session knew.
        knew: Incarnation,
        lease: Time,
    },
    Append {
        events: Vec<Event>,
    },
    /// Reads the log: the records from `from` to `to`.
    Read {
        from: Position,
        to: Position,
    },
    /// The newest position, and where the log begins.
    Mark,
    /// Whether no consumer has an event up to `to` left to handle.
    Settled {
        to: Position,
    },
    /// Begins a move: the next new event is the first at or after `to`.
    Seek {
        consumer: ConsumerId,
        to: SeekTo,
    },
    /// Runs a chunk of the consumer's move, with the new keys of the rows that the last chunk asked for, read by a set of
    /// settings.
    RunMove {
        consumer: ConsumerId,
        settings_number: Number,
        keys: Vec<(Position, Option<Key>)>,
    },
    /// Replays a chunk of dead letters: those after the position.
    Replay {
        consumer: ConsumerId,
        after: Position,
    },
    /// Purges a chunk of dead letters.
    Purge {
        consumer: ConsumerId,
    },
    Remove {
        consumer: ConsumerId,
    },
    /// Drops a chunk of the events that no live session takes.
    DropUnclaimed {
        consumer: ConsumerId,
        window: Window,
    },
    /// Gives up a pattern that no live session has.
    ForgetPattern {
        consumer: ConsumerId,
        pattern: Pattern,
        /// Whether waiting events become dead letters.
        keep: bool,
    },
    /// Trims a chunk of the log.
    Trim {
        limit: TrimLimit,
        /// Whether events that a consumer has not handled are trimmed, too.
        past_consumers: bool,
    },
    Pause {
        consumer: ConsumerId,
    },
    Resume {
        consumer: ConsumerId,
    },
    Status {
        consumer: ConsumerId,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeekTo {
    Start,
    Now,
    Position(Position),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrimLimit {
    /// Up to this position.
    To(Position),
    /// Records whose log time is older than this.
    Age(Time),
}

/// A session opens a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Register {
    pub session: SessionId,
    pub lease: Time,
    pub consumer: ConsumerName,
    pub patterns: Patterns,
    /// The newest version that the program can decode.
    pub version: Version,
    /// Attempts: `retries` + 1.
    pub budget: u32,
    pub backoff: Time,
    pub settings: Settings,
    pub origin: Origin,
}

/// Where a consumer begins that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `build()` with `from = "start"`.
    Start,
    /// `build()` with `from = "now"`.
    Now,
    /// A bus that had the consumer registers again. The position is the newest that it knows and the log still holds.
    Again(Position),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Beat {
    pub session: SessionId,
    pub number: Number,
    /// The session's own monotonic time since the answer to its previous beat. 0 if a beat in between failed.
    pub elapsed: Time,
}

/// A session's call for one consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exchange {
    pub session: SessionId,
    pub consumer: ConsumerId,
    pub number: Number,
    /// The newest number whose answer the session has.
    pub last_answered: Number,
    /// How many deliveries of this session are in hand, before the reports.
    pub in_hand: usize,
    /// All deliveries in hand; others of this session are due again.
    pub named_in_hand: Option<Vec<(Position, Number)>>,
    pub reports: Vec<Report>,
    pub claim: Option<Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    pub position: Position,
    pub token: Token,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    /// Due again after `delay`; a dead letter if the budget is used up.
    Retry {
        delay: Time,
    },
    DeadLetter,
    Undecodable,
    /// Given back before the handler began: no attempt.
    GivenBack,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub max: usize,
    /// Whether the bus has nothing in hand, of any consumer.
    pub solo: bool,
    pub window: Window,
}

/// What the claimer read in the log, from `from` to `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Window {
    /// The union by which events are wanted.
    pub patterns_number: Number,
    /// The settings by which keys were read.
    pub settings_number: Number,
    pub from: Position,
    pub to: Position,
    /// Where the log began. If it begins earlier now, a trim was undone: data was lost.
    pub begins: Position,
    /// The newest record that was read. If the log has another event there, data was lost.
    pub read: Option<(Position, EventId)>,
    /// The events that the union of the consumer's patterns takes.
    pub wanted: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub position: Position,
    pub name: Name,
    pub version: Version,
    pub key: Option<Key>,
    /// Whether the claimer takes the event; else it only holds it for another program.
    pub takes: bool,
}

/// An answer, with the store's time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    pub time: Time,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Registered(Registered),
    Beaten(Beaten),
    Exchanged(Box<Exchanged>),
    Ended,
    Raised(Incarnation),
    Appended {
        duplicates: Vec<EventId>,
    },
    Records(Vec<(Position, Record)>),
    Newest {
        newest: Position,
        /// Records before it were trimmed.
        begins: Position,
    },
    Settled(bool),
    Operated(Operated),
    Status(Status),
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The store is of another incarnation: register again.
    OtherIncarnation(Incarnation),
    /// The store is behind what the session knows: raise the incarnation.
    Behind(Incarnation),
    SessionEnded,
    UnknownSession,
    UnknownConsumer,
    /// The consumer was removed; only a later `build()` creates it again.
    Removed,
    OldNumber,
    /// A move runs.
    Moving,
    /// A live session has the pattern.
    PatternInUse,
    /// No session of the consumer lives.
    NoSession,
    /// The window was made with an old number.
    OldTerms,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registered {
    pub consumer: ConsumerId,
    pub created: bool,
    pub position: Position,
    pub knows: Knows,
    pub terms: Terms,
    /// Whether the deciding settings differ from those of the session: `build()` warns.
    pub differs: bool,
}

/// What a claimer has to know; it goes with each exchange's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    pub position: Position,
    pub patterns_number: Number,
    pub union: Patterns,
    pub settings_number: Number,
    pub settings: Settings,
    /// How many moves began. With the incarnation it tells why a report was late.
    pub moves: Number,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Beaten {
    pub heard: Time,
    pub newest: Position,
    pub newest_id: Option<EventId>,
    /// Sessions that this beat marked as ended.
    pub ended: Vec<SessionId>,
    /// Whether the store's clock jumped ahead since the session's previous beat.
    pub jumped: bool,
    /// Dead letters of ended sessions.
    pub dead: Vec<(ConsumerId, Position)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exchanged {
    /// Reports that changed nothing.
    pub late: Vec<(Position, Token)>,
    /// Dead letters that this exchange made.
    pub dead: Vec<Position>,
    /// Dead letters that no report made, to be logged and passed to `.on_dead_letter`.
    pub announced: Vec<Position>,
    pub deliveries: Vec<Delivery>,
    /// Events dropped by this exchange.
    pub dropped: usize,
    /// The next exchange names all deliveries in hand.
    pub recount: bool,
    /// Deliveries that the session named and does not have any more.
    pub void: Vec<(Position, Number)>,
    pub claims: Claims,
    /// A suspect waits for a session with nothing in hand: claim nothing until then.
    pub wants_solo: bool,
    /// A move runs: send `RunMove`.
    pub moving: bool,
    pub terms: Terms,
}

/// Why an exchange claimed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claims {
    Open,
    Paused,
    Moving,
    /// Programs with another `ordered_by` are alive.
    OtherOrder,
    /// The number of the union is old: no new events.
    OldPatterns,
    OldSettings,
    /// Data was lost: sessions that still have deliveries of it have a lease's time to register.
    DataLost,
    Recount,
    NotAsked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    pub position: Position,
    pub number: Number,
    pub attempt: u32,
    pub solo: bool,
    /// The record, where the log may not have it any more.
    pub copy: Option<Record>,
}

/// The effect of an operator's call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Operated {
    /// The consumer's position.
    pub position: Position,
    pub affected: usize,
    pub dropped: usize,
    /// Dead letters that the operation made.
    pub dead: Vec<Position>,
    /// Dead letters that `Purge` removed.
    pub purged: Vec<Position>,
    /// Events left as they were, such as dead letters that no pattern takes.
    pub left: usize,
    /// Whether the operation has to be called again. For `Replay`: after which position.
    pub more: Option<Position>,
    /// Rows whose new keys the next `RunMove` passes, and the set of settings by which it reads them.
    pub keys: Vec<(Position, Record)>,
    pub keys_by: Option<(Number, Settings)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    pub position: Position,
    pub waiting: usize,
    pub in_hand: usize,
    pub unclaimed: usize,
    pub dead_letters: Vec<Position>,
    pub dropped: usize,
    pub paused: bool,
    pub moving: bool,
}
