//! Estimates of the memory that values take, for bounded histories.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_core::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::panics::drop_quietly;
use crate::secret;

/// Returns the memory for an allocation of this size, in bytes: an overhead of 8, in steps of 16, at least 32.
pub const fn allocation(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => bytes.saturating_add(8 + 15) & !15,
    }
}

/// Returns the memory of a standard hash table with this capacity. The number of buckets is a power of two, of which 7
/// of 8 are used.
pub const fn hash_table(capacity: usize, entry: usize) -> usize {
    let slots = match capacity {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        _ => (capacity.saturating_mul(8) / 7).next_power_of_two(),
    };
    allocation(slots.saturating_mul(entry + 1) + 16)
}

/// Returns the memory of a standard B-tree. A node holds 11 entries and is more than half full.
pub const fn tree(len: usize, entry: usize) -> usize {
    let nodes = match len {
        0 => return 0,
        1..=11 => 1,
        _ => len / 6 + 1,
    };
    nodes * allocation(11 * entry + 32)
}

/// Estimates the memory that a value without a schema holds outside of itself, from its serialized form.
///
/// The length of its JSON would say little: a zero takes one byte, whatever its type. So the types that `Serialize`
/// passes to the serializer are counted instead. Parts that are not serialized are not counted. For a unit variant, the
/// size of the enum's largest variant is not counted, unless the value is an item of a [`Collection`].
pub fn heap_of_written<T: Serialize + ?Sized>(value: &T) -> usize {
    heap_of_each(std::iter::once(value))
}

/// Like [`heap_of_written`], summed over several values.
fn heap_of_each<'v, T: Serialize + ?Sized + 'v>(values: impl Iterator<Item = &'v T>) -> usize {
    let heap_of = |value: &T| {
        let size = value.serialize(Count)?;
        Ok(size.heap + size.inline.saturating_sub(size_of_val(value)))
    };
    let count = || secret::reveal(|| values.map(heap_of).sum::<Result<usize, fmt::Error>>());
    // `Serialize` may be a user's code, and this runs during an emit.
    let counted = catch_unwind(AssertUnwindSafe(count)).unwrap_or_else(|payload| {
        drop_quietly(payload);
        Err(fmt::Error)
    });
    counted.unwrap_or(0)
}

/// A collection of values without a schema. Its serialized form shows how many values there are, and its type how large
/// each one is.
pub trait Collection {
    /// Returns the memory that it holds outside of itself: its capacity, and an estimate for each value from its
    /// serialized form.
    fn weight(&self) -> usize;
}

macro_rules! lists {
    ($($list:ident<T $(, $hasher:ident)?>: $self:ident => $size:expr;)+) => {
        $(impl<T: Serialize $(, $hasher)?> Collection for $list<T $(, $hasher)?> {
            fn weight(&$self) -> usize {
                $size + heap_of_each($self.iter())
            }
        })+
    };
}

lists! {
    Vec<T>: self => allocation(self.capacity() * size_of::<T>());
    VecDeque<T>: self => allocation(self.capacity() * size_of::<T>());
    BinaryHeap<T>: self => allocation(self.capacity() * size_of::<T>());
    LinkedList<T>: self => self.len() * allocation(size_of::<T>() + 16);
    BTreeSet<T>: self => tree(self.len(), size_of::<T>());
    HashSet<T, S>: self => hash_table(self.capacity(), size_of::<T>());
}

impl<T: Serialize> Collection for Box<[T]> {
    fn weight(&self) -> usize {
        allocation(size_of_val::<[T]>(self)) + heap_of_each(self.iter())
    }
}

macro_rules! maps {
    ($($map:ident<K, V $(, $hasher:ident)?>: $self:ident => $size:expr;)+) => {
        $(impl<K: Serialize, V: Serialize $(, $hasher)?> Collection for $map<K, V $(, $hasher)?> {
            fn weight(&$self) -> usize {
                $size + heap_of_each($self.keys()) + heap_of_each($self.values())
            }
        })+
    };
}

maps! {
    BTreeMap<K, V>: self => tree(self.len(), size_of::<(K, V)>());
    HashMap<K, V, S>: self => hash_table(self.capacity(), size_of::<(K, V)>());
}

impl<T: Collection> Collection for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, T::weight)
    }
}

