//! The twelve laws, checked by an observer that sees calls, answers, and what handlers do, and keeps a ledger of its own
//! for each event and consumer. It never looks at the stored state.

use std::collections::BTreeMap;

use crate::calls::{
    Answer, Beaten, Call, ConsumerId, Delivery, EventId, Exchange, Exchanged, Name, Number, Operated, Origin,
    Outcome, Patterns, Position, Record, Refusal, Register, Registered, Reply, Report, Request, SeekTo,
    SessionId, Settings, Status, Time, Token, TrimLimit, Version, take,
};

/// A law that was broken; 0 is what a scenario expects besides them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broken {
    pub law: u8,
    pub what: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observer {
    log: BTreeMap<Position, Record>,
    newest: Position,
    consumers: BTreeMap<ConsumerId, Ledger>,
    sessions: BTreeMap<SessionId, Witnessed>,
    /// The newest exchange of each session and consumer.
    exchanges: BTreeMap<(SessionId, ConsumerId), (Number, Exchanged)>,
    time: Time,
    /// The newest position when data was last lost.
    lost_at: Option<Position>,
    /// Deliveries that were live when data was lost, of sessions that were not told.
    from_lost: BTreeMap<(ConsumerId, EventId), SessionId>,
    /// When a session noticed the loss, by the real clock.
    noticed: Option<Time>,
    pub broken: Vec<Broken>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Witnessed {
    lease: Time,
    /// The newest call that shows the session alive, by the real clock.
    beat: Time,
    ended: bool,
}

/// What the observer knows of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Ledger {
    begins: Position,
    position: Position,
    union: Patterns,
    settings: Option<Settings>,
    members: BTreeMap<SessionId, (Patterns, Version)>,
    events: BTreeMap<Position, Entry>,
    removed: bool,
}

/// What the observer knows of an event at a consumer, since it was last opened again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Entry {
    /// Of a trimmed record, too.
    record: Option<Record>,
    done: bool,
    dead: bool,
    /// It died without a report, and no program was told.
    unannounced: bool,
    /// It was replayed: it has a copy of its record.
    copied: bool,
    /// The position moved over it while no pattern took it.
    passed: bool,
    /// An operation was allowed to drop it.
    may_drop: bool,
    last: Option<Given>,
    /// Deliveries that count as attempts for certain, and possibly.
    certain: u32,
    possible: u32,
}

/// The newest delivery of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Given {
    token: Token,
    fate: Fate,
    begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Live,
    /// Its session ended.
    Lost,
    /// Reported, given back, or made void.
    Over,
}

impl Observer {
    /// Observes a call and its answer, at a real time.
    pub fn observe(&mut self, request: &Request, reply: &Reply, real: Time) {
        self.law_11_time_never_goes_back(reply.time);
        match (&request.call, &reply.answer) {
            (Call::Register(call), Answer::Registered(answer)) => self.registered(call, answer, real),
            (Call::Beat(beat), Answer::Beaten(answer)) => self.beaten(beat.session, answer, real),
            (Call::Exchange(call), Answer::Exchanged(answer)) => self.exchanged(call, answer, real),
            (Call::EndSession { session }, Answer::Ended) => self.ended(*session),
            (Call::RaiseIncarnation { .. }, Answer::Raised(_)) => self.noticed = self.noticed.or(Some(real)),
            (call, Answer::Operated(answer)) => self.operated(call, answer, reply.time),
            (call, Answer::Refused(Refusal::OtherIncarnation(_) | Refusal::Behind(_))) => {
                if let Some(session) = session_of(call) {
                    self.forget_session(session);
                }
            }
            _ => {}
        }
    }

    /// The log has new records.
    pub fn appended(&mut self, records: impl IntoIterator<Item = (Position, Record)>) {
        for (position, record) in records {
            self.log.insert(position, record);
            self.newest = self.newest.max(position);
        }
    }

    /// The number of the newest exchange of a session at a consumer.
    pub fn newest_exchange(&self, session: SessionId, consumer: ConsumerId) -> Option<Number> {
        self.exchanges.get(&(session, consumer)).map(|(number, _)| *number)
    }

