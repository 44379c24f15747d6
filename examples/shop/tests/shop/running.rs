//! Processes of the tests: shops, and the browser's driver.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests_support::skipped;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// Limit on the time of each step.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A process with a port. Dropping it kills the process, and removes its temporary files.
pub struct Process {
    child: Mutex<Child>,
    pub port: u16,
    temporary: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.get_mut().start_kill();
        // A browser ends after its driver, and writes to its profile until then.
        let until = Instant::now() + TIMEOUT;
        while std::fs::remove_dir_all(self.temporary.path()).is_err() && Instant::now() < until {
            std::thread::yield_now();
        }
    }
}

impl Process {
    /// Starts a process, and waits for a line of its output with this text, followed by the port.
    async fn start(command: &mut Command, says: &str) -> std::io::Result<Self> {
        let temporary = tempfile::tempdir()?;
        command.env("TMPDIR", temporary.path());
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let port = async {
            while let Some(line) = lines.next_line().await.expect("it is text") {
                if let Some((_, rest)) = line.split_once(says) {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    return digits.parse().expect("a port");
                }
            }
            panic!("the process ended before it printed its port");
        };
        let port = timeout(TIMEOUT, port).await.expect("it says its port");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child: Mutex::new(child), port, temporary })
    }

    /// Starts a shop on a database.
    pub async fn shop(database: &Path, redis: Option<&str>) -> Self {
        let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
        shop.env("SHOP_PORT", "0").env("SHOP_DB", database).stderr(Stdio::null());
        if let Some(redis) = redis {
            shop.env("SHOP_REDIS", redis);
        }
        Self::start(&mut shop, "http://127.0.0.1:").await.expect("the shop starts")
    }

    /// Starts the browser's driver. Returns `None` if none is installed.
    pub async fn driver() -> Option<Self> {
        let mut driver = Command::new("chromedriver");
        match Self::start(driver.arg("--port=0").stderr(Stdio::null()), "started successfully on port ").await
        {
            Ok(driver) => Some(driver),
            Err(_) => skipped(
                "chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)",
            ),
        }
    }

    /// Kills the process (SIGKILL).
    pub async fn kill(&self) {
        self.child.lock().await.kill().await.expect("it can be killed");
    }

    /// Sends a request. Returns the status and JSON of the response, or `None` if the shop has ended.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let answer = self.send(&format!("{method} {path}"), JSON, &body.to_string()).await?;
        Some((answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null)))
    }

    /// Sends a request with additional header lines.
    pub async fn send(&self, request: &str, head: &str, body: &str) -> Option<Answer> {
        timeout(TIMEOUT, send(self.port, request, head, body)).await.expect("it answers").ok()
    }

    /// Returns the state that the page shows to a user.
    pub async fn state(&self, user: &str) -> Value {
        self.ask("GET", &format!("/api/state?user={user}"), &Value::Null).await.expect("it answers").1
    }

    /// Places an order. Returns its id, or `None` if the shop has ended.
    pub async fn order(&self, user: &str, sku: &str, quantity: u32) -> Option<String> {
        let order = json!({ "sku": sku, "quantity": quantity });
        let (status, placed) = self.ask("POST", &format!("/api/orders?user={user}"), &order).await?;
        assert_eq!(status, 201, "{placed}");
        Some(placed["id"].as_str().expect("an id").to_owned())
    }

    /// Pays an order as soon as stock is reserved for it. Returns the status of the response.
    pub async fn pay(&self, user: &str, order: &str) -> Option<u16> {
        let path = format!("/api/orders/{order}/pay?user={user}");
        let paid = async {
            loop {
                let (status, answer) = self.ask("POST", &path, &Value::Null).await?;
                if answer["error"] != "this order can't be paid: it is placed" {
                    return Some(status);
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(TIMEOUT, paid).await.expect("the order is decided")
    }
}

/// The header line for a JSON body.
pub const JSON: &str = "Content-Type: application/json\r\n";

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

async fn send(port: u16, request: &str, head: &str, body: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}
