//! Processes: shops, and what drives a browser.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tests_support::skipped;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with a port, which is killed when it is dropped.
pub struct Process {
    child: Mutex<Child>,
    pub port: u16,
}

impl Process {
    /// Starts it, and waits until a line of its output says the port behind this text.
    async fn start(command: &mut Command, says: &str) -> std::io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let port = async {
            while let Some(line) = lines.next_line().await.expect("it is text") {
                if let Some((_, rest)) = line.split_once(says) {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    return digits.parse().expect("a port");
                }
            }
            panic!("it ended");
        };
        let port = timeout(PATIENCE, port).await.expect("it says its port");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child: Mutex::new(child), port })
    }

    /// A shop on a database.
    pub async fn shop(database: &Path, redis: Option<&str>) -> Self {
        let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
        shop.env("SHOP_PORT", "0").env("SHOP_DB", database).stderr(Stdio::null());
        if let Some(redis) = redis {
            shop.env("SHOP_REDIS", redis);
        }
        Self::start(&mut shop, "http://127.0.0.1:").await.expect("the shop starts")
    }

    /// What drives browsers; `None` where there is none.
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

    /// Signal 9.
    pub async fn kill(&self) {
        self.child.lock().await.kill().await.expect("it can be killed");
    }

    /// Asks a shop; returns the status and the JSON of the answer, or nothing where it is gone.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        timeout(PATIENCE, ask(self.port, method, path, body)).await.expect("it answers").ok()
    }
}

async fn ask(port: u16, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let json = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, serde_json::from_str(json).unwrap_or(Value::Null)))
}
