//! Trimming, and what it makes of unfinished events.

use super::Store;
use super::consumer::Consumer;
use super::rows::{Micros, Rows};
use super::transitions::Step;
use crate::adapter::durable::{ConsumerId, Position};
use crate::time::Timestamp;

/// The records that may be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimLimit {
    /// Those up to a position.
    To(Position),
    /// Those that are older than this, in microseconds, without the newest ones. None for a day after a jump of the clock.
    Age {
        /// The age.
        age: Micros,
        /// Number of records that are kept at least.
        keep: u64,
    },
}

/// What a trim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The last position that was trimmed, if any was.
    pub to: Option<Position>,
    /// Whether more may be trimmed at once.
    pub more: bool,
}

impl<R: Rows> Store<'_, R> {
    /// Trims records, at most `most`. Unless `past_consumers`, those are kept that a consumer needs.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn trim(&mut self, limit: TrimLimit, most: u64, past_consumers: bool) -> Result<Trimmed, R::Error> {
        let mut until = match limit {
            TrimLimit::To(to) => to.min(self.newest),
            TrimLimit::Age { .. } if self.meta.heard < self.meta.trim_from => 0,
            TrimLimit::Age { age, keep } => {
                let oldest = Timestamp::from_micros(self.time.saturating_sub(age));
                let before = self.rows.position_at(oldest)?.saturating_sub(1);
                before.min(self.newest.saturating_sub(keep))
            }
        };
        if !past_consumers {
            until = until.min(self.held_up_from()?.map_or(Position::MAX, |(held, _)| held.saturating_sub(1)));
        }
        let end = until.min(self.begins.saturating_add(most).saturating_sub(1));
        if end < self.begins {
            return Ok(Trimmed::default());
        }
        if past_consumers {
            for id in self.all_consumers()? {
                let mut consumer = self.consumer(id)?;
                self.trim_past(&mut consumer, end)?;
                self.save(consumer)?;
            }
        }
        self.rows.trim_log(end)?;
        (self.begins, self.changed) = (end + 1, true);
        Ok(Trimmed { to: Some(end), more: end < until })
    }

    /// The first position that a consumer needs, and that consumer: the log keeps records from there on.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn held_up_from(&mut self) -> Result<Option<(Position, ConsumerId)>, R::Error> {
        let mut first = None;
        for id in self.all_consumers()? {
            let Some(header) = self.rows.header(id)? else { continue };
            let row = match header.waiting + header.in_hand {
                0 => None,
                _ => self.rows.first_uncopied(id)?,
            };
            let needed = row.map_or(header.position + 1, |row| row.min(header.position + 1));
            first = [first, Some((needed, id))].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// The records up to `to` are trimmed past a consumer.
    fn trim_past(&mut self, consumer: &mut Consumer, to: Position) -> Result<(), R::Error> {
        let new = (consumer.header.position + 1).max(self.begins);
        let lost = self.taken_between(consumer, new, to)?;
        consumer.header.dropped += lost;
        consumer.header.lost += lost;
        if consumer.header.waiting > 0 {
            for row in self.rows.rows_between(consumer.id, self.begins, to, usize::MAX)? {
                self.step(consumer, row.position, Step::TrimPast)?;
            }
        }
        // Its next exchange tells of the loss.
        self.released |= consumer.header.lost > 0;
        Ok(())
    }
}
