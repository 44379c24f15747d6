//! Cases about the status of consumers and the commands of operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::adapter::durable::{ConsumerStatus, DeadLetters};
use crate::adapter::options::StartAt;
use crate::conformance::harness::Harness;
use crate::conformance::recorder::{Gate, number, same};
use crate::conformance::testbed::{CaseResult, Testbed, cases, durable, emit_numbers, ensure, numbered};
use crate::record::Record;

cases! { "operators":
    a_consumer_is_paused_and_resumed [Durable],
    the_status_counts_what_there_is [Durable],
    one_that_closes_leaves_the_consumer_open [Durable],
    a_consumer_is_sent_back_without_gap_or_double [Durable],
    a_consumer_is_sent_back_while_events_come [Durable],
    dead_letters_are_listed_replayed_and_purged [Durable],
    a_replayed_letter_has_all_its_attempts [Durable],
    a_consumer_is_removed [Durable],
    one_that_does_not_exist_is_said_to [Durable],
}

/// Checks that a paused consumer gets no events in any instance until it is resumed.
async fn a_consumer_is_paused_and_resumed<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, other) = (testbed.recorder(), testbed.bus().await?);
    let bus = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    emit_numbers(&bus, "conformance.thing.done", 0..3).await?;
    testbed.until_done(&bus, "work").await?;
    other.consumer("work").pause().await?;
    emit_numbers(&bus, "conformance.thing.done", 3..6).await?;
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    manual.take_none(crate::time::Timestamp::now(), "the consumer is paused").await?;
    let status = other.consumer("work").status().await?;
    same(
        "paused, lag and number of handled events while the consumer is paused",
        (status.paused, status.lag, recorder.len()),
        (true, 3, 3),
    )?;
    other.consumer("work").resume().await?;
    let status = testbed.until_done(&bus, "work").await?;
    ensure!(!status.paused, "a resumed consumer is reported as paused");
    same("all events at the handler", recorder.all(), (0..6).collect())
}

/// Checks the numbers in [`ConsumerStatus`](crate::ConsumerStatus).
async fn the_status_counts_what_there_is<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, gate) = (testbed.recorder::<u64>(), Gate::closed());
    let (log, open) = (Arc::clone(&recorder), gate.clone());
    let handler = move |record: &Record| {
        let (log, open, n) = (Arc::clone(&log), open.clone(), number(record));
        async move {
            log.note(n);
            match n {
                1 => Err("wait"),
                2 => Err("enough"),
                _ => {
                    open.pass().await;
                    Ok(())
                }
            }
        }
    };
    let hour = Duration::from_secs(3600);
    let options = durable("work").concurrency(3).retries(1).backoff(hour, hour);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.thing.*", handler)).await?;
    let idle = bus.consumer("work").status().await?;
    same(
        "lag, in_progress, waiting and dead for an empty log",
        (idle.lag, idle.in_progress, idle.waiting, idle.dead),
        (0, 0, 0, 0),
    )?;
    same("patterns of the consumer", idle.patterns.clone(), vec!["conformance.thing.*".to_owned()])?;
    ensure!(idle.is_running, "an open consumer is reported as not running");
    emit_numbers(&bus, "conformance.thing.done", 0..2).await?;
    let status = testbed
        .until_status(&bus, "work", "one event in progress and one that waits", |status| {
            (status.in_progress, status.waiting) == (1, 1)
        })
        .await?;
    same(
        "lag, position and dead letters",
        (status.lag, status.position, status.dead),
        (2, idle.position, 0),
    )?;
    emit_numbers(&bus, "conformance.thing.done", 3..8).await?;
    let status = testbed
        .until_status(&bus, "work", "three events in progress", |status| status.in_progress == 3)
        .await?;
    same("lag, waiting and unclaimed", (status.lag, status.waiting, status.unclaimed), (7, 1, 0))?;
    gate.open();
    let status = testbed
        .until_status(&bus, "work", "all events except for the retry to be done", |status| {
            (status.lag, status.waiting, status.in_progress) == (1, 1, 0)
        })
        .await?;
    ensure!(status.position > idle.position, "the first event is done, but the position has not moved");
    // The retry is event 1. No later event moves the position.
    let held = status.position;
    emit_numbers(&bus, "conformance.thing.done", 8..9).await?;
    let status = testbed
        .until_status(&bus, "work", "the new event to be done", |status| {
            (status.lag, status.in_progress) == (1, 0)
        })
        .await;
    same("position of the consumer", status?.position, held)
}

