//! Schemas of the standard library's types and of `serde_json::Value`.
//!
//! For plain types, `do_not_recommend` keeps them out of the compiler's list of types with a schema. Collections do not
//! have it, since it would hide which element type lacks a schema.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZero, Wrapping};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::memory::{allocation, hash_table, tree};
use super::{EnumSchema, FieldSchema, Keeps, Schema, StructSchema, Tag, TypeSchema, VariantSchema};

macro_rules! flat {
    ($($shape:expr => $($ty:ty),+;)+) => {
        $($(#[diagnostic::do_not_recommend]
        impl Schema for $ty {
            const TYPE: &'static TypeSchema = &$shape;
        })+)+
    };
}

macro_rules! integers {
    ($($ty:ty)+) => {
        $(
            flat!(TypeSchema::Integer(<$ty>::MIN as i128, <$ty>::MAX as u128) => $ty;);
            flat!(match <$ty>::MIN {
                0 => TypeSchema::Integer(1, <$ty>::MAX as u128),
                min => TypeSchema::NonZero(min as i128, <$ty>::MAX as u128),
            } => NonZero<$ty>;);
        )+
    };
}

/// The schema of `Duration` and `SystemTime`: serde writes both as an object with two numbers.
macro_rules! two_numbers {
    ($seconds:literal, $nanos:literal) => {
        TypeSchema::Struct(StructSchema {
            fields: &[FieldSchema::new($seconds, u64::TYPE), FieldSchema::new($nanos, u32::TYPE)],
            deny_unknown: true,
        })
    };
}

flat! {
    TypeSchema::Null => ();
    TypeSchema::Bool => bool;
    TypeSchema::Float32 => f32;
    TypeSchema::Float => f64;
    TypeSchema::Char => char;
    TypeSchema::Format("ip") => IpAddr;
    TypeSchema::Format("ipv4") => Ipv4Addr;
    TypeSchema::Format("ipv6") => Ipv6Addr;
    TypeSchema::Format("socket") => SocketAddr;
    TypeSchema::Format("socket-v4") => SocketAddrV4;
    TypeSchema::Format("socket-v6") => SocketAddrV6;
    two_numbers!("secs", "nanos") => Duration;
    two_numbers!("secs_since_epoch", "nanos_since_epoch") => SystemTime;
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! texts {
    ($($ty:ty: $self:ident => $size:expr;)+) => {
        $(#[diagnostic::do_not_recommend]
        impl Schema for $ty {
            const TYPE: &'static TypeSchema = &TypeSchema::String;
            fn heap_size(&$self) -> usize {
                $size
            }
        })+
    };
}

texts! {
    String: self => allocation(self.capacity());
    Box<str>: self => allocation(self.len());
    Arc<str>: self => allocation(self.len() + COUNTS);
    Cow<'static, str>: self => match self {
        Self::Borrowed(_) => 0,
        Self::Owned(text) => text.heap_size(),
    };
    PathBuf: self => allocation(self.capacity());
}

impl<T: Schema> Schema for Option<T> {
    const TYPE: &'static TypeSchema = &TypeSchema::Option(T::TYPE);
    fn heap_size(&self) -> usize {
        self.as_ref().map_or(0, T::heap_size)
    }
}

/// The size of the two counters of an `Arc`.
const COUNTS: usize = 16;

macro_rules! pointers {
    ($($pointer:ident $more:expr;)+) => {
        $(impl<T: Schema> Schema for $pointer<T> {
            const TYPE: &'static TypeSchema = T::TYPE;
            fn heap_size(&self) -> usize {
                allocation(size_of::<T>() + $more) + T::heap_size(self)
            }
        })+
    };
}

pointers! {
    Box 0;
    Arc COUNTS;
}

macro_rules! sequences {
    ($($keeps:ident $sequence:ident<T $(, $hasher:ident)?>: $self:ident => $size:expr;)+) => {
        $(impl<T: Schema $(, $hasher)?> Schema for $sequence<T $(, $hasher)?> {
            const TYPE: &'static TypeSchema = &TypeSchema::Sequence(T::TYPE, Keeps::$keeps);
            fn heap_size(&$self) -> usize {
                $size + $self.iter().map(T::heap_size).sum::<usize>()
            }
        })+
    };
}

