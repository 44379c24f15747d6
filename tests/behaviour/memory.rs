//! Promises of `InMemory` beyond those of every adapter: bounds, and waiting for slow buses.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use typed_events::adapter::InMemory;
use typed_events::{Bus, ErrorKind, Record, event};

use crate::until;

#[event("drop.fell")]
pub struct Fell {
    pub n: u64,
    pub text: String,
}

/// An event that can't be serialised if it is negative.
#[event("depth.measured")]
pub struct Measured {
    #[serde(serialize_with = "only_positive")]
    pub depth: i64,
}

fn only_positive<S: Serializer>(depth: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    match depth {
        0.. => depth.serialize(serializer),
        _ => Err(serde::ser::Error::custom("negative")),
    }
}

/// An event whose serialisation for the adapter waits until the test decides on its result.
#[event("letter.written")]
pub struct Written {
    #[serde(serialize_with = "when_told")]
    pub desk: usize,
}

/// Controls the serialisation of a letter.
struct Desk {
    /// The adapter that stores the letter, which is empty before.
    memory: OnceLock<InMemory>,
    begun: AtomicBool,
    may_end: Mutex<Option<bool>>,
    told: Condvar,
}

static DESKS: [Desk; 2] = [const {
    Desk {
        memory: OnceLock::new(),
        begun: AtomicBool::new(false),
        may_end: Mutex::new(None),
        told: Condvar::new(),
    }
}; 2];

fn when_told<S: Serializer>(desk: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    let Desk { memory, begun, may_end, told } = &DESKS[*desk];
    // An event is also serialised before it gets its position, to check that it can be. That call does not wait.
    let has_place = |memory: &InMemory| !format!("{memory:?}").starts_with("InMemory(0 records");
    if !memory.get().is_some_and(has_place) {
        return desk.serialize(serializer);
    }
    begun.store(true, Ordering::SeqCst);
    let may_end = told.wait_while(may_end.lock().unwrap(), |may_end| may_end.is_none()).unwrap();
    match may_end.is_some_and(|may_end| may_end) {
        true => desk.serialize(serializer),
        false => Err(serde::ser::Error::custom("torn up")),
    }
}

async fn join(memory: &InMemory) -> Bus {
    Bus::builder().adapter(memory.clone()).quiet().build().await.unwrap()
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::SeqCst);
}

