//! What the programs of a run send their calls to.

use crate::calls::{Reply, Request, Time};
use crate::store::Store;

/// The model's store, or an engine. A clone has a copy of all data.
pub trait Target: Clone {
    /// What [`since`](Self::since) compares with.
    type Before;

    /// Applies a call at a reading of the engine's clock.
    fn apply(&mut self, now: Time, request: Request) -> Reply;

    /// Another one without data.
    #[must_use]
    fn empty(&self) -> Self;

    fn before(&self) -> Self::Before;

    /// Whether nothing differs but the time, and how many rows and records differ. `None` if that can't be found out.
    fn since(&self, before: &Self::Before) -> Option<(bool, usize)>;
}

impl Target for Store {
    type Before = Self;

    fn apply(&mut self, now: Time, request: Request) -> Reply {
        self.apply(now, request)
    }

    fn empty(&self) -> Self {
        Self::new(self.broken())
    }

    fn before(&self) -> Self {
        self.clone()
    }

    fn since(&self, before: &Self) -> Option<(bool, usize)> {
        Some((self.is_same(before), self.changed_since(before)))
    }
}
