//! A durable adapter of one's own, in memory: `cargo run --example durable_adapter --features durable`.
//!
//! It is written against the facade alone and passes the conformance suite:
//! `cargo test --example durable_adapter --features conformance`. The laws that it keeps are those of [`Adapter`] and
//! [`DurableAdapter`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, Claim, Claimed, Claims, Consumer, ConsumerStatus, Control, DeadLetter,
    DeadLetters, DurableAdapter, Finished, HistoryQuery, Interest, LogId, LogPage, LogQuery, Outcome,
    Published, Receiver, RecordCodec,
};
use typed_events::{Bus, ErrorKind, EventId, Pattern, Record, StartAt, Timestamp, event, on};

/// The number of records a follower copies, and an exchange looks at, at a time.
const BATCH: usize = 1_000;
/// The number of unfinished events from which on a consumer takes no new ones.
const MAX_PENDING: usize = 100_000;

/// An adapter on a shared log. Clones share the log; give each bus its own.
pub struct Shelf {
    shared: Arc<Shared>,
    follower: OnceLock<AbortHandle>,
}

struct Shared {
    /// A tokio mutex: a handler's encoder that panics under it poisons nothing.
    state: Mutex<State>,
    /// The number of changes that consumers may wait for.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The record at position 1 comes first.
    log: Vec<Stored>,
    positions: HashMap<EventId, u64>,
    consumers: BTreeMap<String, Progress>,
}

struct Stored {
    id: EventId,
    name: String,
    version: u32,
    time: Timestamp,
    text: String,
}

/// The state of a consumer: a cursor in the log, the events before it that are not finished, and its dead letters.
#[derive(Default)]
struct Progress {
    patterns: Vec<String>,
    cursor: u64,
    pending: BTreeMap<u64, Pending>,
    dead: BTreeMap<u64, DeadLetter>,
    paused: bool,
    seen: Option<Timestamp>,
    closed: bool,
}

struct Pending {
    attempts: u32,
    /// The token of the last claim.
    token: u64,
    wait: Wait,
    key: Option<String>,
    first: Timestamp,
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Wait {
    /// Handed out until this time.
    Leased(Timestamp),
    /// Not before this time, and not before earlier events of its key.
    Until(Timestamp),
    /// For a program that knows its version.
    Newer,
}

impl Shelf {
    fn new() -> Self {
        let shared = Shared { state: Mutex::default(), changes: watch::Sender::new(0) };
        Self { shared: Arc::new(shared), follower: OnceLock::new() }
    }

    fn tell(&self) {
        self.shared.changes.send_modify(|changes| *changes += 1);
    }
}

impl Clone for Shelf {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), follower: OnceLock::new() }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.follower.get().inspect(|follower| follower.abort());
    }
}

impl Adapter for Shelf {
    fn name(&self) -> String {
        "shelf".to_owned()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            let mut state = self.shared.state.lock().await;
            let (mut published, mut new, mut ids) = (Published::default(), Vec::new(), HashSet::new());
            let mut newest = state.log.last().map_or(Timestamp::from_micros(0), |stored| stored.time);
            for (index, record) in records.iter().enumerate() {
                // Under the lock, so that times never decrease along the log. The id is made of the time.
                newest = newest.max(record.stamp_after(newest));
                let (id, name, version) = (record.id(), record.name().to_owned(), record.version());
                let known = state.positions.get(&id).map(|position| &state.log[*position as usize - 1]);
                match known.is_some() || !ids.insert(id) {
                    true => {
                        let stored = known.and_then(|known| codec.decode(&known.text).ok());
                        published = published.with_duplicate(index, stored);
                    }
                    false => {
                        new.push(Stored { id, name, version, time: newest, text: codec.encode(record)? })
                    }
                }
            }
            for stored in new {
                let position = state.log.len() as u64 + 1;
                state.positions.insert(stored.id, position);
                state.log.push(stored);
            }
            self.tell();
            Ok(published)
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let asked = state.log.iter().filter(|stored| query.takes(&stored.name));
            Ok(query.select(asked.map(|stored| Ok(codec.decode(&stored.text)?))))
        })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let records = state.log.iter().map(|stored| Ok(codec.decode(&stored.text)?));
            Ok(query.select(LogId::new(*b"shelf-of-example"), 1, records))
        })
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async move {
            let next = self.shared.state.lock().await.log.len();
            let task = tokio::spawn(follow(Arc::clone(&self.shared), next, receiver));
            let taken = self.follower.set(task.abort_handle());
            taken.map_err(|_| AdapterError::refused("another bus uses this clone: give each its own"))
        })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.follower.get().inspect(|follower| follower.abort());
        Box::pin(async { Ok(()) })
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        Some(self)
    }
}

