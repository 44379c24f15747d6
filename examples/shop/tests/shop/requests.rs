//! Requests that the shop rejects, and its error responses.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::running::{Answer, JSON, Process};

async fn shop() -> (TempDir, Process) {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Process::shop(&folder.path().join("shop.db"), None).await;
    (folder, shop)
}

/// Checks the status of an error response, and the error in its JSON.
fn assert_refused(answer: Option<Answer>, status: u16, why: &str) {
    let answer = answer.expect("it answers");
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let said: Value = serde_json::from_str(&answer.body).expect("it is JSON");
    assert!(said["error"].as_str().is_some_and(|error| error.contains(why)), "{said} does not say: {why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_refusals_are_json() {
    let (_folder, shop) = shop().await;
    let order = json!({ "sku": "mug", "quantity": 0 }).to_string();
    for (request, head, body, status, why) in [
        ("GET /nowhere", "", "", 404, "not found"),
        ("DELETE /api/orders", "", "", 405, "method not allowed"),
        ("GET /api/state", "", "", 401, "say who you are"),
        ("GET /events?user=mallory", "", "", 401, "say who you are"),
        ("GET /?user=ada&user=ada", "", "", 400, "duplicate field"),
        ("POST /api/orders?user=ada", "", &order, 415, "Content-Type"),
        ("POST /api/orders?user=ada", JSON, "{", 400, "parse"),
        ("POST /api/orders?user=ada", JSON, "{}", 422, "missing field"),
        ("POST /api/orders?user=ada", JSON, &order, 422, "order at least one"),
        ("POST /api/orders/%ff/pay?user=ada", JSON, "null", 400, "UTF-8"),
        ("POST /api/orders/none/pay?user=ada", JSON, "null", 404, "no such order"),
    ] {
        assert_refused(shop.send(request, head, body).await, status, why);
    }
    let allowed = shop.send("DELETE /api/orders", "", "").await.expect("it answers");
    assert!(allowed.head.contains("allow: post"), "{}", allowed.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_orders_beyond_the_stock_are_refused() {
    let (_folder, shop) = shop().await;
    let buy = async |user| {
        let order = shop.order(user, "book", 6).await.expect("it answers");
        shop.pay(user, &order).await.expect("it answers")
    };
    let (ada, grace, alan) = tokio::join!(buy("ada"), buy("grace"), buy("alan"));
    let mut answers = [ada, grace, alan];
    answers.sort_unstable();
    assert_eq!(answers, [204, 409, 409], "one is paid, and two are refused");
    let state = shop.state("ada").await;
    let products = state["products"].as_array().expect("products");
    let book = products.iter().find(|product| product["sku"] == "book").expect("a book");
    assert_eq!(book["stock"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_titles_of_videos_have_a_length() {
    let (_folder, shop) = shop().await;
    let upload = async |title: &str| {
        shop.send("POST /api/videos?user=ada", JSON, &json!({ "title": title }).to_string()).await
    };
    for title in ["", " \t", "two\nlines", &"é".repeat(81), &"x".repeat(1_500_000)] {
        assert_refused(upload(title).await, 422, "a title has 1 to 80 characters");
    }
    assert_refused(upload(&"x".repeat(3_000_000)).await, 413, "at most 2097152 bytes");
    assert_eq!(upload(&"é".repeat(80)).await.expect("it answers").status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_what_a_page_of_another_origin_sends_is_refused() {
    let (_folder, shop) = shop().await;
    for (head, status) in [
        ("Sec-Fetch-Site: cross-site\r\nOrigin: http://shop\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Sec-Fetch-Site: none\r\n", 403),
        ("Origin: http://elsewhere\r\n", 403),
        ("Origin: http://shop:81\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: same-origin\r\n", 202),
        ("Origin: http://shop\r\n", 202),
        ("", 202),
    ] {
        let answer = shop.send("POST /api/break?user=ada", head, "").await;
        match status {
            403 => assert_refused(answer, 403, "another origin"),
            _ => assert_eq!(answer.expect("it answers").status, status, "{head}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_the_page_is_of_a_user_and_in_no_frame() {
    let (_folder, shop) = shop().await;
    let page = async |path| shop.send(&format!("GET {path}"), "", "").await.expect("it answers");
    let first = page("/").await;
    assert_eq!(first.status, 303);
    assert!(first.head.contains("location: /?user=ada"), "{}", first.head);
    let unknown = page("/?user=mallory").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("Nobody of that name") && unknown.body.contains("?user=alan"));
    for page in [unknown, page("/?user=ada").await] {
        assert!(page.head.contains("frame-ancestors 'none'"), "{}", page.head);
    }
}

/// Sends the beginning of a request, and returns all output until the shop closes the connection.
async fn unfinished(shop: &Process, begins: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", shop.port)).await.expect("it is there");
    stream.write_all(begins.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    let read = timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await;
    read.expect("the shop ends it").expect("text");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_requests_that_are_not_finished_end_and_streams_do_not() {
    let (_folder, shop) = shop().await;
    let mut stream = TcpStream::connect(("127.0.0.1", shop.port)).await.expect("it is there");
    stream.write_all(b"GET /events?user=ada HTTP/1.1\r\nHost: shop\r\n\r\n").await.expect("it is sent");

    let body = "POST /api/orders?user=ada HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\n{";
    let (nothing, head, body) = tokio::join!(
        unfinished(&shop, ""),
        unfinished(&shop, "GET /api/state?user=ada HTTP/1.1\r\nHost: sh"),
        unfinished(&shop, body),
    );
    assert_eq!((nothing.as_str(), head.as_str()), ("", ""));
    assert!(
        body.starts_with("HTTP/1.1 408 ") && body.ends_with(r#"{"error":"the body took too long"}"#),
        "{body}"
    );

    shop.order("ada", "mug", 1).await.expect("it answers");
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.contains("order.placed") {
        let read = timeout(Duration::from_secs(30), stream.read(&mut bytes)).await;
        let read = read.expect("the event comes").expect("the stream is open");
        assert_ne!(read, 0, "the stream ended: {text}");
        text += &String::from_utf8_lossy(&bytes[..read]);
    }
}