    /// A handler began.
    pub fn begun(&mut self, consumer: ConsumerId, position: Position, token: Token) {
        let Some(ledger) = self.consumers.get_mut(&consumer) else { return };
        let Some(entry) = ledger.events.get_mut(&position) else { return };
        if let Some(last) = entry.last.as_mut().filter(|last| last.token == token && !last.begun) {
            last.begun = true;
            entry.certain += 1;
        }
    }

    /// A program was told of dead letters that no report made.
    pub fn announced(&mut self, consumer: ConsumerId, positions: &[Position]) {
        for position in positions {
            if let Some(entry) = self.ledger(consumer).events.get_mut(position) {
                entry.unannounced = false;
            }
        }
    }

    /// The process of a session is gone, or the session knows that the data was lost: its deliveries of the time before
    /// are over.
    pub fn forget_session(&mut self, session: SessionId) {
        self.from_lost.retain(|_, owner| *owner != session);
    }

    /// The store lost data: this is what remains of it.
    pub fn lose(self, remains: Option<Self>) -> Self {
        let mut remains = remains.unwrap_or_default();
        for (id, ledger) in &self.consumers {
            for entry in ledger.events.values() {
                let live = entry.last.filter(|last| last.fate != Fate::Over);
                if let (Some(given), Some(record)) = (live, entry.record) {
                    remains.from_lost.insert((*id, record.event.id), given.token.session);
                }
            }
            // A program that was told of a dead letter confirms that to the store that came back, too.
            for (at, entry) in ledger.events.iter().filter(|(_, entry)| entry.dead && !entry.unannounced) {
                let remaining = remains.consumers.get_mut(id).and_then(|ledger| ledger.events.get_mut(at));
                if let Some(same) = remaining.filter(|same| same.record == entry.record) {
                    same.unannounced = false;
                }
            }
        }
        remains.broken = self.broken;
        (remains.noticed, remains.time, remains.lost_at) = (None, 0, Some(remains.newest));
        remains
    }

    fn breaks(&mut self, law: u8, what: String) {
        self.broken.push(Broken { law, what });
    }

    fn ledger(&mut self, id: ConsumerId) -> &mut Ledger {
        self.consumers.entry(id).or_default()
    }

    fn registered(&mut self, call: &Register, answer: &Registered, real: Time) {
        let new = Witnessed { lease: call.lease, beat: real, ended: false };
        self.sessions.entry(call.session).or_insert(new);
        if answer.created {
            self.consumers.insert(answer.consumer, Ledger { begins: answer.position, ..Ledger::default() });
            if let (Origin::Again(_), Some(newest)) = (call.origin, self.lost_at)
                && answer.position > newest
            {
                let what =
                    format!("a lost consumer begins at {}, after the loss at {newest}", answer.position);
                self.breaks(1, what);
            }
        }
        let ledger = self.ledger(answer.consumer);
        ledger.position = answer.position;
        ledger.settings = Some(answer.terms.settings);
        ledger.union.extend(call.patterns.iter().copied());
        ledger.members.insert(call.session, (call.patterns.clone(), call.version));
    }

    fn beaten(&mut self, session: SessionId, answer: &Beaten, real: Time) {
        for ended in &answer.ended {
            self.law_7_a_session_that_beats_is_not_ended(*ended, real);
            self.ended(*ended);
        }
        if let Some(witnessed) = self.sessions.get_mut(&session) {
            witnessed.beat = real;
        }
        for (consumer, position) in &answer.dead {
            self.law_5_a_claim_makes_no_dead_letter(*consumer, *position, &[]);
        }
    }

    fn ended(&mut self, session: SessionId) {
        if let Some(witnessed) = self.sessions.get_mut(&session) {
            witnessed.ended = true;
        }
        for ledger in self.consumers.values_mut() {
            ledger.members.remove(&session);
            for entry in ledger.events.values_mut() {
                let own = |last: &&mut Given| last.token.session == session && last.fate == Fate::Live;
                if let Some(last) = entry.last.as_mut().filter(own) {
                    last.fate = Fate::Lost;
                }
            }
        }
    }

