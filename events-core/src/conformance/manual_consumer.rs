//! A session for which a case makes the calls itself, at times that the case chooses.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::adapter::durable::{
    Beat, Beaten, Caller, Claim, Claims, ConsumerId, Delivered, DurableAdapter, DurableError, EventFilter,
    Exchange, Exchanged, Kind, Order, Origin, Outcome, Position, Register, Registered, Report, SessionId,
    Settings, Terms, Token, Wanted, Window, matches_any,
};
use crate::adapter::log::{LogPosition, LogQuery};
use crate::adapter::options::DurableOptions;
use crate::adapter::{Adapter, AdapterError};
use crate::bus::inner::Bus;
use crate::conformance::harness::Harness;
use crate::conformance::shared::Shared;
use crate::conformance::testbed::{CaseFailure, CaseResult, Testbed, ensure};
use crate::json;
use crate::record::Record;
use crate::time::Timestamp;

/// A session with one consumer. Its bus has no durable handlers.
pub(super) struct ManualConsumer<A> {
    pub(super) bus: Bus,
    pub(super) adapter: Arc<A>,
    register: Register,
    state: Mutex<State>,
    timeout: Duration,
}

struct State {
    session: SessionId,
    consumer: ConsumerId,
    terms: Terms,
    number: u64,
    beat: u64,
    in_hand: Vec<(Position, Token)>,
}

/// A delivery.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) delivered: Delivered,
    pub(super) token: Token,
    pub(super) record: Result<Record, AdapterError>,
}

impl Handed {
    pub(super) fn position(&self) -> Position {
        self.delivered.position
    }

    pub(super) fn attempt(&self) -> u32 {
        self.delivered.attempt
    }

    pub(super) fn report(&self, outcome: Outcome) -> Report {
        Report { position: self.position(), token: self.token, outcome }
    }

    /// The entry of an answer that says that a report of this delivery was late.
    pub(super) fn late(&self) -> (Position, Token) {
        (self.position(), self.token)
    }
}

impl<H: Harness> Testbed<H> {
    /// Registers a session of a consumer.
    pub(super) async fn manual_consumer(
        &self,
        durable: DurableOptions,
        pattern: &str,
    ) -> Result<ManualConsumer<H::Adapter>, CaseFailure> {
        let adapter = Arc::new(self.adapter());
        let bus = self.build(self.bare().adapter(Shared(Arc::clone(&adapter)))).await?;
        let order = |field: &str| Order { field: field.to_owned(), nulls: durable.null_order() };
        let patterns = vec![pattern.to_owned()];
        let register = Register {
            session: SessionId::random(),
            lease: self.scale.lease,
            consumer: durable.name().to_owned(),
            filter: EventFilter { patterns, undeclared: true, ..EventFilter::default() },
            attempts: durable.attempts(),
            backoff: durable.wait_after(1, 0.0),
            settings: Settings { order: durable.is_ordered().map(order) },
            origin: Origin::New(durable.start()),
        };
        let state = State {
            session: register.session,
            consumer: ConsumerId::default(),
            terms: Terms::default(),
            number: 0,
            beat: 0,
            in_hand: Vec::new(),
        };
        let timeout = self.scale.timeout;
        let manual = ManualConsumer { bus, adapter, register, state: Mutex::new(state), timeout };
        manual.register_again().await?;
        Ok(manual)
    }
}

impl<A: Adapter> ManualConsumer<A> {
    pub(super) fn durable(&self) -> Result<&dyn DurableAdapter, CaseFailure> {
        Ok(self.adapter.durable().ok_or("the adapter does not support durable consumers")?)
    }

    /// Registers another session, which has nothing in hand.
    pub(super) async fn register_again(&self) -> Result<Registered, CaseFailure> {
        let session = SessionId::random();
        let register = Register { session, ..self.register.clone() };
        let registered = self.durable()?.register(&at(Timestamp::now()), &register).await?;
        let terms = registered.terms.clone();
        let consumer = registered.consumer;
        *self.lock() = State { session, consumer, terms, number: 0, beat: 0, in_hand: Vec::new() };
        Ok(registered)
    }

    /// Sends a beat, a time after the one before.
    pub(super) async fn beat(&self, elapsed: Duration, now: Timestamp) -> Result<Beaten, DurableError> {
        let beat = {
            let mut state = self.lock();
            state.beat += 1;
            Beat { session: state.session, number: state.beat, elapsed }
        };
        let durable = self.durable().map_err(|error| AdapterError::refused(error.to_message()))?;
        durable.beat(&at(now), &beat).await
    }

    /// Sends beats for a time.
    pub(super) async fn let_pass(&self, time: Duration, now: Timestamp) -> CaseResult {
        let (step, mut left) = (self.lease() / 3, time);
        while !left.is_zero() {
            let elapsed = step.min(left);
            self.beat(elapsed, now).await?;
            left -= elapsed;
        }
        Ok(())
    }

    /// Reports outcomes, and claims up to `max` further events.
    pub(super) async fn exchange(
        &self,
        reports: Vec<Report>,
        max: usize,
        now: Timestamp,
    ) -> Result<(Exchanged, Vec<Handed>), CaseFailure> {
        let exchange = self.next_exchange(reports, max).await?;
        let answer = self.durable()?.exchange(&at(now), &exchange).await?;
        let came = answer.deliveries.len();
        ensure!(came <= max, "at most {max} events were requested, but {came} were handed out");
        let handed = self.answered(&exchange, &answer).await?;
        Ok((answer, handed))
    }