/// Passes records of other instances to the live handlers of a bus.
async fn follow(shared: Arc<Shared>, mut next: usize, receiver: Receiver) {
    let mut changes = shared.changes.subscribe();
    loop {
        changes.mark_unchanged();
        let state = shared.state.lock().await;
        let new: Vec<_> = state.log.iter().skip(next).take(BATCH).map(|stored| stored.text.clone()).collect();
        drop(state);
        next += new.len();
        for text in &new {
            match receiver.codec().decode(text) {
                Err(error) => receiver.unreadable(None, &error.to_string()),
                // The bus counts and logs what it refuses.
                Ok(record) => match receiver.deliver(record).await {
                    Err(error) if error.kind() == ErrorKind::Stopped => return,
                    _ => {}
                },
            }
        }
        if new.is_empty() && changes.changed().await.is_err() {
            return;
        }
    }
}

impl DurableAdapter for Shelf {
    fn open<'a>(&'a self, consumer: &'a Arc<Consumer>) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            let mut state = self.shared.state.lock().await;
            let cursor = state.before(consumer.from());
            let new = || Progress { cursor, ..Progress::default() };
            let progress = state.consumers.entry(consumer.name().to_owned()).or_insert_with(new);
            progress.patterns = consumer.patterns().map(str::to_owned).collect();
            (progress.seen, progress.closed) = (Some(Timestamp::now()), false);
            Ok(())
        })
    }

    fn exchange<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        finished: &'a [Finished],
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Claims, AdapterError>> {
        Box::pin(async move {
            let mut state = self.shared.state.lock().await;
            // Before it looks: a later change ends `wait`.
            let mut claims = Claims { seen: *self.shared.changes.borrow(), ..Claims::default() };
            let State { log, consumers, .. } = &mut *state;
            // An operator may have removed it.
            let Some(progress) = consumers.get_mut(consumer.name()) else { return Ok(claims) };
            for finished in finished {
                progress.finish(finished, log, now, &mut claims);
            }
            if max > 0 {
                (progress.seen, progress.closed) = (Some(now), false);
            }
            if max > 0 && !progress.paused {
                progress.hand_out_due(consumer, log, max, now, &mut claims);
                progress.hand_out_new(consumer, log, max, now, &mut claims);
                let times = progress.pending.values().filter_map(|pending| pending.wait.time());
                claims.due = times.filter(|time| *time > now).min();
            }
            Ok(claims)
        })
    }

    fn renew<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        held: &'a [Claim],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            let mut state = self.shared.state.lock().await;
            let Some(progress) = state.consumers.get_mut(consumer.name()) else { return Ok(()) };
            for claim in held {
                if let Some(pending) = progress.leased(claim) {
                    pending.wait = Wait::Leased(lease(consumer, now));
                }
            }
            progress.seen = Some(now);
            Ok(())
        })
    }

    fn close<'a>(
        &'a self,
        consumer: &'a Arc<Consumer>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            let mut state = self.shared.state.lock().await;
            let Some(progress) = state.consumers.get_mut(consumer.name()) else { return Ok(()) };
            (progress.seen, progress.closed) = (Some(now), true);
            self.tell();
            Ok(())
        })
    }

    fn wait(&self, seen: u64) -> BoxFuture<'_, ()> {
        Box::pin(
            async move { drop(self.shared.changes.subscribe().wait_for(|changes| *changes > seen).await) },
        )
    }

    fn consumers(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<ConsumerStatus>, AdapterError>> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let last = state.log.len() as u64;
            Ok(state.consumers.iter().map(|(name, progress)| progress.status(name, last, now)).collect())
        })
    }

    fn count_ahead<'a>(
        &'a self,
        consumer: &'a str,
        max: u64,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let Some(progress) = state.consumers.get(consumer) else { return Ok(None) };
            let ahead = &state.log[progress.cursor as usize..];
            let taken = || ahead.iter().filter(|stored| progress.takes(&stored.name)).count() as u64;
            Ok((ahead.len() as u64 <= max).then(taken))
        })
    }

    fn control<'a>(
        &'a self,
        consumer: &'a str,
        control: Control,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Option<u64>, AdapterError>> {
        Box::pin(async move {
            let mut state = self.shared.state.lock().await;
            let cursor = match control {
                Control::Seek(start) => state.before(start),
                _ => 0,
            };
            let Some(progress) = state.consumers.get_mut(consumer) else { return Ok(None) };
            let concerned = match control {
                Control::Pause | Control::Resume => {
                    progress.paused = control == Control::Pause;
                    1
                }
                Control::Seek(_) => {
                    progress.cursor = cursor;
                    progress.pending.clear();
                    1
                }
                Control::Replay(which) => progress.take_dead(which, |progress, position| {
                    let wait = Wait::Until(now);
                    let again = Pending::new(wait, now);
                    progress.pending.entry(position).or_insert(again);
                }),
                Control::Purge(which) => progress.take_dead(which, |_, _| ()),
                Control::Remove => state.consumers.remove(consumer).map_or(0, |_| 1),
                _ => return Err(AdapterError::refused(format_args!("the shelf can't do {control:?}"))),
            };
            self.tell();
            Ok(Some(concerned))
        })
    }

    fn dead_letters<'a>(
        &'a self,
        consumer: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, AdapterError>> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let dead = state.consumers.get(consumer).into_iter().flat_map(|progress| progress.dead.values());
            Ok(dead.take(limit).cloned().collect())
        })
    }

    fn unfinished(&self, event: EventId) -> BoxFuture<'_, Result<Option<Vec<String>>, AdapterError>> {
        Box::pin(async move {
            let state = self.shared.state.lock().await;
            let Some(position) = state.positions.get(&event) else { return Ok(None) };
            let name = &state.log[*position as usize - 1].name;
            let left = state.consumers.iter().filter(|(_, progress)| {
                let ahead = progress.cursor < *position && progress.takes(name);
                ahead || progress.pending.contains_key(position)
            });
            Ok(Some(left.map(|(name, _)| name.clone()).collect()))
        })
    }
}

