//! A bus for tests of durable handlers. It keeps its events in memory, does not wait for retries that are due later, and
//! lists everything that was emitted.
//!
//! Use it through the `testing` feature of the `typed-events` crate, as a dev-dependency:
//! `typed_events::testing::TestBus`.

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use events_core::{Bus, BusBuilder, ConsumerStatus, DeadLetter, Error, Event, InMemory, Record, TestClock};
use tokio::time::{Instant, sleep};

/// A bus with durable handlers that keeps its events in memory. It dereferences to a [`Bus`].
///
/// The time of retries is a clock of the test's own: [`settle`](TestBus::settle) sets it forward while events only wait
/// for their retries, so a backoff of an hour takes no time. The runtime's clock goes on as usual, for timers and limits of
/// handlers and for pools of connections. A test of handlers that sleep may pause it (`#[tokio::test(start_paused =
/// true)]`, which needs tokio's feature `test-util`): then it advances whenever all tasks wait, also while they wait for
/// a socket or another thread. So a test with a pool of connections must not pause it, or the pool's own limits expire.
///
/// To test handlers with [`emit_in`](Bus::emit_in) or `first_time`, give it another adapter in `set_up`: `TestBus::start(|bus|
/// bus.adapter(Sqlite::at(path)))`, with the file of the program's own pool.
///
/// Each emitted event is also read back. If it can't be read, or comes back as another value, the emit refuses it, and
/// the test fails when the bus is dropped. The message names the event and the path.
///
/// ```
/// use typed_events::{Delivery, event, on};
/// use typed_events::testing::TestBus;
///
/// #[event("order.paid")]
/// pub struct OrderPaid { pub id: u64 }
///
/// #[on(durable = "send-invoice", retries = 3, backoff = "1h..24h")]
/// async fn invoice(_: &OrderPaid, delivery: &Delivery) -> Result<(), String> {
///     if delivery.attempt() < 3 { Err("the printer is out of paper".into()) } else { Ok(()) }
/// }
///
/// #[tokio::test]
/// # async fn hidden() {}
/// # fn main() {
/// async fn an_invoice_is_tried_until_it_is_sent() -> Result<(), typed_events::testing::TestError> {
///     let bus = TestBus::start(|bus| bus.handler::<invoice>()).await?;
///     bus.emit(OrderPaid { id: 1 }).await?;
///     bus.settle().await?; // both retries; not three hours
///     assert!(bus.dead_letters().await?.is_empty());
///     assert_eq!(bus.emitted::<OrderPaid>().await?.len(), 1);
///     Ok(())
/// }
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(an_invoice_is_tried_until_it_is_sent()).unwrap();
/// # }
/// ```
#[derive(Debug)]
pub struct TestBus {
    bus: Bus,
    memory: InMemory,
    clock: TestClock,
    lost: Lost,
}

/// The events that could not be read back. The test fails when this is dropped, unless there are none.
#[derive(Debug, Default)]
struct Lost(Arc<Mutex<Vec<String>>>);

impl Drop for Lost {
    #[allow(clippy::panic, reason = "an assertion of a test")]
    fn drop(&mut self) {
        let lost = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !lost.is_empty() && !std::thread::panicking() {
            panic!(
                "some emitted events can't be read back, so no durable handler would get them:\n{}",
                lost.join("\n")
            );
        }
    }
}

/// Fails the test unless an event comes back unchanged after it was written in an adapter's format and read.
///
/// Both the JSON and the `Debug` output are compared. So a field that is not written, such as one with
/// `#[serde(skip)]`, must have its default value. The order of elements in a set or map is ignored.
///
/// # Panics
///
/// If the event can't be written, can't be read, or comes back as another value. The message has the event and the
/// path.
///
/// ```
/// use typed_events::event;
/// use typed_events::testing::assert_round_trip;
///
/// #[event("order.priced")]
/// pub struct OrderPriced { pub id: u64, pub price: f64 }
///
/// assert_round_trip(&OrderPriced { id: 1, price: 117.63331139400017 });
/// ```
#[track_caller]
#[allow(clippy::panic, reason = "an assertion of a test")]
pub fn assert_round_trip<E: Event>(event: &E) {
    let name = E::NAME;
    let back = match events_core::__private::read_back(event) {
        Ok(back) => back,
        Err(why) => panic!("`{name}` does not survive a round trip: {why}"),
    };
    let (before, after) = (format!("{event:?}"), format!("{back:?}"));
    if words(&before) != words(&after) {
        panic!(
            "`{name}` comes back as another value, though its JSON is the same: a field is not written, or only a part of it\n  emitted: {before}\n  read:    {after}"
        );
    }
}

/// Returns the words of a text in sorted order.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<_> =
        text.split([' ', ',', '(', ')', '[', ']', '{', '}']).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

/// The longest time that [`TestBus::settle`] waits without progress, by the clock of retries. No test's backoff should be
/// longer.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Interval between two looks at the consumers.
const POLL: Duration = Duration::from_millis(2);

/// The first and the longest step of the clock while events wait for their retries.
const STEPS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(24 * 60 * 60));

/// The error of a test bus.
#[derive(Debug)]
pub enum TestError {
    /// An operation of the bus failed.
    Failed(Error),
    /// These consumers still had pending events, and for 30 days by the clock of retries nothing happened.
    Unsettled(Vec<ConsumerStatus>),
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Unsettled(consumers) => {
                let left: Vec<_> = consumers.iter().map(ToString::to_string).collect();
                write!(f, "consumers have not settled: {}", left.join("; "))
            }
        }
    }
}

