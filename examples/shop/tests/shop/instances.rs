//! Instances that share a database and a Redis server.
//!
//! `SHOP_ORDERS` sets how many orders are placed (1,000 for the full test).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_tests::Server;
use tests_support::{size, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::running::Process;

/// Connects to the stream of events, and waits for a line with the given text.
async fn until_told(port: u16, user: &str, text: &str, then: impl Future<Output = ()>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it is there");
    let request = format!("GET /events?user={user} HTTP/1.1\r\nHost: shop\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut lines = BufReader::new(stream).lines();
    let mut until_line = async |text: &str| {
        let told =
            async { while !lines.next_line().await.expect("a line").expect("a line").contains(text) {} };
        timeout(Duration::from_secs(60), told).await.expect("it is told");
    };
    until_line("typed-events.position").await;
    then.await;
    until_line(text).await;
}

async fn stock(shop: &Process, sku: &str) -> i64 {
    let state = shop.state("ada").await;
    let products = state["products"].as_array().expect("products");
    let product = products.iter().find(|product| product["sku"] == sku).expect("the product");
    product["stock"].as_i64().expect("a number")
}

/// Places an order and pays it. Returns false if the shop was killed meanwhile, so that the outcome is unknown.
async fn buy(shop: &Process, user: &str, sku: &str) -> bool {
    let Some(order) = shop.order(user, sku, 1).await else { return false };
    shop.pay(user, &order).await == Some(204)
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_tell_each_other_s_browsers_and_reserve_stock_once() {
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

    let count =
        async |of: &'static str| -> i64 { sqlx::query_scalar(of).fetch_one(&db).await.expect("it is read") };
    let decided = async {
        while count("SELECT count(*) FROM orders WHERE status = 'placed'").await != 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), decided).await.expect("each order is decided");
    let placed = count("SELECT count(*) FROM orders WHERE sku = 'tee'").await;
    assert_eq!(stock(&other, "tee").await, many - placed);
    let reserved = count("SELECT count(*) FROM typed_events_log WHERE name = 'stock.reserved'").await;
    assert_eq!(reserved, placed + 1, "an event for each order, and for the mug");
    let paid = count("SELECT count(*) FROM orders WHERE status = 'paid'").await;
    assert!(paid > orders as i64, "{paid}");
    println!("{placed} orders on two instances, one of them killed: the stock is right");
}
