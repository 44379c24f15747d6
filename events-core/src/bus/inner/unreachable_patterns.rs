//! Warnings about patterns that no event can match: logged once per location, then only counted.

use std::panic::Location;
use std::sync::atomic::Ordering;

use crate::bus::inner::Inner;
use crate::bus::inner::reported_once::ShouldLog;
use crate::event::pattern::{Pattern, is_of_library};
use crate::event::suggestions::did_you_mean;

/// Returns the problem of a pattern that matches none of these names, or `None` if it matches one. `what`
/// says in the text which events the names are.
pub(crate) fn unreachable<'a>(
    pattern: Pattern<'_>,
    names: impl Iterator<Item = &'a str> + Clone,
    what: &str,
) -> Option<String> {
    if names.clone().any(|name| pattern.matches(name)) {
        return None;
    }
    if is_of_library(pattern.as_str()) {
        return Some(format!("`{pattern}` matches only events of the library, and this version emits none"));
    }
    let suggestion = did_you_mean(pattern.as_str(), names);
    Some(format!("no {what} event matches `{pattern}`{suggestion}"))
}

impl Inner {
    /// Returns true if a pattern can match an event that this bus accepts.
    fn can_reach(&self, pattern: Pattern<'_>) -> bool {
        // An undeclared event whose name is reserved for the library is never accepted.
        let may_be_undeclared = self.settings.accept_undeclared && !is_of_library(pattern.as_str());
        may_be_undeclared || self.declared_events.names().any(|name| pattern.matches(name))
    }

    /// Counts a pattern that no declared event matches, and logs it the first time for each location.
    pub(crate) fn note_pattern_without_events(
        &self,
        what: &str,
        location: &'static Location<'static>,
        pattern: Pattern<'_>,
    ) {
        if self.can_reach(pattern) {
            return;
        }
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        let should_log = self.reported_locations.insert(location);
        if should_log == ShouldLog::No {
            return;
        }
        if let Some(problem) = unreachable(pattern, self.declared_events.names(), "declared") {
            let (file, line) = (location.file(), location.line());
            let more =
                if should_log == ShouldLog::Last { "; further locations are only counted" } else { "" };
            self.settings.reporter.warning(format_args!("{what} at {file}:{line}: {problem}{more}"));
        }
    }

    /// Counts a typed stream whose pattern does not take its event, and logs it the first time for each
    /// location. If the pattern matches no event at all, does nothing: `note_pattern_without_events` has reported the stream.
    pub(crate) fn note_pattern_misses_event(
        &self,
        location: &'static Location<'static>,
        pattern: &str,
        event: &str,
    ) {
        if !self.can_reach(Pattern::of_valid(pattern)) {
            return;
        }
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        if self.reported_locations.insert(location) != ShouldLog::No {
            let (file, line) = (location.file(), location.line());
            self.settings.reporter.warning(format_args!(
                "stream at {file}:{line}: its pattern `{pattern}` does not match `{event}`"
            ));
        }
    }
}