/// Checks that a consumer counts as running while one of two instances has closed it and the other has not,
/// even if it is paused.
async fn one_that_closes_leaves_the_consumer_open<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder();
    let stays = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    for is_paused in [false, true] {
        let leaves = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
        if is_paused {
            stays.consumer("work").pause().await?;
        }
        leaves.stop().await?;
        let so = |status: &ConsumerStatus| status.is_running;
        testbed
            .until_status(&stays, "work", "the remaining instance to mark the consumer as running", so)
            .await?;
    }
    Ok(())
}

/// Checks that `Seek` hands out every event from a position on again, each once, and none before that
/// position.
async fn a_consumer_is_sent_back_without_gap_or_double<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, mut times) = (testbed.recorder(), Vec::new());
    let bus = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    let mut positions = Vec::new();
    for n in 0..10 {
        let emitted = bus.emit_json("conformance.thing.done", numbered(n)).await?;
        times.push(emitted.record().ok_or("an emit through an adapter has a record")?.timestamp());
        positions.push(testbed.until_done(&bus, "work").await?.position);
    }
    let since = times.iter().position(|time| *time == times[6]).unwrap_or_default() as u64;
    let starts = [
        (StartAt::Start, 0),
        (StartAt::Position(positions[3]), 3),
        (StartAt::Time(times[6]), since),
        (StartAt::Now, 10),
        (StartAt::Position(positions[9]), 9),
    ];
    for (store, first) in starts {
        let before = recorder.len();
        bus.consumer("work").seek(store).await?;
        testbed.until_done(&bus, "work").await?;
        let came = recorder.all().split_off(before);
        same(&format!("events after a seek to {store:?}"), came, (first..10).collect())?;
    }
    emit_numbers(&bus, "conformance.thing.done", 10..11).await?;
    testbed.until_done(&bus, "work").await?;
    same("last event", recorder.all().pop(), Some(10))
}

/// Checks `Seek` while other instances publish: events finished before are handed out once more, and new
/// events at least once.
async fn a_consumer_is_sent_back_while_events_come<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, from) = (testbed.recorder(), testbed.bus().await?);
    let bus = testbed.consumer(durable("work").concurrency(4), "conformance.thing.*", &recorder).await?;
    emit_numbers(&bus, "conformance.thing.done", 0..100).await?;
    testbed.until_done(&bus, "work").await?;
    let emitting = tokio::spawn(async move { emit_numbers(&from, "conformance.thing.done", 100..200).await });
    bus.consumer("work").seek(StartAt::Start).await?;
    emitting.await??;
    testbed.until_done(&bus, "work").await?;
    let came = recorder.all();
    for n in 0..200 {
        let times = came.iter().filter(|came| **came == n).count();
        let right = if n < 100 { times == 2 } else { times == 1 || times == 2 };
        ensure!(right, "event {n} was handled {times} times");
    }
    Ok(())
}

/// Checks the contents of dead letters, with the stored record unchanged, and that they can be replayed and
/// purged.
async fn dead_letters_are_listed_replayed_and_purged<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, broken) = (testbed.recorder::<String>(), Arc::new(AtomicBool::new(true)));
    let (log, fails) = (Arc::clone(&recorder), Arc::clone(&broken));
    let handler =
        move |record: &Record| match fails.load(Ordering::SeqCst) && number(record).is_multiple_of(2) {
            true => Err("even"),
            false => {
                log.note(record.json().unwrap_or("no JSON").to_owned());
                Ok(())
            }
        };
    let options = durable("work").retries(2).concurrency(4);
    let bus = testbed.build(testbed.builder().durable(options, "conformance.thing.*", handler)).await?;
    let json = |n: usize| format!(r#"{{"n":{n},  "future":[1.50, {{"x":null}}]}}"#);
    let mut ids = Vec::new();
    for n in 0..8 {
        let emitted = bus.emit_json("conformance.thing.done", json(n)).await?;
        ids.push(emitted.id().ok_or("an emit through an adapter has an id")?);
    }
    testbed.until_done(&bus, "work").await?;
    let work = bus.consumer("work");
    let letters = work.dead_letters(10).await?;
    same(
        "event ids of the dead letters",
        letters.iter().map(|dead| dead.event).collect(),
        vec![ids[0], ids[2], ids[4], ids[6]],
    )?;
    same("the oldest two dead letters", work.dead_letters(2).await?, letters[..2].to_vec())?;
    for (dead, n) in letters.iter().zip([0, 2, 4, 6]) {
        same("error and attempts of a dead letter", (dead.error.as_str(), dead.attempts), ("even", 3))?;
        same("event name of a dead letter", dead.name.as_str(), "conformance.thing.done")?;
        ensure!(dead.first <= dead.last, "the first attempt of a dead letter is later than the last one");
        let record = Record::from_cloudevent(std::str::from_utf8(&dead.stored)?)?;
        same("payload of a dead letter", record.json()?, &json(n))?;
    }
    broken.store(false, Ordering::SeqCst);
    same("number of purged dead letters", work.purge(DeadLetters::Of(ids[6])).await?, 1)?;
    same("number of replayed dead letters", work.replay(DeadLetters::Of(ids[2])).await?, 1)?;
    same("number of replayed dead letters of all remaining", work.replay(DeadLetters::All).await?, 2)?;
    let status = testbed.until_done(&bus, "work").await?;
    same("number of remaining dead letters", status.dead, 0)?;
    let mut came = recorder.all();
    came.sort();
    same("handled events", came, [0, 1, 2, 3, 4, 5, 7].map(json).to_vec())?;
    same("number of replayed dead letters if there are none", work.replay(DeadLetters::All).await?, 0)?;
    same("number of purged dead letters if there are none", work.purge(DeadLetters::All).await?, 0)
}