sequences! {
    Order Vec<T>: self => allocation(self.capacity() * size_of::<T>());
    Order VecDeque<T>: self => allocation(self.capacity() * size_of::<T>());
    Repeats BinaryHeap<T>: self => allocation(self.capacity() * size_of::<T>());
    Order LinkedList<T>: self => self.len() * allocation(size_of::<T>() + 16);
    Distinct BTreeSet<T>: self => tree(self.len(), size_of::<T>());
    Distinct HashSet<T, S>: self => hash_table(self.capacity(), size_of::<T>());
}

impl<T: Schema> Schema for Box<[T]> {
    const TYPE: &'static TypeSchema = &TypeSchema::Sequence(T::TYPE, Keeps::Order);
    fn heap_size(&self) -> usize {
        allocation(size_of_val::<[T]>(self)) + self.iter().map(T::heap_size).sum::<usize>()
    }
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    const TYPE: &'static TypeSchema = &TypeSchema::Tuple(&[T::TYPE; N]);
    fn heap_size(&self) -> usize {
        self.iter().map(T::heap_size).sum()
    }
}

impl<T: Schema + Clone> Schema for Cow<'static, [T]> {
    const TYPE: &'static TypeSchema = &TypeSchema::Sequence(T::TYPE, Keeps::Order);
    fn heap_size(&self) -> usize {
        match self {
            Self::Borrowed(_) => 0,
            Self::Owned(items) => items.heap_size(),
        }
    }
}

impl<T> Schema for PhantomData<T> {
    const TYPE: &'static TypeSchema = &TypeSchema::Null;
}

impl<T: Schema> Schema for Wrapping<T> {
    const TYPE: &'static TypeSchema = T::TYPE;
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

impl<T: Schema, E: Schema> Schema for Result<T, E> {
    const TYPE: &'static TypeSchema = &TypeSchema::Enum(EnumSchema {
        tag: Tag::External,
        variants: &[VariantSchema::new("Ok", Some(T::TYPE)), VariantSchema::new("Err", Some(E::TYPE))],
        deny_unknown: false,
    });
    fn heap_size(&self) -> usize {
        match self {
            Ok(value) => value.heap_size(),
            Err(error) => error.heap_size(),
        }
    }
}

macro_rules! maps {
    ($($map:ident<K, V $(, $hasher:ident)?>: $self:ident => $size:expr;)+) => {
        $(impl<K: Schema, V: Schema $(, $hasher)?> Schema for $map<K, V $(, $hasher)?> {
            const TYPE: &'static TypeSchema = &TypeSchema::Map(K::TYPE, V::TYPE);
            fn heap_size(&$self) -> usize {
                let entries = $self.iter().map(|(key, value)| key.heap_size() + value.heap_size());
                $size + entries.sum::<usize>()
            }
        })+
    };
}

maps! {
    BTreeMap<K, V>: self => tree(self.len(), size_of::<(K, V)>());
    HashMap<K, V, S>: self => hash_table(self.capacity(), size_of::<(K, V)>());
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {
        $(#[diagnostic::do_not_recommend]
        impl<$($name: Schema),+> Schema for ($($name,)+) {
            const TYPE: &'static TypeSchema = &TypeSchema::Tuple(&[$($name::TYPE),+]);
            fn heap_size(&self) -> usize {
                #[allow(non_snake_case, reason = "the type parameters name the elements")]
                let ($($name,)+) = self;
                0 $(+ $name.heap_size())+
            }
        })+
    };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}

#[diagnostic::do_not_recommend]
impl Schema for serde_json::Value {
    const TYPE: &'static TypeSchema = &TypeSchema::Any;
    fn heap_size(&self) -> usize {
        match self {
            Self::String(text) => text.heap_size(),
            Self::Array(items) => items.heap_size(),
            Self::Object(map) => map.heap_size(),
            // With serde_json's feature `arbitrary_precision`, a number is stored as text.
            Self::Number(number) if size_of::<serde_json::Number>() > 16 => {
                allocation(number.to_string().len())
            }
            Self::Number(_) | Self::Bool(_) | Self::Null => 0,
        }
    }
}

#[diagnostic::do_not_recommend]
impl Schema for serde_json::Map<String, serde_json::Value> {
    const TYPE: &'static TypeSchema = &TypeSchema::Map(&TypeSchema::String, &TypeSchema::Any);
    fn heap_size(&self) -> usize {
        let entries = self.iter().map(|(key, value)| key.heap_size() + value.heap_size());
        // With serde_json's feature `preserve_order`, the map is a list with an index, which takes about the same
        // memory.
        tree(self.len(), size_of::<(String, serde_json::Value)>()) + entries.sum::<usize>()
    }
}
