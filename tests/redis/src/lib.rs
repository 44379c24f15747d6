//! Redis servers for tests. Each runs on a free port and in its own folder, and ends when it is dropped.

mod interceptor;
mod log;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub use interceptor::{Intercept, Interceptor};
pub use log::Log;
use tempfile::TempDir;
pub use tests_support::{Noted, Proxy, Random, size, skipped, until};
use tokio::time::Instant;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running server.
pub struct Server {
    process: Child,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
}

impl Server {
    /// Starts a server that stores nothing on disk. Returns `None` and prints a line if Redis is not installed; panics
    /// instead if `CI` is set.
    pub fn start() -> Option<Self> {
        Self::start_with(&["--appendonly", "no"])
    }

    /// Starts a server that writes to disk before it replies.
    pub fn start_durable() -> Option<Self> {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with these options.
    pub fn start_with(options: &[&str]) -> Option<Self> {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        loop {
            let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
            let process = match spawn(&folder, port, &options) {
                Ok(process) => process,
                Err(error) if error.kind() == ErrorKind::NotFound => return missing(),
                Err(error) => panic!("redis-server: {error}"),
            };
            let mut server = Self { process, folder, port, options: options.clone() };
            if server.answers() {
                return Some(server);
            }
            // Another process may have taken the port meanwhile.
            assert!(server.log().contains("Address already in use"), "{}", server.log());
        }
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it from answering, without closing its connections.
    pub fn suspend(&self) {
        self.signal("-STOP");
    }

    /// Lets it answer again.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(sent.expect("`kill` is installed").success());
    }

    /// Kills it with signal 9.
    pub fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    /// Starts it again after a [`kill`](Self::kill), with the data on its disk.
    pub fn restart(&mut self) {
        let until = Instant::now() + TIMEOUT;
        while Instant::now() < until {
            self.process = spawn(&self.folder, self.port, &self.options).expect("it was there before");
            if self.answers() {
                return;
            }
        }
        panic!("redis-server did not start again: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it replies. Returns false if it has ended.
    fn answers(&mut self) -> bool {
        let until = Instant::now() + TIMEOUT;
        while Instant::now() < until {
            if ping(self.port) {
                return true;
            }
            if self.process.try_wait().expect("its state").is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        panic!("redis-server does not answer: {}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns a port that the system does not assign to clients. Otherwise a client that connects to a stopped server could
/// get the server's port for itself, and be connected to itself.
fn free_port() -> u16 {
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), "port");
    let mut random = Random::new(seed);
    loop {
        let port = 10_000 + random.below(20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(folder: &TempDir, port: u16, options: &[String]) -> std::io::Result<Child> {
    let log = File::options().create(true).append(true).open(folder.path().join("log"))?;
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder.path())
        .args(options)
        .stdout(Stdio::from(log))
        .spawn()
}

fn ping(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 5];
    let asked = stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut answer).is_ok();
    // A server that asks for a password is running, too.
    asked && (answer == *b"+PONG" || answer == *b"-NOAU")
}

fn missing<T>() -> Option<T> {
    skipped("redis-server is not installed (Debian, Ubuntu: apt-get install redis-server)")
}
