//! Cases with texts in the log that another program has stored: from a newer format, or damaged.

use std::sync::Arc;

use crate::adapter::durable::DeadLetters;
use crate::conformance::harness::{ExternalRecord, Harness};
use crate::conformance::recorder::{number, same};
use crate::conformance::testbed::{CaseFailure, CaseResult, Testbed, cases, durable, emit_numbers, ensure};
use crate::record::Record;

cases! { "damage":
    attributes_and_fields_of_the_future_survive [Durable, Append],
    the_history_gives_foreign_payloads_verbatim [History, Append],
    what_cannot_be_read_hides_no_other [History, Append],
    what_cannot_be_read_goes_to_the_dead_letters [Durable, Append],
}

const PAYLOAD: &str =
    r#"{"n":7,  "future": {"deep": [1.50, 1e3, {"x": null}]}, "big":12345678901234567890123}"#;

fn of_the_future(external: &ExternalRecord) -> String {
    let ExternalRecord { event, name, version, time, origin, .. } = external;
    format!(
        r#"{{"future":"attribute", "specversion":"1.0","id":"{event}","source":"elsewhere","type":"{name}","time":"{time}","eventversion":{version},"origin":"{origin}","data":{PAYLOAD},"other": 7}}"#
    )
}

/// Checks that a stored record is passed on unchanged: to the handler, in the dead letters, and when these
/// are replayed.
async fn attributes_and_fields_of_the_future_survive<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder::<(String, String)>();
    let log = Arc::clone(&recorder);
    let handler = move |record: &Record| {
        log.note((record.json().unwrap_or("no JSON").to_owned(), record.id().to_string()));
        if log.len() < 3 { Err("not yet") } else { Ok(()) }
    };
    let bus = testbed
        .build(testbed.builder().durable(durable("work").retries(0), "conformance.thing.*", handler))
        .await?;
    let external = testbed.append("conformance.thing.done", of_the_future).await?;
    let as_it_is = (PAYLOAD.to_owned(), external.event.to_string());
    for round in 1..=3 {
        let came = recorder.wait_for(round).await?;
        same("events at the handler", came, vec![as_it_is.clone(); round])?;
        testbed.until_done(&bus, "work").await?;
        let letters = bus.consumer("work").dead_letters(10).await?;
        if round == 3 {
            return same("dead letters after the last attempt", letters.len(), 0);
        }
        ensure!(letters.len() == 1, "expected 1 dead letter, found {}", letters.len());
        same(
            "the stored record of the dead letter",
            letters[0].stored.clone(),
            external.text.clone().into_bytes(),
        )?;
        same("number of replayed dead letters", bus.consumer("work").replay(DeadLetters::All).await?, 1)?;
    }
    Ok(())
}

/// Checks that unknown attributes are ignored, and that payloads are returned unchanged.
async fn the_history_gives_foreign_payloads_verbatim<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let bus = testbed.bus().await?;
    emit_numbers(&bus, "conformance.thing.done", 0..1).await?;
    let external = testbed.append("conformance.thing.done", of_the_future).await?;
    let kept = bus.history("conformance.thing.*").await?;
    same("number of records in the history", kept.len(), 2)?;
    let (id, payload, source) = (kept[1].id(), kept[1].json()?, kept[1].metadata().source());
    same(
        "id, payload and source of the newest record",
        (id, payload, source),
        (external.event, PAYLOAD, Some("elsewhere")),
    )
}

/// Checks that a text that can't be decoded is an error in its position of the history, and that all other
/// records are returned.
async fn what_cannot_be_read_hides_no_other<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let bus = testbed.bus().await?;
    let texts = ["not JSON", "{}", r#"{"specversion":"1.0","id":7}"#, ""];
    for (n, text) in texts.into_iter().enumerate() {
        emit_numbers(&bus, "conformance.thing.done", n..n + 1).await?;
        testbed.append("conformance.thing.done", |_| text.to_owned()).await?;
    }
    for pattern in ["conformance.thing.done", "conformance.*"] {
        let kept = bus.history(pattern).await?;
        same("records in the history", kept.iter().map(number).collect(), (0..4).collect::<Vec<_>>())?;
        let starts = kept.all().map(|read| read.is_ok()).collect::<Vec<_>>();
        same("readable positions in the history", starts, [true, false].repeat(4))?;
        ensure!(
            kept.unreadable().all(|why| !why.to_string().is_empty()),
            "an undecodable record has no error message"
        );
        let newest = bus.history(pattern).limit(3).await?;
        same(
            "readable positions among the newest records",
            newest.all().map(|read| read.is_ok()).collect(),
            vec![false, true, false],
        )?;
    }
    Ok(())
}

/// Checks that a record that can't be decoded becomes a dead letter, unchanged, and does not delay other
/// events.
async fn what_cannot_be_read_goes_to_the_dead_letters<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder();
    let emitter = testbed.bus().await?;
    let texts = ["not JSON", "{}", r#"{"specversion":"1.0","id":7}"#, ""];
    let mut external = Vec::new();
    for (n, text) in texts.into_iter().enumerate() {
        emit_numbers(&emitter, "conformance.thing.done", n..n + 1).await?;
        external.push(testbed.append("conformance.thing.done", |_| text.to_owned()).await?);
    }
    let bus = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    let check = || async {
        let status = testbed.until_done(&bus, "work").await?;
        same("events at the handler", recorder.all(), (0..4).collect())?;
        same("number of dead letters", status.dead, 4)?;
        let letters = bus.consumer("work").dead_letters(10).await?;
        for (dead, external) in letters.iter().zip(&external) {
            same(
                "the stored record of a dead letter",
                dead.stored.clone(),
                external.text.clone().into_bytes(),
            )?;
            same("the event id of a dead letter", dead.event, external.event)?;
            same("the attempts of a dead letter", dead.attempts, 1)?;
            ensure!(!dead.error.is_empty(), "a dead letter has no error message");
        }
        Ok::<_, CaseFailure>(())
    };
    check().await?;
    // The records can't be decoded later, either.
    same("number of replayed dead letters", bus.consumer("work").replay(DeadLetters::All).await?, 4)?;
    check().await
}