/// Checks that a replayed dead letter is tried with its attempts counted from 1, also by an instance that was
/// started later.
async fn a_replayed_letter_has_all_its_attempts<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let recorder = testbed.recorder::<u64>();
    let handler = |log: Arc<crate::conformance::recorder::Recorder<u64>>| {
        move |record: &Record| {
            log.note(number(record));
            Err::<(), _>("always")
        }
    };
    let options = || durable("work").retries(2);
    let first = testbed
        .build(testbed.builder().durable(options(), "conformance.thing.*", handler(Arc::clone(&recorder))))
        .await?;
    emit_numbers(&first, "conformance.thing.done", 0..1).await?;
    testbed.until_done(&first, "work").await?;
    same("number of calls of the handler", recorder.len(), 3)?;
    first.stop().await?;
    let second = testbed
        .build(testbed.builder().durable(options(), "conformance.thing.*", handler(Arc::clone(&recorder))))
        .await?;
    same("number of replayed dead letters", second.consumer("work").replay(DeadLetters::All).await?, 1)?;
    recorder.wait_for(6).await?;
    let status = testbed.until_done(&second, "work").await?;
    same("number of calls of the handler, and of dead letters", (recorder.len(), status.dead), (6, 1))?;
    let letters = second.consumer("work").dead_letters(10).await?;
    same("attempts of the dead letter", letters.iter().map(|dead| dead.attempts).collect(), vec![3])
}

/// Checks that a removed consumer is deleted with its dead letters, and that opening it later creates a new
/// one.
async fn a_consumer_is_removed<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (recorder, other) = (testbed.recorder(), testbed.bus().await?);
    let handler = |_: &Record| Err::<(), _>("always");
    let bus = testbed
        .build(testbed.builder().durable(durable("work").retries(0), "conformance.thing.*", handler))
        .await?;
    emit_numbers(&bus, "conformance.thing.done", 0..3).await?;
    testbed.until_done(&bus, "work").await?;
    bus.stop().await?;
    let names: Vec<_> =
        other.consumers().await?.into_iter().map(|status| (status.name, status.dead)).collect();
    same("consumers in a program without their handlers", names, vec![("work".to_owned(), 3)])?;
    other.consumer("work").remove().await?;
    same("number of consumers after the removal", other.consumers().await?.len(), 0)?;
    let again = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    let status = testbed.until_done(&again, "work").await?;
    same("events and dead letters of the new consumer", (recorder.all(), status.dead), (vec![0, 1, 2], 0))
}

/// Checks that `control` returns `None` for a consumer that does not exist.
async fn one_that_does_not_exist_is_said_to<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let bus = testbed.bus().await?;
    let none = bus.consumer("none");
    let all = [
        none.pause().await.is_err(),
        none.resume().await.is_err(),
        none.seek(StartAt::Start).await.is_err(),
        none.remove().await.is_err(),
        none.replay(DeadLetters::All).await.is_err(),
        none.purge(DeadLetters::All).await.is_err(),
    ];
    same("whether each command was refused", all, [true; 6])?;
    same("number of consumers", bus.consumers().await?.len(), 0)
}
