//! The log: appending, trimming, and whether consumers are done with it.

use super::{CHUNK, Effect, Operation, State, Store};
use crate::breaks::Break;
use crate::calls::{ConsumerId, Event, EventId, Operated, Position, Record, Time, TrimLimit, take};

impl Store {
    /// Appends events in their order; returns the ids that the log already has.
    pub(super) fn append(&mut self, time: Time, events: Vec<Event>) -> Vec<EventId> {
        let mut duplicates = Vec::new();
        for event in events {
            if self.log.values().any(|record| record.event.id == event.id) {
                duplicates.push(event.id);
                continue;
            }
            self.newest += 1;
            self.log.insert(self.newest, Record { event, time });
        }
        duplicates
    }

    /// No consumer has an event up to `to` that is after its position, waiting or in hand.
    pub(super) fn settled(&self, to: Position) -> bool {
        self.consumers.values().filter(|consumer| !consumer.removed).all(|consumer| {
            consumer.position >= to.min(self.newest)
                && consumer.waiting().chain(consumer.in_hand()).all(|(position, _)| position > to)
        })
    }

    /// Trims at most a chunk of records.
    pub(super) fn trim(&mut self, time: Time, limit: TrimLimit, past_consumers: bool) -> Operated {
        if matches!(limit, TrimLimit::Age(_)) && self.heard < self.trim_from {
            return Operated { more: Some(0), ..Operated::default() };
        }
        let held_from = if past_consumers { Position::MAX } else { self.held_up_from() };
        let trimmed: Vec<Position> = self
            .log
            .iter()
            .take_while(|(position, record)| match limit {
                TrimLimit::To(to) => **position <= to,
                TrimLimit::Age(age) => record.time + age < time,
            })
            .map(|(position, _)| *position)
            .take_while(|position| *position < held_from)
            .take(CHUNK)
            .collect();
        let mut dropped = 0;
        for position in &trimmed {
            let record = self.log.remove(position);
            for id in self.consumers.keys().copied().collect::<Vec<_>>() {
                dropped += self.lose(time, id, *position, record);
            }
        }
        Operated { affected: trimmed.len(), dropped, ..Operated::default() }
    }

    /// The first position that a consumer needs: the log keeps records from there on.
    fn held_up_from(&self) -> Position {
        let consumers = self.consumers.values().filter(|consumer| !consumer.removed);
        let needed = consumers.flat_map(|consumer| {
            let rows = consumer.states.iter().filter_map(|(position, state)| match state {
                State::Waiting(row) | State::InHand(row) => row.copy.is_none().then_some(*position),
                _ => None,
            });
            let rows = rows.filter(|_| !self.breaks(Break::TrimIgnoresRows));
            rows.chain([consumer.position + 1])
        });
        needed.min().unwrap_or(Position::MAX)
    }

    /// A record is trimmed past a consumer; returns how many events the consumer loses.
    fn lose(&mut self, time: Time, id: ConsumerId, position: Position, record: Option<Record>) -> usize {
        let Some(consumer) = self.consumers.get_mut(&id).filter(|consumer| !consumer.removed) else {
            return 0;
        };
        let is_new = position > consumer.position && !consumer.states.contains_key(&position);
        let is_taken = record.is_some_and(|record| take(&consumer.union, record.event.name));
        if is_new && !is_taken {
            return 0;
        }
        usize::from(self.step(time, id, position, &Operation::TrimPast) == Effect::Dropped)
    }
}
