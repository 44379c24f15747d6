//! Timestamps as RFC 3339 text.
//!
//! The conversions between days and dates are those of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
//! (<https://howardhinnant.github.io/date_algorithms.html>). A test compares them with jiff's.

use crate::time::MICROS;

const DAY: i64 = 86_400 * MICROS;
/// The first and last microsecond of the years 0000 to 9999.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200 * MICROS..=253_402_300_800 * MICROS - 1;

/// Length in bytes of a timestamp as text.
pub(super) const LENGTH: usize = "0000-00-00T00:00:00.000000Z".len();

/// Writes a time, given in microseconds since 1970-01-01 UTC, with six fractional digits.
pub(super) fn write(micros: i64, text: &mut [u8; LENGTH]) -> &str {
    let micros = micros.clamp(*RANGE.start(), *RANGE.end());
    let (year, month, day) = date_of(micros.div_euclid(DAY));
    let of_day = micros.rem_euclid(DAY);
    let seconds = of_day / MICROS;
    *text = *b"0000-00-00T00:00:00.000000Z";
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, seconds / 3600),
        (14, 2, seconds / 60 % 60),
        (17, 2, seconds % 60),
        (20, 6, of_day % MICROS),
    ];
    for (start, digits, mut value) in fields {
        for place in text[start..start + digits].iter_mut().rev() {
            *place += (value % 10) as u8;
            value /= 10;
        }
    }
    // The text is always ASCII.
    std::str::from_utf8(text).unwrap_or_default()
}

/// Reads a time as microseconds since 1970-01-01 UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    let mut input = Input(text.as_bytes());
    let (year, month, day) = (input.number(4)?, input.after(b"-", 2)?, input.after(b"-", 2)?);
    let (hour, minute, second) = (input.after(b"Tt ", 2)?, input.after(b":", 2)?, input.after(b":", 2)?);
    let fraction = input.fraction()?;
    let offset = input.offset()?;
    let dated = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    let timed = hour < 24 && minute < 60 && second <= 60;
    if !dated || !timed || !input.0.is_empty() {
        return None;
    }
    let minutes = days_since_1970(year, month, day) * 1440 + hour * 60 + minute - offset;
    let micros = (minutes * 60 + second.min(59)) * MICROS + fraction;
    RANGE.contains(&micros).then_some(micros)
}

/// The rest of the text that is parsed.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    /// Reads the next byte if it is one of these.
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = bytes.contains(first).then_some(rest)?;
        Some(*first)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        (0..digits).try_fold(0, |number, _| Some(number * 10 + i64::from(self.one_of(b"0123456789")? - b'0')))
    }

    fn after(&mut self, separator: &[u8], digits: usize) -> Option<i64> {
        self.one_of(separator)?;
        self.number(digits)
    }

    /// Reads a fraction with any number of digits as microseconds; 0 if there is none.
    fn fraction(&mut self) -> Option<i64> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let (mut micros, mut unit) = (self.number(1)? * MICROS / 10, MICROS / 100);
        while let Some(digit) = self.number(1) {
            micros += digit * unit;
            unit /= 10;
        }
        Some(micros)
    }

    /// Reads the offset, in minutes east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let (hours, minutes) = (self.number(2)?, self.after(b":", 2)?);
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts the days from 1970-01-01 to a date. Internally a year starts in March, so that a leap day is its last day.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Returns the year, month and day of a date, given in days since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(micros: i64) -> String {
        write(micros, &mut [0; LENGTH]).to_owned()
    }

    proptest! {
        #[test]
        fn writes_what_jiff_writes(micros in RANGE) {
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(written(micros), format!("{theirs:.6}"));
            prop_assert_eq!(parse(&written(micros)), Some(micros));
        }

        #[test]
        fn reads_what_jiff_reads(
            (year, month, day) in (0..=9999i16, 0..=13u8, 0..=32u8),
            (hour, minute, second) in (0..=24u8, 0..=60u8, 0..=59u8),
            (fraction, offset) in ("(\\.[0-9]{1,9})?", "Z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]"),
        ) {
            let text =
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}");
            let theirs = text.parse::<jiff::Timestamp>().ok();
            let theirs = theirs.map(|time| time.as_nanosecond().div_euclid(1000) as i64);
            // jiff also has times before year 0 and after year 9999, which an offset reaches.
            prop_assert_eq!(parse(&text), theirs.filter(|micros| RANGE.contains(micros)), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn ends_and_leap_seconds() {
        let end = "9999-12-31T23:59:59.999999Z";
        for (micros, text) in [
            (i64::MIN, "0000-01-01T00:00:00.000000Z"),
            (i64::MAX, end),
            (*RANGE.end(), end),
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(written(micros), text);
        }
        assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2016-12-31T23:59:59Z"));
        assert_eq!(parse("0000-01-01T00:00:00+00:01"), None);
        for text in [
            "",
            "2026",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Z ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