    fn exchanged(&mut self, call: &Exchange, answer: &Exchanged, real: Time) {
        let key = (call.session, call.consumer);
        if let Some((number, before)) = self.exchanges.get(&key).cloned() {
            if call.number < number {
                self.law_10_an_old_number_claims_nothing(call, number);
                return;
            }
            if call.number == number {
                self.law_9_a_repeated_exchange_gets_the_same_answer(call, &before, answer);
                return;
            }
        }
        self.exchanges.insert(key, (call.number, answer.clone()));
        self.named(call);
        for report in &call.reports {
            let late = answer.late.contains(&(report.position, report.token));
            self.law_2_a_report_settles_its_own_delivery(call.consumer, report, late);
        }
        for position in &answer.dead {
            self.law_5_a_claim_makes_no_dead_letter(call.consumer, *position, &call.reports);
        }
        let ledger = self.ledger(call.consumer);
        ledger.settings = Some(answer.terms.settings);
        self.moved_to(call.consumer, answer.terms.position);
        for delivery in &answer.deliveries {
            let token = Token { session: call.session, number: delivery.number };
            self.delivered(call.consumer, delivery.position, delivery.attempt, token, real);
        }
    }

    /// Deliveries of the session that it did not name are given back.
    fn named(&mut self, call: &Exchange) {
        let Some(named) = &call.named_in_hand else { return };
        for (position, entry) in &mut self.ledger(call.consumer).events {
            let Some(last) = entry.last else { continue };
            let is_named = named.contains(&(*position, last.token.number));
            if last.token.session == call.session && last.fate == Fate::Live && !is_named {
                entry.given_back();
            }
        }
    }

    /// The position moved ahead over new events.
    fn moved_to(&mut self, consumer: ConsumerId, position: Position) {
        let log = &self.log;
        let ledger = self.consumers.entry(consumer).or_default();
        if position > ledger.position {
            for (at, record) in log.range(ledger.position + 1..=position) {
                let entry = ledger.events.entry(*at).or_default();
                entry.record = Some(*record);
                entry.passed = !take(&ledger.union, record.event.name) && entry.last.is_none();
            }
        }
        ledger.position = ledger.position.max(position);
    }

    fn delivered(&mut self, consumer: ConsumerId, at: Position, attempt: u32, token: Token, real: Time) {
        self.law_3_one_live_delivery(consumer, at, token, real);
        self.law_4_keys_keep_the_order(consumer, at);
        let record = self.log.get(&at).copied();
        let ledger = self.consumers.entry(consumer).or_default();
        let entry = ledger.events.entry(at).or_default();
        entry.record = entry.record.or(record);
        let expected = entry.certain + 1..=entry.possible + 1;
        let (done, is_dead) = (entry.done, entry.dead);
        entry.last = Some(Given { token, fate: Fate::Live, begun: false });
        entry.possible += 1;
        if done || is_dead {
            self.breaks(2, format!("event {at} of consumer {consumer} was finished and is delivered again"));
        }
        self.law_6_attempts_that_began_count(consumer, at, attempt, &expected);
    }

    /// 1. At a quiet end (no faults; every pattern, name and version served) each event is done, a dead letter, or
    ///    counted as dropped.
    pub fn law_1_each_event_is_finished(&mut self, consumer: ConsumerId, status: &Status) {
        let newest = self.newest;
        let Some(ledger) = self.consumers.get(&consumer).filter(|ledger| !ledger.removed) else { return };
        let mut broken = Vec::new();
        let mut dropped = 0;
        for position in ledger.begins + 1..=newest {
            let entry = ledger.events.get(&position);
            let record = self.log.get(&position).copied().or(entry.and_then(|entry| entry.record));
            let is_taken = record.is_some_and(|record| take(&ledger.union, record.event.name));
            let entry = entry.cloned().unwrap_or_default();
            let is_owed = if position <= ledger.position { !entry.passed } else { is_taken };
            if !is_owed || record.is_none() || entry.done || status.dead_letters.contains(&position) {
                continue;
            }
            if entry.may_drop {
                dropped += 1;
            } else {
                broken.push(format!("event {position} of consumer {consumer} is lost: {entry:?}"));
            }
        }
        if dropped > status.dropped {
            broken.push(format!("consumer {consumer}: {dropped} events dropped, {} counted", status.dropped));
        }
        if (status.waiting, status.in_hand) != (0, 0) {
            broken.push(format!("consumer {consumer} is not at rest: {status:?}"));
        }
        broken.into_iter().for_each(|what| self.breaks(1, what));
    }

