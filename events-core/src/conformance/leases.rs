//! Cases about claimed events, with times that the case chooses.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use crate::adapter::Adapter;
use crate::adapter::durable::{DeadLetters, DurableError, Outcome, Refusal};
use crate::adapter::options::{DurableOptions, StartAt};
use crate::conformance::harness::Harness;
use crate::conformance::manual_consumer::{Handed, ManualConsumer, TICK, after, at};
use crate::conformance::recorder::{Gate, number, same};
use crate::conformance::testbed::{
    CaseFailure, CaseResult, Testbed, cases, durable, emit_numbers, ensure, numbered,
};
use crate::record::Record;
use crate::time::Timestamp;

cases! { "leases":
    what_is_handed_out_is_kept_from_others [Durable],
    a_lease_runs_out [Durable],
    a_late_report_changes_nothing [Durable],
    an_outcome_belongs_to_its_claim [Durable],
    a_report_after_the_lease_counts [Durable],
    a_session_that_sends_beats_keeps_its_events [Durable],
    a_repeated_exchange_changes_nothing [Durable],
    what_is_not_named_comes_again [Durable],
    a_window_past_the_log_is_refused [Durable],
    attempts_are_counted_before_the_handler_runs [Durable],
    a_retry_waits_for_its_time [Durable],
    what_is_returned_does_not_count [Durable],
    the_event_of_a_dead_instance_is_handled_by_another [Durable],
    an_event_that_kills_ends_in_the_dead_letters [Durable],
    an_event_that_is_handed_out_alone_holds_up_others_only_meanwhile [Durable],
    a_claim_for_an_event_alone_that_gets_another_one_holds_up_no_one [Durable],
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
    for (manual, handed) in [(&one, first), (&two, second)] {
        for handed in handed {
            same("attempt of the delivery", handed.attempt(), 1)?;
            manual.report(&handed, Outcome::Done, now).await?;
            came.push(number(&handed.record?));
        }
    }
    same("order of the claims", came, vec![0, 1, 2, 3])?;
    two.take_none(after(now, one.lease() * 10), "all events are done").await
}

/// Checks that an event is handed out again as the next attempt after the session has sent no beat for its lease.
async fn a_lease_runs_out<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    let first = one.take_one(now).await?;
    two.let_pass(two.lease(), now).await?;
    two.take_none(after(now, two.lease() * 9), "the lease has not expired").await?;
    two.let_pass(two.lease() / 3, now).await?;
    let again = two.take_one(after(now, TICK)).await?;
    same("delivery after the lease expired", of(&again), (first.position(), 2))?;
    let lost = (first.delivered.lost_lease, again.delivered.lost_lease);
    same("whether the previous attempt lost its lease", lost, (false, true))?;
    same("payload of that event", again.record?.json()?, first.record?.json()?)
}

/// Checks that the outcome of a delivery has no effect, and is reported as late, after the event was handed out
/// again.
async fn a_late_report_changes_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let outcomes = [
        Outcome::Done,
        Outcome::DeadLetter { error: "late".to_owned() },
        Outcome::Retry { delay: TICK, error: "late".to_owned() },
        Outcome::GivenBack,
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let name = format!("work-{n}");
        let (event, options) = (format!("conformance.thing.n{n}"), || durable(&name));
        let manual = testbed.manual_consumer(options(), &event).await?;
        let other = testbed.manual_consumer(options(), &event).await?;
        manual.bus.emit_json(&event, numbered(n)).await?;
        let now = Timestamp::now();
        let first = manual.take_one(now).await?;
        other.let_pass(other.lease() * 2, now).await?;
        let later = after(now, TICK);
        let again = other.take_one(later).await?;
        let refused = manual.exchange(vec![first.report(outcome.clone())], 0, later).await;
        ensure!(refused.is_err(), "an exchange of a session that has ended was accepted");
        manual.register_again().await?;
        let (answer, _) = manual.exchange(vec![first.report(outcome.clone())], 0, later).await?;
        same("late reports", answer.late, vec![first.late()])?;
        manual.take_none(later, "a late outcome must have no effect").await?;
        let dead = manual.bus.consumer(&name).dead_letters(10).await?.len();
        ensure!(dead == 0, "a late {outcome:?} has created a dead letter");
        other.report(&again, Outcome::Done, later).await?;
        let (answer, _) = manual.exchange(vec![first.report(outcome)], 0, later).await?;
        same("late reports after the event is done", answer.late, vec![first.late()])?;
        manual.take_none(after(later, manual.lease() * 10), "the event is done").await?;
    }
    Ok(())
}

