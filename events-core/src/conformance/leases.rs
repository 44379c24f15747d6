//! Cases about claimed events, with times that the case chooses.

use std::sync::Arc;

use tokio::time::timeout;

use crate::adapter::Adapter;
use crate::adapter::durable::{Claim, DeadLetters, Finished, Outcome};
use crate::adapter::options::StartAt;
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
    an_outcome_belongs_to_its_claim [Durable],
    a_lease_is_renewed [Durable],
    attempts_are_counted_before_the_handler_runs [Durable],
    a_retry_waits_for_its_time [Durable],
    what_is_returned_does_not_count [Durable],
    the_event_of_a_dead_instance_is_handled_by_another [Durable],
    an_event_that_kills_ends_in_the_dead_letters [Durable],
    waiting_ends_when_another_instance_appends [Durable],
}

/// Checks that a claimed event is not handed out again before it is finished, in any instance.
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
        same("attempt of the claim", claimed.claim.attempt, 1)?;
        one.report(claimed.claim, Outcome::Done, now).await?;
        came.push(number(&claimed.record?));
    }
    same("order of the claims", came, vec![0, 1, 2, 3])?;
    two.take_none(after(now, one.lease() * 10), "all events are done").await
}

/// Checks that an event is handed out again as the next attempt after its lease has expired.
async fn a_lease_runs_out<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    let first = one.take_one(now).await?;
    two.take_none(after(now, one.lease() - TICK), "the lease has not expired").await?;
    let again = two.take_one(after(now, one.lease() + TICK)).await?;
    same("claim after the lease expired", of(again.claim), (first.claim.position, 2))?;
    same("whether the previous attempt lost its lease", (first.lost_lease, again.lost_lease), (false, true))?;
    same("payload of that event", again.record?.json()?, first.record?.json()?)
}

/// Checks that the outcome of a claim has no effect, and is reported as late, after the event was handed out
/// again.
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
        same("late claims", late, vec![first.claim])?;
        manual.take_none(later, "a late outcome must have no effect").await?;
        let dead = manual.bus.consumer(&name).dead_letters(10).await?.len();
        ensure!(dead == 0, "a late {outcome:?} has created a dead letter");
        other.report(again.claim, Outcome::Done, later).await?;
        let late = manual.exchange(&[report], 0, later).await?.late;
        same("late claims after the event is done", late, vec![first.claim])?;
        manual.take_none(after(later, manual.lease() * 10), "the event is done").await?;
    }
    Ok(())
}

/// Checks that `renew` extends the leases of events that are still being handled.
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
    same("position of the event whose lease was not renewed", other.claim.position, claims[1].position)?;
    two.take_none(after(now, one.lease() + TICK), "its lease was extended").await?;
    let again = two.take_one(after(half, one.lease() + TICK)).await?;
    same("claim after the extended lease expired", of(again.claim), (claims[0].position, 2))?;
    // An instance that has lost a claim can't extend its lease.
    one.durable()?.renew(&one.consumer, &claims[..1], after(half, one.lease() * 2)).await?;
    let again = two.take_one(after(half, one.lease() * 2 + TICK * 2)).await?;
    same("attempt after a renewal by an instance that had lost the claim", again.claim.attempt, 3)
}

/// Checks that the attempt is stored before `exchange` returns, so that an instance that opens the store
/// later sees it.
async fn attempts_are_counted_before_the_handler_runs<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let mut now = Timestamp::now();
    manual.take_one(now).await?;
    manual.bus.stop().await?;
    for attempt in 2..6 {
        let next = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
        now = after(now, next.lease() + TICK);
        same("attempt of the claim", next.take_one(now).await?.claim.attempt, attempt)?;
        next.bus.stop().await?;
    }
    Ok(())
}

/// Checks that a retried event is not handed out before its time, and that it is handed out with the error of
/// the previous attempt.
async fn a_retry_waits_for_its_time<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..2).await?;
    let now = Timestamp::now();
    let first = manual.take_one(now).await?;
    let at = after(now, manual.lease() * 20);
    manual.report(first.claim, Outcome::Retry { at, error: "no paper".to_owned() }, now).await?;
    let other = manual.take_one(now).await?;
    same("event that does not wait", number(&other.record?), 1)?;
    manual.report(other.claim, Outcome::Done, now).await?;
    let claims = manual.exchange(&[], 10, after(now, manual.lease() * 10)).await?;
    ensure!(claims.claimed.is_empty(), "an event was handed out before the time of its retry");
    same("time at which the next event is due", claims.due, Some(at))?;
    let again = manual.take_one(at).await?;
    same("claim of the retry", of(again.claim), (first.claim.position, 2))?;
    ensure!(!again.lost_lease, "a reported attempt is said to have lost its lease");
    same("error of the previous attempt", again.last_error.as_deref(), Some("no paper"))
}

