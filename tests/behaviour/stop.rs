//! Stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, HistoryQuery, Published, Receiver, RecordCodec,
};
use typed_events::{Bus, ErrorKind, Record, event};

use crate::replay::futures_poll;
use crate::{Seen, bus, until};

#[event("stop.work")]
pub struct Work;

#[event("stop.more")]
pub struct More;

/// Adds a handler that waits at the gate and then emits [`More`].
fn worker(bus: &Bus, gate: &Arc<Semaphore>) {
    let (handle, gate) = (bus.clone(), Arc::clone(gate));
    bus.on(move |_: Arc<Work>| {
        let (bus, gate) = (handle.clone(), Arc::clone(&gate));
        async move {
            gate.acquire().await.unwrap().forget();
            bus.emit(More).await.map(drop)
        }
    });
}

#[tokio::test]
async fn waits_refuses_and_lets_nested_emits_pass() {
    let (bus, gate, seen) = (bus().await, Arc::new(Semaphore::new(0)), Arc::new(Seen::default()));
    worker(&bus, &gate);
    let log = Arc::clone(&seen);
    bus.on(move |_: &More| log.push("more"));
    bus.emit(Work).detach().unwrap();
    let mut stop = std::pin::pin!(bus.stop());
    assert!(futures_poll(stop.as_mut()).await.is_none(), "it waits");
    let refused = bus.emit(Work).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Stopped);
    assert_eq!(refused.to_string(), "stop.work: the bus is stopping or stopped; nothing was emitted");
    let mut second = std::pin::pin!(bus.stop());
    assert!(futures_poll(second.as_mut()).await.is_none(), "a second one waits for the first");
    gate.add_permits(1);
    stop.await.unwrap();
    second.await.unwrap();
    bus.stop().await.unwrap();
    assert_eq!(seen.take(), ["more"]);
    assert_eq!(bus.emit(More).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(bus.emit_json("stop.more", "null").await.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(bus.emit_all([More]).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(bus.history("*").await.unwrap().len(), 2);
}

#[tokio::test]
async fn waits_for_an_emit_without_a_record_and_its_nested_ones() {
    let bus = Bus::builder().history(0).build().await.unwrap();
    let (inside, is_inside) = std::sync::mpsc::sync_channel(1);
    let (go, goes) = std::sync::mpsc::sync_channel::<()>(1);
    let (handle, inside, goes) = (bus.clone(), std::sync::Mutex::new(inside), std::sync::Mutex::new(goes));
    bus.on(move |_: &Work| {
        inside.lock().unwrap().send(()).unwrap();
        goes.lock().unwrap().recv().unwrap();
        handle.emit(More).detach()
    });
    let emitter = bus.clone();
    let emit = std::thread::spawn(move || polled_once(emitter.emit(Work)));
    is_inside.recv().unwrap();
    let mut stop = std::pin::pin!(bus.stop());
    assert!(futures_poll(stop.as_mut()).await.is_none(), "it waits");
    // The emit is also refused after the list of handlers has changed.
    bus.on(|_: &Work| ());
    assert_eq!(bus.emit(Work).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert!(futures_poll(stop.as_mut()).await.is_none(), "it still waits");
    go.send(()).unwrap();
    let emitted = emit.join().unwrap().unwrap().unwrap();
    assert_eq!((emitted.handled(), emitted.failures().len()), (1, 0));
    stop.await.unwrap();
    assert_eq!(bus.emit(More).await.unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test(start_paused = true)]
async fn gives_up_at_its_deadline_and_says_on_what() {
    let bus = Bus::builder().stop_deadline(Duration::from_secs(5)).build().await.unwrap();
    worker(&bus, &Arc::new(Semaphore::new(0)));
    bus.emit(Work).detach().unwrap();
    let error = bus.stop().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StopIncomplete);
    let message = error.to_string();
    assert!(
        message.starts_with("stop gave up after 5 s on: handler closure at tests/behaviour/stop.rs:"),
        "{message}"
    );
    assert!(message.ends_with(" on stop.work"), "{message}");
    assert_eq!(bus.stop().await.unwrap_err().to_string(), message, "the outcome stays");
}

#[tokio::test]
async fn inside_a_handler_is_an_error() {
    let bus = bus().await;
    let handle = bus.clone();
    bus.on(move |_: Arc<Work>| {
        let bus = handle.clone();
        async move { bus.stop().await }
    });
    let emitted = bus.emit(Work).await.unwrap();
    assert!(emitted.failures()[0].message().starts_with("`stop` was called inside a handler"));
    assert_eq!(bus.emit(More).await.unwrap().handled(), 0, "the bus goes on");
}

#[tokio::test]
async fn a_dropped_stop_is_taken_up_by_the_next() {
    let (bus, gate) = (bus().await, Arc::new(Semaphore::new(0)));
    worker(&bus, &gate);
    bus.emit(Work).detach().unwrap();
    {
        let mut stop = std::pin::pin!(bus.stop());
        assert!(futures_poll(stop.as_mut()).await.is_none());
    }
    assert_eq!(bus.emit(Work).await.unwrap_err().kind(), ErrorKind::Stopped);
    gate.add_permits(1);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_the_last_handle_lets_what_runs_finish() {
    let (bus, gate, done) = (bus().await, Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (open, finished) = (Arc::clone(&gate), Arc::clone(&done));
    bus.on(move |_: Arc<Work>| {
        let (open, finished) = (Arc::clone(&open), Arc::clone(&finished));
        async move {
            open.acquire().await.unwrap().forget();
            finished.add_permits(1);
        }
    });
    bus.emit(Work).detach().unwrap();
    drop(bus);
    gate.add_permits(1);
    done.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn a_deadline_may_be_as_far_away_as_can_be() {
    let bus = Bus::builder().stop_deadline(Duration::MAX).build().await.unwrap();
    bus.stop().await.unwrap();
}

/// A handler of one bus that emits on another one is still a handler of the first.
#[tokio::test]
async fn a_handler_of_this_bus_is_recognised_through_another() {
    let (outer, inner) = (bus().await, bus().await);
    let handle = inner.clone();
    outer.on(move |_: Arc<Work>| {
        let inner = handle.clone();
        async move { inner.emit(More).await.map(|emitted| assert!(emitted.failures().is_empty())) }
    });
    let (handle, seen) = (outer.clone(), Arc::new(Seen::default()));
    let log = Arc::clone(&seen);
    inner.on(move |_: Arc<More>| {
        let (outer, log) = (handle.clone(), Arc::clone(&log));
        async move {
            log.push(format!("{:?}", outer.stop().await.unwrap_err().kind()));
        }
    });
    assert!(outer.emit(Work).await.unwrap().failures().is_empty());
    assert_eq!(seen.take(), ["StopInHandler"]);
}

#[test]
fn a_stop_from_a_runtime_that_ends_goes_on() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (main, side) = (runtime(), runtime());
    let bus = main.block_on(Bus::new()).unwrap();
    let gate = Arc::new(Semaphore::new(0));
    worker(&bus, &gate);
    main.block_on(async { bus.emit(Work).detach() }).unwrap();
    {
        let mut stop = Box::pin(bus.stop());
        assert!(side.block_on(futures_poll(stop.as_mut())).is_none());
    }
    let mut stream = bus.stream("stop.other").unwrap();
    drop(side);
    gate.add_permits(1);
    assert!(main.block_on(stream.next()).is_none(), "though nobody calls it again");
    main.block_on(bus.stop()).unwrap();
}

/// Regression test: `stop` panicked twice in a task before it returned the error.
#[test]
fn s12_a_runtime_without_a_timer_is_an_error_of_build() {
    for runtime in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        let mut runtime = runtime;
        let error = runtime.build().unwrap().block_on(async { Bus::new().await.unwrap_err() });
        assert_eq!(error.kind(), ErrorKind::Build);
        assert_eq!(
            error.to_string(),
            "the tokio runtime has no timer, which `stop` and adapters need: call `enable_all()` or `enable_time()` when building it"
        );
        let with_timer = runtime.enable_time().build().unwrap();
        with_timer.block_on(async { Bus::new().await.unwrap().stop().await }).unwrap();
    }
}

/// Polls a future once, and returns its output if it is ready.
fn polled_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut future).poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

fn threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Creates a current-thread runtime, which makes no progress unless it is driven.
fn idle() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn s3_stop_keeps_its_deadline_where_nobody_drives_the_runtime_of_the_bus() {
    let (home, other) = (idle(), threads());
    let stop = |bus: Bus| {
        let stopped = async move { tokio::time::timeout(Duration::from_secs(20), bus.stop()).await };
        other.block_on(stopped).expect("it ends")
    };
    let build = || {
        Bus::builder()
            .quiet()
            .adapter(typed_events::adapter::InMemory::new())
            .stop_deadline(Duration::from_millis(50))
    };
    let bus = home.block_on(build().build()).unwrap();
    stop(bus).unwrap();
    // A bus whose emits wait on its own runtime.
    let bus = home.block_on(build().build()).unwrap();
    worker(&bus, &Arc::new(Semaphore::new(0)));
    home.block_on(async { bus.emit(Work).detach() }).unwrap();
    let error = stop(bus.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StopIncomplete);
    assert!(error.to_string().ends_with(" on stop.work"), "{error}");
    let again = home.block_on(bus.stop()).unwrap_err();
    assert_eq!(again.to_string(), error.to_string(), "the outcome stays");
    // A bus that began to stop on its own runtime.
    let slow = Slow::new();
    let bus = home.block_on(build().adapter(slow.clone()).build()).unwrap();
    assert!(home.block_on(async { futures_poll(std::pin::pin!(bus.stop())).await }).is_none());
    slow.gate.add_permits(1);
    stop(bus).unwrap();
}

#[test]
fn s3_stop_ends_a_replay_where_nobody_drives_the_runtime_of_the_bus() {
    let (home, other) = (idle(), threads());
    let bus = home.block_on(Bus::builder().stop_deadline(Duration::from_millis(50)).build()).unwrap();
    let stopped = other.block_on(async {
        let mut replay = std::pin::pin!(bus.replay(0).on(|_: &Work| ()));
        assert!(futures_poll(replay.as_mut()).await.is_none());
        bus.stop().await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), replay).await
    });
    assert_eq!(stopped.expect("it ends").unwrap_err().kind(), ErrorKind::Stopped);
}

#[test]
fn s12_a_stop_without_a_timer_says_what_is_missing() {
    let home = threads();
    let bus = home.block_on(Bus::builder().quiet().build()).unwrap();
    let without = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let driven = home.block_on(Bus::builder().quiet().build()).unwrap();
    without.block_on(driven.stop()).unwrap();
    drop(home);
    let error = without.block_on(bus.stop()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert_eq!(
        error.to_string(),
        "the runtime of the bus has shut down, and that of the caller has no timer, which `stop` needs: call `enable_all()` or `enable_time()` when building it"
    );
    threads().block_on(bus.stop()).unwrap();
}

/// An adapter that is slow to stop.
#[derive(Clone)]
struct Slow {
    stops: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self { stops: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn stops(&self) -> usize {
        self.stops.load(Ordering::SeqCst)
    }
}

impl Adapter for Slow {
    fn name(&self) -> String {
        "slow".to_owned()
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn publish<'a>(
        &'a self,
        _: &'a [Record],
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async { Ok(Published::default()) })
    }

    fn history<'a>(
        &'a self,
        _: &'a HistoryQuery,
        _: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn subscribe(&self, _: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.stops.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            self.gate.acquire().await.unwrap().forget();
            Ok(())
        })
    }
}

