//! Cases about live handlers: events of one instance reach the handlers of the others.

use std::sync::Arc;

use crate::bus::inner::Bus;
use crate::conformance::harness::{Ability, Harness};
use crate::conformance::recorder::{Gate, Recorder, each_once, number, same};
use crate::conformance::testbed::{
    CaseFailure, CaseResult, Testbed, cases, emit_at_once, emit_numbers, emit_with, ensure, in_tasks,
    numbered,
};
use crate::id::EventId;
use crate::record::Record;
use crate::record::metadata::Metadata;

cases! { "live":
    metadata_survives [Joins],
    an_echo_is_dropped [Joins],
    payloads_are_verbatim [Joins],
    patterns_isolate [Joins],
    all_subscribers_get_all [Joins],
    handlers_that_fail_end_nothing [Joins],
    a_subscriber_that_closes_takes_nothing_from_others [Joins],
    a_slow_subscriber_holds_up_nobody [Joins],
    ten_stops_at_once_are_one [Joins],
    an_id_is_published_once [Joins, Deduplication],
    one_of_many_emits_of_an_id_wins [Deduplication],
}

/// Records the numbers of the events that match a pattern.
pub(super) fn listen(bus: &Bus, pattern: &str, recorder: &Arc<Recorder<u64>>) -> CaseResult {
    let recorder = Arc::clone(recorder);
    bus.pattern(pattern).on(move |record: &Record| recorder.note(number(record)))?;
    Ok(())
}

/// Returns the name, version, id, timestamp, origin and metadata of a record as one text, for comparisons.
pub(super) fn facts(record: &Record) -> String {
    let (name, version, id) = (record.name(), record.version(), record.id());
    format!("{name} {version} {id} {} {} {:?}", record.timestamp(), record.origin(), record.metadata())
}

/// Checks that `publish` stores and passes on the complete record: 100 events with different metadata.
async fn metadata_survives<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, to, recorder) = (testbed.bus().await?, testbed.bus().await?, testbed.recorder::<String>());
    let log = Arc::clone(&recorder);
    to.pattern("conformance.thing.*").on(move |record: &Record| log.note(facts(record)))?;
    let mut sent = Vec::new();
    for n in 0..100 {
        let mut metadata = Metadata::new().with("n", n);
        if n % 2 == 0 {
            metadata =
                metadata.with_source("conformance \u{1f9ea} \"quoted\"").with_correlation_id(format!("c{n}"));
        }
        if n % 3 == 0 {
            let state = (n % 2 == 0).then(|| "vendor=1".to_owned());
            metadata = metadata.with_causation_id("a\nb").with_trace_context("00-4bf92f-00f067-01", state);
        }
        if n % 5 == 0 {
            metadata =
                metadata.with("deep", serde_json::json!({"list": [1, null, "\u{0}"], "of": {"a": 1.5}}));
        }
        let emitted = emit_with(&from, "conformance.thing.done", &numbered(n), metadata, None).await?;
        sent.push(facts(emitted.record().ok_or("an emit through an adapter has a record")?));
    }
    same("records in the other instance", recorder.wait_for(100).await?, sent)
}

/// Checks that handlers run once for each event if a bus gets its own records back.
async fn an_echo_is_dropped<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (testbed.bus().await?, testbed.bus().await?);
    let (at_one, at_two) = (testbed.recorder(), testbed.recorder());
    listen(&one, "conformance.thing.*", &at_one)?;
    listen(&two, "conformance.thing.*", &at_two)?;
    emit_numbers(&one, "conformance.thing.done", 0..50).await?;
    emit_numbers(&two, "conformance.thing.done", 50..100).await?;
    // The last event of `two` reaches `one` after every record that `one` gets back.
    at_two.wait_for(100).await?;
    each_once("events at the first bus", at_one.wait_for(100).await?, 100)?;
    each_once("events at the second bus", at_two.all(), 100)
}

/// Checks that payloads arrive as they were written, including unknown fields.
async fn payloads_are_verbatim<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, to, recorder) = (testbed.bus().await?, testbed.bus().await?, testbed.recorder::<String>());
    let log = Arc::clone(&recorder);
    to.pattern("*").on(move |record: &Record| log.note(record.json().unwrap_or("no JSON").to_owned()))?;
    let payloads = [
        r#"{"n":1,  "future": {"deep": [1.50, 1e3, {"x": null}]}, "n2":12345678901234567890123}"#,
        r#"{ "text" : "\u00e9 é \ud83e\uddea 🧪 \\ \" \/ \t" }"#,
        r#"[]"#,
        r#"null"#,
        r#""only text""#,
        r#"{"a":1,"b":{"a":1,"a":2}}"#,
    ];
    for payload in payloads {
        from.emit_json("conformance.thing.done", payload).await?;
    }
    let came = recorder.wait_for(payloads.len()).await?;
    same("payloads", came, payloads.map(str::to_owned).to_vec())
}

