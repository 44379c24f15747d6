//! An event with an optional field beside a flattened map can be viewed.

use serde_json::{Map, Value};
use typed_events::event;

#[event("user.noted")]
struct UserNoted {
    #[serde(skip_serializing_if = "Option::is_none")]
    opt: Option<u8>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[event(view_of = UserNoted)]
struct OnlyOpt {
    opt: Option<u8>,
}

#[event(view_of = UserNoted)]
struct All {
    #[serde(flatten)]
    extra: Map<String, Value>,
    opt: Option<u8>,
}

fn main() {}
