use typed_events::{EventSet, Record, event, on};

#[event("order.paid")]
pub struct OrderPaid {
    pub id: u64,
    pub total: u64,
    #[event(secret)]
    pub card: String,
}

#[event("order.shipped")]
pub struct OrderShipped {
    pub order: u64,
}

#[derive(EventSet)]
enum Orders<'a> {
    Paid(&'a OrderPaid),
    Shipped(&'a OrderShipped),
}

#[on(retries = 5)]
fn not_durable(_: &OrderPaid) {}

#[on(durable = "send invoice")]
fn name(_: &OrderPaid) {}

#[on(durable = "field", ordered_by = "user")]
fn field(_: &OrderPaid) {}

#[on(durable = "secret", ordered_by = "card")]
fn secret(_: &OrderPaid) {}

#[on("order.*", durable = "any", ordered_by = "id")]
fn any(_: &Record) {}

#[on("order.*", durable = "set", ordered_by = "id")]
fn set(_: Orders<'_>) {}

#[on(durable = "numbers", retries = 5, retries = 6, backoff = "soon", concurrency = 0, from = "yesterday")]
fn numbers(_: &OrderPaid) {}

#[on(durable = "unknown", retrys = 5)]
fn unknown(_: &OrderPaid) {}

#[on(durable = "priority", priority = 5)]
fn priority(_: &OrderPaid) {}

fn main() {}