/// Checks that a handler gets exactly the events that match its pattern.
async fn patterns_isolate<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, to) = (testbed.bus().await?, testbed.bus().await?);
    let wanted: [(&str, &[u64]); 6] = [
        ("conformance.user.created", &[0]),
        ("conformance.user.*", &[0, 1, 2]),
        ("*.created", &[0, 3]),
        ("conformance.user.+", &[0, 1]),
        ("*", &[0, 1, 2, 3, 4]),
        ("conformance.other.*", &[]),
    ];
    let recorder: Vec<_> = wanted.iter().map(|_| testbed.recorder()).collect();
    for ((pattern, _), recorder) in wanted.iter().zip(&recorder) {
        listen(&to, pattern, recorder)?;
    }
    let names = [
        "conformance.user.created",
        "conformance.user.deleted",
        "conformance.user.login.failed",
        "conformance.order.created",
        "conformance.stock.empty",
    ];
    for (n, name) in names.into_iter().enumerate() {
        from.emit_json(name, numbered(n)).await?;
    }
    // All handlers of one event have run before those of the next event run.
    from.emit_json("conformance.stock.empty", numbered(4)).await?;
    recorder[4].wait_for(6).await?;
    for ((pattern, expected), recorder) in wanted.into_iter().zip(&recorder) {
        let mut came = recorder.all();
        came.dedup();
        same(pattern, came, expected.to_vec())?;
    }
    Ok(())
}

/// Checks that each instance gets each event of the others once: 50 buses with 5,000 events.
async fn all_subscribers_get_all<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (count, events) = (testbed.scale.subscribers, testbed.scale.events);
    let (from, buses) = (testbed.bus().await?, testbed.buses_of(count).await?);
    let recorder: Vec<_> = buses.iter().map(|_| testbed.recorder()).collect();
    for (bus, recorder) in buses.iter().zip(&recorder) {
        listen(bus, "conformance.thing.*", recorder)?;
    }
    emit_at_once(&from, "conformance.thing.done", 0..events).await?;
    from.emit_json("conformance.thing.done", numbered(events)).await?;
    let mut orders = Vec::new();
    for recorder in &recorder {
        let came = recorder.wait_for(events + 1).await?;
        each_once("events at one of the buses", came.clone(), events + 1)?;
        orders.push(came);
    }
    let differ = orders.iter().filter(|order| **order != orders[0]).count();
    ensure!(
        differ == 0 || !testbed.has(Ability::History),
        "{differ} of {count} buses got the events in another order than the first bus, although the adapter keeps a history"
    );
    Ok(())
}

/// Checks that a failing handler ends neither the subscription nor other handlers.
async fn handlers_that_fail_end_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, to, recorder) = (testbed.bus().await?, testbed.bus().await?, testbed.recorder());
    to.pattern("conformance.thing.*").on(|record: &Record| match number(record) % 3 {
        0 => Err("it can't"),
        _ => Ok(()),
    })?;
    listen(&to, "conformance.thing.*", &recorder)?;
    emit_numbers(&from, "conformance.thing.done", 0..100).await?;
    each_once("events at another handler than the failing one", recorder.wait_for(100).await?, 100)?;
    let failed = to.stats().failed;
    ensure!(failed == 34, "expected 34 counted failures, found {failed}");
    Ok(())
}

/// Checks that `stop` ends the subscription of one instance only.
async fn a_subscriber_that_closes_takes_nothing_from_others<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, buses) = (testbed.bus().await?, testbed.buses_of(4).await?);
    let recorder: Vec<_> = buses.iter().map(|_| testbed.recorder()).collect();
    for (bus, recorder) in buses.iter().zip(&recorder) {
        listen(bus, "conformance.thing.*", recorder)?;
    }
    for part in 0..4 {
        emit_at_once(&from, "conformance.thing.done", part * 100..(part + 1) * 100).await?;
        if part == 1 {
            buses[0].stop().await?;
        }
    }
    for recorder in &recorder[1..] {
        each_once("events at a bus that was not stopped", recorder.wait_for(400).await?, 400)?;
    }
    let new = testbed.bus().await?;
    let at_new = testbed.recorder();
    listen(&new, "conformance.thing.*", &at_new)?;
    from.emit_json("conformance.thing.done", numbered(0)).await?;
    same("events at a bus that was built later", at_new.wait_for(1).await?, vec![0])
}

