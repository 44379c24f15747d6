//! Forms that read back what they write.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use typed_events::{Schema, event, payload};

/// The case V2.
#[event("a.optional_beside_map")]
struct OptionalBesideMap {
    #[serde(skip_serializing_if = "Option::is_none")]
    opt: Option<u8>,
    #[serde(flatten)]
    extra: serde_json::Map<String, serde_json::Value>,
}

#[payload]
struct Address {
    street: String,
    #[serde(default, skip_serializing)]
    cache: u128,
    #[serde(skip)]
    both: Vec<u8>,
}

#[event("a.flattened")]
struct Flattened {
    id: u128,
    #[serde(flatten)]
    address: Address,
    #[serde(flatten)]
    maybe: Option<Total>,
    #[serde(flatten)]
    rest: HashMap<String, u8>,
}

#[event("a.denied")]
#[serde(deny_unknown_fields)]
struct Denied {
    id: u64,
    #[serde(flatten)]
    total: Total,
}

#[payload]
struct Total {
    #[serde(alias = "sum")]
    total: u8,
}

#[payload]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Fraction(f64),
    Wide { x: u8, y: u8 },
    Narrow { x: u8 },
    Id(Id),
    Text(String),
    Anything(serde_json::Value),
}

#[payload]
enum Id {
    One,
    Two,
}

#[payload]
enum Colour {
    Red,
    #[serde(rename = "g", alias = "green")]
    Green,
    #[serde(untagged)]
    Other(String),
}

#[payload]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Tagged {
    Total(Total),
    Unit,
    Fields { when: BTreeMap<char, u8> },
    #[serde(other)]
    Unknown,
}

/// Only read: it may overlap.
#[derive(Debug, Clone, Deserialize, Schema)]
#[serde(untagged)]
enum AnyVersion {
    Text(String),
    Whole { name: String },
}

#[payload]
#[serde(from = "AnyVersion")]
struct Name {
    name: String,
}

impl From<AnyVersion> for Name {
    fn from(any: AnyVersion) -> Self {
        match any {
            AnyVersion::Text(name) | AnyVersion::Whole { name } => Self { name },
        }
    }
}

#[payload]
struct Tree {
    children: Vec<Tree>,
    by_name: BTreeMap<Id2, Box<Tree>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
struct Id2(u64);

#[payload]
struct Page<T> {
    #[serde(flatten)]
    item: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// What is left out comes back, and texts that are alike stand before `String`.
#[payload]
struct LeftOut {
    #[serde(skip_serializing_if = "is_five", default = "five")]
    own: u8,
    #[serde(skip_serializing_if = "Vec::is_empty", default = "Vec::new")]
    list: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    maybe: Option<serde_json::Value>,
    by_address: HashMap<std::net::IpAddr, Host>,
    by_colour: BTreeMap<Weather, u8>,
}

#[payload]
#[serde(untagged)]
enum Host {
    Four(std::net::Ipv4Addr),
    Six(std::net::Ipv6Addr),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
enum Weather {
    #[serde(rename = "sun", alias = "sunny")]
    Sun,
    #[serde(other)]
    Other,
}

fn is_five(n: &u8) -> bool {
    *n == 5
}

fn five() -> u8 {
    5
}

#[event("a.used")]
struct Used {
    untagged: Vec<Untagged>,
    colour: (Colour, Tagged),
    name: Name,
    tree: Option<Tree>,
    page: Page<Total>,
    left_out: LeftOut,
}

fn main() {}
