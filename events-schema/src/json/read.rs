//! A JSON reader that does not depend on the features of serde_json.

mod access;
mod key;
mod number;

use std::borrow::Cow;
use std::fmt;

use serde_core::de::{self, DeserializeOwned, Unexpected, Visitor};

use super::path::Step;
use super::{MAX_DEPTH, PRIVATE, Path};
use access::{Fields, Items, Variant};
use number::Number;

/// Reads one value. Text after it is an error.
///
/// # Errors
///
/// The text is not JSON, is nested too deeply, or is refused by the type.
pub fn from_str<T: DeserializeOwned>(json: &str) -> Result<T, ReadError> {
    let mut reader = Reader::new(json, number::keeps_text());
    let read = reader.whole();
    match read {
        // Only `Value` reads numbers that keep their text. Other types that read from a buffer do not, so they are read
        // again without the text.
        Err(_) if reader.kept_text => Reader::new(json, false).whole(),
        read => read,
    }
}

/// Reads any JSON, for inspection. A number beyond the range of [`Value`](serde_json::Value) becomes the nearest one in
/// range.
///
/// # Errors
///
/// The text is not JSON, or is nested too deeply.
pub fn nearest_value(json: &str) -> Result<serde_json::Value, ReadError> {
    let mut reader = Reader::new(json, false);
    reader.saturates = true;
    reader.whole()
}

/// Returns the text of the value under a key of an object, or `None` if the text is not an object with that key.
pub fn field<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    let mut reader = Reader::new(json, false);
    if reader.next() != Some(b'{') {
        return None;
    }
    let mut fields = Fields::open(&mut reader).ok()?;
    while let Some(key) = fields.key().ok()? {
        fields.colon().ok()?;
        let value = fields.reader.skip().ok()?;
        if key == name {
            return Some(value);
        }
    }
    None
}

/// The error of reading JSON: the problem, the path and the position.
#[derive(Debug)]
pub struct ReadError(Box<Refused>);

#[derive(Debug)]
struct Refused {
    problem: ReadProblem,
    path: Path,
    /// The position in bytes; unknown if the value had been read into memory first.
    at: Option<usize>,
}

/// The reason why JSON can't be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadProblem {
    NotJson,
    EndsEarly,
    TooDeep,
    /// More text follows the value.
    MoreText,
    /// The number is outside the range of the type.
    OutOfRange,
    /// The type refuses the value. The text is serde's, cut; it may repeat values.
    Type(String),
}

impl ReadError {
    /// Creates the error for a number outside the range of the type.
    fn out_of_range() -> Self {
        Self(Box::new(Refused { problem: ReadProblem::OutOfRange, path: Path::default(), at: None }))
    }

    fn new(problem: ReadProblem, at: usize) -> Self {
        Self(Box::new(Refused { problem, path: Path::default(), at: Some(at) }))
    }

