//! A page in Chromium, while the server that stores the log is away.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Html;
use axum::routing::{get, post};
use redis_tests::{Proxy, Server, skipped, until};
use sse_tests::{Client, Written, app, is_for};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use typed_events::Bus;
use typed_events::axum::SseBridge;
use typed_events::redis::Redis;
use typed_events::secret::Plain;

/// How often the page connects while the log can't be read, which takes some seconds.
const CONNECTIONS: usize = 4;

/// Reports all that it was sent, at another address, since its own server may be cut off.
const PAGE: &str = r#"<!doctype html>
<script>
const said = [], report = `http://127.0.0.1:${new URLSearchParams(location.search).get("report")}/report`;
const say = (line) => {
  said.push(line);
  fetch(report, { method: "POST", mode: "no-cors", body: said.join("\n") });
};
const source = new EventSource("/events");
source.addEventListener("typed-events.position", () => said.length || say("connected"));
source.addEventListener("note.written", (event) => say(JSON.parse(event.data).number));
source.addEventListener("typed-events.gap", (event) => say(`gap ${event.data}`));
source.onerror = () => source.readyState === EventSource.CLOSED && say("closed");
</script>"#;

fn chromium(address: &str, folder: &Path) -> Option<Child> {
    let mut chromium = Command::new("chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .env("TMPDIR", folder)
        .arg(address);
    match chromium.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn() {
        Ok(process) => Some(process),
        Err(_) => skipped("chromium is not installed (Debian: apt-get install chromium)"),
    }
}

async fn serve(routes: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, routes).into_future());
    port
}

async fn emit(bus: &Bus, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        bus.emit(Written::to("", number)).await.unwrap();
    }
}

/// The bridge answered 503 while the log could not be read, after which the page never received anything again.
#[tokio::test(flavor = "multi_thread")]
async fn b1_a_page_goes_on_receiving_after_redis_was_away() {
    let Some(redis) = Server::start_durable() else { return };
    let to_redis = Proxy::to(redis.port()).await;
    let bus = async |port: u16| {
        let adapter = Redis::at(format!("redis://127.0.0.1:{port}")).retry_timeout(Duration::from_secs(1));
        Bus::builder().adapter(adapter).secrets(Plain).build().await.unwrap()
    };
    let (emitting, bus) = (bus(redis.port()).await, bus(to_redis.port()).await);
    // What the page misses has to be read from Redis.
    let bridge = SseBridge::new(&bus, "note.*", is_for)
        .buffer(1)
        .buffer_bytes(1)
        .retry(Duration::from_millis(500))
        .build()
        .await
        .unwrap();

    let (asked, said) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::<String>::new())));
    let (counted, heard) = (Arc::clone(&asked), Arc::clone(&said));
    let count = from_fn(move |request: Request, next: Next| {
        counted.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    let routes = app(&bridge).layer(count).route("/", get(|| async { Html(PAGE) }));
    let to_bridge = Proxy::to(serve(routes).await).await;
    let report = async move |lines: String| {
        let lines: Vec<_> = lines.lines().map(str::to_owned).collect();
        let mut heard = heard.lock().unwrap();
        // Reports may overtake each other.
        if lines.len() > heard.len() {
            *heard = lines;
        }
    };
    let reports = serve(Router::new().route("/report", post(report))).await;
    let profile = tempfile::tempdir().unwrap();
    let address = format!("http://127.0.0.1:{}/?report={reports}", to_bridge.port());
    let Some(mut chromium) = chromium(&address, profile.path()) else { return };
    let has_received = async |last: u64| {
        let numbers = (1..=last).map(|number| number.to_string());
        let expected: Vec<_> = std::iter::once("connected".to_owned()).chain(numbers).collect();
        until(|| *said.lock().unwrap() == expected).await;
    };

    has_received(0).await;
    emit(&emitting, 1..=2).await;
    has_received(2).await;

    // The bridge has read further than the page, and Redis goes away before the page is back.
    to_bridge.go_away();
    let mut local = Client::connect(&app(&bridge), "", "").await.unwrap();
    emit(&emitting, 3..=300).await;
    while local.event().await.unwrap().number() != Some(300) {}
    to_redis.go_away();
    emit(&emitting, 301..=302).await;
    let before = asked.load(Ordering::SeqCst);
    to_bridge.come_back();
    until(|| asked.load(Ordering::SeqCst) >= before + CONNECTIONS).await;
    assert!(said.lock().unwrap().len() < 300);

    to_redis.come_back();
    has_received(302).await;
    emit(&emitting, 303..=303).await;
    has_received(303).await;
    chromium.kill().await.unwrap();
    bus.stop().await.unwrap();
    emitting.stop().await.unwrap();
}
