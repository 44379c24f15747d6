//! Many browsers: they get everything, those that do not read cost little, and emits do not wait for them.
//!
//! `SSE_CLIENTS` (1,000), `SSE_RATE` (200 events a second) and `SSE_SECONDS` (60 in full) say how much is tried.

use std::process::Stdio;
use std::time::Duration;

use tests_support::size;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

const TIMEOUT: Duration = Duration::from_secs(60);
/// How much memory the history may take, unless a test says less.
const HISTORY_BYTES: usize = 64 << 20;
/// How many of the clients read nothing.
const STUCK: usize = 10;

struct Server {
    say: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    port: u16,
    _process: tokio::process::Child,
}

impl Server {
    async fn start(history: usize, bytes: usize) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_server"))
            .env("SSE_HISTORY", history.to_string())
            .env("SSE_HISTORY_BYTES", bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (say, said) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut said = BufReader::new(said).lines();
        let port = said.next_line().await.unwrap().unwrap().parse().unwrap();
        Self { say, said, port, _process: process }
    }

    /// Emits events with so many bytes of text; returns the median time of an emit in nanoseconds, the memory in KiB, and how many clients there are.
    async fn emit(&mut self, count: usize, rate: usize, bytes: usize) -> [u64; 3] {
        self.say.write_all(format!("{count} {rate} {bytes}\n").as_bytes()).await.unwrap();
        let line = self.said.next_line().await.unwrap().unwrap();
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        std::array::from_fn(|_| numbers.next().unwrap())
    }

    /// Connects; gives the id of the first message, too.
    async fn connect(&self, last: &str) -> (BufReader<TcpStream>, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let head = format!("GET /events HTTP/1.1\r\nHost: test\r\nLast-Event-ID: {last}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut client = BufReader::new(stream);
        let (mut line, mut id) = (String::new(), String::new());
        while !line.starts_with("data: ") {
            line.clear();
            client.read_line(&mut line).await.unwrap();
            if let Some(sent) = line.strip_prefix("id: ") {
                id = sent.trim().to_owned();
            }
        }
        (client, id)
    }
}

async fn read(mut client: BufReader<TcpStream>, first: u64, count: u64) {
    read_from(&mut client, first, count).await;
}

/// Reads the numbers of so many events; each must be the next one.
async fn read_from(client: &mut BufReader<TcpStream>, first: u64, count: u64) {
    let (mut line, mut next) = (String::new(), first);
    while next < first + count {
        line.clear();
        let read = timeout(TIMEOUT, client.read_line(&mut line)).await.expect("something is sent").unwrap();
        assert!(read > 0, "cut off at {next}");
        assert!(!line.starts_with("event: typed-events.gap"), "{line} at {next}");
        if let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "{}\n") {
            let expected = format!(r#"{{"number":{next},"#);
            assert!(data.starts_with(&expected), "{data} is not {next}");
            next += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_get_everything_and_hold_up_nothing() {
    let (clients, rate) = (size("SSE_CLIENTS", 1_000), size("SSE_RATE", 200));
    let count = rate * size("SSE_SECONDS", 2);
    let mut server = Server::start(1_000, HISTORY_BYTES).await;
    let alone = count.min(10 * rate);
    let (first, _) = server.connect("").await;
    let [without, small, _] = server.emit(alone, rate, 0).await;
    // A client without an id starts where the bridge has read to: up to here, once the first client got all.
    read(first, 1, alone as u64).await;

    let mut reading = Vec::new();
    for _ in 0..clients {
        let (client, _) = server.connect("").await;
        reading.push(tokio::spawn(read(client, alone as u64 + 1, count as u64)));
    }
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(server.connect("").await);
    }
    let [_, connected, _] = server.emit(0, rate, 0).await;
    let [with, after, left] = server.emit(count, rate, 0).await;
    for reading in reading {
        reading.await.unwrap();
    }
    println!(
        "{clients} clients, {rate} events a second, {count} in all: nothing lost; an emit's median {without} ns alone, \
         {with} ns with them ({:.2}); memory {small} KiB alone, {connected} with the clients, {after} at the end; \
         {left} of {} connected",
        with as f64 / without as f64,
        clients + STUCK,
    );
}

/// Regression: all events that a client had missed were rendered at once, for each client.
#[tokio::test(flavor = "multi_thread")]
async fn b3_clients_with_an_old_id_that_do_not_read_take_little_memory() {
    const EVENTS: usize = 10_000;
    let mut server = Server::start(EVENTS, HISTORY_BYTES).await;
    let (first, old) = server.connect("").await;
    drop(first);
    let [_, before, _] = server.emit(EVENTS, 1_000_000, 4_000).await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(server.connect(&old).await);
    }
    // A client that reads gets all events. Until it has them, the server could render pages for the other clients, too.
    let (reader, _) = server.connect(&old).await;
    read(reader, 1, EVENTS as u64).await;
    let [_, after, clients] = server.emit(0, 1, 0).await;
    println!("{clients} clients with an old id, 20 of which do not read: from {before} to {after} KiB");
    assert!(clients >= 20 && after < before + (64 << 10), "{clients} clients: from {before} to {after} KiB");
}

/// The buffer of live events counted events, however large they were.
#[tokio::test(flavor = "multi_thread")]
async fn b3_large_live_events_take_little_memory_for_clients_that_do_not_read() {
    // Fewer events than are buffered, so that only the limit in bytes counts.
    const EVENTS: usize = 1_000;
    const BYTES: usize = 60_000;
    const AT_ONCE: usize = 20;
    let mut server = Server::start(EVENTS, 8 << 20).await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(server.connect("").await);
    }
    let (mut reader, _) = server.connect("").await;
    let [_, before, _] = server.emit(0, 1, 0).await;
    for first in (1..=EVENTS).step_by(AT_ONCE) {
        server.emit(AT_ONCE, 1_000_000, BYTES).await;
        // The bridge has read them, since the reader has.
        read_from(&mut reader, first as u64, AT_ONCE as u64).await;
    }
    let [_, after, clients] = server.emit(0, 1, 0).await;
    println!(
        "{EVENTS} live events of {BYTES} bytes, {clients} clients, 20 of which do not read: from {before} to {after} KiB"
    );
    assert!(clients >= 20 && after < before + (64 << 10), "{clients} clients: from {before} to {after} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_connect_again_at_once_get_all_that_they_missed() {
    let (clients, missed) = (size("SSE_CLIENTS", 1_000), 500);
    let mut server = Server::start(1_000, HISTORY_BYTES).await;
    let (first, old) = server.connect("").await;
    drop(first);
    let [_, before, _] = server.emit(missed, 1_000_000, 200).await;
    let began = Instant::now();
    let (server_at, old) = (&server, &old);
    let connected = futures_util::future::join_all((0..clients).map(|_| server_at.connect(old))).await;
    let took = began.elapsed();
    let reading = connected.into_iter().map(|(client, _)| tokio::spawn(read(client, 1, missed as u64)));
    for reading in reading.collect::<Vec<_>>() {
        reading.await.unwrap();
    }
    let all = began.elapsed();
    let [_, after, left] = server.emit(0, 1, 0).await;
    println!(
        "{clients} clients at once, {missed} events missed by each: connected after {took:?}, all received after \
         {all:?}; from {before} to {after} KiB; {left} connected at the end"
    );
}
