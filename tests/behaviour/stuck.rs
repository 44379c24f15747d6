//! Handlers that never return are named while they run, and by `stop`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use typed_events::{Bus, BusBuilder, Record, event};

use crate::logs::{is_child, stderr_of};
use crate::until;

#[event("stuck.outer")]
pub struct Outer;

#[event("stuck.inner")]
pub struct Inner;

fn builder() -> BusBuilder {
    let builder = Bus::builder().no_handlers().accept_undeclared();
    builder.slow_handler(Duration::from_millis(200)).stop_deadline(Duration::from_millis(800))
}

/// The number of handlers of this process that are stuck.
static STUCK: AtomicUsize = AtomicUsize::new(0);

/// Blocks forever, like locking a mutex twice.
fn never_return() {
    STUCK.fetch_add(1, Ordering::SeqCst);
    loop {
        std::thread::park();
    }
}

/// Drives a future on a separate thread, with a current-thread runtime.
fn drive(work: impl Future + Send + 'static) {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    });
}

/// A `block_on` like that of runtimes other than tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Returns the lines of stderr that name a slow handler.
fn named(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("warning: handler closure at")).collect()
}

/// Returns the number of the line that follows the line with a mark.
fn line_after(mark: &str) -> usize {
    include_str!("stuck.rs").lines().position(|line| line.trim() == mark).unwrap() + 2
}

#[tokio::test]
async fn s5_a_sync_handler_that_never_returns_is_named_by_the_watch_and_by_stop() {
    if is_child() {
        let bus = builder().build().await.unwrap();
        bus.on(|_: &Outer| ());
        // The one that is stuck.
        bus.on(|_: &Outer| never_return());
        bus.on(|_: &Outer| ());
        let emitting = bus.clone();
        drive(async move { emitting.emit(Outer).await });
        until(|| STUCK.load(Ordering::SeqCst) >= 1).await;
        // Registering another handler replaces the list that the emit holds.
        bus.on(|_: &Outer| ());
        eprintln!("stopped: {}", bus.stop().await.unwrap_err());
        return;
    }
    let stderr = stderr_of("stuck::s5_a_sync_handler_that_never_returns_is_named_by_the_watch_and_by_stop");
    let line = line_after("// The one that is stuck.");
    let told = named(&stderr);
    assert_eq!(told.len(), 1, "{stderr}");
    assert!(told[0].contains(&format!("stuck.rs:{line} has taken")), "{stderr}");
    assert!(told[0].ends_with("s for stuck.outer without waiting: it blocks its thread"), "{stderr}");
    let stopped = format!("stuck.rs:{line} on stuck.outer, which blocks its thread");
    assert!(stderr.contains(&stopped), "{stderr}");
    assert!(!stderr.contains("emits that block a thread"), "{stderr}");
}

#[tokio::test]
async fn s5_each_way_to_call_a_handler_names_it() {
    if is_child() {
        let bus = builder().build().await.unwrap();
        // Once.
        bus.once(|_: &Outer| never_return());
        let emitting = bus.clone();
        drive(async move { emitting.emit(Outer).await });
        // Of an undeclared event.
        bus.pattern("stuck.undeclared").on(|_: &Record| never_return()).unwrap();
        let emitting = bus.clone();
        drive(async move { emitting.emit_json("stuck.undeclared", "{}").await });
        let second = builder().build().await.unwrap();
        // One that waits beside it.
        second.on(|_: &Outer| std::future::pending::<()>());
        // When it is polled again.
        second.on(|_: &Outer| async {
            tokio::task::yield_now().await;
            never_return();
        });
        let emitting = second.clone();
        drive(async move { emitting.emit(Outer).await });
        drive(async move {
            let bus = builder().build().await.unwrap();
            // Of a replay.
            bus.replay(0).on(|_: &Inner| never_return()).await.unwrap();
            bus.emit(Inner).await
        });
        until(|| STUCK.load(Ordering::SeqCst) >= 4).await;
        let (bus, second) = tokio::join!(bus.stop(), second.stop());
        eprintln!("stopped: {:?} {:?}", bus.unwrap_err(), second.unwrap_err());
        return;
    }
    let stderr = stderr_of("stuck::s5_each_way_to_call_a_handler_names_it");
    let told = named(&stderr);
    assert_eq!(told.len(), 4, "{stderr}");
    for mark in ["// Once.", "// Of an undeclared event.", "// When it is polled again.", "// Of a replay."] {
        let line = format!("stuck.rs:{} has taken", line_after(mark));
        let found: Vec<_> = told.iter().filter(|told| told.contains(&line)).collect();
        assert_eq!(found.len(), 1, "{mark}: {stderr}");
        assert!(found[0].ends_with("without waiting: it blocks its thread"), "{mark}: {stderr}");
    }
}