    /// Creates the next exchange, with a window of the log after the position.
    pub(super) async fn next_exchange(
        &self,
        reports: Vec<Report>,
        max: usize,
    ) -> Result<Exchange, CaseFailure> {
        let terms = self.lock().terms.clone();
        let window = if max > 0 { self.window(&terms).await? } else { Window::default() };
        let mut state = self.lock();
        state.number += 1;
        let solo = state.in_hand.is_empty();
        Ok(Exchange {
            session: state.session,
            consumer: state.consumer,
            number: state.number,
            last_answered: state.number - 1,
            in_hand: state.in_hand.len(),
            named_in_hand: None,
            reports,
            claim: (max > 0).then_some(Claim { max, solo, window }),
        })
    }

    /// Takes note of an answer, and reads the records of its deliveries.
    pub(super) async fn answered(
        &self,
        exchange: &Exchange,
        answer: &Exchanged,
    ) -> Result<Vec<Handed>, CaseFailure> {
        {
            let mut state = self.lock();
            let is_reported = |(position, token): &(Position, Token)| {
                exchange.reports.iter().any(|report| (report.position, report.token) == (*position, *token))
            };
            state.in_hand.retain(|hand| !is_reported(hand));
            let session = state.session;
            state.in_hand.extend(
                answer
                    .deliveries
                    .iter()
                    .map(|delivered| (delivered.position, Token { session, number: delivered.number })),
            );
            state.terms = answer.terms.clone();
        }
        let codec = self.bus.inner.codec.clone();
        let mut handed = Vec::new();
        for delivered in &answer.deliveries {
            let record = match &delivered.copy {
                Some(copy) => Ok(codec.decode(&String::from_utf8_lossy(copy))?),
                None => {
                    let found = self.durable()?.records(&[delivered.position], &codec).await?.pop();
                    found.ok_or("the log has no record of a delivery")?.1
                }
            };
            let token = Token { session: exchange.session, number: delivered.number };
            handed.push(Handed { delivered: delivered.clone(), token, record });
        }
        Ok(handed)
    }

    async fn window(&self, terms: &Terms) -> Result<Window, CaseFailure> {
        let codec = self.bus.inner.codec.clone();
        let end = self.adapter.read_log(&LogQuery::new("*")?, &codec).await?;
        let after = LogPosition { number: terms.position, ..end.newest() };
        let page = self.adapter.read_log(&LogQuery::new("*")?.after(after), &codec).await?;
        let (begins, to) = (page.oldest().number + 1, page.end().number.max(terms.position));
        let mut wanted = Vec::new();
        for (position, record) in page.into_records() {
            let kind = match &record {
                Ok(record) => Kind { name: record.name().to_owned(), version: record.version() },
                Err(_) => Kind::default(),
            };
            if matches_any(&terms.union, &kind.name) {
                let key = record.ok().and_then(|record| key_of(&record, &terms.settings));
                let takes = self.register.filter.takes(&kind);
                wanted.push(Wanted { position, kind, key, takes });
            }
        }
        Ok(Window {
            patterns_number: terms.patterns_number,
            settings_number: terms.settings_number,
            from: terms.position + 1,
            to,
            begins,
            newest: None,
            wanted,
        })
    }

    /// Claims exactly this many events, with as many exchanges as needed.
    pub(super) async fn take(&self, count: usize, now: Timestamp) -> Result<Vec<Handed>, CaseFailure> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let changes = self.durable()?.changes();
            let (answer, handed) = self.exchange(Vec::new(), count - taken.len(), now).await?;
            let is_over = handed.is_empty()
                && !answer.more
                && !matches!(answer.claims, Claims::OldPatterns | Claims::OldSettings);
            taken.extend(handed);
            if is_over && timeout(self.timeout, self.durable()?.wait(changes)).await.is_err() {
                let (came, seconds, claims) = (taken.len(), self.timeout.as_secs(), answer.claims);
                return Err(CaseFailure::new(format_args!(
                    "{came} of {count} events were handed out, and no further one within {seconds} s ({claims:?})"
                )));
            }
        }
        Ok(taken)
    }

    /// Claims one event.
    pub(super) async fn take_one(&self, now: Timestamp) -> Result<Handed, CaseFailure> {
        Ok(self.take(1, now).await?.pop().ok_or("nothing was handed out")?)
    }

    /// Checks that no event is handed out.
    pub(super) async fn take_none(&self, now: Timestamp, why: &str) -> CaseResult {
        // The first exchange may learn of new terms only.
        for _ in 0..2 {
            let (_, handed) = self.exchange(Vec::new(), 100, now).await?;
            let came: Vec<_> = handed.iter().map(|handed| &handed.delivered).collect();
            ensure!(came.is_empty(), "{came:?} was handed out, although {why}");
        }
        Ok(())
    }

    /// Reports the outcome of a delivery, which must not be late.
    pub(super) async fn report(&self, handed: &Handed, outcome: Outcome, now: Timestamp) -> CaseResult {
        let (answer, _) = self.exchange(vec![handed.report(outcome)], 0, now).await?;
        ensure!(answer.late.is_empty(), "the outcome of {:?} was reported as late", handed.delivered);
        Ok(())
    }

    /// Duration of the lease of this session.
    pub(super) fn lease(&self) -> Duration {
        self.register.lease
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(record: &Record, settings: &Settings) -> Option<String> {
    let field = &settings.order.as_ref()?.field;
    Some(json::field(record.json().ok()?, field)?.to_owned()).filter(|key| key != "null")
}

/// A call at a time, of a caller that knows nothing of the store.
pub(super) fn at(now: Timestamp) -> Caller {
    Caller { knows: None, now: Some(now) }
}

/// Returns the time `wait` after `time`.
pub(super) fn after(time: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_micros(time.as_micros().saturating_add(wait.as_micros().try_into().unwrap_or(i64::MAX)))
}

/// The shortest delay that an engine has to distinguish from no delay.
pub(super) const TICK: Duration = Duration::from_millis(10);
