//! Runtimes that shut down, handlers that hang, and calls on a bus that has stopped.

use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use typed_events::adapter::InMemory;
use typed_events::{Bus, BusBuilder, Error, ErrorKind, Record, event};

use crate::logs::{is_child, stderr_of};
use crate::replay::futures_poll;
use crate::silence::Log;
use crate::{Seen, bus, until};

#[event("lifecycle.job")]
pub struct Job(pub u32);

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A bus whose handler waits at a gate, and the jobs that the handler has finished.
struct Gated {
    bus: Bus,
    gate: Arc<Semaphore>,
    seen: Arc<Seen>,
}

impl Gated {
    fn new(runtime: &Runtime, builder: BusBuilder) -> Self {
        let bus = runtime.block_on(builder.quiet().build()).unwrap();
        let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Seen::default()));
        let (open, log) = (Arc::clone(&gate), Arc::clone(&seen));
        bus.on(move |job: Arc<Job>| {
            let (open, log) = (Arc::clone(&open), Arc::clone(&log));
            async move {
                open.acquire().await.unwrap().forget();
                log.push(job.0.to_string());
            }
        });
        Self { bus, gate, seen }
    }
}

type Emit = for<'a> fn(&'a Bus) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Each kind of emit of job 1, abandoned as soon as its handler waits.
const EMITS: [(&str, Emit); 4] = [
    ("detached", |bus| Box::pin(async { bus.emit(Job(1)).detach().unwrap() })),
    ("dropped", |bus| Box::pin(async { assert!(futures_poll(pin!(bus.emit(Job(1)))).await.is_none()) })),
    ("batch", |bus| Box::pin(async { assert!(futures_poll(pin!(bus.emit_all([Job(1)]))).await.is_none()) })),
    ("json", |bus| {
        Box::pin(async { assert!(futures_poll(pin!(bus.emit_json("lifecycle.job", "1"))).await.is_none()) })
    }),
];

#[test]
fn s3_handlers_that_wait_move_to_the_runtime_of_the_bus() {
    for (what, emit) in EMITS {
        for short in [threads, one_thread] {
            for with_adapter in [false, true] {
                let home = threads();
                let builder = match with_adapter {
                    true => Bus::builder().adapter(InMemory::new()),
                    false => Bus::builder(),
                };
                let Gated { bus, gate, seen } = Gated::new(&home, builder);
                let short = short();
                short.block_on(emit(&bus));
                drop(short);
                gate.add_permits(1);
                home.block_on(bus.stop()).unwrap();
                assert_eq!(seen.take(), ["1"], "{what}, with an adapter: {with_adapter}");
                let stats = bus.stats();
                assert_eq!((stats.abandoned, stats.failed), (0, 0));
            }
        }
    }
}

#[event("lifecycle.outer")]
pub struct Outer;

type Nested = fn(Bus) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Each way to await the emit of job 1.
const NESTED: [(&str, Nested); 3] = [
    ("emit", |bus| Box::pin(async move { bus.emit(Job(1)).await.map(drop) })),
    ("emit_all", |bus| Box::pin(async move { bus.emit_all([Job(1)]).await.map(drop) })),
    ("emit_json", |bus| Box::pin(async move { bus.emit_json("lifecycle.job", "1").await.map(drop) })),
];

/// A handler that awaits an emit moves to the other runtime as well, and gets the result of the emit there.
#[test]
fn s3_a_handler_that_waits_for_an_emit_gets_its_result_after_both_have_moved() {
    for (what, nested) in NESTED {
        for short in [threads, one_thread] {
            for with_adapter in [false, true] {
                let home = threads();
                let builder = match with_adapter {
                    true => Bus::builder().adapter(InMemory::new()),
                    false => Bus::builder(),
                };
                let Gated { bus, gate, seen } = Gated::new(&home, builder);
                let inner = bus.clone();
                bus.on(move |_: &Outer| nested(inner.clone()));
                let short = short();
                short.block_on(async {
                    bus.emit(Outer).detach().unwrap();
                    until(|| bus.stats().unhandled == 0 && Arc::strong_count(&gate) > 2).await;
                });
                drop(short);
                gate.add_permits(1);
                home.block_on(bus.stop()).unwrap();
                let stats = bus.stats();
                assert_eq!(seen.take(), ["1"], "{what}, with an adapter: {with_adapter}");
                assert_eq!(
                    (stats.abandoned, stats.failed),
                    (0, 0),
                    "{what}, with an adapter: {with_adapter}"
                );
            }
        }
    }
}

