//! Many tabs of one browser, which allows six connections to a server.

use std::time::Duration;

use fantoccini::Client;
use fantoccini::wd::WindowHandle;
use serde_json::json;
use tokio::time::timeout;

use crate::browser::{NOTIFICATIONS, browser, notifications, until};
use crate::running::Process;

async fn show(page: &Client, tab: &WindowHandle) {
    page.switch_to_window(tab.clone()).await.expect("the tab is there");
}

const IS_OWNER: &str = "document.querySelector('#connection').title.startsWith('This tab')";

/// Finds the tab that has the connection.
async fn owner(page: &Client, tabs: &[WindowHandle]) -> usize {
    let mut owners = Vec::new();
    for (at, tab) in tabs.iter().enumerate() {
        show(page, tab).await;
        if page.execute(&format!("return {IS_OWNER}"), Vec::new()).await.expect("the script runs") == true {
            owners.push(at);
        }
    }
    assert_eq!(owners.len(), 1, "one of {} tabs has the connection", tabs.len());
    owners[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn b12_eight_tabs_share_a_connection_and_take_it_over() {
    let Some(driver) = Process::driver().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Process::shop(&folder.path().join("shop.db"), None).await;
    let page = browser(&driver, 1280, false).await;
    let mut tabs = vec![page.window().await.expect("a tab")];
    for _ in 1..8 {
        tabs.push(page.new_window(true).await.expect("a tab").handle);
    }
    for tab in &tabs {
        show(&page, tab).await;
        let address = format!("http://127.0.0.1:{}/?user=ada", shop.port);
        let opened = timeout(Duration::from_secs(60), page.goto(&address)).await;
        opened.expect("the browser has a connection left").expect("the page opens");
        until(&page, "document.querySelector('#connection').dataset.state", json!("open")).await;
    }

    let mut expected = Vec::new();
    let order = async |quantity: usize| {
        let placed = u32::try_from(quantity).expect("a number");
        shop.order("ada", "tote", placed).await.expect("it answers");
        format!("Your order of {quantity} × Canvas tote is placed.")
    };
    expected.insert(0, order(1).await);
    loop {
        for tab in &tabs {
            show(&page, tab).await;
            until(&page, NOTIFICATIONS, json!(expected.len())).await;
            assert_eq!(notifications(&page).await, expected, "each tab has each event once");
            until(&page, "document.querySelectorAll('#timeline .gap').length", json!(0)).await;
        }
        if tabs.len() == 1 {
            break;
        }
        // An order is placed while the tab with the connection closes.
        let at = owner(&page, &tabs).await;
        show(&page, &tabs.remove(at)).await;
        let (closed, text) = tokio::join!(page.close_window(), order(expected.len() + 1));
        closed.expect("it closes");
        expected.insert(0, text);
    }
    page.close().await.expect("it closes");
}
