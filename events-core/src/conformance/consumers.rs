//! Cases about which events durable consumers get.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::adapter::options::StartAt;
use crate::conformance::harness::Harness;
use crate::conformance::recorder::{each_once, number, same};
use crate::conformance::testbed::{
    CaseResult, Testbed, cases, durable, emit_at_once, emit_numbers, ensure, in_tasks, numbered,
};
use crate::record::Record;

cases! { "consumers":
    a_new_one_begins_where_it_says [Durable],
    a_known_one_keeps_its_position [Durable],
    programs_with_other_patterns_lose_nothing [Durable],
    what_no_program_takes_holds_up_nothing [Durable],
    each_gets_all [Durable],
    instances_share_the_events [Durable],
    what_fails_is_handed_out_again [Durable],
    errors_and_panics_end_nothing [Durable],
    one_that_closes_leaves_the_rest_to_others [Durable],
    what_others_publish_reaches_it [Durable],
    an_event_is_settled_when_all_are_done [Durable],
}

/// Checks that a new consumer starts at [`Consumer::from`](crate::Consumer::from), with and without earlier
/// events.
async fn a_new_one_begins_where_it_says<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let from = testbed.bus().await?;
    let mut times = Vec::new();
    for n in 0..6 {
        let emitted = from.emit_json("conformance.thing.done", numbered(n)).await?;
        times.push(emitted.record().ok_or("an emit through an adapter has a record")?.timestamp());
    }
    let since = times.iter().position(|time| *time == times[4]).unwrap_or_default() as u64;
    let starts = [(StartAt::Start, 0), (StartAt::Now, 6), (StartAt::Time(times[4]), since)];
    let recorder: Vec<_> = starts.iter().map(|_| testbed.recorder()).collect();
    let mut buses = Vec::new();
    for (n, ((start, _), recorder)) in starts.iter().zip(&recorder).enumerate() {
        buses.push(
            testbed
                .consumer(durable(&format!("from-{n}")).from(*start), "conformance.thing.*", recorder)
                .await?,
        );
    }
    emit_numbers(&from, "conformance.thing.done", 6..10).await?;
    for (n, ((start, first), recorder)) in starts.into_iter().zip(recorder).enumerate() {
        testbed.until_done(&buses[n], &format!("from-{n}")).await?;
        same(
            &format!("events of a consumer that starts at {start:?}"),
            recorder.all(),
            (first..10).collect(),
        )?;
    }
    Ok(())
}

/// Checks that an existing consumer keeps its position and its patterns: events of a pattern that no program has any
/// more wait for one that has it, and a pattern that is added counts from the position.
async fn a_known_one_keeps_its_position<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, recorder) = (testbed.bus().await?, testbed.recorder());
    from.emit_json("conformance.old.done", numbered(100)).await?;
    let first = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    emit_numbers(&from, "conformance.thing.done", 0..3).await?;
    testbed.until_done(&first, "work").await?;
    first.stop().await?;
    from.emit_json("conformance.old.done", numbered(200)).await?;
    from.emit_json("conformance.thing.done", numbered(201)).await?;
    let second = testbed.consumer(durable("work"), "conformance.old.*", &recorder).await?;
    let so = |status: &crate::adapter::durable::ConsumerStatus| (status.lag, status.unclaimed) == (1, 1);
    testbed.until_status(&second, "work", "one event that no program takes", so).await?;
    same("events at the handler", recorder.all(), vec![0, 1, 2, 200])?;
    second.stop().await?;
    from.emit_json("conformance.thing.done", numbered(3)).await?;
    let third =
        testbed.consumer(durable("work").from(StartAt::Now), "conformance.thing.*", &recorder).await?;
    testbed.until_done(&third, "work").await?;
    let mut came = recorder.all().split_off(4);
    came.sort_unstable();
    same("events of the pattern that came back", came, vec![3, 201])
}

