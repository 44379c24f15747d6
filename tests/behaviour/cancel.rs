//! The handlers of an emit continue if the emit is dropped, or held without being polled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, Semaphore};
use typed_events::{Bus, event};

use crate::bus;
use crate::replay::futures_poll;

#[event("cancel.outer")]
pub struct Outer;

#[event("cancel.inner")]
pub struct Inner;

#[tokio::test]
async fn an_emit_dropped_halfway_finishes_nested_ones_included() {
    let (bus, gate, done) = (bus().await, Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (handle, open) = (bus.clone(), Arc::clone(&gate));
    bus.on(move |_: Arc<Outer>| {
        let (bus, open) = (handle.clone(), Arc::clone(&open));
        async move {
            open.acquire().await.unwrap().forget();
            bus.emit(Inner).await.map(drop)
        }
    });
    let (open, finished) = (Arc::clone(&gate), Arc::clone(&done));
    bus.on(move |_: Arc<Inner>| {
        let (open, finished) = (Arc::clone(&open), Arc::clone(&finished));
        async move {
            open.acquire().await.unwrap().forget();
            finished.add_permits(1);
        }
    });
    {
        let mut emit = std::pin::pin!(bus.emit(Outer));
        assert!(futures_poll(emit.as_mut()).await.is_none());
    }
    gate.add_permits(2);
    done.acquire().await.unwrap().forget();
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn an_emit_held_unpolled_does_not_stall_a_handler_that_shares_a_lock() {
    let (bus, lock) = (bus().await, Arc::new(Mutex::new(())));
    let shared = Arc::clone(&lock);
    bus.on(move |_: Arc<Outer>| {
        let lock = Arc::clone(&shared);
        async move {
            let _held = lock.lock().await;
            tokio::task::yield_now().await;
        }
    });
    let mut emit = std::pin::pin!(bus.emit(Outer));
    tokio::select! {
        biased;
        _ = &mut emit => panic!("the handler waits once"),
        _ = std::future::ready(()) => {
            // The handler holds the lock, and the emit is not polled while this branch waits for the lock.
            let _lock = lock.lock().await;
        }
    }
    assert_eq!(emit.await.unwrap().handled(), 1);
}

#[test]
fn a_runtime_that_shuts_down_leaves_nothing_in_flight() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let bus = first.block_on(Bus::new()).unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let open = Arc::clone(&gate);
    bus.on(move |_: &Outer| {
        let open = Arc::clone(&open);
        async move { open.acquire().await.unwrap().forget() }
    });
    let mut emit = Box::pin(bus.emit(Outer));
    assert!(second.block_on(futures_poll(emit.as_mut())).is_none());
    drop(second);
    gate.add_permits(1);
    assert_eq!(first.block_on(emit).unwrap().handled(), 1);
    first.block_on(bus.stop()).expect("nothing is counted any more");
    assert_eq!(gate.available_permits(), 0, "the handler went on");
}

#[test]
fn emits_outside_of_a_runtime_use_the_one_of_the_bus() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (bus, runs) = (runtime.block_on(Bus::new()).unwrap(), Arc::new(AtomicUsize::new(0)));
    let (count, (done, finished)) = (Arc::clone(&runs), std::sync::mpsc::sync_channel(1));
    bus.on(move |_: Arc<Outer>| {
        let (count, done) = (Arc::clone(&count), done.clone());
        async move {
            // Like timers and sockets, panics at the first poll without a runtime.
            tokio::runtime::Handle::current();
            tokio::task::yield_now().await;
            count.fetch_add(1, Ordering::SeqCst);
            done.send(()).unwrap();
        }
    });
    bus.emit(Outer).detach().unwrap();
    finished.recv().unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
