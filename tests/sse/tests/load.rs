//! Many browsers: those that keep up get everything, those that don't are cut off, and emits do not wait for them.
//!
//! `SSE_CLIENTS` (1,000), `SSE_RATE` (200 events a second) and `SSE_SECONDS` (60 in full) say how much is tried.

use std::process::Stdio;
use std::time::Duration;

use tests_support::size;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
/// How many of the clients read nothing.
const STUCK: usize = 10;

struct Server {
    say: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    port: u16,
    _process: tokio::process::Child,
}

impl Server {
    async fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_server"))
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

    /// Emits; returns the median time of an emit in nanoseconds, the memory in KiB, and how many clients there are.
    async fn emit(&mut self, count: usize, rate: usize) -> [u64; 3] {
        self.say.write_all(format!("{count} {rate}\n").as_bytes()).await.unwrap();
        let line = self.said.next_line().await.unwrap().unwrap();
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        std::array::from_fn(|_| numbers.next().unwrap())
    }

    async fn connect(&self) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        let mut client = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("data: ") {
            line.clear();
            client.read_line(&mut line).await.unwrap();
        }
        client
    }
}

/// Reads the numbers of so many events; each must be the next one.
async fn read(mut client: BufReader<TcpStream>, first: u64, count: u64) {
    let (mut line, mut next) = (String::new(), first);
    while next < first + count {
        line.clear();
        let read = timeout(PATIENCE, client.read_line(&mut line)).await.expect("something is sent").unwrap();
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
    let mut server = Server::start().await;
    let alone = count.min(10 * rate);
    let [without, small, _] = server.emit(alone, rate).await;

    let mut reading = Vec::new();
    for _ in 0..clients {
        let client = server.connect().await;
        reading.push(tokio::spawn(read(client, alone as u64 + 1, count as u64)));
    }
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(server.connect().await);
    }
    let [_, connected, _] = server.emit(0, rate).await;
    let [with, after, left] = server.emit(count, rate).await;
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
