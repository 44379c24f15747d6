//! Buses that outlive their runtime, or whose runtime is not driven.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;
use typed_events::sqlite::Sqlite;
use typed_events::{Bus, DurableOptions, ErrorKind, event};

use crate::silence::Log;
use crate::{File, Seen};

/// A limit far above the time that each step takes.
const SOON: Duration = Duration::from_secs(30);

#[event("runtimes.done")]
pub struct Done;

#[test]
fn without_its_runtime_a_bus_fails_and_does_not_hang() {
    let (file, first) = (File::new(), Builder::new_multi_thread().enable_all().build().unwrap());
    let bus = first.block_on(async { file.builder().event::<Done>().build().await.unwrap() });
    first.block_on(async { bus.emit(Done).await.unwrap() });
    drop(first);
    let second = Builder::new_multi_thread().enable_all().build().unwrap();
    second.block_on(async {
        // The second bus finds the events that the first one has left.
        for _ in 0..2 {
            assert!(timeout(SOON, async { bus.emit(Done).await }).await.unwrap().is_err());
        }
        let history = timeout(SOON, async { bus.history("runtimes.*").await }).await.unwrap();
        assert_eq!(history.unwrap_err().kind(), ErrorKind::History);
    });
}

#[test]
fn a_runtime_that_nobody_runs_holds_up_nobody() {
    let (file, first) = (File::new(), Builder::new_current_thread().enable_all().build().unwrap());
    let bus = first.block_on(async { file.builder().event::<Done>().build().await.unwrap() });
    let second = Builder::new_multi_thread().enable_all().build().unwrap();
    let emitted = second.block_on(async {
        let mut emits = JoinSet::new();
        for _ in 0..64 {
            let bus = bus.clone();
            emits.spawn(async move { bus.emit(Done).await.is_ok() });
        }
        timeout(SOON, emits.join_all()).await.unwrap()
    });
    assert_eq!(emitted, [true; 64]);
}

#[event("runtimes.paid")]
pub struct Paid(pub u32);

#[event("runtimes.shown")]
pub struct Shown(pub u32);

/// Regression: such an emit was stored, but its handler was called only after the next start of the program.
#[test]
fn s4_an_emit_whose_durable_handler_lost_its_runtime_is_an_error() {
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let (file, seen) = (File::new(), Arc::new(Seen::default()));
    let build = || {
        let seen = Arc::clone(&seen);
        Bus::builder()
            .adapter(Sqlite::at(file.path()))
            .durable(DurableOptions::new("runtimes-book"), "runtimes.paid", move |paid: &Paid| {
                seen.note(paid.0.to_string());
            })
            .build()
    };
    let [first, second] = [(); 2].map(|()| Builder::new_current_thread().enable_all().build().unwrap());
    let bus = first.block_on(async {
        let bus = build().await.unwrap();
        bus.on(|_: &Shown| ());
        bus.emit(Paid(1)).await.unwrap().settled().await.unwrap();
        bus
    });
    drop(first);
    let warnings = log.warnings("has shut down before `stop`");
    assert_eq!(warnings.len(), 1);
    let file_name = file.path().display().to_string();
    assert_eq!(
        warnings[0],
        format!(
            "the runtime on which the bus was built has shut down before `stop`: events of other instances may no longer arrive from sqlite at {file_name}, and durable handlers of this bus get no more events (runtimes-book); call `stop().await` before that runtime ends, or build the bus on the runtime that lives longest"
        )
    );
    second.block_on(async {
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file.path())).await.unwrap();
        let mut tx = pool.begin().await.unwrap();
        let errors = [
            bus.emit(Paid(2)).await.unwrap_err(),
            bus.emit(Paid(2)).detach().unwrap_err(),
            bus.emit_all([Paid(2), Paid(2)]).await.unwrap_err(),
            bus.emit_json("runtimes.paid", "2").await.unwrap_err(),
            bus.emit_in(&mut tx, Paid(2)).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Runtime);
            assert_eq!(
                error.to_string(),
                "runtimes.paid: the runtime on which the bus was built has shut down, and its durable handlers (runtimes-book) with it; nothing was emitted"
            );
        }
        // Live handlers get events of a transaction from a task of the adapter, which needs the runtime.
        let error = bus.emit_in(&mut tx, Shown(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Runtime);
        assert_eq!(
            error.to_string(),
            "runtimes.shown: the runtime on which the bus was built has shut down, and the task that calls its handlers for events of transactions with it; nothing was emitted"
        );
        bus.emit_in(&mut tx, Done).await.unwrap();
        tx.commit().await.unwrap();
        pool.close().await;
        bus.stop().await.unwrap();
        let again = build().await.unwrap();
        again.emit(Paid(3)).await.unwrap().settled().await.unwrap();
        assert_eq!(seen.all(), ["1", "3"]);
        assert_eq!(again.history("*").await.unwrap().len(), 3);
        again.stop().await.unwrap();
    });
    assert_eq!(log.warnings("shut down").len(), 1);
}
