//! A JSON writer whose output reads back as the same value.

use std::fmt;
use std::ops::Range;

use serde_core::Serializer as _;
use serde_core::ser::{self, Serialize, SerializeMap, SerializeStruct};

use super::path::Step;
use super::{MAX_DEPTH, PRIVATE, Path};

/// Writes a value as JSON.
///
/// # Errors
///
/// The path and the reason: a number that is not finite, a value nested too deeply to be read, two entries with the
/// same key in one object, or an error of the type's own `Serialize`.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, WriteError> {
    let mut out = Vec::new();
    value.serialize(&mut JsonWriter::new(&mut out))?;
    String::from_utf8(out).map_err(WriteError::new)
}

/// The error of writing JSON: the path and the reason.
#[derive(Debug)]
pub struct WriteError(Box<Problem>);

#[derive(Debug)]
struct Problem {
    path: Path,
    why: String,
}

impl WriteError {
    pub fn new(why: impl fmt::Display) -> Self {
        Self(Box::new(Problem { path: Path::default(), why: crate::text::of_error(&why) }))
    }

    fn below(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }

    /// Returns the message without the keys of maps in its path, which may be secret.
    pub fn without_keys(&self) -> String {
        self.describe(&self.0.path.text_before_keys())
    }

    fn describe(&self, path: &str) -> String {
        let colon = if path.is_empty() { "" } else { ": " };
        format!("{path}{colon}{}", self.0.why)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(&self.0.path.text()))
    }
}

impl std::error::Error for WriteError {}

impl ser::Error for WriteError {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::new(why)
    }
}

impl From<serde_json::Error> for WriteError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error)
    }
}

type Written = Result<(), WriteError>;

/// A serializer that appends JSON to a buffer.
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The number of open arrays and objects.
    depth: u8,
    /// The positions of the keys of the open maps in the output. Those of the innermost map are last.
    keys: Vec<Range<usize>>,
}

impl<'a> JsonWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: 0, keys: Vec::new() }
    }

    /// Writes a value for which serde_json's output is right.
    fn leaf<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        Ok(value.serialize(&mut serde_json::Serializer::new(&mut *self.out))?)
    }

    fn open(&mut self) -> Written {
        if self.depth == MAX_DEPTH {
            return Err(WriteError::new(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        Ok(())
    }

    /// Opens an object whose only key is the name of a variant.
    fn open_variant(&mut self, variant: &'static str) -> Written {
        self.open()?;
        self.out.push(b'{');
        self.leaf(variant)?;
        self.out.push(b':');
        Ok(())
    }

    fn close(&mut self, brackets: &[u8]) {
        self.out.extend_from_slice(brackets);
        self.depth -= u8::from(brackets.len() == 2) + 1;
    }

    fn compound<'w>(&'w mut self, kind: Kind) -> Result<Compound<'w, 'a>, WriteError> {
        if !matches!(kind, Kind::Private(_)) {
            self.open()?;
        }
        if let Kind::Array | Kind::VariantArray(_) = kind {
            self.out.push(b'[');
        }
        let first_key = self.keys.len();
        Ok(Compound { writer: self, kind, index: 0, key: 0..0, first_key, ascends: true })
    }

    /// Returns the JSON text of a key, without the quotes around it. Equal keys have equal texts.
    fn text_of(&self, key: &Range<usize>) -> &[u8] {
        &self.out[key.start + 1..key.end - 1]
    }

    /// Returns the path step to the value of a key.
    fn step_of(&self, key: &Range<usize>) -> Step {
        Step::Key(serde_json::from_slice(&self.out[key.clone()]).unwrap_or_default())
    }

    /// Refuses text that serde_json has written, from `start` to the end, if it is nested too deeply.
    fn check_depth_from(&self, start: usize) -> Written {
        let (mut depth, mut in_string, mut escaped) = (usize::from(self.depth), false, false);
        for byte in &self.out[start..] {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = in_string,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => depth += 1,
                b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > usize::from(MAX_DEPTH) {
                return Err(WriteError::new(format_args!("nested deeper than {MAX_DEPTH}")));
            }
        }
        Ok(())
    }
}

/// Creates the error for a number that JSON can't represent.
fn not_finite() -> WriteError {
    WriteError::new("expected a finite number, found NaN or an infinity, which JSON does not have")
}

/// Creates the error for a key that serde_json refuses. The path shows a float key, which can only be `NaN`, `inf` or
/// `-inf`.
fn not_a_key<T: Serialize + ?Sized>(key: &T, error: serde_json::Error) -> WriteError {
    /// Displays a key. serde's `Serializer` for formatters writes numbers and texts.
    struct KeyText<'k, T: ?Sized>(&'k T);

    impl<T: Serialize + ?Sized> fmt::Display for KeyText<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }

    match key.serialize(&mut JsonWriter::new(&mut Vec::new())) {
        Err(refused) => refused.below(Step::Key(crate::text::of_error(&KeyText(key)))),
        Ok(()) => error.into(),
    }
}

