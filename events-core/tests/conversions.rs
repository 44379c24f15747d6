//! Conversions between times and ids of this library and those of other crates.

#![cfg(all(feature = "chrono", feature = "jiff", feature = "time", feature = "uuid"))]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use events_core::{EventId, InstanceId, Timestamp, TimestampRangeError};

const MICROS: [i64; 5] = [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000];

/// Returns a time after a conversion to another type and back.
fn through<T: TryFrom<Timestamp> + Into<Timestamp>>(time: Timestamp) -> Option<Timestamp> {
    T::try_from(time).ok().map(Into::into)
}

#[test]
fn times_come_back_as_they_were() {
    for time in MICROS.map(Timestamp::from_micros) {
        assert_eq!(through::<chrono::DateTime<chrono::Utc>>(time), Some(time));
        assert_eq!(through::<jiff::Timestamp>(time), Some(time));
        assert_eq!(through::<time::OffsetDateTime>(time), Some(time));
        assert_eq!(through::<SystemTime>(time), Some(time));
    }
}

#[test]
fn the_same_moment_is_the_same_in_all() {
    let text = "2026-01-31T12:00:00.5Z";
    let time: Timestamp = text.parse().unwrap();
    assert_eq!(Timestamp::from(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap()), time);
    assert_eq!(Timestamp::from(text.parse::<jiff::Timestamp>().unwrap()), time);
    let nanos = i128::from(time.as_micros()) * 1_000;
    assert_eq!(Timestamp::from(time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap()), time);
    assert_eq!(Timestamp::from(UNIX_EPOCH + Duration::from_micros(time.as_micros().unsigned_abs())), time);
}

#[test]
fn fractions_of_a_microsecond_are_rounded_down() {
    let expected = Timestamp::from_micros(-1);
    assert_eq!(Timestamp::from(chrono::DateTime::from_timestamp_nanos(-1)), expected);
    assert_eq!(Timestamp::from(jiff::Timestamp::from_nanosecond(-1).unwrap()), expected);
    assert_eq!(Timestamp::from(time::OffsetDateTime::from_unix_timestamp_nanos(-1).unwrap()), expected);
    assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_nanos(1)), expected);
    assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_micros(1)), expected);
}

#[test]
fn a_leap_second_is_the_second_before_it_also_of_chrono() {
    let text = "2016-12-31T23:59:60.5Z";
    let expected: Timestamp = "2016-12-31T23:59:59.5Z".parse().unwrap();
    assert_eq!(text.parse::<Timestamp>().unwrap(), expected);
    assert_eq!(Timestamp::from(text.parse::<chrono::DateTime<chrono::Utc>>().unwrap()), expected);
}

#[test]
fn a_time_beyond_the_range_is_an_error() {
    for end in [i64::MIN, i64::MAX] {
        let end = Timestamp::from_micros(end);
        let errors: [TimestampRangeError; 3] = [
            chrono::DateTime::<chrono::Utc>::try_from(end).unwrap_err(),
            jiff::Timestamp::try_from(end).unwrap_err(),
            time::OffsetDateTime::try_from(end).unwrap_err(),
        ];
        for (error, target) in
            errors.iter().zip(["chrono::DateTime", "jiff::Timestamp", "time::OffsetDateTime"])
        {
            assert!(error.to_string().contains(target), "{error}");
        }
    }
}

#[test]
fn ids_are_uuids() {
    let id = EventId::new();
    assert_eq!(uuid::Uuid::from(id).to_string(), id.to_string());
    assert_eq!(EventId::from(uuid::Uuid::from(id)), id);
    let nil = InstanceId::from(uuid::Uuid::nil());
    assert_eq!((nil, uuid::Uuid::from(nil)), (InstanceId::NIL, uuid::Uuid::nil()));
}
