//! The environment of a case: a store, and buses on it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::adapter::BoxFuture;
use crate::adapter::durable::ConsumerStatus;
use crate::adapter::options::{DurableOptions, StartAt};
use crate::bus::builder::BusBuilder;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::future_set::join_all;
use crate::bus::inner::Bus;
use crate::conformance::harness::{Ability, ExternalRecord, Harness, Scale};
use crate::conformance::recorder::{Recorder, number};
use crate::id::{EventId, InstanceId};
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};
use crate::time::Timestamp;

/// The cause why a case failed.
pub(super) struct CaseFailure(String);

/// Result of a case or of a step of it.
pub(super) type CaseResult = Result<(), CaseFailure>;

impl CaseFailure {
    pub(super) fn new(how: impl fmt::Display) -> Self {
        Self(how.to_string())
    }

    pub(super) fn to_message(&self) -> String {
        self.0.clone()
    }
}

/// Converts any error, so that cases can use `?`.
impl<E: fmt::Display> From<E> for CaseFailure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails a case unless a condition holds.
macro_rules! ensure {
    ($kept:expr, $($how:tt)+) => {
        if !$kept {
            return Err(crate::conformance::testbed::CaseFailure::new(format_args!($($how)+)));
        }
    };
}

/// Defines the cases of a module, each with the abilities it needs.
macro_rules! cases {
    ($subject:literal: $($case:ident [$($ability:ident),*],)+) => {
        pub(super) fn cases<H: crate::conformance::harness::Harness>() -> Vec<crate::conformance::testbed::Case<H>> {
            vec![$(crate::conformance::testbed::Case {
                name: concat!($subject, "::", stringify!($case)),
                needs: &[$(crate::conformance::harness::Ability::$ability),*],
                run: |testbed| Box::pin($case(testbed)),
            }),+]
        }
    };
}

pub(super) use {cases, ensure};

/// A test of one requirement.
pub(super) struct Case<H: Harness> {
    pub(super) name: &'static str,
    pub(super) needs: &'static [Ability],
    pub(super) run: fn(Testbed<H>) -> BoxFuture<'static, CaseResult>,
}

/// A store, and the buses that were built on it.
pub(super) struct Testbed<H: Harness> {
    harness: Arc<H>,
    store: Arc<H::Store>,
    buses: Arc<Mutex<Vec<Bus>>>,
    pub(super) scale: Scale,
}

impl<H: Harness> Clone for Testbed<H> {
    fn clone(&self) -> Self {
        Self {
            harness: Arc::clone(&self.harness),
            store: Arc::clone(&self.store),
            buses: Arc::clone(&self.buses),
            scale: self.scale.clone(),
        }
    }
}

impl<H: Harness> Testbed<H> {
    pub(super) fn new(harness: Arc<H>, store: H::Store) -> Self {
        let scale = harness.scale();
        Self { harness, store: Arc::new(store), buses: Arc::default(), scale }
    }

    pub(super) fn has(&self, ability: Ability) -> bool {
        self.harness.abilities().contains(&ability)
    }

    /// Builder of a bus without an adapter.
    pub(super) fn bare(&self) -> BusBuilder {
        Bus::builder().no_handlers().accept_undeclared().slow_handler(Duration::MAX).quiet()
    }

    /// Builder of a bus with an adapter on the store.
    pub(super) fn builder(&self) -> BusBuilder {
        self.bare().adapter(self.adapter())
    }

    pub(super) fn adapter(&self) -> H::Adapter {
        self.harness.adapter(&self.store)
    }

    pub(super) async fn build(&self, builder: BusBuilder) -> Result<Bus, CaseFailure> {
        let bus = builder.build().await?;
        self.buses().push(bus.clone());
        Ok(bus)
    }

    /// Builds a bus on the store without handlers.
    pub(super) async fn bus(&self) -> Result<Bus, CaseFailure> {
        self.build(self.builder()).await
    }

    /// Builds several buses on the store without handlers.
    pub(super) async fn buses_of(&self, count: usize) -> Result<Vec<Bus>, CaseFailure> {
        let mut buses = Vec::with_capacity(count);
        for _ in 0..count {
            buses.push(self.bus().await?);
        }
        Ok(buses)
    }

    /// Builds a bus with a durable handler that records the numbers of its events.
    pub(super) async fn consumer(
        &self,
        durable: DurableOptions,
        pattern: &str,
        recorder: &Arc<Recorder<u64>>,
    ) -> Result<Bus, CaseFailure> {
        let recorder = Arc::clone(recorder);
        let handler = move |record: &Record| recorder.note(number(record));
        self.build(self.builder().durable(durable, pattern, handler)).await
    }

    pub(super) fn recorder<T: Clone + fmt::Debug>(&self) -> Arc<Recorder<T>> {
        Recorder::new(self.scale.timeout)
    }