fn lease(consumer: &Consumer, now: Timestamp) -> Timestamp {
    let lease = i64::try_from(consumer.lease().as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(lease))
}

impl State {
    /// The last position before a start.
    fn before(&self, start: StartAt) -> u64 {
        let last = self.log.len() as u64;
        match start {
            StartAt::Start => 0,
            StartAt::Position(position) => position.saturating_sub(1).min(last),
            StartAt::Time(time) => self.log.partition_point(|stored| stored.time < time) as u64,
            _ => last,
        }
    }
}

impl Pending {
    fn new(wait: Wait, now: Timestamp) -> Self {
        Self { attempts: 0, token: 0, wait, key: None, first: now, error: None }
    }
}

impl Wait {
    fn time(self) -> Option<Timestamp> {
        match self {
            Self::Leased(time) | Self::Until(time) => Some(time),
            Self::Newer => None,
        }
    }
}

impl Progress {
    fn takes(&self, name: &str) -> bool {
        self.patterns.iter().any(|text| Pattern::new(text).is_ok_and(|pattern| pattern.matches(name)))
    }

    /// The event of a claim, unless it was handed out to another program meanwhile.
    fn leased(&mut self, claim: &Claim) -> Option<&mut Pending> {
        let pending = self.pending.get_mut(&claim.position)?;
        let is_leased = pending.token == claim.token && matches!(pending.wait, Wait::Leased(_));
        is_leased.then_some(pending)
    }

