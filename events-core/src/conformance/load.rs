//! Cases with many concurrent publishers.

use std::sync::Arc;

use crate::bus::inner::Bus;
use crate::conformance::harness::Harness;
use crate::conformance::live::listen;
use crate::conformance::recorder::each_once;
use crate::conformance::testbed::{CaseResult, Testbed, cases, durable, ensure, in_tasks, numbered};
use crate::record::Record;

cases! { "load":
    live_handlers_get_what_many_publish [Joins],
    durable_handlers_get_what_many_publish [Durable],
}

/// Emits events from many concurrent tasks.
async fn publish<H: Harness>(testbed: &Testbed<H>, bus: &Bus) -> CaseResult {
    let (bus, each) = (bus.clone(), testbed.scale.events_each);
    in_tasks(testbed.scale.publishers, move |task| {
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

/// Checks that events of many concurrent publishers arrive once each, and those of one publisher in order: 20
/// tasks with 10,000 events each.
async fn live_handlers_get_what_many_publish<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, to, recorder) = (testbed.bus().await?, testbed.bus().await?, testbed.recorder());
    let (publishers, each) = (testbed.scale.publishers, testbed.scale.events_each);
    listen(&to, "conformance.thing.*", &recorder)?;
    publish(&testbed, &from).await?;
    let came = recorder.wait_for(publishers * each).await?;
    each_once("events at a live handler", came.clone(), publishers * each)?;
    for publisher in 0..publishers {
        let own = |n: &&u64| **n as usize / each == publisher;
        ensure!(
            came.iter().filter(own).is_sorted(),
            "the events of publisher {publisher} arrived out of order"
        );
    }
    Ok(())
}

/// Checks that a durable consumer gets every event exactly once if nothing crashes: 20 tasks with 10,000
/// events each.
async fn durable_handlers_get_what_many_publish<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, total) = (testbed.recorder(), testbed.scale.publishers * testbed.scale.events_each);
    let bus = testbed.consumer(durable("count").concurrency(256), "conformance.thing.*", &recorder).await?;
    publish(&testbed, &bus).await?;
    testbed.until_done(&bus, "count").await?;
    each_once("events at a durable handler", recorder.all(), total)?;
    // A second instance gets none of the finished events again.
    let log = Arc::clone(&recorder);
    let other = testbed
        .builder()
        .durable(durable("count"), "conformance.thing.*", move |_: &Record| log.note(u64::MAX));
    let other = testbed.build(other).await?;
    let status = testbed.until_done(&other, "count").await?;
    ensure!(recorder.len() == total && status.dead == 0, "finished events were handed out again");
    Ok(())
}
