//! Moves: a seek and another order. One step stores the move; chunks run it.

use serde::{Deserialize, Serialize};

use super::Store;
use super::consumer::Consumer;
use super::rows::Rows;
use super::transitions::{Effect, Step};
use crate::adapter::durable::{Operated, Position, Refusal};
use crate::adapter::options::StartAt;

/// A move that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// What becomes of the rows.
    pub kind: MoveKind,
    /// The first position that is left.
    pub next: Position,
    /// The last position.
    pub to: Position,
}

/// What a move makes of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveKind {
    /// Events are delivered again; the rows in the range go.
    SeekBack,
    /// Events are dropped and counted.
    SeekAhead,
    /// Rows get the keys of the settings with this number.
    OtherOrder(u64),
}

/// The next events of a move.
struct Left {
    /// Positions, and whether it is a waiting row.
    positions: Vec<Position>,
    /// The last position that was looked at.
    until: Position,
}

impl<R: Rows> Store<'_, R> {
    /// The next new event is the first at or after `to`.
    pub(super) fn seek(&mut self, consumer: &mut Consumer, to: StartAt) -> Result<Operated, R::Error> {
        if consumer.header.running.is_some() {
            return Err(Refusal::Moving.into());
        }
        let to = self.start(to)?;
        let (old, position) = (consumer.header.position, to - 1);
        let (kind, next, until, dropped) = if position < old {
            let last = self.last_of(consumer)?.max(old);
            consumer.header.ahead_to = consumer.header.ahead_to.max(last);
            self.rows.forget_notes(&consumer.view.profile.name, to)?;
            (MoveKind::SeekBack, to, last, 0)
        } else {
            (MoveKind::SeekAhead, 0, position, self.taken_between(consumer, old + 1, position)?)
        };
        let header = &mut consumer.header;
        header.position = position;
        header.dropped += dropped;
        header.moves += 1;
        header.running = Some(Move { kind, next, to: until });
        Ok(Operated { dropped, more: Some(0), ..Operated::default() })
    }

    /// Number of events that the union takes.
    pub(super) fn taken_between(
        &mut self,
        consumer: &Consumer,
        from: Position,
        to: Position,
    ) -> Result<u64, R::Error> {
        if to < from {
            return Ok(0);
        }
        let names = self.rows.names_between(from, to)?;
        Ok(names.iter().filter(|(name, _)| consumer.view.is_in_union(name)).map(|(_, count)| count).sum())
    }

    /// The last position with a row or a dead letter.
    fn last_of(&mut self, consumer: &Consumer) -> Result<Position, R::Error> {
        let row = self.rows.last_row(consumer.id)?;
        Ok(row.max(self.rows.last_dead(consumer.id)?).unwrap_or(0))
    }

    /// Runs a chunk of the consumer's move.
    pub(super) fn run_move(
        &mut self,
        consumer: &mut Consumer,
        keys_by: u64,
        keys: &[(Position, Option<String>)],
    ) -> Result<Operated, R::Error> {
        let Some(running) = consumer.header.running else { return Ok(Operated::default()) };
        let mut done = Operated::default();
        let left = self.left_of(consumer, &running)?;
        let mut next = left.until + 1;
        for position in left.positions {
            let step = match running.kind {
                MoveKind::SeekBack => Step::SeekBack,
                MoveKind::SeekAhead => Step::SeekAhead,
                MoveKind::OtherOrder(number) => match keys.iter().find(|(at, _)| *at == position) {
                    Some((_, key)) if keys_by == number => Step::NewKey(key.clone()),
                    _ => {
                        next = position;
                        break;
                    }
                },
            };
            let effect = self.step(consumer, position, step)?.effect;
            done.affected += u64::from(effect != Effect::Unchanged);
            done.dropped += u64::from(effect == Effect::Dropped);
        }
        consumer.header.running = Some(Move { next, ..running });
        self.end_or_ask(consumer, &mut done)?;
        Ok(done)
    }

    /// Ends the move if no rows are left; else asks for the keys of the next chunk.
    fn end_or_ask(&mut self, consumer: &mut Consumer, done: &mut Operated) -> Result<(), R::Error> {
        let Some(running) = consumer.header.running else { return Ok(()) };
        if running.next > running.to {
            if let MoveKind::OtherOrder(number) = running.kind {
                consumer.header.deciding = number;
            }
            consumer.header.running = None;
            self.released = true;
            return self.decide(consumer);
        }
        done.more = Some(0);
        if let MoveKind::OtherOrder(number) = running.kind {
            done.keys_by = Some((number, consumer.view.settings(number)));
            for position in self.left_of(consumer, &running)?.positions {
                let copy = match self.rows.dead(consumer.id, position)? {
                    Some(dead) => Some(dead.record),
                    None => self.rows.copy(consumer.id, position)?,
                };
                done.keys.push((position, copy.map(|record| record.bytes)));
            }
        }
        Ok(())
    }

    /// The next chunk of rows and dead letters that a move has not come to.
    fn left_of(&mut self, consumer: &Consumer, running: &Move) -> Result<Left, R::Error> {
        let chunk = self.limits.chunk;
        let Move { next, to, kind } = *running;
        if next > to {
            return Ok(Left { positions: Vec::new(), until: to });
        }
        let rows = self.rows.rows_between(consumer.id, next, to, chunk)?;
        let full = rows.len() == chunk;
        let mut until = rows.last().filter(|_| full).map_or(to, |row| row.position);
        let waits = |row: &&super::Row| kind == MoveKind::SeekBack || !row.in_hand;
        let mut positions: Vec<Position> = rows.iter().filter(waits).map(|row| row.position).collect();
        if kind != MoveKind::SeekAhead {
            let dead = self.rows.dead_between(consumer.id, next.saturating_sub(1), until, chunk)?;
            positions.extend(dead.iter().map(|dead| dead.position));
            positions.sort_unstable();
            if let Some(last) = dead.last().filter(|_| dead.len() == chunk) {
                until = until.min(last.position);
            }
            if positions.len() > chunk {
                until = until.min(positions[chunk - 1]);
            }
            positions.retain(|position| *position <= until);
        }
        Ok(Left { positions, until })
    }

    /// Among the sets of live sessions, the one with the highest number decides. A set with another order waits until the
    /// sessions with the present one have ended and nothing is in hand.
    pub(super) fn decide(&mut self, consumer: &mut Consumer) -> Result<(), R::Error> {
        if consumer.header.running.is_some() {
            return Ok(());
        }
        let (view, deciding) = (&consumer.view, consumer.header.deciding);
        let order = |number: u64| view.settings(number).order;
        let present = order(deciding);
        let live = || view.members.values().map(|member| member.settings);
        let same = live().filter(|number| order(*number) == present).max();
        let Some(highest) = same.or_else(|| live().max()) else { return Ok(()) };
        if same.is_some() || deciding == 0 {
            consumer.header.deciding = highest;
        } else if consumer.header.in_hand == 0 {
            let to = self.last_of(consumer)?;
            consumer.header.running = Some(Move { kind: MoveKind::OtherOrder(highest), next: 0, to });
            consumer.header.moves += 1;
        }
        Ok(())
    }
}

impl Consumer {
    /// Whether a move that runs has taken the event from the session that has it: its report is late.
    pub(super) fn takes_from_hands(&self, position: Position) -> bool {
        self.header.running.is_some_and(|running| {
            running.kind == MoveKind::SeekBack && running.next <= position && position <= running.to
        })
    }

    pub(super) fn is_moving_to(&self, number: u64) -> bool {
        self.header.running.is_some_and(|running| running.kind == MoveKind::OtherOrder(number))
    }
}
