//! Appends: which events count as duplicates, and calls that are repeated or come late.

use std::time::Duration;

use redis_tests::{Intercept, Interceptor, Noted as Seen, Server, until};
use typed_events::redis::Redis;
use typed_events::{Bus, ErrorKind, EventId, Timestamp, event};

#[event("append.noted")]
pub struct Noted(u64);

const META: &str = "{typed-events}:meta";
const IDS: &str = "{typed-events}:ids";

async fn bus(url: &str) -> Bus {
    let adapter = Redis::at(url).poll(Duration::from_millis(50));
    Bus::builder().adapter(adapter).event::<Noted>().quiet().build().await.unwrap()
}

fn ask<T: redis::FromRedisValue>(server: &Server, words: &[&str]) -> T {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
}

async fn ids(bus: &Bus) -> Vec<EventId> {
    let stored = bus.history("append.noted").limit(usize::MAX).await.unwrap();
    stored.iter().map(|record| record.id()).collect()
}

/// Repeats the emit of each stored event from another bus: their numbers are those of their places.
async fn assert_all_are_found(server: &Server, known: &[EventId]) {
    let other = bus(&server.url()).await;
    for (number, id) in (0..).zip(known) {
        assert!(other.emit(Noted(number)).id(*id).await.unwrap().is_duplicate());
    }
    assert_eq!(ids(&other).await.len(), known.len());
    other.stop().await.unwrap();
}

#[tokio::test]
async fn ids_that_the_library_made_are_found_without_an_index() {
    let Some(server) = Server::start() else { return };
    let one = bus(&server.url()).await;
    one.emit_all((0..150).map(Noted)).await.unwrap();
    for number in 150..300 {
        one.emit(Noted(number)).await.unwrap();
    }
    assert_eq!(ask::<u64>(&server, &["HLEN", IDS]), 0);
    assert_all_are_found(&server, &ids(&one).await).await;
    // A given id is stored.
    let given = EventId::new();
    assert!(!one.emit(Noted(300)).id(given).await.unwrap().is_duplicate());
    assert!(one.emit(Noted(300)).id(given).await.unwrap().is_duplicate());
    assert_eq!(ask::<u64>(&server, &["HLEN", IDS]), 1);
}

/// The time in an id is that of its instance, and the log's time may be far ahead of it.
#[tokio::test]
async fn ids_are_found_if_another_instance_has_a_clock_that_is_ahead() {
    let Some(server) = Server::start() else { return };
    let one = bus(&server.url()).await;
    one.emit(Noted(0)).await.unwrap();
    let ahead = Timestamp::from_micros(Timestamp::now().as_micros() + 3_600_000_000);
    let (micros, text) = (ahead.as_micros().to_string(), ahead.to_string());
    let () = ask(&server, &["HSET", META, "time", &micros, "stamp", &text]);
    for number in 1..20 {
        one.emit(Noted(number)).await.unwrap();
    }
    let stored = one.history("append.noted").await.unwrap();
    assert!(stored[1..].iter().all(|record| record.timestamp() == ahead));
    assert_all_are_found(&server, &ids(&one).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_gets_the_answer_of_the_first() {
    let Some(server) = Server::start() else { return };
    let proxy = Interceptor::to(server.port()).await;
    let bus = bus(&proxy.url()).await;
    let given = EventId::new();
    for is_duplicate in [false, true, true] {
        proxy.intercept("APPEND.NOTED", Intercept::Replace(b"!garbled\r\n"));
        let emitted = bus.emit(Noted(1)).id(given).await.unwrap();
        assert_eq!((emitted.is_duplicate(), proxy.planned()), (is_duplicate, 0));
    }
    proxy.intercept("APPEND.NOTED", Intercept::Replace(b"!garbled\r\n"));
    bus.emit_all((2..50).map(Noted)).await.unwrap();
    assert_eq!(ids(&bus).await.len(), 49);
    bus.stop().await.unwrap();
}

#[tokio::test]
async fn a_try_that_comes_after_a_later_call_changes_nothing() {
    let Some(server) = Server::start() else { return };
    let bus = bus(&server.url()).await;
    bus.emit(Noted(0)).await.unwrap();
    let fields: Vec<String> = ask(&server, &["HKEYS", META]);
    let call = fields.iter().find(|field| field.starts_with("appended:")).unwrap();
    let later = format!("{:016} 1 {}", 7, Timestamp::now().as_micros());
    let () = ask(&server, &["HSET", META, call, &later]);
    let error = bus.emit(Noted(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Append, "{error}");
    assert!(error.to_string().contains("a later call of this instance"), "{error}");
    assert_eq!(ids(&bus).await.len(), 1);
}

#[tokio::test]
async fn instances_that_appended_long_ago_are_forgotten() {
    let Some(server) = Server::start() else { return };
    let one = bus(&server.url()).await;
    one.emit(Noted(0)).await.unwrap();
    for number in 0..1_100 {
        let last = format!("{:016} 1 {number}", 1);
        let () = ask(&server, &["HSET", META, &format!("appended:{number}"), &last]);
    }
    let other = bus(&server.url()).await;
    let left: Vec<String> = ask(&server, &["HKEYS", META]);
    assert_eq!(left.iter().filter(|field| field.starts_with("appended:")).count(), 1);
    other.emit(Noted(1)).await.unwrap();
    assert_eq!(ids(&one).await.len(), 2);
}

#[tokio::test]
async fn records_of_others_arrive_between_those_of_the_bus_itself() {
    let Some(server) = Server::start() else { return };
    let (one, other, seen) = (bus(&server.url()).await, bus(&server.url()).await, Seen::<u64>::default());
    let seen = std::sync::Arc::new(seen);
    let notes = std::sync::Arc::clone(&seen);
    one.on(move |noted: &Noted| notes.note(noted.0));
    for round in 0..20_u64 {
        one.emit_all((0..40).map(|n| Noted(round * 50 + n))).await.unwrap();
        other.emit_all((40..50).map(|n| Noted(round * 50 + n))).await.unwrap();
    }
    until(|| seen.all().len() == 1_000).await;
    assert_eq!(seen.set().len(), 1_000);
    let of_other: Vec<_> = seen.all().into_iter().filter(|number| number % 50 >= 40).collect();
    assert!(of_other.is_sorted(), "{of_other:?}");
}
