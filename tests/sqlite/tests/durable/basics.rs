//! Delivery of events to durable handlers.

use std::sync::Arc;

use typed_events::{Bus, Delivery, Record, event, on};

use crate::{File, Seen};

#[event("order.paid")]
pub struct OrderPaid {
    pub id: u64,
}

#[on(durable = "send-invoice", retries = 2, backoff = "1ms..5ms")]
async fn invoice(order: &OrderPaid, delivery: &Delivery, seen: &Seen) -> Result<(), String> {
    seen.note(format!("invoice {} attempt {}", order.id, delivery.attempt()));
    match order.id {
        13 => Err("no paper".into()),
        7 if delivery.attempt() == 1 => Err("once".into()),
        _ => Ok(()),
    }
}

#[on("order.*")]
fn live(record: &Record, seen: &Seen) {
    seen.note(format!("live {}", record.name()));
}

async fn bus(file: &File, seen: &Arc<Seen>) -> Bus {
    file.builder().shared(Arc::clone(seen)).handler::<invoice>().handler::<live>().build().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_handler_gets_what_was_emitted_and_retries_what_failed() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let bus = bus(&file, &seen).await;
    for id in [1, 7, 13] {
        bus.emit(OrderPaid { id }).await.unwrap().settled().await.unwrap();
    }
    let expected = [
        "live order.paid",
        "invoice 1 attempt 1",
        "live order.paid",
        "invoice 7 attempt 1",
        "invoice 7 attempt 2",
        "live order.paid",
        "invoice 13 attempt 1",
        "invoice 13 attempt 2",
        "invoice 13 attempt 3",
    ];
    let mut all = seen.all();
    let mut sorted = expected.map(str::to_owned).to_vec();
    all.sort();
    sorted.sort();
    assert_eq!(all, sorted);
    let dead = bus.consumer("send-invoice").dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].attempts, dead[0].error.as_str()), (3, "no paper"));
    let status = bus.consumer("send-invoice").status().await.unwrap();
    assert_eq!((status.lag, status.position, status.dead), (0, 3, 1));
    bus.stop().await.unwrap();
}