/// Checks that a report settles its event after the session has ended, as long as the event was not handed out again.
async fn a_report_after_the_lease_counts<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work"), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    let handed = one.take_one(now).await?;
    two.let_pass(two.lease() * 2, now).await?;
    one.register_again().await?;
    one.report(&handed, Outcome::Done, now).await?;
    two.take_none(after(now, two.lease() * 9), "the event is done").await
}

/// Checks that a session that sends beats keeps its events, whatever the clocks of the calls say.
async fn a_session_that_sends_beats_keeps_its_events<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (
        testbed.manual_consumer(durable("work").retries(0), "conformance.thing.*").await?,
        testbed.manual_consumer(durable("work").retries(0), "conformance.thing.*").await?,
    );
    emit_numbers(&one.bus, "conformance.thing.done", 0..2).await?;
    let now = Timestamp::now();
    let handed = one.take(2, now).await?;
    let (step, hour) = (one.lease() / 3, std::time::Duration::from_secs(3600));
    for round in 0..9 {
        two.beat(step, after(now, hour)).await?;
        one.beat(step, now).await?;
        two.take_none(after(now, hour * round), "their session sends beats").await?;
    }
    one.beat(step, after(now, hour * 10)).await?;
    let seen = one.bus.consumer("work").status().await?.seen;
    let is_new = seen >= after(now, hour * 10);
    same("the consumer was seen at the last beat of its session", is_new, true)?;
    for handed in &handed {
        one.report(handed, Outcome::Done, now).await?;
    }
    let dead = one.bus.consumer("work").dead_letters(10).await?.len();
    same("number of dead letters", dead, 0)?;
    // A beat that failed in between adds no time, and neither does one after a long pause.
    let handed = one.take_none(after(now, hour), "all events are done").await;
    two.beat(hour, now).await?;
    one.beat(step, now).await?;
    handed
}

/// Checks that a repeated exchange returns the same answer and changes nothing, and that an older one is refused.
async fn a_repeated_exchange_changes_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..3).await?;
    let now = Timestamp::now();
    let first = manual.next_exchange(Vec::new(), 1).await?;
    let answer = manual.durable()?.exchange(&at(now), &first).await?;
    same("number of deliveries", answer.deliveries.len(), 1)?;
    let repeated = manual.durable()?.exchange(&at(now), &first).await?;
    same("deliveries of the repeated exchange", repeated.deliveries, answer.deliveries.clone())?;
    let handed = manual.answered(&first, &answer).await?;
    let second = manual.next_exchange(vec![handed[0].report(Outcome::Done)], 1).await?;
    let answer = manual.durable()?.exchange(&at(now), &second).await?;
    let repeated = manual.durable()?.exchange(&at(now), &second).await?;
    let of_answer = (answer.late.clone(), answer.deliveries.clone());
    same("answer to the repeated exchange", (repeated.late, repeated.deliveries), of_answer)?;
    let old = manual.durable()?.exchange(&at(now), &first).await;
    ensure!(
        matches!(old, Err(DurableError::Refused(Refusal::OldNumber))),
        "an exchange with an old number was not refused: {old:?}"
    );
    manual.answered(&second, &answer).await?;
    same("the last event", number(&manual.take_one(now).await?.record?), 2)
}

/// Checks that deliveries which a session does not name are due again without counting as attempts.
async fn what_is_not_named_comes_again<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    // The answer is lost, and the session goes on with another number.
    let lost = manual.next_exchange(Vec::new(), 1).await?;
    let answer = manual.durable()?.exchange(&at(now), &lost).await?;
    same("number of deliveries", answer.deliveries.len(), 1)?;
    let mut next = manual.next_exchange(Vec::new(), 1).await?;
    next.last_answered = 0;
    let asked = manual.durable()?.exchange(&at(now), &next).await?;
    ensure!(
        asked.recount && asked.deliveries.is_empty(),
        "a session that has lost an answer was not asked what it has in hand: {asked:?}"
    );
    manual.answered(&next, &asked).await?;
    let mut named = manual.next_exchange(Vec::new(), 1).await?;
    named.named_in_hand = Some(Vec::new());
    let answer = manual.durable()?.exchange(&at(now), &named).await?;
    let handed = manual.answered(&named, &answer).await?;
    same("attempts of the deliveries", handed.iter().map(Handed::attempt).collect::<Vec<_>>(), vec![1])
}

