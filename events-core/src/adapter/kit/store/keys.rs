//! The order of the events of a key.

use super::Store;
use super::consumer::Consumer;
use super::rows::{Row, Rows};
use crate::adapter::durable::Position;

impl<R: Rows> Store<'_, R> {
    /// Whether an earlier event of the key is in hand, or waits for a live session.
    pub(super) fn is_busy(
        &mut self,
        consumer: &Consumer,
        key: Option<&str>,
        before: Position,
    ) -> Result<bool, R::Error> {
        let Some(key) = key.filter(|_| consumer.header.waiting + consumer.header.in_hand > 0) else {
            return Ok(false);
        };
        Ok(self.first_ahead(consumer, key)?.is_some_and(|first| first < before))
    }

    /// The first event of a key that is in hand or waits for a live session.
    ///
    /// # Complexity
    ///
    /// One query for each kind of which events of the key wait.
    fn first_ahead(&mut self, consumer: &Consumer, key: &str) -> Result<Option<Position>, R::Error> {
        let (mut first, mut from) = (None, 0);
        while let Some((slot, position)) = self.rows.first_of_key(consumer.id, key, from)? {
            if slot == 0 || consumer.view.is_claimed(slot) {
                first = Some(first.map_or(position, |first: Position| first.min(position)));
            }
            from = slot + 1;
        }
        Ok(first)
    }

    /// An event of the key has left, or its kind is unclaimed now: the first event of the key that a session takes is a
    /// candidate.
    pub(super) fn release(&mut self, consumer: &mut Consumer, key: Option<&str>) -> Result<(), R::Error> {
        let Some(key) = key.filter(|_| consumer.header.blocked > 0) else { return Ok(()) };
        if let Some(first) = self.first_ahead(consumer, key)?
            && let Some(row) = self.rows.row(consumer.id, first)?
            && row.blocked
        {
            self.block(consumer, row, false)?;
        }
        Ok(())
    }

    /// Makes a waiting row a candidate, or none.
    pub(super) fn block(&mut self, consumer: &mut Consumer, row: Row, blocked: bool) -> Result<(), R::Error> {
        self.released |= !blocked;
        let new = Row { blocked, ..row.clone() };
        self.write_row(consumer, Some(row), new)
    }

    /// Looks through a chunk of the rows whose kinds became claimed or unclaimed.
    pub(super) fn sweep(&mut self, consumer: &mut Consumer) -> Result<(), R::Error> {
        let Some((kind, from)) = consumer.header.sweeps.first().copied() else { return Ok(()) };
        if consumer.header.blocked == 0 {
            consumer.header.sweeps.clear();
            return Ok(());
        }
        let chunk = self.limits.chunk;
        let rows = self.rows.waiting(consumer.id, kind, from, chunk)?;
        match rows.last().filter(|_| rows.len() == chunk) {
            Some(last) => consumer.header.sweeps[0].1 = last.position + 1,
            None => drop(consumer.header.sweeps.remove(0)),
        }
        for row in rows {
            self.release(consumer, row.key.as_deref())?;
        }
        Ok(())
    }
}
