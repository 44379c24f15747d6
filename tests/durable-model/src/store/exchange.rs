//! An exchange: the number first, then what is in hand, the reports, and the claim.

use super::{Announced, CHUNK, Consumer, Effect, Operation, State, Store};
use crate::breaks::Break;
use crate::calls::{
    Claim, Claims, ConsumerId, Delivery, Exchange, Exchanged, Number, Position, Refusal, SessionId, Time,
    Token, Wanted, Window,
};

impl Store {
    pub(super) fn exchange(&mut self, time: Time, exchange: Exchange) -> Result<Exchanged, Refusal> {
        let (id, session) = (exchange.consumer, exchange.session);
        let member = self.consumer(id)?.members.get(&session).ok_or(Refusal::UnknownSession)?;
        let last = member.number;
        if exchange.number == last && !self.breaks(Break::RepeatRuns) {
            return self.repeat(id, session);
        }
        if exchange.number < last && !self.breaks(Break::OldNumberRuns) {
            return Err(Refusal::OldNumber);
        }
        if !self.is_live(session) {
            return Err(Refusal::SessionEnded);
        }
        let window = exchange.claim.as_ref().map(|claim| &claim.window);
        if exchange.last_answered > last || window.is_some_and(|window| self.is_other(window)) {
            return Err(Refusal::Behind(self.incarnation));
        }
        let done = self.run_exchange(time, exchange, last)?;
        Ok(done)
    }

    /// Whether the window was read in other data: it ends after the log, the log has another event there, or the log begins
    /// earlier.
    pub(super) fn is_other(&self, window: &Window) -> bool {
        let other = window.read.is_some_and(|(position, id)| {
            position > self.newest || self.log.get(&position).is_some_and(|record| record.event.id != id)
        });
        (other || window.to > self.newest || window.begins > self.log_begins())
            && !self.breaks(Break::WindowWithoutId)
    }

    /// The stored result, with the deliveries of that exchange that are still in hand.
    fn repeat(&self, id: ConsumerId, session: SessionId) -> Result<Exchanged, Refusal> {
        let consumer = self.consumer(id)?;
        let member = consumer.members.get(&session).ok_or(Refusal::UnknownSession)?;
        let mut done = *member.result.clone().ok_or(Refusal::UnknownSession)?;
        let token = Token { session, number: member.number };
        done.deliveries.retain(|delivery| {
            consumer.has(delivery.position, token) && !consumer.takes_from_hands(delivery.position)
        });
        Ok(done)
    }

    fn run_exchange(&mut self, time: Time, exchange: Exchange, last: Number) -> Result<Exchanged, Refusal> {
        let (id, session) = (exchange.consumer, exchange.session);
        let mut done = Exchanged::empty(self.consumer(id)?.terms());
        self.confirm(id, session, exchange.last_answered);
        let in_hand = self.consumer(id)?.in_hand_of(session).count();
        done.recount = exchange.last_answered != last || exchange.in_hand != in_hand;
        if let Some(named) = &exchange.named_in_hand {
            done.void = self.recount(time, id, session, named);
            done.recount = false;
        }
        for report in &exchange.reports {
            let position = report.position;
            let moved = self.consumer(id)?.takes_from_hands(position)
                || (self.breaks(Break::SeekAheadMakesLate) && self.consumer(id)?.is_moved(position));
            let was_dead = self.is_dead(id, position);
            let effect =
                if moved { Effect::Late } else { self.step(time, id, position, &Operation::Report(*report)) };
            match effect {
                Effect::Late | Effect::Unchanged => done.late.push((position, report.token)),
                Effect::Dropped => done.dropped += 1,
                Effect::Changed if !was_dead && self.is_dead(id, position) => done.dead.push(position),
                Effect::Changed => {}
            }
        }
        done.dead.extend(self.chunk_of_ended_at(time, id));
        self.chunk_of_forgotten(time, id, &mut done)?;
        self.consumer_mut(id)?.decide();
        let token = Token { session, number: exchange.number };
        if let Some(claim) = &exchange.claim {
            done.claims = self.gate(id, session, claim, done.recount)?;
            if matches!(done.claims, Claims::Open | Claims::OldPatterns) {
                self.claim(time, id, token, claim, &mut done)?;
            }
        }
        done.announced = self.announce(id, token);
        done.dead.sort_unstable();
        let consumer = self.consumer_mut(id)?;
        done.moving = consumer.running.is_some();
        done.terms = consumer.terms();
        if let Some(member) = consumer.members.get_mut(&session) {
            (member.number, member.result) = (exchange.number, Some(Box::new(done.clone())));
        }
        Ok(done)
    }

