//! Shutting down a server while browsers are connected and requests are being answered.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

const TIMEOUT: Duration = Duration::from_secs(30);

struct Server {
    process: Child,
    address: String,
}

impl Server {
    async fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_browsers"))
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = said.next_line().await.unwrap().unwrap();
        let address = line.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { process, address }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Connects a page, and waits for its first message.
    async fn browser(&self) -> BufReader<TcpStream> {
        let mut browser =
            BufReader::new(self.send("GET /events?user=ada HTTP/1.1\r\nHost: test\r\n\r\n").await);
        read_until(&mut browser, "typed-events.position").await;
        browser
    }

    /// Starts a request, and sends all of it except the last byte.
    async fn request(&self, number: usize) -> TcpStream {
        let body = body(number);
        let (length, begun) = (body.len(), &body[..body.len() - 1]);
        let head = format!(
            "POST /notes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        let mut request = self.send(&head).await;
        // The server sends this when the handler reads the body, so the request has begun.
        let mut asked = [0; 25];
        timeout(TIMEOUT, request.read_exact(&mut asked)).await.unwrap().unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        request.write_all(begun.as_bytes()).await.unwrap();
        request
    }

    async fn tell_to_end(&self) {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    }

    /// Waits for the process, which must succeed. Returns its stderr.
    async fn ended(self) -> String {
        let output = timeout(TIMEOUT, self.process.wait_with_output()).await.unwrap().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{:?}: {errors}", output.status);
        errors
    }
}

fn body(number: usize) -> String {
    format!(r#"{{"user":"ada","text":"note {number}"}}"#)
}

async fn read_until(stream: &mut BufReader<TcpStream>, end: &str) {
    let mut line = String::new();
    while !line.contains(end) {
        line.clear();
        let read = timeout(TIMEOUT, stream.read_line(&mut line)).await.unwrap().unwrap();
        assert!(read > 0, "the connection ended before {end}");
    }
}

#[tokio::test]
async fn b8_twenty_browsers_and_twenty_requests_end_in_time_and_are_answered() {
    let server = Server::start().await;
    let (mut browsers, mut requests) = (Vec::new(), Vec::new());
    for number in 0..20 {
        browsers.push(server.browser().await);
        requests.push(server.request(number).await);
    }

    let told = Instant::now();
    server.tell_to_end().await;
    for browser in &mut browsers {
        // The end of the response.
        read_until(browser, "0\r\n").await;
    }
    let streams = told.elapsed();
    // Waits until the listener is closed.
    while TcpStream::connect(&server.address).await.is_ok() {
        assert!(told.elapsed() < TIMEOUT);
    }
    for (number, request) in requests.iter_mut().enumerate() {
        let body = body(number);
        request.write_all(&body.as_bytes()[body.len() - 1..]).await.unwrap();
    }
    for request in requests {
        read_until(&mut BufReader::new(request), "HTTP/1.1 201 Created").await;
    }
    let answered = told.elapsed();
    assert_eq!(server.ended().await, "");
    println!(
        "20 streams ended after {streams:?}, 20 requests were answered after {answered:?}, and the process had ended \
         after {:?}",
        told.elapsed()
    );
}

#[tokio::test]
async fn b8_a_request_that_never_finishes_is_cut_off() {
    let server = Server::start().await;
    let (_browser, _request) = (server.browser().await, server.request(1).await);
    let told = Instant::now();
    server.tell_to_end().await;
    assert_eq!(server.ended().await, "connections that were busy for longer than 5s were cut off\n");
    println!("one request did not finish: the process had ended after {:?}", told.elapsed());
}
