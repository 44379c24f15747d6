//! Replies that are damaged or missing, and settings that lose events.

use std::time::Duration;

use redis_tests::{Intercept, Interceptor, Log, Server};
use tokio::time::Instant;
use typed_events::redis::Redis;
use typed_events::{Bus, ErrorKind, Retention, event};

#[event("replies.noted")]
pub struct Noted(u32);

/// An invalid reply, and one that belongs to another request.
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

#[tokio::test(flavor = "multi_thread")]
async fn c12_an_emit_to_a_server_that_hangs_ends_after_5_s() {
    let Some(server) = Server::start() else { return };
    let bus = bus(server.url(), Duration::from_secs(5)).await;
    bus.emit(Noted(0)).await.unwrap();
    server.suspend();
    let began = Instant::now();
    let error = bus.emit(Noted(1)).await.unwrap_err();
    let took = began.elapsed().as_secs_f64();
    server.resume();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert!((4.9..8.0).contains(&took), "{took} s");
    bus.stop().await.unwrap();
}

/// On one thread, which is the test's: so that its subscriber gets the lines.
#[tokio::test]
async fn c12_programs_with_other_retentions_are_reported() {
    let Some(server) = Server::start() else { return };
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let (small, large) = (Retention::everything().records(10), Retention::everything().records(1_000));
    for (retention, warnings) in [(small, 0), (small, 0), (large, 1), (large, 1), (small, 2)] {
        let adapter = Redis::at(server.url()).retention(retention);
        Bus::builder().adapter(adapter).quiet().build().await.unwrap().stop().await.unwrap();
        assert_eq!(log.of("the smaller limits apply").len(), warnings);
    }
    let said = "was opened before with the retention `10 events`, and this program has `1000 events`";
    assert_eq!(log.of(said).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn c12_a_log_without_its_settings_is_called_damaged() {
    let Some(server) = Server::start() else { return };
    bus(server.url(), Duration::from_secs(5)).await.stop().await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let remove = redis::cmd("HDEL").arg("{typed-events}:meta").arg("last").take();
    assert_eq!(remove.query_async::<i64>(&mut connection).await.unwrap(), 1);
    let error = Bus::builder().adapter(Redis::at(server.url())).build().await.unwrap_err().to_string();
    assert!(error.contains("DAMAGED") && error.contains("{typed-events}:meta"), "{error}");
}
