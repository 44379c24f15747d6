//! Cases with durable consumers that handle events of one key in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::adapter::durable::Outcome;
use crate::conformance::harness::Harness;
use crate::conformance::manual_consumer::{TICK, after};
use crate::conformance::recorder::{Gate, number, same, text};
use crate::conformance::testbed::{CaseResult, Testbed, cases, durable, ensure, in_tasks};
use crate::record::Record;
use crate::time::Timestamp;

cases! { "order":
    events_of_a_key_keep_their_order [Durable],
    a_stuck_event_holds_up_only_its_key [Durable],
    a_failing_event_holds_up_only_its_key [Durable],
    one_event_of_a_key_at_a_time [Durable],
    a_key_waits_also_while_one_is_retried_or_lost [Durable],
}

fn keyed(key: impl std::fmt::Display, number: usize) -> String {
    format!(r#"{{"key":"{key}","n":{number}}}"#)
}

/// Checks that events of one key are handled one after the other, in the order of the log: 16 keys with 1,000
/// events each, two instances.
async fn events_of_a_key_keep_their_order<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (keys, each, recorder) =
        (testbed.scale.keys, testbed.scale.events_of_key, testbed.recorder::<(String, u64)>());
    let mut buses = Vec::new();
    for _ in 0..2 {
        let log = Arc::clone(&recorder);
        let handler = move |record: &Record| {
            let (log, what) = (Arc::clone(&log), (text(record, "key"), number(record)));
            async move {
                tokio::task::yield_now().await;
                log.note(what);
            }
        };
        let options = durable("track").ordered_by("key").concurrency(8);
        buses.push(testbed.build(testbed.builder().durable(options, "conformance.parcel.*", handler)).await?);
    }
    let emitters = buses.clone();
    in_tasks(keys, move |key| {
        let bus = emitters[key % 2].clone();
        async move {
            for n in 0..each {
                bus.emit_json("conformance.parcel.moved", keyed(key, n)).await?;
            }
            Ok(())
        }
    })
    .await?;
    testbed.until_done(&buses[0], "track").await?;
    let mut by_key: HashMap<String, Vec<u64>> = HashMap::new();
    for (key, n) in recorder.all() {
        by_key.entry(key).or_default().push(n);
    }
    same("number of keys", by_key.len(), keys)?;
    for (key, came) in by_key {
        same(&format!("events of key {key}"), came, (0..each as u64).collect())?;
    }
    Ok(())
}

/// Checks that events with other keys, or without a key, do not wait for an event that is being handled.
async fn a_stuck_event_holds_up_only_its_key<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, gate) = (testbed.recorder::<String>(), Gate::closed());
    let (log, open) = (Arc::clone(&recorder), gate.clone());
    let handler = move |record: &Record| {
        let (log, open, key, n) = (Arc::clone(&log), open.clone(), text(record, "key"), number(record));
        async move {
            if key == "a" {
                open.pass().await;
            }
            log.note(format!("{key}{n}"));
        }
    };
    let options = durable("track").ordered_by("key").concurrency(4);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.parcel.*", handler)).await?;
    for n in 0..5 {
        for json in [keyed("a", n), keyed("b", n), keyed("c", n), format!(r#"{{"n":{n}}}"#)] {
            bus.emit_json("conformance.parcel.moved", json).await?;
        }
    }
    let came = recorder.wait_for(15).await?;
    ensure!(!came.iter().any(|what| what.starts_with('a')), "a blocked handler has finished: {came:?}");
    gate.open();
    recorder.wait_for(20).await?;
    testbed.until_done(&bus, "track").await?;
    for key in ["a", "b", "c"] {
        let own: Vec<_> = recorder.all().into_iter().filter(|what| what.starts_with(key)).collect();
        same(&format!("events of key {key}"), own, (0..5).map(|n| format!("{key}{n}")).collect())?;
    }
    same("number of events", recorder.len(), 20)
}