/// The memory of a value, in bytes.
#[derive(Clone, Copy, Default)]
struct Size {
    /// The size of the value itself.
    inline: usize,
    /// The size of the allocations that it owns.
    heap: usize,
}

impl Size {
    const fn inline(inline: usize) -> Self {
        Self { inline, heap: 0 }
    }

    const fn text(len: usize) -> Self {
        Self { inline: size_of::<String>(), heap: allocation(len) }
    }
}

/// A serializer that counts the memory of the values it gets.
struct Count;

/// The memory of a value with several parts.
struct Parts {
    sum: Size,
    count: usize,
    layout: Layout,
}

enum Layout {
    /// The parts are inside the value itself. An enum has 8 more bytes for its variant.
    Inline,
    /// The parts are in one allocation, which may have spare capacity.
    List,
    /// The parts are in a tree or a hash table. Keys and values are separate parts.
    Map,
}

impl Parts {
    fn new(layout: Layout, inline: usize) -> Self {
        Self { sum: Size::inline(inline), count: 0, layout }
    }

    fn add<T: Serialize + ?Sized>(&mut self, part: &T) -> Result<(), fmt::Error> {
        let size = part.serialize(Count)?;
        self.sum.inline += size.inline;
        self.sum.heap += size.heap;
        self.count += 1;
        Ok(())
    }

    fn finish(self) -> Result<Size, fmt::Error> {
        let Size { inline, heap } = self.sum;
        Ok(match self.layout {
            // With padding between the fields.
            Layout::Inline if inline > 8 => Size { inline: inline.next_multiple_of(8), heap },
            Layout::Inline => Size { inline, heap },
            Layout::List => Size { inline: 24, heap: heap + allocation(inline + inline / 2) },
            Layout::Map => {
                Size { inline: 48, heap: heap + allocation(inline + inline / 4 * 3 + 8 * self.count) }
            }
        })
    }
}

macro_rules! plain {
    ($($method:ident($ty:ty))+) => {
        $(fn $method(self, _: $ty) -> Result<Size, fmt::Error> {
            Ok(Size::inline(size_of::<$ty>()))
        })+
    };
}

impl Serializer for Count {
    type Ok = Size;
    type Error = fmt::Error;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    plain! {
        serialize_bool(bool) serialize_char(char) serialize_f32(f32) serialize_f64(f64)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
    }

    fn serialize_str(self, text: &str) -> Result<Size, fmt::Error> {
        Ok(Size::text(text.len()))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, text: &T) -> Result<Size, fmt::Error> {
        let mut length = Length(0);
        fmt::write(&mut length, format_args!("{text}"))?;
        Ok(Size::text(length.0))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Size, fmt::Error> {
        Ok(Size::text(bytes.len()))
    }

    fn serialize_none(self) -> Result<Size, fmt::Error> {
        Ok(Size::inline(16))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Size, fmt::Error> {
        let size = value.serialize(self)?;
        Ok(Size { inline: size.inline + 8, ..size })
    }

    fn serialize_unit(self) -> Result<Size, fmt::Error> {
        Ok(Size::default())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Size, fmt::Error> {
        Ok(Size::default())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Size, fmt::Error> {
        Ok(Size::inline(8))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Size, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Size, fmt::Error> {
        self.serialize_some(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::List, 0))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::Inline, 0))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::Inline, 0))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::Inline, 8))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::Map, 0))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::Inline, 0))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, fmt::Error> {
        Ok(Parts::new(Layout::Inline, 8))
    }
}

/// A writer that counts the length of a text.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

macro_rules! parts {
    ($($kind:ident: $method:ident($($name:ident: $ty:ty),*);)+) => {
        $(impl $kind for Parts {
            type Ok = Size;
            type Error = fmt::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $ty,)* part: &T) -> Result<(), fmt::Error> {
                self.add(part)
            }

            fn end(self) -> Result<Size, fmt::Error> {
                self.finish()
            }
        })+
    };
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(_name: &'static str);
    SerializeStructVariant: serialize_field(_name: &'static str);
}

impl SerializeMap for Parts {
    type Ok = Size;
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), fmt::Error> {
        self.add(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        self.add(value)
    }

    fn end(self) -> Result<Size, fmt::Error> {
        self.finish()
    }
}
