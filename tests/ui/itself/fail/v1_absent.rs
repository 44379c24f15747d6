//! Fields and elements that are left out, keys that are read under other names, and `null` for two values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use typed_events::{Schema, event, payload};

#[payload]
struct Replaced {
    #[serde(skip_serializing_if = "Option::is_none", default = "some")]
    maybe: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty", default = "one")]
    list: Vec<u8>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default = "yes")]
    flag: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
struct Pair(#[serde(skip_serializing_if = "is_zero")] u8, u8);

#[event("a.moved")]
struct Moved {
    pair: Pair,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum Key {
    #[serde(rename(serialize = "a", deserialize = "b"))]
    A,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
#[serde(into = "String", from = "u64")]
struct Number(u64);

impl From<Number> for String {
    fn from(number: Number) -> Self {
        number.0.to_string()
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

#[payload]
struct Keys {
    by_name: BTreeMap<Key, u8>,
    by_number: BTreeMap<Number, u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
#[serde(untagged)]
enum Nothing {
    Nothing,
}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
#[serde(untagged)]
enum Within {
    Nothing(Nothing),
    Number(u8),
}

#[payload]
struct Null {
    maybe: Option<Within>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
struct Serialized<T> {
    x: T,
}

#[payload]
#[serde(from = "Serialized<u8>", into = "Serialized<String>")]
struct Converted {
    x: u8,
}

impl From<Serialized<u8>> for Converted {
    fn from(serialized: Serialized<u8>) -> Self {
        Self { x: serialized.x }
    }
}

impl From<Converted> for Serialized<String> {
    fn from(converted: Converted) -> Self {
        Self { x: converted.x.to_string() }
    }
}

fn some() -> Option<u8> {
    Some(1)
}

fn one() -> Vec<u8> {
    vec![1]
}

fn yes() -> bool {
    true
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

fn main() {}
