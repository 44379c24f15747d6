//! Keys of objects, and unit variants, which are strings in JSON.

use std::borrow::Cow;

use serde_core::de::{self, IntoDeserializer, Visitor, value::StrDeserializer};

use super::number::Number;
use super::{Read, ReadError};

/// A key of an object. Numbers and booleans are read from the text of the key, as serde_json writes them in quotes.
pub(super) struct Key<'de>(pub(super) Cow<'de, str>);

macro_rules! numbers {
    ($($method:ident => $visit:ident,)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            match Number::of_text(&self.0) {
                Some(number) => number.$visit(visitor),
                None => Err(de::Error::invalid_type(de::Unexpected::Other("another key"), &visitor)),
            }
        })+
    };
}

impl<'de> de::Deserializer<'de> for Key<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(de::Error::invalid_type(de::Unexpected::Other("another key"), &visitor)),
        }
    }

    numbers! {
        deserialize_i8 => visit,
        deserialize_i16 => visit,
        deserialize_i32 => visit,
        deserialize_i64 => visit,
        deserialize_i128 => visit_i128,
        deserialize_u8 => visit,
        deserialize_u16 => visit,
        deserialize_u32 => visit,
        deserialize_u64 => visit,
        deserialize_u128 => visit_u128,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_enum(self)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_bytes(self.0.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_byte_buf(self.0.into_owned().into_bytes())
    }

    serde_core::forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Reads a unit variant.
impl<'de> de::EnumAccess<'de> for Key<'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Read<(S::Value, Self)> {
        let name: StrDeserializer<'_, ReadError> = (&*self.0).into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Key<'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Read<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, _: S) -> Read<S::Value> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"newtype variant"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Read<V::Value> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"tuple variant"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Read<V::Value> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"struct variant"))
    }
}
