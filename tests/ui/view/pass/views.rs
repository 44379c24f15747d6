//! Views that their events can fill.

use typed_events::{EventSet, event, on, payload};

mod producer {
    use std::collections::HashMap;

    use typed_events::{event, payload};

    #[payload]
    pub struct Address {
        pub city: String,
        pub street: Option<String>,
    }

    #[payload]
    #[serde(rename_all = "lowercase")]
    pub enum Plan {
        Free,
        Paid { cents: u32 },
    }

    #[event("user.created")]
    #[serde(rename_all = "camelCase")]
    pub struct UserCreated {
        pub user_id: u32,
        pub email: String,
        pub nick_name: Option<String>,
        pub address: Address,
        pub plan: Plan,
        pub tags: HashMap<String, Vec<u8>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub notes: Vec<String>,
    }

    #[event("user.moved")]
    pub enum UserMoved {
        To(Address),
        Away,
    }
}

#[event(view_of = producer::UserCreated)]
#[derive(PartialEq)]
#[serde(rename_all = "camelCase")]
struct Wider {
    user_id: i64,
    nick_name: Option<String>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(rename = "email")]
    mail: String,
    address: City,
    tags: std::collections::BTreeMap<String, Vec<f64>>,
    added_later: Option<u8>,
}

#[payload]
#[derive(PartialEq)]
struct City {
    city: String,
}

#[event(view_of = producer::UserCreated, without(Debug))]
struct OnlyPaid {
    plan: SomePlan,
}

#[payload]
#[serde(rename_all = "lowercase")]
enum SomePlan {
    Paid {
        cents: u64,
    },
    #[serde(other)]
    Another,
}

#[event(view_of = producer::UserMoved)]
enum Moved {
    To(City),
    Away,
}

#[event(view_of = producer::UserCreated)]
struct Nothing {}

#[on]
fn borrowed(_: &Wider) {}

#[on("user.created")]
async fn owned(_: OnlyPaid) {}

#[derive(EventSet)]
enum Users<'a> {
    Created(&'a Wider),
    Moved(&'a Moved),
}

#[on("user.*")]
fn set(_: Users<'_>) {}

fn main() {}
