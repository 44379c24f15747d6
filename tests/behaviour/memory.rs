//! What `Memory` promises beyond the laws of adapters: bounds, and patience with buses that are slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use typed_events::{Bus, ErrorKind, Memory, Record, event};

use crate::until;

#[event("drop.fell")]
pub struct Fell {
    pub n: u64,
    pub text: String,
}

/// Can't be written where it is negative.
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

async fn join(memory: &Memory) -> Bus {
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
    let memory = Memory::bounded(64, 1 << 20);
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
    // It has caught up, and misses nothing from now on.
    from.emit(fell(1000)).await.unwrap();
    until(|| handled.load(Ordering::SeqCst) + stuck.stats().lost == 1001).await;
    assert_eq!(stuck.stats().lost, lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_bounded_by_number_and_size() {
    let by_number = Memory::bounded(10, usize::MAX);
    let bus = join(&by_number).await;
    for n in 0..25 {
        bus.emit(fell(n)).await.unwrap();
    }
    let kept: Vec<_> = bus.history("*").of::<Fell>().await.unwrap().iter().map(|fell| fell.n).collect();
    assert_eq!(kept, (15..25).collect::<Vec<_>>());

    let (small, large) = (Memory::bounded(1000, 4096), Memory::bounded(1000, 0));
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
    let memory = Memory::new();
    let (from, to, seen) = (join(&memory).await, join(&memory).await, Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&seen);
    to.on_pattern("*", move |_: &Record| add(&count)).unwrap();
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
    let memory = Memory::bounded(8, 1 << 20);
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
