//! Replies that are damaged, and settings of the server that lose events.

use std::time::Duration;

use redis_tests::{Intercept, Interceptor, Log, Server};
use typed_events::redis::Redis;
use typed_events::{Bus, ErrorKind, event};

#[event("replies.noted")]
pub struct Noted(u32);

/// A reply that is none, and one that belongs to another request.
const DAMAGED: [&[u8]; 3] = [b"!garbled\r\n", b":7\r\n", b"$3\r\nyes\r\n"];

async fn bus(url: String, retry_timeout: Duration) -> Bus {
    Bus::builder()
        .adapter(Redis::at(url).retry_timeout(retry_timeout))
        .event::<Noted>()
        .quiet()
        .build()
        .await
        .unwrap()
}

async fn stored(bus: &Bus) -> usize {
    bus.history("replies.noted").await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_after_a_damaged_reply_the_outcome_is_unknown() {
    let Some(server) = Server::start() else { return };
    let proxy = Interceptor::to(server.port()).await;
    let bus = bus(proxy.url(), Duration::ZERO).await;
    bus.emit(Noted(0)).await.unwrap();
    for (index, reply) in DAMAGED.into_iter().enumerate() {
        proxy.intercept("REPLIES.NOTED", Intercept::Replace(reply));
        let error = bus.emit(Noted(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        assert_eq!(proxy.planned(), 0);
        assert_eq!(stored(&bus).await, index + 2);
    }
    bus.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_damaged_reply_is_asked_for_again_and_the_event_is_stored_once() {
    let Some(server) = Server::start() else { return };
    let proxy = Interceptor::to(server.port()).await;
    let bus = bus(proxy.url(), Duration::from_secs(5)).await;
    for (index, reply) in DAMAGED.into_iter().enumerate() {
        proxy.intercept("REPLIES.NOTED", Intercept::Replace(reply));
        let emitted = bus.emit(Noted(1)).await.unwrap();
        assert!(!emitted.is_duplicate());
        assert_eq!((proxy.planned(), stored(&bus).await), (0, index + 1));
    }
    bus.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_scripts_that_are_flushed_while_they_are_loaded_are_loaded_again() {
    let Some(server) = Server::start() else { return };
    let proxy = Interceptor::to(server.port()).await;
    for _ in 0..3 {
        proxy.intercept("LOAD", Intercept::FlushScripts);
    }
    let bus = bus(proxy.url(), Duration::from_secs(5)).await;
    bus.emit(Noted(0)).await.unwrap();
    for _ in 0..2 {
        proxy.intercept("LOAD", Intercept::FlushScripts);
    }
    bus.emit(Noted(1)).await.unwrap();
    assert_eq!(stored(&bus).await, 2);
    bus.stop().await.unwrap();
}

/// On one thread, which is the test's: so that its subscriber gets the lines.
#[tokio::test]
async fn c8_a_server_that_may_evict_events_is_reported_by_build() {
    for (policy, is_reported) in [("noeviction", false), ("allkeys-lru", true), ("volatile-ttl", true)] {
        let Some(server) = Server::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", policy]) else {
            return;
        };
        let log = Log::default();
        let _guard = tests_support::listen(log.clone());
        let bus = bus(server.url(), Duration::from_secs(5)).await;
        let warned = log.of(&format!("has `maxmemory-policy {policy}`"));
        assert_eq!(warned.len(), usize::from(is_reported), "{policy}: {warned:?}");
        bus.stop().await.unwrap();
    }
}
