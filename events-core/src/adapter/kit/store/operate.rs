//! Operators' calls, in chunks.

use super::Store;
use super::consumer::Consumer;
use super::rows::{Named, Rows};
use super::transitions::{Effect, Step};
use crate::adapter::durable::{ConsumerId, Letters, Operated, Operation, Position, Refusal, matches_any};

impl<R: Rows> Store<'_, R> {
    /// Applies an operator's call.
    ///
    /// # Errors
    ///
    /// The refusals of [`DurableAdapter::operate`](crate::DurableAdapter::operate), or the error of the engine.
    pub fn operate(&mut self, id: ConsumerId, operation: &Operation) -> Result<Operated, R::Error> {
        let mut consumer = self.consumer(id)?;
        let done = match operation {
            Operation::Seek(to) => self.seek(&mut consumer, *to)?,
            Operation::RunMove { settings_number, keys } => {
                self.run_move(&mut consumer, *settings_number, keys)?
            }
            Operation::Replay(letters) => self.replay(&mut consumer, *letters)?,
            Operation::Purge(letters) => self.purge(&mut consumer, *letters)?,
            Operation::Remove => self.remove(&mut consumer)?,
            Operation::DropUnclaimed => self.drop_unclaimed(&mut consumer)?,
            Operation::ForgetPattern { pattern, keep } => {
                self.forget_pattern(&mut consumer, pattern, *keep)?
            }
            Operation::Pause | Operation::Resume => {
                consumer.header.paused = *operation == Operation::Pause;
                Operated { affected: 1, ..Operated::default() }
            }
        };
        self.save(consumer)?;
        self.released = true;
        Ok(done)
    }

    /// The dead letters of a call, at most a chunk.
    fn letters(&mut self, consumer: &Consumer, letters: Letters) -> Result<Vec<Position>, R::Error> {
        let limit = self.limits.letters;
        Ok(match letters {
            Letters::Of(event) => self.rows.dead_of(consumer.id, event)?.into_iter().collect(),
            Letters::After(after) => {
                let dead = self.rows.dead_between(consumer.id, after, Position::MAX, limit)?;
                dead.iter().map(|dead| dead.position).collect()
            }
        })
    }

    fn replay(&mut self, consumer: &mut Consumer, letters: Letters) -> Result<Operated, R::Error> {
        if consumer.header.running.is_some() {
            return Err(Refusal::Moving.into());
        }
        let mut done = Operated::default();
        for position in self.letters(consumer, letters)? {
            let dead = self.rows.dead(consumer.id, position)?;
            match dead.is_some_and(|dead| consumer.view.is_in_union(&dead.record.kind.name)) {
                true => {
                    self.step(consumer, position, Step::Replay)?;
                    done.affected += 1;
                }
                false => done.left += 1,
            }
            done.more = Some(position).filter(|_| matches!(letters, Letters::After(_)));
        }
        Ok(done)
    }

    fn purge(&mut self, consumer: &mut Consumer, letters: Letters) -> Result<Operated, R::Error> {
        let mut done = Operated::default();
        for position in self.letters(consumer, letters)? {
            self.step(consumer, position, Step::Purge)?;
            done.affected += 1;
            done.more = Some(position).filter(|_| matches!(letters, Letters::After(_)));
        }
        Ok(done)
    }

    /// One step: the mark. The data goes in chunks.
    fn remove(&mut self, consumer: &mut Consumer) -> Result<Operated, R::Error> {
        consumer.header.removed = true;
        let name = &consumer.view.profile.name;
        self.rows.put_name(name, Named::Removed)?;
        self.rows.forget_notes(name, 0)?;
        self.meta.removed.push(consumer.id);
        Ok(Operated { affected: 1, ..Operated::default() })
    }

    /// Drops waiting events that no live session takes, a chunk of them.
    fn drop_unclaimed(&mut self, consumer: &mut Consumer) -> Result<Operated, R::Error> {
        if consumer.header.running.is_some() {
            return Err(Refusal::Moving.into());
        }
        if consumer.view.members.is_empty() {
            return Err(Refusal::NoSession.into());
        }
        let before = consumer.header.dropped;
        let left = self.drop_rows(consumer)?;
        let dropped = consumer.header.dropped - before;
        Ok(Operated { affected: dropped, dropped, more: left.then_some(0), ..Operated::default() })
    }

    /// Drops a chunk of the rows that no live session takes. Returns whether more are left.
    fn drop_rows(&mut self, consumer: &mut Consumer) -> Result<bool, R::Error> {
        let mut left = self.limits.chunk;
        let view = std::sync::Arc::clone(&consumer.view);
        for known in view.kinds().filter(|known| known.open && !view.is_claimed(known.id)) {
            let rows = self.rows.waiting(consumer.id, known.id, 0, left)?;
            left -= rows.len();
            for row in rows {
                self.step(consumer, row.position, Step::DropUnclaimed)?;
            }
            if left == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives up a pattern. Its waiting events go in chunks, by this call and by exchanges.
    fn forget_pattern(
        &mut self,
        consumer: &mut Consumer,
        pattern: &str,
        keep: bool,
    ) -> Result<Operated, R::Error> {
        let has = |patterns: &[String]| patterns.iter().any(|known| known == pattern);
        if consumer.view.members.values().any(|member| has(&member.filter.patterns)) {
            return Err(Refusal::PatternInUse.into());
        }
        let mut profile = consumer.view.profile.clone();
        if has(&profile.union) {
            profile.union.retain(|known| known != pattern);
            profile.forgotten.insert(pattern.to_owned(), keep);
            self.rows.put_profile(consumer.id, &profile)?;
            self.view_changed(consumer)?;
        }
        let before = consumer.header.dropped;
        let affected = self.chunk_of_forgotten(consumer)?;
        let dropped = consumer.header.dropped - before;
        let more = (affected == self.limits.chunk).then_some(0);
        Ok(Operated { affected: affected as u64, dropped, more, ..Operated::default() })
    }

    /// Waiting events that no pattern takes any more, a chunk of them.
    pub(super) fn chunk_of_forgotten(&mut self, consumer: &mut Consumer) -> Result<usize, R::Error> {
        if consumer.header.running.is_some() {
            return Ok(0);
        }
        let (mut left, mut changed) = (self.limits.chunk, 0);
        for kind in consumer.view.given_up().to_vec() {
            let rows = self.rows.waiting(consumer.id, kind, 0, left)?;
            let keep = consumer.keeps(kind);
            if rows.len() < left {
                self.set_open(consumer, kind, false)?;
            }
            left -= rows.len();
            for row in rows {
                let stepped = self.step(consumer, row.position, Step::Forget(keep))?;
                changed += usize::from(stepped.effect != Effect::Unchanged);
            }
            if left == 0 {
                break;
            }
        }
        Ok(changed)
    }
}

impl Consumer {
    /// Whether rows of a kind that no pattern takes become dead letters.
    fn keeps(&self, kind: u32) -> bool {
        let name = self.view.kind(kind).map_or("", |known| known.kind.name.as_str());
        let mut forgotten = self.view.profile.forgotten.iter();
        forgotten.any(|(pattern, keep)| *keep && matches_any(&[pattern], name))
    }
}