#[test]
fn s3_an_emit_that_began_on_a_runtime_that_ended_has_its_result() {
    let (home, short, other) = (threads(), one_thread(), threads());
    let Gated { bus, gate, seen } = Gated::new(&home, Bus::builder());
    bus.on(|_: &Job| async {
        tokio::task::yield_now().await;
        Err::<(), _>("no paper")
    });
    let mut emit = Box::pin(bus.emit(Job(1)).into_future());
    short.block_on(async { assert!(futures_poll(emit.as_mut()).await.is_none()) });
    drop(short);
    gate.add_permits(1);
    let emitted = other.block_on(emit).unwrap();
    assert_eq!((emitted.handled(), emitted.failures()[0].message()), (2, "no paper"));
    assert_eq!(seen.take(), ["1"]);
    home.block_on(bus.stop()).unwrap();
}

#[test]
fn s3_an_emit_whose_handlers_are_lost_is_an_error_that_says_so() {
    let (home, short, other) = (threads(), one_thread(), threads());
    let Gated { bus, .. } = Gated::new(&home, Bus::builder());
    let mut emit = Box::pin(bus.emit(Job(1)).into_future());
    short.block_on(async { assert!(futures_poll(emit.as_mut()).await.is_none()) });
    drop((short, home));
    let error = other.block_on(emit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
    assert_eq!(
        error.to_string(),
        "lifecycle.job: the runtimes of the emit and of the bus shut down before all handlers had finished; the unfinished ones are lost"
    );
    assert_eq!(bus.stats().abandoned, 1);
}

/// A timer is bound to its runtime, so the handler with the timer fails, and the others continue.
#[test]
fn s3_a_handler_that_needs_the_runtime_that_ended_fails_alone() {
    let (home, short) = (threads(), one_thread());
    let Gated { bus, gate, seen } = Gated::new(&home, Bus::builder());
    bus.on(|_: &Job| tokio::time::sleep(Duration::from_secs(600)));
    short.block_on(async { bus.emit(Job(1)).detach() }).unwrap();
    drop(short);
    gate.add_permits(1);
    home.block_on(bus.stop()).unwrap();
    assert_eq!((seen.take(), bus.stats().failed, bus.stats().abandoned), (vec!["1".to_owned()], 1, 0));
}

#[test]
fn s3_handlers_lost_with_the_runtime_of_the_bus_are_counted_and_named() {
    for (what, emit) in EMITS {
        let (home, other) = (threads(), threads());
        let Gated { bus, seen, .. } = Gated::new(&home, Bus::builder());
        home.block_on(emit(&bus));
        drop(home);
        assert_eq!((bus.stats().abandoned, bus.stats().failed), (1, 0), "{what}");
        let error = other.block_on(bus.stop()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StopIncomplete);
        let message = error.to_string();
        assert!(
            message.starts_with(
                "1 lost because a runtime shut down: handler closure at tests/behaviour/lifecycle.rs:"
            ),
            "{message}"
        );
        assert!(message.ends_with(" on lifecycle.job"), "{message}");
        assert!(seen.take().is_empty());
    }
}

#[test]
fn s3_handlers_go_on_where_they_were_emitted_when_the_runtime_of_the_bus_is_gone() {
    let (home, other) = (threads(), threads());
    let Gated { bus, gate, seen } = Gated::new(&home, Bus::builder());
    drop(home);
    other.block_on(async { bus.emit(Job(1)).detach() }).unwrap();
    gate.add_permits(1);
    other.block_on(bus.stop()).unwrap();
    assert_eq!((seen.take(), bus.stats().abandoned), (vec!["1".to_owned()], 0));
}

/// An adapter whose calls never return.
struct Silent;

impl typed_events::adapter::Adapter for Silent {
    fn name(&self) -> String {
        "silent".to_owned()
    }

    fn keeps_history(&self) -> bool {
        false
    }

    fn publish<'a>(
        &'a self,
        _: &'a [Record],
        _: &'a typed_events::adapter::RecordCodec,
    ) -> typed_events::adapter::BoxFuture<
        'a,
        Result<typed_events::adapter::Published, typed_events::adapter::AdapterError>,
    > {
        Box::pin(std::future::pending())
    }

    fn history<'a>(
        &'a self,
        _: &'a typed_events::adapter::HistoryQuery,
        _: &'a typed_events::adapter::RecordCodec,
    ) -> typed_events::adapter::BoxFuture<
        'a,
        Result<Vec<Result<Record, typed_events::adapter::AdapterError>>, typed_events::adapter::AdapterError>,
    > {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn subscribe(
        &self,
        _: typed_events::adapter::Receiver,
    ) -> typed_events::adapter::BoxFuture<'_, Result<(), typed_events::adapter::AdapterError>> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> typed_events::adapter::BoxFuture<'_, Result<(), typed_events::adapter::AdapterError>> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn s3_an_emit_that_waits_for_the_adapter_when_its_runtime_ends_is_named() {
    let (home, other) = (threads(), threads());
    let Gated { bus, .. } = Gated::new(&home, Bus::builder().adapter(Silent));
    home.block_on(async { bus.emit(Job(1)).detach() }).unwrap();
    drop(home);
    assert_eq!(bus.stats().abandoned, 1);
    let error = other.block_on(bus.stop()).unwrap_err().to_string();
    assert_eq!(error, "1 lost because a runtime shut down: the emit of lifecycle.job");
}

/// A handler with a replay runs on the runtime of the bus, even if it was registered on another one.
#[test]
fn s3_what_a_replay_handler_had_yet_to_see_is_counted_and_named() {
    let (home, other) = (threads(), threads());
    let bus = home.block_on(Bus::builder().quiet().build()).unwrap();
    home.block_on(async { bus.emit(Job(1)).await.unwrap() });
    let mut replay = Box::pin(bus.replay(1).on(|_: &Job| std::future::pending::<()>()));
    other.block_on(async {
        assert!(futures_poll(replay.as_mut()).await.is_none());
        for n in 2..=4 {
            bus.emit(Job(n)).await.unwrap();
        }
    });
    drop(home);
    let error = other.block_on(replay).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
    assert!(error.to_string().contains("its runtime"), "{error}");
    assert_eq!(bus.stats().abandoned, 4, "one was in hand");
    let error = other.block_on(bus.stop()).unwrap_err().to_string();
    assert!(error.starts_with("4 lost because a runtime shut down: handler closure at "), "{error}");
}

#[test]
fn s3_the_first_emit_after_a_replay_handler_lost_its_runtime_says_so() {
    let (home, other) = (threads(), threads());
    let bus = home.block_on(Bus::builder().quiet().build()).unwrap();
    let subscription = home.block_on(bus.replay(0).on(|_: &Job| ())).unwrap();
    drop(home);
    assert_eq!(bus.stats().abandoned, 0, "it had seen all there was");
    other.block_on(async {
        let emitted = bus.emit(Job(1)).await.unwrap();
        assert_eq!(emitted.failures()[0].message(), "its runtime shut down, so it gets no more events");
        assert!(!subscription.is_active());
        assert_eq!(bus.emit(Job(2)).await.unwrap().handled(), 0);
        bus.stop().await.unwrap();
    });
}

/// The program of [`s4_a_program_that_ends_before_its_handlers_says_so`], run as a separate process.
#[test]
fn s4_program() {
    let Ok(ending) = std::env::var("S4_PROGRAM") else { return };
    let main = async |wait: bool| {
        let bus = Bus::new().await.unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let open = Arc::clone(&gate);
        bus.on(move |_: &Job| {
            let open = Arc::clone(&open);
            async move { open.acquire().await.unwrap().forget() }
        });
        bus.emit(Job(1)).detach().unwrap();
        if wait {
            gate.add_permits(1);
            bus.stop().await.unwrap();
        }
    };
    match ending.as_str() {
        "one thread" => one_thread().block_on(main(false)),
        "threads" => threads().block_on(main(false)),
        _ => threads().block_on(main(true)),
    }
}

#[test]
fn s4_a_program_that_ends_before_its_handlers_says_so() {
    for (ending, expected) in [("one thread", true), ("threads", true), ("waits", false)] {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program)
            .args(["--exact", "lifecycle::s4_program", "--nocapture"])
            .env("S4_PROGRAM", ending)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let says = said.contains(" on lifecycle.job ")
            && said.contains("its runtime shut down before it had finished");
        assert_eq!(says, expected, "{ending}: {said}");
        assert!(output.status.success());
    }
}

