//! Handlers with a replay.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use typed_events::{Bus, ErrorKind, Record, Subscription, event};

use crate::logs::Lines;
use crate::{Seen, bus, until};

#[event("replay.tick")]
pub struct Tick {
    pub task: u32,
    pub n: u32,
}

fn tick(n: u32) -> Tick {
    Tick { task: 0, n }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replays_without_gap_or_double_while_4_tasks_emit() {
    const EACH: u32 = 500;
    for round in 0..20_u32 {
        let bus = Bus::builder().history(10_000).build().await.unwrap();
        let emitters: Vec<_> = (0..4)
            .map(|task| {
                let bus = bus.clone();
                tokio::spawn(async move {
                    for n in 0..EACH {
                        bus.emit(Tick { task, n }).await.unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let seen: Arc<Mutex<Vec<(u32, u32)>>> = Arc::default();
        let (log, busy) = (Arc::clone(&seen), Arc::new(AtomicBool::new(false)));
        let handler = move |tick: Arc<Tick>| {
            let (log, busy) = (Arc::clone(&log), Arc::clone(&busy));
            async move {
                assert!(!busy.swap(true, Ordering::SeqCst), "one at a time");
                if tick.n.is_multiple_of(7) {
                    tokio::task::yield_now().await;
                }
                log.lock().unwrap().push((tick.task, tick.n));
                busy.store(false, Ordering::SeqCst);
            }
        };
        bus.replay(usize::MAX).on(handler).await.unwrap();
        for emitter in emitters {
            emitter.await.unwrap();
        }
        // Emits did not wait for the handler while it caught up, but `stop` waits until it has handled all events.
        bus.stop().await.unwrap();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let stored: Vec<_> = bus.history("*").of::<Tick>().limit_all().await;
        assert_eq!(stored.len(), 4 * EACH as usize);
        assert_eq!(seen, stored, "all, once, in the history's order");
    }
}

/// Reads all ticks of the history, in its order.
trait LimitAll {
    async fn limit_all(self) -> Vec<(u32, u32)>;
}

impl LimitAll for typed_events::history::TypedHistory<'_, Tick> {
    async fn limit_all(self) -> Vec<(u32, u32)> {
        self.limit(usize::MAX).await.unwrap().iter().map(|tick| (tick.task, tick.n)).collect()
    }
}

#[tokio::test]
async fn gives_the_last_n_and_then_emits_wait_for_it() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    for n in 0..5 {
        bus.emit(tick(n)).await.unwrap();
    }
    let log = Arc::clone(&seen);
    let handler = move |tick: &Tick| {
        log.push(tick.n.to_string());
        if tick.n == 6 { Err("six") } else { Ok(()) }
    };
    let subscription = bus.replay(2).on(handler).await.unwrap();
    assert_eq!(seen.take(), ["3", "4"]);
    bus.emit(tick(5)).await.unwrap();
    assert_eq!(seen.take(), ["5"]);
    let emitted = bus.emit(tick(6)).await.unwrap();
    assert_eq!(emitted.failures()[0].message(), "six");
    assert!(subscription.unsubscribe());
    bus.emit(tick(7)).await.unwrap();
    assert_eq!(seen.take(), ["6"]);
}

#[tokio::test]
async fn patterns_and_no_past_work_too() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    bus.emit(tick(0)).await.unwrap();
    let log = Arc::clone(&seen);
    bus.pattern("replay.*").replay(0).on(move |record: &Record| log.push(record.name())).await.unwrap();
    assert_eq!(seen.take(), [""; 0]);
    bus.emit(tick(1)).await.unwrap();
    assert_eq!(seen.take(), ["replay.tick"]);
}

#[tokio::test]
async fn works_without_a_history() {
    let bus = Bus::builder().history(0).build().await.unwrap();
    let seen = Arc::new(Seen::default());
    let log = Arc::clone(&seen);
    bus.emit(tick(0)).await.unwrap();
    bus.replay(10).on(move |tick: &Tick| log.push(tick.n.to_string())).await.unwrap();
    bus.emit(tick(1)).await.unwrap();
    assert_eq!(seen.take(), ["1"]);
}

#[tokio::test]
async fn emits_do_not_wait_for_one_that_is_catching_up() {
    let (bus, seen, gate) = (bus().await, Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
    bus.emit(tick(0)).await.unwrap();
    let (log, open) = (Arc::clone(&seen), Arc::clone(&gate));
    let handler = move |tick: Arc<Tick>| {
        let (log, open) = (Arc::clone(&log), Arc::clone(&open));
        async move {
            open.acquire().await.unwrap().forget();
            log.push(tick.n.to_string());
        }
    };
    let handle = bus.clone();
    let replay = tokio::spawn(async move { handle.replay(10).on(handler).await.map(drop) });
    // The handler hangs at a past event, but these emits resolve.
    for n in 1..4 {
        bus.emit(tick(n)).await.unwrap();
    }
    assert!(!replay.is_finished());
    gate.add_permits(4);
    replay.await.unwrap().unwrap();
    assert_eq!(seen.take(), ["0", "1", "2", "3"]);
    gate.add_permits(1);
    bus.emit(tick(4)).await.unwrap();
    assert_eq!(seen.take(), ["4"]);
}

#[tokio::test]
async fn falling_off_the_history_is_an_error_it_is_told() {
    let bus = Bus::builder().history(10).stream_buffer(10).quiet().build().await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let (reached, mut at_gate) = tokio::sync::mpsc::channel(1);
    bus.emit(tick(0)).await.unwrap();
    let open = Arc::clone(&gate);
    let handler = move |_: Arc<Tick>| {
        let (open, reached) = (Arc::clone(&open), reached.clone());
        async move {
            let _ = reached.try_send(());
            open.acquire().await.unwrap().forget();
        }
    };
    let handle = bus.clone();
    let replay = tokio::spawn(async move { handle.replay(10).on(handler).await.map(drop) });
    at_gate.recv().await.unwrap();
    for n in 1..=25 {
        bus.emit(tick(n)).await.unwrap();
    }
    gate.add_permits(100);
    let error = replay.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lagged);
    assert!(error.to_string().contains("lost 15 events of replay.tick"), "{error}");
    assert!(bus.handlers().is_empty(), "it is unsubscribed");
}

#[tokio::test]
async fn an_emit_inside_the_handler_itself_does_not_deadlock() {
    let (bus, runs) = (bus().await, Arc::new(AtomicUsize::new(0)));
    let (handle, count) = (bus.clone(), Arc::clone(&runs));
    let handler = move |tick: Arc<Tick>| {
        let (bus, count) = (handle.clone(), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            if tick.n < 5 {
                bus.emit(self::tick(tick.n + 1)).await.unwrap();
            }
        }
    };
    bus.replay(0).on(handler).await.unwrap();
    bus.emit(tick(0)).await.unwrap();
    bus.stop().await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_handler_that_feeds_itself_ends_at_the_depth_of_the_chain() {
    let (bus, seen) = (Bus::builder().quiet().max_chain(4).build().await.unwrap(), Arc::new(Seen::default()));
    let (handle, log) = (bus.clone(), Arc::clone(&seen));
    let handler = move |tick: Arc<Tick>| {
        let (bus, log) = (handle.clone(), Arc::clone(&log));
        async move {
            if let Err(error) = bus.emit(self::tick(tick.n + 1)).await {
                log.push(format!("{} {}", tick.n, error.kind() == ErrorKind::ChainTooDeep));
            }
        }
    };
    bus.replay(0).on(handler).await.unwrap();
    bus.emit(tick(1)).await.unwrap();
    bus.stop().await.unwrap();
    assert_eq!(seen.take(), ["4 true"]);
}

#[tokio::test]
async fn dropped_before_it_has_caught_up_it_unsubscribes() {
    let bus = bus().await;
    bus.emit(tick(0)).await.unwrap();
    {
        let mut replay = std::pin::pin!(bus.replay(1).on(|_: &Tick| std::future::pending::<()>()));
        assert!(futures_poll(replay.as_mut()).await.is_none());
        assert_eq!(bus.handlers().len(), 1);
    }
    assert!(bus.handlers().is_empty());
    bus.stop().await.unwrap();
    let refused = bus.replay(1).on(|_: &Tick| ()).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Stopped);
}

/// Polls a future once.
pub(crate) async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_failure_that_no_emit_waits_for_is_reported_all_the_same() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    bus.emit(tick(1)).await.unwrap();
    let handle = bus.clone();
    bus.replay(1)
        .on(move |tick: Arc<Tick>| {
            let bus = handle.clone();
            async move {
                if tick.n == 2 {
                    // A nested emit does not wait for the handler it is in.
                    bus.emit(self::tick(3)).await.map_err(|error| error.to_string())?;
                    return Ok(());
                }
                Err(format!("tick {}", tick.n))
            }
        })
        .await
        .unwrap();
    assert_eq!(bus.stats().failed, 1, "from the past");
    assert!(bus.emit(tick(2)).await.unwrap().failures().is_empty());
    bus.stop().await.unwrap();
    assert_eq!(bus.stats().failed, 2, "from the nested emit");
}

/// Regression test: the replay's task ran on the runtime of the caller of `replay(n).on(..)`. When that runtime ended,
/// emits hung.
#[test]
fn emits_go_on_when_the_runtime_of_the_bus_is_gone() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let bus = first.block_on(Bus::builder().quiet().build()).unwrap();
    second.block_on(bus.replay(0).on(|_: &Tick| ())).unwrap();
    drop(second);
    let third = runtime();
    assert!(
        third.block_on(bus.emit(tick(1))).unwrap().failures().is_empty(),
        "the worker lives with the bus"
    );
    drop(first);
    third.block_on(bus.emit(tick(2))).unwrap();
    assert!(bus.handlers().is_empty(), "the handler ended with it");
    third.block_on(bus.stop()).expect("nothing is counted any more");
}

#[tokio::test]
async fn what_is_emitted_while_it_reads_the_history_comes_in_order() {
    let (bus, seen) = (bus().await, Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    let mut replay = std::pin::pin!(bus.replay(1).on(move |tick: &Tick| log.push(tick.n.to_string())));
    assert!(futures_poll(replay.as_mut()).await.is_none());
    for n in 1..=3 {
        bus.emit(tick(n)).await.unwrap();
    }
    replay.await.unwrap();
    assert_eq!(seen.take(), ["1", "2", "3"]);
}

#[tokio::test]
async fn an_event_it_has_yet_to_see_outlives_the_last_handle() {
    let (bus, seen, done) = (bus().await, Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
    let (log, finished) = (Arc::clone(&seen), Arc::clone(&done));
    bus.replay(0)
        .on(move |tick: &Tick| {
            log.push(tick.n.to_string());
            finished.add_permits(1);
        })
        .await
        .unwrap();
    bus.on(|_: &Nested| ());
    bus.pattern("replay.nested")
        .on(|record: &Record| record.get::<Nested>().map_or(Ok(()), |_| Ok::<_, String>(())))
        .unwrap();
    let handle = bus.clone();
    let emit = bus.once(move |_: &Nested| handle.emit(tick(7)).detach());
    bus.emit(Nested).await.unwrap();
    drop((emit, bus));
    done.acquire().await.unwrap().forget();
    assert_eq!(seen.take(), ["7"]);
}

#[event("replay.nested")]
pub struct Nested;

#[tokio::test]
async fn stop_waits_for_the_call_it_is_in_and_leaves_the_rest_of_the_past() {
    let (bus, seen, gate) = (bus().await, Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
    for n in 0..3 {
        bus.emit(tick(n)).await.unwrap();
    }
    let (log, open, handle) = (Arc::clone(&seen), Arc::clone(&gate), bus.clone());
    let handler = move |tick: Arc<Tick>| {
        let (log, open, bus) = (Arc::clone(&log), Arc::clone(&open), handle.clone());
        async move {
            open.acquire().await.unwrap().forget();
            log.push(format!("{} {}", tick.n, bus.emit(Nested).await.is_ok()));
        }
    };
    let handle = bus.clone();
    let replay = tokio::spawn(async move { handle.replay(3).on(handler).await.map(drop) });
    while bus.handlers().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut stop = std::pin::pin!(bus.stop());
    for _ in 0..10 {
        assert!(futures_poll(stop.as_mut()).await.is_none());
        tokio::task::yield_now().await;
    }
    gate.add_permits(10);
    stop.await.unwrap();
    assert_eq!(replay.await.unwrap().unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(seen.take(), ["0 true"], "its emits pass, and no further call begins");
}

#[tokio::test]
async fn a_stuck_one_does_not_use_up_what_emits_may_wait() {
    let bus = Bus::builder().history(10).stream_buffer(10).max_in_flight(4).quiet().build().await.unwrap();
    bus.emit(tick(0)).await.unwrap();
    let stuck = bus.replay(1).on(|_: &Tick| std::future::pending::<()>());
    let mut stuck = std::pin::pin!(stuck);
    assert!(futures_poll(stuck.as_mut()).await.is_none());
    for n in 0..3000 {
        bus.emit(tick(n)).await.unwrap();
    }
}

/// The failure of a replay is logged if no emit reports it, because the handler was removed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_behind_the_removal_is_counted() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    let (called, is_called) = std::sync::mpsc::sync_channel(1);
    let is_called = Mutex::new(is_called);
    // Delays the emit until the replay handler has been called and removed.
    bus.on(move |_: &Tick| is_called.lock().unwrap().recv().unwrap());
    let own: Arc<std::sync::OnceLock<Subscription>> = Arc::default();
    let subscription = Arc::clone(&own);
    let handler = move |_: &Tick| {
        subscription.get().unwrap().unsubscribe();
        called.send(()).unwrap();
        Err("removed")
    };
    own.set(bus.replay(0).on(handler).await.unwrap()).unwrap();
    let emitted = bus.emit(tick(1)).await.unwrap();
    assert!(emitted.failures().is_empty(), "the emit does not call it any more");
    let counted = async {
        while bus.stats().failed == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("it is counted");
}

/// The failure of an event that the handler has handled is listed by the event's emit, even if the handler has fallen
/// behind the history before the emit reaches it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failure_of_before_the_handler_fell_behind_is_listed() {
    let bus = Bus::builder().history(1).stream_buffer(1).quiet().build().await.unwrap();
    let appended = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&appended);
    let (first_goes_on, first) = std::sync::mpsc::sync_channel::<()>(1);
    let first = Mutex::new(first);
    bus.on(move |tick: &Tick| {
        count.fetch_add(1, Ordering::SeqCst);
        if tick.n == 1 {
            first.lock().unwrap().recv().unwrap();
        }
    });
    let seen = Arc::new(AtomicU32::new(0));
    let last = Arc::clone(&seen);
    let (second_goes_on, second) = std::sync::mpsc::sync_channel::<()>(1);
    let second = Mutex::new(second);
    let handler = move |tick: &Tick| {
        last.store(tick.n, Ordering::SeqCst);
        match tick.n {
            1 => return Err("failed"),
            2 => second.lock().unwrap().recv().unwrap(),
            _ => {}
        }
        Ok(())
    };
    bus.replay(0).on(handler).await.unwrap();
    let emit = |n| {
        let bus = bus.clone();
        tokio::spawn(async move { bus.emit(tick(n)).await.unwrap() })
    };
    // Runs on a thread for blocking work: on a worker of the runtime, the tasks that it wakes could not run while it is
    // blocked.
    let (handle, emitter) = (tokio::runtime::Handle::current(), bus.clone());
    let one =
        tokio::task::spawn_blocking(move || handle.block_on(async { emitter.emit(tick(1)).await.unwrap() }));
    until(|| seen.load(Ordering::SeqCst) == 1).await;
    emit(2);
    until(|| seen.load(Ordering::SeqCst) == 2).await;
    (3..10).for_each(|n| drop(emit(n)));
    until(|| appended.load(Ordering::SeqCst) == 9).await;
    second_goes_on.send(()).unwrap();
    until(|| seen.load(Ordering::SeqCst) > 2).await;
    first_goes_on.send(()).unwrap();
    let emitted = one.await.unwrap();
    assert_eq!(emitted.failures().iter().map(|failure| failure.message()).collect::<Vec<_>>(), ["failed"]);
}

#[tokio::test]
async fn b13_a_handler_that_keeps_falling_behind_is_one_line_per_period() {
    let lines = Lines::default();
    let _guard = tests_support::listen(lines.clone());
    let bus = Bus::builder().history(2).stream_buffer(1).quiet().build().await.unwrap();
    let (turns, seen) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let (turn, count) = (Arc::clone(&turns), Arc::clone(&seen));
    let handler = move |_: Arc<Tick>| {
        let (turn, count) = (Arc::clone(&turn), Arc::clone(&count));
        async move {
            turn.acquire().await.unwrap().forget();
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    bus.replay(0).on(handler).await.unwrap();
    for round in 0..20 {
        (0..10).for_each(|n| bus.emit(tick(n)).detach().unwrap());
        turns.add_permits(1);
        until(|| seen.load(Ordering::SeqCst) > round).await;
    }
    // Each emit also lists the event that the handler did not get.
    let told = lines.of("fell behind the history and lost ");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(" of replay.tick"), "{told:?}");
}

/// A subscriber that delays the log line of a failure.
struct SlowToTell {
    tells: SyncSender<()>,
    goes_on: Mutex<Receiver<()>>,
}

impl tracing::Subscriber for SlowToTell {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() == tracing::Level::ERROR {
            self.tells.send(()).unwrap();
            let _ = self.goes_on.lock().unwrap().recv();
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[event("replay.cause")]
pub struct Cause;

/// `stop` waits until the failure of a replay that no emit awaits was logged, not only until it happened.
#[test]
fn stop_waits_until_the_failure_of_a_replay_is_told() {
    let (tells, is_told) = sync_channel(1);
    let (go_on, goes_on) = sync_channel(1);
    let subscriber = tracing::Dispatch::new(SlowToTell { tells, goes_on: Mutex::new(goes_on) });
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&subscriber)))
        .build()
        .unwrap();
    workers.block_on(async {
        let bus = bus().await;
        let (emitted, is_emitted) = sync_channel(1);
        let is_emitted = Mutex::new(is_emitted);
        bus.replay(0)
            .on(move |_: &Tick| {
                // A replay that fails before the emit reaches it would leave the report to the emit.
                let _ = is_emitted.lock().unwrap().recv();
                Err("always")
            })
            .await
            .unwrap();
        let handle = bus.clone();
        bus.on(move |_: &Cause| handle.emit(tick(1)).detach());
        bus.emit(Cause).await.unwrap();
        emitted.send(()).unwrap();
        is_told.recv().unwrap();
        let mut stop = std::pin::pin!(bus.stop());
        let early = tokio::time::timeout(Duration::from_millis(100), stop.as_mut()).await;
        go_on.send(()).unwrap();
        assert!(early.is_err(), "it waits");
        stop.await.unwrap();
    });
}
