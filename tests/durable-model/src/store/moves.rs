//! Moves: a seek and another `ordered_by`. One step stores the move; chunks run it.

use super::{CHUNK, Consumer, Effect, Operation, State, Store};
use crate::breaks::Break;
use crate::calls::{ConsumerId, Key, Number, Operated, Position, Refusal, SeekTo, Time, take};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    pub kind: MoveKind,
    /// The rows that are left: from `next` to `to`.
    pub next: Position,
    pub to: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoveKind {
    /// Events are delivered again; the rows in the range go.
    SeekBack,
    /// Events are dropped and counted.
    SeekAhead,
    /// Rows get the keys of another set of settings.
    OtherOrder(Number),
}

impl Store {
    /// The next new event is the first at or after `to`.
    pub(super) fn seek(&mut self, id: ConsumerId, to: SeekTo) -> Result<Operated, Refusal> {
        let newest = self.newest;
        let at_once = self.breaks(Break::SeekAtOnce);
        let consumer = self.consumer(id)?;
        if consumer.running.is_some() {
            return Err(Refusal::Moving);
        }
        let to = match to {
            SeekTo::Start => 1,
            SeekTo::Now => newest + 1,
            SeekTo::Position(to) => to.clamp(1, newest + 1),
        };
        let old = consumer.position;
        let position = to - 1;
        // An engine's client reads the range and passes the number.
        let passed = |at: &Position| *at > old && *at <= position && !consumer.states.contains_key(at);
        let taken =
            self.log.iter().filter(|(at, record)| passed(at) && take(&consumer.union, record.event.name));
        let dropped = taken.count();
        let (kind, next, to) = if position < old {
            (MoveKind::SeekBack, to, consumer.states.keys().next_back().copied().unwrap_or(0).max(old))
        } else {
            (MoveKind::SeekAhead, 0, position)
        };
        let consumer = self.consumer_mut(id)?;
        consumer.position = position;
        consumer.dropped += dropped;
        consumer.moves += 1;
        consumer.running = Some(Move { kind, next, to });
        while at_once && self.consumer(id)?.running.is_some() {
            self.run_move(0, id, 0, &[])?;
        }
        Ok(Operated {
            affected: 0,
            dropped,
            more: self.consumer(id)?.running.map(|_| 0),
            ..Operated::default()
        })
    }

    /// Runs a chunk of the consumer's move.
    pub(super) fn run_move(
        &mut self,
        time: Time,
        id: ConsumerId,
        keys_by: Number,
        keys: &[(Position, Option<Key>)],
    ) -> Result<Operated, Refusal> {
        let Some(running) = self.consumer(id)?.running else { return Ok(Operated::default()) };
        let mut done = Operated::default();
        let positions = self.consumer(id)?.left_of(&running);
        for position in positions.iter().copied().take(CHUNK) {
            let operation = match running.kind {
                MoveKind::SeekBack => Operation::SeekBack,
                MoveKind::SeekAhead => Operation::SeekAhead,
                MoveKind::OtherOrder(number) => match keys.iter().find(|(at, _)| *at == position) {
                    Some((_, key)) if keys_by == number => Operation::NewKey(*key),
                    _ => break,
                },
            };
            let effect = self.step(time, id, position, &operation);
            done.affected += usize::from(effect != Effect::Unchanged);
            done.dropped += usize::from(effect == Effect::Dropped);
            if let Some(running) = &mut self.consumer_mut(id)?.running {
                running.next = position + 1;
            }
        }
        self.end_or_ask(id, &mut done)?;
        Ok(done)
    }

    /// Ends the move if no rows are left; else asks for the keys of the next chunk.
    fn end_or_ask(&mut self, id: ConsumerId, done: &mut Operated) -> Result<(), Refusal> {
        let Some(running) = self.consumer(id)?.running else { return Ok(()) };
        let left = self.consumer(id)?.left_of(&running);
        if left.is_empty() {
            let consumer = self.consumer_mut(id)?;
            if let MoveKind::OtherOrder(number) = running.kind {
                consumer.deciding = number;
            }
            consumer.running = None;
            consumer.decide();
            return Ok(());
        }
        done.more = Some(0);
        if let MoveKind::OtherOrder(number) = running.kind {
            done.keys_by = self.consumer(id)?.settings.get(&number).map(|settings| (number, *settings));
            for position in left.into_iter().take(CHUNK) {
                let copy = self.consumer(id)?.states.get(&position).and_then(State::copy);
                done.keys.extend(copy.or(self.log.get(&position).copied()).map(|record| (position, record)));
            }
        }
        Ok(())
    }
}

impl State {
    fn copy(&self) -> Option<crate::calls::Record> {
        match self {
            Self::Waiting(row) | Self::InHand(row) => row.copy,
            _ => None,
        }
    }
}

impl Consumer {
    /// The rows that a move has not come to.
    fn left_of(&self, running: &Move) -> Vec<Position> {
        if running.next > running.to {
            return Vec::new();
        }
        let range = self.states.range(running.next..=running.to);
        let concerned = range.filter(|(_, state)| match running.kind {
            MoveKind::SeekBack => true,
            MoveKind::SeekAhead | MoveKind::OtherOrder(_) => matches!(state, State::Waiting(_)),
        });
        concerned.map(|(position, _)| *position).collect()
    }

    /// Whether a move that runs has taken the event from the session that has it: its report is late.
    pub(super) fn takes_from_hands(&self, position: Position) -> bool {
        self.running.is_some_and(|running| {
            running.kind == MoveKind::SeekBack && running.next <= position && position <= running.to
        })
    }

    /// Whether the position lies in the range of any move.
    pub(super) fn is_moved(&self, position: Position) -> bool {
        self.running.is_some_and(|running| running.next <= position && position <= running.to)
    }

    /// Among the sets of live sessions, the one with the highest number decides. A set with another `ordered_by` waits
    /// until the sessions with the present one have ended and nothing is in hand.
    pub(super) fn decide(&mut self) {
        if self.running.is_some() {
            return;
        }
        let present = self.settings().ordered_by;
        let order = |number: &Number| self.settings.get(number).and_then(|settings| settings.ordered_by);
        let live: Vec<Number> = self.live().map(|member| member.settings).collect();
        let same = live.iter().copied().filter(|number| order(number) == present).max();
        let Some(highest) = same.or(live.iter().copied().max()) else { return };
        if same.is_some() || self.deciding == 0 {
            self.deciding = highest;
        } else if self.in_hand().next().is_none() {
            let to = self.states.keys().next_back().copied().unwrap_or(0);
            self.running = Some(Move { kind: MoveKind::OtherOrder(highest), next: 0, to });
            self.moves += 1;
        }
    }
}