    fn finish(&mut self, finished: &Finished, log: &[Stored], now: Timestamp, claims: &mut Claims) {
        let position = finished.claim.position;
        let Some(pending) = self.leased(&finished.claim) else {
            claims.late.push(finished.claim);
            return;
        };
        match &finished.outcome {
            Outcome::Retry { at, error } => {
                (pending.wait, pending.error) = (Wait::Until(*at), Some(error.clone()));
            }
            Outcome::Returned => {
                (pending.wait, pending.attempts) = (Wait::Until(now), pending.attempts - 1);
            }
            Outcome::Done => drop(self.pending.remove(&position)),
            Outcome::Dead { error, attempts } => {
                let Stored { id, name, text, .. } = &log[position as usize - 1];
                let mut dead = DeadLetter::new(*id, name, position, text.clone().into_bytes());
                (dead.error, dead.attempts) = (error.clone(), *attempts);
                (dead.first, dead.last) = (pending.first, now);
                self.pending.remove(&position);
                self.dead.insert(position, dead);
            }
        }
    }

    /// Hands out events whose time has come, or whose lease has run out, unless an earlier one of their key is pending.
    fn hand_out_due(
        &mut self,
        consumer: &Consumer,
        log: &[Stored],
        max: usize,
        now: Timestamp,
        claims: &mut Claims,
    ) {
        let mut keys = HashSet::new();
        self.pending.retain(|position, pending| {
            let stored = &log[*position as usize - 1];
            let blocked = pending.key.as_ref().is_some_and(|key| keys.contains(key));
            let is_due = pending.wait.time().is_none_or(|time| time <= now) && !blocked;
            if is_due && claims.claimed.len() < max {
                match consumer.interest(&stored.name, stored.version) {
                    Interest::Skip => return false,
                    Interest::Newer => (pending.wait, pending.key) = (Wait::Newer, None),
                    Interest::Take => {
                        let lost_lease = matches!(pending.wait, Wait::Leased(_));
                        let claim = Claim::new(*position, pending.attempts + 1);
                        (pending.attempts, pending.token) = (claim.attempt, claim.token);
                        pending.wait = Wait::Leased(lease(consumer, now));
                        let record = consumer.codec().decode(&stored.text).map_err(AdapterError::from);
                        let last_error = pending.error.clone();
                        claims.claimed.push(Claimed { claim, record, last_error, lost_lease });
                    }
                }
            }
            keys.extend(pending.key.clone());
            true
        });
        claims.more = claims.claimed.len() == max;
    }

    /// Hands out events that the consumer has not looked at.
    fn hand_out_new(
        &mut self,
        consumer: &Consumer,
        log: &[Stored],
        max: usize,
        now: Timestamp,
        claims: &mut Claims,
    ) {
        let mut keys: HashSet<_> = self.pending.values().filter_map(|pending| pending.key.clone()).collect();
        for stored in log.iter().skip(self.cursor as usize).take(BATCH) {
            if claims.claimed.len() == max || self.pending.len() >= MAX_PENDING {
                break;
            }
            self.cursor += 1;
            let mut pending = Pending::new(Wait::Newer, now);
            match consumer.interest(&stored.name, stored.version) {
                Interest::Skip => continue,
                Interest::Newer => {}
                Interest::Take => {
                    let record = consumer.codec().decode(&stored.text).map_err(AdapterError::from);
                    pending.key = record.as_ref().ok().and_then(|record| consumer.key(record));
                    pending.wait = Wait::Until(now);
                    if pending.key.clone().is_none_or(|key| keys.insert(key)) {
                        let claim = Claim::new(self.cursor, 1);
                        (pending.attempts, pending.token) = (1, claim.token);
                        pending.wait = Wait::Leased(lease(consumer, now));
                        claims.claimed.push(Claimed { claim, record, last_error: None, lost_lease: false });
                    }
                }
            }
            self.pending.insert(self.cursor, pending);
        }
        claims.more |= self.pending.len() < MAX_PENDING && self.cursor < log.len() as u64;
    }

