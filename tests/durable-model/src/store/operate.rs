//! Operators' calls, in chunks.

use super::{CHUNK, Effect, Exchanged, Named, Operation, State, Store};
use crate::breaks::Break;
use crate::calls::{Answer, ConsumerId, Operated, Pattern, Position, Refusal, Status, Time, Window, take};

impl Store {
    /// Replays the dead letters after a position, a chunk of them.
    pub(super) fn replay(
        &mut self,
        time: Time,
        id: ConsumerId,
        after: Position,
    ) -> Result<Operated, Refusal> {
        if self.consumer(id)?.running.is_some() && !self.breaks(Break::ReplayWhileMoving) {
            return Err(Refusal::Moving);
        }
        let mut done = Operated::default();
        let dead = self.dead_letters(id)?.into_iter().filter(|position| *position > after);
        for position in dead.take(CHUNK).collect::<Vec<_>>() {
            let consumer = self.consumer(id)?;
            let is_taken = match consumer.states.get(&position) {
                Some(State::Dead(dead)) => take(&consumer.union, dead.copy.event.name),
                _ => false,
            };
            match self.step(time, id, position, &Operation::Replay(is_taken)) {
                Effect::Changed => done.affected += 1,
                _ => done.left += 1,
            }
            done.more = Some(position);
        }
        Ok(done)
    }

    pub(super) fn purge(&mut self, time: Time, id: ConsumerId) -> Result<Operated, Refusal> {
        let mut purged = self.dead_letters(id)?;
        let more = (purged.len() > CHUNK).then_some(0);
        purged.truncate(CHUNK);
        for position in &purged {
            self.step(time, id, *position, &Operation::Purge);
        }
        Ok(Operated { affected: purged.len(), purged, more, ..Operated::default() })
    }

    fn dead_letters(&self, id: ConsumerId) -> Result<Vec<Position>, Refusal> {
        let states = self.consumer(id)?.states.iter();
        Ok(states
            .filter(|(_, state)| matches!(state, State::Dead(_)))
            .map(|(position, _)| *position)
            .collect())
    }

    /// One step: the mark. The data goes in chunks.
    pub(super) fn remove(&mut self, id: ConsumerId) -> Result<Operated, Refusal> {
        self.consumer_mut(id)?.removed = true;
        for named in self.names.values_mut() {
            if *named == Named::Consumer(id) {
                *named = Named::Removed;
            }
        }
        Ok(Operated { affected: 1, ..Operated::default() })
    }

    /// Moves the position over the window: claimed events wait, others are dropped. Then a chunk of rows.
    pub(super) fn drop_unclaimed(
        &mut self,
        time: Time,
        id: ConsumerId,
        window: &Window,
    ) -> Result<Operated, Refusal> {
        let consumer = self.consumer(id)?;
        if consumer.running.is_some() {
            return Err(Refusal::Moving);
        }
        if consumer.live().next().is_none() {
            return Err(Refusal::NoSession);
        }
        if self.is_other(window) {
            return Err(Refusal::Behind(self.incarnation));
        }
        let numbers = (window.patterns_number, window.settings_number);
        if numbers != (consumer.patterns_number, consumer.deciding) || self.heard < self.claims_from {
            return Err(Refusal::OldTerms);
        }
        let mut done = Operated::default();
        let log_begins = self.log_begins();
        while let Some((position, wanted)) = self.consumer(id)?.next_of(window, log_begins) {
            let operation = match wanted {
                None => Operation::PassOver,
                Some(wanted) if self.consumer(id)?.is_claimed(wanted.name, wanted.version) => {
                    Operation::Hold(wanted)
                }
                Some(_) => Operation::DropUnclaimed,
            };
            done.dropped += usize::from(self.step(time, id, position, &operation) == Effect::Dropped);
            self.consumer_mut(id)?.position = position;
        }
        let consumer = self.consumer(id)?;
        let rows = consumer.waiting().filter(|(_, row)| !consumer.is_claimed(row.name, row.version));
        for position in rows.map(|(position, _)| position).take(CHUNK).collect::<Vec<_>>() {
            done.dropped +=
                usize::from(self.step(time, id, position, &Operation::DropUnclaimed) == Effect::Dropped);
        }
        Ok(done)
    }

    /// Gives up a pattern. Its waiting events go in chunks, by this call and by exchanges.
    pub(super) fn forget_pattern(
        &mut self,
        time: Time,
        id: ConsumerId,
        pattern: Pattern,
        keep: bool,
    ) -> Result<Operated, Refusal> {
        let consumer = self.consumer_mut(id)?;
        if consumer.live().any(|member| member.patterns.contains(&pattern)) {
            return Err(Refusal::PatternInUse);
        }
        if consumer.union.remove(&pattern) {
            consumer.patterns_number += 1;
            consumer.forgotten.insert(pattern, keep);
        }
        let mut chunk = Exchanged::empty(consumer.terms());
        let affected = self.chunk_of_forgotten(time, id, &mut chunk)?;
        let more = (affected == CHUNK).then_some(0);
        Ok(Operated { affected, dropped: chunk.dropped, dead: chunk.dead, more, ..Operated::default() })
    }

    pub(super) fn pause(&mut self, id: ConsumerId, paused: bool) -> Result<Answer, Refusal> {
        self.consumer_mut(id)?.paused = paused;
        Ok(Answer::Operated(Operated { affected: 1, ..Operated::default() }))
    }

    pub(super) fn status(&self, id: ConsumerId) -> Result<Status, Refusal> {
        let consumer = self.consumer(id)?;
        let unclaimed =
            |name, version| consumer.live().next().is_some() && !consumer.is_claimed(name, version);
        Ok(Status {
            position: consumer.position,
            waiting: consumer.waiting().count(),
            in_hand: consumer.in_hand().count(),
            unclaimed: consumer.waiting().filter(|(_, row)| unclaimed(row.name, row.version)).count(),
            dead_letters: self.dead_letters(id)?,
            dropped: consumer.dropped,
            paused: consumer.paused,
            moving: consumer.running.is_some(),
        })
    }
}