    /// The session's deliveries that it did not name are due again; returns those that it named and does not have.
    fn recount(
        &mut self,
        time: Time,
        id: ConsumerId,
        session: SessionId,
        named: &[(Position, Number)],
    ) -> Vec<(Position, Number)> {
        let is_named = |position: Position, token: Token| {
            named.iter().any(|(at, number)| *at == position && *number == token.number)
        };
        let all = self.breaks(Break::ReleaseNamed);
        let Ok(consumer) = self.consumer(id) else { return Vec::new() };
        let not_named = consumer.in_hand_of(session).filter(|(at, token)| all || !is_named(*at, *token));
        let not_named: Vec<Position> = not_named.map(|(position, _)| position).collect();
        let void = named.iter().copied().filter(|(at, number)| {
            let token = Token { session, number: *number };
            !consumer.has(*at, token) || consumer.takes_from_hands(*at)
        });
        let void = void.collect();
        for position in not_named {
            self.step(time, id, position, &Operation::NotNamed);
        }
        void
    }

    /// Waiting events that no pattern takes any more, a chunk of them.
    pub(super) fn chunk_of_forgotten(
        &mut self,
        time: Time,
        id: ConsumerId,
        done: &mut Exchanged,
    ) -> Result<usize, Refusal> {
        let consumer = self.consumer(id)?;
        if consumer.running.is_some() || consumer.forgotten.is_empty() {
            return Ok(0);
        }
        let rows = consumer.waiting().filter(|(_, row)| !crate::calls::take(&consumer.union, row.name));
        let rows: Vec<(Position, bool)> =
            rows.map(|(position, row)| (position, consumer.keeps(row.name))).take(CHUNK).collect();
        for (position, keep) in &rows {
            match self.step(time, id, *position, &Operation::Forget(*keep)) {
                Effect::Dropped => done.dropped += 1,
                _ => done.dead.push(*position),
            }
        }
        Ok(rows.len())
    }

    /// Whether the exchange may claim.
    fn gate(
        &self,
        id: ConsumerId,
        session: SessionId,
        claim: &Claim,
        recount: bool,
    ) -> Result<Claims, Refusal> {
        let consumer = self.consumer(id)?;
        let member = consumer.members.get(&session).ok_or(Refusal::UnknownSession)?;
        let order = consumer.settings.get(&member.settings).map(|settings| settings.ordered_by);
        let held = self.heard < self.claims_from;
        let (named, deciding) = (claim.window.settings_number, consumer.deciding);
        let other = named < deciding || (named != deciding && !self.breaks(Break::OlderSettingsOnly));
        Ok(if recount {
            Claims::Recount
        } else if held && !self.breaks(Break::LossHoldsPositionsOnly) {
            Claims::DataLost
        } else if consumer.running.is_some() {
            Claims::Moving
        } else if consumer.paused {
            Claims::Paused
        } else if order != Some(consumer.settings().ordered_by) {
            Claims::OtherOrder
        } else if other {
            Claims::OldSettings
        } else if claim.window.patterns_number < consumer.patterns_number || held {
            Claims::OldPatterns
        } else {
            Claims::Open
        })
    }

    /// Claims due rows and new events by turns.
    fn claim(
        &mut self,
        time: Time,
        id: ConsumerId,
        token: Token,
        claim: &Claim,
        done: &mut Exchanged,
    ) -> Result<(), Refusal> {
        if self.consumer(id)?.in_hand_of(token.session).any(|(position, _)| self.is_solo(id, position)) {
            return Ok(());
        }
        if let Some(solo) = self.claim_suspect(time, id, token, claim, done)? {
            done.deliveries.push(solo);
            return Ok(());
        }
        let mut new = done.claims == Claims::Open;
        let mut rows = true;
        while done.deliveries.len() < claim.max && (rows || new) {
            if rows {
                match self.claim_row(time, id, token, done)? {
                    Some(delivery) => done.deliveries.push(delivery),
                    None => rows = false,
                }
            }
            if new && done.deliveries.len() < claim.max {
                match self.claim_new(time, id, token, claim)? {
                    Some(delivery) => done.deliveries.push(delivery),
                    None => new = false,
                }
            }
        }
        Ok(())
    }

    /// A suspect in its last attempt is delivered alone, to a bus with nothing in hand, and to one session at a time.
    fn claim_suspect(
        &mut self,
        time: Time,
        id: ConsumerId,
        token: Token,
        claim: &Claim,
        done: &mut Exchanged,
    ) -> Result<Option<Delivery>, Refusal> {
        let consumer = self.consumer(id)?;
        let Some(position) = consumer.due(time, token.session, true, self.broken) else { return Ok(None) };
        done.wants_solo = !self.breaks(Break::SuspectWaitsSilently);
        if !claim.solo || claim.max == 0 || consumer.in_hand().any(|(_, row)| row.solo) {
            return Ok(None);
        }
        self.step(time, id, position, &Operation::ClaimRow(token, true));
        Ok(self.delivery(id, position))
    }

    fn claim_row(
        &mut self,
        time: Time,
        id: ConsumerId,
        token: Token,
        done: &mut Exchanged,
    ) -> Result<Option<Delivery>, Refusal> {
        let consumer = self.consumer(id)?;
        let Some(position) = consumer.due(time, token.session, false, self.broken) else { return Ok(None) };
        let budget = consumer.members.get(&token.session).map_or(1, |member| member.budget);
        self.step(time, id, position, &Operation::ClaimRow(token, false));
        let delivery = self.delivery(id, position);
        if self.breaks(Break::ClaimBuries) && delivery.is_some_and(|delivery| delivery.attempt > budget) {
            self.step(time, id, position, &Operation::SessionEnded);
            done.dead.push(position);
            return Ok(None);
        }
        Ok(delivery)
    }

