//! Detects stored consumers that have events left and no handler, which a renamed durable handler leaves behind, and
//! events of the own consumers that no program takes.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::adapter::durable::{ConsumerStatus, DurableAdapter, matches_any};
use crate::adapter::log::{LogPosition, LogQuery};
use crate::adapter::{Adapter, AdapterError};
use crate::bus::inner::Inner;
use crate::bus::inner::outcome::panicked;
use crate::bus::inner::runtime::spawn_boxed;
use crate::panics::caught;
use crate::record::Record;
use crate::text::quoted;
use crate::time::Timestamp;

/// Time in microseconds after which a consumer that no program has used may be reported by a program without
/// durable handlers: 24 h.
const FORGOTTEN_AFTER_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Time in microseconds for which a program that has stopped may only be restarting: 150 s.
const RESTART_MICROS: i64 = 150_000_000;

/// Interval between checks of a running program. Long enough that a consumer whose program crashed before the
/// bus was built no longer counts as open at the first check.
const CHECK_INTERVAL: Duration = Duration::from_secs(180);

/// Maximum difference in microseconds between the wall clock and the runtime's clock over the time since the
/// last check. If it is larger, the machine was suspended or the clock was set, so other programs had no time
/// to renew their consumers, and the check is skipped.
const MAX_LEAP_MICROS: i64 = 30_000_000;

/// Maximum number of events ahead of a consumer that are read to count those that its patterns take.
const MAX_COUNTED: u64 = 10_000;

/// Minimum similarity at which one name counts as the new name of another.
const SIMILAR: f64 = 0.6;

/// Finds the stored consumers that no program handles any more.
///
/// The consumers are checked when the bus is built, and then every 3 min while it runs, because some orphans
/// can be recognised only later: a program that crashed or stopped does not come back, or events arrive for a
/// consumer that had none left.
///
/// An adapter does not store which program a consumer belongs to. So a consumer that some program has open is
/// never reported, whatever its name and patterns. Of the other consumers that have events left, these are
/// reported:
///
/// - by `build`, a consumer whose program stopped within the last 150 s, if this program opens a consumer
///   that was not stored before and has the same patterns or a similar name: the consumer was probably
///   renamed;
/// - a consumer that no program has used for 150 s, if this program has durable handlers;
/// - a consumer that no program has used for 24 h, if this program has no durable handlers. Until then, a
///   program that only emits can't tell whether its own last durable handler was deleted, or another program
///   is not running.
///
/// Each consumer is reported once, and again if a program had it open in between.
pub(crate) struct Orphans {
    /// The consumers that were stored before this program opened its own.
    known: HashSet<String>,
    reported: HashSet<String>,
    /// Consumers of this program with unclaimed events, which were reported.
    unclaimed: HashSet<String>,
    /// True if the last attempt to list the consumers failed; that was reported.
    is_failing: bool,
    /// Time of the last check, by the runtime's clock and by the clock of the bus.
    last_check: (Instant, Timestamp),
}

impl Orphans {
    /// Lists the stored consumers. Called before a program opens its own consumers, so that new ones can be
    /// recognised.
    pub(crate) async fn list(inner: &Inner, durable: &dyn DurableAdapter) -> (Self, Vec<ConsumerStatus>) {
        let last_check = (Instant::now(), inner.now());
        let mut orphans = Self {
            known: HashSet::new(),
            reported: HashSet::new(),
            unclaimed: HashSet::new(),
            is_failing: false,
            last_check,
        };
        let stored = orphans.stored(inner, durable).await;
        orphans.known = stored.iter().map(|status| status.name.clone()).collect();
        (orphans, stored)
    }

    async fn stored(&mut self, inner: &Inner, durable: &dyn DurableAdapter) -> Vec<ConsumerStatus> {
        let listed =
            caught(async { durable.consumers(&inner.caller()).await }).await.unwrap_or_else(panicked);
        let failed_before = std::mem::replace(&mut self.is_failing, listed.is_err());
        listed.unwrap_or_else(|error: AdapterError| {
            // A bus that stops closes its adapter, so an error is expected then.
            if !failed_before && !*inner.stop_tasks.borrow() {
                let adapter = inner.adapter_name();
                inner.warn(format_args!(
                    "{adapter} can't list its consumers, so orphans among them are not reported: {error}"
                ));
            }
            Vec::new()
        })
    }