impl std::error::Error for TestError {}

impl From<Error> for TestError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl TestBus {
    /// Builds a bus on a new log in memory. `set_up` configures it: `TestBus::start(|bus|
    /// bus.handler::<invoice>().state(printer))`.
    ///
    /// # Errors
    ///
    /// [`TestError::Failed`] with the errors of [`BusBuilder::build`].
    pub async fn start(set_up: impl FnOnce(BusBuilder) -> BusBuilder) -> Result<Self, TestError> {
        let (memory, clock, lost) = (InMemory::new(), TestClock::start(), Lost::default());
        let bus = build(&memory, &clock, &lost, set_up).await?;
        Ok(Self { bus, memory, clock, lost })
    }

    /// Stops the bus and builds another one on the same log, as a new release of the program would.
    ///
    /// # Errors
    ///
    /// [`TestError::Failed`] with the errors of [`Bus::stop`] and [`BusBuilder::build`].
    pub async fn restart(self, set_up: impl FnOnce(BusBuilder) -> BusBuilder) -> Result<Self, TestError> {
        self.bus.stop().await?;
        let bus = build(&self.memory, &self.clock, &self.lost, set_up).await?;
        Ok(Self { bus, memory: self.memory, clock: self.clock, lost: self.lost })
    }

    /// Waits until no consumer has pending events: each event is acknowledged or a dead letter. Paused consumers are
    /// ignored, and so are events that no handler of the program takes. While events only wait for their retries, sets the
    /// clock of retries forward.
    ///
    /// # Errors
    ///
    /// [`TestError::Unsettled`] if nothing happens for 30 days by the clock of retries. [`TestError::Failed`] if the status
    /// of the consumers can't be read. A handler that never ends keeps `settle` waiting: limit its time with `timeout`.
    pub async fn settle(&self) -> Result<(), TestError> {
        let (mut pause, mut step, mut passed) = (POLL, STEPS.0, Duration::ZERO);
        let mut before = None;
        loop {
            let unsettled = self.unsettled().await?;
            if unsettled.is_empty() {
                return Ok(());
            }
            if passed > SETTLE_TIMEOUT {
                return Err(TestError::Unsettled(unsettled));
            }
            // A retry that has failed again is progress.
            let now = standing(&unsettled).map(|consumers| (consumers, self.bus.stats().failed));
            if now.is_some() && now == before {
                self.clock.advance(step);
                // Few steps to a retry in hours, and no long step past one in milliseconds.
                (passed, step) = (passed + step, (step * 4).min(STEPS.1));
            } else if now.is_some() {
                (passed, step) = (Duration::ZERO, STEPS.0);
            }
            before = now;
            #[allow(clippy::disallowed_methods, reason = "it tells whether the runtime's clock is paused")]
            let began = (Instant::now(), std::time::Instant::now());
            sleep(pause).await;
            let is_paused = began.0.elapsed() > began.1.elapsed() * 2;
            // A handler that sleeps for hours on a paused clock takes few polls.
            pause = if is_paused { pause * 2 } else { POLL };
            passed += began.0.elapsed();
        }
    }

    async fn unsettled(&self) -> Result<Vec<ConsumerStatus>, TestError> {
        let mut consumers = self.bus.consumers().await?;
        consumers.retain(|consumer| consumer.lag > consumer.unclaimed && !consumer.paused);
        Ok(consumers)
    }

    /// Returns all events that were emitted, in their order, as records.
    ///
    /// # Errors
    ///
    /// [`TestError::Failed`] if the log can't be read.
    pub async fn records(&self) -> Result<Vec<Record>, TestError> {
        Ok(self.bus.history("*").limit(usize::MAX).await?.complete()?)
    }

    /// Returns all events of type `E` that were emitted, in their order.
    ///
    /// # Errors
    ///
    /// [`TestError::Failed`] if the log can't be read or a record does not fit `E`.
    pub async fn emitted<E: Event>(&self) -> Result<Vec<Arc<E>>, TestError> {
        let events = self.bus.history("*").of::<E>().limit(usize::MAX).await?;
        Ok(events.complete()?)
    }

    /// Returns the dead letters of all consumers.
    ///
    /// # Errors
    ///
    /// [`TestError::Failed`] if the log can't be read.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, TestError> {
        let mut dead = Vec::new();
        for consumer in self.bus.consumers().await? {
            dead.extend(self.bus.consumer(consumer.name).dead_letters(usize::MAX).await?);
        }
        Ok(dead)
    }
}

/// Returns where the consumers stand, if all of their pending events wait for retries.
fn standing(unsettled: &[ConsumerStatus]) -> Option<Vec<(u64, u64)>> {
    let waits = |consumer: &ConsumerStatus| {
        consumer.in_progress == 0 && consumer.lag == consumer.waiting + consumer.unclaimed
    };
    let stands = |consumer: &ConsumerStatus| waits(consumer).then_some((consumer.position, consumer.waiting));
    unsettled.iter().map(stands).collect()
}

async fn build(
    memory: &InMemory,
    clock: &TestClock,
    lost: &Lost,
    set_up: impl FnOnce(BusBuilder) -> BusBuilder,
) -> Result<Bus, Error> {
    let losses = Arc::clone(&lost.0);
    let note = move |error: &Error| {
        losses.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
    };
    set_up(Bus::builder().adapter(memory.clone()).clock(clock.clone()).read_back(note)).build().await
}

impl Deref for TestBus {
    type Target = Bus;

    fn deref(&self) -> &Bus {
        &self.bus
    }
}
