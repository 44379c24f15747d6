//! An order on the pages of two users.

use std::collections::BTreeSet;
use std::time::Duration;

use fantoccini::Locator;
use serde_json::json;
use sqlx::sqlite::SqlitePool;
use tests_support::Proxy;
use tokio::time::{sleep, timeout};

use crate::browser::{NOTIFICATIONS, click, notifications, open, picture, until};
use crate::running::Process;

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
    click(&ada, "li[data-order][data-status=reserved] button[data-action=pay]").await;
    until(&ada, NOTIFICATIONS, json!(2)).await;
    until(&ada, "document.querySelector('form[data-sku=mug] .stock').textContent", json!("23 in stock"))
        .await;

    // Events that happen while the connection is down are shown once, after it is up again.
    proxy.go_away();
    until(&ada, "document.querySelector('#connection').dataset.state", json!("waiting")).await;
    for _ in 0..3 {
        let order = shop.order("ada", "tee", 3).await.expect("it answers");
        assert_eq!(shop.pay("ada", &order).await, Some(204));
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

    // Grace sees her own notification and none of Ada's.
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
        let newest = "document.querySelector('#notifications li span').textContent";
        until(&page, newest, json!("Your order of 1 × Canvas tote is placed.")).await;
        picture(&page, &format!("{width}-{}", if is_dark { "dark" } else { "light" })).await;
        page.close().await.expect("it closes");
    }
    ada.close().await.expect("it closes");
    grace.close().await.expect("it closes");
}
