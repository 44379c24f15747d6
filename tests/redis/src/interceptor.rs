//! A proxy that changes replies of the server.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What is done to the reply of a request.
#[derive(Clone, Debug)]
pub enum Intercept {
    /// Replaces the reply by these bytes.
    Replace(&'static [u8]),
    /// Flushes the scripts of the server before the reply is forwarded.
    FlushScripts,
}

/// The changes to come: each is applied to the reply of the next request that contains its text.
type Plan = Arc<Mutex<Vec<(&'static str, Intercept)>>>;

/// A proxy in front of a server. It ends with the runtime.
pub struct Interceptor {
    port: u16,
    plan: Plan,
}

impl Interceptor {
    /// Starts a proxy to the server at this port.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let plan = Plan::default();
        let connections = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server, Arc::clone(&connections)));
            }
        });
        Self { port, plan }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Plans a change of the reply to the next request that contains a text.
    pub fn intercept(&self, request: &'static str, how: Intercept) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).push((request, how));
    }

    /// Number of planned changes that were not applied yet.
    pub fn planned(&self) -> usize {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn forward(client: TcpStream, server: u16, plan: Plan) {
    let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let ((mut from_client, to_client), (from_server, mut to_server)) =
        (client.into_split(), upstream.into_split());
    let next = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(replies(from_server, to_client, server, Arc::clone(&next)));
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        if let Some(intercept) = take(&plan, &buffer[..count]) {
            next.lock().unwrap_or_else(PoisonError::into_inner).push(intercept);
        }
        if to_server.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Takes the first planned change whose text a request contains.
fn take(plan: &Plan, request: &[u8]) -> Option<Intercept> {
    let request = String::from_utf8_lossy(request).to_uppercase();
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    let index = plan.iter().position(|(text, _)| request.contains(text))?;
    Some(plan.remove(index).1)
}

async fn replies(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    port: u16,
    next: Arc<Mutex<Vec<Intercept>>>,
) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        let intercept = next.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reply = match intercept {
            Some(Intercept::Replace(reply)) => reply,
            Some(Intercept::FlushScripts) => {
                flush(port).await;
                &buffer[..count]
            }
            None => &buffer[..count],
        };
        if client.write_all(reply).await.is_err() {
            return;
        }
    }
}

async fn flush(port: u16) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server is there");
    server.write_all(b"SCRIPT FLUSH\r\n").await.expect("it takes the request");
    let mut answer = [0; 5];
    server.read_exact(&mut answer).await.expect("it answers");
    assert_eq!(&answer, b"+OK\r\n");
}
