//! Streams of events.

use std::pin::Pin;
use std::task::{Context, Waker};

use typed_events::stream::{EventStream, Stream};
use typed_events::{Bus, event};

use crate::bus;

#[event("stream.a")]
pub struct A(pub u32);

#[event("stream.b")]
pub struct B;

fn is_pending(stream: &mut EventStream, waker: &Waker) -> bool {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker)).is_pending()
}

#[tokio::test]
async fn gives_matching_events_in_order_and_ends_with_the_bus() {
    let bus = bus().await;
    bus.emit(A(0)).await.unwrap();
    let mut all = bus.stream("stream.*").unwrap();
    let mut typed = bus.stream("*").unwrap().of::<A>();
    bus.emit(A(1)).await.unwrap();
    bus.emit(B).await.unwrap();
    bus.emit(A(2)).await.unwrap();
    for name in ["stream.a", "stream.b", "stream.a"] {
        assert_eq!(all.next().await.unwrap().unwrap().name(), name);
    }
    bus.stop().await.unwrap();
    assert!(all.next().await.is_none());
    for number in [1, 2] {
        assert_eq!(typed.next().await.unwrap().unwrap().0, number);
    }
    assert!(typed.next().await.is_none());
}

#[tokio::test]
async fn one_that_lags_is_told_how_many_it_lost() {
    for history in [0, 4] {
        let bus = Bus::builder().history(history).stream_buffer(4).build().await.unwrap();
        let (mut all, mut typed) = (bus.stream("*").unwrap(), bus.stream("*").unwrap().of::<A>());
        for n in 0..6 {
            bus.emit(A(n)).await.unwrap();
            bus.emit(B).await.unwrap();
        }
        assert_eq!(all.next().await.unwrap().unwrap_err().missed(), 8);
        assert_eq!(all.next().await.unwrap().unwrap().get::<A>().unwrap().0, 4);
        assert_eq!(typed.next().await.unwrap().unwrap_err().missed(), 4, "of its own events");
        assert_eq!(typed.next().await.unwrap().unwrap().0, 4);
    }
}

#[tokio::test]
async fn a_waiting_stream_is_woken() {
    let bus = bus().await;
    let mut stream = bus.stream("stream.b").unwrap();
    let next = tokio::spawn(async move { stream.next().await.unwrap().unwrap().name().to_owned() });
    tokio::task::yield_now().await;
    bus.emit(A(1)).await.unwrap();
    bus.emit(B).await.unwrap();
    assert_eq!(next.await.unwrap(), "stream.b");
}

#[tokio::test]
async fn ends_when_the_bus_is_dropped() {
    let bus = bus().await;
    let mut stream = bus.stream("*").unwrap();
    bus.emit(A(1)).await.unwrap();
    drop(bus);
    assert!(stream.next().await.unwrap().is_ok());
    assert!(stream.next().await.is_none());
}

/// A waker that uses the bus in its wake-up and in its destructor.
struct Meddler(Bus);

impl std::task::Wake for Meddler {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.emit(B).detach().unwrap();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        drop(self.0.stream("*").unwrap());
    }
}

/// Regression test: wakers were dropped under the lock of the log.
#[tokio::test]
async fn wakers_may_use_the_bus() {
    let bus = bus().await;
    let waker = || std::task::Waker::from(std::sync::Arc::new(Meddler(bus.clone())));
    let mut stream = bus.stream("stream.a").unwrap();
    for _ in 0..3 {
        assert!(is_pending(&mut stream, &waker()));
    }
    bus.emit(A(1)).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    assert!(is_pending(&mut stream, &waker()));
    drop(stream);
    assert_eq!(bus.history("*").await.unwrap().len(), 2);
}

/// A waker that registers a handler while the log wakes readers: after the append, before the handlers run.
struct Registrar(Bus, std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl std::task::Wake for Registrar {
    fn wake(self: std::sync::Arc<Self>) {
        let calls = std::sync::Arc::clone(&self.1);
        self.0.on(move |_: &A| {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
    }
}

/// An emit reads its list of handlers after the append, or knows that the list it read before was not replaced.
#[tokio::test]
async fn a_handler_that_is_registered_during_the_append_is_called() {
    for has_handler in [false, true] {
        let bus = bus().await;
        if has_handler {
            bus.on(|_: &A| ());
        }
        bus.emit(A(0)).await.unwrap();
        let calls = std::sync::Arc::default();
        let waker = std::sync::Arc::new(Registrar(bus.clone(), std::sync::Arc::clone(&calls))).into();
        let mut stream = bus.stream("stream.a").unwrap();
        assert!(is_pending(&mut stream, &waker));
        bus.emit(A(1)).await.unwrap();
        assert_eq!(
            calls.load(std::sync::atomic::Ordering::Relaxed),
            1,
            "with a handler before: {has_handler}"
        );
    }
}

#[tokio::test]
async fn a_waker_that_panics_stops_nobody() {
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("woken");
        }
    }
    let bus = bus().await;
    let bomb = std::task::Waker::from(std::sync::Arc::new(Bomb));
    let mut bombs: Vec<_> = (0..4).map(|_| bus.stream("*").unwrap()).collect();
    for stream in &mut bombs {
        assert!(is_pending(stream, &bomb));
    }
    let mut stream = bus.stream("*").unwrap();
    let next = tokio::spawn(async move { stream.next().await.unwrap().unwrap().name().to_owned() });
    tokio::task::yield_now().await;
    bus.emit(B).await.unwrap();
    assert_eq!(next.await.unwrap(), "stream.b");
}