    /// 2. A report settles its own delivery and nothing else.
    fn law_2_a_report_settles_its_own_delivery(&mut self, consumer: ConsumerId, report: &Report, late: bool) {
        let entry = self.ledger(consumer).events.entry(report.position).or_default();
        let own = entry.last.filter(|last| last.token == report.token);
        let fate = own.map_or(Fate::Over, |last| last.fate);
        // The deliveries of an ended session come back in chunks: one that was not begun may be given back before.
        let is_own = match (fate, report.outcome) {
            (Fate::Over, _) => false,
            (Fate::Lost, Outcome::GivenBack) => own.is_some_and(|last| !last.begun),
            (Fate::Live | Fate::Lost, _) => true,
        };
        if late && fate == Fate::Live {
            let what = format!("{report:?} at consumer {consumer} is late, but its delivery is live");
            self.breaks(2, what);
        } else if !late && !is_own {
            let what =
                format!("{report:?} at consumer {consumer} settled another delivery: {:?}", entry.last);
            self.breaks(2, what);
        } else if !late {
            match report.outcome {
                Outcome::GivenBack => entry.given_back(),
                outcome => entry.reported(outcome),
            }
        }
    }

    /// 3. An event has at most one live delivery at a time.
    fn law_3_one_live_delivery(&mut self, consumer: ConsumerId, at: Position, token: Token, real: Time) {
        let entry = self.ledger(consumer).events.get(&at);
        let live = entry.and_then(|entry| entry.last).filter(|last| last.fate == Fate::Live);
        if let Some(live) = live {
            let what =
                format!("event {at} of consumer {consumer} goes to {token:?} while {:?} has it", live.token);
            self.breaks(3, what);
        }
        // Data was lost: a session that was not told keeps what it has, for the time of a lease.
        let Some(record) = self.log.get(&at) else { return };
        let key = (consumer, record.event.id);
        let Some(owner) = self.from_lost.get(&key).copied() else { return };
        let lease = self.sessions.get(&owner).map_or(0, |session| session.lease);
        if self.noticed.is_some_and(|noticed| real < noticed + lease * 2 / 3) {
            let what =
                format!("event {at} of consumer {consumer} goes to {token:?}; session {owner} has it still");
            self.breaks(3, what);
        }
    }

    /// 4. Events of one key are delivered in the log's order.
    fn law_4_keys_keep_the_order(&mut self, consumer: ConsumerId, at: Position) {
        let Some(ledger) = self.consumers.get(&consumer) else { return };
        let record = |at: &Position| self.log.get(at).copied().or(ledger.events.get(at)?.record);
        let key = |at: &Position| ledger.settings?.key(&record(at)?.event);
        let Some(present) = key(&at) else { return };
        let is_ahead = |before: &Position| {
            let entry = ledger.events.get(before).cloned().unwrap_or_default();
            let is_open = !entry.done && !entry.dead && !entry.passed && !entry.may_drop;
            let event = record(before).map(|record| record.event);
            let is_claimed = event.is_some_and(|event| ledger.is_claimed(event.name, event.version));
            is_open && is_claimed && key(before) == Some(present)
        };
        let ahead = (ledger.begins + 1..at).find(is_ahead);
        if let Some(ahead) = ahead {
            let what = format!("event {at} of consumer {consumer} is delivered before {ahead} of its key");
            self.breaks(4, what);
        }
    }

