//! The store's time: it follows the engine's clock, and never goes back.

use crate::calls::Time;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Clock {
    /// The newest time that was given out.
    pub last: Time,
    /// What is added to the engine's clock while it is behind.
    pub offset: Time,
}

impl Clock {
    /// The time at this reading of the engine's clock.
    pub fn at(&mut self, reading: Time) -> Time {
        if reading >= self.last {
            self.offset = 0;
        } else if reading + self.offset < self.last {
            self.offset = self.last - reading;
        }
        self.last = reading + self.offset;
        self.last
    }
}