#[test]
fn s_runtime_an_adapter_is_stopped_once_whichever_runtime_ends_meanwhile() {
    for ends in ["that of the bus", "that of the caller"] {
        let (home, other, slow) = (threads(), threads(), Slow::new());
        let bus = home.block_on(Bus::builder().quiet().adapter(slow.clone()).build()).unwrap();
        let caller = bus.clone();
        let stop = other.spawn(async move { caller.stop().await });
        home.block_on(until(|| slow.stops() == 1));
        match ends {
            "that of the bus" => {
                drop(home);
                slow.gate.add_permits(1);
                other.block_on(stop).unwrap().unwrap();
            }
            _ => {
                drop(other);
                slow.gate.add_permits(1);
                home.block_on(bus.stop()).unwrap();
            }
        }
        assert_eq!(slow.stops(), 1, "{ends}");
    }
}

/// The stop continues after the last call of `stop` was dropped, and if each runtime drives it only for a while.
#[test]
fn s_runtime_a_stop_goes_on_from_one_runtime_to_the_next() {
    let (home, slow) = (idle(), Slow::new());
    let bus = home.block_on(Bus::builder().quiet().adapter(slow.clone()).build()).unwrap();
    for _ in 0..3 {
        let mut stop = Box::pin(bus.stop());
        assert!(idle().block_on(async { futures_poll(stop.as_mut()).await }).is_none());
    }
    assert_eq!(slow.stops(), 1);
    slow.gate.add_permits(1);
    threads().block_on(bus.stop()).unwrap();
    assert_eq!(slow.stops(), 1);
}

