//! Claims: due rows and new events by turns, or a suspect alone.

use std::collections::VecDeque;

use super::consumer::Consumer;
use super::rows::{KindId, Row, Rows};
use super::transitions::{New, Step};
use super::{Store, until};
use crate::adapter::durable::{
    Claim, Claims, Delivered, Exchanged, Position, SessionId, Token, Wanted, Window,
};

/// The rest of a window.
struct Rest<'w> {
    wanted: std::slice::Iter<'w, Wanted>,
    to: Position,
}

impl<R: Rows> Store<'_, R> {
    /// Whether the exchange may claim.
    pub(super) fn gate(
        &mut self,
        consumer: &Consumer,
        session: SessionId,
        claim: &Claim,
        recount: bool,
    ) -> Result<Claims, R::Error> {
        let (header, view) = (&consumer.header, &consumer.view);
        let own = view.members.get(&session).and_then(|member| view.profile.settings.get(&member.settings));
        let order = own.map(|settings| &settings.order);
        Ok(if recount {
            Claims::Recount
        } else if self.meta.heard < self.meta.claims_from {
            Claims::DataLost
        } else if header.running.is_some() {
            Claims::Moving
        } else if header.paused {
            Claims::Paused
        } else if order != Some(&view.settings(header.deciding).order) {
            Claims::OtherOrder
        } else if claim.window.settings_number != header.deciding {
            Claims::OldSettings
        } else if claim.window.patterns_number < header.patterns_number {
            Claims::OldPatterns
        } else {
            Claims::Open
        })
    }

    /// Claims due rows and new events by turns.
    pub(super) fn claim(
        &mut self,
        consumer: &mut Consumer,
        token: Token,
        claim: &Claim,
        done: &mut Exchanged,
    ) -> Result<(), R::Error> {
        if consumer.header.solo.is_some_and(|(_, solo)| solo.session == token.session) {
            return Ok(());
        }
        let order = consumer.view.settings(consumer.header.deciding).order;
        let bound = if order.is_some() { self.limits.claimed_in_order } else { self.limits.claimed };
        let max = claim.max.min(bound);
        let mut due = Candidates::default();
        self.suspects(consumer, token.session, &mut due)?;
        if let Some(alone) = due.alone.take() {
            done.wants_solo = true;
            if claim.solo && max > 0 && consumer.header.solo.is_none() {
                self.hand_out(consumer, alone, token, true, done)?;
                return Ok(());
            }
        }
        self.candidates(consumer, token.session, max, &mut due)?;
        let mut rest = (done.claims == Claims::Open).then(|| self.rest(consumer, &claim.window));
        while done.deliveries.len() < max && (rest.is_some() || !due.rows.is_empty()) {
            if let Some(row) = due.rows.pop_front() {
                match self.is_candidate(consumer, &row)? {
                    true => self.hand_out(consumer, row, token, false, done)?,
                    // Rows behind those that turned out to be busy were not looked at.
                    false => due.more = true,
                }
            }
            if done.deliveries.len() < max
                && let Some(window) = &mut rest
                && !self.claim_new(consumer, window, token, done)?
            {
                rest = None;
            }
        }
        let new = matches!(done.claims, Claims::Open | Claims::OldPatterns);
        let unread = new && consumer.header.position < self.newest;
        done.more = due.more || !due.rows.is_empty() || unread;
        Ok(())
    }

    /// The part of a window after the consumer's position.
    fn rest<'w>(&self, consumer: &Consumer, window: &'w Window) -> Rest<'w> {
        let next = consumer.header.position + 1;
        let to = if window.from <= next { window.to.min(self.newest) } else { 0 };
        let first = window.wanted.partition_point(|wanted| wanted.position < next);
        Rest { wanted: window.wanted[first..].iter(), to }
    }

    /// The next event of a window that the union takes and that was not trimmed after the window was read, and to which
    /// the position has moved.
    fn next_wanted<'w>(
        &mut self,
        consumer: &mut Consumer,
        rest: &mut Rest<'w>,
    ) -> Result<Option<&'w Wanted>, R::Error> {
        while let Some(wanted) = rest.wanted.next().filter(|wanted| wanted.position <= rest.to) {
            // A row that a seek left has its own copy, and the position moves over it.
            let has_row = wanted.position <= consumer.header.ahead_to
                && self.rows.row(consumer.id, wanted.position)?.is_some();
            if self.in_log(wanted.position) && !has_row {
                self.pass_over(consumer, wanted.position - 1)?;
                return Ok(Some(wanted));
            }
        }
        self.pass_over(consumer, rest.to)?;
        Ok(None)
    }

    /// Moves the position. The rows that a seek has left up to it are candidates now.
    fn pass_over(&mut self, consumer: &mut Consumer, to: Position) -> Result<(), R::Error> {
        let from = consumer.header.position + 1;
        if to < from {
            return Ok(());
        }
        consumer.header.position = to;
        if from <= consumer.header.ahead_to {
            for row in self.rows.rows_between(consumer.id, from, to, usize::MAX)? {
                if row.blocked {
                    self.block(consumer, row, false)?;
                }
            }
        }
        Ok(())
    }

    /// Moves the position over a window until an event is delivered. Returns false at the end of the window.
    fn claim_new(
        &mut self,
        consumer: &mut Consumer,
        rest: &mut Rest<'_>,
        token: Token,
        done: &mut Exchanged,
    ) -> Result<bool, R::Error> {
        while let Some(wanted) = self.next_wanted(consumer, rest)? {
            let busy = self.is_busy(consumer, wanted.key.as_deref(), wanted.position)?;
            if wanted.takes && !busy {
                let new = self.new_of(consumer, wanted)?;
                let row = self.enter(consumer, Step::ClaimNew(new, token), false)?;
                consumer.header.position = wanted.position;
                done.deliveries.push(self.delivered(consumer, row)?);
                return Ok(true);
            }
            self.hold(consumer, wanted, busy)?;
        }
        Ok(false)
    }

    fn new_of(&mut self, consumer: &mut Consumer, wanted: &Wanted) -> Result<New, R::Error> {
        let kind = self.kind_of(consumer, &wanted.kind)?;
        Ok(New { position: wanted.position, kind, key: wanted.key.clone() })
    }

    /// A new event waits.
    fn hold(&mut self, consumer: &mut Consumer, wanted: &Wanted, busy: bool) -> Result<(), R::Error> {
        let new = self.new_of(consumer, wanted)?;
        self.enter(consumer, Step::Hold(new), busy)?;
        consumer.header.position = wanted.position;
        Ok(())
    }

    fn hand_out(
        &mut self,
        consumer: &mut Consumer,
        row: Row,
        token: Token,
        solo: bool,
        done: &mut Exchanged,
    ) -> Result<(), R::Error> {
        let row = self.claim_row(consumer, row, token, solo)?;
        done.deliveries.push(self.delivered(consumer, row)?);
        Ok(())
    }

    pub(super) fn delivered(&mut self, consumer: &Consumer, row: Row) -> Result<Delivered, R::Error> {
        let copy = if row.copied { self.rows.copy(consumer.id, row.position)? } else { None };
        Ok(Delivered {
            position: row.position,
            number: row.token.map_or(0, |token| token.number),
            attempt: row.attempts,
            solo: row.solo,
            lost_lease: row.suspect,
            error: row.error,
            // What is damaged can't be decoded.
            copy: copy.map(|record| if record.damaged { Vec::new() } else { record.bytes }),
        })
    }
}

