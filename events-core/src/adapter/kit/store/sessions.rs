//! Sessions: registering, beats, their end, and a loss of data.

use super::consumer::Consumer;
use super::rows::{Member, Micros, Named, Progress, Rows, Session};
use super::transitions::Step;
use super::{Store, heard, micros};
use crate::adapter::durable::{
    Beat, Beaten, Caller, ConsumerId, Incarnation, Knows, Origin, Position, RaiseIncarnation, ReadMark,
    Refusal, Register, Registered, SessionId,
};
use crate::adapter::options::StartAt;
use crate::time::Timestamp;

impl<R: Rows> Store<'_, R> {
    /// Opens a consumer for a session.
    ///
    /// # Errors
    ///
    /// The refusals of [`DurableAdapter::register`](crate::DurableAdapter::register), or the error of the engine.
    pub fn register(&mut self, register: &Register) -> Result<Registered, R::Error> {
        let session = self.rows.session(register.session)?;
        if session.as_ref().is_some_and(|session| session.ended.is_some()) {
            return Err(Refusal::SessionEnded.into());
        }
        let (mut consumer, created) = self.open(register)?;
        if self.meta.incarnation.number == 0 {
            self.meta.incarnation = Incarnation { number: 1, by: register.session };
        }
        let lease = heard(register.lease);
        if session.is_none() {
            let (note, beat_time) = (self.meta.heard, self.time);
            let session = Session { lease, note, beat: 0, beat_time, ended: None };
            self.rows.put_session(register.session, &session)?;
        }
        if let Some(raised_at) = self.meta.raised_at {
            self.meta.claims_from = self.meta.claims_from.max(raised_at.saturating_add(lease));
        }
        self.join(&mut consumer, register)?;
        consumer.header.seen = self.time;
        let (id, terms) = (consumer.id, consumer.view.terms(&consumer.header));
        self.save(consumer)?;
        self.changed = true;
        let differs = terms.settings != register.settings;
        Ok(Registered { consumer: id, created, knows: self.knows(), terms, differs })
    }

    fn knows(&self) -> Knows {
        Knows { incarnation: self.meta.incarnation, heard: self.meta.heard, newest: self.newest }
    }

    /// The consumer behind the name; creates it unless it was removed and the caller only registers again.
    fn open(&mut self, register: &Register) -> Result<(Consumer, bool), R::Error> {
        let again = matches!(register.origin, Origin::Again(_));
        match self.rows.name(&register.consumer)? {
            Some(Named::Consumer(id)) => return Ok((self.consumer(id)?, false)),
            Some(Named::Removed) if again => return Err(Refusal::Removed.into()),
            _ => {}
        }
        let position = match register.origin {
            Origin::New(start) => self.start(start)?.max(self.begins).saturating_sub(1),
            Origin::Again(position) => position.min(self.newest),
        };
        self.meta.newest_consumer += 1;
        let id = ConsumerId(self.meta.newest_consumer);
        self.rows.put_name(&register.consumer, Named::Consumer(id))?;
        Ok((self.new_consumer(id, position), true))
    }

    /// The first position after a start.
    pub(super) fn start(&mut self, start: StartAt) -> Result<Position, R::Error> {
        let next = self.newest + 1;
        Ok(match start {
            StartAt::Start => 1,
            StartAt::Now => next,
            StartAt::Position(position) => position.clamp(1, next),
            StartAt::Time(time) => self.rows.position_at(time)?.clamp(1, next),
        })
    }

    fn join(&mut self, consumer: &mut Consumer, register: &Register) -> Result<(), R::Error> {
        let (id, session) = (consumer.id, register.session);
        let mut profile = consumer.view.profile.clone();
        profile.name.clone_from(&register.consumer);
        let settings = number_of(&mut profile, consumer, register, self.limits.settings);
        for pattern in &register.filter.patterns {
            if !profile.union.contains(pattern) {
                profile.union.push(pattern.clone());
            }
            profile.forgotten.remove(pattern);
        }
        let member = Member {
            filter: register.filter.clone(),
            attempts: register.attempts,
            backoff: micros(register.backoff),
            settings,
        };
        if profile != consumer.view.profile {
            self.rows.put_profile(id, &profile)?;
        }
        self.rows.put_member(id, session, &member, true)?;
        if self.rows.progress(id, session)?.is_none() {
            self.rows.put_progress(id, session, &Progress::default())?;
        }
        self.view_changed(consumer)?;
        self.decide(consumer)
    }

    /// Takes a sign of life.
    ///
    /// # Errors
    ///
    /// The refusals of [`DurableAdapter::beat`](crate::DurableAdapter::beat), or the error of the engine.
    pub fn beat(&mut self, beat: &Beat) -> Result<Beaten, R::Error> {
        let Some(mut session) = self.rows.session(beat.session)? else {
            return Err(Refusal::UnknownSession.into());
        };
        if session.ended.is_some() {
            return Err(Refusal::SessionEnded.into());
        }
        if beat.number <= session.beat {
            return Err(Refusal::OldNumber.into());
        }
        let live = self.rows.sessions(false)?;
        let bound = live.iter().map(|(_, session)| session.lease).min().unwrap_or(0) / 3;
        let elapsed = heard(beat.elapsed);
        self.meta.heard = self.meta.heard.max(session.note.saturating_add(elapsed.min(bound)));
        let passed = self.time.saturating_sub(session.beat_time);
        let jumped = elapsed > 0 && passed > micros(beat.elapsed).saturating_add(self.limits.jump);
        (session.note, session.beat, session.beat_time) = (self.meta.heard, beat.number, self.time);
        if jumped {
            self.meta.trim_from = self.meta.heard.saturating_add(self.limits.day);
        }
        self.rows.put_session(beat.session, &session)?;
        self.changed = true;
        let ended = self.end_silent(live, beat.session)?;
        self.chunks_of_all()?;
        self.chunk_of_removed()?;
        let id = self.rows.event_at(self.newest)?;
        let newest_mark = id.map(|id| ReadMark { position: self.newest, id });
        let time = Timestamp::from_micros(self.time);
        Ok(Beaten { heard: self.meta.heard, newest: self.newest, newest_mark, ended, jumped, time })
    }

    /// Marks the sessions as ended whose notes are behind *heard* by more than their leases.
    fn end_silent(
        &mut self,
        live: Vec<(SessionId, Session)>,
        own: SessionId,
    ) -> Result<Vec<SessionId>, R::Error> {
        let heard = self.meta.heard;
        let is_silent = |(id, session): &(SessionId, Session)| {
            *id != own && session.note.saturating_add(session.lease) < heard
        };
        let mut ended = Vec::new();
        for (id, session) in live.into_iter().filter(is_silent) {
            let seen = session.beat_time;
            self.mark_ended(id, session, seen)?;
            ended.push(id);
        }
        Ok(ended)
    }

    fn mark_ended(&mut self, id: SessionId, session: Session, seen: Micros) -> Result<(), R::Error> {
        self.rows.put_session(id, &Session { ended: Some(self.meta.heard), ..session })?;
        for consumer in self.rows.consumers_of(id)? {
            if let Some(member) = self.rows.member(consumer, id)? {
                self.rows.put_member(consumer, id, &member, false)?;
            }
            if let Some(mut consumer) = self.existing(consumer)? {
                consumer.header.ended.push(id);
                consumer.header.seen = consumer.header.seen.max(seen);
                self.view_changed(&mut consumer)?;
                self.save(consumer)?;
            }
        }
        self.changed = true;
        self.forget_sessions()
    }

    /// A consumer, or none if it was removed.
    pub(super) fn existing(&mut self, id: ConsumerId) -> Result<Option<Consumer>, R::Error> {
        match self.rows.header(id)?.is_some_and(|header| !header.removed) {
            true => self.consumer(id).map(Some),
            false => Ok(None),
        }
    }

    /// Forgets sessions that ended long ago or are too many, unless their deliveries are still in hand.
    fn forget_sessions(&mut self) -> Result<(), R::Error> {
        let mut ended = self.rows.sessions(true)?;
        ended.sort_unstable_by_key(|(id, session)| (session.ended, *id));
        let many = ended.len().saturating_sub(self.limits.ended_sessions);
        for (index, (id, session)) in ended.into_iter().enumerate() {
            let since = session.ended.unwrap_or(0);
            let is_old = since.saturating_add(self.limits.day) < self.meta.heard;
            if (index < many || is_old) && !self.has_in_hand(id)? {
                self.rows.delete_session(id)?;
            }
        }
        Ok(())
    }

    fn has_in_hand(&mut self, session: SessionId) -> Result<bool, R::Error> {
        for consumer in self.rows.consumers_of(session)? {
            if let Some(header) = self.rows.header(consumer)?
                && !header.removed
                && header.ended.contains(&session)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownSession`], or the error of the engine.
    pub fn end_session(&mut self, id: SessionId) -> Result<(), R::Error> {
        let Some(session) = self.rows.session(id)? else { return Err(Refusal::UnknownSession.into()) };
        if session.ended.is_none() {
            self.mark_ended(id, session, self.time)?;
        }
        Ok(())
    }

    /// A chunk of what the ends of sessions have left, at each consumer.
    fn chunks_of_all(&mut self) -> Result<(), R::Error> {
        for id in self.all_consumers()? {
            if let Some(header) = self.rows.header(id)?
                && !header.ended.is_empty()
            {
                let mut consumer = self.consumer(id)?;
                self.chunk_of_ended(&mut consumer)?;
                self.save(consumer)?;
            }
        }
        Ok(())
    }

    /// A chunk of the deliveries of ended sessions at a consumer.
    pub(super) fn chunk_of_ended(&mut self, consumer: &mut Consumer) -> Result<(), R::Error> {
        let mut left = self.limits.chunk;
        for session in consumer.header.ended.clone() {
            let rows = self.rows.in_hand(consumer.id, session, 0, left + 1)?;
            let is_all = rows.len() <= left;
            let mut is_over = is_all;
            for row in rows.into_iter().take(left) {
                // A seek that runs takes it back.
                if consumer.takes_from_hands(row.position) {
                    is_over = false;
                    continue;
                }
                self.step(consumer, row.position, Step::SessionEnded)?;
                self.released = true;
                left -= 1;
            }
            if is_over {
                self.announce_again(consumer, session)?;
                consumer.header.ended.retain(|ended| *ended != session);
            }
            if !is_all || left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Deletes a chunk of the data of removed consumers.
    fn chunk_of_removed(&mut self) -> Result<(), R::Error> {
        for id in self.meta.removed.clone() {
            if !self.rows.delete_some(id, self.limits.chunk)? {
                self.meta.removed.retain(|removed| *removed != id);
                self.views.forget(id);
            }
        }
        Ok(())
    }

    /// Begins another incarnation, unless another session did.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn raise_incarnation(&mut self, raise: &RaiseIncarnation) -> Result<Incarnation, R::Error> {
        if raise.found == self.meta.incarnation {
            let number = raise.found.number.max(raise.knew.number) + 1;
            self.meta.incarnation = Incarnation { number, by: raise.session };
            let all = [self.rows.sessions(false)?, self.rows.sessions(true)?].concat();
            let longest = all.iter().map(|(_, session)| session.lease).max().unwrap_or(0);
            self.meta.raised_at = Some(self.meta.heard);
            self.meta.claims_from = self.meta.heard.saturating_add(longest.max(heard(raise.lease)));
        }
        Ok(self.meta.incarnation)
    }

    /// Whether the caller's session has seen newer data than this store has. For
    /// [`raise_incarnation`](Self::raise_incarnation), which is not refused for that.
    pub fn is_behind(&self, caller: &Caller) -> bool {
        self.loss_of_data(caller).is_some()
    }
}

/// The number of the session's set of settings: a new one where the set was not seen before.
fn number_of(profile: &mut super::Profile, consumer: &Consumer, register: &Register, max: usize) -> u64 {
    let known = profile.settings.iter().find(|(_, settings)| **settings == register.settings);
    if let Some((number, _)) = known {
        return *number;
    }
    let number = profile.settings.keys().next_back().copied().unwrap_or(0) + 1;
    profile.settings.insert(number, register.settings.clone());
    let unused = |number: &u64| {
        *number != consumer.header.deciding
            && !consumer.is_moving_to(*number)
            && consumer.view.members.values().all(|member| member.settings != *number)
    };
    let many = profile.settings.len() > max;
    let oldest = profile.settings.keys().copied().find(|known| *known != number && unused(known));
    if let Some(oldest) = oldest.filter(|_| many) {
        profile.settings.remove(&oldest);
    }
    number
}
