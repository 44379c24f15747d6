//! A handler that fails, the event that reports the failure, and a handler of that event.

use typed_events::{Delivery, on};

use crate::events::{HandlerFailed, SystemPoked};
use crate::shop::{Failure, Outbox};

/// Fails each of its three attempts. Then the event is a dead letter.
#[on(durable = "fragile", retries = 2, backoff = "200ms..1s")]
pub async fn fragile(_: &SystemPoked, delivery: &Delivery, outbox: &Outbox) -> Result<(), Failure> {
    let error = format!("the printer is out of paper (attempt {})", delivery.attempt());
    let record = delivery.record();
    let (handler, event, id) = ("fragile".to_owned(), record.name().to_owned(), record.id().to_string());
    outbox.emit(HandlerFailed { handler, event, id, error: error.clone() }).await?;
    Err(error.into())
}

/// A live handler, so it runs on every instance of the shop.
#[on]
pub fn alarm(failed: &HandlerFailed) {
    println!("{} failed on {}: {}", failed.handler, failed.event, failed.error);
}
