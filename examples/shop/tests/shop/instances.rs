//! Instances that share a database and a Redis server.
//!
//! `SHOP_ORDERS` says how many orders are placed (1,000 in full).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_tests::Server;
use serde_json::{Value, json};
use tests_support::{size, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::running::Process;

/// What a browser would be sent: waits for a line with this text.
async fn until_told(port: u16, user: &str, text: &str, then: impl Future<Output = ()>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it is there");
    let request = format!("GET /events?user={user} HTTP/1.1\r\nHost: shop\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut lines = BufReader::new(stream).lines();
    let mut next = async || timeout(Duration::from_secs(60), lines.next_line()).await.expect("it is told");
    while next().await.expect("a line").expect("a line") != ": typed-events" {}
    then.await;
    while !next().await.expect("a line").expect("a line").contains(text) {}
}

async fn stock(shop: &Process, sku: &str) -> i64 {
    let (_, state) = shop.ask("GET", "/api/state?user=ada", &Value::Null).await.expect("it answers");
    let products = state["products"].as_array().expect("products");
    let product = products.iter().find(|product| product["sku"] == sku).expect("the product");
    product["stock"].as_i64().expect("a number")
}

/// Places an order and pays it; false where the shop is gone, and it is not known what it did.
async fn buy(shop: &Process, user: &str, sku: &str) -> bool {
    let placed =
        shop.ask("POST", &format!("/api/orders?user={user}"), &json!({ "sku": sku, "quantity": 1 })).await;
    let Some((201, placed)) = placed else { return false };
    let order = placed["id"].as_str().expect("an id");
    let paid = shop.ask("POST", &format!("/api/orders/{order}/pay?user={user}"), &Value::Null).await;
    matches!(paid, Some((204, _)))
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_tell_each_other_s_browsers_and_reduce_stock_once() {
    let Some(redis) = Server::start_durable() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (database, url) = (folder.path().join("shop.db"), redis.url());
    let (one, other) =
        (Process::shop(&database, Some(&url)).await, Process::shop(&database, Some(&url)).await);

    until_told(other.port, "grace", "Your payment for 1 × Enamel mug arrived", async {
        assert!(buy(&one, "grace", "mug").await);
    })
    .await;

    let orders = size("SHOP_ORDERS", 100);
    let db = sqlx::SqlitePool::connect(&format!("sqlite:{}", database.display())).await.expect("it opens");
    let many = i64::try_from(orders).expect("a number") + 1_000;
    sqlx::query("UPDATE products SET stock = ? WHERE sku = 'tee'")
        .bind(many)
        .execute(&db)
        .await
        .expect("it is set");
    let sold = Arc::new(AtomicUsize::new(0));
    let sell = |shop: &Arc<Process>, user: &'static str| {
        let (shop, sold) = (Arc::clone(shop), Arc::clone(&sold));
        tokio::spawn(async move {
            while sold.load(Ordering::Relaxed) < orders && buy(&shop, user, "tee").await {
                sold.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let (one, other) = (Arc::new(one), Arc::new(other));
    let selling = [sell(&one, "ada"), sell(&one, "grace"), sell(&other, "ada"), sell(&other, "grace")];
    until(|| sold.load(Ordering::Relaxed) >= orders / 2).await;
    one.kill().await;
    for selling in selling {
        selling.await.expect("it ends");
    }

    let paid: i64 = sqlx::query_scalar("SELECT count(*) FROM orders WHERE sku = 'tee' AND status = 'paid'")
        .fetch_one(&db)
        .await
        .expect("it is read");
    let reduced = async {
        while stock(&other, "tee").await != many - paid {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = timeout(Duration::from_secs(60), reduced).await;
    assert!(waited.is_ok(), "{paid} are paid, and of {many} {} are left", stock(&other, "tee").await);
    let noted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM reductions").fetch_one(&db).await.expect("it is read");
    assert_eq!(noted, paid + 1, "each order is noted, and the mug");
    assert!(paid >= orders as i64);
    println!("{paid} orders on two instances, one of them killed: the stock is right");
}
