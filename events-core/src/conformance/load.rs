//! Many publishers at the same time.

use std::sync::Arc;

use crate::bus::inner::Bus;
use crate::conformance::bed::{Bed, Tried, cases, durable, ensure, in_tasks, numbered};
use crate::conformance::harness::Harness;
use crate::conformance::live::listen;
use crate::conformance::seen::each_once;
use crate::record::Record;

cases! { "load":
    live_handlers_get_what_many_publish [Joins],
    durable_handlers_get_what_many_publish [Durable],
}

/// Emits from many tasks at once.
async fn publish<H: Harness>(bed: &Bed<H>, bus: &Bus) -> Tried {
    let (bus, each) = (bus.clone(), bed.scale.events_each);
    in_tasks(bed.scale.publishers, move |task| {
        let bus = bus.clone();
        async move {
            for n in task * each..(task + 1) * each {
                bus.emit_json("conformance.thing.done", numbered(n)).await?;
            }
            Ok(())
        }
    })
    .await
}

/// Law: what many publish at once arrives once each, and of one publisher in its order: 20 tasks, 10,000 events each.
async fn live_handlers_get_what_many_publish<H: Harness>(bed: Bed<H>) -> Tried {
    let (from, to, seen) = (bed.bus().await?, bed.bus().await?, bed.seen());
    let (publishers, each) = (bed.scale.publishers, bed.scale.events_each);
    listen(&to, "conformance.thing.*", &seen)?;
    publish(&bed, &from).await?;
    let came = seen.wait_for(publishers * each).await?;
    each_once("at a live handler", came.clone(), publishers * each)?;
    for publisher in 0..publishers {
        let own = |n: &&u64| **n as usize / each == publisher;
        ensure!(
            came.iter().filter(own).is_sorted(),
            "the events of publisher {publisher} came in another order"
        );
    }
    Ok(())
}

/// Law: a durable consumer is handed every event once where nothing crashes: 20 tasks, 10,000 events each.
async fn durable_handlers_get_what_many_publish<H: Harness>(bed: Bed<H>) -> Tried {
    let (seen, total) = (bed.seen(), bed.scale.publishers * bed.scale.events_each);
    let bus = bed.consumer(durable("count").concurrency(256), "conformance.thing.*", &seen).await?;
    publish(&bed, &bus).await?;
    bed.until_done(&bus, "count").await?;
    each_once("at a durable handler", seen.all(), total)?;
    // And it ends there: what is done is not handed out again.
    let log = Arc::clone(&seen);
    let other =
        bed.builder().durable(durable("count"), "conformance.thing.*", move |_: &Record| log.note(u64::MAX));
    let other = bed.build(other).await?;
    let status = bed.until_done(&other, "count").await?;
    ensure!(seen.len() == total && status.dead == 0, "what was done was handed out again");
    Ok(())
}
