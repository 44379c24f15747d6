//! Stored consumers that have events left and no handler: what a renamed durable handler leaves behind.

use super::Inner;
use crate::adapter::{ConsumerStatus, DurableAdapter};
use crate::text::quoted;

/// A consumer that no program has asked for in so many microseconds is nobody's: 24 h.
const FORGOTTEN: i64 = 24 * 60 * 60 * 1_000_000;

/// A consumer whose program has stopped so many microseconds ago may be one that is only started again: 150 s.
const RESTARTED: i64 = 150_000_000;

/// So many events at most are counted by name, for one consumer.
const MOST_COUNTED: u64 = 10_000;

/// The least similarity of two names, of which one is taken for the other's new name.
const SIMILAR: f64 = 0.6;

impl Inner {
    /// Lists the stored consumers before this program opens its own, so that new ones can be told.
    pub(super) async fn stored_consumers(&self, durable: &dyn DurableAdapter) -> Vec<ConsumerStatus> {
        durable.consumers(self.now()).await.unwrap_or_else(|error| {
            let adapter = self.adapter_name();
            self.warn(format_args!(
                "{adapter} can't list its consumers, so orphans among them are not reported: {error}"
            ));
            Vec::new()
        })
    }

    /// Warns of consumers that have events left, and that no handler of this program takes.
    ///
    /// A store does not say which program a consumer belongs to. So one that a program has open is never reported,
    /// whatever its name and patterns: it may be that of another program, and is handled. Of the others, one is
    /// reported
    ///
    /// - whose program has stopped in the last 150 s, where this program brings a consumer that was not there before
    ///   and has its patterns or a similar name: it was renamed;
    /// - of which nothing was heard for 150 s, where this program has durable handlers;
    /// - for which no program has asked in 24 h, where it has none. Until then, a program that only emits can't tell
    ///   whether its own last durable handler was deleted, or that of another program is away.
    pub(super) async fn warn_of_orphans(&self, durable: &dyn DurableAdapter, stored: &[ConsumerStatus]) {
        let is_ours = |name: &str| self.works.iter().any(|work| work.consumer.name() == name);
        let now = self.now();
        for orphan in stored.iter().filter(|status| !is_ours(&status.name)) {
            if orphan.lag.max(orphan.waiting).max(orphan.in_progress) == 0 {
                continue;
            }
            let new_name = self.likely_name(orphan, stored);
            let unused = now.as_micros().saturating_sub(orphan.seen.as_micros());
            let is_orphan = match unused < RESTARTED {
                true => new_name.is_some(),
                false => !self.works.is_empty() || unused > FORGOTTEN,
            };
            if orphan.is_running || !is_orphan {
                continue;
            }
            let Some(left) = left_to(durable, orphan).await else { continue };
            let (name, seen) = (quoted(&orphan.name), orphan.seen);
            let renamed = new_name.map(|new| format!("; its new name may be `{new}`")).unwrap_or_default();
            self.warn(format_args!(
                "the durable consumer `{name}` {left}, and this program has no handler for it (a program last asked for them at {seen}){renamed}: handle it under its old name, or, if no other program is to handle it, remove it by `bus.consumer(\"{name}\").remove()`; until then, the log is not trimmed past it"
            ));
        }
    }

    /// Of the consumers that this program brings, the one that most likely goes on with another one's work: with its
    /// patterns, or under a similar name.
    fn likely_name(&self, orphan: &ConsumerStatus, stored: &[ConsumerStatus]) -> Option<&str> {
        let is_new = |name: &str| stored.iter().all(|status| status.name != name);
        let candidates = self.works.iter().filter_map(|work| {
            let consumer = &work.consumer;
            let name = consumer.name();
            if !is_new(name) {
                return None;
            }
            let mut patterns: Vec<_> = consumer.patterns().collect();
            patterns.sort_unstable();
            let mut left: Vec<_> = orphan.patterns.iter().map(String::as_str).collect();
            left.sort_unstable();
            let similarity = similarity(&orphan.name, name);
            let has_patterns = patterns == left;
            (has_patterns || similarity >= SIMILAR).then_some((has_patterns, similarity, name))
        });
        let likeliest = candidates.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        likeliest.map(|(.., name)| name)
    }
}

/// What a consumer has left to handle, in words; `None` where that is nothing.
async fn left_to(durable: &dyn DurableAdapter, consumer: &ConsumerStatus) -> Option<String> {
    let ConsumerStatus { lag, in_progress, waiting, newer, .. } = *consumer;
    let taken = in_progress.saturating_add(waiting).saturating_add(newer);
    let ahead = match lag <= taken {
        true => Some(0),
        // Where it fails, the number is not known.
        false => durable.count_ahead(&consumer.name, MOST_COUNTED).await.unwrap_or(None),
    };
    match ahead {
        Some(ahead) if ahead + taken == 0 => None,
        Some(ahead) => Some(format!("has {} events left", ahead + taken)),
        None => Some(format!("may have up to {lag} events left (its patterns may not take all of them)")),
    }
}

/// From 0 for two names without a character in common to 1 for equal ones.
fn similarity(one: &str, other: &str) -> f64 {
    let longest = one.chars().count().max(other.chars().count()).max(1);
    1.0 - events_names::distance(one, other) as f64 / longest as f64
}
