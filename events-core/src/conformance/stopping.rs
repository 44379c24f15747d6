//! Cases that stop instances while durable handlers run.

use std::sync::Arc;

use crate::conformance::harness::Harness;
use crate::conformance::recorder::{Gate, each_once, number, same};
use crate::conformance::testbed::{CaseResult, Testbed, cases, durable, emit_numbers, ensure, numbered};
use crate::record::Record;

cases! { "stopping":
    stop_waits_for_handlers_and_keeps_what_they_did [Durable],
    nothing_is_lost_over_restarts [Durable],
}

/// Checks that `stop` waits for running handlers and stores their outcomes, and that the next instance gets
/// the remaining events.
async fn stop_waits_for_handlers_and_keeps_what_they_did<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (began, ended, gate) = (testbed.recorder::<u64>(), testbed.recorder::<u64>(), Gate::closed());
    let (log, done, open) = (Arc::clone(&began), Arc::clone(&ended), gate.clone());
    let handler = move |record: &Record| {
        let (log, done, open, n) = (Arc::clone(&log), Arc::clone(&done), open.clone(), number(record));
        async move {
            log.note(n);
            open.pass().await;
            done.note(n);
        }
    };
    let bus = testbed
        .build(testbed.builder().durable(durable("work").concurrency(2), "conformance.thing.*", handler))
        .await?;
    emit_numbers(&bus, "conformance.thing.done", 0..6).await?;
    began.wait_for(2).await?;
    let stopping = tokio::spawn({
        let bus = bus.clone();
        async move { bus.stop().await }
    });
    let refuses = || async { Ok(bus.emit_json("conformance.refused", numbered(99)).await.is_err()) };
    testbed.until("the bus has begun to stop", refuses).await?;
    gate.open_once();
    ended.wait_for(1).await?;
    ensure!(!stopping.is_finished(), "`stop` did not wait for a handler");
    gate.open();
    stopping.await??;
    same("started and finished calls when the bus stopped", (began.len(), ended.len()), (2, 2))?;
    let next = testbed.consumer(durable("work"), "conformance.thing.done", &ended).await?;
    testbed.until_done(&next, "work").await?;
    each_once("events in both instances", ended.all(), 6)
}

/// Checks that positions and outcomes survive every restart.
async fn nothing_is_lost_over_restarts<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder();
    for round in 0..8 {
        let bus = testbed.consumer(durable("work").concurrency(3), "conformance.thing.*", &recorder).await?;
        emit_numbers(&bus, "conformance.thing.done", round * 25..(round + 1) * 25).await?;
        bus.stop().await?;
    }
    let bus = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    testbed.until_done(&bus, "work").await?;
    each_once("events over all restarts", recorder.all(), 200)
}
