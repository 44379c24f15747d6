//! The stored state: a log, sessions and consumers. It is deterministic and pure: `now` is passed in, and what can be
//! computed from the state is not stored.

mod append;
mod clock;
mod exchange;
mod moves;
mod operate;
mod sessions;
mod transitions;

use std::collections::BTreeMap;

use crate::breaks::Break;
use crate::calls::{
    Answer, Call, Claims, ConsumerId, ConsumerName, Exchanged, Incarnation, Number, Operated, Patterns,
    Position, Record, Refusal, Reply, Request, SessionId, Settings, Terms, Time, Token, Version, take,
};
use clock::Clock;
pub use moves::{Move, MoveKind};
pub use transitions::{Announced, Cause, Context, DeadLetter, Effect, Operation, Row, State, next};

/// Rows that one call changes besides those it names.
pub const CHUNK: usize = 2;
/// Records that a window spans.
pub const WINDOW: u64 = 4;
/// Ended sessions whose last exchange a consumer keeps.
pub const KEPT_SESSIONS: usize = 8;
/// Sets of settings that a consumer keeps.
pub const KEPT_SETTINGS: usize = 16;
/// A jump of the clock that is reported, in ticks.
pub const HOUR: Time = 60;
/// How long, in ticks of *heard*, a jump stops trimming by age, and the last exchange of an ended session is kept.
pub const DAY: Time = 24 * HOUR;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    incarnation: Incarnation,
    clock: Clock,
    /// The log, without trimmed records.
    log: BTreeMap<Position, Record>,
    /// The newest position that was given.
    newest: Position,
    /// A time that only beats advance.
    heard: Time,
    sessions: BTreeMap<SessionId, Session>,
    names: BTreeMap<ConsumerName, Named>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    /// After a loss of data: claims wait until *heard* is there.
    claims_from: Time,
    /// When the incarnation was raised, as *heard*.
    raised_at: Option<Time>,
    /// After a jump of the clock: trimming by age waits until *heard* is there.
    trim_from: Time,
    next_consumer: ConsumerId,
    broken: Option<Break>,
}

/// What a durable name points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Named {
    Consumer(ConsumerId),
    Removed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session {
    lease: Time,
    /// *heard* at its last beat.
    note: Time,
    beat: Number,
    /// The store's time at its last beat.
    beat_time: Time,
    /// When it ended, as *heard*.
    ended: Option<Time>,
}

/// The stored entity behind a durable name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Consumer {
    /// Events up to it have a row or are gone.
    position: Position,
    /// Waiting, in hand, and dead events.
    states: BTreeMap<Position, State>,
    /// The patterns with which it was ever opened, without the forgotten ones.
    union: Patterns,
    /// Rises with the union and with the patterns and versions of live sessions.
    patterns_number: Number,
    /// Given-up patterns: whether their waiting events become dead letters.
    forgotten: BTreeMap<crate::calls::Pattern, bool>,
    /// Sets of settings by their numbers.
    settings: BTreeMap<Number, Settings>,
    /// The set that decides.
    deciding: Number,
    members: BTreeMap<SessionId, Member>,
    running: Option<Move>,
    /// How many moves began.
    moves: Number,
    paused: bool,
    removed: bool,
    /// Events that were dropped and counted.
    dropped: usize,
}

/// A session at a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Member {
    patterns: Patterns,
    version: Version,
    budget: u32,
    backoff: Time,
    /// The number of its set of settings.
    settings: Number,
    /// Of its last exchange.
    number: Number,
    result: Option<Box<Exchanged>>,
    live: bool,
}

impl Store {
    /// An empty store; `broken` is a deliberate mistake in it.
    pub fn new(broken: Option<Break>) -> Self {
        Self { broken, ..Self::default() }
    }

    /// The deliberate mistake in it.
    pub fn broken(&self) -> Option<Break> {
        self.broken
    }

    /// Applies a call at a reading of the engine's clock.
    pub fn apply(&mut self, now: Time, request: Request) -> Reply {
        let mut time = self.clock.at(now);
        if self.broken == Some(Break::TimeIsClock) {
            time = now;
        }
        let answer = match self.compare(&request) {
            Some(refusal) => Answer::Refused(refusal),
            None => self.call(time, request.call).unwrap_or_else(Answer::Refused),
        };
        Reply { time, answer }
    }

