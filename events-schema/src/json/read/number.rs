//! Numbers, by their text.

use std::sync::LazyLock;

use serde_core::Deserializer as _;
use serde_core::de::value::MapDeserializer;
use serde_core::de::{self, Unexpected, Visitor};

use super::{Read, ReadError, ReadProblem, Reader};

/// Whether serde_json's numbers keep their text: its feature `arbitrary_precision`, which any crate may turn on.
pub(super) fn keeps_text() -> bool {
    static KEEPS: LazyLock<bool> = LazyLock::new(|| {
        let number: Result<serde_json::Number, _> = serde_json::from_str("1.50");
        number.is_ok_and(|number| number.to_string() == "1.50")
    });
    *KEEPS
}

/// The text of a whole number that only a float holds.
const NEGATIVE_ZERO: &str = "-0";

/// The key under which serde_json passes the text of a number through serde's traits.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// The text of a number.
pub(super) struct Number<'de> {
    text: &'de str,
    /// Whether it has neither a fraction nor an exponent.
    is_whole: bool,
}

impl<'de> Number<'de> {
    /// Takes the number the reader is at.
    pub(super) fn scan(reader: &mut Reader<'de>) -> Read<Self> {
        let (start, mut is_whole) = (reader.at, true);
        if reader.byte() == Some(b'-') {
            reader.at += 1;
        }
        match reader.byte() {
            Some(b'0') => reader.at += 1,
            _ => digits(reader)?,
        }
        if reader.byte() == Some(b'.') {
            is_whole = false;
            reader.at += 1;
            digits(reader)?;
        }
        if let Some(b'e' | b'E') = reader.byte() {
            is_whole = false;
            reader.at += 1;
            if let Some(b'+' | b'-') = reader.byte() {
                reader.at += 1;
            }
            digits(reader)?;
        }
        if let Some(b'0'..=b'9') = reader.byte() {
            return Err(ReadError::new(ReadProblem::NotJson, reader.at + 1));
        }
        Ok(Self { text: &reader.text[start..reader.at], is_whole })
    }

    /// The one number of a text, if it is one.
    pub(super) fn of_text(text: &'de str) -> Option<Self> {
        let mut reader = Reader::new(text, false);
        let number = Self::scan(&mut reader).ok()?;
        (reader.at == text.len()).then_some(number)
    }

    /// Gives the number as serde_json does: whole ones of up to 64 bits as integers, others as floats.
    pub(super) fn visit<'v, V: Visitor<'v>>(&self, visitor: V) -> Read<V::Value> {
        match self.as_integer() {
            Some(Integer::Positive(n)) => visitor.visit_u64(n),
            Some(Integer::Negative(n)) => visitor.visit_i64(n),
            None => match self.text.parse::<f64>() {
                Ok(n) if n.is_finite() => visitor.visit_f64(n),
                _ => Err(ReadError::out_of_range()),
            },
        }
    }

    /// As [`visit`](Self::visit), with the largest float for what is beyond it.
    pub(super) fn visit_nearest<'v, V: Visitor<'v>>(&self, visitor: V) -> Read<V::Value> {
        match (self.as_integer(), self.text.parse::<f64>()) {
            (None, Ok(n)) => visitor.visit_f64(n.clamp(f64::MIN, f64::MAX)),
            _ => self.visit(visitor),
        }
    }

    pub(super) fn visit_f32<'v, V: Visitor<'v>>(&self, visitor: V) -> Read<V::Value> {
        match (self.as_integer(), self.text.parse::<f32>()) {
            (Some(_), _) => self.visit(visitor),
            (None, Ok(n)) if n.is_finite() => visitor.visit_f32(n),
            _ => Err(ReadError::out_of_range()),
        }
    }

    pub(super) fn visit_i128<'v, V: Visitor<'v>>(&self, visitor: V) -> Read<V::Value> {
        match self.text.parse() {
            Ok(n) if self.is_whole => visitor.visit_i128(n),
            _ => Err(de::Error::invalid_type(Unexpected::Other("another number"), &visitor)),
        }
    }

    pub(super) fn visit_u128<'v, V: Visitor<'v>>(&self, visitor: V) -> Read<V::Value> {
        match self.text.parse() {
            Ok(n) if self.is_whole => visitor.visit_u128(n),
            _ => Err(de::Error::invalid_type(Unexpected::Other("another number"), &visitor)),
        }
    }

    /// Gives the number with its text, in serde_json's own form.
    pub(super) fn visit_text<V: Visitor<'de>>(&self, visitor: V) -> Read<V::Value> {
        if !self.text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(ReadError::out_of_range());
        }
        if self.text == NEGATIVE_ZERO {
            // serde_json gives the integer 0 for it. What it gives for other texts is this.
            return visitor.visit_map(MapDeserializer::new(std::iter::once((NUMBER_TOKEN, self.text))));
        }
        let number: serde_json::Number = serde_json::from_str(self.text)?;
        Ok(number.deserialize_any(visitor)?)
    }

    /// Whether the text is the one that the number is written as, so that nothing is lost without it.
    pub(super) fn is_canonical(&self) -> bool {
        if self.is_whole {
            return self.as_integer().is_some();
        }
        let number = self.text.parse::<f64>().ok().filter(|number| number.is_finite());
        let written = number.and_then(|number| serde_json::to_string(&number).ok());
        written.is_some_and(|written| written == self.text)
    }

    fn as_integer(&self) -> Option<Integer> {
        match self.text.strip_prefix('-') {
            _ if !self.is_whole => None,
            // A float has a negative zero.
            Some("0") => None,
            Some(_) => self.text.parse().ok().map(Integer::Negative),
            None => self.text.parse().ok().map(Integer::Positive),
        }
    }
}

enum Integer {
    Positive(u64),
    Negative(i64),
}

fn digits(reader: &mut Reader<'_>) -> Read<()> {
    let start = reader.at;
    while let Some(b'0'..=b'9') = reader.byte() {
        reader.at += 1;
    }
    if reader.at == start { Err(reader.not_json()) } else { Ok(()) }
}