    /// 5. A claim makes no dead letter: a report, the end of a session, or a pattern that is given up makes it.
    fn law_5_a_claim_makes_no_dead_letter(&mut self, consumer: ConsumerId, at: Position, reports: &[Report]) {
        let ledger = self.consumers.entry(consumer).or_default();
        let union = ledger.union.clone();
        let entry = ledger.events.entry(at).or_default();
        let reported = reports.iter().any(|report| report.position == at);
        let lost = entry.last.is_some_and(|last| last.fate == Fate::Lost);
        let forgotten = entry.record.is_some_and(|record| !take(&union, record.event.name));
        entry.dead = true;
        entry.unannounced = !reported;
        if !reported && !lost && !forgotten {
            self.breaks(
                5,
                format!("event {at} of consumer {consumer} is dead without an end of its attempt"),
            );
        }
    }

    /// 6. A delivery that is given back does not count as an attempt; one that was begun does.
    fn law_6_attempts_that_began_count(
        &mut self,
        consumer: ConsumerId,
        at: Position,
        attempt: u32,
        expected: &std::ops::RangeInclusive<u32>,
    ) {
        if !expected.contains(&attempt) {
            let what = format!("event {at} of consumer {consumer}: attempt {attempt}, expected {expected:?}");
            self.breaks(6, what);
        }
    }

    /// 7. A session that sends beats is not ended. (Others may count a third of a lease at once.)
    fn law_7_a_session_that_beats_is_not_ended(&mut self, session: SessionId, real: Time) {
        let Some(witnessed) = self.sessions.get(&session) else { return };
        let silent = real - witnessed.beat;
        if silent * 3 < witnessed.lease * 2 {
            let what =
                format!("session {session} is ended after a silence of {silent} of {}", witnessed.lease);
            self.breaks(7, what);
        }
    }

    /// 8. The deliveries of an ended session come back to the consumer.
    pub fn law_8_deliveries_of_ended_sessions_come_back(&mut self) {
        let mut broken = Vec::new();
        for (id, ledger) in self.consumers.iter().filter(|(_, ledger)| !ledger.removed) {
            for (at, entry) in &ledger.events {
                let is_lost = entry.last.is_some_and(|last| last.fate == Fate::Lost);
                if is_lost && !entry.done && !entry.dead && !entry.may_drop {
                    broken.push(format!("event {at} of consumer {id} stays with an ended session"));
                }
            }
        }
        broken.into_iter().for_each(|what| self.breaks(8, what));
    }

    /// Not one of the twelve: a dead letter that no report made is announced at least once.
    pub fn dead_letters_are_announced(&mut self) {
        let mut broken = Vec::new();
        for (id, ledger) in self.consumers.iter().filter(|(_, ledger)| !ledger.removed) {
            let silent = ledger.events.iter().filter(|(_, entry)| entry.dead && entry.unannounced);
            broken
                .extend(silent.map(|(at, _)| format!("dead letter {at} of consumer {id} was not announced")));
        }
        broken.into_iter().for_each(|what| self.breaks(0, what));
    }

    /// 9. A repeated exchange changes nothing and gets the same answer: the same result, and those of its deliveries
    ///    that are still in hand.
    fn law_9_a_repeated_exchange_gets_the_same_answer(
        &mut self,
        call: &Exchange,
        before: &Exchanged,
        answer: &Exchanged,
    ) {
        let ledger = self.ledger(call.consumer);
        let fate = |delivery: &Delivery| {
            let last = ledger.events.get(&delivery.position).and_then(|entry| entry.last)?;
            let token = Token { session: call.session, number: delivery.number };
            (last.token == token).then_some(last.fate)
        };
        let mut expected = before.clone();
        expected.deliveries.retain(|delivery| fate(delivery) == Some(Fate::Live));
        // The check of an engine adds dead letters that no report made, which a repeated exchange does not make again.
        let reported = |at: &Position| call.reports.iter().any(|report| report.position == *at);
        let comparable = |exchanged: &Exchanged| Exchanged {
            dead: exchanged.dead.iter().copied().filter(reported).collect(),
            deliveries: Vec::new(),
            ..exchanged.clone()
        };
        // The deliveries of an ended session come back in chunks: until then they are still in hand.
        let same = comparable(answer) == comparable(&expected);
        let complete = expected.deliveries.iter().all(|delivery| answer.deliveries.contains(delivery));
        let known = answer.deliveries.iter().all(|delivery| {
            let in_hand = matches!(fate(delivery), Some(Fate::Live | Fate::Lost));
            in_hand && before.deliveries.contains(delivery)
        });
        if !(same && complete && known) {
            let what = format!(
                "exchange {} of session {}: {expected:?}, again: {answer:?}",
                call.number, call.session
            );
            self.breaks(9, what);
        }
    }

