//! What was lost, told in one line per period: in a flood it would be one for each gap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::bus::inner::Inner;
use crate::bus::inner::report::Fallback;
use crate::bus::inner::told::MAX_TOLD;
use crate::panics::catch_panic;

/// How long losses of one kind are added up after a line told of some.
const PERIOD: Duration = Duration::from_secs(10);

/// What a line says around the number of events since the last one: `{who} lost 3 events{why}`.
type Kind = (Box<str>, Box<str>);

/// The losses of a bus that are being added up.
pub(crate) struct Losses {
    fallback: Fallback,
    recent: Mutex<HashMap<Kind, Recent>>,
}

/// Losses of one kind since a line told of some.
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

    /// Adds events to those of the kind, where a line has told of some in this period. Returns how many are to be told
    /// of now otherwise, and whether the kind is new.
    fn add(&self, kind: &Kind, events: u64) -> Option<(u64, bool)> {
        let (now, mut recent) = (Instant::now(), self.recent());
        let Some(known) = recent.get_mut(kind) else {
            recent.insert(kind.clone(), Recent { events: 0, since: now });
            return Some((events, true));
        };
        known.events += events;
        // Without its runtime, nobody else tells.
        let is_over = now.duration_since(known.since) >= 2 * PERIOD;
        is_over.then(|| {
            known.since = now;
            (std::mem::take(&mut known.events), false)
        })
    }

    /// Ends a period. Returns what it added up; if that is nothing, the kind is forgotten.
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

    /// A line for each kind of which something was added up.
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
            // An adapter may have a reason for each.
            false => (kind.0, ", for one of many reasons".into()),
        }
    }
}

/// A bus that is dropped has lost them all the same.
impl Drop for Losses {
    fn drop(&mut self) {
        catch_panic(|| self.tell_all());
    }
}

impl Inner {
    /// Tells that events were lost: at once, and what is lost in the period after that in one line at its end. `who` and
    /// `why` hold no unescaped text from outside.
    pub(crate) fn warn_of_lost(self: &Arc<Self>, who: String, events: u64, why: String) {
        let kind = self.losses.kind(who, why);
        let Some((events, is_new)) = self.losses.add(&kind, events) else { return };
        self.losses.tell(&kind, events);
        if is_new {
            self.runtime.spawn(follow(Arc::downgrade(self), kind));
        }
    }
}

/// Tells at the end of each period, until there is one without a loss.
async fn follow(inner: Weak<Inner>, kind: Kind) {
    loop {
        sleep(PERIOD).await;
        let Some(inner) = inner.upgrade() else { return };
        let Some(events) = inner.losses.end_period(&kind) else { return };
        inner.losses.tell(&kind, events);
    }
}