/// Checks that a claim of events which the log does not have is refused as a loss of data, and passes over nothing.
async fn a_window_past_the_log_is_refused<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..2).await?;
    let now = Timestamp::now();
    let exchange = manual.next_exchange(Vec::new(), 2).await?;
    let mut past = exchange.clone();
    let claim = past.claim.as_mut().ok_or("the exchange claims nothing")?;
    claim.window.to += 100;
    claim.window.wanted.clear();
    let answer = manual.durable()?.exchange(&at(now), &past).await;
    ensure!(
        matches!(answer, Err(DurableError::Refused(Refusal::Behind(_)))),
        "a claim of events that the log does not have was not refused: {answer:?}"
    );
    let answer = manual.durable()?.exchange(&at(now), &exchange).await?;
    same("number of events that are handed out then", answer.deliveries.len(), 2)
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
        // Registering has read the clock.
        now = Timestamp::now().max(now);
        next.let_pass(next.lease() * 2, now).await?;
        now = after(now, TICK);
        same("attempt of the delivery", next.take_one(now).await?.attempt(), attempt)?;
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
    let delay = manual.lease() * 20;
    manual.report(&first, Outcome::Retry { delay, error: "no paper".to_owned() }, now).await?;
    let other = manual.take_one(now).await?;
    manual.report(&other, Outcome::Done, now).await?;
    same("event that does not wait", number(&other.record?), 1)?;
    let (answer, handed) = manual.exchange(Vec::new(), 10, after(now, delay / 2)).await?;
    ensure!(handed.is_empty(), "an event was handed out before the time of its retry");
    let due_in = answer.due_in.ok_or("the answer does not say when the next event is due")?;
    same("time until the next event is due", due_in, (delay - delay / 2).as_micros() as u64)?;
    let again = manual.take_one(after(now, delay)).await?;
    same("delivery of the retry", of(&again), (first.position(), 2))?;
    ensure!(!again.delivered.lost_lease, "a reported attempt is said to have lost its lease");
    same("error of the previous attempt", again.delivered.error.as_deref(), Some("no paper"))
}

/// Checks that `GivenBack` does not count the attempt, and that the event is handed out again.
async fn what_is_returned_does_not_count<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    for _ in 0..3 {
        let claimed = manual.take_one(now).await?;
        same("attempt of the delivery", claimed.attempt(), 1)?;
        manual.report(&claimed, Outcome::GivenBack, now).await?;
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
    let bus = testbed
        .build(testbed.builder().lease(testbed.scale.lease).durable(options, "conformance.thing.*", handler))
        .await?;
    let mut came = recorder.wait_for(3).await?;
    came.sort_unstable();
    same("events in the other instance", came, vec![0, 1, 2])?;
    testbed.until_done(&bus, "work").await?;
    let letters = bus.consumer("work").dead_letters(10).await?;
    same("attempts of the dead letters", letters.iter().map(|dead| dead.attempts).collect(), vec![2, 2, 2])?;
    same("number of calls of the handler", recorder.len(), 3)
}

