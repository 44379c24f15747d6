//! Events as a stream.

use typed_events::{Bus, StreamExt, event};

use crate::bus;

#[event("stream.a")]
pub struct A(pub u32);

#[event("stream.b")]
pub struct B;

#[tokio::test]
async fn gives_matching_events_in_order_and_ends_with_the_bus() {
    let bus = bus().await;
    bus.emit(A(0)).await.unwrap();
    let mut all = bus.stream("stream.*").unwrap();
    let mut typed = bus.stream("*").unwrap().of::<A>();
    bus.emit(A(1)).await.unwrap();
    bus.emit(B).await.unwrap();
    bus.emit(A(2)).await.unwrap();
    let names: Vec<_> = all.by_ref().take(3).map(|record| record.unwrap().name().to_owned()).collect().await;
    assert_eq!(names, ["stream.a", "stream.b", "stream.a"]);
    bus.stop().await.unwrap();
    assert!(all.next().await.is_none());
    let typed: Vec<_> = typed.by_ref().map(|event| event.unwrap().0).collect().await;
    assert_eq!(typed, [1, 2]);
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
