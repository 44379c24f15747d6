//! What operators see and do.

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
    what_is_ahead_is_counted_by_the_patterns [Durable],
    one_that_closes_leaves_the_consumer_open [Durable],
    a_consumer_is_sent_back_without_gap_or_double [Durable],
    a_consumer_is_sent_back_while_events_come [Durable],
    dead_letters_are_listed_replayed_and_purged [Durable],
    a_replayed_letter_has_all_its_attempts [Durable],
    a_consumer_is_removed [Durable],
    one_that_does_not_exist_is_said_to [Durable],
}

/// Law: a paused consumer is handed nothing, in no instance, until it is resumed.
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
    same("while it is paused", (status.paused, status.lag, recorder.len()), (true, 3, 3))?;
    other.consumer("work").resume().await?;
    let status = testbed.until_done(&bus, "work").await?;
    ensure!(!status.paused, "a consumer that was resumed is said to be paused");
    same("in all", recorder.all(), (0..6).collect())
}

/// Law: the numbers of a status are those of [`ConsumerStatus`](crate::ConsumerStatus).
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
    same("of an empty log", (idle.lag, idle.in_progress, idle.waiting, idle.dead), (0, 0, 0, 0))?;
    same("its patterns", idle.patterns.clone(), vec!["conformance.thing.*".to_owned()])?;
    ensure!(idle.is_running, "a consumer that is open is said not to run");
    emit_numbers(&bus, "conformance.thing.done", 0..2).await?;
    let status = testbed
        .until_status(&bus, "work", "one in progress and one that waits", |status| {
            (status.in_progress, status.waiting) == (1, 1)
        })
        .await?;
    same("what is not finished", (status.lag, status.position, status.dead), (2, idle.position, 0))?;
    emit_numbers(&bus, "conformance.thing.done", 3..8).await?;
    let status =
        testbed.until_status(&bus, "work", "three in progress", |status| status.in_progress == 3).await?;
    same("all in the log", (status.lag, status.waiting, status.newer), (7, 1, 0))?;
    gate.open();
    let status = testbed
        .until_status(&bus, "work", "all done but the retry", |status| {
            (status.lag, status.waiting, status.in_progress) == (1, 1, 0)
        })
        .await?;
    ensure!(status.position > idle.position, "the first event is done, and the watermark has not moved");
    // The retry is event 1, and nothing behind it moves the watermark.
    let held = status.position;
    emit_numbers(&bus, "conformance.thing.done", 8..9).await?;
    let status = testbed
        .until_status(&bus, "work", "the new one done", |status| (status.lag, status.in_progress) == (1, 0))
        .await;
    same("the watermark", status?.position, held)
}

/// Law: what stands ahead of a consumer is counted as far as its patterns take it, where it is counted at all.
async fn what_is_ahead_is_counted_by_the_patterns<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let manual = testbed.manual_consumer(durable("work"), "conformance.thing.*").await?;
    let none = manual.durable()?.count_ahead("work", 10).await?;
    ensure!(none.is_none_or(|count| count == 0), "{none:?} events are ahead in an empty log");
    emit_numbers(&manual.bus, "conformance.thing.done", 0..3).await?;
    emit_numbers(&manual.bus, "conformance.other.done", 3..5).await?;
    emit_numbers(&manual.bus, "conformance.thing.begun", 5..6).await?;
    let ahead = manual.durable()?.count_ahead("work", 10).await?;
    ensure!(ahead.is_none_or(|count| count == 4), "of 4 events that stand ahead, {ahead:?} are counted");
    let max = manual.durable()?.count_ahead("work", 1).await?;
    ensure!(max.is_none(), "more events stand ahead than are to be counted, and {max:?} are");
    let nobody = manual.durable()?.count_ahead("nobody", 10).await?;
    ensure!(nobody.is_none(), "{nobody:?} events are ahead of a consumer that does not exist");
    Ok(())
}

/// Law: a consumer that one of two instances has closed is open as long as the other one is, paused or not.
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
        testbed.until_status(&stays, "work", "the other instance to say that it lives", so).await?;
    }
    Ok(())
}

/// Law: `Seek` hands out everything from a place on again: each event once, and none before it.
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
        same(&format!("sent to {store:?}"), came, (first..10).collect())?;
    }
    emit_numbers(&bus, "conformance.thing.done", 10..11).await?;
    testbed.until_done(&bus, "work").await?;
    same("the last", recorder.all().pop(), Some(10))
}

/// Law: the same while others publish: what was done before is handed out once more, what is new at least once.
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

/// Law: dead letters have the error and the attempts, what is stored verbatim, and go where the operator says.
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
        "whose they are",
        letters.iter().map(|dead| dead.event).collect(),
        vec![ids[0], ids[2], ids[4], ids[6]],
    )?;
    same("the oldest two", work.dead_letters(2).await?, letters[..2].to_vec())?;
    for (dead, n) in letters.iter().zip([0, 2, 4, 6]) {
        same("why, and after how many attempts", (dead.error.as_str(), dead.attempts), ("even", 3))?;
        same("the name", dead.name.as_str(), "conformance.thing.done")?;
        ensure!(dead.first <= dead.last, "the first attempt was after the last");
        let record = Record::from_cloudevent(std::str::from_utf8(&dead.stored)?)?;
        same("the payload", record.json()?, &json(n))?;
    }
    broken.store(false, Ordering::SeqCst);
    same("purged", work.purge(DeadLetters::Of(ids[6])).await?, 1)?;
    same("replayed", work.replay(DeadLetters::Of(ids[2])).await?, 1)?;
    same("replayed of all that are left", work.replay(DeadLetters::All).await?, 2)?;
    let status = testbed.until_done(&bus, "work").await?;
    same("the dead letters that are left", status.dead, 0)?;
    let mut came = recorder.all();
    came.sort();
    same("what was handled", came, [0, 1, 2, 3, 4, 5, 7].map(json).to_vec())?;
    same("replayed of none", work.replay(DeadLetters::All).await?, 0)?;
    same("purged of none", work.purge(DeadLetters::All).await?, 0)
}

/// Law: a dead letter that is replayed is tried with its attempts counted from 1, also by an instance that came later.
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
    same("the calls", recorder.len(), 3)?;
    first.stop().await?;
    let second = testbed
        .build(testbed.builder().durable(options(), "conformance.thing.*", handler(Arc::clone(&recorder))))
        .await?;
    same("replayed", second.consumer("work").replay(DeadLetters::All).await?, 1)?;
    recorder.wait_for(6).await?;
    let status = testbed.until_done(&second, "work").await?;
    same("the calls and the dead letters", (recorder.len(), status.dead), (6, 1))?;
    let letters = second.consumer("work").dead_letters(10).await?;
    same("the attempts", letters.iter().map(|dead| dead.attempts).collect(), vec![3])
}

/// Law: a consumer that is removed is forgotten, its dead letters too; who opens it next opens a new one.
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
    same("of a program that does not handle it", names, vec![("work".to_owned(), 3)])?;
    other.consumer("work").remove().await?;
    same("after it was removed", other.consumers().await?.len(), 0)?;
    let again = testbed.consumer(durable("work"), "conformance.thing.*", &recorder).await?;
    let status = testbed.until_done(&again, "work").await?;
    same("as a new one", (recorder.all(), status.dead), (vec![0, 1, 2], 0))
}

/// Law: `control` says `None` of a consumer that there is not.
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
    same("whether each was refused", all, [true; 6])?;
    same("the consumers", bus.consumers().await?.len(), 0)
}
