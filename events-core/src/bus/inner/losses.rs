//! Warnings about lost events, at most one line per kind and period, so that many small gaps do not flood the
//! log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::bus::inner::Inner;
use crate::bus::inner::report::Fallback;
use crate::bus::inner::told::MAX_TOLD;
use crate::panics::catch_panic;

/// Time for which losses of one kind are added up after a line about that kind was logged.
const PERIOD: Duration = Duration::from_secs(10);

/// Kind of loss: the texts before and after the number of events in the line `{who} lost 3 events{why}`.
type Kind = (Box<str>, Box<str>);

/// The losses of a bus in the current periods.
pub(crate) struct Losses {
    fallback: Fallback,
    recent: Mutex<HashMap<Kind, Recent>>,
}

/// Losses of one kind since the last line about it.
struct Recent {
    events: u64,
    since: Instant,
}

impl Losses {
    pub(crate) fn new(fallback: Fallback) -> Self {
        Self { fallback, recent: Mutex::default() }
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<Kind, Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events to the sum of their kind. Returns the number of events to log now and whether the kind is
    /// new, or `None` if the events are logged at the end of the period.
    fn add(&self, kind: &Kind, events: u64) -> Option<(u64, bool)> {
        let (now, mut recent) = (Instant::now(), self.recent());
        let Some(known) = recent.get_mut(kind) else {
            recent.insert(kind.clone(), Recent { events: 0, since: now });
            return Some((events, true));
        };
        known.events += events;
        // Normally `follow` logs the sum. If its runtime has shut down, log it here once two periods have
        // passed.
        let is_over = now.duration_since(known.since) >= 2 * PERIOD;
        is_over.then(|| {
            known.since = now;
            (std::mem::take(&mut known.events), false)
        })
    }

    /// Ends a period. Returns the events that were added up in it. If there were none, removes the kind.
    fn end_period(&self, kind: &Kind) -> Option<u64> {
        let mut recent = self.recent();
        let known = recent.get_mut(kind)?;
        if known.events == 0 {
            recent.remove(kind);
            return None;
        }
        known.since = Instant::now();
        Some(std::mem::take(&mut known.events))
    }

    /// Logs one line for each kind that has events added up, and removes all kinds.
    pub(crate) fn tell_all(&self) {
        let mut recent: Vec<_> = self.recent().drain().filter(|(_, recent)| recent.events > 0).collect();
        recent.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (kind, Recent { events, .. }) in recent {
            self.tell(&kind, events);
        }
    }

    fn tell(&self, (who, why): &Kind, events: u64) {
        let noun = if events == 1 { "event" } else { "events" };
        self.fallback.warning(format_args!("{who} lost {events} {noun}{why}"));
    }

    fn kind(&self, who: String, why: String) -> Kind {
        let kind = (who.into(), why.into());
        let recent = self.recent();
        match recent.len() < MAX_TOLD || recent.contains_key(&kind) {
            true => kind,
            // The reason may differ for each loss, so further reasons share one kind.
            false => (kind.0, ", for various reasons".into()),
        }
    }
}

/// Logs the sums of the current periods when the bus is dropped.
impl Drop for Losses {
    fn drop(&mut self) {
        catch_panic(|| self.tell_all());
    }
}

impl Inner {
    /// Logs that events were lost. Losses of the same kind during the period that follows are logged in one
    /// line at its end. `who` and `why` must contain no unescaped text from outside.
    pub(crate) fn warn_of_lost(self: &Arc<Self>, who: String, events: u64, why: String) {
        let kind = self.losses.kind(who, why);
        let Some((events, is_new)) = self.losses.add(&kind, events) else { return };
        self.losses.tell(&kind, events);
        if is_new {
            self.runtime.spawn(follow(Arc::downgrade(self), kind));
        }
    }
}

/// Logs the sum at the end of each period, until a period has no losses or the bus is dropped.
async fn follow(inner: Weak<Inner>, kind: Kind) {
    loop {
        sleep(PERIOD).await;
        let Some(inner) = inner.upgrade() else { return };
        let Some(events) = inner.losses.end_period(&kind) else { return };
        inner.losses.tell(&kind, events);
    }
}
