//! A consumer for which a case claims events itself, at times that the case chooses.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::adapter::Adapter;
use crate::adapter::consumer::Consumer;
use crate::adapter::durable::{Claim, Claimed, Claims, DurableAdapter, Finished, Outcome};
use crate::adapter::options::DurableOptions;
use crate::bus::inner::Bus;
use crate::conformance::harness::Harness;
use crate::conformance::intercept::Intercept;
use crate::conformance::testbed::{CaseFailure, CaseResult, Testbed, ensure};
use crate::record::Record;
use crate::time::Timestamp;

/// An instance with one consumer, for which its bus claims nothing.
pub(super) struct ManualConsumer<A> {
    pub(super) bus: Bus,
    pub(super) adapter: Arc<A>,
    pub(super) consumer: Arc<Consumer>,
    timeout: Duration,
}

impl<H: Harness> Testbed<H> {
    /// Builds an instance whose consumer the case controls.
    pub(super) async fn manual_consumer(
        &self,
        durable: DurableOptions,
        pattern: &str,
    ) -> Result<ManualConsumer<H::Adapter>, CaseFailure> {
        let intercept = Intercept::new(self.adapter());
        let (adapter, opened) = (Arc::clone(&intercept.adapter), Arc::clone(&intercept.opened));
        let bus =
            self.bare().lease(self.scale.lease).adapter(intercept).durable(durable, pattern, |_: &Record| ());
        let bus = self.build(bus).await?;
        let consumer = opened.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let consumer = consumer.ok_or("the bus did not open its consumer")?;
        Ok(ManualConsumer { bus, adapter, consumer, timeout: self.scale.timeout })
    }
}

impl<A: Adapter> ManualConsumer<A> {
    pub(super) fn durable(&self) -> Result<&dyn DurableAdapter, CaseFailure> {
        Ok(self.adapter.durable().ok_or("the adapter does not support durable consumers")?)
    }

    /// Reports outcomes, and claims up to `max` further events.
    pub(super) async fn exchange(
        &self,
        finished: &[Finished],
        max: usize,
        now: Timestamp,
    ) -> Result<Claims, CaseFailure> {
        let claims = self.durable()?.exchange(&self.consumer, finished, max, now).await?;
        let came = claims.claimed.len();
        ensure!(came <= max, "at most {max} events were requested, but {came} were handed out");
        Ok(claims)
    }

    /// Claims exactly this many events, with as many exchanges as needed.
    pub(super) async fn take(&self, count: usize, now: Timestamp) -> Result<Vec<Claimed>, CaseFailure> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let claims = self.exchange(&[], count - taken.len(), now).await?;
            let (none, seen) = (claims.claimed.is_empty(), claims.seen);
            taken.extend(claims.claimed);
            if none && !claims.more && timeout(self.timeout, self.durable()?.wait(seen)).await.is_err() {
                let (came, seconds) = (taken.len(), self.timeout.as_secs());
                return Err(CaseFailure::new(format_args!(
                    "{came} of {count} events were handed out, and no further one within {seconds} s"
                )));
            }
        }
        Ok(taken)
    }

    /// Claims one event.
    pub(super) async fn take_one(&self, now: Timestamp) -> Result<Claimed, CaseFailure> {
        Ok(self.take(1, now).await?.pop().ok_or("nothing was handed out")?)
    }

    /// Checks that no event is handed out.
    pub(super) async fn take_none(&self, now: Timestamp, why: &str) -> CaseResult {
        let claimed = self.exchange(&[], 100, now).await?.claimed;
        let came: Vec<_> = claimed.iter().map(|claimed| claimed.claim).collect();
        ensure!(came.is_empty(), "{came:?} was handed out, although {why}");
        Ok(())
    }

    /// Reports the outcome of a claim, which must not be late.
    pub(super) async fn report(&self, claim: Claim, outcome: Outcome, now: Timestamp) -> CaseResult {
        let late = self.exchange(&[Finished { claim, outcome }], 0, now).await?.late;
        ensure!(late.is_empty(), "the outcome of {claim:?} was reported as late");
        Ok(())
    }

    /// Duration of the leases of this consumer.
    pub(super) fn lease(&self) -> Duration {
        self.consumer.lease()
    }
}

/// Returns the time `wait` after `time`.
pub(super) fn after(time: Timestamp, wait: Duration) -> Timestamp {
    Timestamp::from_micros(time.as_micros().saturating_add(wait.as_micros().try_into().unwrap_or(i64::MAX)))
}

/// The shortest delay that an engine has to distinguish from no delay.
pub(super) const TICK: Duration = Duration::from_millis(10);