/// Checks that programs with different patterns of one consumer share its events: each is handled by a program that takes
/// it, and none is lost.
async fn programs_with_other_patterns_lose_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (wide, narrow) = (testbed.recorder(), testbed.recorder());
    let bus = testbed.consumer(durable("work").concurrency(4), "conformance.thing.*", &wide).await?;
    let other = testbed.consumer(durable("work").concurrency(4), "conformance.thing.one", &narrow).await?;
    for n in 0..200 {
        let name = if n % 2 == 0 { "conformance.thing.one" } else { "conformance.thing.two" };
        other.emit_json(name, numbered(n)).await?;
    }
    testbed.until_done(&bus, "work").await?;
    ensure!(
        narrow.all().iter().all(|n| n % 2 == 0),
        "the narrower program got an event that it does not take"
    );
    let all = wide.all().into_iter().chain(narrow.all()).collect();
    each_once("events in both programs", all, 200)
}

/// Checks that events which no program takes hold up no other event, however many they are, and that dead letters of a
/// pattern that was given up stay.
async fn what_no_program_takes_holds_up_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder();
    let first = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    first.stop().await?;
    let bus = testbed.consumer(durable("work"), "conformance.thing.known", &recorder).await?;
    let events = testbed.scale.events_each;
    emit_at_once(&bus, "conformance.thing.unknown", 0..events).await?;
    emit_numbers(&bus, "conformance.thing.known", 0..1).await?;
    recorder.wait_for(1).await?;
    let so = |status: &crate::adapter::durable::ConsumerStatus| status.unclaimed == events as u64;
    testbed.until_status(&bus, "work", "all others to be unclaimed", so).await?;
    Ok(())
}

/// Checks that each consumer has its own position and gets all events that match its patterns.
async fn each_gets_all<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder: Vec<_> = (0..3).map(|_| testbed.recorder()).collect();
    let one = testbed.consumer(durable("one").concurrency(4), "conformance.thing.*", &recorder[0]).await?;
    let two = testbed.consumer(durable("two"), "conformance.thing.*", &recorder[1]).await?;
    let odd = testbed.consumer(durable("odd"), "conformance.thing.odd", &recorder[2]).await?;
    for n in 0..100 {
        let name = if n % 2 == 1 { "conformance.thing.odd" } else { "conformance.thing.even" };
        one.emit_json(name, numbered(n)).await?;
    }
    for (bus, name) in [(&one, "one"), (&two, "two"), (&odd, "odd")] {
        testbed.until_done(bus, name).await?;
    }
    each_once("events at the first consumer", recorder[0].all(), 100)?;
    same("events at the second consumer, in order", recorder[1].all(), (0..100).collect())?;
    same("events at the consumer of odd events", recorder[2].all(), (0..50).map(|n| 2 * n + 1).collect())
}

/// Checks that all instances that open a consumer share its events, and that each event is handled by one of
/// them.
async fn instances_share_the_events<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, recorder) = (testbed.bus().await?, testbed.recorder());
    let mut buses = Vec::new();
    for _ in 0..3 {
        buses.push(testbed.consumer(durable("work").concurrency(4), "conformance.thing.*", &recorder).await?);
    }
    emit_at_once(&from, "conformance.thing.done", 0..600).await?;
    let status = testbed.until_done(&buses[0], "work").await?;
    each_once("events in all instances", recorder.all(), 600)?;
    same("number of dead letters", status.dead, 0)
}

/// Checks that a failed event is handed out again until it is handled or becomes a dead letter.
async fn what_fails_is_handed_out_again<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let calls = Arc::new(Mutex::new(HashMap::<u64, u32>::new()));
    let counted = Arc::clone(&calls);
    let handler = move |record: &Record| {
        let (n, mut counted) = (number(record), counted.lock().unwrap_or_else(PoisonError::into_inner));
        let call = counted.entry(n).or_default();
        *call += 1;
        if u64::from(*call) <= n { Err(format!("call {call} of {n}")) } else { Ok(()) }
    };
    let options = durable("work").retries(4).concurrency(8);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.thing.*", handler)).await?;
    emit_numbers(&bus, "conformance.thing.done", 0..7).await?;
    testbed.until_done(&bus, "work").await?;
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for n in 0..7 {
        same(&format!("number of calls for event {n}"), calls.get(&n).copied(), Some((n as u32 + 1).min(5)))?;
    }
    let letters = bus.consumer("work").dead_letters(10).await?;
    let letters: Vec<_> = letters.iter().map(|dead| (dead.attempts, dead.error.as_str())).collect();
    same("attempts and errors of the dead letters", letters, vec![(5, "call 5 of 5"), (5, "call 5 of 6")])
}

