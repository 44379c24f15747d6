//! A consumer during a call, and the one place where the state of an event changes.

use std::sync::Arc;

use super::Store;
use super::rows::{Announced, Dead, Header, KindId, KnownKind, Micros, Row, Rows, StoredRecord};
use super::transitions::{Effect, Letter, Situation, State, Step, next};
use super::view::View;
use crate::adapter::durable::{ConsumerId, Kind, Position, Refusal, Token};

/// A consumer during a call.
pub(super) struct Consumer {
    pub(super) id: ConsumerId,
    pub(super) header: Header,
    pub(super) view: Arc<View>,
    stored: Header,
}

/// What a step did to an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stepped {
    pub(super) effect: Effect,
    /// Whether it has become a dead letter.
    pub(super) died: bool,
}

impl<R: Rows> Store<'_, R> {
    /// The consumer, unless it was removed.
    pub(super) fn consumer(&mut self, id: ConsumerId) -> Result<Consumer, R::Error> {
        let Some(header) = self.rows.header(id)? else { return Err(Refusal::UnknownConsumer.into()) };
        if header.removed {
            return Err(Refusal::Removed.into());
        }
        let view = match self.views.get(id, header.stamp) {
            Some(view) => view,
            None => self.read_view(id, header.stamp)?,
        };
        Ok(Consumer { id, stored: header.clone(), header, view })
    }

    /// A consumer that is created.
    pub(super) fn new_consumer(&mut self, id: ConsumerId, position: Position) -> Consumer {
        let header = Header { position, stamp: crate::id::random_number(), ..Header::default() };
        Consumer { id, header, view: Arc::default(), stored: Header::default() }
    }

    fn read_view(&mut self, id: ConsumerId, stamp: u64) -> Result<Arc<View>, R::Error> {
        let view = Arc::new(View::read(self.rows, id, stamp)?);
        self.views.put(id, &view);
        Ok(view)
    }

    pub(super) fn save(&mut self, consumer: Consumer) -> Result<(), R::Error> {
        if consumer.header != consumer.stored {
            self.rows.put_header(consumer.id, &consumer.header)?;
            self.changed = true;
        }
        Ok(())
    }

    /// The profile or the live members have changed: reads them again, and looks through the rows whose kinds became
    /// claimed or unclaimed.
    pub(super) fn view_changed(&mut self, consumer: &mut Consumer) -> Result<(), R::Error> {
        let before = Arc::clone(&consumer.view);
        consumer.header.stamp = crate::id::random_number();
        consumer.header.patterns_number += 1;
        consumer.view = self.read_view(consumer.id, consumer.header.stamp)?;
        let changed = before.claimed().symmetric_difference(consumer.view.claimed());
        for kind in changed.copied().collect::<Vec<_>>() {
            let sweeps = &mut consumer.header.sweeps;
            sweeps.retain(|(swept, _)| *swept != kind);
            sweeps.push((kind, 0));
        }
        if consumer.header.blocked == 0 {
            consumer.header.sweeps.clear();
        }
        self.released = true;
        Ok(())
    }

    /// The number of a kind, which it gets where it is new.
    pub(super) fn kind_of(&mut self, consumer: &mut Consumer, kind: &Kind) -> Result<KindId, R::Error> {
        if let Some(id) = consumer.view.id_of(kind) {
            return Ok(id);
        }
        let known = KnownKind { id: consumer.view.next_kind(), kind: kind.clone(), open: false };
        let id = known.id;
        self.put_kind(consumer, known)?;
        Ok(id)
    }

    /// Notes whether waiting rows of a kind may exist.
    pub(super) fn set_open(
        &mut self,
        consumer: &mut Consumer,
        id: KindId,
        open: bool,
    ) -> Result<(), R::Error> {
        match consumer.view.kind(id).cloned() {
            Some(known) if known.open != open => self.put_kind(consumer, KnownKind { open, ..known }),
            _ => Ok(()),
        }
    }

    fn put_kind(&mut self, consumer: &mut Consumer, known: KnownKind) -> Result<(), R::Error> {
        self.rows.put_kind(consumer.id, &known)?;
        consumer.header.stamp = crate::id::random_number();
        let mut view = View::clone(&consumer.view);
        view.stamp = consumer.header.stamp;
        view.set_kind(known);
        consumer.view = Arc::new(view);
        self.views.put(consumer.id, &consumer.view);
        self.changed = true;
        Ok(())
    }

    /// Whether the log has the record of a position.
    pub(super) fn in_log(&self, position: Position) -> bool {
        position >= self.begins
    }

    /// Applies a step to one event of a consumer.
    pub(super) fn step(
        &mut self,
        consumer: &mut Consumer,
        position: Position,
        step: Step<'_>,
    ) -> Result<Stepped, R::Error> {
        let (row, dead) = self.stored_at(consumer, position)?;
        let state = match (&row, &dead) {
            (Some(row), _) if row.in_hand => State::InHand(row.clone()),
            (Some(row), _) => State::Waiting(row.clone()),
            (None, Some(dead)) => State::Dead(self.letter(consumer, dead)?),
            (None, None) if position > consumer.header.position => State::After,
            (None, None) => State::Gone,
        };
        let (attempts, backoff) = self.of_attempt(consumer, row.as_ref(), &step)?;
        let at = Situation { time: self.time, in_log: self.in_log(position), attempts, backoff };
        let was_dead = dead.is_some();
        let is_given_up = matches!(step, Step::SeekAhead | Step::DropUnclaimed | Step::Forget(_));
        let (state, effect) = next(state, step, &at);
        if effect == Effect::Dropped {
            consumer.header.dropped += 1;
            consumer.header.lost += u64::from(!is_given_up);
        }
        let died = matches!(state, State::Dead(_)) && !was_dead;
        if matches!(effect, Effect::Changed | Effect::Dropped) {
            self.put(consumer, position, row, dead, state)?;
        }
        Ok(Stepped { effect, died })
    }

    /// Writes a new event of a window, which has no row.
    pub(super) fn enter(
        &mut self,
        consumer: &mut Consumer,
        step: Step<'_>,
        blocked: bool,
    ) -> Result<Row, R::Error> {
        let (state, _) = next(State::After, step, &self.of_claim());
        let row = match state {
            State::InHand(row) => Row { in_hand: true, ..row },
            State::Waiting(row) => Row { blocked, ..row },
            State::After | State::Dead(_) | State::Gone => return Err(Refusal::OldTerms.into()),
        };
        self.write_row(consumer, None, row.clone())?;
        Ok(row)
    }

    /// Hands out a waiting row.
    pub(super) fn claim_row(
        &mut self,
        consumer: &mut Consumer,
        row: Row,
        token: Token,
        solo: bool,
    ) -> Result<Row, R::Error> {
        let (state, _) = next(State::Waiting(row.clone()), Step::ClaimRow(token, solo), &self.of_claim());
        let State::InHand(new) = state else { return Ok(row) };
        let new = Row { in_hand: true, blocked: false, ..new };
        self.write_row(consumer, Some(row), new.clone())?;
        Ok(new)
    }

    fn of_claim(&self) -> Situation {
        Situation { time: self.time, in_log: true, attempts: 1, backoff: 0 }
    }

    fn stored_at(
        &mut self,
        consumer: &Consumer,
        position: Position,
    ) -> Result<(Option<Row>, Option<Dead>), R::Error> {
        let Header { waiting, in_hand, dead, .. } = consumer.header;
        if waiting + in_hand > 0
            && let Some(row) = self.rows.row(consumer.id, position)?
        {
            return Ok((Some(row), None));
        }
        Ok((None, if dead > 0 { self.rows.dead(consumer.id, position)? } else { None }))
    }

    fn letter(&mut self, consumer: &mut Consumer, dead: &Dead) -> Result<Letter, R::Error> {
        Ok(Letter {
            position: dead.position,
            kind: self.kind_of(consumer, &dead.record.kind)?,
            key: dead.key.clone(),
            error: dead.error.clone(),
            attempts: dead.attempts,
            first: dead.first,
            last: dead.last,
            lost: dead.lost,
            announced: dead.announced,
        })
    }

    /// The attempts and the backoff of the session whose attempt a step ends.
    fn of_attempt(
        &mut self,
        consumer: &Consumer,
        row: Option<&Row>,
        step: &Step<'_>,
    ) -> Result<(u32, Micros), R::Error> {
        let token = match step {
            Step::Report(report) => Some(report.token),
            Step::SessionEnded => row.and_then(|row| row.token),
            _ => None,
        };
        let Some(session) = token.map(|token| token.session) else { return Ok((1, 0)) };
        if let Some(member) = consumer.view.members.get(&session) {
            return Ok((member.attempts, member.backoff));
        }
        let member = self.rows.member(consumer.id, session)?;
        Ok(member.map_or((1, 0), |member| (member.attempts, member.backoff)))
    }

    /// Writes the state of an event.
    fn put(
        &mut self,
        consumer: &mut Consumer,
        position: Position,
        row: Option<Row>,
        dead: Option<Dead>,
        state: State,
    ) -> Result<(), R::Error> {
        self.changed = true;
        match state {
            State::After | State::Gone => {
                self.remove_row(consumer, row.as_ref())?;
                self.remove_dead(consumer, dead.as_ref())?;
            }
            State::Waiting(new) | State::InHand(new) if dead.is_some() => {
                // It begins again with the record of the dead letter.
                if let Some(dead) = &dead {
                    self.rows.put_copy(consumer.id, position, &dead.record)?;
                }
                self.remove_dead(consumer, dead.as_ref())?;
                self.write_row(consumer, None, Row { in_hand: false, ..new })?;
            }
            State::Waiting(new) => self.write_row(consumer, row, Row { in_hand: false, ..new })?,
            State::InHand(new) => {
                self.write_row(consumer, row, Row { in_hand: true, blocked: false, ..new })?
            }
            State::Dead(letter) => {
                let record = match (&dead, &row) {
                    (Some(dead), _) => Some(dead.record.clone()),
                    (None, Some(row)) if row.copied => self.rows.copy(consumer.id, position)?,
                    _ => self.rows.record_at(position)?,
                };
                // Without a record there is nothing to keep: the engine has reported that it is missing.
                let record = record.unwrap_or_else(|| missing(consumer, letter.kind));
                self.remove_row(consumer, row.as_ref())?;
                self.write_dead(consumer, dead.as_ref(), letter, record)?;
            }
        }
        Ok(())
    }

    /// Writes a row that waits or is in hand.
    pub(super) fn write_row(
        &mut self,
        consumer: &mut Consumer,
        old: Option<Row>,
        new: Row,
    ) -> Result<(), R::Error> {
        if !new.in_hand {
            self.set_open(consumer, new.kind, true)?;
        }
        consumer.header.count(old.as_ref(), Some(&new));
        self.rows.put_row(consumer.id, old.as_ref(), &new)?;
        self.changed = true;
        let leaves = old.as_ref().is_some_and(|old| old.key != new.key)
            || !new.in_hand && !consumer.view.is_claimed(new.kind);
        let key = old.as_ref().and_then(|old| old.key.as_deref()).filter(|_| leaves);
        self.release(consumer, key)
    }

    fn remove_row(&mut self, consumer: &mut Consumer, old: Option<&Row>) -> Result<(), R::Error> {
        let Some(old) = old else { return Ok(()) };
        consumer.header.count(Some(old), None);
        self.rows.delete_row(consumer.id, old)?;
        if old.copied {
            self.rows.delete_copy(consumer.id, old.position)?;
        }
        self.release(consumer, old.key.as_deref())
    }

    fn write_dead(
        &mut self,
        consumer: &mut Consumer,
        old: Option<&Dead>,
        letter: Letter,
        record: StoredRecord,
    ) -> Result<(), R::Error> {
        let Letter { position, key, error, attempts, first, last, lost, announced, .. } = letter;
        let new = Dead { position, key, record, error, attempts, first, last, lost, announced };
        consumer.header.count_dead(old, Some(&new));
        self.rows.put_dead(consumer.id, old, &new)
    }

    fn remove_dead(&mut self, consumer: &mut Consumer, old: Option<&Dead>) -> Result<(), R::Error> {
        let Some(old) = old else { return Ok(()) };
        consumer.header.count_dead(Some(old), None);
        self.rows.delete_dead(consumer.id, old)
    }
}