/// The inner handler waits for the thread on which the outer one waits for it.
#[tokio::test]
async fn s5_a_handler_that_blocks_on_an_emit_is_named_and_not_the_one_it_waits_for() {
    if is_child() {
        let bus = builder().build().await.unwrap();
        let inner = bus.clone();
        // The one that blocks.
        bus.on(move |_: &Outer| {
            STUCK.fetch_add(1, Ordering::SeqCst);
            drop(block_on(inner.emit(Inner)));
        });
        bus.on(|_: &Inner| tokio::task::yield_now());
        let emitting = bus.clone();
        drive(async move { emitting.emit(Outer).await });
        until(|| STUCK.load(Ordering::SeqCst) >= 1).await;
        eprintln!("stopped: {:?}", bus.stop().await.unwrap_err());
        return;
    }
    let stderr =
        stderr_of("stuck::s5_a_handler_that_blocks_on_an_emit_is_named_and_not_the_one_it_waits_for");
    let (told, line) = (named(&stderr), line_after("// The one that blocks."));
    assert_eq!(told.len(), 1, "{stderr}");
    assert!(told[0].contains(&format!("stuck.rs:{line} has taken")), "{stderr}");
    assert!(told[0].ends_with("s for stuck.outer without waiting: it blocks its thread"), "{stderr}");
    assert!(stderr.contains(&format!("stuck.rs:{line} on stuck.outer, which blocks its thread")), "{stderr}");
}

/// Both handlers are called within the same tick of the coarse clock.
#[tokio::test]
async fn s5_a_handler_that_is_stuck_after_a_slow_one_that_it_called_is_named_as_well() {
    if is_child() {
        let bus = builder().build().await.unwrap();
        // The inner one.
        bus.on(|_: &Inner| std::thread::sleep(Duration::from_millis(600)));
        let inner = bus.clone();
        // The outer one.
        bus.on(move |_: &Outer| {
            inner.emit(Inner).detach().unwrap();
            never_return();
        });
        let emitting = bus.clone();
        drive(async move { emitting.emit(Outer).await });
        until(|| STUCK.load(Ordering::SeqCst) >= 1).await;
        eprintln!("stopped: {}", bus.stop().await.unwrap_err());
        return;
    }
    let stderr =
        stderr_of("stuck::s5_a_handler_that_is_stuck_after_a_slow_one_that_it_called_is_named_as_well");
    let told = named(&stderr);
    assert_eq!(told.len(), 2, "{stderr}");
    for (mark, told) in ["// The inner one.", "// The outer one."].iter().zip(told) {
        assert!(told.contains(&format!("stuck.rs:{} has taken", line_after(mark))), "{mark}: {stderr}");
    }
}

/// An emit has up to three guards that count it as in flight. `stop` does not report them as three emits.
#[tokio::test]
async fn s5_stop_adds_no_emits_that_there_are_not() {
    if is_child() {
        for way in 0..4 {
            let builder = builder().slow_handler(Duration::MAX);
            let builder =
                if way == 1 { builder.adapter(typed_events::adapter::InMemory::new()) } else { builder };
            let home = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
            let home = home.unwrap();
            let bus = home.spawn(builder.build()).await.unwrap().unwrap();
            if way == 3 {
                bus.emit(Outer).await.unwrap();
            } else {
                bus.on(|_: &Outer| never_return());
            }
            let emitting = bus.clone();
            drive(async move {
                match way {
                    0 => drop(emitting.emit_all([Outer]).await),
                    1 => drop(emitting.emit(Outer).await),
                    2 => drop(emitting.emit_json("stuck.outer", "null").await),
                    _ => drop(emitting.replay(1).on(|_: &Outer| never_return()).await),
                }
            });
            until(|| STUCK.load(Ordering::SeqCst) > way).await;
            eprintln!("stopped: {}", bus.stop().await.unwrap_err());
            // The threads of the runtime never end.
            std::mem::forget(home);
        }
        return;
    }
    let stderr = stderr_of("stuck::s5_stop_adds_no_emits_that_there_are_not");
    let stopped: Vec<_> = stderr.lines().filter(|line| line.starts_with("stopped: ")).collect();
    assert_eq!(stopped.len(), 4, "{stderr}");
    for line in stopped {
        assert!(line.ends_with(" on stuck.outer, which blocks its thread"), "{stderr}");
        assert!(!line.contains("; "), "{stderr}");
    }
}

/// Emits that wait for the replay's task do not count as calls of the handler.
#[tokio::test]
async fn s10_a_replay_handler_that_hangs_is_one_line() {
    if is_child() {
        let bus = builder().build().await.unwrap();
        // The one that hangs.
        bus.replay(0).on(|_: &Outer| std::future::pending::<()>()).await.unwrap();
        for _ in 0..20 {
            bus.emit(Outer).detach().unwrap();
        }
        eprintln!("stopped: {}", bus.stop().await.unwrap_err());
        return;
    }
    let stderr = stderr_of("stuck::s10_a_replay_handler_that_hangs_is_one_line");
    let (told, line) = (named(&stderr), line_after("// The one that hangs."));
    assert_eq!(told.len(), 1, "{stderr}");
    assert!(told[0].contains(&format!("stuck.rs:{line} has taken")), "{stderr}");
    assert!(told[0].ends_with("and is still running"), "{stderr}");
    assert!(
        stderr.lines().any(|stopped| stopped.ends_with(&format!("stuck.rs:{line} on stuck.outer"))),
        "{stderr}"
    );
}