#[test]
fn s_runtime_an_adapter_that_does_not_stop_in_time_is_named_once_by_all() {
    let (home, slow) = (threads(), Slow::new());
    let builder = Bus::builder().quiet().stop_deadline(Duration::from_millis(10));
    let bus = home.block_on(builder.adapter(slow.clone()).build()).unwrap();
    let (second, other) = (bus.clone(), threads());
    let second = home.spawn(async move { second.stop().await });
    let (first, second) = other.block_on(async { tokio::join!(bus.stop(), second) });
    let error = first.unwrap_err().to_string();
    assert_eq!(error, "stop gave up after 0.01 s on: slow did not stop in time");
    assert_eq!(second.unwrap().unwrap_err().to_string(), error);
    assert_eq!(slow.stops(), 1);
}

/// Regression test: `stop` waited a second for the other runtime.
#[test]
fn s_runtime_a_stop_takes_no_time_where_nobody_drives_the_runtime_of_the_bus() {
    let home = idle();
    let bus = home.block_on(Bus::builder().adapter(typed_events::adapter::InMemory::new()).build()).unwrap();
    let other =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    other.block_on(async {
        let begun = Instant::now();
        bus.stop().await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

/// If a task stops many buses at once, tokio's cooperative budget makes ready futures pending. The outcome that the bus
/// was sent must not look then as if it never arrives.
#[tokio::test]
async fn the_outcome_counts_however_little_the_task_may_still_do() {
    const BUDGET: usize = 128;
    for left in 0..=BUDGET {
        let (bus, gate) = (bus().await, Arc::new(Semaphore::new(0)));
        worker(&bus, &gate);
        bus.emit(Work).detach().unwrap();
        let mut stopped = std::pin::pin!(bus.stop());
        assert!(futures_poll(stopped.as_mut()).await.is_none());
        gate.add_permits(1);
        for _ in 0..100 {
            // Lets the task that drains the bus end.
            tokio::task::yield_now().await;
        }
        let mut to_do = BUDGET - left;
        let outcome = std::future::poll_fn(|cx| {
            while to_do > 0 {
                to_do -= 1;
                let _ = std::pin::pin!(tokio::task::coop::consume_budget()).poll(cx);
            }
            stopped.as_mut().poll(cx)
        });
        outcome.await.unwrap_or_else(|error| panic!("with {left} left to do: {error}"));
    }
}
