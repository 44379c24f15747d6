//! Drives Chromium. Screenshots are stored in the folder `shop` of Cargo's folder for temporary files.

use std::path::Path;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::running::Process;

/// Starts a separate browser with an empty profile.
pub async fn browser(driver: &Process, width: u32, is_dark: bool) -> Client {
    let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark));
    let mut options = json!({ "args": [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", scheme, format!("--window-size={width},1000"),
    ]});
    if width < 500 {
        let height = if width < 390 { 640 } else { 844 };
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 2.0, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    let mut builder = ClientBuilder::new(HttpConnector::new());
    let capabilities = json!({ "goog:chromeOptions": options });
    let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
    let address = format!("http://127.0.0.1:{}", driver.port);
    builder.capabilities(capabilities).connect(&address).await.expect("a browser starts")
}

/// Waits until a script of the page returns the given value.
pub async fn until(page: &Client, script: &str, expected: Value) {
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

pub async fn open(driver: &Process, port: u16, user: &str, width: u32, is_dark: bool) -> Client {
    let page = browser(driver, width, is_dark).await;
    page.goto(&format!("http://127.0.0.1:{port}/?user={user}")).await.expect("the page opens");
    until(&page, "document.querySelector('#connection').dataset.state", json!("open")).await;
    page
}

/// Clicks an element, after scrolling to it as far as a user would.
pub async fn click(page: &Client, selector: &str) {
    let found = page
        .wait()
        .for_element(Locator::Css(selector))
        .await
        .unwrap_or_else(|error| panic!("{selector}: {error}"));
    let show = "document.querySelector(arguments[0]).scrollIntoView({ block: 'nearest' })";
    page.execute(show, vec![json!(selector)]).await.expect("the script runs");
    found.click().await.expect("it can be clicked");
}

pub const NOTIFICATIONS: &str = "document.querySelectorAll('#notifications li').length";

pub async fn notifications(page: &Client) -> Vec<String> {
    let script =
        "return [...document.querySelectorAll('#notifications li span')].map((text) => text.textContent)";
    let texts = page.execute(script, Vec::new()).await.expect("the script runs");
    serde_json::from_value(texts).expect("texts")
}

/// Waits until all finite animations have ended.
pub async fn until_still(page: &Client) {
    let still = "document.getAnimations().every((one) => one.effect.getTiming().iterations === Infinity || one.playState === 'finished')";
    until(page, still, json!(true)).await;
}

/// Checks that the page does not scroll sideways, and stores a screenshot of it.
pub async fn picture(page: &Client, name: &str) {
    until_still(page).await;
    until(page, "document.documentElement.scrollWidth <= innerWidth", json!(true)).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shop");
    std::fs::create_dir_all(&folder).expect("a folder");
    let picture = page.screenshot().await.expect("a picture");
    std::fs::write(folder.join(format!("{name}.png")), picture).expect("it is kept");
}