    /// Moves the position over the window until an event is delivered.
    fn claim_new(
        &mut self,
        time: Time,
        id: ConsumerId,
        token: Token,
        claim: &Claim,
    ) -> Result<Option<Delivery>, Refusal> {
        let (broken, log_begins) = (self.broken, self.log_begins());
        while let Some((position, wanted)) = self.consumer(id)?.next_of(&claim.window, log_begins) {
            let consumer = self.consumer_mut(id)?;
            let busy = wanted.is_some_and(|wanted| consumer.key_is_busy(wanted.key, position, broken));
            let operation = match wanted {
                None => Operation::PassOver,
                Some(wanted) if wanted.takes && !busy => Operation::ClaimNew(wanted, token),
                Some(_) if broken == Some(Break::PassOverUnclaimed) && !busy => Operation::PassOver,
                Some(wanted) => Operation::Hold(wanted),
            };
            self.step(time, id, position, &operation);
            self.consumer_mut(id)?.position = position;
            if matches!(operation, Operation::ClaimNew(..)) {
                return Ok(self.delivery(id, position));
            }
        }
        Ok(None)
    }

    fn delivery(&self, id: ConsumerId, position: Position) -> Option<Delivery> {
        match self.consumers.get(&id)?.states.get(&position)? {
            State::InHand(row) => Some(Delivery {
                position,
                number: row.token?.number,
                attempt: row.attempts,
                solo: row.solo,
                copy: row.copy,
            }),
            _ => None,
        }
    }

    fn is_solo(&self, id: ConsumerId, position: Position) -> bool {
        self.delivery(id, position).is_some_and(|delivery| delivery.solo)
    }

    /// The session has the answers up to this number: what they announced is announced.
    fn confirm(&mut self, id: ConsumerId, session: SessionId, last_answered: Number) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        for state in consumer.states.values_mut() {
            if let State::Dead(dead) = state
                && let Announced::By(token) = dead.announced
                && token.session == session
            {
                let confirmed = token.number <= last_answered;
                dead.announced = if confirmed { Announced::Yes } else { Announced::No };
            }
        }
    }

    /// Announces a chunk of the dead letters that no report made.
    fn announce(&mut self, id: ConsumerId, token: Token) -> Vec<Position> {
        let sessions = &self.sessions;
        let is_live =
            |session: &SessionId| sessions.get(session).is_some_and(|session| session.ended.is_none());
        let Some(consumer) = self.consumers.get_mut(&id) else { return Vec::new() };
        let mut announced = Vec::new();
        for (position, state) in &mut consumer.states {
            if let State::Dead(dead) = state {
                let is_due = match dead.announced {
                    Announced::No => true,
                    Announced::By(token) => !is_live(&token.session),
                    Announced::Yes => false,
                };
                if is_due && announced.len() < CHUNK {
                    dead.announced = Announced::By(token);
                    announced.push(*position);
                }
            }
        }
        announced
    }
}

impl Consumer {
    fn has(&self, position: Position, token: Token) -> bool {
        matches!(self.states.get(&position), Some(State::InHand(row)) if row.token == Some(token))
    }

    /// Whether rows of a forgotten name become dead letters.
    fn keeps(&self, name: u8) -> bool {
        let forgotten = self.forgotten.iter();
        forgotten.filter(|(pattern, _)| crate::calls::take(&[**pattern].into(), name)).any(|(_, keep)| *keep)
    }

    /// The first row that a session may claim: due, taken by it, the first of its key. `alone`: suspects in their last
    /// attempt, else all others.
    fn due(&self, time: Time, session: SessionId, alone: bool, broken: Option<Break>) -> Option<Position> {
        let member = self.members.get(&session)?;
        let due = |row: &super::Row| row.due <= time && member.takes(row.name, row.version);
        let last = |row: &super::Row| row.suspect && row.attempts + 1 >= member.budget;
        let mut rows = self.waiting().filter(|(position, row)| {
            *position <= self.position
                && due(row)
                && last(row) == alone
                && !self.key_is_busy(row.key, *position, broken)
        });
        rows.next().map(|(position, _)| position)
    }

    /// The next position of a window after the consumer's, and the event there if the union takes it and it was not
    /// trimmed after the window was read.
    pub(super) fn next_of(
        &self,
        window: &Window,
        log_begins: Position,
    ) -> Option<(Position, Option<Wanted>)> {
        let position = self.position + 1;
        if !(window.from..=window.to).contains(&position) {
            return None;
        }
        let wanted = window.wanted.iter().find(|wanted| wanted.position == position);
        // A row that a seek left has its own copy, and the position moves over it.
        let has_row = self.states.contains_key(&position);
        Some((position, wanted.copied().filter(|_| !has_row && position >= log_begins)))
    }
}