    /// Whether the sender knows other or newer data than this store has.
    fn compare(&self, request: &Request) -> Option<Refusal> {
        let knows = request.knows.as_ref()?;
        if matches!(request.call, Call::RaiseIncarnation { .. }) {
            return None;
        }
        if knows.incarnation == self.incarnation {
            let behind = self.heard < knows.heard || self.newest < knows.newest;
            return behind.then_some(Refusal::Behind(self.incarnation));
        }
        if knows.incarnation.number < self.incarnation.number {
            Some(Refusal::OtherIncarnation(self.incarnation))
        } else {
            Some(Refusal::Behind(self.incarnation))
        }
    }

    fn call(&mut self, time: Time, call: Call) -> Result<Answer, Refusal> {
        match call {
            Call::Register(register) => self.register(time, register).map(Answer::Registered),
            Call::Beat(beat) => self.beat(time, beat).map(Answer::Beaten),
            Call::Exchange(exchange) => {
                self.exchange(time, exchange).map(|done| Answer::Exchanged(Box::new(done)))
            }
            Call::EndSession { session } => self.end_session(session),
            Call::RaiseIncarnation { session, found, knew, lease } => {
                Ok(Answer::Raised(self.raise(session, found, knew, lease)))
            }
            Call::Append { events } => Ok(Answer::Appended { duplicates: self.append(time, events) }),
            Call::Read { from, to } => Ok(Answer::Records(
                self.log.range(from..=to.max(from)).map(|(at, record)| (*at, *record)).collect(),
            )),
            Call::Mark => Ok(Answer::Newest { newest: self.newest, begins: self.log_begins() }),
            Call::Settled { to } => Ok(Answer::Settled(self.settled(to))),
            Call::Seek { consumer, to } => self.seek(consumer, to).map(|done| self.operated(consumer, done)),
            Call::RunMove { consumer, settings_number, keys } => self
                .run_move(time, consumer, settings_number, &keys)
                .map(|done| self.operated(consumer, done)),
            Call::Replay { consumer, after } => {
                self.replay(time, consumer, after).map(|done| self.operated(consumer, done))
            }
            Call::Purge { consumer } => self.purge(time, consumer).map(|done| self.operated(consumer, done)),
            Call::Remove { consumer } => self.remove(consumer).map(Answer::Operated),
            Call::DropUnclaimed { consumer, window } => {
                self.drop_unclaimed(time, consumer, &window).map(|done| self.operated(consumer, done))
            }
            Call::ForgetPattern { consumer, pattern, keep } => {
                self.forget_pattern(time, consumer, pattern, keep).map(|done| self.operated(consumer, done))
            }
            Call::Trim { limit, past_consumers } => {
                Ok(Answer::Operated(self.trim(time, limit, past_consumers)))
            }
            Call::Pause { consumer } => self.pause(consumer, true),
            Call::Resume { consumer } => self.pause(consumer, false),
            Call::Status { consumer } => self.status(consumer).map(Answer::Status),
        }
    }

    fn operated(&self, id: ConsumerId, done: Operated) -> Answer {
        let position = self.consumers.get(&id).map_or(0, |consumer| consumer.position);
        Answer::Operated(Operated { position, ..done })
    }

    /// How many rows and records differ from an earlier state: the work of the calls in between.
    pub fn changed_since(&self, before: &Self) -> usize {
        let none = Consumer::default();
        let rows = |now: &Consumer, then: &Consumer| {
            let changed =
                now.states.iter().filter(|(at, state)| then.states.get(*at) != Some(*state)).count();
            changed + then.states.keys().filter(|at| !now.states.contains_key(*at)).count()
        };
        let consumers = self.consumers.iter();
        let rows = consumers.map(|(id, now)| rows(now, before.consumers.get(id).unwrap_or(&none)));
        rows.sum::<usize>() + self.log.len().abs_diff(before.log.len())
    }

    /// Whether nothing differs but the time.
    pub fn is_same(&self, before: &Self) -> bool {
        let clock = self.clock.clone();
        *self == Self { clock, ..before.clone() }
    }

    /// Applies an operation to one event of a consumer.
    fn step(&mut self, time: Time, id: ConsumerId, position: Position, operation: &Operation) -> Effect {
        let record = self.log.get(&position).copied();
        let broken = self.broken;
        let Some(consumer) = self.consumers.get_mut(&id) else { return Effect::Unchanged };
        let state = consumer.take(position);
        let (budget, backoff) = consumer.of_attempt(&state, operation);
        let settings = consumer.settings();
        let (state, effect) =
            next(state, operation, &Context { time, record, budget, backoff, settings, broken });
        consumer.put(position, state);
        if effect == Effect::Dropped {
            consumer.dropped += 1;
        }
        effect
    }