macro_rules! leaves {
    ($($method:ident: $ty:ty,)+) => {
        $(#[inline]
        fn $method(self, value: $ty) -> Written {
            self.leaf(&value)
        })+
    };
}

impl<'w, 'a> ser::Serializer for &'w mut JsonWriter<'a> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Compound<'w, 'a>;
    type SerializeTuple = Compound<'w, 'a>;
    type SerializeTupleStruct = Compound<'w, 'a>;
    type SerializeTupleVariant = Compound<'w, 'a>;
    type SerializeMap = Compound<'w, 'a>;
    type SerializeStruct = Compound<'w, 'a>;
    type SerializeStructVariant = Compound<'w, 'a>;

    leaves! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_str: &str,
    }

    fn serialize_f32(self, value: f32) -> Written {
        if !value.is_finite() {
            return Err(not_finite());
        }
        let start = self.out.len();
        self.leaf(&value)?;
        // In flattened, tagged and untagged values, serde reads an `f64` and converts it to an `f32`, which rounds
        // twice.
        let text = std::str::from_utf8(&self.out[start..]).ok();
        let narrowed = text.and_then(|text| text.parse::<f64>().ok()).map(|wide| wide as f32);
        if narrowed.is_none_or(|narrowed| narrowed.to_bits() != value.to_bits()) {
            self.out.truncate(start);
            self.leaf(&f64::from(value))?;
        }
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Written {
        if value.is_finite() { self.leaf(&value) } else { Err(not_finite()) }
    }

    fn serialize_bytes(self, value: &[u8]) -> Written {
        // JSON represents bytes as an array of numbers, which counts as one level.
        self.open()?;
        serde_json::Serializer::new(&mut *self.out).serialize_bytes(value)?;
        self.depth -= 1;
        Ok(())
    }

    fn serialize_none(self) -> Written {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.leaf(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.open_variant(variant)?;
        value.serialize(&mut *self).map_err(|error| error.below(Step::Field(variant)))?;
        self.close(b"}");
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'w, 'a>, WriteError> {
        self.compound(Kind::Array)
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'w, 'a>, WriteError> {
        self.compound(Kind::Array)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'w, 'a>, WriteError> {
        self.compound(Kind::Array)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'w, 'a>, WriteError> {
        self.open_variant(variant)?;
        self.compound(Kind::VariantArray(variant)).map_err(|error| error.below(Step::Field(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'w, 'a>, WriteError> {
        self.compound(Kind::Object)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Compound<'w, 'a>, WriteError> {
        self.compound(if name.starts_with(PRIVATE) { Kind::Private(name) } else { Kind::Object })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'w, 'a>, WriteError> {
        self.open_variant(variant)?;
        self.compound(Kind::VariantObject(variant)).map_err(|error| error.below(Step::Field(variant)))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Written {
        Ok(serde_json::Serializer::new(&mut *self.out).collect_str(value)?)
    }
}

/// An open array or object.
pub struct Compound<'w, 'a> {
    writer: &'w mut JsonWriter<'a>,
    kind: Kind,
    index: usize,
    /// The position of the last key in the output, with its quotes.
    key: Range<usize>,
    /// The index of this map's first key in the writer's list. The list has all keys of the map but the last one.
    first_key: usize,
    /// Whether each key is greater than the one before it, so that no two are equal.
    ascends: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Array,
    Object,
    /// The array of a variant, inside an object whose only key is the variant.
    VariantArray(&'static str),
    VariantObject(&'static str),
    /// A type of serde_json.
    Private(&'static str),
}

impl Compound<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        if self.index > 0 {
            self.writer.out.push(b',');
        }
        let index = self.index;
        self.index += 1;
        value.serialize(&mut *self.writer).map_err(|error| self.within(error, Step::Index(index)))
    }

    /// Returns the byte before the next key: a comma, or the bracket that opens the object.
    fn next_key(&mut self) -> u8 {
        self.index += 1;
        if self.index == 1 { b'{' } else { b',' }
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Written {
        if let Kind::Private(name) = self.kind {
            return self.private(name, key, value);
        }
        let before = self.next_key();
        self.writer.out.push(before);
        self.writer.leaf(key)?;
        self.writer.out.push(b':');
        value.serialize(&mut *self.writer).map_err(|error| self.within(error, Step::Field(key)))
    }

    /// Writes a type of serde_json in the same way as serde_json.
    fn private<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        key: &'static str,
        value: &T,
    ) -> Written {
        let start = self.writer.out.len();
        let mut json = serde_json::Serializer::new(&mut *self.writer.out);
        let mut private = json.serialize_struct(name, 1)?;
        private.serialize_field(key, value)?;
        SerializeStruct::end(private)?;
        self.writer.check_depth_from(start)
    }

    fn within(&self, error: WriteError, step: Step) -> WriteError {
        let error = error.below(step);
        match self.kind {
            Kind::VariantArray(variant) | Kind::VariantObject(variant) => error.below(Step::Field(variant)),
            Kind::Array | Kind::Object | Kind::Private(_) => error,
        }
    }

    /// Refuses a map with two equal keys. serde also writes structs with flattened fields and tagged variants as maps,
    /// in which a field may have the same name as a key of a user's map.
    fn check_keys(&self) -> Written {
        if self.ascends {
            return Ok(());
        }
        let mut keys: Vec<_> = self.writer.keys[self.first_key..].iter().chain([&self.key]).collect();
        keys.sort_unstable_by_key(|key| self.writer.text_of(key));
        match keys.windows(2).find(|pair| self.writer.text_of(pair[0]) == self.writer.text_of(pair[1])) {
            None => Ok(()),
            Some(pair) => {
                let error = WriteError::new("two entries of the object have the same key");
                Err(self.within(error, self.writer.step_of(pair[0])))
            }
        }
    }

    fn finish(self) -> Written {
        if let (Kind::Object | Kind::VariantObject(_), 0) = (self.kind, self.index) {
            self.writer.out.push(b'{');
        }
        match self.kind {
            Kind::Array => self.writer.close(b"]"),
            Kind::Object => self.writer.close(b"}"),
            Kind::VariantArray(_) => self.writer.close(b"]}"),
            Kind::VariantObject(_) => self.writer.close(b"}}"),
            Kind::Private(_) => {}
        }
        Ok(())
    }
}

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let start = self.writer.out.len();
        let before = self.next_key();
        // serde_json decides which keys are allowed. It writes this one as the first key of an object, with a bracket
        // before it.
        let mut json = serde_json::Serializer::new(&mut *self.writer.out);
        let written = SerializeMap::serialize_key(&mut json.serialize_map(None)?, key);
        written.map_err(|error| not_a_key(key, error))?;
        self.writer.out[start] = before;
        let key = start + 1..self.writer.out.len();
        self.writer.out.push(b':');
        let last = std::mem::replace(&mut self.key, key);
        if self.index > 1 {
            self.ascends = self.ascends && self.writer.text_of(&last) < self.writer.text_of(&self.key);
            self.writer.keys.push(last);
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(&mut *self.writer).map_err(|error| self.within(error, self.writer.step_of(&self.key)))
    }

    fn end(self) -> Written {
        self.check_keys()?;
        self.writer.keys.truncate(self.first_key);
        self.finish()
    }
}

macro_rules! compounds {
    ($($trait:ident::$method:ident($($key:ident: $ty:ty)?) => $write:ident,)+) => {
        $(impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = WriteError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($key: $ty,)? value: &T) -> Written {
                self.$write($($key,)? value)
            }

            fn end(self) -> Written {
                self.finish()
            }
        })+
    };
}

compounds! {
    SerializeSeq::serialize_element() => element,
    SerializeTuple::serialize_element() => element,
    SerializeTupleStruct::serialize_field() => element,
    SerializeTupleVariant::serialize_field() => element,
    SerializeStruct::serialize_field(key: &'static str) => field,
    SerializeStructVariant::serialize_field(key: &'static str) => field,
}