/// Checks that an event that waits for a retry delays the events of its key, and no others.
async fn a_failing_event_holds_up_only_its_key<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, broken) = (testbed.recorder::<String>(), Arc::new(AtomicBool::new(true)));
    let (log, fails) = (Arc::clone(&recorder), Arc::clone(&broken));
    let handler = move |record: &Record| {
        let (key, n) = (text(record, "key"), number(record));
        if key == "a" && n == 0 && fails.load(Ordering::SeqCst) {
            return Err("not yet");
        }
        log.note(format!("{key}{n}"));
        Ok(())
    };
    let options = durable("track").ordered_by("key").concurrency(4).retries(1_000_000);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.parcel.*", handler)).await?;
    for n in 0..5 {
        for key in ["a", "b", "c"] {
            bus.emit_json("conformance.parcel.moved", keyed(key, n)).await?;
        }
    }
    let came = recorder.wait_for(10).await?;
    ensure!(
        !came.iter().any(|what| what.starts_with('a')),
        "an event was handled before an earlier one of its key: {came:?}"
    );
    broken.store(false, Ordering::SeqCst);
    testbed.until_done(&bus, "track").await?;
    for key in ["a", "b", "c"] {
        let own: Vec<_> = recorder.all().into_iter().filter(|what| what.starts_with(key)).collect();
        same(&format!("events of key {key}"), own, (0..5).map(|n| format!("{key}{n}")).collect())?;
    }
    Ok(())
}

/// Checks that at most one event of a key is claimed at a time, within one exchange and across two instances.
async fn one_event_of_a_key_at_a_time<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let options = || durable("track").ordered_by("key");
    let (one, two) = (
        testbed.manual_consumer(options(), "conformance.parcel.*").await?,
        testbed.manual_consumer(options(), "conformance.parcel.*").await?,
    );
    for (key, n) in [("a", 0), ("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
        one.bus.emit_json("conformance.parcel.moved", keyed(key, n)).await?;
    }
    let now = Timestamp::now();
    let held = one.take(2, now).await?;
    let mut came = Vec::new();
    for handed in &held {
        came.push(number(&handed.record.clone()?));
    }
    same("first events of the keys", came, vec![0, 2])?;
    two.take_none(now, "one event of each key is being handled").await?;
    one.report(&held[0], Outcome::Done, now).await?;
    let next = two.take_one(now).await?;
    same("next event of the key whose first event is done", number(&next.record.clone()?), 1)?;
    one.take_none(now, "one event of each key is being handled").await?;
    two.report(&next, Outcome::Done, now).await?;
    one.report(&held[1], Outcome::Done, now).await?;
    let last = two.take(2, now).await?;
    let mut came = Vec::new();
    for claimed in last {
        came.push(number(&claimed.record?));
    }
    came.sort_unstable();
    same("last events of the keys", came, vec![3, 4])
}

/// Checks that a key also waits while its first event waits for a retry, or is claimed by an instance that
/// has crashed.
async fn a_key_waits_also_while_one_is_retried_or_lost<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("track").ordered_by("key"), "conformance.parcel.*").await?;
    for n in 0..3 {
        manual.bus.emit_json("conformance.parcel.moved", keyed("a", n)).await?;
    }
    let now = Timestamp::now();
    let first = manual.take_one(now).await?;
    let delay = manual.lease() * 10;
    manual.report(&first, Outcome::Retry { delay, error: "later".to_owned() }, now).await?;
    manual.take_none(after(now, delay / 2), "the first event of its key waits for a retry").await?;
    let again = manual.take_one(after(now, delay)).await?;
    same("position and attempt of the retry", (again.position(), again.attempt()), (first.position(), 2))?;
    let other = testbed.manual_consumer(durable("track").ordered_by("key"), "conformance.parcel.*").await?;
    other.let_pass(other.lease() * 2, now).await?;
    let dead = after(now, delay + TICK);
    let again = other.take_one(dead).await?;
    let position_and_attempt = (again.position(), again.attempt());
    same("position and attempt after the lease expired", position_and_attempt, (first.position(), 3))?;
    other.take_none(dead, "the first event of its key is being handled").await?;
    other.report(&again, Outcome::DeadLetter { error: "enough".to_owned() }, dead).await?;
    same("event after a dead letter of the same key", number(&other.take_one(dead).await?.record?), 1)
}
