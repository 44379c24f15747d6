//! Engines as targets of the runs: the model's calls are sent to them by their contract, and their answers are translated
//! back. Laws 9 and 12 are judged by the model's own store only where they compare states.

mod from_engine;
mod to_engine;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::OnceLock;

use events_core::durable::{
    Caller, ConsumerId as EngineConsumer, DurableAdapter, DurableError, Letters, Operation,
    RaiseIncarnation as EngineRaise, Refusal as EngineRefusal,
};
use events_core::store::{LIMITS, Limits, TrimLimit as EngineTrimLimit};
use events_core::{
    Adapter, ConsumerStatus, InMemory, LogPage, LogPosition, LogQuery, Record as EngineRecord, RecordCodec,
    Timestamp,
};
use tokio::runtime::Runtime;

use crate::calls::{
    Answer, Call, ConsumerId, Operated, Position, Record, Reply, Report, Request, Status, Time, TrimLimit,
};
use crate::program::Target;
use from_engine as from;
use to_engine as to;

/// Bounds as small as those of the model's store.
pub const SMALL: Limits = Limits {
    chunk: 2,
    letters: 2,
    ended_sessions: 8,
    day: 24 * 60 * to::TICK as u64,
    jump: 60 * to::TICK,
    open_kinds: 1,
    ..LIMITS
};

/// What the check needs of an engine besides its contract.
pub trait Checked: Sized {
    fn adapter(&self) -> &dyn Adapter;
    /// Another one without data.
    fn empty(&self) -> Self;
    /// Another one with a copy of all data.
    fn copied(&self) -> Self;
    /// Trims a chunk of records; returns the store's time.
    fn trim(&self, now: Timestamp, limit: EngineTrimLimit, past_consumers: bool) -> Timestamp;
}

impl Checked for InMemory {
    fn adapter(&self) -> &dyn Adapter {
        self
    }

    fn empty(&self) -> Self {
        Self::with_limits(SMALL)
    }

    fn copied(&self) -> Self {
        self.copied()
    }

    fn trim(&self, now: Timestamp, limit: EngineTrimLimit, past_consumers: bool) -> Timestamp {
        self.trim(now, limit, past_consumers).0
    }
}

/// An engine that the programs of a run use.
pub struct Engine<A> {
    adapter: A,
    /// The newest time that the engine has told.
    time: Time,
}

impl<A: Checked> Engine<A> {
    pub fn new(adapter: A) -> Self {
        Self { adapter, time: 0 }
    }
}

impl<A: Checked> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self { adapter: self.adapter.copied(), time: self.time }
    }
}

impl<A: Checked> Target for Engine<A> {
    type Before = ();

    fn apply(&mut self, now: Time, request: Request) -> Reply {
        let before = changes_dead_letters(&request.call).then(|| self.all_dead());
        let mut answer = self.call(now, &request).unwrap_or_else(|error| match error {
            DurableError::Refused(refusal) => Answer::Refused(from::refusal(refusal)),
            DurableError::Failed(error) => panic!("{:?}: {error}", request.call),
        });
        if let Some(before) = before {
            self.add_dead(&request.call, &mut answer, &before);
        }
        Reply { time: self.time, answer }
    }

    fn empty(&self) -> Self {
        Self::new(self.adapter.empty())
    }

    fn before(&self) {}

    fn since(&self, (): &()) -> Option<(bool, usize)> {
        None
    }
}

type Dead = BTreeMap<ConsumerId, Vec<Position>>;

fn changes_dead_letters(call: &Call) -> bool {
    matches!(call, Call::Exchange(_) | Call::Beat(_) | Call::ForgetPattern { .. } | Call::Purge { .. })
}

impl<A: Checked> Engine<A> {
    fn durable(&self) -> &dyn DurableAdapter {
        self.adapter.adapter().durable().expect("the engine has durable consumers")
    }

