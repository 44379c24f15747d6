//! Options of durable handlers: name, retries, backoff, timeout, concurrency, order and start.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Options of a durable handler, for [`BusBuilder::durable`](crate::BusBuilder::durable). They correspond to
/// the options of `#[on(..., durable = "send-invoice", retries = 5)]`.
///
/// ```
/// use std::time::Duration;
/// use typed_events::DurableOptions;
///
/// let invoices = DurableOptions::new("send-invoice")
///     .retries(8)
///     .backoff(Duration::from_millis(500), Duration::from_secs(60))
///     .concurrency(4);
/// assert_eq!(invoices.name(), "send-invoice");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableOptions {
    name: Cow<'static, str>,
    retries: u32,
    backoff: (Duration, Duration),
    timeout: Duration,
    concurrency: u32,
    ordered_by: Option<&'static str>,
    nulls: Nulls,
    from: StartAt,
}

/// Position at which a new consumer starts, or to which a consumer is moved. A position before the oldest
/// stored event means that event, and a position after the newest event means the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// The oldest stored event.
    Start,
    /// The next event that is appended.
    Now,
    /// The event at this position, or the next one that is stored.
    Position(u64),
    /// The first event with this timestamp or a later one.
    Time(Timestamp),
}

/// Meaning of `null` in the field that a durable handler is ordered by. In `#[on]`, it is set by `nulls =
/// "together"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Nulls {
    /// An event whose field is `null` has no key and does not wait for other events.
    Unordered,
    /// All events whose field is `null` share one key and are handled one after the other.
    Together,
}

/// Maximum length of the name of a durable handler in bytes.
const MAX_NAME: usize = 128;

impl DurableOptions {
    /// Creates the options with their defaults: 5 retries, a backoff from 1 s to 5 min, a timeout of 60 s, a
    /// concurrency of 1, no order by key, and a start at [`StartAt::Now`].
    ///
    /// The name identifies the consumer that stores the progress of the handler. It does not depend on the
    /// name of the function, and processes that use the same name share the events. It consists of letters,
    /// digits, `-`, `_` and `.`, and has at most 128 bytes.
    pub const fn new(name: &'static str) -> Self {
        Self::of(Cow::Borrowed(name))
    }

    /// Like [`new`](Self::new), for a name created at run time. [`build`](crate::BusBuilder::build) returns
    /// an error if the name is invalid.
    pub fn named(name: impl Into<String>) -> Self {
        Self::of(Cow::Owned(name.into()))
    }

    const fn of(name: Cow<'static, str>) -> Self {
        Self {
            name,
            retries: 5,
            backoff: (Duration::from_secs(1), Duration::from_secs(5 * 60)),
            timeout: Duration::from_secs(60),
            concurrency: 1,
            ordered_by: None,
            nulls: Nulls::Unordered,
            from: StartAt::Now,
        }
    }

    /// Sets the maximum number of retries after the first failed attempt. The default is 5. After the last
    /// failed attempt, the event becomes a dead letter.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the delay before the first retry, and the maximum delay. The defaults are 1 s and 5 min. The
    /// delay doubles with each further retry. A random part of up to one half is subtracted from each delay,
    /// so that events that failed at the same time are not retried at the same time.
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = (first, max);
        self
    }

    /// Sets the maximum duration of a call of the handler. The default is 60 s; [`Duration::MAX`] disables
    /// the limit. A call that takes longer is cancelled and counts as a failed attempt. A handler that blocks
    /// its thread can't be cancelled.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum number of events that each process handles concurrently. The default is 1, the
    /// maximum 1024.
    pub const fn concurrency(mut self, events: u32) -> Self {
        self.concurrency = match events {
            0 => 1,
            1025.. => 1024,
            events => events,
        };
        self
    }

    /// Handles events with equal values in this JSON field one after the other, across all processes, also
    /// while one of them is retried. Other events do not wait for them. An event whose field is `null` or
    /// absent does not wait, unless [`nulls`](Self::nulls) is set to [`Nulls::Together`].
    ///
    /// The field must be a string, a whole number, a `bool`, a `char`, an enum without data, a tuple of these,
    /// or an `Option` of one. Equal values of other types may have different texts. The field is checked for
    /// each known event: at compile time for `#[on]`, otherwise by [`build`](crate::BusBuilder::build).
    pub const fn ordered_by(mut self, field: &'static str) -> Self {
        self.ordered_by = Some(field);
        self
    }

    /// Sets the meaning of `null` in the field that events are [ordered by](Self::ordered_by). The default is
    /// [`Nulls::Unordered`].
    pub const fn nulls(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }

    /// Sets the position at which a new consumer starts. The default is [`StartAt::Now`].
    pub const fn from(mut self, from: StartAt) -> Self {
        self.from = from;
        self
    }

    /// Name of the durable handler and its consumer.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_ordered(&self) -> Option<&'static str> {
        self.ordered_by
    }

    pub(crate) const fn null_order(&self) -> Nulls {
        self.nulls
    }

    pub(crate) const fn start(&self) -> StartAt {
        self.from
    }

    pub(crate) const fn most_at_a_time(&self) -> usize {
        self.concurrency as usize
    }

    pub(crate) const fn time_limit(&self) -> Duration {
        self.timeout
    }

    /// Maximum number of attempts: the first one and the retries.
    pub(crate) const fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// Delay after the given number of failed attempts. `share` is a random number from 0 to 1.
    ///
    /// The delay grows exponentially, with the equal jitter described in "Exponential Backoff And Jitter"
    /// (AWS Architecture Blog, 2015).
    pub(crate) fn wait_after(&self, attempt: u32, share: f64) -> Duration {
        let (first, max) = self.backoff;
        let doubled = first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(max);
        wait - (wait / 2).mul_f64(share.clamp(0.0, 1.0))
    }
}

/// Returns the reason why a text can't be the name of a durable handler.
pub(crate) const fn name_problem(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Some("it is empty");
    }
    if bytes.len() > MAX_NAME {
        return Some("it is longer than 128 bytes");
    }
    let mut i = 0;
    while i < bytes.len() {
        if !matches!(bytes[i], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.') {
            return Some("it may contain only letters, digits, `-`, `_` and `.`");
        }
        i += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_lose_at_most_half() {
        let durable = DurableOptions::new("x").backoff(Duration::from_secs(1), Duration::from_secs(10));
        let waits: Vec<_> = (1..=6).map(|attempt| durable.wait_after(attempt, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        assert_eq!(durable.wait_after(40, 0.0).as_secs(), 10);
        assert_eq!(durable.wait_after(3, 1.0), Duration::from_secs(2));
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(name_problem("send-invoice.v2_x"), None);
        assert!(name_problem("").is_some() && name_problem("a b").is_some() && name_problem("é").is_some());
        assert!(name_problem(&"x".repeat(128)).is_none() && name_problem(&"x".repeat(129)).is_some());
    }
}
