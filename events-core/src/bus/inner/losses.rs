//! Warnings about lost events, at most one line per kind and period, so that many small gaps do not flood the
//! log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::bus::inner::Inner;
use crate::bus::inner::report::Reporter;
use crate::bus::inner::reported_once::MAX_REPORTED;
use crate::panics::catch_panic;

/// Time for which losses of one kind are added up after a line about that kind was logged.
const PERIOD: Duration = Duration::from_secs(10);

/// Kind of loss: the texts before and after the number of events in the line `{subject} lost 3 events{reason}`.
type LossKind = (Box<str>, Box<str>);

/// The losses of a bus that are not logged yet.
pub(crate) struct Losses {
    reporter: Reporter,
    periods: Mutex<HashMap<LossKind, Period>>,
}

/// The period of one kind of loss, which begins when a line about that kind is logged.
struct Period {
    /// Number of events lost in this period, which are not logged yet.
    events: u64,
    began: Instant,
}

impl Losses {
    pub(crate) fn new(reporter: Reporter) -> Self {
        Self { reporter, periods: Mutex::default() }
    }

    fn periods(&self) -> MutexGuard<'_, HashMap<LossKind, Period>> {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events to the sum of their kind. Returns the number of events to log now and whether the kind is
    /// new, or `None` if the events are logged at the end of the period.
    fn add(&self, kind: &LossKind, events: u64) -> Option<(u64, bool)> {
        let (now, mut periods) = (Instant::now(), self.periods());
        let Some(period) = periods.get_mut(kind) else {
            periods.insert(kind.clone(), Period { events: 0, began: now });
            return Some((events, true));
        };
        period.events += events;
        // Normally `log_each_period` logs the sum. If its runtime has shut down, log it here once two periods
        // have passed.
        let is_over = now.duration_since(period.began) >= 2 * PERIOD;
        is_over.then(|| {
            period.began = now;
            (std::mem::take(&mut period.events), false)
        })
    }

    /// Ends a period. Returns the events that were added up in it. If there were none, removes the kind.
    fn end_period(&self, kind: &LossKind) -> Option<u64> {
        let mut periods = self.periods();
        let period = periods.get_mut(kind)?;
        if period.events == 0 {
            periods.remove(kind);
            return None;
        }
        period.began = Instant::now();
        Some(std::mem::take(&mut period.events))
    }

    /// Ends all periods: logs a line for each kind with events that are not logged yet.
    pub(crate) fn log_all(&self) {
        let mut periods: Vec<_> = self.periods().drain().filter(|(_, period)| period.events > 0).collect();
        periods.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (kind, Period { events, .. }) in periods {
            self.log(&kind, events);
        }
    }

    fn log(&self, (subject, reason): &LossKind, events: u64) {
        let noun = if events == 1 { "event" } else { "events" };
        self.reporter.warning(format_args!("{subject} lost {events} {noun}{reason}"));
    }

    fn kind(&self, subject: String, reason: String) -> LossKind {
        let kind = (subject.into(), reason.into());
        let periods = self.periods();
        match periods.len() < MAX_REPORTED || periods.contains_key(&kind) {
            true => kind,
            // The reason may differ for each loss, so further reasons share one kind.
            false => (kind.0, ", for various reasons".into()),
        }
    }
}

/// Logs the sums of the current periods when the bus is dropped.
impl Drop for Losses {
    fn drop(&mut self) {
        catch_panic(|| self.log_all());
    }
}

impl Inner {
    /// Logs that events were lost. Losses of the same kind during the period that follows are logged in one
    /// line at its end. `subject` and `reason` must contain no unescaped text from outside.
    pub(crate) fn warn_of_lost(self: &Arc<Self>, subject: String, events: u64, reason: String) {
        let kind = self.losses.kind(subject, reason);
        let Some((events, is_new)) = self.losses.add(&kind, events) else { return };
        self.losses.log(&kind, events);
        if is_new {
            self.runtime.spawn(log_each_period(Arc::downgrade(self), kind));
        }
    }
}

/// Logs the sum at the end of each period, until a period has no losses or the bus is dropped.
async fn log_each_period(inner: Weak<Inner>, kind: LossKind) {
    loop {
        sleep(PERIOD).await;
        let Some(inner) = inner.upgrade() else { return };
        let Some(events) = inner.losses.end_period(&kind) else { return };
        inner.losses.log(&kind, events);
    }
}
