use typed_events::{EventSet, Record, event, on};

#[event("order.paid")]
pub struct OrderPaid {
    #[serde(rename = "order")]
    pub id: u64,
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

#[on(durable = "plain")]
fn plain(_: &OrderPaid) {}

#[on(
    durable = "all.of_them-1",
    retries = 0,
    backoff = "500ms..10m",
    timeout = "2h",
    concurrency = 1024,
    ordered_by = "order",
    from = "start"
)]
async fn all(_: &OrderPaid) -> Result<(), String> {
    Ok(())
}

#[on("order.*", durable = "set", ordered_by = "order", timeout = "never", backoff = "1s", from = "now")]
fn set(_: Orders<'_>) {}

#[on("order.*", durable = "any")]
fn any(_: &Record) {}

fn main() {}
