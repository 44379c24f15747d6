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
        } else {
            let (behind, ahead) = (self.last - reading, reading + self.offset);
            // The clock went back, or it was set forward again but not quite to where the time is.
            if ahead < self.last || ahead - self.last > behind {
                self.offset = behind;
            }
        }
        self.last = reading + self.offset;
        self.last
    }
}
