//! Order by key, concurrency, timeouts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use typed_events::consumer::DeadLetters;
use typed_events::{Bus, Delivery, DurableOptions, Record, StartAt, event, on};

use crate::outbox::until;
use crate::{File, Seen};

#[event("parcel.moved")]
pub struct Moved {
    pub parcel: String,
    pub step: u32,
}

#[on(durable = "track", ordered_by = "parcel", concurrency = 8, retries = 20, backoff = "1ms..2ms")]
fn track(moved: &Moved, delivery: &Delivery, seen: &Seen) -> Result<(), &'static str> {
    if moved.parcel == "a" && delivery.attempt() < 5 {
        return Err("not yet");
    }
    seen.note(format!("{}{}", moved.parcel, moved.step));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_key_keep_their_order_also_while_one_is_retried() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let bus = file.builder().shared(Arc::clone(&seen)).handler::<track>().build().await.unwrap();
    for step in 1..=10 {
        for parcel in ["a", "b", "c"] {
            bus.emit(Moved { parcel: parcel.into(), step }).await.unwrap();
        }
    }
    until(|| seen.all().len() == 30).await;
    for parcel in ["a", "b", "c"] {
        let steps: Vec<_> = seen.all().into_iter().filter(|note| note.starts_with(parcel)).collect();
        assert_eq!(steps, (1..=10).map(|step| format!("{parcel}{step}")).collect::<Vec<_>>());
    }
    bus.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_is_ended_and_retried() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let hang = DurableOptions::new("hang")
        .timeout(Duration::from_millis(30))
        .retries(1)
        .backoff(Duration::from_millis(1), Duration::from_millis(1));
    let bus = file
        .builder()
        .durable(hang, "parcel.*", |_: &Record| std::future::pending::<()>())
        .build()
        .await
        .unwrap();
    bus.emit(Moved { parcel: "x".into(), step: 1 }).await.unwrap().settled().await.unwrap();
    let dead = bus.consumer("hang").dead_letters(10).await.unwrap();
    assert_eq!((dead[0].attempts, dead[0].error.as_str()), (2, "it took longer than 0.03 s"));
    bus.stop().await.unwrap();
    assert!(seen.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_extended_while_the_handler_runs() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let open = Arc::new(Semaphore::new(0));
    let slow = |open: &Arc<Semaphore>, seen: &Arc<Seen>| {
        let (open, seen) = (Arc::clone(open), Arc::clone(seen));
        move |record: &Record| {
            let (open, seen, number) =
                (Arc::clone(&open), Arc::clone(&seen), record.get::<Moved>().unwrap().step);
            async move {
                seen.note(format!("began {number}"));
                open.acquire().await.unwrap().forget();
            }
        }
    };
    let builder = || file.builder().lease(Duration::from_millis(100));
    let options = || DurableOptions::new("slow").from(StartAt::Start);
    let one = builder().durable(options(), "parcel.*", slow(&open, &seen)).build().await.unwrap();
    let two = builder().durable(options(), "parcel.*", slow(&open, &seen)).build().await.unwrap();
    let emitted = one.emit(Moved { parcel: "x".into(), step: 1 }).await.unwrap();
    until(|| !seen.all().is_empty()).await;
    // Wait for five leases: the other process must not get the event meanwhile. Time itself is tested here.
    tokio::time::sleep(Duration::from_millis(500)).await;
    open.add_permits(1);
    emitted.settled().await.unwrap();
    assert_eq!(seen.all(), ["began 1"]);
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[event("relay.passed")]
pub struct Passed {
    pub times: u32,
}

#[on(durable = "relay")]
async fn relay(passed: &Passed, bus: &Bus, seen: &Seen) -> Result<(), typed_events::Error> {
    seen.note(passed.times.to_string());
    match passed.times {
        100 => Ok(()),
        times => bus.emit(Passed { times: times + 1 }).await.map(drop),
    }
}

/// `max_chain` limits emits that are nested in each other's handlers. A durable handler is not nested in an emit.
#[tokio::test(flavor = "multi_thread")]
async fn durable_handlers_that_emit_for_each_other_are_not_bounded() {
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let bus = file.builder().shared(Arc::clone(&seen)).handler::<relay>().build().await.unwrap();
    bus.emit(Passed { times: 1 }).await.unwrap();
    until(|| seen.all().len() == 100).await;
    bus.stop().await.unwrap();
}

/// After a dead letter, the next events of its key continue. When it is replayed, it is not ordered with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_dead_letter_has_lost_its_place_in_the_order_of_its_key() {
    let (file, seen, open) = (File::new(), Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
    let take = {
        let (seen, open) = (Arc::clone(&seen), Arc::clone(&open));
        move |moved: Arc<Moved>| {
            let (seen, open) = (Arc::clone(&seen), Arc::clone(&open));
            async move {
                let dies = moved.step == 1 && seen.all().is_empty();
                seen.note(format!("{}{}", moved.parcel, moved.step));
                if moved.step == 3 {
                    open.acquire().await.unwrap().forget();
                }
                if dies { Err("lost in the post") } else { Ok(()) }
            }
        }
    };
    let sort = DurableOptions::new("sort").ordered_by("parcel").concurrency(8).retries(0);
    let bus = file.builder().durable(sort, "parcel.moved", take).build().await.unwrap();
    for step in 1..=3 {
        bus.emit(Moved { parcel: "a".into(), step }).await.unwrap();
    }
    until(|| seen.all() == ["a1", "a2", "a3"]).await;
    // The third event is still being handled.
    bus.consumer("sort").replay(DeadLetters::All).await.unwrap();
    until(|| seen.all() == ["a1", "a2", "a3", "a1"]).await;
    open.add_permits(1);
    bus.stop().await.unwrap();
}