    /// Appends a text to the log as the record of a new event, and returns the data about it.
    pub(super) async fn append(
        &self,
        name: &str,
        text: impl FnOnce(&ExternalRecord) -> String,
    ) -> Result<ExternalRecord, CaseFailure> {
        let mut external = ExternalRecord {
            event: EventId::new(),
            name: name.to_owned(),
            version: 1,
            time: Timestamp::now(),
            origin: InstanceId::new(),
            text: String::new(),
        };
        external.text = text(&external);
        self.harness.append(&self.store, external.clone()).await?;
        Ok(external)
    }

    /// Repeats a check until it succeeds. Fails after [`Scale::timeout`].
    pub(super) async fn until<F>(&self, what: &str, mut so: impl FnMut() -> F) -> CaseResult
    where
        F: Future<Output = Result<bool, CaseFailure>>,
    {
        let deadline = Instant::now() + self.scale.timeout;
        while !so().await? {
            if Instant::now() > deadline {
                let seconds = self.scale.timeout.as_secs();
                return Err(CaseFailure::new(format_args!(
                    "waited {seconds} s, but it did not become true that {what}"
                )));
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until the status of a consumer meets a condition. Fails if the status does not change for
    /// [`Scale::timeout`].
    pub(super) async fn until_status(
        &self,
        bus: &Bus,
        consumer: &str,
        what: &str,
        so: impl Fn(&ConsumerStatus) -> bool,
    ) -> Result<ConsumerStatus, CaseFailure> {
        let (mut last, mut deadline) = (None, Instant::now() + self.scale.timeout);
        loop {
            let mut status = bus.consumer(consumer).status().await?;
            if so(&status) {
                return Ok(status);
            }
            status.seen = Timestamp::from_micros(0);
            if last.as_ref() != Some(&status) {
                deadline = Instant::now() + self.scale.timeout;
            } else if Instant::now() > deadline {
                return Err(CaseFailure::new(format_args!(
                    "waited for {what}, but the consumer stays at: {status}"
                )));
            }
            last = Some(status);
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until a consumer has finished all events.
    pub(super) async fn until_done(&self, bus: &Bus, consumer: &str) -> Result<ConsumerStatus, CaseFailure> {
        self.until_status(bus, consumer, "it to be done", |status| status.lag == 0).await
    }

    fn buses(&self) -> MutexGuard<'_, Vec<Bus>> {
        self.buses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the buses that the case has not stopped.
    pub(super) async fn stop_all(&self) -> CaseResult {
        let buses = std::mem::take(&mut *self.buses());
        let stopped = join_all(buses.iter().map(|bus| Box::pin(bus.stop()))).await;
        stopped.into_iter().collect::<Result<(), _>>()?;
        Ok(())
    }
}

/// Interval between checks.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A durable handler that starts at the beginning of the log and is retried after 2 ms.
pub(super) fn durable(name: &str) -> DurableOptions {
    let wait = Duration::from_millis(2);
    DurableOptions::named(name).from(StartAt::Start).backoff(wait, wait)
}

/// Payload of an event that is identified by its number.
pub(super) fn numbered(number: impl fmt::Display) -> String {
    format!(r#"{{"n":{number}}}"#)
}

/// Emits an event with metadata and, optionally, an id.
pub(super) async fn emit_with(
    bus: &Bus,
    name: &str,
    json: &str,
    metadata: Metadata,
    id: Option<EventId>,
) -> Result<Emitted, crate::error::Error> {
    let make = |envelope| record(name, json, Envelope { metadata, id, ..envelope });
    bus.emit_record(name, make).await
}

/// Creates a record of an undeclared event.
pub(super) fn record(name: &str, json: &str, envelope: Envelope) -> Record {
    Record::from_json(name.into(), 1, json.into(), envelope)
}

/// Emits numbered events one after the other.
pub(super) async fn emit_numbers(bus: &Bus, name: &str, numbers: std::ops::Range<usize>) -> CaseResult {
    for number in numbers {
        bus.emit_json(name, numbered(number)).await?;
    }
    Ok(())
}

/// Emits numbered events in concurrent batches.
pub(super) async fn emit_at_once(bus: &Bus, name: &str, numbers: std::ops::Range<usize>) -> CaseResult {
    const BATCH: usize = 64;
    for first in numbers.clone().step_by(BATCH) {
        let batch = first..numbers.end.min(first + BATCH);
        let emits = batch.map(|number| Box::pin(bus.emit_json(name, numbered(number)).into_future()));
        join_all(emits).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

/// Runs several tasks and waits for all of them.
pub(super) async fn in_tasks<F>(count: usize, each: impl Fn(usize) -> F) -> CaseResult
where
    F: Future<Output = CaseResult> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|task| tokio::spawn(each(task))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
