//! The clients that npm and PyPI provide, and browsers, through proxies that cut each stream after 700 ms: each gets all
//! events once and in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::Html;
use axum::routing::{get, post};
use sse_tests::{Written, app, is_for};
use tests_support::{size, skipped};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, sleep_until, timeout};
use typed_events::Bus;
use typed_events::axum::SseBridge;

const CUT_AFTER: Duration = Duration::from_millis(700);
const TIMEOUT: Duration = Duration::from_secs(90);
const EVENTS: usize = 300;

const IN_NODE: [&str; 3] = ["eventsource", "reconnecting-eventsource", "eventsource-client"];
const IN_PYTHON: [&str; 2] = ["httpx-sse", "sseclient-py"];
const IN_CHROMIUM: [&str; 4] = ["Chromium", "htmx", "fetch-event-source", "event-source-polyfill"];

/// How a proxy cuts a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    /// The connection is reset.
    Reset,
    /// The response ends as if the server had ended it.
    End,
}

/// A proxy for the server at a port; gives its own port.
async fn proxy(server: u16, cut: Cut) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, server, cut));
        }
    });
    port
}

/// Passes a connection on, and cuts the stream of events on it.
async fn pass(mut client: TcpStream, server: u16, cut: Cut) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    let (mut until, mut is_between_chunks) = (None, false);
    loop {
        let is_cut_off = until.is_some() && (cut == Cut::Reset || is_between_chunks);
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                read => {
                    if asked[..read].starts_with(b"GET /events") {
                        until = Some(Instant::now() + CUT_AFTER);
                    }
                    server.write_all(&asked[..read]).await?;
                }
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                read => {
                    client.write_all(&answered[..read]).await?;
                    // The events themselves have no CR.
                    is_between_chunks = answered[..read].ends_with(b"\n\r\n");
                }
            },
            () = sleep_until(until.unwrap_or_else(Instant::now)), if is_cut_off => {
                return match cut {
                    Cut::Reset => client.set_zero_linger(),
                    Cut::End => client.write_all(b"0\r\n\r\n").await,
                };
            }
        }
    }
}

/// The lines that each client has printed.
type Said = Arc<Mutex<BTreeMap<(String, Cut), Vec<String>>>>;

/// Copies the files of `clients` to a folder, and runs a program there that installs their dependencies. Returns the
/// folder.
fn installed(name: &str, program: &str, arguments: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for file in std::fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let status = std::process::Command::new(program).args(arguments).current_dir(&folder).status();
    match status {
        Ok(status) if status.success() => Some(folder),
        Ok(_) => skipped(&format!("{program} can't install the clients")),
        Err(_) => skipped(&format!("{program} is not installed")),
    }
}

/// Starts a client and records the lines that it prints.
fn start(
    program: &str,
    folder: &Path,
    script: &str,
    client: &str,
    url: &str,
    cut: Cut,
    said: &Said,
) -> Child {
    let mut command = Command::new(program);
    command.args([script, client, url]).current_dir(folder).env("PYTHONPATH", folder.join("packages"));
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (said, key) = (Arc::clone(said), (client.to_owned(), cut));
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            said.lock().unwrap().entry(key.clone()).or_default().push(line);
        }
    });
    process
}

/// The pages of clients, the modules that they load, and where they report.
fn pages(modules: PathBuf, said: &Said) -> Router {
    let said = Arc::clone(said);
    let report = async move |extract::Path((client, cut)): extract::Path<(String, String)>, lines: String| {
        let cut = if cut == "Reset" { Cut::Reset } else { Cut::End };
        let lines = lines.lines().map(str::to_owned).collect();
        said.lock().unwrap().insert((client, cut), lines);
    };
    let module = async move |extract::Path(path): extract::Path<String>| {
        // Some import others without the end of their names.
        let path = if path.ends_with(".js") { path } else { format!("{path}.js") };
        let module = std::fs::read_to_string(modules.join(path)).map_err(|_| StatusCode::NOT_FOUND)?;
        Ok::<_, StatusCode>(([(header::CONTENT_TYPE, "text/javascript")], module))
    };
    Router::new()
        .route("/page", get(|| async { Html(include_str!("../clients/page.html")) }))
        .route("/modules/{*path}", get(module))
        .route("/report/{client}/{cut}", post(report))
}

