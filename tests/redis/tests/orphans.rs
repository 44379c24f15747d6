//! Consumers on a server that have events left and no handler.

use std::time::Duration;

use redis_tests::{Log, Server, until};
use tokio::time::timeout;
use typed_events::redis::Redis;
use typed_events::{Bus, BusBuilder, DurableOptions, Event, Record, StartAt, event};

#[event("orphan.letter.left")]
pub struct Left {
    pub number: u32,
}

#[event("orphan.other.left")]
pub struct Other;

#[event("orphan.third.left")]
pub struct Third;

/// Returns a builder for a bus on the runtime's clock.
fn on_server(server: &Server) -> BusBuilder {
    Bus::builder().adapter(Redis::at(server.url())).quiet().clock_of_runtime()
}

/// Builds the bus of a program with one durable handler, which gets no events.
async fn program(server: &Server, name: &'static str, pattern: &str) -> Bus {
    let durable = DurableOptions::new(name).from(StartAt::Start);
    on_server(server).durable(durable, pattern, |_: &Record| ()).build().await.unwrap()
}

/// Builds the bus of a program that leaves this number of events to its paused handler.
async fn leaving(server: &Server, name: &'static str, events: u32) -> Bus {
    let bus = program(server, name, Left::NAME).await;
    bus.consumer(name).pause().await.unwrap();
    bus.emit_all((0..events).map(|number| Left { number })).await.unwrap();
    bus
}

/// Advances the runtime's clock until a condition is true. Calls that wait for the server meanwhile may time out, and
/// are retried.
async fn pass_until(seconds: u64, is_so: impl Fn() -> bool) {
    for _ in 0..20 {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        if timeout(Duration::from_secs(1), until(&is_so)).await.is_ok() {
            return;
        }
    }
    panic!("it does not come to be so");
}

#[tokio::test]
async fn c6_an_orphan_of_a_crashed_program_is_reported_while_others_run() {
    let Some(server) = Server::start() else { return };
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    // Dropped without a stop, as if the process were killed.
    drop(leaving(&server, "orphan-alpha", 2).await);
    let idle = on_server(&server).build().await.unwrap();
    let bills = program(&server, "send-bills", "*").await;
    let told = || log.of("the durable consumer `orphan-alpha` has 2 events left").len();
    assert_eq!(told(), 0);
    pass_until(181, || told() == 1).await;
    bills.stop().await.unwrap();
    // A program without durable handlers reports it after a day. Each program reports it once.
    pass_until(25 * 3_600, || told() == 2).await;
    idle.stop().await.unwrap();
    assert_eq!(log.of("the durable consumer").len(), 2, "{:?}", log.of("the durable consumer"));
}

#[tokio::test]
async fn c6_an_orphan_of_a_stopped_program_is_reported_to_one_with_other_patterns() {
    let Some(server) = Server::start() else { return };
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    leaving(&server, "orphan-beta", 3).await.stop().await.unwrap();
    let bills = program(&server, "send-bills", "*").await;
    // The consumer may belong to another program, which is only restarting.
    assert_eq!(log.of("the durable consumer"), Vec::<String>::new());
    pass_until(181, || log.of("the durable consumer `orphan-beta` has 3 events left").len() == 1).await;
    bills.stop().await.unwrap();
}

#[tokio::test]
async fn c6_a_renamed_handler_is_reported_at_once() {
    let Some(server) = Server::start() else { return };
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    leaving(&server, "orphan-gamma", 3).await.stop().await.unwrap();
    let bills = program(&server, "send-bills", Left::NAME).await;
    let told = log.of("the durable consumer `orphan-gamma` has 3 events left");
    assert!(told.len() == 1 && told[0].contains("its new name may be `send-bills`"), "{told:?}");
    bills.stop().await.unwrap();
}

#[tokio::test]
async fn c6_a_consumer_that_one_of_two_programs_has_closed_is_open() {
    let Some(server) = Server::start() else { return };
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let stays = leaving(&server, "orphan-delta", 1).await;
    program(&server, "orphan-delta", Left::NAME).await.stop().await.unwrap();
    let reopened = async {
        while !stays.consumer("orphan-delta").status().await.unwrap().is_running {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), reopened).await.expect("the other one says that it lives");
    let other = program(&server, "send-bills", Left::NAME).await;
    assert_eq!(log.of("the durable consumer"), Vec::<String>::new());
    other.stop().await.unwrap();
    stays.stop().await.unwrap();
}