    /// Reports the orphans among the consumers that were stored before the bus was built, and unclaimed events of its own
    /// consumers, which are open now.
    pub(crate) async fn report_at_build(
        &mut self,
        inner: &Inner,
        durable: &dyn DurableAdapter,
        stored: &[ConsumerStatus],
    ) {
        self.report(inner, stored, true).await;
        if !inner.durable_handlers.is_empty() {
            let stored = self.stored(inner, durable).await;
            self.report_own(inner, &stored);
        }
    }

    /// Spawns the task that checks at intervals.
    pub(crate) fn spawn(self, inner: &Arc<Inner>, adapter: &Arc<dyn Adapter>) {
        let checks = self.watch(Arc::downgrade(inner), Arc::clone(adapter), inner.stop_tasks.subscribe());
        spawn_boxed(&inner.runtime, Box::pin(checks));
    }

    /// Checks at intervals, until the bus stops or is dropped.
    async fn watch(mut self, bus: Weak<Inner>, adapter: Arc<dyn Adapter>, mut stop: watch::Receiver<bool>) {
        while timeout_at(self.last_check.0 + CHECK_INTERVAL, stop.wait_for(|stopping| *stopping))
            .await
            .is_err()
        {
            let (Some(inner), Some(durable)) = (bus.upgrade(), adapter.durable()) else { return };
            let now = (Instant::now(), inner.now());
            if leaps(std::mem::replace(&mut self.last_check, now), now) {
                continue;
            }
            let stored = self.stored(&inner, durable).await;
            self.report(&inner, &stored, false).await;
            self.report_own(&inner, &stored);
        }
    }

    async fn report(&mut self, inner: &Inner, stored: &[ConsumerStatus], is_build: bool) {
        let is_ours =
            |name: &str| inner.durable_handlers.iter().any(|handler| handler.consumer.name() == name);
        let now = inner.now();
        for orphan in stored.iter().filter(|status| !is_ours(&status.name)) {
            if orphan.is_running {
                self.reported.remove(&orphan.name);
                continue;
            }
            let new_name = self.likely_name(inner, orphan);
            let unused = now.as_micros().saturating_sub(orphan.seen.as_micros());
            let is_orphan = match unused < RESTART_MICROS {
                true => is_build && new_name.is_some(),
                false => !inner.durable_handlers.is_empty() || unused > FORGOTTEN_AFTER_MICROS,
            };
            let has_events = orphan.lag.max(orphan.waiting).max(orphan.in_progress) > 0;
            if !is_orphan || !has_events || self.reported.contains(&orphan.name) {
                continue;
            }
            let Some(has_left) = describe_events_left(inner, orphan).await else { continue };
            let (name, last_used) = (quoted(&orphan.name), orphan.seen);
            let renamed = new_name.map(|new| format!("; its new name may be `{new}`")).unwrap_or_default();
            inner.warn(format_args!(
                "the durable consumer `{name}` {has_left}, and this program has no handler for it (a program last used it at {last_used}){renamed}: give its handler the old name, or, if no other program handles it, remove it with `bus.consumer(\"{name}\").remove()`; until then, the log is not trimmed past it"
            ));
            self.reported.insert(orphan.name.clone());
        }
    }

    fn report_own(&mut self, inner: &Inner, stored: &[ConsumerStatus]) {
        let is_ours = |name: &str| inner.durable_handlers.iter().any(|handler| *handler.name == *name);
        for own in stored.iter().filter(|status| is_ours(&status.name)) {
            self.report_unclaimed(inner, own);
        }
    }

    /// Reports a consumer of this program with events that no running program takes: once, and again after there were
    /// none.
    fn report_unclaimed(&mut self, inner: &Inner, own: &ConsumerStatus) {
        if own.unclaimed == 0 {
            self.unclaimed.remove(&own.name);
            return;
        }
        if !self.unclaimed.insert(own.name.clone()) {
            return;
        }
        let has = |pattern: &&String| {
            inner
                .durable_handlers
                .iter()
                .any(|handler| *handler.name == *own.name && handler.has_pattern(pattern))
        };
        let others: Vec<_> =
            own.patterns.iter().filter(|pattern| !has(pattern)).map(|pattern| quoted(pattern)).collect();
        let why = match others.is_empty() {
            true => "a newer version of this program knows them".to_owned(),
            false => format!("it was opened before with `{}`", others.join("`, `")),
        };
        let (name, unclaimed) = (quoted(&own.name), own.unclaimed);
        inner.warn(format_args!(
            "the durable consumer `{name}` has {unclaimed} events that no running program takes ({why}): they wait for a program that takes them, and the log is not trimmed past them; give a pattern up with `bus.consumer(\"{name}\").forget_pattern(..)`, or drop the events with `.drop_unclaimed()`"
        ));
    }