    fn below(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    pub fn problem(&self) -> &ReadProblem {
        &self.0.problem
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns the line and the column in the text that was read.
    pub fn position(&self, json: &str) -> Option<(usize, usize)> {
        let before = &json.as_bytes()[..self.0.at?.min(json.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Some((line, before.iter().rev().take_while(|byte| **byte != b'\n').count()))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.problem() {
            ReadProblem::NotJson => "not JSON",
            ReadProblem::EndsEarly => "the JSON ends too early",
            ReadProblem::TooDeep => "nested too deeply",
            ReadProblem::MoreText => "more text follows the value",
            ReadProblem::OutOfRange => "the number is out of range",
            ReadProblem::Type(text) => text,
        })
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(why: T) -> Self {
        let problem = ReadProblem::Type(crate::text::of_error(&why));
        Self(Box::new(Refused { problem, path: Path::default(), at: None }))
    }
}

impl From<serde_json::Error> for ReadError {
    fn from(error: serde_json::Error) -> Self {
        de::Error::custom(error)
    }
}

type Read<T> = Result<T, ReadError>;

/// A reader at a position of a text.
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    /// The number of open arrays and objects.
    depth: u8,
    /// Whether numbers that are read into a buffer keep their text, as serde_json does with `arbitrary_precision`.
    keeps_text: bool,
    /// Whether a number was read that way.
    kept_text: bool,
    /// Whether a number beyond all floats becomes the largest float.
    saturates: bool,
}

impl<'de> Reader<'de> {
    fn new(text: &'de str, keeps_text: bool) -> Self {
        Self { text, at: 0, depth: 0, keeps_text, kept_text: false, saturates: false }
    }

    fn whole<T: DeserializeOwned>(&mut self) -> Read<T> {
        let value = T::deserialize(&mut *self)?;
        match self.next() {
            None => Ok(value),
            Some(_) => Err(ReadError::new(ReadProblem::MoreText, self.at + 1)),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and returns the next byte without consuming it.
    fn next(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn not_json(&self) -> ReadError {
        match self.byte() {
            Some(_) => ReadError::new(ReadProblem::NotJson, self.at + 1),
            None => ReadError::new(ReadProblem::EndsEarly, self.at),
        }
    }

    /// Consumes the next byte, which must be this one.
    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.next() != Some(byte) {
            return Err(self.not_json());
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Read<()> {
        for byte in word.bytes() {
            if self.byte() != Some(byte) {
                return Err(self.not_json());
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Reads a string. The reader is at its opening quote.
    fn string(&mut self) -> Read<Cow<'de, str>> {
        let (start, mut escapes) = (self.at, false);
        self.at += 1;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escapes = true;
                    self.at += 2;
                }
                Some(0..=0x1f) | None => return Err(self.not_json()),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        // After an escape, the position may be inside a character. A quote is never part of another character, so the
        // end is found anyway.
        match escapes {
            false => Ok(Cow::Borrowed(&self.text[start + 1..self.at - 1])),
            true => match serde_json::from_str(&self.text[start..self.at]) {
                Ok(text) => Ok(Cow::Owned(text)),
                Err(error) => Err(ReadError::new(ReadProblem::NotJson, start + error.column())),
            },
        }
    }

    /// Skips a value and returns its text. Numbers may have any size.
    fn skip(&mut self) -> Read<&'de str> {
        let first = self.next();
        let start = self.at;
        match first {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => {
                Number::scan(self)?;
            }
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'[') => {
                let mut items = Items::open(self)?;
                while items.next()? {
                    items.reader.skip()?;
                }
                items.close()?;
            }
            Some(b'{') => {
                let mut fields = Fields::open(self)?;
                while fields.key()?.is_some() {
                    fields.colon()?;
                    fields.reader.skip()?;
                }
                fields.close()?;
            }
            _ => return Err(self.not_json()),
        }
        Ok(&self.text[start..self.at])
    }

    /// Opens an array or object. The reader is at its bracket.
    fn open(&mut self) -> Read<()> {
        self.at += 1;
        if self.depth == MAX_DEPTH {
            return Err(ReadError::new(ReadProblem::TooDeep, self.at));
        }
        self.depth += 1;
        Ok(())
    }

    /// Adds the current position to an error without one.
    fn located<T>(&self, read: Read<T>) -> Read<T> {
        read.map_err(|mut error| {
            error.0.at.get_or_insert(self.at);
            error
        })
    }

    fn wrong_type<T>(&self, expected: &dyn de::Expected) -> Read<T> {
        let found = match self.byte() {
            Some(b'n') => Unexpected::Unit,
            Some(b't' | b'f') => Unexpected::Other("a boolean"),
            Some(b'-' | b'0'..=b'9') => Unexpected::Other("a number"),
            Some(b'"') => Unexpected::Other("a string"),
            Some(b'[') => Unexpected::Seq,
            Some(b'{') => Unexpected::Map,
            _ => return Err(self.not_json()),
        };
        self.located(Err(de::Error::invalid_type(found, expected)))
    }

    fn visit_string<V: Visitor<'de>>(&mut self, visitor: V) -> Read<V::Value> {
        let read = match self.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        };
        self.located(read)
    }

    fn visit_items<V: Visitor<'de>>(&mut self, visitor: V) -> Read<V::Value> {
        let mut items = Items::open(self)?;
        let read = visitor.visit_seq(&mut items);
        let read = items.reader.located(read)?;
        items.close()?;
        Ok(read)
    }

    fn visit_fields<V: Visitor<'de>>(&mut self, visitor: V) -> Read<V::Value> {
        let mut fields = Fields::open(self)?;
        let read = visitor.visit_map(&mut fields);
        let read = fields.reader.located(read)?;
        fields.close()?;
        Ok(read)
    }
}

macro_rules! numbers {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            match self.next() {
                Some(b'-' | b'0'..=b'9') => {
                    let read = Number::scan(self)?.visit(visitor);
                    self.located(read)
                }
                _ => self.wrong_type(&visitor),
            }
        })+
    };
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.next() {
            Some(b'n') => self.deserialize_unit(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'-' | b'0'..=b'9') => {
                let number = Number::scan(self)?;
                let read = match self.keeps_text && !number.is_canonical() {
                    true => {
                        self.kept_text = true;
                        number.visit_text(visitor)
                    }
                    false if self.saturates => number.visit_nearest(visitor),
                    false => number.visit(visitor),
                };
                self.located(read)
            }
            Some(b'"') => self.visit_string(visitor),
            Some(b'[') => self.visit_items(visitor),
            Some(b'{') => self.visit_fields(visitor),
            _ => Err(self.not_json()),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let value = match self.next() {
            Some(b't') => self.word("true").map(|()| true)?,
            Some(b'f') => self.word("false").map(|()| false)?,
            _ => return self.wrong_type(&visitor),
        };
        let read = visitor.visit_bool(value);
        self.located(read)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f64
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.visit_number(visitor, Number::visit_i128)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.visit_number(visitor, Number::visit_u128)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.visit_number(visitor, Number::visit_f32)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.next() {
            Some(b'"') => self.visit_string(visitor),
            _ => self.wrong_type(&visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.next() {
            Some(b'"') => {
                let read = match self.string()? {
                    Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
                    Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
                };
                self.located(read)
            }
            Some(b'[') => self.visit_items(visitor),
            _ => self.wrong_type(&visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.next() != Some(b'n') {
            return visitor.visit_some(self);
        }
        self.word("null")?;
        let read = visitor.visit_none();
        self.located(read)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.next() != Some(b'n') {
            return self.wrong_type(&visitor);
        }
        self.word("null")?;
        let read = visitor.visit_unit();
        self.located(read)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Read<V::Value> {
        if !name.starts_with(PRIVATE) {
            return visitor.visit_newtype_struct(self);
        }
        let text = self.skip()?;
        let mut json = serde_json::Deserializer::from_str(text);
        self.located(json.deserialize_newtype_struct(name, visitor).map_err(ReadError::from))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.next() {
            Some(b'[') => self.visit_items(visitor),
            _ => self.wrong_type(&visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.next() {
            Some(b'{') => self.visit_fields(visitor),
            _ => self.wrong_type(&visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        match self.next() {
            Some(b'[') => self.visit_items(visitor),
            Some(b'{') => self.visit_fields(visitor),
            _ => self.wrong_type(&visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        match self.next() {
            Some(b'"') => {
                let name = self.string()?;
                let read = visitor.visit_enum(key::Key(name));
                self.located(read)
            }
            Some(b'{') => Variant::visit(self, visitor),
            _ => self.wrong_type(&visitor),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }
}

impl<'de> Reader<'de> {
    fn visit_number<V: Visitor<'de>>(
        &mut self,
        visitor: V,
        visit: fn(&Number<'de>, V) -> Read<V::Value>,
    ) -> Read<V::Value> {
        match self.next() {
            Some(b'-' | b'0'..=b'9') => {
                let number = Number::scan(self)?;
                self.located(visit(&number, visitor))
            }
            _ => self.wrong_type(&visitor),
        }
    }
}
