//! An exchange: the number first, then what is in hand, the reports, and the claim.

use super::Store;
use super::consumer::{Consumer, Stepped};
use super::rows::{Announced, Progress, Rows};
use super::transitions::{Effect, Step};
use crate::adapter::durable::{
    Claims, Exchange, Exchanged, Position, Refusal, Report, SessionId, Token, Window,
};

impl<R: Rows> Store<'_, R> {
    /// Applies outcomes and claims events.
    ///
    /// # Errors
    ///
    /// The refusals of [`DurableAdapter::exchange`](crate::DurableAdapter::exchange), or the error of the engine.
    pub fn exchange(&mut self, exchange: &Exchange) -> Result<Exchanged, R::Error> {
        let (id, session) = (exchange.consumer, exchange.session);
        let mut consumer = self.consumer(id)?;
        let Some(progress) = self.rows.progress(id, session)? else {
            return Err(Refusal::UnknownSession.into());
        };
        let last = progress.number;
        if exchange.number == last {
            let stored = progress.result.ok_or(Refusal::UnknownSession)?;
            return self.repeat(&consumer, stored, Token { session, number: last });
        }
        if exchange.number < last {
            return Err(Refusal::OldNumber.into());
        }
        if !consumer.view.members.contains_key(&session) {
            return Err(Refusal::SessionEnded.into());
        }
        let window = exchange.claim.as_ref().map(|claim| &claim.window);
        let other = match window {
            Some(window) => self.is_other(window)?,
            None => false,
        };
        if exchange.last_answered > last || other {
            return Err(Refusal::Behind(self.meta.incarnation).into());
        }
        let done = self.run_exchange(&mut consumer, exchange, last)?;
        consumer.header.seen = self.time;
        // The answer tells the only session what it may claim.
        self.released &= consumer.view.members.len() > 1;
        self.save(consumer)?;
        let stored = Exchanged { deliveries: Vec::new(), ..done.clone() };
        self.rows.put_progress(id, session, &Progress { number: exchange.number, result: Some(stored) })?;
        self.changed = true;
        Ok(done)
    }

    /// Whether the window was read in other data: it ends after the log, the log has another event there, or the log begins
    /// earlier.
    pub(super) fn is_other(&mut self, window: &Window) -> Result<bool, R::Error> {
        let other = match window.newest {
            Some(read) if read.position > self.newest => true,
            Some(read) => self.rows.event_at(read.position)?.is_some_and(|event| event != read.id),
            None => false,
        };
        Ok(other || window.to > self.newest || window.begins > self.begins)
    }

    /// The stored result, with the deliveries of that exchange that are still in hand.
    fn repeat(
        &mut self,
        consumer: &Consumer,
        stored: Exchanged,
        token: Token,
    ) -> Result<Exchanged, R::Error> {
        let mut done = stored;
        for row in self.rows.in_hand(consumer.id, token.session, 0, usize::MAX)? {
            if row.token == Some(token) && !consumer.takes_from_hands(row.position) {
                done.deliveries.push(self.delivered(consumer, row)?);
            }
        }
        Ok(done)
    }

    fn run_exchange(
        &mut self,
        consumer: &mut Consumer,
        exchange: &Exchange,
        last: u64,
    ) -> Result<Exchanged, R::Error> {
        let session = exchange.session;
        let mut done = Exchanged::default();
        self.confirm(consumer, session, exchange.last_answered)?;
        let in_hand = match consumer.header.in_hand {
            0 => 0,
            _ => self.rows.count_in_hand(consumer.id, session)?,
        };
        done.recount = exchange.last_answered != last || exchange.in_hand != in_hand;
        if let Some(named) = &exchange.named_in_hand {
            done.void = self.recount(consumer, session, named)?;
            done.recount = false;
        }
        for report in &exchange.reports {
            self.report(consumer, report, &mut done)?;
        }
        let more = self.chunks(consumer)?;
        self.decide(consumer)?;
        let token = Token { session, number: exchange.number };
        if let Some(claim) = &exchange.claim {
            done.claims = self.gate(consumer, session, claim, done.recount)?;
            if matches!(done.claims, Claims::Open | Claims::OldPatterns) {
                self.claim(consumer, token, claim, &mut done)?;
            }
        }
        done.more |= more;
        done.due_in = self.due_in(consumer, session)?;
        done.announced = self.announce(consumer, token)?;
        done.more |= done.announced.len() == self.limits.letters;
        done.lost = std::mem::take(&mut consumer.header.lost);
        done.dead.sort_unstable();
        done.moving = consumer.header.running.is_some();
        done.terms = consumer.view.terms(&consumer.header);
        Ok(done)
    }

    fn report(
        &mut self,
        consumer: &mut Consumer,
        report: &Report,
        done: &mut Exchanged,
    ) -> Result<(), R::Error> {
        let position = report.position;
        let late = Stepped { effect: Effect::Late, died: false };
        let Stepped { effect, died } = match consumer.takes_from_hands(position) {
            true => late,
            false => self.step(consumer, position, Step::Report(report))?,
        };
        match effect {
            Effect::Late | Effect::Unchanged => done.late.push((position, report.token)),
            Effect::Changed if died => done.dead.push(position),
            Effect::Changed | Effect::Dropped => {}
        }
        Ok(())
    }

    /// Work that others have left at the consumer, a chunk of each kind. Returns whether there may be more.
    fn chunks(&mut self, consumer: &mut Consumer) -> Result<bool, R::Error> {
        self.chunk_of_ended(consumer)?;
        self.chunk_of_forgotten(consumer)?;
        self.sweep(consumer)?;
        let is_moving = consumer.header.running.is_some();
        let ended = !consumer.header.ended.is_empty() && !is_moving;
        Ok(ended || !consumer.header.sweeps.is_empty() || !consumer.view.given_up().is_empty() && !is_moving)
    }

    /// The session's deliveries that it did not name are due again; returns those that it named and does not have.
    fn recount(
        &mut self,
        consumer: &mut Consumer,
        session: SessionId,
        named: &[(Position, u64)],
    ) -> Result<Vec<(Position, u64)>, R::Error> {
        let rows = self.rows.in_hand(consumer.id, session, 0, usize::MAX)?;
        let mut void = named.to_vec();
        for row in rows {
            let found = row.token.map(|token| (row.position, token.number));
            let is_named = named.iter().any(|named| Some(*named) == found);
            if is_named && !consumer.takes_from_hands(row.position) {
                void.retain(|named| Some(*named) != found);
            }
            if !is_named {
                self.step(consumer, row.position, Step::NotNamed)?;
                self.released = true;
            }
        }
        Ok(void)
    }

    /// The session has the answers up to this number: what they announced is announced.
    fn confirm(
        &mut self,
        consumer: &mut Consumer,
        session: SessionId,
        answered: u64,
    ) -> Result<(), R::Error> {
        if consumer.header.unannounced == 0 {
            return Ok(());
        }
        for (position, number) in self.rows.announced_to(consumer.id, session)? {
            let by = Announced::By(Token { session, number });
            let confirmed = if number <= answered { Announced::Yes } else { Announced::No };
            self.set_announced(consumer, position, by, confirmed)?;
        }
        Ok(())
    }

    /// Announces a chunk of the dead letters that no report made.
    fn announce(&mut self, consumer: &mut Consumer, token: Token) -> Result<Vec<Position>, R::Error> {
        if consumer.header.unannounced == 0 {
            return Ok(Vec::new());
        }
        let positions = self.rows.unannounced(consumer.id, self.limits.letters)?;
        for position in &positions {
            self.set_announced(consumer, *position, Announced::No, Announced::By(token))?;
        }
        Ok(positions)
    }

    /// The dead letters that were announced to an ended session are announced again.
    pub(super) fn announce_again(
        &mut self,
        consumer: &mut Consumer,
        session: SessionId,
    ) -> Result<(), R::Error> {
        self.confirm(consumer, session, 0)
    }

    fn set_announced(
        &mut self,
        consumer: &mut Consumer,
        position: Position,
        old: Announced,
        new: Announced,
    ) -> Result<(), R::Error> {
        consumer.header.unannounced -= u64::from(new == Announced::Yes);
        self.changed = true;
        self.rows.put_announced(consumer.id, position, old, new)
    }
}
