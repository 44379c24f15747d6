//! The clock of leases and retries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Timestamp, now};

/// The source of a bus's current time for leases and retries.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The system clock, on which processes that share an engine agree.
    Machine,
    /// A clock that a test may pause and set forward.
    Test(TestClock),
}

/// A clock for tests: it runs as the runtime's clock does, which a test may pause, and can be set forward. Clones are
/// the same clock.
#[doc(hidden)]
#[derive(Clone)]
pub struct TestClock(Arc<State>);

struct State {
    /// The runtime's clock and the time at its start.
    start: (Instant, Timestamp),
    /// How far it was set forward.
    ahead: watch::Sender<Duration>,
}

impl TestClock {
    /// Creates a clock that starts at the current time.
    pub fn start() -> Self {
        Self(Arc::new(State { start: (Instant::now(), now()), ahead: watch::Sender::default() }))
    }

    /// Sets the clock forward. Retries that are due then are claimed at once.
    pub fn advance(&self, time: Duration) {
        self.0.ahead.send_modify(|ahead| *ahead = ahead.saturating_add(time));
    }

    fn now(&self) -> Timestamp {
        let (instant, time) = self.0.start;
        let passed = instant.elapsed().saturating_add(*self.0.ahead.borrow());
        let micros = passed.as_micros().try_into().unwrap_or(i64::MAX);
        Timestamp(time.0.saturating_add(micros))
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestClock({})", self.now())
    }
}

impl Clock {
    /// Returns the time of a clock of a test, and nothing for the system clock.
    pub(crate) fn of_test(&self) -> Option<Timestamp> {
        match self {
            Self::Machine => None,
            Self::Test(clock) => Some(clock.now()),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Machine => now(),
            Self::Test(clock) => clock.now(),
        }
    }

    /// Resolves each time when the clock is set forward.
    pub(crate) fn changes(&self) -> ClockChanges {
        ClockChanges(match self {
            Self::Machine => None,
            Self::Test(clock) => Some(clock.0.ahead.subscribe()),
        })
    }
}

/// Waits until a clock is set forward.
pub(crate) struct ClockChanges(Option<watch::Receiver<Duration>>);

impl ClockChanges {
    pub(crate) async fn changed(&mut self) {
        if let Some(changes) = &mut self.0
            && changes.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}
