//! Counts and logs handler calls that failed, and calls and emits that were lost with their runtime.

use std::sync::atomic::Ordering;

use crate::bus::inner::Inner;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::outcome::HandlerError;
use crate::bus::inner::report::FailedCall;
use crate::bus::inner::routes::Route;
use crate::id::EventId;

impl Inner {
    /// Counts and logs the failure of a live handler.
    pub(crate) fn note_failure(&self, event: &str, id: Option<EventId>, failure: &Failure) {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        self.log_failure(event, id, failure);
    }

    fn log_failure(&self, event: &str, id: Option<EventId>, failure: &Failure) {
        self.settings.reporter.failure(&FailedCall {
            event,
            id,
            handler: failure.handler(),
            pattern: failure.pattern(),
            verb: failure.verb(),
            error: failure.message(),
        });
    }

    /// Logs and counts a handler call that was dropped unfinished because its runtime shut down.
    pub(crate) fn report_lost_call(&self, event: &str, id: Option<EventId>, handler: &Route) {
        let why = "its runtime shut down before it had finished, so the call is lost";
        self.log_failure(event, id, &Failure::new(handler, HandlerError::new(&why)));
        self.lost_work.add(1, format!("handler {} on {event}", handler.name()));
    }

    /// Logs and counts the `events` that a handler with a replay had not handled when its runtime shut down.
    pub(crate) fn report_lost_backlog(&self, events: u64, handler: &Route) {
        let why = format!("its runtime shut down before it had handled {events} events, which are lost");
        let failure = Failure::new(handler, HandlerError::new(&why));
        self.log_failure(handler.pattern(), None, &failure);
        self.lost_work.add(events, format!("handler {} on {}", handler.name(), handler.pattern()));
    }

    /// Logs and counts an emit of `events` events that was waiting for the adapter when its runtime shut
    /// down.
    pub(crate) fn report_lost_emit(&self, event: &str, events: u64) {
        self.settings.reporter.warning(format_args!(
            "{event}: the runtime shut down while the emit waited for {}: it may or may not be stored; no live handler ran",
            self.adapter_name()
        ));
        self.lost_work.add(events, format!("the emit of {event}"));
    }
}
