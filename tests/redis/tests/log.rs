//! The log on a server: trimming, and the messages about a server that is unreachable or has lost its data.

use std::sync::Arc;
use std::time::Duration;

use redis_tests::{Log, Noted, Proxy, Server, until};
use tokio::time::timeout;
use typed_events::redis::Redis;
use typed_events::{Bus, BusBuilder, DurableOptions, ErrorKind, Retention, StartAt, event};

#[event("log.numbered")]
pub struct Numbered {
    pub number: u64,
}

type Seen = Arc<Noted<u64>>;

fn noting(seen: &Seen) -> impl Fn(&Numbered) + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move |numbered| seen.note(numbered.number)
}

fn on(server: &Server) -> BusBuilder {
    let adapter = Redis::at(server.url()).poll(Duration::from_millis(50));
    Bus::builder().adapter(adapter).lease(Duration::from_millis(600)).quiet()
}

fn trimming(server: &Server, retention: Retention) -> BusBuilder {
    Bus::builder().adapter(Redis::at(server.url()).retention(retention)).quiet()
}

async fn emit(bus: &Bus, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        bus.emit(Numbered { number }).await.unwrap();
    }
}

async fn kept(bus: &Bus) -> Vec<u64> {
    let kept = bus.history("log.*").of::<Numbered>().limit(usize::MAX).await.unwrap();
    kept.iter().map(|numbered| numbered.number).collect()
}