/// Checks that an error or a panic of a handler does not affect later events.
async fn errors_and_panics_end_nothing<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder();
    let log = Arc::clone(&recorder);
    let handler = move |record: &Record| {
        log.note(number(record));
        match number(record) % 5 {
            1 => Err("it can't"),
            // Like a panic, but without calling the panic hook, which would print a message.
            2 => std::panic::resume_unwind(Box::new("it panics")),
            _ => Ok(()),
        }
    };
    let bus = testbed
        .build(testbed.builder().durable(durable("work").retries(0), "conformance.thing.*", handler))
        .await?;
    emit_numbers(&bus, "conformance.thing.done", 0..50).await?;
    let status = testbed.until_done(&bus, "work").await?;
    same("events at the handler", recorder.all(), (0..50).collect())?;
    same("number of dead letters", status.dead, 20)
}

/// Checks that instances that stop, even ten at the same time, leave their unhandled events to the remaining
/// instances.
async fn one_that_closes_leaves_the_rest_to_others<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, recorder) = (testbed.bus().await?, testbed.recorder());
    let mut closing = Vec::new();
    for _ in 0..10 {
        closing
            .push(testbed.consumer(durable("work").concurrency(2), "conformance.thing.*", &recorder).await?);
    }
    let emitting = tokio::spawn({
        let from = from.clone();
        async move { emit_at_once(&from, "conformance.thing.done", 0..600).await }
    });
    recorder.wait_for(50).await?;
    in_tasks(10, |n| {
        let bus = closing[n].clone();
        async move {
            bus.stop().await?;
            Ok(())
        }
    })
    .await?;
    emitting.await??;
    let last = testbed.consumer(durable("work").concurrency(8), "conformance.thing.*", &recorder).await?;
    testbed.until_done(&last, "work").await?;
    each_once("events in all instances", recorder.all(), 600)
}

/// Checks that every event after the consumer's position is handed out, no matter which instance appended it
/// and when.
async fn what_others_publish_reaches_it<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, others) = (testbed.recorder(), testbed.buses_of(3).await?);
    let bus = testbed.consumer(durable("work").concurrency(8), "conformance.thing.*", &recorder).await?;
    let emitters = others.clone();
    in_tasks(3, move |task| {
        let bus = emitters[task].clone();
        async move { emit_at_once(&bus, "conformance.thing.done", task * 100..(task + 1) * 100).await }
    })
    .await?;
    testbed.until_done(&bus, "work").await?;
    each_once("events at the consumer", recorder.all(), 300)
}

/// Checks that `unfinished` returns exactly the consumers that have not finished an event.
async fn an_event_is_settled_when_all_are_done<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (manual, recorder) =
        (testbed.manual_consumer(durable("slow"), "conformance.thing.*").await?, testbed.recorder());
    let bus = testbed.consumer(durable("quick"), "conformance.thing.*", &recorder).await?;
    let other = testbed.manual_consumer(durable("other"), "conformance.other.*").await?;
    let emitted = bus.emit_json("conformance.thing.done", numbered(0)).await?;
    let id = emitted.id().ok_or("an emit through an adapter has an id")?;
    testbed.until_done(&bus, "quick").await?;
    let left = manual.durable()?.unfinished(id).await?;
    same("consumers that have not finished the event", left, Some(vec!["slow".to_owned()]))?;
    let now = crate::time::Timestamp::now();
    let claimed = manual.take_one(now).await?;
    let left = other.durable()?.unfinished(id).await?;
    same(
        "consumers that have not finished the event while it is being handled",
        left,
        Some(vec!["slow".to_owned()]),
    )?;
    manual.report(&claimed, crate::adapter::durable::Outcome::Done, now).await?;
    emitted.settled().await?;
    let left = manual.durable()?.unfinished(crate::id::EventId::new()).await?;
    ensure!(left.is_none(), "expected no consumers for an event that is not in the log, found {left:?}");
    Ok(())
}
