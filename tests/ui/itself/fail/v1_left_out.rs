//! An `Option` that is left out where it is `Some`.

use typed_events::payload;

#[payload]
struct Reversed {
    #[serde(skip_serializing_if = "Option::is_some")]
    maybe: Option<u8>,
}

fn main() {}