/// Checks that an event that crashes every process that handles it becomes a dead letter, because attempts
/// are stored before the handler runs, and that no event beside it does.
async fn an_event_that_kills_ends_in_the_dead_letters<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let options = || durable("work").retries(1);
    let first = testbed.manual_consumer(options(), "conformance.thing.*").await?;
    emit_numbers(&first.bus, "conformance.thing.done", 0..4).await?;
    let mut now = Timestamp::now();
    first.take(4, now).await?;
    let mut killed = 1;
    // Each further process ends while it has in hand what it got.
    loop {
        let next = testbed.manual_consumer(options(), "conformance.thing.*").await?;
        // Registering has read the clock.
        now = Timestamp::now().max(now);
        next.let_pass(next.lease() * 2, now).await?;
        let later = after(now, TICK * killed);
        let handed = next.take_one(later).await?;
        let (_, more) = next.exchange(Vec::new(), 4, later).await?;
        ensure!(more.is_empty(), "events in their last attempt were handed out beside another one: {more:?}");
        if killed == 1 {
            same("attempt of the first event", handed.attempt(), 2)?;
            killed += 1;
            continue;
        }
        // The second event and those after it are handled.
        next.report(&handed, Outcome::Done, later).await?;
        for _ in 0..2 {
            let handed = next.take_one(later).await?;
            next.report(&handed, Outcome::Done, later).await?;
        }
        break;
    }
    let status =
        testbed.until_status(&first.bus, "work", "one dead letter", |status| status.dead == 1).await?;
    same("events that are left", status.lag, 0)?;
    let letters = first.bus.consumer("work").dead_letters(10).await?;
    same("attempts of the dead letters", letters.iter().map(|dead| dead.attempts).collect(), vec![2])
}

/// Creates a consumer with two events in hand, whose session sends no beats.
async fn with_two_in_hand<H: Harness>(
    testbed: &Testbed<H>,
    options: DurableOptions,
) -> Result<ManualConsumer<H::Adapter>, CaseFailure> {
    let manual = testbed.manual_consumer(options, "conformance.thing.*").await?;
    emit_numbers(&manual.bus, "conformance.thing.done", 0..2).await?;
    manual.take(2, Timestamp::now()).await?;
    Ok(manual)
}

/// Checks that the other handlers of a bus go on after an event was handed out alone, which is an event in its last attempt
/// whose earlier attempt ended with its session.
async fn an_event_that_is_handed_out_alone_holds_up_others_only_meanwhile<H: Harness>(
    testbed: Testbed<H>,
) -> CaseResult {
    let options = || durable("work").retries(1);
    let _dead = with_two_in_hand(&testbed, options()).await?;
    let (work, other) = (testbed.recorder(), testbed.recorder());
    let note = |log: &Arc<crate::conformance::recorder::Recorder<u64>>| {
        let log = Arc::clone(log);
        move |record: &Record| log.note(number(record))
    };
    let builder = testbed.builder().lease(testbed.scale.lease);
    let builder = builder.durable(options(), "conformance.thing.*", note(&work));
    let builder = builder.durable(durable("other").concurrency(4), "conformance.other.*", note(&other));
    let bus = testbed.build(builder).await?;
    // Events of both consumers come before, while and after the two events are handed out.
    for n in 2..60 {
        bus.emit_json("conformance.thing.done", numbered(n)).await?;
        bus.emit_json("conformance.other.done", numbered(n)).await?;
        tokio::time::sleep(testbed.scale.lease / 20).await;
    }
    testbed.until_done(&bus, "work").await?;
    testbed.until_done(&bus, "other").await?;
    let mut came = work.all();
    came.sort_unstable();
    same("events of the consumer", came, (0..60).collect())?;
    let mut came = other.all();
    came.sort_unstable();
    same("events of the other consumer", came, (2..60).collect())
}

