//! Sessions: registering, beats, their end, and a loss of data.

use super::{
    CHUNK, Consumer, DAY, Effect, HOUR, KEPT_SESSIONS, KEPT_SETTINGS, Member, Named, Operation, Session,
    State, Store,
};
use crate::breaks::Break;
use crate::calls::{
    Answer, Beat, Beaten, ConsumerId, Incarnation, Knows, Number, Origin, Position, Refusal, Register,
    Registered, SessionId, Time,
};

impl Store {
    pub(super) fn register(&mut self, time: Time, register: Register) -> Result<Registered, Refusal> {
        if self.sessions.get(&register.session).is_some_and(|session| session.ended.is_some()) {
            return Err(Refusal::SessionEnded);
        }
        let (id, created) = self.open(&register)?;
        if self.incarnation.number == 0 {
            self.incarnation = Incarnation { number: 1, by: register.session };
        }
        let (heard, lease) = (self.heard, register.lease);
        let new = Session { lease, note: heard, beat: 0, beat_time: time, ended: None };
        self.sessions.entry(register.session).or_insert(new);
        if let Some(raised_at) = self.raised_at {
            self.claims_from = self.claims_from.max(raised_at + lease);
        }
        let knows = self.knows();
        let consumer = self.consumer_mut(id)?;
        let settings = consumer.number_of(&register);
        consumer.join(&register, settings);
        let (terms, position) = (consumer.terms(), consumer.position);
        let differs = terms.settings != register.settings;
        Ok(Registered { consumer: id, created, position, knows, terms, differs })
    }

    fn knows(&self) -> Knows {
        Knows { incarnation: self.incarnation, heard: self.heard, newest: self.newest }
    }

    /// The consumer behind the name; creates it unless it was removed and the caller only registers again.
    fn open(&mut self, register: &Register) -> Result<(ConsumerId, bool), Refusal> {
        let again = matches!(register.origin, Origin::Again(_));
        match self.names.get(&register.consumer) {
            Some(Named::Consumer(id)) => return Ok((*id, false)),
            Some(Named::Removed) if again => return Err(Refusal::Removed),
            _ => {}
        }
        let position = match register.origin {
            Origin::Start => 0,
            Origin::Now => self.newest,
            Origin::Again(position) => position,
        };
        self.next_consumer += 1;
        let id = self.next_consumer;
        self.names.insert(register.consumer, Named::Consumer(id));
        self.consumers.insert(id, Consumer { position, ..Consumer::default() });
        Ok((id, true))
    }

    pub(super) fn beat(&mut self, time: Time, beat: Beat) -> Result<Beaten, Refusal> {
        let bound = self.shortest_lease() / 3;
        let unbounded = self.breaks(Break::UnboundedBeat);
        let numbered = !self.breaks(Break::BeatsWithoutNumber);
        let session = self.sessions.get_mut(&beat.session).ok_or(Refusal::UnknownSession)?;
        if session.ended.is_some() {
            return Err(Refusal::SessionEnded);
        }
        if beat.number <= session.beat && numbered {
            return Err(Refusal::OldNumber);
        }
        let elapsed = if unbounded { beat.elapsed } else { beat.elapsed.min(bound) };
        self.heard = self.heard.max(session.note + elapsed);
        let passed = time.saturating_sub(session.beat_time);
        let jumped = beat.elapsed > 0 && passed > beat.elapsed + HOUR;
        (session.note, session.beat, session.beat_time) = (self.heard, beat.number, time);
        if jumped {
            self.trim_from = self.heard + DAY;
        }
        let ended = self.end_silent();
        let dead = self.chunk_of_ended(time);
        self.chunk_of_removed();
        let newest_id = self.log.get(&self.newest).map(|record| record.event.id);
        Ok(Beaten { heard: self.heard, newest: self.newest, newest_id, ended, jumped, dead })
    }

    fn shortest_lease(&self) -> Time {
        let live = self.sessions.values().filter(|session| session.ended.is_none());
        live.map(|session| session.lease).min().unwrap_or(0)
    }

    /// Marks the sessions as ended whose notes are behind *heard* by more than their leases.
    fn end_silent(&mut self) -> Vec<SessionId> {
        let heard = self.heard;
        let silent = self
            .sessions
            .iter()
            .filter(|(_, session)| session.ended.is_none() && session.note + session.lease < heard);
        let silent: Vec<SessionId> = silent.map(|(id, _)| *id).collect();
        for session in &silent {
            self.mark_ended(*session);
        }
        silent
    }

