//! A proxy between a client and a server that cuts connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

/// A proxy on a free port.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    is_away: Arc<AtomicBool>,
    /// 1 plus the number of answers to pass before one is lost; 0 if none is to be lost.
    loses: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy for the server at a port.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let open = Arc::new(Mutex::new(Vec::<AbortHandle>::new()));
        let is_away = Arc::new(AtomicBool::new(false));
        let loses = Arc::new(AtomicUsize::new(0));
        let (opened, away, lose) = (Arc::clone(&open), Arc::clone(&is_away), Arc::clone(&loses));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if away.load(Ordering::Acquire) {
                    continue;
                }
                let passing = tokio::spawn(pass(client, server, Arc::clone(&lose)));
                let mut opened = opened.lock().expect("nobody panics");
                opened.retain(|open| !open.is_finished());
                opened.push(passing.abort_handle());
            }
        });
        Self { port, open, is_away, loses, accepting }
    }

    /// Returns the port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections, and rejects new ones until [`come_back`](Self::come_back).
    pub fn go_away(&self) {
        self.is_away.store(true, Ordering::Release);
        self.cut_all();
    }

    /// Accepts connections again.
    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::Release);
    }

    /// Passes `after` more answers of the server, and then cuts the connection of the next answer, which is lost.
    pub fn lose_an_answer(&self, after: usize) {
        self.loses.store(after + 1, Ordering::Release);
    }

    /// Cuts one connection.
    pub fn cut(&self, which: usize) {
        let mut open = self.open.lock().expect("nobody panics");
        open.retain(|open| !open.is_finished());
        if !open.is_empty() {
            let which = which % open.len();
            open.swap_remove(which).abort();
        }
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        self.open.lock().expect("nobody panics").drain(..).for_each(|open| open.abort());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

async fn pass(client: TcpStream, server: u16, loses: Arc<AtomicUsize>) {
    // If the server does not accept, returning closes the client's connection.
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut client_says, mut client) = client.into_split();
    let (mut server_says, mut server) = server.into_split();
    let asks = async { drop(copy(&mut client_says, &mut server).await) };
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = server_says.read(&mut buffer).await {
            let count = |left: usize| left.checked_sub(1);
            let is_lost = loses.fetch_update(Ordering::AcqRel, Ordering::Acquire, count) == Ok(1);
            if is_lost || client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = asks => {}
        () = answers => {}
    }
}
