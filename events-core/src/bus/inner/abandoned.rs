//! Records the work that was lost because its runtime shut down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::bus::inner::Inner;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::outcome::HandlerError;
use crate::bus::inner::routes::Route;
use crate::id::EventId;

/// Maximum number of distinct descriptions that are kept.
const MAX_NAMED: usize = 16;

/// Counts and describes the work that was dropped unfinished because its runtime shut down.
#[derive(Default)]
pub(crate) struct Abandoned {
    count: AtomicU64,
    names: Mutex<Vec<String>>,
}

impl Abandoned {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn note(&self, count: u64, name: String) {
        self.count.fetch_add(count, Ordering::Relaxed);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < MAX_NAMED && !names.contains(&name) {
            names.push(name);
        }
    }

    /// Returns the text that the error of `stop` contains, or `None` if nothing was lost.
    pub(crate) fn describe(&self) -> Option<String> {
        let count = self.count();
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let more = if names.len() == MAX_NAMED { "; and possibly others" } else { "" };
        (count > 0).then(|| format!("{count} lost because a runtime shut down: {}{more}", names.join("; ")))
    }
}

impl Inner {
    /// Logs and counts a handler call that was dropped unfinished because its runtime shut down.
    pub(crate) fn abandon(&self, event: &str, id: Option<EventId>, handler: &Route) {
        let why = "its runtime shut down before it had finished, so the call is lost";
        self.settings.fallback.failure(event, id, &Failure::new(handler, HandlerError::new(&why)));
        self.abandoned.note(1, format!("handler {} on {event}", handler.name()));
    }

    /// Logs and counts the `events` that a handler with a replay had not handled when its runtime shut down.
    pub(crate) fn abandon_backlog(&self, events: u64, handler: &Route) {
        let why = format!("its runtime shut down before it had handled {events} events, which are lost");
        let failure = Failure::new(handler, HandlerError::new(&why));
        self.settings.fallback.failure(handler.pattern(), None, &failure);
        self.abandoned.note(events, format!("handler {} on {}", handler.name(), handler.pattern()));
    }

    /// Logs and counts an emit of `events` events that was waiting for the adapter when its runtime shut
    /// down.
    pub(crate) fn abandon_emit(&self, event: &str, events: u64) {
        self.settings.fallback.warning(format_args!(
            "{event}: the runtime shut down while the emit waited for {}: it may or may not be stored; no live handler ran",
            self.adapter_name()
        ));
        self.abandoned.note(events, format!("the emit of {event}"));
    }
}