    fn mark_ended(&mut self, id: SessionId) {
        let heard = self.heard;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.ended = Some(heard);
        }
        for consumer in self.consumers.values_mut() {
            if let Some(member) = consumer.members.get_mut(&id) {
                member.live = false;
                consumer.patterns_number += 1;
            }
        }
        self.forget_sessions();
    }

    /// Forgets sessions that ended long ago or are too many, unless their deliveries are still in hand.
    fn forget_sessions(&mut self) {
        let heard = self.heard;
        let mut ended: Vec<(Time, SessionId)> = self
            .sessions
            .iter()
            .filter_map(|(id, session)| session.ended.map(|ended| (ended, *id)))
            .collect();
        ended.sort_unstable();
        let many = ended.len().saturating_sub(KEPT_SESSIONS);
        for (index, (since, id)) in ended.into_iter().enumerate() {
            let in_hand = self.consumers.values().any(|consumer| consumer.in_hand_of(id).next().is_some());
            if !in_hand && (index < many || since + DAY < heard) {
                self.sessions.remove(&id);
                self.consumers.values_mut().for_each(|consumer| drop(consumer.members.remove(&id)));
            }
        }
    }

    pub(super) fn end_session(&mut self, session: SessionId) -> Result<Answer, Refusal> {
        if !self.sessions.contains_key(&session) {
            return Err(Refusal::UnknownSession);
        }
        if self.is_live(session) {
            self.mark_ended(session);
        }
        Ok(Answer::Ended)
    }

    /// A chunk of the deliveries of ended sessions, over all consumers.
    fn chunk_of_ended(&mut self, time: Time) -> Vec<(ConsumerId, Position)> {
        let mut dead = Vec::new();
        for id in self.consumers.keys().copied().collect::<Vec<_>>() {
            dead.extend(self.chunk_of_ended_at(time, id).into_iter().map(|position| (id, position)));
        }
        dead
    }

    /// A chunk of the deliveries of ended sessions at a consumer; returns the dead letters.
    pub(super) fn chunk_of_ended_at(&mut self, time: Time, id: ConsumerId) -> Vec<Position> {
        if self.breaks(Break::EndedKeepsDeliveries) {
            return Vec::new();
        }
        let Ok(consumer) = self.consumer(id) else { return Vec::new() };
        let over = consumer.in_hand().filter(|(position, row)| {
            let session = row.token.map(|token| token.session);
            !session.is_some_and(|session| self.is_live(session)) && !consumer.takes_from_hands(*position)
        });
        let over: Vec<Position> = over.map(|(position, _)| position).take(CHUNK).collect();
        let mut dead = Vec::new();
        for position in over {
            let effect = self.step(time, id, position, &Operation::SessionEnded);
            if effect == Effect::Changed && self.is_dead(id, position) {
                dead.push(position);
            }
        }
        dead
    }

    pub(super) fn is_dead(&self, id: ConsumerId, position: Position) -> bool {
        let state = self.consumers.get(&id).and_then(|consumer| consumer.states.get(&position));
        matches!(state, Some(State::Dead(_)))
    }

    /// Deletes a chunk of the data of removed consumers.
    fn chunk_of_removed(&mut self) {
        for consumer in self.consumers.values_mut().filter(|consumer| consumer.removed) {
            for _ in 0..CHUNK {
                consumer.states.pop_first();
            }
        }
    }

    /// Begins another incarnation, unless another session did.
    pub(super) fn raise(
        &mut self,
        session: SessionId,
        found: Incarnation,
        knew: Incarnation,
        lease: Time,
    ) -> Incarnation {
        if found == self.incarnation {
            let number = found.number.max(knew.number) + 1;
            self.incarnation = Incarnation { number, by: session };
            let longest = self.sessions.values().map(|session| session.lease).max().unwrap_or(0);
            self.raised_at = Some(self.heard);
            self.claims_from = self.heard + longest.max(lease);
        }
        self.incarnation
    }
}

impl Consumer {
    /// The number of the session's set of settings: a new one where the set was not seen before.
    fn number_of(&mut self, register: &Register) -> Number {
        let known = self.settings.iter().find(|(_, settings)| **settings == register.settings);
        if let Some((number, _)) = known {
            return *number;
        }
        let number = self.settings.keys().next_back().copied().unwrap_or(0) + 1;
        self.settings.insert(number, register.settings);
        let unused = |number: &Number| {
            *number != self.deciding && self.members.values().all(|member| member.settings != *number)
        };
        let many = self.settings.len() > KEPT_SETTINGS;
        if let Some(oldest) = self.settings.keys().copied().find(unused).filter(|_| many) {
            self.settings.remove(&oldest);
        }
        number
    }

    fn join(&mut self, register: &Register, settings: Number) {
        let known = self.members.get(&register.session);
        let member = Member {
            patterns: register.patterns.clone(),
            version: register.version,
            budget: register.budget,
            backoff: register.backoff,
            settings,
            number: known.map_or(0, |member| member.number),
            result: known.and_then(|member| member.result.clone()),
            live: true,
        };
        self.members.insert(register.session, member);
        self.union.extend(register.patterns.iter().copied());
        self.forgotten.retain(|pattern, _| !register.patterns.contains(pattern));
        self.patterns_number += 1;
        self.decide();
    }
}
