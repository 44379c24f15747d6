//! Numbers in JSON, read from their text.

use std::sync::LazyLock;

use serde_core::Deserializer as _;
use serde_core::de::value::MapDeserializer;
use serde_core::de::{self, Unexpected, Visitor};

use super::{Read, ReadError, ReadProblem, Reader};

/// Returns whether serde_json's numbers keep their text. Any crate in the build can enable that with the feature
/// `arbitrary_precision`.
pub(super) fn keeps_text() -> bool {
    static KEEPS: LazyLock<bool> = LazyLock::new(|| {
        let number: Result<serde_json::Number, _> = serde_json::from_str("1.50");
        number.is_ok_and(|number| number.to_string() == "1.50")
    });
    *KEEPS
}

/// An integer in text that only a float represents.
const NEGATIVE_ZERO: &str = "-0";

/// The key under which serde_json passes the text of a number through serde's traits.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

/// The text of a number.
pub(super) struct Number<'de> {
    text: &'de str,
    /// Whether the number has neither a fraction nor an exponent.
    is_whole: bool,
}

impl<'de> Number<'de> {
    /// Reads the number at the reader's position.
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

    /// Reads a number from a text that contains nothing else.
    pub(super) fn of_text(text: &'de str) -> Option<Self> {
        let mut reader = Reader::new(text, false);
        let number = Self::scan(&mut reader).ok()?;
        (reader.at == text.len()).then_some(number)
    }

    /// Passes the number to a visitor in the same way as serde_json: integers of up to 64 bits as integers, other
    /// numbers as floats.
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

    /// Like [`visit`](Self::visit), but passes the largest float for a number beyond it.
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

    /// Passes the number with its text to a visitor, in serde_json's own form.
    pub(super) fn visit_text<V: Visitor<'de>>(&self, visitor: V) -> Read<V::Value> {
        if !self.text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(ReadError::out_of_range());
        }
        if self.text == NEGATIVE_ZERO {
            // serde_json would pass the integer 0. This is the form that it uses for other numbers.
            return visitor.visit_map(MapDeserializer::new(std::iter::once((NUMBER_TOKEN, self.text))));
        }
        let number: serde_json::Number = serde_json::from_str(self.text)?;
        Ok(number.deserialize_any(visitor)?)
    }

    /// Returns whether the number would be written with the same text, so that nothing is lost without the text.
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
            // Only a float represents negative zero.
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
