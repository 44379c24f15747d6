//! Timestamps, and a clock that never runs backwards.

#[cfg(feature = "durable")]
pub(crate) mod clock;
pub(crate) mod convert;
mod rfc3339;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::schema::{Schema, TypeSchema};

/// Implements serde's traits for a type that is serialized as text: with `Display` to write and `FromStr` to read.
///
/// The derive is not used, so that this crate can be compiled before serde's derive.
macro_rules! serde_as_text {
    ($type:ident, $expected:literal) => {
        impl serde_core::Serialize for $type {
            fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde_core::Deserialize<'de> for $type {
            fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AsText;

                impl serde_core::de::Visitor<'_> for AsText {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(AsText)
            }
        }
    };
}
pub(crate) use serde_as_text;

const MICROS: i64 = 1_000_000;

/// A point in time, in microseconds since 1970-01-01 UTC. It prints and parses as RFC 3339.
///
/// RFC 3339 covers the years 0000 to 9999. A time outside of them prints as the first or last microsecond of that
/// range.
/// Parsing accepts any offset, rounds fractions of a microsecond down, and reads a leap second as the second before it.
///
/// ```
/// use typed_events::Timestamp;
///
/// let time: Timestamp = "2026-01-31T12:00:00.5Z".parse()?;
/// assert_eq!(time.to_string(), "2026-01-31T12:00:00.500000Z");
/// # Ok::<(), typed_events::record::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

static LAST: AtomicI64 = AtomicI64::new(i64::MIN);

/// Returns the current time, but never a time earlier than one returned before in this process.
pub(crate) fn now() -> Timestamp {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    let now = Timestamp::from(SystemTime::now()).0;
    match LAST.load(Ordering::Relaxed) {
        // Several calls within one microsecond need no write to the shared value.
        last if last >= now => Timestamp(last),
        _ => Timestamp(LAST.fetch_max(now, Ordering::Relaxed).max(now)),
    }
}

impl Timestamp {
    /// Returns the current time, but never a time earlier than one returned before in this process.
    pub fn now() -> Self {
        now()
    }

    /// Creates a timestamp from microseconds since 1970-01-01 UTC; negative values are before it.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since 1970-01-01 UTC; negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

/// A time outside the range of [`Timestamp`] (292,000 years before and after 1970) becomes the nearest end of the
/// range.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = |duration: Duration| {
            let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_mul(MICROS).saturating_add(i64::from(duration.subsec_micros()))
        };
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            // Rounds down, so away from 1970.
            Err(before) => -micros(before.duration().saturating_add(Duration::from_nanos(999))),
        })
    }
}

/// A time that the platform can't represent becomes 1970-01-01 UTC.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let distance = Duration::from_micros(time.0.unsigned_abs());
        let time = match time.0 {
            0.. => UNIX_EPOCH.checked_add(distance),
            _ => UNIX_EPOCH.checked_sub(distance),
        };
        time.unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(rfc3339::write(self.0, &mut [0; rfc3339::LENGTH]))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        rfc3339::parse(text).map(Self).ok_or(ParseTimestampError(()))
    }
}

serde_as_text!(Timestamp, "an RFC 3339 time");

/// The error of parsing a [`Timestamp`]: the text is not a time in RFC 3339 form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTimestampError(());

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not an RFC 3339 time")
    }
}

impl std::error::Error for ParseTimestampError {}

#[diagnostic::do_not_recommend]
impl Schema for Timestamp {
    const TYPE: &'static TypeSchema = &TypeSchema::Format("date-time-micros");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_at_the_ends() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
            assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }
        assert!(Timestamp::from_micros(i64::MAX).to_string().parse::<Timestamp>().is_ok());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn never_runs_backwards() {
        let far = Timestamp::from_micros(now().0 + 1_000);
        LAST.fetch_max(far.0, Ordering::Relaxed);
        assert!(now() >= far);
    }
}