    /// 9. A repeated exchange changes nothing and gets the same answer.
    pub fn law_9_a_repeated_exchange_changes_nothing(&mut self, call: &Call, is_same: bool) {
        let Call::Exchange(call) = call else { return };
        if !is_same {
            self.breaks(
                9,
                format!("exchange {} of session {} changed the store again", call.number, call.session),
            );
        }
    }

    /// 10. An exchange with an old number claims nothing: it is refused.
    fn law_10_an_old_number_claims_nothing(&mut self, call: &Exchange, newest: Number) {
        let what =
            format!("exchange {} of session {} was answered after {newest}", call.number, call.session);
        self.breaks(10, what);
    }

    /// 11. Time never goes back.
    fn law_11_time_never_goes_back(&mut self, time: Time) {
        if time < self.time {
            self.breaks(11, format!("the time was {} and is {time}", self.time));
        }
        self.time = self.time.max(time);
    }

    /// 12. The work per step is bounded, however much waits.
    pub fn law_12_work_is_bounded(&mut self, call: &Call, changed: usize, bound: usize) {
        if changed > bound {
            self.breaks(12, format!("{changed} rows changed, at most {bound} may: {call:?}"));
        }
    }

    fn operated(&mut self, call: &Call, answer: &Operated, time: Time) {
        match call {
            Call::Seek { consumer, to } => self.sought(*consumer, *to),
            Call::Replay { consumer, after } => self.replayed(*consumer, *after, answer.more),
            Call::Purge { consumer } => {
                for position in &answer.purged {
                    // A seek back that has not come to it delivers it again from the log.
                    let in_log = self.log.contains_key(position);
                    let entry = self.ledger(*consumer).events.entry(*position).or_default();
                    if entry.dead || !in_log {
                        entry.purged();
                    }
                }
            }
            Call::Remove { consumer } => self.ledger(*consumer).removed = true,
            Call::DropUnclaimed { consumer, .. } => self.dropped_unclaimed(*consumer, answer),
            Call::ForgetPattern { consumer, pattern, .. } => {
                self.ledger(*consumer).union.remove(pattern);
                self.forgotten(*consumer, answer);
            }
            Call::Trim { limit, past_consumers } => self.trimmed(*limit, *past_consumers, answer, time),
            _ => {}
        }
    }

    fn sought(&mut self, consumer: ConsumerId, to: SeekTo) {
        let (log, newest) = (&self.log, self.newest);
        let Some(ledger) = self.consumers.get_mut(&consumer) else { return };
        let to = match to {
            SeekTo::Start => 1,
            SeekTo::Now => newest + 1,
            SeekTo::Position(to) => to.clamp(1, newest + 1),
        };
        if to > ledger.position {
            for at in ledger.begins + 1..to {
                let entry = ledger.events.entry(at).or_default();
                entry.record = entry.record.or(log.get(&at).copied());
                entry.may_drop |= !entry.done && !entry.dead;
                entry.passed |= at > ledger.position
                    && !entry.record.is_some_and(|record| take(&ledger.union, record.event.name));
            }
        } else {
            ledger.begins = ledger.begins.min(to - 1);
            for (at, entry) in ledger.events.range_mut(to..) {
                if log.contains_key(at) || entry.dead {
                    let copied = !log.contains_key(at);
                    *entry = Entry { record: entry.record, copied, ..Entry::default() };
                } else if !entry.done && !entry.passed {
                    // What was dropped already has no copy any more.
                    let (record, copied, may_drop) = (entry.record, entry.copied, entry.may_drop);
                    *entry = Entry { record, copied, may_drop: may_drop || !copied, ..Entry::default() };
                } else {
                    entry.over();
                }
            }
        }
        ledger.position = to - 1;
    }