    /// Removes dead letters; returns their number.
    fn take_dead(&mut self, which: DeadLetters, mut each: impl FnMut(&mut Self, u64)) -> u64 {
        let is_meant = |dead: &DeadLetter| match which {
            DeadLetters::All => true,
            DeadLetters::Of(event) => dead.event == event,
        };
        let meant: Vec<_> =
            self.dead.values().filter(|dead| is_meant(dead)).map(|dead| dead.position).collect();
        for position in &meant {
            self.dead.remove(position);
            each(self, *position);
        }
        meant.len() as u64
    }

    fn status(&self, name: &str, last: u64, now: Timestamp) -> ConsumerStatus {
        let count = |is: fn(Wait, Timestamp) -> bool| {
            self.pending.values().filter(|pending| is(pending.wait, now)).count() as u64
        };
        let mut status = ConsumerStatus::new(name);
        status.patterns = self.patterns.clone();
        status.position = self.pending.keys().next().map_or(self.cursor, |first| first - 1);
        status.lag = last - self.cursor + self.pending.len() as u64;
        status.in_progress = count(|wait, now| matches!(wait, Wait::Leased(until) if until > now));
        status.newer = count(|wait, _| wait == Wait::Newer);
        status.waiting = self.pending.len() as u64 - status.in_progress - status.newer;
        status.dead = self.dead.len() as u64;
        status.paused = self.paused;
        status.seen_at(self.seen.unwrap_or(now), now);
        status.is_running &= !self.closed;
        status
    }
}

#[event("book.lent")]
pub struct BookLent {
    pub title: String,
}

#[on(durable = "remind", from = "start")]
fn remind(book: &BookLent) {
    println!("remind the reader of {}", book.title);
}

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    let shelf = Shelf::new();
    let desk = Bus::builder().adapter(shelf.clone()).no_handlers().build().await?;
    desk.emit(BookLent { title: "Middlemarch".to_owned() }).await?;
    desk.stop().await?;
    // A bus that starts later handles what its consumer has not finished.
    let office = Bus::builder().adapter(shelf).handler::<remind>().build().await?;
    let emitted = office.emit(BookLent { title: "Emma".to_owned() }).await?;
    emitted.settled().await?;
    println!("{}", office.consumers().await?[0]);
    office.stop().await
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use typed_events::conformance::{Ability, CaseOutcome, Harness, Scale, run};

    use super::Shelf;

    struct Shelves;

    impl Harness for Shelves {
        type Adapter = Shelf;
        type Store = Shelf;

        fn abilities(&self) -> Vec<Ability> {
            vec![Ability::Joins, Ability::History, Ability::Deduplication, Ability::Durable]
        }

        async fn fresh(&self) -> Result<Shelf, String> {
            Ok(Shelf::new())
        }

        fn adapter(&self, shelf: &Shelf) -> Shelf {
            shelf.clone()
        }

        fn scale(&self) -> Scale {
            Scale::small()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_shelf_conforms() {
        let report = run(Shelves).await;
        println!("{report}");
        report.assert_ok();
        for case in report.cases() {
            let CaseOutcome::Skipped(missing) = &case.outcome else { continue };
            assert_eq!(missing[..], [Ability::Append], "only texts of other programs are not tried");
        }
    }
}
