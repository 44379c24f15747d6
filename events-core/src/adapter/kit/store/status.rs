//! What operators and `settled()` read.

use super::Store;
use super::rows::Rows;
use crate::adapter::durable::{ConsumerId, ConsumerStatus, DeadLetter, Position};
use crate::id::EventId;
use crate::time::Timestamp;

impl<R: Rows> Store<'_, R> {
    /// The status of all consumers.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn consumers(&mut self) -> Result<Vec<ConsumerStatus>, R::Error> {
        let mut listed = Vec::new();
        for id in self.all_consumers()? {
            listed.push(self.status(id)?);
        }
        Ok(listed)
    }

    fn status(&mut self, id: ConsumerId) -> Result<ConsumerStatus, R::Error> {
        let consumer = self.consumer(id)?;
        let (header, view) = (&consumer.header, &consumer.view);
        let mut unclaimed = 0;
        if !view.members.is_empty() {
            for known in view.kinds().filter(|known| known.open && !view.is_claimed(known.id)) {
                unclaimed += self.rows.count_waiting(id, known.id)?;
            }
        }
        let first = self.rows.rows_between(id, 0, Position::MAX, 1)?.first().map(|row| row.position);
        let mut status = ConsumerStatus::new(id, &view.profile.name);
        status.patterns.clone_from(&view.profile.union);
        status.position = first.map_or(header.position, |first| header.position.min(first - 1));
        status.lag = self.newest.saturating_sub(header.position) + header.waiting + header.in_hand;
        (status.in_progress, status.waiting) = (header.in_hand, header.waiting - unclaimed);
        (status.unclaimed, status.dead, status.dropped) = (unclaimed, header.dead, header.dropped);
        (status.paused, status.moving) = (header.paused, header.running.is_some());
        let mut seen = header.seen;
        for session in view.members.keys() {
            seen = seen.max(self.rows.session(*session)?.map_or(0, |session| session.beat_time));
        }
        status.seen = Timestamp::from_micros(seen);
        status.is_running = !view.members.is_empty();
        Ok(status)
    }

    /// Up to `limit` dead letters after a position.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn dead_letters(
        &mut self,
        id: ConsumerId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, R::Error> {
        let known = self.rows.header(id)?.is_some_and(|header| !header.removed);
        let dead = if known { self.rows.dead_between(id, after, Position::MAX, limit)? } else { Vec::new() };
        Ok(dead.into_iter().map(super::Dead::letter).collect())
    }

    /// The names of the consumers that may not have finished an event.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn unfinished(&mut self, event: EventId) -> Result<Option<Vec<String>>, R::Error> {
        let Some((position, name)) = self.rows.find(event)? else { return Ok(None) };
        let mut unfinished = Vec::new();
        for id in self.all_consumers()? {
            let consumer = self.consumer(id)?;
            let is_new = consumer.header.position < position && consumer.view.is_in_union(&name);
            if is_new || self.rows.row(id, position)?.is_some() {
                unfinished.push(consumer.view.profile.name.clone());
            }
        }
        Ok(Some(unfinished))
    }

    /// The name of a consumer.
    ///
    /// # Errors
    ///
    /// The refusal of an unknown or removed consumer, or the error of the engine.
    pub fn name_of(&mut self, id: ConsumerId) -> Result<String, R::Error> {
        Ok(self.consumer(id)?.view.profile.name.clone())
    }
}