/// Checks that `Returned` does not count the attempt, and that the event is handed out again.
async fn what_is_returned_does_not_count<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    for _ in 0..3 {
        let claimed = manual.take_one(now).await?;
        same("attempt of the claim", claimed.claim.attempt, 1)?;
        manual.report(claimed.claim, Outcome::Returned, now).await?;
    }
    Ok(())
}

/// Checks that the events of an instance that claims and never reports are handled by another instance after
/// their leases, as the second attempt.
async fn the_event_of_a_dead_instance_is_handled_by_another<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (dead, recorder) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.recorder::<u64>());
    emit_numbers(&dead.bus, "conformance.thing.done", 0..3).await?;
    dead.take(3, Timestamp::now()).await?;
    let log = Arc::clone(&recorder);
    let handler = move |record: &Record| {
        log.note(number(record));
        Err::<(), _>("fails to record the attempts")
    };
    let options = durable("work").retries(1).concurrency(4);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.thing.*", handler)).await?;
    let mut came = recorder.wait_for(3).await?;
    came.sort_unstable();
    same("events in the other instance", came, vec![0, 1, 2])?;
    testbed.until_done(&bus, "work").await?;
    let letters = bus.consumer("work").dead_letters(10).await?;
    same("attempts of the dead letters", letters.iter().map(|dead| dead.attempts).collect(), vec![2, 2, 2])?;
    same("number of calls of the handler", recorder.len(), 3)
}

/// Checks that an event that crashes every process that handles it becomes a dead letter, because attempts
/// are stored before the handler runs.
async fn an_event_that_kills_ends_in_the_dead_letters<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (manual, recorder) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.recorder());
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    // Both attempts are made at past times, so that their leases have expired.
    let now = Timestamp::from_micros(Timestamp::now().as_micros() - 4 * manual.lease().as_micros() as i64);
    manual.take_one(now).await?;
    manual.take_one(after(now, manual.lease() + TICK)).await?;
    let bus = testbed.consumer(durable("work").retries(1), "conformance.thing.*", &recorder).await?;
    let status = testbed.until_done(&bus, "work").await?;
    same("number of dead letters, and of calls of the handler", (status.dead, recorder.len()), (1, 0))?;
    let letters = bus.consumer("work").dead_letters(10).await?;
    same("attempts of the dead letter", letters[0].attempts, 2)
}

/// Checks that `wait` resolves when any instance appends an event.
async fn waiting_ends_when_another_instance_appends<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (manual, other) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.bus().await?);
    for n in 0..5 {
        let (now, mut seen) = (Timestamp::now(), 0);
        // Exchange until no event is left, because an earlier event may be signalled again.
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
        ensure!(waited.is_ok(), "another instance appended an event, but `wait` did not resolve");
    }
    Ok(())
}

/// Position and attempt of a claim.
fn of(claim: Claim) -> (u64, u32) {
    (claim.position, claim.attempt)
}

/// Checks that an outcome of a claim has no effect after a seek or a replay has handed out the same position as the
/// same attempt.
async fn an_outcome_belongs_to_its_claim<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    let consumer = manual.bus.consumer("work");
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    let first = manual.take_one(now).await?;
    consumer.seek(StartAt::Start).await?;
    let second = manual.take_one(now).await?;
    same("claim after the seek", of(second.claim), of(first.claim))?;
    let report = |claim, outcome| [Finished { claim, outcome }];
    let late = manual.exchange(&report(first.claim, Outcome::Done), 0, now).await?.late;
    same("late claims after the seek", late, vec![first.claim])?;
    manual.durable()?.renew(&manual.consumer, &[first.claim], after(now, manual.lease() * 9)).await?;
    let dead = Outcome::Dead { error: "no paper".to_owned(), attempts: 1 };
    manual.report(second.claim, dead.clone(), now).await?;
    same("replayed dead letters", consumer.replay(DeadLetters::All).await?, 1)?;
    // The replayed event is due at the time of the replay.
    let now = Timestamp::now();
    let third = manual.take_one(now).await?;
    same("claim after the replay", of(third.claim), of(first.claim))?;
    for late_claim in [first.claim, second.claim] {
        let late = manual.exchange(&report(late_claim, Outcome::Done), 0, now).await?.late;
        same("late claims after the replay", late, vec![late_claim])?;
    }
    manual.report(third.claim, Outcome::Retry { at: now, error: "no ink".to_owned() }, now).await?;
    let last = manual.take_one(now).await?;
    same("claim after the retry", of(last.claim), (first.claim.position, 2))?;
    manual.report(last.claim, Outcome::Done, now).await
}