async fn until_kept(bus: &Bus, numbers: std::ops::RangeInclusive<u64>) {
    let expected = Vec::from_iter(numbers);
    let wait = async {
        while kept(bus).await != expected {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.expect("the log is trimmed");
}

#[tokio::test]
async fn what_a_consumer_has_yet_to_finish_is_kept_unless_it_is_told_otherwise() {
    let Some(server) = Server::start() else { return };
    let (seen, log) = (Seen::default(), Log::default());
    let _guard = tests_support::listen(log.clone());
    let consume = || {
        on(&server).durable(DurableOptions::new("take").from(StartAt::Start), "log.numbered", noting(&seen))
    };
    let bus = consume().build().await.unwrap();
    emit(&bus, 1..=10).await;
    until(|| seen.all().len() == 10).await;
    bus.consumer("take").pause().await.unwrap();
    emit(&bus, 11..=1_200).await;

    let kind = Retention::everything().records(100);
    let trimmed = trimming(&server, kind).build().await.unwrap();
    until_kept(&trimmed, 11..=1_200).await;
    trimmed.stop().await.unwrap();
    let trimmed = trimming(&server, kind.ignoring_consumers()).build().await.unwrap();
    until_kept(&trimmed, 1_101..=1_200).await;
    assert_eq!(bus.consumer("take").status().await.unwrap().lag, 1_190);

    bus.consumer("take").resume().await.unwrap();
    until(|| seen.all().len() == 110).await;
    assert_eq!(seen.all(), Vec::from_iter((1..=10).chain(1_101..=1_200)));
    let status = bus.consumer("take").status().await.unwrap();
    assert_eq!((status.position, status.lag), (1_200, 0));
    // A duplicate id is recognised as long as its event is kept.
    let old = bus.history("log.*").limit(1).await.unwrap()[0].id();
    assert!(bus.emit(Numbered { number: 1_200 }).id(old).await.unwrap().is_duplicate());
    assert_eq!(kept(&bus).await.len(), 100);
    // What the consumer has lost is told, all in all once.
    bus.stop().await.unwrap();
    drop(bus);
    let lost = |line: &String| {
        line.split(" lost ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok())
    };
    let told = log.of("durable handler take lost");
    assert_eq!(told.iter().filter_map(lost).sum::<u64>(), 1_090, "{told:?}");
}

#[tokio::test]
async fn by_bytes_the_oldest_go() {
    let Some(server) = Server::start() else { return };
    let bus = on(&server).build().await.unwrap();
    emit(&bus, 1..=1_000).await;
    let trimmed = trimming(&server, Retention::everything().bytes(10_000)).build().await.unwrap();
    let wait = async {
        while kept(&trimmed).await.len() > 100 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.expect("the log is trimmed");
    let left = kept(&trimmed).await;
    assert_eq!(left.last(), Some(&1_000));
    assert!((20..=100).contains(&left.len()), "{} are left", left.len());
}

#[tokio::test]
async fn a_server_that_lost_its_data_is_begun_anew() {
    let Some(server) = Server::start() else { return };
    let (durable, live) = (Seen::default(), Seen::default());
    let one = on(&server)
        .durable(DurableOptions::new("take"), "log.numbered", noting(&durable))
        .build()
        .await
        .unwrap();
    let other = on(&server).build().await.unwrap();
    other.on(noting(&live));
    emit(&one, 1..=20).await;
    until(|| durable.all().len() == 20 && live.all().len() == 20).await;

    flush(&server).await;
    // Consumers begin with the events after their registration in the new log.
    let registered = async {
        while !one.consumers().await.is_ok_and(|consumers| consumers.len() == 1) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), registered).await.expect("it is registered again");
    emit(&one, 21..=30).await;
    until(|| durable.all().len() == 30 && live.all().len() == 30).await;
    assert_eq!(kept(&other).await, Vec::from_iter(21..=30));
    assert_eq!((durable.all(), live.all()), (Vec::from_iter(1..=30), Vec::from_iter(1..=30)));
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_or_not() {
    let Some(mut server) = Server::start_durable() else { return };
    let hasty = Bus::builder().adapter(Redis::at(server.url()).retry_timeout(Duration::ZERO)).quiet();
    let (hasty, patient) = (hasty.build().await.unwrap(), on(&server).build().await.unwrap());
    emit(&patient, 1..=1).await;
    server.kill();
    let error = loop {
        // The first emit may lose the connection, and not know the outcome.
        match hasty.emit(Numbered { number: 2 }).await.unwrap_err() {
            error if error.kind() == ErrorKind::OutcomeUnknown => {}
            error => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Append, "{error}");
    assert!(error.to_string().contains(&format!("redis at 127.0.0.1:{}", server.port())), "{error}");

    let waiting = tokio::spawn(async move { patient.emit(Numbered { number: 3 }).await.map(|_| patient) });
    tokio::task::yield_now().await;
    server.restart();
    let patient = waiting.await.unwrap().unwrap();
    assert_eq!(kept(&patient).await, [1, 3]);
}

#[tokio::test]
async fn build_says_what_is_wrong_and_where() {
    let Some(server) = Server::start_with(&["--requirepass", "secret"]) else { return };
    let build = async |url: &str| {
        let adapter = Redis::at(url).retry_timeout(Duration::ZERO);
        Bus::builder().adapter(adapter).quiet().build().await.unwrap_err().to_string()
    };
    let at = format!("redis at 127.0.0.1:{}", server.port());
    let without = build(&server.url()).await;
    assert!(without.contains(&at) && without.contains("NOAUTH"), "{without}");
    let wrong = build(&server.url().replace("redis://", "redis://:hunter2@")).await;
    assert!(wrong.contains(&at) && !wrong.contains("hunter2"), "{wrong}");
    let right = server.url().replace("redis://", "redis://:secret@");
    Bus::builder().adapter(Redis::at(right)).build().await.unwrap();
    let strange = build("http://127.0.0.1").await;
    assert!(strange.contains("redis can't subscribe: the address can't be used"), "{strange}");
    let nobody = build("redis://127.0.0.1:1").await;
    assert!(nobody.contains("redis at 127.0.0.1:1"), "{nobody}");
    println!("{without}\n{wrong}\n{strange}\n{nobody}");
}

#[tokio::test]
async fn what_another_instance_emits_into_a_log_begun_anew_is_not_passed_over() {
    let Some(server) = Server::start() else { return };
    let durable = Seen::default();
    let one = on(&server).build().await.unwrap();
    let other = on(&server).durable(DurableOptions::new("take"), "log.numbered", noting(&durable));
    let _other = other.build().await.unwrap();
    emit(&one, 1..=1).await;
    until(|| durable.all() == [1]).await;
    flush(&server).await;
    emit(&one, 2..=50).await;
    until(|| durable.all().len() == 50).await;
    assert_eq!(durable.all(), Vec::from_iter(1..=50));
}

async fn flush(server: &Server) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
}

/// The state after a power cut with `appendfsync everysec`, or after a failover to a replica that lagged.
#[tokio::test]
async fn a_server_that_comes_back_with_older_data_is_followed_from_where_both_agree() {
    let Some(mut server) = Server::start() else { return };
    let live = Seen::default();
    let one = on(&server).build().await.unwrap();
    let other = on(&server).build().await.unwrap();
    other.on(noting(&live));
    emit(&one, 1..=5).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SAVE").exec_async(&mut connection).await.unwrap();
    emit(&one, 6..=20).await;
    until(|| live.all().len() == 20).await;
    server.kill();
    server.restart();
    emit(&one, 101..=125).await;
    until(|| live.all().len() == 45).await;
    assert_eq!(live.all(), Vec::from_iter((1..=20).chain(101..=125)));
    assert_eq!(kept(&other).await, Vec::from_iter((1..=5).chain(101..=125)));
}

/// A call that was applied but whose reply was lost is repeated, and returns the events that it had handed out.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_no_attempts() {
    let Some(server) = Server::start() else { return };
    let proxy = Arc::new(Proxy::to(server.port()).await);
    let seen = Seen::default();
    let handle = {
        let (seen, proxy) = (Arc::clone(&seen), Arc::clone(&proxy));
        move |numbered: &Numbered| {
            seen.note(numbered.number);
            if numbered.number.is_multiple_of(10) {
                proxy.lose_an_answer(numbered.number as usize / 10 % 5);
            }
        }
    };
    let adapter = Redis::at(format!("redis://127.0.0.1:{}", proxy.port())).retry_timeout(Duration::ZERO);
    let durable = DurableOptions::new("take").retries(0).concurrency(3);
    let bus = Bus::builder().adapter(adapter).durable(durable, "log.numbered", handle).quiet();
    let (bus, emitting) = (bus.build().await.unwrap(), on(&server).build().await.unwrap());
    emit(&emitting, 1..=500).await;
    until(|| seen.set().len() == 500).await;
    assert_eq!(seen.all().len(), 500, "none twice");
    drop(bus);
    let status = emitting.consumer("take").status().await.unwrap();
    assert_eq!(status.dead, 0, "{status}");
}

#[tokio::test]
async fn who_may_not_publish_messages_may_emit() {
    let Some(server) = Server::start() else { return };
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let rights = ["SETUSER", "app", "on", ">secret", "~*", "resetchannels", "+@all"];
    redis::cmd("ACL").arg(&rights[..]).exec_async(&mut connection).await.unwrap();
    let seen = Seen::default();
    let url = server.url().replace("redis://", "redis://app:secret@");
    let adapter = Redis::at(url).poll(Duration::from_millis(20));
    let bus =
        Bus::builder().adapter(adapter).durable(DurableOptions::new("take"), "log.numbered", noting(&seen));
    let bus = bus.quiet().build().await.unwrap();
    emit(&bus, 1..=10).await;
    until(|| seen.all().len() == 10).await;
    assert_eq!(kept(&bus).await, Vec::from_iter(1..=10));
}

#[tokio::test]
async fn c6_a_consumer_whose_program_has_stopped_is_known_not_to_run() {
    let Some(server) = Server::start() else { return };
    let (watching, seen) = (on(&server).build().await.unwrap(), Seen::default());
    let work = || on(&server).durable(DurableOptions::new("take"), "log.numbered", noting(&seen)).build();
    for _ in 0..2 {
        let working = work().await.unwrap();
        let open = watching.consumer("take").status().await.unwrap();
        assert!(open.is_running);
        working.stop().await.unwrap();
        let closed = watching.consumer("take").status().await.unwrap();
        assert!(!closed.is_running && closed.seen >= open.seen, "{closed:?}");
    }
}
