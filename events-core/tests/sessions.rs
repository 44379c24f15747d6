//! What durable handlers do after their process was paused, and after their bus was dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use events_core::durable::{Answer, Beaten, Caller, Changes, Exchanged, Position, ReadRecord};
use events_core::store::{StoreCall, StoreEngine};
use events_core::{
    Adapter, AdapterError, BoxFuture, Bus, DurableAdapter, DurableOptions, HistoryQuery, InMemory, LogPage,
    LogQuery, Published, Receiver, Record, RecordCodec,
};
use tokio::sync::{Notify, watch};
use typed_events::event;

const LEASE: Duration = Duration::from_secs(30);

/// An event.
#[event("pause.passed")]
pub struct Passed;

/// An adapter at which the process is paused: after the first exchange that hands out events, two leases pass without a
/// beat, until the next exchange.
struct Pausing {
    memory: InMemory,
    is_paused: Arc<watch::Sender<bool>>,
    was_paused: AtomicBool,
    /// Whether each exchange answers that there is more to do.
    has_more: Arc<AtomicBool>,
}

impl Pausing {
    /// Takes note of an answer. Returns whether the process is paused now.
    fn note<T: 'static>(&self, answer: &T) -> bool {
        let Some(exchanged) = (answer as &dyn Any).downcast_ref::<Exchanged>() else { return false };
        let pauses = !exchanged.deliveries.is_empty() && !self.was_paused.swap(true, Ordering::SeqCst);
        self.is_paused.send_replace(pauses);
        pauses
    }
}

impl StoreEngine for Pausing {
    type Rows = <InMemory as StoreEngine>::Rows;

    fn run<T: Send + 'static>(&self, caller: Caller, call: StoreCall<Self::Rows, T>) -> Answer<'_, T> {
        Box::pin(async move {
            if (&call as &dyn Any).is::<StoreCall<Self::Rows, Beaten>>() {
                // Can't fail: `self` owns the sender.
                let _ = self.is_paused.subscribe().wait_for(|is_paused| !is_paused).await;
            }
            let mut answer = self.memory.run(caller, call).await?;
            if let Some(exchanged) = (&mut answer as &mut dyn Any).downcast_mut::<Exchanged>() {
                exchanged.more |= self.has_more.load(Ordering::SeqCst);
            }
            if self.note(&answer) {
                tokio::time::advance(LEASE * 2).await;
            }
            Ok(answer)
        })
    }

    fn wait_for_changes(&self, since: Changes) -> BoxFuture<'_, ()> {
        self.memory.wait_for_changes(since)
    }

    fn changed(&self) -> Changes {
        self.memory.changed()
    }

    fn read_records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<ReadRecord>, AdapterError>> {
        self.memory.read_records(positions, codec)
    }
}

impl Adapter for Pausing {
    fn name(&self) -> String {
        "memory that pauses".to_owned()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        self.memory.publish(records, codec)
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        self.memory.history(query, codec)
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        self.memory.read_log(query, codec)
    }

    fn subscribe(&self, receiver: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.memory.subscribe(receiver)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        self.memory.stop()
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        Some(self)
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_not_called_for_what_others_may_have_by_now() {
    let is_paused = Arc::new(watch::Sender::new(false));
    let (handled, was_paused) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let handle = {
        let (is_paused, handled, was_paused) = (is_paused.clone(), handled.clone(), was_paused.clone());
        move |_: &Passed| {
            was_paused.fetch_or(*is_paused.borrow(), Ordering::SeqCst);
            handled.notify_one();
        }
    };
    let (memory, was) = (InMemory::new(), AtomicBool::new(false));
    let adapter = Pausing { memory, is_paused, was_paused: was, has_more: Arc::default() };
    let builder = Bus::builder().adapter(adapter).lease(LEASE).clock_of_runtime().quiet();
    let bus = builder.durable(DurableOptions::new("pass"), "pause.passed", handle).build().await.unwrap();
    bus.emit(Passed).await.unwrap();
    handled.notified().await;
    assert!(!was_paused.load(Ordering::SeqCst), "the handler was called before the session had sent a beat");
    bus.stop().await.unwrap();
}

/// An engine in memory answers at once, and the runtime has one thread.
#[test]
fn a_worker_that_repeats_its_exchanges_leaves_the_runtime_to_its_handlers() {
    let (done, handled) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let has_more = Arc::new(AtomicBool::new(true));
            let is_handled = Arc::new(Notify::new());
            let handle = {
                let (has_more, is_handled) = (has_more.clone(), is_handled.clone());
                move |_: &Passed| {
                    has_more.store(false, Ordering::SeqCst);
                    is_handled.notify_one();
                }
            };
            let (memory, is_paused) = (InMemory::new(), Arc::new(watch::Sender::new(false)));
            let adapter = Pausing { memory, is_paused, was_paused: true.into(), has_more };
            let builder = Bus::builder().adapter(adapter).quiet();
            let options = DurableOptions::new("pass").concurrency(2);
            let bus = builder.durable(options, "pause.passed", handle).build().await.unwrap();
            bus.emit(Passed).await.unwrap();
            is_handled.notified().await;
            bus.stop().await.unwrap();
        });
        // The test may have given up.
        let _ = done.send(());
    });
    handled.recv_timeout(Duration::from_secs(30)).expect("the handler is called");
}

#[tokio::test]
async fn what_a_handler_finishes_after_its_bus_was_dropped_is_reported() {
    let memory = InMemory::new();
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handle = {
        let (started, go) = (started.clone(), go.clone());
        move |_: Arc<Passed>| {
            let (started, go) = (started.clone(), go.clone());
            async move {
                started.notify_one();
                go.notified().await;
            }
        }
    };
    let builder = Bus::builder().adapter(memory.clone()).quiet();
    let bus = builder.durable(DurableOptions::new("pass"), "pause.passed", handle).build().await.unwrap();
    bus.emit(Passed).await.unwrap();
    started.notified().await;
    drop(bus);
    go.notify_one();
    let other = Bus::builder().adapter(memory).quiet().build().await.unwrap();
    let finished = async {
        while other.consumer("pass").status().await.unwrap().lag > 0 {
            tokio::task::yield_now().await;
        }
    };
    // By far shorter than the lease.
    tokio::time::timeout(Duration::from_secs(10), finished).await.expect("the outcome is reported");
    other.stop().await.unwrap();
}