/// Checks that the other handlers of a bus go on if a claim for an event that is handed out alone gets another event,
/// because another instance has such an event in hand.
async fn a_claim_for_an_event_alone_that_gets_another_one_holds_up_no_one<H: Harness>(
    testbed: Testbed<H>,
) -> CaseResult {
    let options = || durable("work").retries(1);
    let dead = with_two_in_hand(&testbed, options()).await?;
    let holder = testbed.manual_consumer(options(), "conformance.thing.*").await?;
    let now = Timestamp::now();
    holder.let_pass(holder.lease() * 2, now).await?;
    let alone = holder.take_one(after(now, TICK)).await?;
    ensure!(alone.delivered.solo, "an event in its last attempt was not handed out alone");
    emit_numbers(&dead.bus, "conformance.thing.done", 2..4).await?;

    let (work, other, gate) = (testbed.recorder(), testbed.recorder::<u64>(), Gate::closed());
    let (log, other_log, passes) = (Arc::clone(&work), Arc::clone(&other), gate.clone());
    let handle = move |record: &Record| {
        let (number, passes) = (number(record), passes.clone());
        log.note(number);
        async move {
            if number == 3 {
                passes.pass().await;
            }
        }
    };
    let builder = testbed.builder().lease(testbed.scale.lease);
    let builder = builder.durable(options().concurrency(1), "conformance.thing.*", handle);
    let note = move |record: &Record| other_log.note(number(record));
    let bus = testbed.build(builder.durable(durable("other"), "conformance.other.*", note)).await?;
    // The first event is claimed beside others, the second one by a claim for an event alone.
    work.wait_for(2).await?;
    bus.emit_json("conformance.other.done", numbered(4)).await?;
    let until = Instant::now() + testbed.scale.timeout;
    while other.len() == 0 && Instant::now() < until {
        holder.beat(holder.lease() / 3, Timestamp::now()).await?;
        // If it takes longer, the holder sends another beat.
        drop(timeout(holder.lease() / 3, other.wait_for(1)).await);
    }
    same("events of the other consumer while an event is handled", other.all(), vec![4])?;
    gate.open();
    holder.report(&alone, Outcome::Done, Timestamp::now()).await?;
    testbed.until_done(&bus, "work").await?;
    let mut came = work.all();
    came.push(number(&alone.record?));
    came.sort_unstable();
    same("events of the consumer", came, (0..4).collect())
}

/// Checks that `wait` resolves when any instance appends an event.
async fn waiting_ends_when_another_instance_appends<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (manual, other) =
        (testbed.manual_consumer(durable("work"), "conformance.thing.*").await?, testbed.bus().await?);
    for n in 0..5 {
        let now = Timestamp::now();
        // Exchange until no event is left, because an earlier event may be signalled again.
        let changes = loop {
            let changes = manual.durable()?.changes();
            let (answer, handed) = manual.exchange(Vec::new(), 10, now).await?;
            for handed in &handed {
                manual.report(handed, Outcome::Done, now).await?;
            }
            if handed.is_empty() && !answer.more {
                break changes;
            }
        };
        let adapter = Arc::clone(&manual.adapter);
        let waiting = tokio::spawn(async move {
            if let Some(durable) = adapter.durable() {
                durable.wait(changes).await;
            }
        });
        other.emit_json("conformance.thing.done", numbered(n)).await?;
        let waited = timeout(testbed.scale.timeout, waiting).await;
        ensure!(waited.is_ok(), "another instance appended an event, but `wait` did not resolve");
    }
    Ok(())
}

/// Position and attempt of a delivery.
fn of(handed: &Handed) -> (u64, u32) {
    (handed.position(), handed.attempt())
}

/// Checks that an outcome of a delivery has no effect after a seek or a replay has handed out the same position as the
/// same attempt.
async fn an_outcome_belongs_to_its_claim<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    let consumer = manual.bus.consumer("work");
    emit_numbers(&manual.bus, "conformance.thing.done", 0..1).await?;
    let now = Timestamp::now();
    let first = manual.take_one(now).await?;
    consumer.seek(StartAt::Start).await?;
    let (answer, _) = manual.exchange(vec![first.report(Outcome::Done)], 0, now).await?;
    same("late reports after the seek", answer.late, vec![first.late()])?;
    let second = manual.take_one(now).await?;
    same("delivery after the seek", of(&second), of(&first))?;
    let dead = Outcome::DeadLetter { error: "no paper".to_owned() };
    manual.report(&second, dead, now).await?;
    same("replayed dead letters", consumer.replay(DeadLetters::All).await?, 1)?;
    // The replayed event is due at the time of the replay.
    let now = Timestamp::now();
    let third = manual.take_one(now).await?;
    same("delivery after the replay", of(&third), of(&first))?;
    for over in [&first, &second] {
        let (answer, _) = manual.exchange(vec![over.report(Outcome::Done)], 0, now).await?;
        same("late reports after the replay", answer.late, vec![over.late()])?;
    }
    let delay = std::time::Duration::ZERO;
    manual.report(&third, Outcome::Retry { delay, error: "no ink".to_owned() }, now).await?;
    let last = manual.take_one(now).await?;
    same("delivery after the retry", of(&last), (first.position(), 2))?;
    manual.report(&last, Outcome::Done, now).await
}
