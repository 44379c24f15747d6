//! A durable bus for tests: on a temporary file, by the runtime's clock, with everything that was emitted at hand.
//!
//! Use it through the `testing` feature of the `typed-events` crate, as a dev-dependency:
//! `typed_events::testing::TestBus`.

#![cfg_attr(docsrs, feature(doc_cfg))]

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use events_core::{Bus, BusBuilder, ConsumerStatus, DeadLetter, Error, Event, Record};
use events_sqlite::{Sqlite, Synchronous};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A bus on a temporary file, with durable handlers; it is used like a [`Bus`].
///
/// Retries, leases and timeouts go by the runtime's clock. In a test that pauses it
/// (`#[tokio::test(start_paused = true)]`, of tokio's feature `test-util`), a backoff of an hour takes no time:
/// whenever all tasks wait, the clock jumps to what is due next. As everywhere with tokio's paused clock, that
/// includes tasks that wait for a socket or a thread of their own.
///
/// The file goes away when this is dropped.
///
/// Each event that is emitted is also read back. One that can't be, or that comes back as another value, is refused
/// by the emit, and fails the test when this is dropped, with the event and the path.
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
/// #[tokio::test(start_paused = true)]
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
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
/// # runtime.block_on(an_invoice_is_tried_until_it_is_sent()).unwrap();
/// # }
/// ```
#[derive(Debug)]
pub struct TestBus {
    bus: Bus,
    folder: TempDir,
    lost: Lost,
}

/// The events that could not be read back. Fails the test when it is dropped, if there are some.
#[derive(Debug, Default)]
struct Lost(Arc<Mutex<Vec<String>>>);

impl Drop for Lost {
    #[allow(clippy::panic, reason = "an assertion of a test")]
    fn drop(&mut self) {
        let lost = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !lost.is_empty() && !std::thread::panicking() {
            panic!(
                "events were emitted that no handler of a stored event could ever get:\n{}",
                lost.join("\n")
            );
        }
    }
}

/// Ends the test unless an event comes back as it was: written as an adapter keeps it, and read.
///
/// What is compared is the JSON of both, and what `Debug` shows of them: so a field that is not written, such as one
/// with `#[serde(skip)]`, has to have its default. The order in a set or map is not compared.
///
/// # Panics
///
/// If the event can't be written, can't be read, or comes back as another value: with the event, and the path.
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
            "`{name}` comes back as another value, though its JSON is the same: a field is not written, or not all of it\n  emitted: {before}\n  read:    {after}"
        );
    }
}

/// The words of a text, whatever their order.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<_> =
        text.split([' ', ',', '(', ')', '[', ']', '{', '}']).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words
}

/// How long [`TestBus::settle`] waits, by the runtime's clock: longer than any backoff that a test would set.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a test bus did not do what a test asked for.
#[derive(Debug)]
pub enum TestError {
    /// No temporary folder could be made.
    Folder(std::io::Error),
    /// What the bus said.
    Failed(Error),
    /// These consumers were not done after 30 days of the runtime's clock.
    Unsettled(Vec<ConsumerStatus>),
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => write!(f, "no temporary folder: {error}"),
            Self::Failed(error) => error.fmt(f),
            Self::Unsettled(consumers) => {
                let left: Vec<_> = consumers.iter().map(ToString::to_string).collect();
                write!(f, "not settled: {}", left.join("; "))
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
    /// A bus on a new file, set up by a closure: `TestBus::start(|bus| bus.handler::<invoice>().state(printer))`.
    ///
    /// # Errors
    ///
    /// Those of [`BusBuilder::build`]; or there is no place for temporary files.
    pub async fn start(set_up: impl FnOnce(BusBuilder) -> BusBuilder) -> Result<Self, TestError> {
        let folder = tempfile::tempdir().map_err(TestError::Folder)?;
        let lost = Lost::default();
        let bus = build(folder.path(), &lost, set_up).await?;
        Ok(Self { bus, folder, lost })
    }

    /// Stops the bus and starts another one on the same file, as a new release of the program would.
    ///
    /// # Errors
    ///
    /// Those of [`Bus::stop`] and [`BusBuilder::build`].
    pub async fn restart(self, set_up: impl FnOnce(BusBuilder) -> BusBuilder) -> Result<Self, TestError> {
        self.bus.stop().await?;
        let bus = build(self.folder.path(), &self.lost, set_up).await?;
        Ok(Self { bus, folder: self.folder, lost: self.lost })
    }

    /// Waits until the durable handlers have nothing left to do: everything is handled, or in the dead letters.
    /// Consumers that are paused, and events of newer versions, are not waited for.
    ///
    /// # Errors
    ///
    /// [`TestError::Unsettled`] after 30 days of the runtime's clock; where that is not paused, a test had better
    /// set a limit of its own.
    pub async fn settle(&self) -> Result<(), TestError> {
        let settled = async {
            let mut pause = Duration::from_millis(2);
            while !self.unsettled().await?.is_empty() {
                sleep(pause).await;
                // At most as long as was waited before, so that hours of a paused clock are few steps.
                pause *= 2;
            }
            Ok(())
        };
        match timeout(SETTLE_TIMEOUT, settled).await {
            Ok(settled) => settled,
            Err(_) => Err(TestError::Unsettled(self.unsettled().await?)),
        }
    }

    async fn unsettled(&self) -> Result<Vec<ConsumerStatus>, TestError> {
        let mut consumers = self.bus.consumers().await?;
        consumers.retain(|consumer| consumer.lag > consumer.newer && !consumer.paused);
        Ok(consumers)
    }

    /// All events that were emitted, in their order, as records.
    ///
    /// # Errors
    ///
    /// Where the file can't be read.
    pub async fn records(&self) -> Result<Vec<Record>, TestError> {
        Ok(self.bus.history("*").limit(usize::MAX).await?.complete()?)
    }

    /// All events of one type that were emitted, in their order.
    ///
    /// # Errors
    ///
    /// Where the file can't be read.
    pub async fn emitted<E: Event>(&self) -> Result<Vec<Arc<E>>, TestError> {
        let events = self.bus.history("*").of::<E>().limit(usize::MAX).await?;
        Ok(events.complete()?)
    }

    /// The dead letters of all consumers.
    ///
    /// # Errors
    ///
    /// Where the file can't be read.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, TestError> {
        let mut dead = Vec::new();
        for consumer in self.bus.consumers().await? {
            dead.extend(self.bus.consumer(consumer.name).dead_letters(usize::MAX).await?);
        }
        Ok(dead)
    }
}

async fn build(
    folder: &Path,
    lost: &Lost,
    set_up: impl FnOnce(BusBuilder) -> BusBuilder,
) -> Result<Bus, Error> {
    let losses = Arc::clone(&lost.0);
    let note = move |error: &Error| {
        losses.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
    };
    // No test cuts the power.
    let adapter = Sqlite::at(folder.join("events.db")).synchronous(Synchronous::Normal);
    set_up(Bus::builder().adapter(adapter).clock_of_runtime().read_back(note)).build().await
}

impl Deref for TestBus {
    type Target = Bus;

    fn deref(&self) -> &Bus {
        &self.bus
    }
}