/// Stands for a record that the log has lost by damage.
fn missing(consumer: &Consumer, kind: KindId) -> StoredRecord {
    let kind = consumer.view.kind(kind).map(|known| known.kind.clone()).unwrap_or_default();
    let event = crate::id::EventId::from_bytes([0; 16]);
    StoredRecord { event, kind, bytes: Vec::new(), damaged: true }
}

impl Header {
    fn count(&mut self, old: Option<&Row>, new: Option<&Row>) {
        if let Some(old) = old {
            *self.counter(old) -= 1;
            self.suspects -= u64::from(!old.in_hand && old.suspect);
            self.blocked -= u64::from(old.blocked);
            if self.solo.is_some_and(|(position, _)| position == old.position) {
                self.solo = None;
            }
        }
        if let Some(new) = new {
            *self.counter(new) += 1;
            self.suspects += u64::from(!new.in_hand && new.suspect);
            self.blocked += u64::from(new.blocked);
            if new.in_hand && new.solo {
                self.solo = new.token.map(|token| (new.position, token));
            }
        }
    }

    fn counter(&mut self, row: &Row) -> &mut u64 {
        if row.in_hand { &mut self.in_hand } else { &mut self.waiting }
    }

    fn count_dead(&mut self, old: Option<&Dead>, new: Option<&Dead>) {
        let silent = |dead: &Dead| u64::from(dead.announced != Announced::Yes);
        if let Some(old) = old {
            self.dead -= 1;
            self.unannounced -= silent(old);
        }
        if let Some(new) = new {
            self.dead += 1;
            self.unannounced += silent(new);
        }
    }
}
