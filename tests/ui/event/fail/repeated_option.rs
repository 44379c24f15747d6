//! Options that are said twice.

use typed_events::event;

#[event("order.created", version = 1, version = 1)]
pub struct OrderCreated;

#[event("order.paid", without(Debug), crate = ::typed_events, without(Clone))]
#[derive(Debug, Clone)]
pub struct OrderPaid;

#[event("order.sent", reserved("x"))]
pub struct OrderSent;

fn main() {}