/// A browser with a frame for each client and proxy; they are of one page, so that none is in the background.
async fn browser(server: u16, proxies: &[(Cut, u16)], folder: &Path) -> Option<Child> {
    let mut frames = String::new();
    for (cut, port) in proxies {
        for client in IN_CHROMIUM {
            let report = format!("/report/{client}/{cut:?}");
            frames += &format!(
                "<iframe src='http://127.0.0.1:{port}/page?client={client}&report={report}'></iframe>"
            );
        }
    }
    let page = folder.join("frames.html");
    std::fs::write(&page, frames).unwrap();
    let mut chromium = Command::new("chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    chromium.arg(format!("--user-data-dir={}", folder.join("profile").display())).env("TMPDIR", folder);
    chromium.arg(format!("http://127.0.0.1:{server}/frames"));
    match chromium.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn() {
        Ok(process) => Some(process),
        Err(_) => skipped("chromium is not installed (Debian: apt-get install chromium)"),
    }
}

/// Whether something holds of all that is said; `false` if it does not for too long.
async fn until(said: &Said, holds: impl Fn(&BTreeMap<(String, Cut), Vec<String>>) -> bool) -> bool {
    let held = async {
        let mut ticks = interval(Duration::from_millis(20));
        while !holds(&said.lock().unwrap()) {
            ticks.tick().await;
        }
    };
    timeout(TIMEOUT, held).await.is_ok()
}

/// What is wrong with what a client has said.
fn fault(lines: &[String]) -> Option<String> {
    let events: Vec<_> = lines.iter().filter(|line| *line != "open").collect();
    let expected: Vec<_> = (1..=EVENTS).map(|number| number.to_string()).collect();
    if events.iter().copied().eq(&expected) {
        return None;
    }
    let lost = expected.iter().filter(|number| !events.contains(number)).count();
    let others: Vec<_> = events.iter().filter(|line| line.parse::<usize>().is_err()).take(3).collect();
    Some(format!("{} of {EVENTS} lost, {} received; {others:?}", lost, events.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn b9_b10_all_clients_get_all_events_once_and_in_order() {
    let npm = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    let pip =
        ["-m", "pip", "install", "--quiet", "--upgrade", "--target", "packages", "-r", "requirements.txt"];
    let Some(in_node) = installed("clients-npm", "npm", &npm) else { return };
    let Some(in_python) = installed("clients-pip", "python3", &pip) else { return };

    let bus = Bus::builder().build().await.unwrap();
    let bridge = SseBridge::new(&bus, "note.*", is_for)
        .max_clients_per_user(1_000)
        .retry(Duration::from_millis(100))
        .build()
        .await
        .unwrap();
    let said = Said::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().port();
    let profile = tempfile::tempdir().unwrap();
    let frames = profile.path().join("frames.html");
    let routes = app(&bridge)
        .merge(pages(in_node.join("node_modules"), &said))
        .route("/frames", get(|| async move { Html(std::fs::read_to_string(frames).unwrap()) }));
    tokio::spawn(axum::serve(listener, routes).into_future());

    let proxies = [(Cut::Reset, proxy(server, Cut::Reset).await), (Cut::End, proxy(server, Cut::End).await)];
    let Some(_browser) = browser(server, &proxies, profile.path()).await else { return };
    let mut processes = Vec::new();
    for (cut, port) in proxies {
        let url = format!("http://127.0.0.1:{port}/events");
        for client in IN_NODE {
            processes.push(start("node", &in_node, "client.mjs", client, &url, cut, &said));
        }
        for client in IN_PYTHON {
            processes.push(start("python3", &in_python, "client.py", client, &url, cut, &said));
        }
    }

    let all = 2 * (IN_NODE.len() + IN_PYTHON.len() + IN_CHROMIUM.len());
    until(&said, |said| said.len() == all && said.values().all(|lines| !lines.is_empty())).await;
    let mut ticks = interval(Duration::from_millis(size("SSE_INTERVAL_MS", 20) as u64));
    for number in 1..=EVENTS {
        ticks.tick().await;
        bus.emit(Written::to("", number as u64)).await.unwrap();
    }
    let last = EVENTS.to_string();
    until(&said, |said| said.values().all(|lines| lines.contains(&last))).await;

    let said = said.lock().unwrap().clone();
    let mut faults = Vec::new();
    for client in IN_NODE.iter().chain(&IN_PYTHON).chain(&IN_CHROMIUM) {
        let of = |cut| {
            let lines = said.get(&((*client).to_owned(), cut)).map(Vec::as_slice).unwrap_or_default();
            fault(lines).unwrap_or_else(|| "all once, in order".to_owned())
        };
        let row = format!("{client}: reset: {}; clean end: {}", of(Cut::Reset), of(Cut::End));
        println!("{row}");
        if row.contains("lost") {
            faults.push(row);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
