//! Views that deny fields of their event.

use typed_events::{event, payload};

#[event("user.created")]
pub struct UserCreated {
    pub id: u64,
    pub email: String,
}

#[event(view_of = UserCreated)]
#[serde(deny_unknown_fields)]
struct OnlyId {
    id: u64,
}

#[event(view_of = UserCreated)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// All of them.
#[event(view_of = UserCreated)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fine {
    id: u64,
    email: String,
}

#[event("user.moved")]
pub struct UserMoved {
    pub id: u64,
    #[serde(flatten)]
    pub to: Address,
}

#[payload]
pub struct Address {
    pub city: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
}

#[event(view_of = UserMoved)]
#[serde(deny_unknown_fields)]
struct AtTimes {
    id: u64,
    #[serde(flatten)]
    to: City,
}

#[payload]
struct City {
    city: String,
}

#[event(view_of = UserMoved)]
#[serde(deny_unknown_fields)]
struct Never {
    #[serde(flatten)]
    all: std::collections::HashMap<String, serde_json::Value>,
}

fn main() {}