/// Due rows.
#[derive(Default)]
struct Candidates {
    rows: VecDeque<Row>,
    /// The first suspect that has to be delivered alone.
    alone: Option<Row>,
    /// Whether there may be more.
    more: bool,
}

impl<R: Rows> Store<'_, R> {
    /// Due suspects: those in their last attempt have to be delivered alone.
    fn suspects(
        &mut self,
        consumer: &mut Consumer,
        session: SessionId,
        found: &mut Candidates,
    ) -> Result<(), R::Error> {
        if consumer.header.suspects == 0 {
            return Ok(());
        }
        let attempts = consumer.view.members.get(&session).map_or(1, |member| member.attempts);
        let limit = self.limits.chunk;
        for kind in consumer.view.taken_by(session).to_vec() {
            let rows = self.rows.due(consumer.id, kind, true, self.time, limit)?;
            found.more |= rows.len() == limit;
            for row in rows {
                let alone = row.attempts + 1 >= attempts;
                if !alone {
                    found.rows.push_back(row);
                } else if found.alone.is_none() && self.is_candidate(consumer, &row)? {
                    found.alone = Some(row);
                }
            }
        }
        Ok(())
    }

    /// Other due rows, those of all kinds by their due times.
    fn candidates(
        &mut self,
        consumer: &mut Consumer,
        session: SessionId,
        max: usize,
        found: &mut Candidates,
    ) -> Result<(), R::Error> {
        if consumer.header.waiting == 0 || max == 0 {
            return Ok(());
        }
        let kinds = consumer.view.taken_by(session).to_vec();
        let mut rows = Vec::new();
        for kind in &kinds {
            let due = self.rows.due(consumer.id, *kind, false, self.time, max + 1)?;
            if due.is_empty() && kinds.len() > self.limits.open_kinds {
                self.close_if_empty(consumer, *kind)?;
            }
            rows.extend(due);
        }
        rows.sort_by_key(|row| (row.due, row.position));
        found.rows.extend(rows);
        Ok(())
    }

    /// Whether a due row may be handed out. Otherwise it is blocked.
    fn is_candidate(&mut self, consumer: &mut Consumer, row: &Row) -> Result<bool, R::Error> {
        let is_ahead = row.position > consumer.header.position;
        if !is_ahead && !self.is_busy(consumer, row.key.as_deref(), row.position)? {
            return Ok(true);
        }
        self.block(consumer, row.clone(), true)?;
        Ok(false)
    }

    fn close_if_empty(&mut self, consumer: &mut Consumer, kind: KindId) -> Result<(), R::Error> {
        match self.rows.waiting(consumer.id, kind, 0, 1)?.is_empty() {
            true => self.set_open(consumer, kind, false),
            false => Ok(()),
        }
    }

    /// Time until the earliest waiting row that the session takes is due.
    pub(super) fn due_in(
        &mut self,
        consumer: &Consumer,
        session: SessionId,
    ) -> Result<Option<u64>, R::Error> {
        if consumer.header.waiting == consumer.header.blocked {
            return Ok(None);
        }
        let mut earliest = None;
        for kind in consumer.view.taken_by(session) {
            for suspect in [false, true] {
                if suspect && consumer.header.suspects == 0 {
                    continue;
                }
                let due = self.rows.due_after(consumer.id, *kind, suspect, self.time)?;
                earliest = [earliest, due].into_iter().flatten().min();
            }
        }
        Ok(earliest.map(|due| until(self.time, due)))
    }
}
