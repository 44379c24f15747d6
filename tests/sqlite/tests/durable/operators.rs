//! The status of consumers, and the calls of operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use typed_events::consumer::DeadLetters;
use typed_events::{DurableOptions, ErrorKind, Record, StartAt, event, on};

use crate::outbox::{until, until_async};
use crate::{File, Seen};

#[event("job.asked")]
pub struct Asked {
    pub number: u32,
}

/// Lets a handler continue, and decides whether it fails.
pub struct Gate {
    open: Semaphore,
    broken: std::sync::atomic::AtomicBool,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { open: Semaphore::new(0), broken: true.into() })
    }
}

#[on(durable = "work", retries = 0, from = "start")]
async fn work(asked: &Asked, gate: &Gate, seen: &Seen) -> Result<(), &'static str> {
    gate.open.acquire().await.unwrap().forget();
    seen.note(asked.number.to_string());
    if gate.broken.load(std::sync::atomic::Ordering::SeqCst) && asked.number.is_multiple_of(2) {
        return Err("even");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_replayed_and_purged() {
    let (file, seen, gate) = (File::new(), Arc::new(Seen::default()), Gate::new());
    let builder = file.builder().shared(Arc::clone(&seen)).shared(Arc::clone(&gate));
    let bus = builder.handler::<work>().build().await.unwrap();
    gate.open.add_permits(100);
    let emitted = bus.emit_all((1..=6).map(|number| Asked { number })).await.unwrap();
    for emitted in &emitted {
        emitted.settled().await.unwrap();
    }
    let work = bus.consumer("work");
    let dead = work.dead_letters(10).await.unwrap();
    let ids: Vec<_> = [1, 3, 5].map(|index: usize| emitted[index].id().unwrap()).to_vec();
    assert_eq!(dead.iter().map(|dead| dead.event).collect::<Vec<_>>(), ids);
    assert!(dead[0].to_string().contains("after 1 attempts: even"), "{}", dead[0]);
    // The dead letter contains the stored record verbatim.
    let stored = std::str::from_utf8(&dead[0].stored).unwrap();
    assert_eq!(Record::from_cloudevent(stored).unwrap().json().unwrap(), r#"{"number":2}"#);
    assert_eq!(work.purge(DeadLetters::Of(ids[2])).await.unwrap(), 1);
    gate.broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(work.replay(DeadLetters::Of(ids[0])).await.unwrap(), 1);
    assert_eq!(work.replay(DeadLetters::All).await.unwrap(), 1);
    until(|| seen.all().len() == 8).await;
    assert_eq!(seen.all(), ["1", "2", "3", "4", "5", "6", "2", "4"]);
    assert_eq!(work.dead_letters(10).await.unwrap(), []);
    bus.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_paused_resumed_sent_back_and_removed() {
    let (file, seen, gate) = (File::new(), Arc::new(Seen::default()), Gate::new());
    let builder = file.builder().shared(Arc::clone(&seen)).shared(Arc::clone(&gate));
    let bus = builder.handler::<work>().build().await.unwrap();
    gate.broken.store(false, std::sync::atomic::Ordering::SeqCst);
    let work = bus.consumer("work");
    work.pause().await.unwrap();
    let emitted = bus.emit_all((1..=3).map(|number| Asked { number })).await.unwrap();
    gate.open.add_permits(100);
    let status = work.status().await.unwrap();
    assert_eq!((status.lag, status.position, status.paused), (3, 0, true));
    let error = emitted[0].settled().within(std::time::Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsettled);
    assert!(error.to_string().ends_with("not finished after 0.02 s by: work"), "{error}");
    assert!(seen.all().is_empty());
    work.resume().await.unwrap();
    emitted[2].settled().await.unwrap();
    work.seek(StartAt::Position(2)).await.unwrap();
    until(|| seen.all().len() == 5).await;
    assert_eq!(seen.all(), ["1", "2", "3", "2", "3"]);
    bus.stop().await.unwrap();

    // A program without the handler can list the consumer and remove it.
    let other = file.builder().build().await.unwrap();
    assert_eq!(other.consumers().await.unwrap()[0].name, "work");
    other.consumer("work").remove().await.unwrap();
    assert_eq!(other.consumers().await.unwrap(), []);
    let error = other.consumer("work").remove().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Consumer);
    assert!(error.to_string().ends_with("has no consumer `work`"), "{error}");
    other.stop().await.unwrap();
}

/// What the handler of [`c5_fewer_retries_leave_one_more_attempt`] answers.
struct Repaired(AtomicBool);

#[event("operators.repaired")]
pub struct Broken;

#[tokio::test(flavor = "multi_thread")]
async fn c5_fewer_retries_leave_one_more_attempt() {
    let (file, repaired) = (File::new(), Arc::new(Repaired(AtomicBool::new(false))));
    let program = |retries| {
        let repaired = Arc::clone(&repaired);
        let options = DurableOptions::new("repair").retries(retries).from(StartAt::Start);
        let options = options.backoff(Duration::from_millis(1), Duration::from_millis(1));
        file.builder().durable(options, "operators.repaired", move |_: &Broken| {
            if repaired.0.load(Ordering::SeqCst) { Ok(()) } else { Err("not yet") }
        })
    };
    let bus = program(1_000_000).build().await.unwrap();
    let emitted = bus.emit_all((0..10).map(|_| Broken)).await.unwrap();
    until(|| bus.stats().failed > 100).await;
    bus.stop().await.unwrap();
    repaired.0.store(true, Ordering::SeqCst);
    let bus = program(2).build().await.unwrap();
    let status = async || bus.consumer("repair").status().await.unwrap();
    until_async(async || status().await.lag == 0).await;
    assert_eq!((status().await.dead, bus.stats().failed), (0, 0), "of {} events", emitted.len());
    bus.stop().await.unwrap();
    // A handler that still fails gets one attempt, too, and the error is its own.
    repaired.0.store(false, Ordering::SeqCst);
    let bus = program(1_000_000).build().await.unwrap();
    bus.emit(Broken).await.unwrap();
    until(|| bus.stats().failed > 10).await;
    bus.stop().await.unwrap();
    let bus = program(2).build().await.unwrap();
    until_async(async || bus.consumer("repair").status().await.unwrap().dead > 0).await;
    let letters = bus.consumer("repair").dead_letters(10).await.unwrap();
    assert_eq!((letters.len(), letters[0].error.as_str(), bus.stats().failed), (1, "not yet", 1));
    bus.stop().await.unwrap();
}
