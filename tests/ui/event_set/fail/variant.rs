use std::sync::Arc;

use typed_events::{EventSet, Record, event, on};

#[event("user.created")]
pub struct UserCreated {}

#[event("order.paid")]
pub struct OrderPaid {}

pub struct Plain;

#[derive(EventSet)]
pub enum UserEvent<'a> {
    Created(&'a UserCreated),
    Paid(&'a OrderPaid),
    Other(&'a Record),
}

#[on("user.*")]
fn count(_: UserEvent<'_>) {}

#[on("user.*", "invoice.sent")]
fn count_shared(_: Shared) {}

#[derive(EventSet)]
pub enum Shared {
    Created(Arc<UserCreated>),
    Paid(Arc<OrderPaid>),
}

#[on]
fn without_a_pattern(_: UserEvent<'_>) {}

#[derive(EventSet)]
pub enum NotEvents<'a> {
    Plain(&'a Plain),
}

fn main() {}