    fn call(&mut self, now: Time, request: &Request) -> Result<Answer, DurableError> {
        let caller = Caller { knows: request.knows.map(to::knows), now: Some(to::time(now)) };
        let operate = |engine: &Self, consumer: ConsumerId, operation: Operation| {
            let id = EngineConsumer(consumer.into());
            let done = run(engine.durable().operate(&caller, id, &operation))?;
            Ok::<_, DurableError>(Answer::Operated(engine.operated(consumer, done)))
        };
        Ok(match &request.call {
            Call::Register(register) => {
                let registered = run(self.durable().register(&caller, &to::register(register)))?;
                Answer::Registered(from::registered(registered))
            }
            Call::Beat(beat) => {
                let beaten = run(self.durable().beat(&caller, &to::beat(beat)))?;
                self.time = from::time(beaten.time);
                Answer::Beaten(from::beaten(&beaten))
            }
            Call::Exchange(exchange) => {
                let done = run(self.durable().exchange(&caller, &to::exchange(exchange)))?;
                Answer::Exchanged(Box::new(from::exchanged(done)))
            }
            Call::EndSession { session } => {
                run(self.durable().end_session(&caller, to::session(*session)))?;
                Answer::Ended
            }
            Call::RaiseIncarnation { session, found, knew, lease } => {
                let raise = EngineRaise {
                    session: to::session(*session),
                    found: to::incarnation(*found),
                    knew: to::incarnation(*knew),
                    lease: to::duration(*lease),
                };
                Answer::Raised(from::incarnation(run(self.durable().raise_incarnation(&caller, &raise))?))
            }
            Call::Append { events } => {
                // The log's time never decreases.
                let newest = self.page(None, 1).newest().number;
                let time = self.read(newest, newest).first().map_or(now, |(_, record)| record.time.max(now));
                let records: Vec<EngineRecord> = events.iter().map(|event| to::record(event, time)).collect();
                run(self.adapter.adapter().publish(&records, &RecordCodec::default()))?;
                Answer::Appended { duplicates: Vec::new() }
            }
            Call::Read { from, to } => Answer::Records(self.read(*from, *to)),
            Call::Mark => {
                let page = self.page(None, 1);
                Answer::Newest { newest: page.newest().number, begins: page.oldest().number + 1 }
            }
            Call::Settled { to } => Answer::Settled(self.is_settled(*to)),
            Call::Seek { consumer, to } => operate(self, *consumer, Operation::Seek(to::start(*to)))?,
            Call::RunMove { consumer, settings_number, keys } => {
                let keys = keys.iter().map(|(at, key)| (*at, key.map(to::key))).collect();
                let settings_number = (*settings_number).into();
                operate(self, *consumer, Operation::RunMove { settings_number, keys })?
            }
            Call::Replay { consumer, after } => {
                operate(self, *consumer, Operation::Replay(Letters::After(*after)))?
            }
            Call::Purge { consumer } => operate(self, *consumer, Operation::Purge(Letters::After(0)))?,
            Call::Remove { consumer } => {
                let id = EngineConsumer((*consumer).into());
                run(self.durable().operate(&caller, id, &Operation::Remove))?;
                Answer::Operated(Operated::default())
            }
            Call::DropUnclaimed { consumer, .. } => operate(self, *consumer, Operation::DropUnclaimed)?,
            Call::ForgetPattern { consumer, pattern, keep } => {
                let (pattern, keep) = (to::pattern(*pattern), *keep);
                operate(self, *consumer, Operation::ForgetPattern { pattern, keep })?
            }
            Call::Trim { limit, past_consumers } => Answer::Operated(self.trim(now, *limit, *past_consumers)),
            Call::Pause { consumer } => operate(self, *consumer, Operation::Pause)?,
            Call::Resume { consumer } => operate(self, *consumer, Operation::Resume)?,
            Call::Status { consumer } => Answer::Status(self.status(*consumer)?),
        })
    }

    fn trim(&mut self, now: Time, limit: TrimLimit, past_consumers: bool) -> Operated {
        let limit = match limit {
            TrimLimit::To(to) => EngineTrimLimit::To(to),
            TrimLimit::Age(age) => EngineTrimLimit::Age { age: to::micros(age), keep: 0 },
        };
        let before = self.page(None, 1).oldest().number;
        let time = self.adapter.trim(to::time(now), limit, past_consumers);
        let affected = self.page(None, 1).oldest().number - before;
        // A call that changes nothing does not store its time.
        if affected > 0 {
            self.time = self.time.max(from::time(time));
        }
        Operated { affected: affected as usize, ..Operated::default() }
    }

    /// The records after a position.
    fn page(&self, after: Option<LogPosition>, records: u64) -> LogPage {
        let query = LogQuery::new("*").expect("a pattern").max_records(records);
        let query = match after {
            Some(after) => query.after(after),
            None => query,
        };
        run(self.adapter.adapter().read_log(&query, &RecordCodec::default())).expect("the log can be read")
    }

