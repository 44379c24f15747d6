//! The store's time: it follows the engine's clock, and never goes back.

use super::rows::{Meta, Micros};

impl Meta {
    /// The time at this reading of the engine's clock. It is noted, but only calls that change something store it.
    pub(super) fn time_at(&mut self, reading: Micros) -> Micros {
        if reading >= self.last {
            self.offset = 0;
        } else {
            let (behind, ahead) = (self.last.saturating_sub(reading), reading.saturating_add(self.offset));
            // The clock went back, or it was set forward again but not quite to where the time is.
            if ahead < self.last || ahead.saturating_sub(self.last) > behind {
                self.offset = behind;
            }
        }
        self.last = reading.saturating_add(self.offset);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_follows_a_clock_that_is_set() {
        let mut meta = Meta::default();
        let mut times = |readings: [Micros; 4]| readings.map(|reading| meta.time_at(reading));
        assert_eq!(times([1_000, 1_010, 1_010, 1_020]), [1_000, 1_010, 1_010, 1_020]);
        // Set back by 520, it goes on at its pace.
        assert_eq!(times([500, 510, 520, 700]), [1_020, 1_030, 1_040, 1_220]);
        // Set forward again, a little too little, and to the right time.
        assert_eq!(times([1_219, 1_225, 1_219, 1_300]), [1_220, 1_225, 1_225, 1_300]);
        assert_eq!(times([1_307, 1_308, 2_000, 2_001]), [1_307, 1_308, 2_000, 2_001]);
    }
}
