//! Readers of arrays and objects.

use std::borrow::Cow;

use serde_core::Deserializer as _;
use serde_core::de::{self, Visitor};

use super::key::Key;
use super::{Read, ReadError, Reader};
use crate::json::path::Step;

/// The items of an open array.
pub(super) struct Items<'r, 'de> {
    pub(super) reader: &'r mut Reader<'de>,
    index: usize,
}

impl<'r, 'de> Items<'r, 'de> {
    pub(super) fn open(reader: &'r mut Reader<'de>) -> Read<Self> {
        reader.open()?;
        Ok(Self { reader, index: 0 })
    }

    /// Moves to the next item. Returns whether there is one.
    pub(super) fn next(&mut self) -> Read<bool> {
        match (self.reader.next(), self.index) {
            (Some(b']'), _) => return Ok(false),
            (Some(b','), 1..) => {
                self.reader.at += 1;
                if self.reader.next() == Some(b']') {
                    return Err(self.reader.not_json());
                }
            }
            (Some(_), 0) => {}
            _ => return Err(self.reader.not_json()),
        }
        self.index += 1;
        Ok(true)
    }

    pub(super) fn close(self) -> Read<()> {
        if self.reader.next() == Some(b',') {
            // The type reads fewer items than the array has.
            return self.reader.located(Err(de::Error::custom("invalid length")));
        }
        self.reader.expect(b']')?;
        self.reader.depth -= 1;
        Ok(())
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        if !self.next()? {
            return Ok(None);
        }
        let index = self.index - 1;
        seed.deserialize(&mut *self.reader).map(Some).map_err(|error| error.below(Step::Index(index)))
    }
}

/// The fields of an open object.
pub(super) struct Fields<'r, 'de> {
    pub(super) reader: &'r mut Reader<'de>,
    is_first: bool,
    current: Cow<'de, str>,
}

impl<'r, 'de> Fields<'r, 'de> {
    pub(super) fn open(reader: &'r mut Reader<'de>) -> Read<Self> {
        reader.open()?;
        Ok(Self { reader, is_first: true, current: Cow::Borrowed("") })
    }

    /// Reads the next key, if there is one.
    pub(super) fn key(&mut self) -> Read<Option<Cow<'de, str>>> {
        match self.reader.next() {
            Some(b'}') => return Ok(None),
            Some(b',') if !self.is_first => {
                self.reader.at += 1;
                self.reader.next();
            }
            Some(_) if self.is_first => {}
            _ => return Err(self.reader.not_json()),
        }
        self.is_first = false;
        match self.reader.byte() {
            Some(b'"') => self.reader.string().map(Some),
            _ => Err(self.reader.not_json()),
        }
    }

    pub(super) fn colon(&mut self) -> Read<()> {
        self.reader.expect(b':')
    }

    pub(super) fn close(self) -> Read<()> {
        self.reader.expect(b'}')?;
        self.reader.depth -= 1;
        Ok(())
    }
}

impl<'de> de::MapAccess<'de> for &mut Fields<'_, 'de> {
    type Error = ReadError;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Read<Option<S::Value>> {
        let Some(key) = self.key()? else { return Ok(None) };
        self.current = key;
        let read = seed.deserialize(Key(self.current.clone()));
        self.reader.located(read).map(Some)
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> Read<S::Value> {
        let step = |key: &mut Cow<'de, str>| Step::Key(std::mem::take(key).into_owned());
        self.colon()
            .and_then(|()| seed.deserialize(&mut *self.reader))
            .map_err(|error| error.below(step(&mut self.current)))
    }
}

/// An object whose only key is the name of a variant.
pub(super) struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    name: Cow<'de, str>,
}

impl<'r, 'de> Variant<'r, 'de> {
    pub(super) fn visit<V: Visitor<'de>>(reader: &'r mut Reader<'de>, visitor: V) -> Read<V::Value> {
        reader.open()?;
        if reader.next() != Some(b'"') {
            return Err(reader.not_json());
        }
        let name = reader.string()?;
        let read = visitor.visit_enum(Variant { reader: &mut *reader, name });
        let read = reader.located(read)?;
        reader.expect(b'}')?;
        reader.depth -= 1;
        Ok(read)
    }

    fn within<T>(self, read: impl FnOnce(&mut Reader<'de>) -> Read<T>) -> Read<T> {
        read(self.reader).map_err(|error| error.below(Step::Key(self.name.into_owned())))
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Read<(S::Value, Self)> {
        let value = seed.deserialize(Key(self.name.clone()))?;
        self.reader.expect(b':')?;
        Ok((value, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Read<()> {
        self.within(|reader| de::Deserialize::deserialize(reader))
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Read<S::Value> {
        self.within(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.within(|reader| reader.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Read<V::Value> {
        self.within(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
