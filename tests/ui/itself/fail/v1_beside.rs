//! Types that do not read what they write, under the names of scalars, beside fields that are checked on their own.

use typed_events::{event, payload};

mod own {
    use typed_events::Schema;

    #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, Schema)]
    pub struct String(pub Option<Option<u8>>);
}

#[event("a.struct")]
struct Struct {
    pair: (u8, u8),
    text: own::String,
}

#[payload]
enum Variant {
    A { text: std::string::String, pair: (u8, u8) },
    B { pair: (u8, u8), text: own::String },
}

#[payload]
enum Tuple {
    A((u8, u8), own::String),
}

fn main() {}
