//! Untagged variants of which an earlier one reads values of a later one.

use typed_events::{event, payload};

#[payload]
#[serde(untagged)]
enum Fields {
    A { x: u8 },
    B { x: u8, y: Option<u8> },
}

#[payload]
#[serde(untagged)]
enum Reversed {
    B { x: u8, y: Option<u8> },
    A { x: u8 },
}

#[payload]
#[serde(untagged)]
enum Numbers {
    C(f64),
    D(u64),
}

#[event("a.ranges")]
#[serde(untagged)]
enum Ranges {
    Small(u8),
    Big(u64),
}

#[payload]
#[serde(untagged)]
enum Lists {
    Ids(Vec<u64>),
    Names(Vec<String>),
}

#[payload]
enum Last {
    A(u8),
    #[serde(untagged)]
    Pair(String, String),
    #[serde(untagged)]
    Two([String; 2]),
}

#[payload]
#[serde(untagged)]
enum Addresses {
    Any(std::net::IpAddr),
    Four(std::net::Ipv4Addr),
}

#[payload]
enum Rest {
    A,
    #[serde(other)]
    Rest,
}

#[payload]
#[serde(untagged)]
enum RestFirst {
    Known(Rest),
    Text(String),
}

#[payload]
struct Defaults {
    #[serde(default)]
    x: u8,
}

#[payload]
#[serde(untagged)]
enum OneOrMany {
    One(Defaults),
    Many(Vec<Defaults>),
}

fn main() {}
