//! Variants that serde does not read back.

use std::collections::BTreeMap;

use typed_events::{event, payload};

#[event("a.tagged_number")]
#[serde(tag = "kind")]
enum TaggedNumber {
    Cents(u64),
    Note { text: String },
}

#[payload]
#[serde(tag = "kind")]
enum TaggedKeys {
    ByKey(BTreeMap<u8, u8>),
    Inside { map: BTreeMap<bool, u8> },
}

#[payload]
#[serde(untagged)]
enum Untagged {
    Big(u128),
    ByKey(BTreeMap<i32, u8>),
}

#[payload]
#[serde(tag = "kind")]
enum TagTwice {
    A(Kind),
}

#[payload]
struct Kind {
    kind: String,
}

#[payload]
enum Flattened {
    A {
        id: u8,
        #[serde(flatten)]
        kind: Ids,
    },
    Deep(Vec<Option<Option<u8>>>),
}

#[payload]
struct Ids {
    id: u8,
}

fn main() {}
