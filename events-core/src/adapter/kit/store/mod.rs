//! The store of durable delivery for engines that are written in Rust: every call of
//! [`DurableAdapter`](crate::DurableAdapter) as one step on the [storage](Rows) of an engine.
//!
//! The page "Durable delivery" of ARCHITECTURE.md defines the states, and `tests/durable-model` is the same as a
//! program. This store adds the indexes by which the work of a call does not depend on how much waits:
//!
//! - The rows of each kind of events stand in an order of their own. A claim looks at the kinds that its session takes.
//!   So unclaimed events are not stored as such, and nothing changes when sessions come and go.
//! - A row that waits for an earlier one of its key is *blocked* and no candidate. When that one leaves, the first row of
//!   the key that a session takes is unblocked. Every candidate is checked again before it is handed out, so that
//!   unblocking a row is always safe. What may never happen is that the first row of a key which a session takes stays
//!   blocked.

mod append;
mod claim;
mod clock;
mod consumer;
mod exchange;
mod keys;
mod moves;
mod operate;
mod rows;
mod sessions;
mod status;
mod transitions;
mod view;

use std::time::Duration;

pub use append::{TrimLimit, Trimmed};
pub use moves::{Move, MoveKind};
pub use rows::{
    Announced, Dead, Header, KindId, KnownKind, Member, Meta, Micros, Named, Profile, Progress, Row, Rows,
    Session, StoredRecord,
};
pub use view::Views;

use crate::adapter::durable::{Caller, ConsumerId, Position, Refusal};
use crate::time::Timestamp;

/// Bounds of the work of a call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows that a call changes besides those that it names.
    pub chunk: usize,
    /// Events that an exchange claims.
    pub claimed: usize,
    /// Events that an exchange claims where they have an order.
    pub claimed_in_order: usize,
    /// Dead letters that a call announces, replays or purges.
    pub letters: usize,
    /// Ended sessions whose last exchanges are kept.
    pub ended_sessions: usize,
    /// How long they are kept, and how long a jump of the clock stops trimming by age, in microseconds of *heard*.
    pub day: u64,
    /// Sets of settings that a consumer keeps.
    pub settings: usize,
    /// A jump of the clock that is reported, in microseconds.
    pub jump: Micros,
    /// Kinds with waiting rows that a claim looks at without making sure that they have some.
    pub open_kinds: usize,
}

/// The bounds in production.
pub const LIMITS: Limits = Limits {
    chunk: 500,
    claimed: 256,
    claimed_in_order: 128,
    letters: 200,
    ended_sessions: 1_000,
    day: 24 * 60 * 60 * 1_000_000,
    settings: 16,
    jump: 60 * 60 * 1_000_000,
    open_kinds: 16,
};

/// One call on the storage.
pub struct Store<'a, R> {
    rows: &'a mut R,
    views: &'a Views,
    limits: Limits,
    meta: Meta,
    stored_meta: Meta,
    time: Micros,
    newest: Position,
    begins: Position,
    /// Whether the call has changed something.
    changed: bool,
    /// Whether other sessions may have more to claim than before.
    released: bool,
}

/// What a call did, besides its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Whether it has changed something.
    pub changed: bool,
    /// Whether other sessions may have more to claim than before.
    pub released: bool,
    /// The store's time at the call.
    pub time: Micros,
}

impl<'a, R: Rows> Store<'a, R> {
    /// Begins a call. `clock` is the reading of the engine's clock.
    ///
    /// # Errors
    ///
    /// The refusals of loss of data, or the error of the engine.
    pub fn begin(
        rows: &'a mut R,
        views: &'a Views,
        limits: &Limits,
        caller: &Caller,
        clock: Timestamp,
    ) -> Result<Self, R::Error> {
        let store = Self::new(rows, views, limits, caller.now.unwrap_or(clock))?;
        match store.loss_of_data(caller) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(store),
        }
    }

    /// Begins a call of the engine itself, or one that compares what its sender knows by itself.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn new(
        rows: &'a mut R,
        views: &'a Views,
        limits: &Limits,
        clock: Timestamp,
    ) -> Result<Self, R::Error> {
        let stored_meta = rows.meta()?;
        let mut meta = stored_meta.clone();
        let time = meta.time_at(clock.as_micros());
        let (newest, begins) = (rows.newest()?, rows.begins()?);
        let (changed, released) = (false, false);
        Ok(Self { rows, views, limits: *limits, meta, stored_meta, time, newest, begins, changed, released })
    }

    /// Ends a call that was not refused.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    pub fn end(self) -> Result<Done, R::Error> {
        let Self { rows, mut meta, stored_meta, changed, released, time, .. } = self;
        let clock = |meta: &Meta| Meta { last: 0, offset: 0, ..meta.clone() };
        let changed = changed || clock(&meta) != clock(&stored_meta);
        meta.released += u64::from(changed && released);
        if changed && meta != stored_meta {
            rows.put_meta(&meta)?;
        }
        Ok(Done { changed, released, time })
    }

    /// Whether the sender knows other or newer data than this store has.
    fn loss_of_data(&self, caller: &Caller) -> Option<Refusal> {
        let knows = caller.knows?;
        let own = self.meta.incarnation;
        if knows.incarnation == own {
            let behind = self.meta.heard < knows.heard || self.newest < knows.newest;
            return behind.then_some(Refusal::Behind(own));
        }
        Some(if knows.incarnation.number < own.number {
            Refusal::OtherIncarnation(own)
        } else {
            Refusal::Behind(own)
        })
    }

    /// The consumers that were not removed.
    fn all_consumers(&mut self) -> Result<Vec<ConsumerId>, R::Error> {
        self.rows.consumers()
    }
}

/// Microseconds of a duration, at most about 292,000 years.
pub(crate) fn micros(duration: Duration) -> Micros {
    duration.as_micros().try_into().unwrap_or(Micros::MAX)
}

/// Microseconds of a duration, for *heard*.
fn heard(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

/// Microseconds until a time.
fn until(now: Micros, time: Micros) -> u64 {
    time.saturating_sub(now).try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_page() {
        let day = Duration::from_secs(24 * 60 * 60);
        let Limits { chunk, claimed, claimed_in_order, letters, ended_sessions, settings, .. } = LIMITS;
        assert_eq!((chunk, claimed, claimed_in_order, letters), (500, 256, 128, 200));
        assert_eq!((ended_sessions, settings), (1_000, 16));
        assert_eq!((LIMITS.day, LIMITS.jump), (heard(day), micros(day / 24)));
    }
}