const ENDS_FIRST: &str = "the runtime on which the bus was built has shut down before `stop`";

/// How a runtime ends.
type End = fn(Runtime);

/// A bus that no longer receives events of other instances logs that when its runtime ends.
#[test]
fn s4_a_bus_that_loses_its_runtime_before_stop_says_so() {
    if is_child() {
        let log = Log::of(|_| true);
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        let endings: [(fn() -> Runtime, End); 5] = [
            (one_thread, drop),
            (one_thread, Runtime::shutdown_background),
            (threads, drop),
            (threads, |home: Runtime| home.shutdown_timeout(Duration::from_secs(1))),
            (threads, Runtime::shutdown_background),
        ];
        for (said, (home, end)) in endings.into_iter().enumerate() {
            let (home, other) = (home(), threads());
            let (memory, seen) = (InMemory::new(), Arc::new(Seen::default()));
            let bus = home.block_on(Bus::builder().adapter(memory.clone()).build()).unwrap();
            let emitter = other.block_on(Bus::builder().adapter(memory).build()).unwrap();
            let heard = Arc::clone(&seen);
            bus.on(move |job: &Job| heard.push(job.0.to_string()));
            end(home);
            let warnings = || log.with(tracing::Level::WARN, ENDS_FIRST);
            other.block_on(async {
                until(|| warnings().len() == said + 1).await;
                emitter.emit(Job(1)).await.unwrap();
                // Its own events still reach its handlers, so nothing else is reported.
                assert_eq!(bus.emit(Job(2)).await.unwrap().handled(), 1);
                bus.stop().await.unwrap();
                emitter.stop().await.unwrap();
            });
            assert_eq!(seen.take(), ["2"]);
            assert_eq!(
                warnings()[said],
                format!(
                    "{ENDS_FIRST}: events of other instances may no longer arrive from memory; call `stop().await` before that runtime ends, or build the bus on the runtime that lives longest"
                )
            );
        }
        return;
    }
    stderr_of("lifecycle::s4_a_bus_that_loses_its_runtime_before_stop_says_so");
}

