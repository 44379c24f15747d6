//! The store's time: it follows the engine's clock, and never goes back.

use super::rows::{Meta, Micros};

impl Meta {
    /// The time at this reading of the engine's clock. It is noted, but only calls that change something store it.
    pub(super) fn time_at(&mut self, reading: Micros) -> Micros {
        if reading >= self.last {
            self.offset = 0;
        } else if reading.saturating_add(self.offset) < self.last {
            self.offset = self.last.saturating_sub(reading);
        }
        self.last = reading.saturating_add(self.offset);
        self.last
    }
}