    fn consumer(&self, id: ConsumerId) -> Result<&Consumer, Refusal> {
        match self.consumers.get(&id) {
            Some(consumer) if consumer.removed => Err(Refusal::Removed),
            Some(consumer) => Ok(consumer),
            None => Err(Refusal::UnknownConsumer),
        }
    }

    fn consumer_mut(&mut self, id: ConsumerId) -> Result<&mut Consumer, Refusal> {
        self.consumer(id)?;
        self.consumers.get_mut(&id).ok_or(Refusal::UnknownConsumer)
    }

    /// The position from which on the log has records.
    fn log_begins(&self) -> Position {
        self.log.keys().next().copied().unwrap_or(self.newest + 1)
    }

    fn is_live(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.ended.is_none())
    }

    fn breaks(&self, which: Break) -> bool {
        self.broken == Some(which)
    }
}

impl Consumer {
    fn take(&mut self, position: Position) -> State {
        let derived = if position > self.position { State::After } else { State::Gone };
        self.states.remove(&position).unwrap_or(derived)
    }

    fn put(&mut self, position: Position, state: State) {
        if !matches!(state, State::After | State::Gone) {
            self.states.insert(position, state);
        }
    }

    /// The budget and backoff of the session whose attempt an operation ends.
    fn of_attempt(&self, state: &State, operation: &Operation) -> (u32, Time) {
        let token = match (operation, state) {
            (Operation::Report(report), _) => Some(report.token),
            (_, State::InHand(row)) => row.token,
            _ => None,
        };
        let member = token.and_then(|token| self.members.get(&token.session));
        member.map_or((1, 0), |member| (member.budget, member.backoff))
    }

    /// The set of settings that decides.
    fn settings(&self) -> Settings {
        self.settings.get(&self.deciding).copied().unwrap_or(Settings { ordered_by: None, other: 0 })
    }

    fn terms(&self) -> Terms {
        Terms {
            position: self.position,
            patterns_number: self.patterns_number,
            union: self.union.clone(),
            settings_number: self.deciding,
            settings: self.settings(),
            moves: self.moves,
        }
    }

    fn live(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.live)
    }

    /// Whether a live session takes such events.
    fn is_claimed(&self, name: u8, version: Version) -> bool {
        self.live().any(|member| member.takes(name, version))
    }

    fn in_hand(&self) -> impl Iterator<Item = (Position, &Row)> {
        self.states.iter().filter_map(|(position, state)| match state {
            State::InHand(row) => Some((*position, row)),
            _ => None,
        })
    }

    fn waiting(&self) -> impl Iterator<Item = (Position, &Row)> {
        self.states.iter().filter_map(|(position, state)| match state {
            State::Waiting(row) => Some((*position, row)),
            _ => None,
        })
    }

    fn in_hand_of(&self, session: SessionId) -> impl Iterator<Item = (Position, Token)> {
        self.in_hand().filter_map(move |(position, row)| {
            row.token.filter(|token| token.session == session).map(|token| (position, token))
        })
    }

    /// Whether an earlier event of the key waits for a live session, or is in hand.
    fn key_is_busy(&self, key: Option<u8>, before: Position, broken: Option<Break>) -> bool {
        key.is_some()
            && self.states.range(..before).any(|(_, state)| match state {
                State::InHand(row) => row.key == key,
                State::Waiting(_) if broken == Some(Break::WaitingFreesKey) => false,
                State::Waiting(row) => row.key == key && self.is_claimed(row.name, row.version),
                _ => false,
            })
    }
}

impl Member {
    fn takes(&self, name: u8, version: Version) -> bool {
        take(&self.patterns, name) && version <= self.version
    }
}

impl Exchanged {
    fn empty(terms: Terms) -> Self {
        Self {
            late: Vec::new(),
            dead: Vec::new(),
            announced: Vec::new(),
            deliveries: Vec::new(),
            dropped: 0,
            recount: false,
            void: Vec::new(),
            claims: Claims::NotAsked,
            wants_solo: false,
            moving: false,
            terms,
        }
    }
}
