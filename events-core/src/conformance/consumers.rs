//! Which events durable consumers get.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::adapter::options::StartAt;
use crate::conformance::bed::{
    Bed, Tried, cases, durable, emit_at_once, emit_numbers, ensure, in_tasks, numbered,
};
use crate::conformance::harness::Harness;
use crate::conformance::seen::{each_once, number, same};
use crate::record::Record;

cases! { "consumers":
    a_new_one_begins_where_it_says [Durable],
    a_known_one_keeps_its_position [Durable],
    each_gets_all [Durable],
    instances_share_the_events [Durable],
    what_fails_is_handed_out_again [Durable],
    errors_and_panics_end_nothing [Durable],
    one_that_closes_leaves_the_rest_to_others [Durable],
    what_others_publish_reaches_it [Durable],
    an_event_is_settled_when_all_are_done [Durable],
}

/// Law: a new consumer begins at [`Consumer::from`](crate::Consumer::from): with old events, or without.
async fn a_new_one_begins_where_it_says<H: Harness>(bed: Bed<H>) -> Tried {
    let from = bed.bus().await?;
    let mut times = Vec::new();
    for n in 0..6 {
        let emitted = from.emit_json("conformance.thing.done", numbered(n)).await?;
        times.push(emitted.record().ok_or("an emit through an adapter has a record")?.timestamp());
    }
    let since = times.iter().position(|time| *time == times[4]).unwrap_or_default() as u64;
    let starts = [(StartAt::Start, 0), (StartAt::Now, 6), (StartAt::Time(times[4]), since)];
    let seen: Vec<_> = starts.iter().map(|_| bed.seen()).collect();
    let mut buses = Vec::new();
    for (n, ((start, _), seen)) in starts.iter().zip(&seen).enumerate() {
        buses.push(
            bed.consumer(durable(&format!("from-{n}")).from(*start), "conformance.thing.*", seen).await?,
        );
    }
    emit_numbers(&from, "conformance.thing.done", 6..10).await?;
    for (n, ((start, first), seen)) in starts.into_iter().zip(seen).enumerate() {
        bed.until_done(&buses[n], &format!("from-{n}")).await?;
        same(&format!("of a consumer from {start:?}"), seen.all(), (first..10).collect())?;
    }
    Ok(())
}

/// Law: a consumer that is known keeps its position, whatever its patterns were and wherever a new one would begin.
async fn a_known_one_keeps_its_position<H: Harness>(bed: Bed<H>) -> Tried {
    let (from, seen) = (bed.bus().await?, bed.seen());
    from.emit_json("conformance.old.done", numbered(100)).await?;
    let first = bed.consumer(durable("work"), "conformance.thing.*", &seen).await?;
    emit_numbers(&from, "conformance.thing.done", 0..3).await?;
    bed.until_done(&first, "work").await?;
    first.stop().await?;
    from.emit_json("conformance.old.done", numbered(200)).await?;
    from.emit_json("conformance.thing.done", numbered(201)).await?;
    let second = bed.consumer(durable("work"), "conformance.old.*", &seen).await?;
    bed.until_done(&second, "work").await?;
    same("what it got", seen.all(), vec![0, 1, 2, 200])?;
    second.stop().await?;
    from.emit_json("conformance.thing.done", numbered(3)).await?;
    let third = bed.consumer(durable("work").from(StartAt::Now), "conformance.thing.*", &seen).await?;
    bed.until_done(&third, "work").await?;
    same("what it got", seen.all(), vec![0, 1, 2, 200, 3])
}

/// Law: each consumer has a position of its own, and gets all that its patterns take.
async fn each_gets_all<H: Harness>(bed: Bed<H>) -> Tried {
    let seen: Vec<_> = (0..3).map(|_| bed.seen()).collect();
    let one = bed.consumer(durable("one").concurrency(4), "conformance.thing.*", &seen[0]).await?;
    let two = bed.consumer(durable("two"), "conformance.thing.*", &seen[1]).await?;
    let odd = bed.consumer(durable("odd"), "conformance.thing.odd", &seen[2]).await?;
    for n in 0..100 {
        let name = if n % 2 == 1 { "conformance.thing.odd" } else { "conformance.thing.even" };
        one.emit_json(name, numbered(n)).await?;
    }
    for (bus, name) in [(&one, "one"), (&two, "two"), (&odd, "odd")] {
        bed.until_done(bus, name).await?;
    }
    each_once("at the first consumer", seen[0].all(), 100)?;
    same("at the second, one at a time", seen[1].all(), (0..100).collect())?;
    same("at the one of odd events", seen[2].all(), (0..50).map(|n| 2 * n + 1).collect())
}

/// Law: all instances that open a consumer share its events: each is handled by one.
async fn instances_share_the_events<H: Harness>(bed: Bed<H>) -> Tried {
    let (from, seen) = (bed.bus().await?, bed.seen());
    let mut buses = Vec::new();
    for _ in 0..3 {
        buses.push(bed.consumer(durable("work").concurrency(4), "conformance.thing.*", &seen).await?);
    }
    emit_at_once(&from, "conformance.thing.done", 0..600).await?;
    let status = bed.until_done(&buses[0], "work").await?;
    each_once("in all instances", seen.all(), 600)?;
    same("the dead letters", status.dead, 0)
}