    fn read(&self, from: Position, to: Position) -> Vec<(Position, Record)> {
        let oldest = self.page(None, 1).oldest();
        let after = LogPosition { number: from.saturating_sub(1).max(oldest.number), ..oldest };
        if to <= after.number {
            return Vec::new();
        }
        let records = self.page(Some(after), to - after.number).into_records();
        records
            .into_iter()
            .map(|(at, record)| (at, from::record(&record.expect("a record can be read"))))
            .collect()
    }

    fn statuses(&self) -> Vec<ConsumerStatus> {
        run(self.durable().consumers(&Caller::default())).expect("the status can be read")
    }

    /// The position that the consumer has come to.
    fn cursor(&self, status: &ConsumerStatus) -> Position {
        let behind = status.lag - status.in_progress - status.waiting - status.unclaimed;
        self.page(None, 1).newest().number - behind
    }

    fn is_settled(&self, to: Position) -> bool {
        self.statuses().iter().all(|status| {
            self.cursor(status) >= to && status.in_progress + status.waiting + status.unclaimed == 0
        })
    }

    fn status(&self, consumer: ConsumerId) -> Result<Status, DurableError> {
        let statuses = self.statuses();
        let found = statuses.iter().find(|status| status.id.0 == u64::from(consumer));
        let status = found.ok_or(EngineRefusal::Removed)?;
        Ok(Status {
            position: self.cursor(status),
            waiting: (status.waiting + status.unclaimed) as usize,
            in_hand: status.in_progress as usize,
            unclaimed: status.unclaimed as usize,
            dead_letters: self.dead(consumer),
            dropped: status.dropped as usize,
            paused: status.paused,
            moving: status.moving,
        })
    }

    fn dead(&self, consumer: ConsumerId) -> Vec<Position> {
        let dead = run(self.durable().dead_letters(EngineConsumer(consumer.into()), 0, usize::MAX));
        dead.expect("dead letters can be read").iter().map(|dead| dead.position).collect()
    }

    fn all_dead(&self) -> Dead {
        let ids = self.statuses().into_iter().map(|status| status.id.0 as ConsumerId);
        ids.map(|id| (id, self.dead(id))).collect()
    }

    /// Adds the dead letters that no report made, and those that were purged: engines do not return them, but the observer
    /// has to know.
    fn add_dead(&self, call: &Call, answer: &mut Answer, before: &Dead) {
        let mut new = Vec::new();
        for (consumer, dead) in self.all_dead() {
            let known = before.get(&consumer);
            let is_new = |at: &Position| !known.is_some_and(|known| known.contains(at));
            new.extend(dead.into_iter().filter(is_new).map(|at| (consumer, at)));
        }
        match (call, answer) {
            (Call::Exchange(exchange), Answer::Exchanged(done)) => {
                let reported =
                    |at: Position| exchange.reports.iter().any(|Report { position, .. }| *position == at);
                let silent = new.into_iter().filter(|(id, at)| *id == exchange.consumer && !reported(*at));
                done.dead.extend(silent.map(|(_, at)| at));
                done.dead.sort_unstable();
            }
            (_, Answer::Beaten(beaten)) => beaten.dead = new,
            (Call::Purge { consumer }, Answer::Operated(done)) => {
                let left = self.dead(*consumer);
                let known = before.get(consumer).into_iter().flatten();
                done.purged = known.filter(|at| !left.contains(at)).copied().collect();
            }
            (_, Answer::Operated(done)) => done.dead = new.into_iter().map(|(_, at)| at).collect(),
            _ => {}
        }
    }

    fn operated(&self, consumer: ConsumerId, done: events_core::durable::Operated) -> Operated {
        let position = self.status(consumer).map_or(0, |status| status.position);
        let keys = done.keys.into_iter().filter_map(|(at, copy)| {
            let copy = copy.map(|copy| from::copy(&copy));
            let record = copy.or_else(|| self.read(at, at).first().map(|(_, record)| *record));
            record.map(|record| (at, record))
        });
        Operated {
            position,
            affected: done.affected as usize,
            dropped: done.dropped as usize,
            dead: Vec::new(),
            purged: Vec::new(),
            left: done.left as usize,
            more: done.more,
            keys: keys.collect(),
            keys_by: done.keys_by.map(|(number, settings)| (number as u32, from::settings(&settings))),
        }
    }
}

/// Runs a call of an engine.
pub fn run<T>(call: impl Future<Output = T>) -> T {
    runtime().block_on(call)
}

/// The runtime of the engines.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a runtime")
    })
}