/// Nothing is lost if the bus was stopped or dropped, or had no task on the runtime.
#[test]
fn s4_a_bus_that_loses_nothing_with_its_runtime_says_nothing() {
    let (log, _guard) = Log::listen();
    let build = |builder: BusBuilder| {
        let home = one_thread();
        let bus = home.block_on(builder.build()).unwrap();
        (home, bus)
    };
    let (home, bus) = build(Bus::builder().adapter(InMemory::new()));
    home.block_on(bus.stop()).unwrap();
    drop(home);
    let (home, bus) = build(Bus::builder().adapter(InMemory::new()));
    let mut stop = Box::pin(bus.stop());
    assert!(home.block_on(async { futures_poll(stop.as_mut()).await }).is_none_or(|done| done.is_ok()));
    drop(home);
    drop(stop);
    let (home, last) = build(Bus::builder().adapter(InMemory::new()));
    drop(last);
    drop(home);
    for builder in [Bus::builder(), Bus::builder().adapter(Silent)] {
        let (home, _bus) = build(builder);
        drop(home);
    }
    assert_eq!(log.with(tracing::Level::WARN, ENDS_FIRST), [""; 0]);
}

/// Builds a bus with a replay handler that waits at a gate for each event.
async fn replaying(builder: BusBuilder) -> (Bus, typed_events::Subscription, Arc<Semaphore>, Arc<Seen>) {
    let bus = builder.quiet().build().await.unwrap();
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Seen::default()));
    let (open, log) = (Arc::clone(&gate), Arc::clone(&seen));
    let replay = bus.replay(0).on(move |job: Arc<Job>| {
        let (open, log) = (Arc::clone(&open), Arc::clone(&log));
        async move {
            log.push(format!("begins {}", job.0));
            open.acquire().await.unwrap().forget();
            log.push(format!("ends {}", job.0));
        }
    });
    let subscription = replay.await.unwrap();
    (bus, subscription, gate, seen)
}

