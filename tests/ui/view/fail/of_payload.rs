//! A view of a part of an event.

use typed_events::{event, payload};

#[payload]
pub struct Money {
    pub cents: i64,
}

#[event("order.paid")]
pub struct OrderPaid {
    pub total: Money,
}

#[event(view_of = Money)]
pub struct Cents {
    pub cents: i64,
}

fn main() {}
