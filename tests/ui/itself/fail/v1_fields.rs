//! Fields that serde does not read back.

use std::collections::{BTreeMap, HashMap};

use typed_events::{event, payload};

#[payload]
struct Big {
    total: u128,
}

#[event("a.flattened_128")]
struct Flattened128 {
    id: u64,
    #[serde(flatten)]
    big: Big,
}

#[event("a.flattened_numbers")]
struct FlattenedNumbers {
    #[serde(flatten)]
    by_id: HashMap<u64, String>,
}

#[event("a.skipped")]
struct Skipped {
    #[serde(skip_serializing)]
    token: String,
}

#[event("a.skipped_if")]
struct SkippedIf {
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fine: Option<String>,
}

#[event("a.skipped_with")]
struct SkippedWith {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "read")]
    note: Option<String>,
}

fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    serde::Deserialize::deserialize(deserializer)
}

#[event("a.keys")]
struct Keys {
    tuples: BTreeMap<(u8, u8), u8>,
    lists: BTreeMap<Vec<u8>, u8>,
    units: BTreeMap<(), u8>,
    options: BTreeMap<Option<u8>, u8>,
    fine: BTreeMap<u128, Vec<BTreeMap<bool, char>>>,
}

#[event("a.same_inside")]
struct SameInside {
    total: u8,
    #[serde(flatten)]
    big: Total,
}

#[payload]
struct Total {
    total: u8,
}

#[event("a.null_twice")]
struct NullTwice {
    name: Option<Option<String>>,
}

#[event("a.rest_first")]
struct RestFirst {
    #[serde(flatten)]
    rest: HashMap<String, u8>,
    #[serde(flatten)]
    total: Total,
}

#[event("a.never_none")]
struct NeverNone {
    #[serde(flatten)]
    rest: Option<HashMap<String, u8>>,
}

#[event("a.denied")]
#[serde(deny_unknown_fields)]
struct Denied {
    id: u64,
    #[serde(flatten)]
    rest: HashMap<String, u8>,
}

#[payload]
struct Pair(u8, Option<Option<u8>>);

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, typed_events::Schema)]
struct Derived {
    #[serde(rename(serialize = "written"))]
    read: u8,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, typed_events::Schema)]
struct Page<T> {
    #[serde(flatten)]
    item: T,
}

#[event("a.used")]
struct Used {
    derived: Vec<Derived>,
    page: Option<Page<Big>>,
    fine: Page<Total>,
}

fn main() {}
