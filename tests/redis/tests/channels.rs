//! Bare mode: messages over channels that are shared with other programs.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use redis::AsyncCommands;
use redis_tests::{Log, Server, skipped, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use typed_events::redis::Channels;
use typed_events::secret::{Plain, Seal};
use typed_events::{Bus, BusBuilder, ErrorKind, Record, event, payload};

#[event("order.placed")]
pub struct Placed {
    pub id: u64,
    pub customer: String,
}

#[event("order.shipped")]
pub struct Shipped {
    pub id: u64,
    pub carrier: String,
    pub parcels: Vec<Parcel>,
}

#[payload]
pub struct Parcel {
    pub weight: f64,
}

#[event("order.refused")]
pub struct Refused {
    pub id: u64,
    #[event(secret)]
    pub card: String,
}

/// How many times each number was handled.
type Counts = Arc<Mutex<HashMap<u64, u32>>>;

fn count(counts: &Counts, id: u64) {
    *counts.lock().unwrap().entry(id).or_default() += 1;
}

fn distinct(counts: &Counts) -> usize {
    counts.lock().unwrap().len()
}

fn on(server: &Server) -> BusBuilder {
    Bus::builder().adapter(Channels::at(server.url())).secrets(Rot).quiet()
}

/// Builds a bus that counts the events that it handles.
async fn counting(server: &Server) -> (Bus, Counts, Counts) {
    let (placed, shipped) = (Counts::default(), Counts::default());
    let (of_placed, of_shipped) = (Arc::clone(&placed), Arc::clone(&shipped));
    let bus = on(server).build().await.unwrap();
    bus.on(move |order: &Placed| count(&of_placed, order.id));
    bus.on(move |order: &Shipped| count(&of_shipped, order.id));
    (bus, placed, shipped)
}

fn order(id: u64) -> Placed {
    Placed { id, customer: "Grace".into() }
}

#[tokio::test]
async fn a_message_is_the_payload_and_nothing_else() {
    let Some(server) = Server::start() else { return };
    let bus = on(&server).build().await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut listening = client.get_async_pubsub().await.unwrap();
    listening.psubscribe("*").await.unwrap();
    bus.emit(order(7)).await.unwrap();
    let heard = listening.on_message().next().await.unwrap();
    assert_eq!(heard.get_channel_name(), "order.placed");
    assert_eq!(heard.get_payload::<String>().unwrap(), r#"{"id":7,"customer":"Grace"}"#);
}

#[tokio::test]
async fn others_are_heard_and_oneself_once() {
    let Some(server) = Server::start() else { return };
    let (one, placed, _) = counting(&server).await;
    let (other, others, _) = counting(&server).await;
    // Send the same text many times.
    for _ in 0..100 {
        one.emit(order(1)).await.unwrap();
    }
    other.emit(order(2)).await.unwrap();
    until(|| placed.lock().unwrap().contains_key(&2)).await;
    until(|| others.lock().unwrap().get(&1) == Some(&100)).await;
    assert_eq!(*placed.lock().unwrap(), HashMap::from([(1, 100), (2, 1)]));
    assert_eq!(*others.lock().unwrap(), HashMap::from([(1, 100), (2, 1)]));
}

#[tokio::test]
async fn what_fits_no_event_is_counted() {
    let Some(server) = Server::start() else { return };
    let (bus, placed, _) = counting(&server).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut service = client.get_multiplexed_async_connection().await.unwrap();
    let strange: [(&str, &[u8]); 7] = [
        ("order.placed", b"not json"),
        ("order.placed", br#"{"id":"seven","customer":"Grace"}"#),
        ("order.placed", b"\xff\xfe"),
        ("order.placed", b""),
        ("order.lost", br#"{"id":7}"#),
        ("no name", b"{}"),
        ("order.placed\ntyped-events: all is well", b"{}"),
    ];
    for (channel, message) in strange {
        service.publish::<_, _, ()>(channel, message).await.unwrap();
    }
    service.publish::<_, _, ()>("order.placed", r#"{"id":8,"customer":"Grace","new":1}"#).await.unwrap();
    until(|| distinct(&placed) == 1).await;
    assert_eq!((bus.stats().refused, bus.stats().lost), (strange.len() as u64, 0));
    assert_eq!(*placed.lock().unwrap(), HashMap::from([(8, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_messages_under_names_of_the_library_are_refused() {
    let Some(server) = Server::start() else { return };
    let bus = Bus::builder()
        .adapter(Channels::at(server.url()))
        .secrets(Plain)
        .accept_undeclared()
        .quiet()
        .build()
        .await;
    let bus = bus.unwrap();
    let handled = Arc::new(Mutex::new(Vec::new()));
    for pattern in ["*", "typed-events.*"] {
        let handled = Arc::clone(&handled);
        let note = move |record: &Record| handled.lock().unwrap().push(record.name().to_owned());
        bus.pattern(pattern).on(note).unwrap();
    }
    let client = redis::Client::open(server.url()).unwrap();
    let mut service = client.get_multiplexed_async_connection().await.unwrap();
    for channel in ["typed-events.gap", "typed-events.operator.paused", "typed-events", "order.placed.last"] {
        service.publish::<_, _, ()>(channel, "{}").await.unwrap();
    }
    until(|| handled.lock().unwrap().iter().any(|name| name == "order.placed.last")).await;
    assert_eq!(*handled.lock().unwrap(), ["order.placed.last"]);
    assert_eq!(bus.stats().refused, 3);
}

/// Returns an order whose payload has this number of bytes.
fn order_of(bytes: usize) -> Placed {
    let around = serde_json::to_string(&Placed { id: 1, customer: String::new() }).unwrap().len();
    Placed { id: 1, customer: "x".repeat(bytes - around) }
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn b13_a_payload_over_the_limit_is_refused_by_the_emit() {
    let Some(server) = Server::start() else { return };
    let (one, own, _) = counting(&server).await;
    let (other, others, _) = counting(&server).await;
    for bytes in [2 * MIB, MIB + 1] {
        let error = one.emit(order_of(bytes)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        let said = format!(
            "order.placed: redis at 127.0.0.1:{} did not accept the event; no handler ran: order.placed: the payload has {bytes} bytes, at most {MIB} are accepted",
            server.port()
        );
        assert_eq!(error.to_string(), said);
        assert!(!error.is_temporary());
    }
    // No event of the batch is sent.
    let error = one.emit_all([order(2), order_of(2 * MIB)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    // An event of exactly the maximum size arrives, and is the first that does.
    one.emit(order_of(MIB)).await.unwrap();
    until(|| distinct(&others) == 1).await;
    for counts in [&own, &others] {
        assert_eq!(*counts.lock().unwrap(), HashMap::from([(1, 1)]));
    }
    assert_eq!((one.stats().refused, other.stats().refused), (0, 0));
}

#[tokio::test]
async fn b13_one_setting_is_the_limit_of_both_ends() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (on(&server).max_payload(3 * MIB), on(&server).max_payload(3 * MIB));
    let (one, other) = (one.build().await.unwrap(), other.build().await.unwrap());
    let mut heard = other.stream("order.placed").unwrap();
    one.emit(order_of(2 * MIB)).await.unwrap();
    one.emit(order_of(3 * MIB)).await.unwrap();
    assert_eq!(one.emit(order_of(3 * MIB + 1)).await.unwrap_err().kind(), ErrorKind::TooLarge);
    for bytes in [2 * MIB, 3 * MIB] {
        let placed = heard.next().await.unwrap().unwrap().decode::<Placed>().unwrap();
        assert_eq!(placed.customer, order_of(bytes).customer);
    }
}

#[tokio::test]
async fn b13_what_a_flood_loses_is_one_line_per_period() {
    const FLOOD: u64 = 40_000;
    let Some(server) = Server::start() else { return };
    let log = Log::default();
    let _guard = tests_support::listen(log.clone());
    let bus = on(&server).build().await.unwrap();
    let counts = Counts::default();
    let (handled, gate) = (Arc::clone(&counts), Arc::new(Semaphore::new(0)));
    let opened = Arc::clone(&gate);
    bus.on(move |order: Arc<Placed>| {
        let (handled, gate) = (Arc::clone(&handled), Arc::clone(&opened));
        async move {
            // The handler is slower than the messages arrive.
            let _pass = gate.acquire().await;
            count(&handled, order.id);
        }
    });
    let client = redis::Client::open(server.url()).unwrap();
    let mut service = client.get_multiplexed_async_connection().await.unwrap();
    for begin in (0..FLOOD).step_by(1000) {
        let mut some = redis::pipe();
        for id in begin..begin + 1000 {
            some.publish("order.placed", format!(r#"{{"id":{id},"customer":"x"}}"#)).ignore();
        }
        some.query_async::<()>(&mut service).await.unwrap();
    }
    until(|| bus.stats().lost > 1000).await;
    gate.add_permits(1);
    until(|| distinct(&counts) as u64 + bus.stats().lost == FLOOD).await;
    let lost = bus.stats().lost;
    assert!(lost > 1000, "it is a flood: {lost} lost");
    let lines = log.of(" lost ");
    println!("{lost} of {FLOOD} lost: {lines:?}");
    assert!(lines.len() <= 2, "{lines:?}");
    bus.stop().await.unwrap();
    let told = |line: &String| {
        let number = line.strip_suffix(": handlers were too far behind")?.split(" lost ").nth(1)?;
        number.split(' ').next()?.parse::<u64>().ok()
    };
    let lines = log.of(" lost ");
    assert_eq!(lines.iter().filter_map(told).sum::<u64>(), lost, "{lines:?}");
}

/// A seal. These tests need only that there is one.
struct Rot;

impl Seal for Rot {
    fn seal(&self, json: &str) -> Result<String, String> {
        Ok(json.chars().rev().collect())
    }

    fn open(&self, sealed: &str) -> Result<String, String> {
        self.seal(sealed)
    }
}

#[tokio::test]
async fn secrets_are_sent_only_in_plain_text() {
    let Some(server) = Server::start() else { return };
    let refused = || Refused { id: 1, card: "4242".into() };
    let sealing = on(&server).build().await.unwrap();
    let error = sealing.emit(refused()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Append, "{error}");
    assert!(error.to_string().contains("order.refused: its secrets can't be sent"), "{error}");

    let mut heard = sealing.stream("order.refused").unwrap();
    let plain = on(&server).secrets(Plain).build().await.unwrap();
    plain.emit(refused()).await.unwrap();
    let record = heard.next().await.unwrap().unwrap();
    assert_eq!(record.decode::<Refused>().unwrap().card, "4242");
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again() {
    let Some(mut server) = Server::start() else { return };
    let one = on(&server).build().await.unwrap();
    let (_other, heard, _) = counting(&server).await;
    server.kill();
    server.restart();
    let mut id = 0;
    // Messages that are sent before the other bus is connected again are lost.
    while distinct(&heard) == 0 {
        id += 1;
        one.emit(order(id)).await.unwrap();
        tokio::task::yield_now().await;
    }
    until(|| heard.lock().unwrap().contains_key(&id)).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be() {
    let Some(mut server) = Server::start() else { return };
    let builder = Bus::builder().adapter(Channels::at(server.url()).retry_timeout(Duration::ZERO));
    let bus = builder.secrets(Rot).quiet().build().await.unwrap();
    server.kill();
    // The first emit notices that the connection is lost.
    let _ = bus.emit(order(1)).await;
    let error = bus.emit(order(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Append, "{error}");
    assert!(error.to_string().contains(&format!("redis at 127.0.0.1:{}", server.port())), "{error}");
}

/// `CHANNEL_EVENTS` sets how many events are sent in each direction.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_javascript_and_a_bus_hear_each_other() {
    let Some(server) = Server::start() else { return };
    let Some(folder) = service() else { return };
    let events = redis_tests::size("CHANNEL_EVENTS", 10_000);
    let (bus, placed, shipped) = counting(&server).await;
    let mut service = tokio::process::Command::new("node")
        .arg(folder.join("service.mjs"))
        .args([server.port().to_string(), events.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut say = service.stdin.take().unwrap();
    let mut said = BufReader::new(service.stdout.take().unwrap()).lines();
    assert_eq!(said.next_line().await.unwrap().as_deref(), Some("ready"));

    say.write_all(b"begin\n").await.unwrap();
    let emitting: Vec<_> = (0..4)
        .map(|task| {
            let bus = bus.clone();
            tokio::spawn(async move {
                for id in (task..events as u64).step_by(4) {
                    bus.emit(order(id)).await.unwrap();
                }
            })
        })
        .collect();
    for task in emitting {
        task.await.unwrap();
    }
    until(|| distinct(&shipped) == events).await;
    say.write_all(b"end\n").await.unwrap();
    let line = timeout(Duration::from_secs(60), said.next_line()).await.expect("it ends").unwrap().unwrap();
    let tally = format!(r#"{{"distinct":{events},"twice":0}}"#);
    assert_eq!(line, format!(r#"{{"own":{tally},"others":{tally}}}"#));
    for counts in [&placed, &shipped] {
        assert_eq!(distinct(counts), events);
        assert!(counts.lock().unwrap().values().all(|&count| count == 1), "nothing is handled twice");
    }
    println!("{events} events each way, none twice");
}

/// Returns a folder with the service and its npm packages.
fn service() -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("ioredis");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ioredis");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["package.json", "service.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let install = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    match Command::new("npm").args(install).current_dir(&folder).status() {
        Ok(status) if status.success() => Some(folder),
        Ok(_) => skipped("npm can't install ioredis"),
        Err(_) => skipped("npm is not installed (Node.js 20 or newer)"),
    }
}
