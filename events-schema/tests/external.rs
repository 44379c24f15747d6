//! Types of other crates: what they write is what their schema says, and they read it again.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]
#![cfg(all(
    feature = "bytes",
    feature = "chrono",
    feature = "jiff",
    feature = "rust_decimal",
    feature = "time",
    feature = "url",
    feature = "uuid"
))]

use std::fmt::Debug;

use events_schema::{Schema, TypeSchema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// The value is written as this JSON, which fits its schema; and it is read again.
fn check<T: Schema + Serialize + DeserializeOwned + PartialEq + Debug>(value: T, written: Value) {
    assert_eq!(serde_json::to_value(&value).unwrap(), written);
    assert_eq!(serde_json::from_value::<T>(written.clone()).unwrap(), value);
    let shape = match T::TYPE {
        TypeSchema::Differs { written, .. } => written,
        shape => shape,
    };
    let fits = match (shape, &written) {
        (TypeSchema::Format(_), Value::String(_)) | (TypeSchema::Sequence(..), Value::Array(_)) => true,
        (TypeSchema::Tuple(shapes), Value::Array(items)) => shapes.len() == items.len(),
        _ => false,
    };
    assert!(fits, "{shape:?} is not {written}");
    assert!(T::TYPE.can_read(T::TYPE).is_ok(), "{shape:?}");
}

#[test]
fn each_is_written_as_its_schema_says() {
    check(uuid::Uuid::nil(), json!("00000000-0000-0000-0000-000000000000"));
    check(url::Url::parse("https://example.com/a").unwrap(), json!("https://example.com/a"));
    check(bytes::Bytes::from_static(b"ab"), json!([97, 98]));
    check(bytes::BytesMut::from(&b"ab"[..]), json!([97, 98]));
    check(rust_decimal::Decimal::new(-125, 2), json!("-1.25"));

    let date = chrono::NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
    let date_time = date.and_hms_opt(12, 30, 0).unwrap();
    check(date, json!("2026-01-31"));
    check(date_time.time(), json!("12:30:00"));
    check(date_time, json!("2026-01-31T12:30:00"));
    check(date_time.and_utc(), json!("2026-01-31T12:30:00Z"));
    check(date_time.and_utc().fixed_offset(), json!("2026-01-31T12:30:00Z"));
    check(chrono::TimeDelta::milliseconds(1500), json!([1, 500_000_000]));
    check(chrono::Weekday::Mon, json!("Mon"));
    check(chrono::Month::May, json!("May"));

    let date_time = jiff::civil::date(2026, 1, 31).at(12, 30, 0, 0);
    check(date_time.date(), json!("2026-01-31"));
    check(date_time.time(), json!("12:30:00"));
    check(date_time, json!("2026-01-31T12:30:00"));
    check(jiff::Timestamp::UNIX_EPOCH, json!("1970-01-01T00:00:00Z"));
    check(jiff::SignedDuration::from_millis(1500), json!("PT1.5S"));

    let date = time::Date::from_calendar_date(2026, time::Month::January, 31).unwrap();
    let date_time = time::PrimitiveDateTime::new(date, time::Time::from_hms(12, 30, 0).unwrap());
    check(date, json!("2026-01-31"));
    check(date_time.time(), json!("12:30:00.0"));
    check(date_time, json!("2026-01-31 12:30:00.0"));
    check(date_time.assume_utc(), json!("2026-01-31 12:30:00.0 +00:00:00"));
    check(time::UtcOffset::UTC, json!("+00:00:00"));
    check(time::Duration::milliseconds(1500), json!("1.500000000"));
    check(time::Weekday::Monday, json!("Monday"));
    check(time::Month::May, json!("May"));
}

#[test]
fn what_is_read_in_two_ways_is_read_from_both() {
    let number: rust_decimal::Decimal = serde_json::from_value(json!(1.5)).unwrap();
    assert_eq!(number, rust_decimal::Decimal::new(15, 1));
    assert!(rust_decimal::Decimal::TYPE.can_read(f64::TYPE).is_ok());
    assert!(rust_decimal::Decimal::TYPE.can_read(String::TYPE).is_err());
    assert_eq!(serde_json::from_value::<bytes::Bytes>(json!("ab")).unwrap(), "ab");
    assert!(bytes::Bytes::TYPE.can_read(String::TYPE).is_ok());
    // The same text, whatever the crate.
    type Utc = chrono::DateTime<chrono::Utc>;
    assert!(jiff::Timestamp::TYPE.can_read(Utc::TYPE).is_ok());
    assert!(Utc::TYPE.can_read(time::OffsetDateTime::TYPE).is_err());
}

#[test]
fn l2_a_time_is_not_read_as_one_that_keeps_less_of_it() {
    use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
    use typed_events::Timestamp;
    let mismatch = |reader: &'static TypeSchema, writer| reader.can_read(writer).unwrap_err().to_string();
    let (utc, offset) = (<DateTime<Utc>>::TYPE, <DateTime<FixedOffset>>::TYPE);
    let loses = "`offset-date-time` is written, but `date-time` keeps only a part of it";
    assert_eq!(mismatch(utc, offset), loses);
    assert_eq!(mismatch(jiff::Timestamp::TYPE, offset), loses);
    assert_eq!(
        mismatch(Timestamp::TYPE, utc),
        "`date-time` is written, but `date-time-micros` keeps only a part of it"
    );
    assert_eq!(
        mismatch(NaiveDateTime::TYPE, utc),
        "`date-time` is written, but `local-date-time` is expected"
    );
    for (reader, writer) in [(offset, utc), (utc, Timestamp::TYPE), (offset, Timestamp::TYPE)] {
        assert!(reader.can_read(writer).is_ok());
    }
}