    /// Returns the consumer of this program that is most likely the new name of `orphan`: it was not stored
    /// before, and has the same patterns or a similar name.
    fn likely_name<'a>(&self, inner: &'a Inner, orphan: &ConsumerStatus) -> Option<&'a str> {
        let mut patterns_before: Vec<_> = orphan.patterns.iter().map(String::as_str).collect();
        patterns_before.sort_unstable();
        let candidates = inner.durable_handlers.iter().filter_map(|handler| {
            let consumer = &handler.consumer;
            let name = consumer.name();
            if self.known.contains(name) {
                return None;
            }
            let mut patterns: Vec<_> = consumer.patterns().collect();
            patterns.sort_unstable();
            let similarity = similarity(&orphan.name, name);
            let has_patterns = patterns == patterns_before;
            (has_patterns || similarity >= SIMILAR).then_some((has_patterns, similarity, name))
        });
        let likeliest = candidates.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        likeliest.map(|(.., name)| name)
    }
}

/// Returns true if, between two times, the clock of the bus advanced more than [`MAX_LEAP_MICROS`] beyond the
/// runtime's clock. Each time is given by both clocks.
fn leaps(before: (Instant, Timestamp), now: (Instant, Timestamp)) -> bool {
    let ran = now.0.saturating_duration_since(before.0).as_micros().try_into().unwrap_or(i64::MAX);
    let passed = now.1.as_micros().saturating_sub(before.1.as_micros());
    passed.saturating_sub(ran) > MAX_LEAP_MICROS
}

/// Describes how many events a consumer has left to handle; `None` if it has none.
async fn describe_events_left(inner: &Inner, consumer: &ConsumerStatus) -> Option<String> {
    let ConsumerStatus { lag, in_progress, waiting, unclaimed, .. } = *consumer;
    let taken = in_progress.saturating_add(waiting).saturating_add(unclaimed);
    let ahead = match lag.saturating_sub(taken) {
        0 => Some(0),
        events if events > MAX_COUNTED => None,
        // If counting fails, the number is unknown.
        events => counted_ahead(inner, consumer, events).await.ok(),
    };
    match ahead {
        Some(ahead) if ahead + taken == 0 => None,
        Some(ahead) => Some(format!("has {} events left", ahead + taken)),
        None => Some(format!("may have up to {lag} events left (its patterns may not take all of them)")),
    }
}

/// Counts the events that a consumer takes among the newest of the log.
async fn counted_ahead(inner: &Inner, consumer: &ConsumerStatus, newest: u64) -> Result<u64, AdapterError> {
    let Some(adapter) = &inner.adapter else { return Ok(0) };
    let read = async |query: LogQuery| {
        caught(async { adapter.read_log(&query, &inner.codec).await }).await.unwrap_or_else(panicked)
    };
    let end = read(LogQuery::new("*")?).await?.newest();
    let mut after = LogPosition { number: end.number.saturating_sub(newest), ..end };
    let mut count = 0;
    while after.number < end.number {
        let page = read(LogQuery::new("*")?.after(after)).await?;
        after = page.end();
        let takes = |record: &Record| matches_any(&consumer.patterns, record.name());
        let records = page.into_records().into_iter();
        count += records.filter(|(_, record)| record.as_ref().is_ok_and(takes)).count() as u64;
    }
    Ok(count)
}

/// Returns the similarity of two names: from 0 if they have no character in common to 1 if they are equal.
fn similarity(one: &str, other: &str) -> f64 {
    let longest = one.chars().count().max(other.chars().count()).max(1);
    1.0 - events_names::distance(one, other) as f64 / longest as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c6_a_clock_that_goes_on_while_the_machine_sleeps_leaps() {
        let start = Instant::now();
        let at = |ran: u64, passed: i64| {
            (start + Duration::from_secs(ran), Timestamp::from_micros(passed.saturating_mul(1_000_000)))
        };
        let before = at(0, 1_000);
        assert!(!leaps(before, at(180, 1_180)));
        assert!(!leaps(before, at(180, 1_200)), "clocks are not exact");
        assert!(leaps(before, at(180, 1_300)));
        assert!(leaps(before, at(0, 9_000)));
        assert!(leaps(before, at(180, i64::MAX)));
        // A clock that was set back has not advanced.
        assert!(!leaps(before, at(180, 0)));
        assert!(!leaps(before, at(180, i64::MIN)));
    }
}
