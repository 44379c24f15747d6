//! What becomes of events that were handed out, with the clock in the case's hand.

use std::sync::Arc;

use tokio::time::timeout;

use crate::adapter::Adapter;
use crate::adapter::durable::{Claim, Finished, Outcome};
use crate::conformance::harness::Harness;
use crate::conformance::manual_consumer::{TICK, after};
use crate::conformance::recorder::{number, same};
use crate::conformance::testbed::{CaseResult, Testbed, cases, durable, emit_numbers, ensure, numbered};
use crate::record::Record;
use crate::time::Timestamp;

cases! { "leases":
    what_is_handed_out_is_kept_from_others [Durable],
    a_lease_runs_out [Durable],
    a_late_report_changes_nothing [Durable],
    a_lease_is_renewed [Durable],
    attempts_are_counted_before_the_handler_runs [Durable],
    a_retry_waits_for_its_time [Durable],
    what_is_returned_does_not_count [Durable],
    the_event_of_a_dead_instance_is_handled_by_another [Durable],
    an_event_that_kills_ends_in_the_dead_letters [Durable],
    waiting_ends_when_another_instance_appends [Durable],
}

/// Law: an event that was handed out is not handed out again until it is finished, to whichever instance.
async fn what_is_handed_out_is_kept_from_others<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..4).await?;
    let now = Timestamp::now();
    let (first, second) = (one.take(2, now).await?, two.take(2, now).await?);
    one.take_none(now, "all events are being handled").await?;
    two.take_none(after(now, one.lease() / 2), "all events are being handled").await?;
    let mut came = Vec::new();
    for claimed in first.into_iter().chain(second) {
        same("the attempt", claimed.claim.attempt, 1)?;
        one.report(claimed.claim, Outcome::Done, now).await?;
        came.push(number(&claimed.record?));
    }
    same("in the order of the log", came, vec![0, 1, 2, 3])?;
    two.take_none(after(now, one.lease() * 10), "all events are done").await
}

/// Law: when a lease has run out, the event is handed out again, as the next attempt.
async fn a_lease_runs_out<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    let first = one.take_one(now).await?;
    two.take_none(after(now, one.lease() - TICK), "the lease has not run out").await?;
    let again = two.take_one(after(now, one.lease() + TICK)).await?;
    let expected = Claim { attempt: 2, ..first.claim };
    same("what is handed out after the lease", again.claim, expected)?;
    same("its payload", again.record?.json()?, first.record?.json()?)
}

/// Law: a report on an event that was handed out again changes nothing, and is said to be late.
async fn a_late_report_changes_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let outcomes = [
        Outcome::Done,
        Outcome::Dead { error: "late".to_owned(), attempts: 1 },
        Outcome::Retry { at: Timestamp::now(), error: "late".to_owned() },
        Outcome::Returned,
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let name = format!("work-{n}");
        let (event, options) = (format!("conformance.thing.n{n}"), || durable(&name));
        let manual = testbed.manual_consumer(options(), &event).await?;
        let other = testbed.manual_consumer(options(), &event).await?;
        manual.bus.emit_json(&event, numbered(n)).await?;
        let now = Timestamp::now();
        let first = manual.take_one(now).await?;
        let later = after(now, manual.lease() + TICK);
        let again = other.take_one(later).await?;
        let report = Finished { claim: first.claim, outcome: outcome.clone() };
        let late = manual.exchange(std::slice::from_ref(&report), 0, later).await?.late;
        same("who is late", late, vec![first.claim])?;
        manual.take_none(later, "a late report changes nothing").await?;
        let dead = manual.bus.consumer(&name).dead_letters(10).await?.len();
        ensure!(dead == 0, "a late {outcome:?} has made a dead letter");
        other.report(again.claim, Outcome::Done, later).await?;
        let late = manual.exchange(&[report], 0, later).await?.late;
        same("who is late when it is done", late, vec![first.claim])?;
        manual.take_none(after(later, manual.lease() * 10), "it is done").await?;
    }
    Ok(())
}

/// Law: `renew` extends the leases of what is still being handled.
async fn a_lease_is_renewed<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..2).await?;
    let now = Timestamp::now();
    let claims: Vec<_> = one.take(2, now).await?.iter().map(|claimed| claimed.claim).collect();
    let half = after(now, one.lease() / 2);
    one.durable()?.renew(&one.consumer, &claims[..1], half).await?;
    let other = two.take_one(after(now, one.lease() + TICK)).await?;
    same("the one that was not renewed", other.claim.position, claims[1].position)?;
    two.take_none(after(now, one.lease() + TICK), "the lease was extended").await?;
    let again = two.take_one(after(half, one.lease() + TICK)).await?;
    same("after the extended lease", again.claim, Claim { attempt: 2, ..claims[0] })?;
    // Whoever has lost an event can't extend it.
    one.durable()?.renew(&one.consumer, &claims[..1], after(half, one.lease() * 2)).await?;
    let again = two.take_one(after(half, one.lease() * 2 + TICK * 2)).await?;
    same("renewed by who had lost it", again.claim.attempt, 3)
}