fn fell(n: u64) -> Fell {
    Fell { n, text: "x".repeat(100) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_stuck_holds_up_one_emit_and_counts_what_it_lost() {
    let memory = InMemory::bounded(64, 1 << 20);
    let (from, stuck, quick) = (join(&memory).await, join(&memory).await, join(&memory).await);
    let (open, handled, at_quick) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (gate, count) = (Arc::clone(&open), Arc::clone(&handled));
    stuck.on(move |_: &Fell| {
        let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
        async move {
            // Closed is open for all.
            let _ = gate.acquire().await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let count = Arc::clone(&at_quick);
    quick.on(move |_: &Fell| add(&count));
    let emits = timeout(Duration::from_secs(20), async {
        for n in 0..1000 {
            from.emit(fell(n)).await.unwrap();
        }
    });
    emits.await.expect("emits wait for a bus that is stuck");
    until(|| at_quick.load(Ordering::SeqCst) + quick.stats().lost == 1000).await;
    open.close();
    until(|| handled.load(Ordering::SeqCst) + stuck.stats().lost == 1000).await;
    let lost = stuck.stats().lost;
    assert!((900..1000).contains(&lost), "of 1000 events, 64 of which were kept, {lost} were lost");
    // The bus has caught up, and loses nothing from now on.
    from.emit(fell(1000)).await.unwrap();
    until(|| handled.load(Ordering::SeqCst) + stuck.stats().lost == 1001).await;
    assert_eq!(stuck.stats().lost, lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_bounded_by_number_and_size() {
    let by_number = InMemory::bounded(10, usize::MAX);
    let bus = join(&by_number).await;
    for n in 0..25 {
        bus.emit(fell(n)).await.unwrap();
    }
    let kept: Vec<_> = bus.history("*").of::<Fell>().await.unwrap().iter().map(|fell| fell.n).collect();
    assert_eq!(kept, (15..25).collect::<Vec<_>>());

    let (small, large) = (InMemory::bounded(1000, 4096), InMemory::bounded(1000, 0));
    let (small, large) = (join(&small).await, join(&large).await);
    for bus in [&small, &large] {
        for n in 0..100 {
            bus.emit(fell(n)).await.unwrap();
        }
    }
    let kept = small.history("*").limit(1000).await.unwrap();
    let bytes: usize = kept.iter().map(|record| record.to_cloudevent().unwrap().len()).sum();
    assert!((3000..=4096).contains(&bytes), "{bytes} bytes are kept");
    let newest = large.history("*").await.unwrap();
    assert_eq!(newest.len(), 1, "the newest is kept, whatever its size");
    assert_eq!(newest[0].get::<Fell>().unwrap().n, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_leaves_nothing_and_holds_up_nothing() {
    let memory = InMemory::new();
    let (from, to, seen) = (join(&memory).await, join(&memory).await, Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&seen);
    to.pattern("*").on(move |_: &Record| add(&count)).unwrap();
    for depth in [1, -1, 2] {
        let emitted = from.emit(Measured { depth }).await;
        assert_eq!(
            emitted.map(drop).map_err(|error| error.kind()).err(),
            (depth < 0).then_some(ErrorKind::Serialize)
        );
    }
    let batch = from.emit_all([3, -3, 4].map(|depth| Measured { depth })).await.unwrap_err();
    assert_eq!(batch.kind(), ErrorKind::Serialize);
    from.emit(Measured { depth: 5 }).await.unwrap();
    until(|| seen.load(Ordering::SeqCst) == 3).await;
    let kept = from.history("*").of::<Measured>().await.unwrap();
    assert_eq!(kept.iter().map(|measured| measured.depth).collect::<Vec<_>>(), [1, 2, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn buses_that_answer_each_other_never_hang() {
    let memory = InMemory::bounded(8, 1 << 20);
    let (ping, pong, rounds) = (join(&memory).await, join(&memory).await, Arc::new(AtomicU64::new(0)));
    for (bus, own) in [(&ping, 0), (&pong, 1)] {
        let (answering, count) = (bus.clone(), Arc::clone(&rounds));
        bus.on(move |event: &Fell| {
            let (bus, count, n) = (answering.clone(), Arc::clone(&count), event.n);
            async move {
                if n % 2 == own && n < 200 {
                    bus.emit(fell(n + 1)).await.unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    ping.emit(fell(1)).await.unwrap();
    until(|| rounds.load(Ordering::SeqCst) == 199).await;
    ping.stop().await.unwrap();
    pong.stop().await.unwrap();
}

/// An event that was evicted while it was serialised counts as lost for other buses, if its serialisation succeeds.
async fn pushed_out_while_it_is_written(desk: usize, may_end: bool) {
    let (memory, place) = (InMemory::bounded(8, 1 << 20), &DESKS[desk]);
    place.memory.set(memory.clone()).unwrap();
    let (writing, from, to) = (join(&memory).await, join(&memory).await, join(&memory).await);
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    to.pattern("*").on(move |_: &Record| add(&count)).unwrap();
    let emitting = writing.clone();
    let written = tokio::spawn(async move { emitting.emit(Written { desk }).await.map(drop) });
    until(|| place.begun.load(Ordering::SeqCst)).await;
    for n in 0..20 {
        from.emit(fell(n)).await.unwrap();
    }
    // A bus that joins now has missed nothing.
    let late = join(&memory).await;
    *place.may_end.lock().unwrap() = Some(may_end);
    place.told.notify_all();
    assert_eq!(written.await.unwrap().is_ok(), may_end);
    from.emit(fell(20)).await.unwrap();
    let got = || seen.load(Ordering::SeqCst) + to.stats().lost;
    let expected = 21 + u64::from(may_end);
    until(|| got() >= expected).await;
    for bus in [&writing, &from, &to, &late] {
        bus.stop().await.unwrap();
    }
    assert_eq!((got(), late.stats().lost), (expected, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn m5_an_event_pushed_out_while_it_is_written_is_counted_as_lost() {
    pushed_out_while_it_is_written(0, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn m5_an_event_pushed_out_that_cannot_be_written_is_not_counted() {
    pushed_out_while_it_is_written(1, false).await;
}

/// Each event of another bus is either delivered or counted as lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn m5_each_event_of_several_emitters_is_delivered_or_counted_as_lost() {
    const BUSES: u64 = 4;
    const TASKS: u64 = 4;
    const EMITS: u64 = 500;
    for round in 0..3 {
        let memory = InMemory::bounded(16, 1 << 20);
        let open = Arc::new(Semaphore::new(0));
        let (mut buses, mut delivered) = (Vec::new(), Vec::new());
        for own in 0..BUSES {
            let (bus, seen) = (join(&memory).await, Arc::new(AtomicU64::new(0)));
            let (gate, count) = (Arc::clone(&open), Arc::clone(&seen));
            bus.on(move |event: Arc<Fell>| {
                let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
                async move {
                    if event.n != own {
                        // Closed is open for all.
                        let _ = gate.acquire().await;
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            buses.push(bus);
            delivered.push(seen);
        }
        let emit = |(own, bus): (u64, &Bus)| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for _ in 0..EMITS {
                    bus.emit(fell(own)).await.unwrap();
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).flat_map(|_| (0..).zip(&buses).map(emit)).collect();
        for task in tasks {
            task.await.unwrap();
        }
        open.close();
        let of_others = (BUSES - 1) * TASKS * EMITS;
        let got = |index: usize| {
            let (delivered, lost) = (delivered[index].load(Ordering::SeqCst), buses[index].stats().lost);
            (delivered, lost, delivered + lost)
        };
        let all = || (0..buses.len()).map(got).collect::<Vec<_>>();
        let wait = until(|| all().iter().all(|(.., sum)| *sum >= of_others));
        let came = timeout(Duration::from_secs(5), wait).await;
        assert!(came.is_ok(), "of {of_others} in round {round} (delivered, lost, sum): {:?}", all());
        for bus in &buses {
            bus.stop().await.unwrap();
        }
        let came = all();
        assert!(came.iter().all(|(.., sum)| *sum == of_others), "of {of_others} in round {round}: {came:?}");
    }
}

/// Builds a bus that notes the numbers of all events of a paused or running consumer.
async fn noting(memory: &InMemory, seen: &Arc<Mutex<Vec<u64>>>) -> Bus {
    let seen = Arc::clone(seen);
    let note = move |fell: &Fell| seen.lock().unwrap().push(fell.n);
    let options = typed_events::DurableOptions::new("rain");
    let builder = Bus::builder().adapter(memory.clone()).no_handlers().event::<Fell>();
    builder.durable(options, "drop.fell", note).build().await.unwrap()
}

fn rain(n: u64) -> Fell {
    Fell { n, text: "x".repeat(1_000) }
}

#[tokio::test]
async fn unfinished_events_are_kept_beyond_the_bounds() {
    let (memory, seen) = (InMemory::bounded(2, 1 << 20), Arc::default());
    let bus = noting(&memory, &seen).await;
    bus.consumer("rain").pause().await.unwrap();
    for n in 1..=20 {
        bus.emit(rain(n)).await.unwrap();
    }
    assert!(format!("{memory:?}").starts_with("InMemory(20 records"), "{memory:?}");
    bus.consumer("rain").resume().await.unwrap();
    until(|| seen.lock().unwrap().len() == 20).await;
    assert_eq!(*seen.lock().unwrap(), Vec::from_iter(1..=20));
    // They go with the next event, when the consumer has finished them.
    bus.emit(rain(21)).await.unwrap().settled().await.unwrap();
    bus.emit(rain(22)).await.unwrap().settled().await.unwrap();
    until(|| seen.lock().unwrap().len() == 22).await;
    assert!(!format!("{memory:?}").starts_with("InMemory(22 records"), "{memory:?}");
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn an_emit_beyond_the_pending_bytes_names_the_consumer() {
    let (memory, seen) = (InMemory::bounded(1, 1_000).pending_bytes(4_000), Arc::default());
    let bus = noting(&memory, &seen).await;
    bus.consumer("rain").pause().await.unwrap();
    let mut kept = 0;
    let refused = loop {
        match bus.emit(rain(kept)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!((3..=5).contains(&kept), "{kept} events were kept");
    assert!(refused.to_string().contains("the consumer `rain` has not finished"), "{refused}");
    assert!(refused.is_temporary());
    bus.consumer("rain").resume().await.unwrap();
    until(|| seen.lock().unwrap().len() as u64 == kept).await;
    // There is room again.
    let accepted = timeout(Duration::from_secs(10), async {
        while bus.emit(rain(kept)).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    accepted.await.expect("there is room");
    bus.stop().await.unwrap();
}