#[tokio::test]
async fn s10_emits_do_not_wait_for_a_replay_handler_that_was_removed() {
    for by_pattern in [false, true] {
        let (bus, subscription, gate, seen) = replaying(Bus::builder()).await;
        let emits: Vec<_> = (1..=3).map(|n| tokio::spawn(emit(bus.clone(), n))).collect();
        let began = Arc::new(std::sync::Mutex::new(Vec::new()));
        until(|| {
            began.lock().unwrap().extend(seen.take());
            began.lock().unwrap().len() == 1 && bus.stats().unhandled == 0
        })
        .await;
        match by_pattern {
            true => assert_eq!(bus.off("lifecycle.job").unwrap(), 1),
            false => assert!(subscription.unsubscribe()),
        }
        assert_eq!(bus.emit(Job(4)).await.unwrap().handled(), 0);
        let mut emits = emits.into_iter();
        let first = emits.next().unwrap();
        for emit in emits {
            emit.await.unwrap().unwrap();
        }
        assert!(!first.is_finished(), "its call goes on");
        gate.add_permits(1);
        first.await.unwrap().unwrap();
        assert_eq!(
            (began.lock().unwrap().clone(), seen.take()),
            (vec!["begins 1".to_owned()], vec!["ends 1".to_owned()])
        );
        bus.stop().await.unwrap();
    }
}

async fn emit(bus: Bus, n: u32) -> Result<typed_events::Emitted, Error> {
    bus.emit(Job(n)).await
}

/// The removal releases the emits, because the handler blocks the thread of its task.
#[test]
fn s10_emits_do_not_wait_for_a_removed_replay_handler_that_blocks_its_thread() {
    for by_pattern in [false, true] {
        let home = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
        let bus = home.block_on(Bus::builder().quiet().build()).unwrap();
        let (called, is_called) = std::sync::mpsc::sync_channel(8);
        let (go_on, goes_on) = std::sync::mpsc::sync_channel::<()>(8);
        let goes_on = std::sync::Mutex::new(goes_on);
        let replay = bus.replay(0).on(move |job: &Job| {
            called.send(job.0).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
        });
        let subscription = home.block_on(replay).unwrap();
        let first = home.spawn(emit(bus.clone(), 1));
        assert_eq!(is_called.recv().unwrap(), 1);
        let others: Vec<_> = (2..=3).map(|n| home.spawn(emit(bus.clone(), n))).collect();
        home.block_on(async {
            // When they are in the history, the emits wait at the gate, or see that the handler was removed.
            while bus.history("lifecycle.job").await.unwrap().len() < 3 {
                tokio::task::yield_now().await;
            }
            match by_pattern {
                true => assert_eq!(bus.off("lifecycle.job").unwrap(), 1),
                false => assert!(subscription.unsubscribe()),
            }
            for other in others {
                let emitted = tokio::time::timeout(Duration::from_secs(10), other).await;
                emitted.expect("it does not wait").unwrap().unwrap();
            }
        });
        assert!(!first.is_finished(), "its call goes on");
        go_on.send(()).unwrap();
        home.block_on(first).unwrap().unwrap();
        home.block_on(bus.stop()).unwrap();
        assert_eq!(is_called.try_iter().count(), 0, "it gets no more events");
    }
}

/// The caller of `replay(n).on(..)` does not wait either.
#[test]
fn s10_a_removed_replay_handler_that_blocks_while_it_catches_up_keeps_nobody_waiting() {
    let home = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let bus = home.block_on(bus());
    home.block_on(emit(bus.clone(), 1)).unwrap();
    let (called, is_called) = std::sync::mpsc::sync_channel(8);
    let (go_on, goes_on) = std::sync::mpsc::sync_channel::<()>(8);
    let goes_on = std::sync::Mutex::new(goes_on);
    let replaying = bus.clone();
    let replay = home.spawn(async move {
        let handler = move |_: &Job| {
            called.send(()).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
        };
        replaying.replay(1).on(handler).await.map(drop)
    });
    is_called.recv().unwrap();
    assert_eq!(bus.off("lifecycle.job").unwrap(), 1);
    let ended = home.block_on(async { tokio::time::timeout(Duration::from_secs(10), replay).await });
    go_on.send(()).unwrap();
    assert_eq!(ended.expect("it does not wait").unwrap().unwrap_err().kind(), ErrorKind::Stopped);
    home.block_on(bus.stop()).unwrap();
}

