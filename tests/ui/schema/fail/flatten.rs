//! Fields that serde can't put beside the others.

use typed_events::{event, payload};

#[payload(secret)]
struct Login {
    name: String,
    password: String,
}

#[payload]
struct Totals {
    #[serde(flatten)]
    sum: u64,
}

#[event("order.created")]
struct OrderCreated {
    id: u64,
    #[serde(flatten)]
    login: Login,
    #[serde(flatten)]
    lines: Option<Vec<String>>,
}

#[payload]
#[serde(tag = "by")]
enum Paid {
    Login(Login),
    Cash { cents: u64 },
}

fn main() {}