/// Law: an event is handed out until it is done: a handler that fails gets it again.
async fn what_fails_is_handed_out_again<H: Harness>(bed: Bed<H>) -> Tried {
    let calls = Arc::new(Mutex::new(HashMap::<u64, u32>::new()));
    let counted = Arc::clone(&calls);
    let handler = move |record: &Record| {
        let (n, mut counted) = (number(record), counted.lock().unwrap_or_else(PoisonError::into_inner));
        let call = counted.entry(n).or_default();
        *call += 1;
        if u64::from(*call) <= n { Err(format!("call {call} of {n}")) } else { Ok(()) }
    };
    let options = durable("work").retries(4).concurrency(8);
    let bus = bed.build(bed.builder().durable(options, "conformance.thing.*", handler)).await?;
    emit_numbers(&bus, "conformance.thing.done", 0..7).await?;
    bed.until_done(&bus, "work").await?;
    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for n in 0..7 {
        same(&format!("the calls for event {n}"), calls.get(&n).copied(), Some((n as u32 + 1).min(5)))?;
    }
    let letters = bus.consumer("work").dead_letters(10).await?;
    let letters: Vec<_> = letters.iter().map(|dead| (dead.attempts, dead.error.as_str())).collect();
    same("the dead letters", letters, vec![(5, "call 5 of 5"), (5, "call 5 of 6")])
}

/// Law: what a handler makes of one event changes nothing for the next.
async fn errors_and_panics_end_nothing<H: Harness>(bed: Bed<H>) -> Tried {
    let seen = bed.seen();
    let log = Arc::clone(&seen);
    let handler = move |record: &Record| {
        log.note(number(record));
        match number(record) % 5 {
            1 => Err("it can't"),
            // As a panic, but that the panic hook stays quiet.
            2 => std::panic::resume_unwind(Box::new("it panics")),
            _ => Ok(()),
        }
    };
    let bus =
        bed.build(bed.builder().durable(durable("work").retries(0), "conformance.thing.*", handler)).await?;
    emit_numbers(&bus, "conformance.thing.done", 0..50).await?;
    let status = bed.until_done(&bus, "work").await?;
    same("what the handler got", seen.all(), (0..50).collect())?;
    same("the dead letters", status.dead, 20)
}

/// Law: an instance that closes, even ten at once, leaves what it has not handled to those that stay.
async fn one_that_closes_leaves_the_rest_to_others<H: Harness>(bed: Bed<H>) -> Tried {
    let (from, seen) = (bed.bus().await?, bed.seen());
    let mut closing = Vec::new();
    for _ in 0..10 {
        closing.push(bed.consumer(durable("work").concurrency(2), "conformance.thing.*", &seen).await?);
    }
    let emitting = tokio::spawn({
        let from = from.clone();
        async move { emit_at_once(&from, "conformance.thing.done", 0..600).await }
    });
    seen.wait_for(50).await?;
    in_tasks(10, |n| {
        let bus = closing[n].clone();
        async move {
            bus.stop().await?;
            Ok(())
        }
    })
    .await?;
    emitting.await??;
    let last = bed.consumer(durable("work").concurrency(8), "conformance.thing.*", &seen).await?;
    bed.until_done(&last, "work").await?;
    each_once("in all instances", seen.all(), 600)
}

/// Law: every event behind its position is handed out, whichever instance appended it, and when.
async fn what_others_publish_reaches_it<H: Harness>(bed: Bed<H>) -> Tried {
    let (seen, others) = (bed.seen(), bed.buses_of(3).await?);
    let bus = bed.consumer(durable("work").concurrency(8), "conformance.thing.*", &seen).await?;
    let emitters = others.clone();
    in_tasks(3, move |task| {
        let bus = emitters[task].clone();
        async move { emit_at_once(&bus, "conformance.thing.done", task * 100..(task + 1) * 100).await }
    })
    .await?;
    bed.until_done(&bus, "work").await?;
    each_once("at the consumer", seen.all(), 300)
}

/// Law: `unfinished` names the consumers that have yet to finish an event, and nobody else.
async fn an_event_is_settled_when_all_are_done<H: Harness>(bed: Bed<H>) -> Tried {
    let (hand, seen) = (bed.hand(durable("slow"), "conformance.thing.*").await?, bed.seen());
    let bus = bed.consumer(durable("quick"), "conformance.thing.*", &seen).await?;
    let other = bed.hand(durable("other"), "conformance.other.*").await?;
    let emitted = bus.emit_json("conformance.thing.done", numbered(0)).await?;
    let id = emitted.id().ok_or("an emit through an adapter has an id")?;
    bed.until_done(&bus, "quick").await?;
    let left = hand.durable()?.unfinished(id).await?;
    same("who has yet to finish it", left, Some(vec!["slow".to_owned()]))?;
    let now = crate::time::Timestamp::now();
    let claimed = hand.take_one(now).await?;
    let left = other.durable()?.unfinished(id).await?;
    same("who has yet to finish it while it is handled", left, Some(vec!["slow".to_owned()]))?;
    hand.report(claimed.claim, crate::adapter::durable::Outcome::Done, now).await?;
    emitted.settled().await?;
    let left = hand.durable()?.unfinished(crate::id::EventId::new()).await?;
    ensure!(left.is_none(), "an event that is not in the log is unfinished by {left:?}");
    Ok(())
}