/// Checks that an instance with blocked handlers does not block publishers forever, and that the events it
/// loses are counted.
async fn a_slow_subscriber_holds_up_nobody<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, slow, fast) = (testbed.bus().await?, testbed.bus().await?, testbed.bus().await?);
    let (at_slow, at_fast, gate) = (testbed.recorder::<u64>(), testbed.recorder(), Gate::closed());
    let (log, open) = (Arc::clone(&at_slow), gate.clone());
    slow.pattern("conformance.thing.*").on(move |record: &Record| {
        let (log, open, number) = (Arc::clone(&log), open.clone(), number(record));
        async move {
            open.pass().await;
            log.note(number);
        }
    })?;
    listen(&fast, "conformance.thing.*", &at_fast)?;
    emit_at_once(&from, "conformance.thing.done", 0..200).await?;
    each_once("events at the fast bus", at_fast.wait_for(200).await?, 200)?;
    gate.open();
    let accounted = || async { Ok(at_slow.len() as u64 + slow.stats().lost >= 200) };
    testbed.until("the slow bus has received or counted as lost all events", accounted).await?;
    let came = at_slow.len();
    if came == 200 { each_once("events at the slow bus", at_slow.all(), 200) } else { Ok(()) }
}

/// Checks that concurrent calls that stop a bus all succeed, and that other buses on the store continue.
async fn ten_stops_at_once_are_one<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, closing, other) = (testbed.bus().await?, testbed.bus().await?, testbed.bus().await?);
    let (at_closing, at_other) = (testbed.recorder(), testbed.recorder());
    listen(&closing, "conformance.thing.*", &at_closing)?;
    listen(&other, "conformance.thing.*", &at_other)?;
    let emitting = tokio::spawn({
        let from = from.clone();
        async move { emit_at_once(&from, "conformance.thing.done", 0..300).await }
    });
    at_closing.wait_for(10).await?;
    let all = closing.clone();
    in_tasks(10, move |_| {
        let closing = all.clone();
        async move { Ok::<_, CaseFailure>(closing.stop().await?) }
    })
    .await?;
    let refused = closing.emit_json("conformance.thing.done", numbered(0)).await;
    ensure!(refused.is_err(), "a stopped bus has emitted an event");
    emitting.await??;
    each_once("events at the bus that was not stopped", at_other.wait_for(300).await?, 300)
}

/// Checks that a record whose id is stored is not stored again, and that no handler of any instance gets it
/// twice.
async fn an_id_is_published_once<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two, third) = (testbed.bus().await?, testbed.bus().await?, testbed.bus().await?);
    let recorder = testbed.recorder();
    listen(&third, "conformance.thing.*", &recorder)?;
    let ids: Vec<_> = (0..20).map(|_| EventId::new()).collect();
    for (bus, is_first) in [(&one, true), (&one, false), (&two, false)] {
        for (n, id) in ids.iter().enumerate() {
            let emitted =
                emit_with(bus, "conformance.thing.done", &numbered(n), Metadata::new(), Some(*id)).await?;
            same("whether the emit is a duplicate", emitted.is_duplicate(), !is_first)?;
        }
    }
    two.emit_json("conformance.thing.done", numbered(20)).await?;
    each_once("events at a third bus", recorder.wait_for(21).await?, 21)
}

/// Checks that one of several concurrent emits with the same id, in two instances, is stored.
async fn one_of_many_emits_of_an_id_wins<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let buses = testbed.buses_of(2).await?;
    for round in 0..20 {
        let (id, kept) = (EventId::new(), testbed.recorder::<u64>());
        let (emitters, log) = (buses.clone(), Arc::clone(&kept));
        in_tasks(10, move |task| {
            let (bus, log) = (emitters[task % 2].clone(), Arc::clone(&log));
            async move {
                let emitted =
                    emit_with(&bus, "conformance.thing.done", &numbered(round), Metadata::new(), Some(id))
                        .await?;
                if !emitted.is_duplicate() {
                    log.note(round);
                }
                Ok(())
            }
        })
        .await?;
        let won = kept.len();
        ensure!(won == 1, "of 10 concurrent emits with the same id, {won} were reported as new, expected 1");
    }
    Ok(())
}
