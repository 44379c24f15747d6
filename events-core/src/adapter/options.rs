//! What a durable handler asks for: its name, its retries, its order.

use std::borrow::Cow;
use std::time::Duration;

use crate::time::Timestamp;

/// The settings of a durable handler: those of `#[on(..., durable = "send-invoice", retries = 5)]`, for
/// [`BusBuilder::durable`](crate::BusBuilder::durable).
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

/// Where a consumer begins to read, or is sent back to. What is before the oldest event that is kept means that one,
/// and what is behind the newest means the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// The oldest event that is kept.
    Start,
    /// The next event.
    Now,
    /// The event at this position, or the next one that is kept.
    Position(u64),
    /// The first event of this time or later.
    Time(Timestamp),
}

/// What `null` means in the field that a durable handler is ordered by: `nulls = "together"` in `#[on]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nulls {
    /// Such an event has no key, and waits for none.
    Unordered,
    /// Such events have one key together, and are handled one after the other.
    Together,
}

/// The longest name of a durable handler, in bytes.
const MAX_NAME: usize = 128;

impl DurableOptions {
    /// A durable handler of this name, with 5 retries, a backoff of 1 s to 5 min, a timeout of 60 s, one event
    /// at a time, no order while retrying, from now.
    ///
    /// The name says who has handled an event: it outlives the function's, and processes that use the same
    /// one share the events. Letters, digits, `-`, `_` and `.`; at most 128 bytes.
    pub const fn new(name: &'static str) -> Self {
        Self::of(Cow::Borrowed(name))
    }

    /// The same of a name that is made at run time. One that can't be a name is an error of
    /// [`build`](crate::BusBuilder::build).
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

    /// Calls the handler at most `retries` more times after it has failed; 5 unless set. Then the event goes to
    /// the dead letters.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Waits about `first` before the first retry, and twice as long before each further one, up to `max`:
    /// 1 s and 5 min unless set. Each wait is cut by a random part of up to a half, so that what failed together
    /// is not retried together.
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = (first, max);
        self
    }

    /// Ends a call that takes longer, which counts as a failure; 60 s unless set, never with
    /// [`Duration::MAX`]. A handler that blocks its thread can't be ended.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Handles up to this many events at a time in each process; 1 unless set, at most 1024.
    pub const fn concurrency(mut self, events: u32) -> Self {
        self.concurrency = match events {
            0 => 1,
            1025.. => 1024,
            events => events,
        };
        self
    }

    /// Handles events that have the same value in this field of their JSON one after the other, across all
    /// processes, also while one is retried; others go on. An event in which the field is `null` or absent waits for
    /// none, unless [`nulls`](Self::nulls) says otherwise.
    ///
    /// The field is a string, a whole number, a `bool`, a `char`, an enum without data, a tuple of these, or an
    /// `Option`: other values may be equal and differ as text. That is checked for each known event.
    pub const fn ordered_by(mut self, field: &'static str) -> Self {
        self.ordered_by = Some(field);
        self
    }

    /// Says what `null` means in the field that events are [ordered by](Self::ordered_by).
    pub const fn nulls(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }

    /// Begins here, where the consumer is new; [`StartAt::Now`] unless set.
    pub const fn from(mut self, from: StartAt) -> Self {
        self.from = from;
        self
    }

    /// The name.
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

    /// How often an event is tried in all.
    pub(crate) const fn attempts(&self) -> u32 {
        self.retries.saturating_add(1)
    }

    /// How long to wait after so many failed attempts. `share` is a random number from 0 to 1.
    ///
    /// Exponential, with what "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015) calls equal jitter.
    pub(crate) fn wait_after(&self, attempt: u32, share: f64) -> Duration {
        let (first, max) = self.backoff;
        let doubled = first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(max);
        wait - (wait / 2).mul_f64(share.clamp(0.0, 1.0))
    }
}

/// Why a text can't name a durable handler.
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
            return Some("it has other characters than letters, digits, `-`, `_` and `.`");
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