/// Law: the attempt is counted before `exchange` returns: an instance that opens the place anew knows it.
async fn attempts_are_counted_before_the_handler_runs<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let mut now = Timestamp::now();
    manual.take_one(now).await?;
    manual.bus.stop().await?;
    for attempt in 2..6 {
        let next = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
        now = after(now, next.lease() + TICK);
        same("the attempt", next.take_one(now).await?.claim.attempt, attempt)?;
        next.bus.stop().await?;
    }
    Ok(())
}

/// Law: what is to be retried is handed out again, not before its time, with the error it failed with.
async fn a_retry_waits_for_its_time<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..2).await?;
    let now = Timestamp::now();
    let first = manual.take_one(now).await?;
    let at = after(now, manual.lease() * 20);
    manual.report(first.claim, Outcome::Retry { at, error: "no paper".to_owned() }, now).await?;
    let other = manual.take_one(now).await?;
    same("the one that does not wait", number(&other.record?), 1)?;
    manual.report(other.claim, Outcome::Done, now).await?;
    let claims = manual.exchange(&[], 10, after(now, manual.lease() * 10)).await?;
    ensure!(claims.claimed.is_empty(), "it was handed out before its time");
    same("when the next one is due", claims.due, Some(at))?;
    let again = manual.take_one(at).await?;
    same("the retry", again.claim, Claim { attempt: 2, ..first.claim })?;
    same("why it failed before", again.last_error.as_deref(), Some("no paper"))
}

/// Law: `Returned` takes back the attempt; the event is handed out again.
async fn what_is_returned_does_not_count<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    for _ in 0..3 {
        let claimed = manual.take_one(now).await?;
        same("the attempt", claimed.claim.attempt, 1)?;
        manual.report(claimed.claim, Outcome::Returned, now).await?;
    }
    Ok(())
}

/// Law: an instance that claims and never reports keeps an event for its lease; then another one handles it, as the
/// second attempt.
async fn the_event_of_a_dead_instance_is_handled_by_another<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (dead, recorder) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.recorder::<u64>());
    emit_numbers(&dead.bus, "conformance.thing.done", 0..3).await?;
    dead.take(3, Timestamp::now()).await?;
    let log = Arc::clone(&recorder);
    let handler = move |record: &Record| {
        log.note(number(record));
        Err::<(), _>("so that the attempt is seen")
    };
    let options = durable("work").retries(1).concurrency(4);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.thing.*", handler)).await?;
    let mut came = recorder.wait_for(3).await?;
    came.sort_unstable();
    same("what the other instance got", came, vec![0, 1, 2])?;
    testbed.until_done(&bus, "work").await?;
    let letters = bus.consumer("work").dead_letters(10).await?;
    same("the attempts", letters.iter().map(|dead| dead.attempts).collect(), vec![2, 2, 2])?;
    same("how often the handler ran", recorder.len(), 3)
}

/// Law: as attempts are counted first, an event that ends every process that handles it goes to the dead letters.
async fn an_event_that_kills_ends_in_the_dead_letters<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (manual, recorder) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.recorder());
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    // Both attempts, in a past whose leases have run out.
    let now = Timestamp::from_micros(Timestamp::now().as_micros() - 4 * manual.lease().as_micros() as i64);
    manual.take_one(now).await?;
    manual.take_one(after(now, manual.lease() + TICK)).await?;
    let bus = testbed.consumer(durable("work").retries(1), "conformance.thing.*", &recorder).await?;
    let status = testbed.until_done(&bus, "work").await?;
    same("the dead letters and the calls", (status.dead, recorder.len()), (1, 0))?;
    let letters = bus.consumer("work").dead_letters(10).await?;
    same("the attempts", letters[0].attempts, 2)
}

/// Law: `wait` resolves when something is appended, by whichever instance.
async fn waiting_ends_when_another_instance_appends<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (manual, other) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.bus().await?);
    for n in 0..5 {
        let (now, mut seen) = (Timestamp::now(), 0);
        // Until there is nothing: what was appended may be told again.
        loop {
            let claims = manual.exchange(&[], 10, now).await?;
            for claimed in &claims.claimed {
                manual.report(claimed.claim, Outcome::Done, now).await?;
            }
            if claims.claimed.is_empty() && !claims.more {
                seen = seen.max(claims.seen);
                break;
            }
        }
        let adapter = Arc::clone(&manual.adapter);
        let waiting = tokio::spawn(async move {
            if let Some(durable) = adapter.durable() {
                durable.wait(seen).await;
            }
        });
        other.emit_json("conformance.thing.done", numbered(n)).await?;
        let waited = timeout(testbed.scale.timeout, waiting).await;
        ensure!(waited.is_ok(), "an event was appended by another instance, and `wait` did not end");
    }
    Ok(())
}