    fn replayed(&mut self, consumer: ConsumerId, after: Position, until: Option<Position>) {
        let Some(until) = until else { return };
        let ledger = self.ledger(consumer);
        let union = &ledger.union;
        for (_, entry) in ledger.events.range_mut(after + 1..=until).filter(|(_, entry)| entry.dead) {
            if entry.record.is_some_and(|record| take(union, record.event.name)) {
                *entry = Entry { record: entry.record, copied: true, ..Entry::default() };
            }
        }
    }

    fn dropped_unclaimed(&mut self, consumer: ConsumerId, answer: &Operated) {
        let (log, newest) = (self.log.clone(), self.newest);
        self.moved_to(consumer, answer.position);
        let ledger = self.ledger(consumer);
        let members: Vec<_> = ledger.members.values().cloned().collect();
        for at in ledger.begins + 1..=newest {
            let entry = ledger.events.entry(at).or_default();
            // A dead letter that a seek back has opened again has a row after the position.
            if at > answer.position && !entry.copied {
                continue;
            }
            let event = entry.record.or(log.get(&at).copied()).map(|record| record.event);
            let claimed = event.is_some_and(|event| {
                members
                    .iter()
                    .any(|(patterns, version)| take(patterns, event.name) && event.version <= *version)
            });
            entry.may_drop |= !claimed && !entry.done && !entry.dead;
        }
    }

    fn forgotten(&mut self, consumer: ConsumerId, answer: &Operated) {
        let ledger = self.ledger(consumer);
        let union = &ledger.union;
        for entry in ledger.events.values_mut() {
            let is_taken = entry.record.is_some_and(|record| take(union, record.event.name));
            entry.may_drop |= !is_taken && !entry.done && !entry.dead;
        }
        for position in &answer.dead {
            self.law_5_a_claim_makes_no_dead_letter(consumer, *position, &[]);
        }
    }

    fn trimmed(&mut self, limit: TrimLimit, past_consumers: bool, answer: &Operated, time: Time) {
        let gone: Vec<(Position, Record)> =
            self.log.iter().take(answer.affected).map(|(position, record)| (*position, *record)).collect();
        for (at, record) in gone {
            let allowed = match limit {
                TrimLimit::To(to) => at <= to,
                TrimLimit::Age(age) => record.time + age < time,
            };
            self.log.remove(&at);
            let mut broken = !allowed;
            for ledger in self.consumers.values_mut().filter(|ledger| !ledger.removed) {
                let entry = ledger.events.entry(at).or_default();
                entry.record = entry.record.or(Some(record));
                let was_new = at > ledger.position && !take(&ledger.union, record.event.name);
                entry.passed |= was_new || at <= ledger.begins;
                let is_owed = at > ledger.begins && !entry.passed && take(&ledger.union, record.event.name);
                let is_open = is_owed && !entry.done && !entry.dead && !entry.may_drop && !entry.copied;
                entry.may_drop |= is_open && past_consumers;
                broken |= is_open && !past_consumers;
            }
            if broken {
                self.breaks(1, format!("event {at} is trimmed before it is finished"));
            }
        }
    }
}

impl Ledger {
    fn is_claimed(&self, name: Name, version: Version) -> bool {
        self.members.values().any(|(patterns, newest)| take(patterns, name) && version <= *newest)
    }
}

impl Entry {
    fn over(&mut self) {
        if let Some(last) = &mut self.last {
            last.fate = Fate::Over;
        }
    }

    fn given_back(&mut self) {
        self.over();
        self.possible -= 1;
    }

    fn reported(&mut self, outcome: Outcome) {
        self.over();
        self.certain = self.certain.max(1);
        if outcome == Outcome::Ok {
            (self.done, self.dead) = (true, false);
        }
    }

    fn purged(&mut self) {
        (self.done, self.dead) = (true, false);
        self.over();
    }
}

fn session_of(call: &Call) -> Option<SessionId> {
    match call {
        Call::Register(call) => Some(call.session),
        Call::Beat(call) => Some(call.session),
        Call::Exchange(call) => Some(call.session),
        Call::EndSession { session } => Some(*session),
        _ => None,
    }
}
