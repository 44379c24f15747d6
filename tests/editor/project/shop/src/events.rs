//! Events of every kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use typed_events::{EventSet, Record, Schema, Upcast, event, payload};

/// A user has signed up.
#[event("user.created", version = 2, previous = UserCreatedV1)]
pub struct UserCreated {
    /// The user.
    pub id: u64,
    pub email: String,
    pub plan: Plan,
    #[serde(default)]
    pub nick: Option<String>,
    #[event(secret)]
    pub password: String,
}

#[event("user.created", version = 1, superseded)]
pub struct UserCreatedV1 {
    pub id: u64,
    pub email: String,
}

impl Upcast<UserCreatedV1> for UserCreated {
    fn upcast(old: UserCreatedV1) -> Self {
        let UserCreatedV1 { id, email } = old;
        Self { id, email, plan: Plan::Free, nick: None, password: String::new() }
    }
}

#[payload]
#[derive(PartialEq)]
pub enum Plan {
    Free,
    Paid { price: Money },
    Gift(String),
}

#[payload]
#[derive(PartialEq)]
pub struct Money {
    pub cents: i64,
    #[serde(rename = "currency", alias = "unit")]
    pub code: String,
}

#[payload(secret)]
pub struct Token(pub String);

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    pub street_name: String,
    pub city: String,
    #[schema(opaque)]
    pub notes: HashMap<String, Vec<u8>>,
}

pub mod foreign {
    use super::{Deserialize, Serialize};

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct Shape {
        pub sides: u8,
    }
}

#[event("user.relocated")]
#[derive(Default)]
pub struct UserRelocated {
    pub user: u64,
    pub to: Vec<Address>,
    #[event(opaque)]
    pub shape: Option<foreign::Shape>,
    pub by_city: BTreeMap<String, Address>,
}

#[event("session.opened", without(Debug))]
pub struct SessionOpened(pub u64, pub Token);

impl std::fmt::Debug for SessionOpened {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("SessionOpened").field(&self.0).finish_non_exhaustive()
    }
}

#[event("cart.emptied")]
pub struct CartEmptied;

#[event("order.create", allow(naming))]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum OrderCreate {
    Online { cart: u64, total: Money },
    Shop { till: u16 },
}

#[event("order.paid")]
pub struct OrderPaid {
    pub order: u64,
    pub total: Money,
}

#[event("order.failed")]
pub struct OrderFailed {
    pub order: u64,
    pub reason: String,
}

/// The part of a user that mails need.
#[event(view_of = UserCreated)]
pub struct Recipient {
    pub email: String,
    pub nick: Option<String>,
}

#[derive(EventSet)]
pub enum Orders<'a> {
    Created(&'a OrderCreate),
    Paid(Arc<OrderPaid>),
    Other(&'a Record),
}

#[derive(EventSet)]
pub enum Paid {
    Order(Arc<OrderPaid>),
    Session(Arc<SessionOpened>),
}
