//! The clock of leases and retries.

use super::{Timestamp, now};

/// The source of a bus's current time for leases and retries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The system clock, on which processes that share an engine agree.
    Machine,
    /// The runtime's clock, which a test may pause: the timestamp plus the time since the instant.
    Runtime(tokio::time::Instant, Timestamp),
}

impl Clock {
    /// Starts at the current time of the runtime's clock.
    pub(crate) fn of_runtime() -> Self {
        Self::Runtime(tokio::time::Instant::now(), now())
    }

    /// Returns the time of a clock that a test may pause, and nothing for the system clock.
    pub(crate) fn of_test(self) -> Option<Timestamp> {
        match self {
            Self::Machine => None,
            Self::Runtime(..) => Some(self.now()),
        }
    }

    pub(crate) fn now(self) -> Timestamp {
        match self {
            Self::Machine => now(),
            Self::Runtime(start, time) => {
                let micros = start.elapsed().as_micros().try_into().unwrap_or(i64::MAX);
                Timestamp(time.0.saturating_add(micros))
            }
        }
    }
}
