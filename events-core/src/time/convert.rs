//! Conversions between [`Timestamp`] and the times of other crates.

use std::fmt;

use crate::time::Timestamp;

/// The time is outside the range of the type that it should become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRangeError {
    time: Timestamp,
    target: &'static str,
}

impl fmt::Display for TimestampRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, target } = self;
        write!(f, "{} microseconds after 1970 are outside the range of `{target}`", time.as_micros())
    }
}

impl std::error::Error for TimestampRangeError {}

/// Rounds down to a microsecond; times beyond the range become its ends.
#[cfg(any(feature = "jiff", feature = "time"))]
fn from_nanos(nanos: i128) -> Timestamp {
    let micros = nanos.div_euclid(1_000);
    let end = if micros < 0 { i64::MIN } else { i64::MAX };
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(end))
}

#[cfg(feature = "chrono")]
mod chrono_time {
    use chrono::{DateTime, TimeZone, Utc};

    use super::{Timestamp, TimestampRangeError};

    /// Rounds down to a microsecond. A leap second becomes the second before it.
    #[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
    impl<Tz: TimeZone> From<DateTime<Tz>> for Timestamp {
        fn from(time: DateTime<Tz>) -> Self {
            // chrono counts a leap second as up to two seconds of microseconds.
            let in_second = i64::from(time.timestamp_subsec_micros() % 1_000_000);
            Self::from_micros(time.timestamp().saturating_mul(1_000_000).saturating_add(in_second))
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "chrono")))]
    impl TryFrom<Timestamp> for DateTime<Utc> {
        type Error = TimestampRangeError;

        fn try_from(time: Timestamp) -> Result<Self, TimestampRangeError> {
            let target = "chrono::DateTime<Utc>";
            Self::from_timestamp_micros(time.as_micros()).ok_or(TimestampRangeError { time, target })
        }
    }
}

#[cfg(feature = "jiff")]
mod jiff_time {
    use super::{Timestamp, TimestampRangeError, from_nanos};

    /// Rounds down to a microsecond.
    #[cfg_attr(docsrs, doc(cfg(feature = "jiff")))]
    impl From<jiff::Timestamp> for Timestamp {
        fn from(time: jiff::Timestamp) -> Self {
            from_nanos(time.as_nanosecond())
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "jiff")))]
    impl TryFrom<Timestamp> for jiff::Timestamp {
        type Error = TimestampRangeError;

        fn try_from(time: Timestamp) -> Result<Self, TimestampRangeError> {
            let target = "jiff::Timestamp";
            Self::from_microsecond(time.as_micros()).map_err(|_| TimestampRangeError { time, target })
        }
    }
}

#[cfg(feature = "time")]
mod time_time {
    use time::OffsetDateTime;

    use super::{Timestamp, TimestampRangeError, from_nanos};

    /// Rounds down to a microsecond. Times beyond the range of a [`Timestamp`], which the crate's feature
    /// `large-dates` allows, become its ends.
    #[cfg_attr(docsrs, doc(cfg(feature = "time")))]
    impl From<OffsetDateTime> for Timestamp {
        fn from(time: OffsetDateTime) -> Self {
            from_nanos(time.unix_timestamp_nanos())
        }
    }

    #[cfg_attr(docsrs, doc(cfg(feature = "time")))]
    impl TryFrom<Timestamp> for OffsetDateTime {
        type Error = TimestampRangeError;

        fn try_from(time: Timestamp) -> Result<Self, TimestampRangeError> {
            let target = "time::OffsetDateTime";
            let nanos = i128::from(time.as_micros()) * 1_000;
            Self::from_unix_timestamp_nanos(nanos).map_err(|_| TimestampRangeError { time, target })
        }
    }
}
