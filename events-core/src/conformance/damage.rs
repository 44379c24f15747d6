//! Texts in the log that another program has put there: of the future, or damaged.

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

/// Law: what is stored stays as it is: for the handler, in the dead letters, and when these are replayed.
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
        same("what the handler got", came, vec![as_it_is.clone(); round])?;
        testbed.until_done(&bus, "work").await?;
        let letters = bus.consumer("work").dead_letters(10).await?;
        if round == 3 {
            return same("the dead letters in the end", letters.len(), 0);
        }
        ensure!(letters.len() == 1, "there are {} dead letters", letters.len());
        same("what is stored", letters[0].stored.clone(), external.text.clone().into_bytes())?;
        same("replayed", bus.consumer("work").replay(DeadLetters::All).await?, 1)?;
    }
    Ok(())
}

/// Law: attributes the codec does not know are ignored, and payloads stay verbatim.
async fn the_history_gives_foreign_payloads_verbatim<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let bus = testbed.bus().await?;
    emit_numbers(&bus, "conformance.thing.done", 0..1).await?;
    let external = testbed.append("conformance.thing.done", of_the_future).await?;
    let kept = bus.history("conformance.thing.*").await?;
    same("how many are kept", kept.len(), 2)?;
    let (id, payload, source) = (kept[1].id(), kept[1].json()?, kept[1].metadata().source());
    same("the newest", (id, payload, source), (external.event, PAYLOAD, Some("elsewhere")))
}

/// Law: a text that can't be read stands in its place of the history, and all others are given.
async fn what_cannot_be_read_hides_no_other<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let bus = testbed.bus().await?;
    let texts = ["not JSON", "{}", r#"{"specversion":"1.0","id":7}"#, ""];
    for (n, text) in texts.into_iter().enumerate() {
        emit_numbers(&bus, "conformance.thing.done", n..n + 1).await?;
        testbed.append("conformance.thing.done", |_| text.to_owned()).await?;
    }
    for pattern in ["conformance.thing.done", "conformance.*"] {
        let kept = bus.history(pattern).await?;
        same("what is given", kept.iter().map(number).collect(), (0..4).collect::<Vec<_>>())?;
        let starts = kept.all().map(|read| read.is_ok()).collect::<Vec<_>>();
        same("the places", starts, [true, false].repeat(4))?;
        ensure!(kept.unreadable().all(|why| !why.to_string().is_empty()), "it is not said why");
        let newest = bus.history(pattern).limit(3).await?;
        same("the newest", newest.all().map(|read| read.is_ok()).collect(), vec![false, true, false])?;
    }
    Ok(())
}

/// Law: a text that can't be read goes to the dead letters, verbatim, and holds up nothing.
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
        same("what the handler got", recorder.all(), (0..4).collect())?;
        same("the dead letters", status.dead, 4)?;
        let letters = bus.consumer("work").dead_letters(10).await?;
        for (dead, external) in letters.iter().zip(&external) {
            same("what is stored", dead.stored.clone(), external.text.clone().into_bytes())?;
            same("whose it is", dead.event, external.event)?;
            same("the attempts", dead.attempts, 1)?;
            ensure!(!dead.error.is_empty(), "a dead letter does not say why");
        }
        Ok::<_, CaseFailure>(())
    };
    check().await?;
    // Nobody can read it later, either.
    same("replayed", bus.consumer("work").replay(DeadLetters::All).await?, 4)?;
    check().await
}
