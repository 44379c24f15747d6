//! Schemas of types from other crates. Each crate has a feature of its name.
//!
//! A format has the name that JSON Schema gives it, if there is one. Types of two crates that write and read the same
//! text have the same format and are interchangeable. Types that write the same text but keep less of it have different
//! formats: `date-time` keeps the point in time, `offset-date-time` also the offset, and `date-time-micros` drops
//! nanoseconds.

use super::{Schema, TypeSchema};

macro_rules! external {
    ($($feature:literal: { $($ty:ty => $shape:expr;)+ })+) => {
        $($(
            #[cfg(feature = $feature)]
            #[diagnostic::do_not_recommend]
            impl Schema for $ty {
                const TYPE: &'static TypeSchema = &$shape;
            }
        )+)+
    };
}

external! {
    "uuid": {
        uuid::Uuid => TypeSchema::Format("uuid");
    }
    "chrono": {
        chrono::DateTime<chrono::Utc> => TypeSchema::Format("date-time");
        chrono::DateTime<chrono::FixedOffset> => TypeSchema::Format("offset-date-time");
        chrono::NaiveDateTime => TypeSchema::Format("local-date-time");
        chrono::NaiveDate => TypeSchema::Format("date");
        chrono::NaiveTime => TypeSchema::Format("local-time");
        chrono::TimeDelta => TypeSchema::Tuple(&[i64::TYPE, i32::TYPE]);
        chrono::Weekday => TypeSchema::Format("weekday");
        chrono::Month => TypeSchema::Format("month");
    }
    "jiff": {
        jiff::Timestamp => TypeSchema::Format("date-time");
        jiff::civil::DateTime => TypeSchema::Format("local-date-time");
        jiff::civil::Date => TypeSchema::Format("date");
        jiff::civil::Time => TypeSchema::Format("local-time");
        jiff::ZonedDateTime => TypeSchema::Format("zoned-date-time");
        jiff::Span => TypeSchema::Format("span");
        jiff::SignedDuration => TypeSchema::Format("duration");
    }
    // The texts are specific to the `time` crate: they have a space instead of the `T` of RFC 3339.
    "time": {
        time::OffsetDateTime => TypeSchema::Format("time-offset-date-time");
        time::UtcDateTime => TypeSchema::Format("time-utc-date-time");
        time::PrimitiveDateTime => TypeSchema::Format("time-date-time");
        time::Date => TypeSchema::Format("date");
        time::Time => TypeSchema::Format("time-time");
        time::UtcOffset => TypeSchema::Format("time-offset");
        time::Duration => TypeSchema::Format("time-duration");
        time::Weekday => TypeSchema::Format("time-weekday");
        time::Month => TypeSchema::Format("time-month");
    }
    // Numbers are read, too.
    "rust_decimal": {
        rust_decimal::Decimal => TypeSchema::Differs {
            written: &TypeSchema::Format("decimal"),
            read: &either(&[
                VariantSchema::new("text", Some(&TypeSchema::Format("decimal"))),
                VariantSchema::new("number", Some(&TypeSchema::Float)),
            ]),
        };
    }
}

#[cfg(feature = "url")]
#[diagnostic::do_not_recommend]
impl Schema for url::Url {
    const TYPE: &'static TypeSchema = &TypeSchema::Format("uri");
    fn heap_size(&self) -> usize {
        super::memory::allocation(self.as_str().len())
    }
}

/// Bytes are written as an array of numbers. A string is read, too, as its UTF-8 bytes.
#[cfg(feature = "bytes")]
const BYTES: &TypeSchema = &TypeSchema::Differs {
    written: <Vec<u8>>::TYPE,
    read: &either(&[
        VariantSchema::new("array", Some(<Vec<u8>>::TYPE)),
        VariantSchema::new("text", Some(&TypeSchema::String)),
    ]),
};

#[cfg(feature = "bytes")]
#[diagnostic::do_not_recommend]
impl Schema for bytes::Bytes {
    const TYPE: &'static TypeSchema = BYTES;
    fn heap_size(&self) -> usize {
        super::memory::allocation(self.len())
    }
}

#[cfg(feature = "bytes")]
#[diagnostic::do_not_recommend]
impl Schema for bytes::BytesMut {
    const TYPE: &'static TypeSchema = BYTES;
    fn heap_size(&self) -> usize {
        super::memory::allocation(self.capacity())
    }
}

#[cfg(any(feature = "bytes", feature = "rust_decimal"))]
use super::{EnumSchema, Tag, VariantSchema};

/// A type that is read if one of the variants can be read.
#[cfg(any(feature = "bytes", feature = "rust_decimal"))]
const fn either(variants: &'static [VariantSchema]) -> TypeSchema {
    TypeSchema::Enum(EnumSchema { tag: Tag::Untagged, variants, deny_unknown: false })
}
