//! Stands between a client and a server, and cuts connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

/// A proxy on a free port.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    is_away: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy for the server at a port.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let open = Arc::new(Mutex::new(Vec::<AbortHandle>::new()));
        let is_away = Arc::new(AtomicBool::new(false));
        let (opened, away) = (Arc::clone(&open), Arc::clone(&is_away));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if away.load(Ordering::Acquire) {
                    continue;
                }
                let passing = tokio::spawn(pass(client, server));
                let mut opened = opened.lock().expect("nobody panics");
                opened.retain(|open| !open.is_finished());
                opened.push(passing.abort_handle());
            }
        });
        Self { port, open, is_away, accepting }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections, and lets no others through until it is [back](Self::come_back).
    pub fn go_away(&self) {
        self.is_away.store(true, Ordering::Release);
        self.cut_all();
    }

    /// Lets connections through again.
    pub fn come_back(&self) {
        self.is_away.store(false, Ordering::Release);
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

async fn pass(mut client: TcpStream, server: u16) {
    // Where the server is away, the client is hung up on.
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
