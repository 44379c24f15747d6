//! The page in Chromium. Screenshots are kept in the folder `shop` of Cargo's for temporary files.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePool;
use tests_support::Proxy;
use tokio::time::{sleep, timeout};

use crate::running::Process;

/// A browser of its own, with nobody's settings.
async fn browser(driver: &Process, width: u32, is_dark: bool) -> Client {
    let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark));
    let mut options = json!({ "args": [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", scheme, format!("--window-size={width},1000"),
    ]});
    if width < 500 {
        let metrics = json!({ "width": width, "height": 844, "pixelRatio": 2.0, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let capabilities = json!({ "goog:chromeOptions": options });
    let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
    let address = format!("http://127.0.0.1:{}", driver.port);
    builder.capabilities(capabilities).connect(&address).await.expect("a browser starts")
}

/// Waits until a script of the page returns this.
async fn until(page: &Client, script: &str, expected: Value) {
    let script = format!("return {script}");
    let mut last = Value::Null;
    let wait = async {
        while last != expected {
            sleep(Duration::from_millis(20)).await;
            last = page.execute(&script, Vec::new()).await.expect("the script runs");
        }
    };
    let waited = timeout(Duration::from_secs(60), wait).await;
    assert!(waited.is_ok(), "{script} is {last}, not {expected}");
}

async fn open(driver: &Process, port: u16, user: &str, width: u32, is_dark: bool) -> Client {
    let page = browser(driver, width, is_dark).await;
    page.goto(&format!("http://127.0.0.1:{port}/?user={user}")).await.expect("the page opens");
    until(&page, "document.querySelector('#connection').dataset.state", json!("open")).await;
    page
}

async fn click(page: &Client, selector: &str) {
    let found = page
        .wait()
        .for_element(Locator::Css(selector))
        .await
        .unwrap_or_else(|error| panic!("{selector}: {error}"));
    found.click().await.expect("it can be clicked");
}

const NOTIFICATIONS: &str = "document.querySelectorAll('#notifications li').length";

async fn notifications(page: &Client) -> Vec<String> {
    let script = "return [...document.querySelectorAll('#notifications li')].map((li) => li.textContent)";
    let texts = page.execute(script, Vec::new()).await.expect("the script runs");
    serde_json::from_value(texts).expect("texts")
}

/// Keeps a picture of the page, which must fit its width.
async fn picture(page: &Client, name: &str) {
    until(page, "document.documentElement.scrollWidth <= innerWidth", json!(true)).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shop");
    std::fs::create_dir_all(&folder).expect("a folder");
    let picture = page.screenshot().await.expect("a picture");
    std::fs::write(folder.join(format!("{name}.png")), picture).expect("it is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_followed_live_and_privately_over_a_lost_connection() {
    let Some(driver) = Process::driver().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("shop.db");
    let shop = Process::shop(&database, None).await;
    let proxy = Proxy::to(shop.port).await;
    let ada = open(&driver, proxy.port(), "ada", 1280, false).await;
    let grace = open(&driver, shop.port, "grace", 390, true).await;

    click(&ada, "form[data-sku=mug] button[data-action=order]").await;
    until(&ada, NOTIFICATIONS, json!(1)).await;
    click(&ada, "li[data-order][data-status=placed] button[data-action=pay]").await;
    until(&ada, NOTIFICATIONS, json!(2)).await;
    until(&ada, "document.querySelector('form[data-sku=mug] .stock').textContent", json!("23 in stock"))
        .await;

    // What happens while the connection is down comes when it is up again, once.
    proxy.go_away();
    until(&ada, "document.querySelector('#connection').dataset.state", json!("waiting")).await;
    let order = json!({ "sku": "tee", "quantity": 3 });
    for _ in 0..3 {
        let (status, placed) = shop.ask("POST", "/api/orders?user=ada", &order).await.expect("it answers");
        assert_eq!(status, 201, "{placed}");
        let order = placed["id"].as_str().expect("an id");
        let paid = shop.ask("POST", &format!("/api/orders/{order}/pay?user=ada"), &Value::Null).await;
        assert_eq!(paid.expect("it answers").0, 204);
    }
    proxy.come_back();
    until(&ada, NOTIFICATIONS, json!(8)).await;

    click(&ada, "#break").await;
    until(
        &ada,
        "!!document.querySelector('#timeline [data-handler=fragile][data-state=failed]')",
        json!(true),
    )
    .await;
    let title = ada.find(Locator::Css("#video-title")).await.expect("a field");
    title.send_keys("The sea").await.expect("it takes text");
    click(&ada, "#video-form button").await;
    until(&ada, "document.querySelector('li[data-video]')?.dataset.status", json!("ready")).await;
    let seen = notifications(&ada).await;
    assert_eq!(seen.len(), 8, "nothing comes twice: {seen:?}");

    // Grace sees her own, and none of it.
    assert_eq!(notifications(&grace).await, Vec::<String>::new());
    click(&grace, "form[data-sku=book] button[data-action=order]").await;
    until(&grace, NOTIFICATIONS, json!(1)).await;
    let source = grace.source().await.expect("the source");
    assert!(!source.contains("Your payment"), "of Ada's notifications there is nothing in Grace's page");
    assert_eq!(notifications(&ada).await.len(), 8);

    // The audit table has every event.
    let db = SqlitePool::connect(&format!("sqlite:{}", database.display())).await.expect("it opens");
    let ids = async |table: &str| -> BTreeSet<String> {
        let of = match table {
            "audit" => "SELECT lower(replace(id, '-', '')) FROM audit",
            _ => "SELECT lower(hex(id)) FROM typed_events_log",
        };
        sqlx::query_scalar(of).fetch_all(&db).await.expect("it is read").into_iter().collect()
    };
    let all = ids("log").await;
    let audited = async {
        while ids("audit").await != all {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), audited).await.expect("the audit table has every event");
    assert!(all.len() >= 22, "{}", all.len());
    until(&ada, "document.querySelectorAll('#audit tbody tr').length > 20", json!(true)).await;

    picture(&ada, "1280-light").await;
    picture(&grace, "390-dark").await;
    for (user, width, is_dark) in [("ada", 1280, true), ("ada", 390, false)] {
        let page = open(&driver, shop.port, user, width, is_dark).await;
        click(&page, "form[data-sku=tote] button[data-action=order]").await;
        until(&page, NOTIFICATIONS, json!(1)).await;
        picture(&page, &format!("{width}-{}", if is_dark { "dark" } else { "light" })).await;
        page.close().await.expect("it closes");
    }
    ada.close().await.expect("it closes");
    grace.close().await.expect("it closes");
}