/// A future that is pending once, and panics in its destructor.
struct PanicsLate {
    waited: bool,
    result: Result<(), &'static str>,
}

impl Future for PanicsLate {
    type Output = Result<(), &'static str>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        if std::mem::replace(&mut self.waited, true) {
            return std::task::Poll::Ready(self.result);
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

impl Drop for PanicsLate {
    fn drop(&mut self) {
        panic!("late");
    }
}

#[tokio::test]
async fn s7_a_panic_in_the_destructor_of_a_handler_that_is_done_stops_no_other() {
    for (result, expected) in [(Ok(()), "late"), (Err("no paper"), "no paper")] {
        for others in [0, 1, 2] {
            let (bus, seen) = (Bus::builder().quiet().build().await.unwrap(), Arc::new(Seen::default()));
            bus.on(move |_: &Job| PanicsLate { waited: false, result });
            for _ in 0..others {
                let log = Arc::clone(&seen);
                bus.on(move |_: &Job| {
                    let log = Arc::clone(&log);
                    async move {
                        for _ in 0..5 {
                            tokio::task::yield_now().await;
                        }
                        log.push("done");
                    }
                });
            }
            let emitted = bus.emit(Job(1)).await.unwrap();
            let failures: Vec<_> = emitted.failures().iter().map(|failure| failure.message()).collect();
            assert_eq!((failures, seen.take().len()), (vec![expected], others));
            assert_eq!((bus.stats().failed, bus.stats().abandoned), (1, 0));
            bus.stop().await.unwrap();
        }
    }
}

/// A value that a handler's future holds.
struct Held(Arc<()>);

#[tokio::test]
async fn s10_a_replay_handler_that_hangs_while_it_catches_up_ends_with_stop() {
    for in_history in [true, false] {
        let bus = Bus::builder().stop_deadline(Duration::from_millis(50)).build().await.unwrap();
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        if in_history {
            bus.emit(Job(1)).await.unwrap();
        }
        let mut replay = Box::pin(bus.replay(1).on(move |_: Arc<Job>| {
            let held = Held(Arc::clone(&holds));
            async move {
                std::future::pending::<()>().await;
                drop(held.0);
            }
        }));
        assert!(futures_poll(replay.as_mut()).await.is_none());
        if !in_history {
            bus.emit(Job(1)).await.unwrap();
        }
        until(|| Arc::strong_count(&held) == 3).await;
        let stopped = bus.stop().await.unwrap_err().to_string();
        assert!(stopped.contains("handler closure at ") && stopped.contains("lifecycle.job"), "{stopped}");
        assert_eq!(replay.await.unwrap_err().kind(), ErrorKind::Stopped);
        until(|| Arc::strong_count(&held) == 1).await;
        assert_eq!(bus.stats().abandoned, 0, "stop has named it");
    }
}

#[tokio::test]
async fn s10_a_replay_handler_that_is_removed_while_it_catches_up_keeps_nobody_waiting() {
    let bus = bus().await;
    bus.emit(Job(1)).await.unwrap();
    let (called, is_called) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (calls, gate) = (Arc::clone(&called), Arc::clone(&is_called));
    let mut replay = Box::pin(bus.replay(1).on(move |_: Arc<Job>| {
        let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
        async move {
            calls.add_permits(1);
            gate.acquire().await.unwrap().forget();
        }
    }));
    assert!(futures_poll(replay.as_mut()).await.is_none());
    called.acquire().await.unwrap().forget();
    assert_eq!(bus.off("lifecycle.job").unwrap(), 1);
    assert_eq!(replay.await.unwrap_err().kind(), ErrorKind::Stopped);
    is_called.add_permits(1);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn s11_nothing_is_registered_on_a_bus_that_has_stopped() {
    let bus = Bus::builder().quiet().build().await.unwrap();
    let before = bus.on(|_: &Job| ());
    assert!(before.is_active());
    bus.stop().await.unwrap();
    assert!(!before.is_active());
    let late = [
        bus.on(|_: &Job| ()),
        bus.once(|_: &Job| ()),
        bus.pattern("lifecycle.*").on(|_: &Record| ()).unwrap(),
        bus.pattern("lifecycle.*").once(|_: &Record| ()).unwrap(),
    ];
    assert!(late.iter().all(|subscription| !subscription.is_active() && !subscription.unsubscribe()));
    drop(late.map(|subscription| subscription.guard()));
    let replays = [
        bus.replay(1).on(|_: &Job| ()).await.unwrap_err(),
        bus.pattern("lifecycle.job").replay(1).on(|_: &Record| ()).await.unwrap_err(),
    ];
    for error in replays {
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert_eq!(
            error.to_string(),
            "lifecycle.job: the bus is stopping or stopped; the handler was not registered"
        );
    }
    assert_eq!((bus.handlers().len(), bus.handler_count("lifecycle.job")), (1, 1));
    assert!(bus.stream("lifecycle.*").unwrap().next().await.is_none(), "a stream ends at once");
    assert_eq!(bus.emit(Job(1)).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(bus.off("lifecycle.job").unwrap(), 1);
    assert!(bus.history("*").await.unwrap().is_empty());
}

/// While the bus drains, running handlers may register further handlers, which nested emits reach.
#[tokio::test]
async fn s11_a_bus_that_stops_still_registers_what_nested_emits_reach() {
    let (bus, gate, seen) = (bus().await, Arc::new(Semaphore::new(0)), Arc::new(Seen::default()));
    let (handle, open, log) = (bus.clone(), Arc::clone(&gate), Arc::clone(&seen));
    bus.once(move |_: Arc<Job>| {
        let (bus, open, log) = (handle.clone(), Arc::clone(&open), Arc::clone(&log));
        async move {
            open.acquire().await.unwrap().forget();
            bus.on(move |job: &Job| log.push(job.0.to_string()));
            bus.emit(Job(2)).await.map(drop)
        }
    });
    bus.emit(Job(1)).detach().unwrap();
    let mut stop = pin!(bus.stop());
    assert!(futures_poll(stop.as_mut()).await.is_none());
    gate.add_permits(1);
    stop.await.unwrap();
    assert_eq!(seen.take(), ["2"]);
}

/// A bus does not count its own events as lost, because it has handled them.
#[tokio::test]
async fn s13_a_bus_on_a_memory_of_its_own_loses_nothing() {
    let bus = Bus::builder().adapter(InMemory::bounded(8, 1 << 20)).build().await.unwrap();
    for n in 0..10_000 {
        bus.emit(Job(n)).await.unwrap();
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    bus.emit(Job(0)).await.unwrap();
    bus.stop().await.unwrap();
    assert_eq!(bus.stats().lost, 0);
}

/// A bus counts the lost events of other buses, and only those.
#[tokio::test(start_paused = true)]
async fn s13_a_bus_that_falls_off_a_memory_counts_the_events_of_others() {
    let memory = InMemory::bounded(8, 1 << 20);
    let build = || Bus::builder().quiet().adapter(memory.clone()).build();
    let (emitter, slow) = (build().await.unwrap(), build().await.unwrap());
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::new(Seen::default()));
    let (open, log) = (Arc::clone(&gate), Arc::clone(&seen));
    slow.on(move |job: Arc<Job>| {
        let (open, log) = (Arc::clone(&open), Arc::clone(&log));
        async move {
            log.push("called");
            if job.0 == 0 {
                open.acquire().await.unwrap().forget();
            }
        }
    });
    emitter.emit(Job(0)).await.unwrap();
    until(|| seen.take() == ["called"]).await;
    for n in 1..=20 {
        // Each of these evicts an event of the other bus, after the timeout of the first emit has expired.
        emitter.emit(Job(n)).await.unwrap();
        slow.emit(Job(n)).await.unwrap();
    }
    gate.add_permits(1);
    until(|| slow.stats().lost > 0).await;
    emitter.stop().await.unwrap();
    slow.stop().await.unwrap();
    assert_eq!(slow.stats().lost, 16, "the last 8 are kept, 4 of them its own");
}
