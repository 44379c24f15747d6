//! The page in Chromium: three users at once, reloads, other origins, phones, and the checks of axe.

use std::path::Path;
use std::process::Command;

use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests_support::skipped;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::browser::{NOTIFICATIONS, browser, click, notifications, open, picture, until, until_still};
use crate::running::Process;

async fn start() -> Option<(Process, TempDir, Process)> {
    let driver = Process::driver().await?;
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Process::shop(&folder.path().join("shop.db"), None).await;
    Some((driver, folder, shop))
}

async fn run(page: &Client, script: &str) -> Value {
    page.execute(script, Vec::new()).await.expect("the script runs")
}

const FIRST_ORDER: &str = "document.querySelector('#orders li')?.dataset.status";

#[tokio::test(flavor = "multi_thread")]
async fn b14_three_people_at_once_do_not_oversell() {
    let Some((driver, _folder, shop)) = start().await else { return };
    let (ada, grace, alan) = tokio::join!(
        open(&driver, shop.port, "ada", 1280, false),
        open(&driver, shop.port, "grace", 1280, true),
        open(&driver, shop.port, "alan", 390, false),
    );
    let pages = [ada, grace, alan];
    let now = run(&pages[0], "return Date.now()").await.as_u64().expect("a number");
    for page in &pages {
        until(page, "!!document.querySelector('form[data-sku=book]')", json!(true)).await;
        let script = format!(
            "const form = document.querySelector('form[data-sku=book]');
             form.querySelector('input').value = 6;
             setTimeout(() => form.querySelector('button').click(), {} - Date.now())",
            now + 2_000
        );
        run(page, &script).await;
    }
    let mut paid = 0;
    for (page, name) in pages.iter().zip(["ada", "grace", "alan"]) {
        until(
            page,
            "['reserved', 'refused'].includes(document.querySelector('#orders li')?.dataset.status)",
            json!(true),
        )
        .await;
        if run(page, &format!("return {FIRST_ORDER}")).await == "reserved" {
            click(page, "button[data-action=pay]").await;
            until(page, FIRST_ORDER, json!("paid")).await;
            paid += 1;
            picture(page, &format!("bought-{name}")).await;
            continue;
        }
        until(page, NOTIFICATIONS, json!(2)).await;
        let refused = "Your order of 6 × The Rust Book, signed is refused: 0 in stock.";
        assert!(notifications(page).await.contains(&refused.to_owned()));
        until(page, "!!document.querySelector('#timeline .run [data-event=\"order.refused\"]')", json!(true))
            .await;
        until(page, "document.querySelector('form[data-sku=book] .stock').textContent", json!("Sold out"))
            .await;
        picture(page, &format!("refused-{name}")).await;
    }
    assert_eq!(paid, 1, "there are books for one of them");
    for page in pages {
        page.close().await.expect("it closes");
    }
}

/// Returns the events of the timeline, with the states of their handlers.
const TIMELINE: &str = "[...document.querySelectorAll('#timeline .event, #timeline .branch')].map((part) =>
    part.dataset.event ?? `${part.dataset.handler} ${part.dataset.state} ${part.querySelector('.result').dataset.event}`)";

#[tokio::test(flavor = "multi_thread")]
async fn b14_a_reload_shows_what_happened_before() {
    let Some((driver, _folder, shop)) = start().await else { return };
    let page = open(&driver, shop.port, "ada", 1280, false).await;
    click(&page, "form[data-sku=mug] button").await;
    click(&page, "button[data-action=pay]").await;
    until(&page, NOTIFICATIONS, json!(2)).await;
    until(&page, "document.querySelectorAll('#timeline [data-state=done]').length", json!(5)).await;
    let (timeline, told) = (run(&page, &format!("return {TIMELINE}")).await, notifications(&page).await);

    // An event from the stream is not shown again when the history contains it.
    run(&page, "isHistoryReceived = false; receiveHistory()").await;
    until(&page, "isHistoryReceived", json!(true)).await;
    assert_eq!(run(&page, &format!("return {TIMELINE}")).await, timeline);
    assert_eq!(notifications(&page).await, told);

    page.refresh().await.expect("it loads again");
    until(&page, TIMELINE, timeline).await;
    assert_eq!(notifications(&page).await, told);
    assert_eq!(run(&page, "return document.querySelector('#toasts').textContent").await, "");
    picture(&page, "reload").await;

    // Events that happen during the reload are shown once, from the history or from the stream.
    let more = async {
        for quantity in 1..=5 {
            shop.order("ada", "tote", quantity).await.expect("it answers");
        }
    };
    let (loaded, ()) = tokio::join!(page.refresh(), more);
    loaded.expect("it loads again");
    until(&page, NOTIFICATIONS, json!(7)).await;
    let expected = (1..=5).rev().map(|quantity| format!("Your order of {quantity} × Canvas tote is placed."));
    assert_eq!(notifications(&page).await, expected.chain(told).collect::<Vec<_>>());
    page.close().await.expect("it closes");
}

/// Holds the answers of `/api/history`, and counts the notifications of the stream.
const HOLD: &str = "
    [window.held, window.heard, window.holding] = [[], 0, true];
    const [fetchNow, hearNow] = [window.fetch, hear];
    window.fetch = async (path, options) => {
        const response = await fetchNow(path, options);
        if (holding && path.startsWith('/api/history')) await new Promise((done) => held.push(done));
        return response;
    };
    hear = (message) => { hearNow(message); heard += message.type === 'notification.created'; };
    isHistoryReceived = false;
    receiveHistory()";

#[tokio::test(flavor = "multi_thread")]
async fn b14_events_that_arrive_while_the_history_loads_keep_their_order() {
    let Some((driver, _folder, shop)) = start().await else { return };
    let page = open(&driver, shop.port, "ada", 1280, false).await;
    run(&page, HOLD).await;
    until(&page, "held.length > 0", json!(true)).await;
    shop.order("ada", "tote", 1).await.expect("it answers");
    until(&page, "heard", json!(1)).await;
    run(&page, "held.splice(0).forEach((release) => release())").await;
    shop.order("ada", "tote", 2).await.expect("it answers");
    until(&page, "heard", json!(2)).await;
    run(&page, "holding = false; held.splice(0).forEach((release) => release())").await;
    until(&page, NOTIFICATIONS, json!(2)).await;
    let expected = [2, 1].map(|quantity| format!("Your order of {quantity} × Canvas tote is placed."));
    assert_eq!(notifications(&page).await, expected);
    page.close().await.expect("it closes");
}

/// Serves a page of another origin on a separate server, and returns its port.
async fn another_origin(html: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{html}", html.len());
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                // The browser also opens connections on which it sends nothing.
                if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer.as_bytes()).await.expect("it is sent");
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_a_page_of_another_origin_changes_and_frames_nothing() {
    let Some((driver, _folder, shop)) = start().await else { return };
    let address = format!("http://127.0.0.1:{}", shop.port);
    let html = format!(
        "<iframe src='{address}/?user=ada'></iframe>
         <form method=post enctype=text/plain action='{address}/api/break?user=ada'><button>Win</button></form>"
    );
    let port = another_origin(html).await;
    let page = browser(&driver, 1280, false).await;
    for host in ["127.0.0.1", "localhost"] {
        page.goto(&format!("http://{host}:{port}/")).await.expect("the page opens");
        page.enter_frame(0).await.expect("there is a frame");
        assert_eq!(run(&page, "return document.title === 'The Typed Shop'").await, false);
        page.enter_parent_frame().await.expect("there is a page");
        let script = format!(
            "const done = arguments[0];
             fetch('{address}/api/break?user=ada', {{ method: 'POST', mode: 'no-cors' }}).then(() => done('sent'), done)"
        );
        assert_eq!(page.execute_async(&script, Vec::new()).await.expect("the script runs"), "sent");
        click(&page, "button").await;
        let said = page.wait().for_element(Locator::Css("pre")).await.expect("an answer");
        assert_eq!(
            said.text().await.expect("text"),
            r#"{"error":"this comes from a page of another origin"}"#
        );
    }
    let (_, history) = shop.ask("GET", "/api/history?user=ada", &Value::Null).await.expect("it answers");
    assert_eq!(history, json!([]), "nothing happened");
    page.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_on_a_phone_the_effect_of_the_first_click_is_on_the_screen() {
    let Some((driver, _folder, shop)) = start().await else { return };
    for (user, width) in [("ada", 390), ("grace", 360)] {
        let page = open(&driver, shop.port, user, width, false).await;
        picture(&page, &format!("phone-{width}-first")).await;
        click(&page, "form[data-sku=mug] button").await;
        for what in [
            "[data-event=\"order.placed\"]",
            "[data-event=\"stock.reserved\"]",
            "[data-event=\"notification.created\"]",
        ] {
            let script = format!(
                "(() => {{
                    const part = document.querySelector('#timeline {what} code');
                    const {{ top, bottom, left }} = part?.getBoundingClientRect() ?? {{}};
                    return bottom <= innerHeight && document.elementFromPoint(left, (top + bottom) / 2) === part;
                }})()"
            );
            until(&page, &script, json!(true)).await;
        }
        assert_eq!(run(&page, "return scrollY").await, 0, "nobody had to scroll");
        picture(&page, &format!("phone-{width}-clicked")).await;
        page.close().await.expect("it closes");
    }
}

/// Returns the source of axe, installed by npm.
fn axe() -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
    std::fs::create_dir_all(&folder).expect("a folder");
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shop/axe/package.json");
    std::fs::copy(package, folder.join("package.json")).expect("it is copied");
    let install = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    match Command::new("npm").args(install).current_dir(&folder).status() {
        Ok(status) if status.success() => {}
        Ok(_) => return skipped("npm can't install axe-core"),
        Err(_) => return skipped("npm is not installed (Node.js 20 or newer)"),
    }
    Some(std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).expect("it is there"))
}

async fn assert_accessible(page: &Client, axe: &str, what: &str) {
    until_still(page).await;
    run(page, axe).await;
    let script = "const done = arguments[0];
        axe.run({ resultTypes: ['violations'] }).then(({ violations }) => done(violations.map(({ id, help, nodes }) =>
            `${id}: ${help}: ${nodes.map((node) => node.html).join(' ')}`)), (error) => done([String(error)]))";
    let found = page.execute_async(script, Vec::new()).await.expect("the script runs");
    assert_eq!(found, json!([]), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b14_axe_finds_nothing() {
    let Some((driver, _folder, shop)) = start().await else { return };
    let Some(axe) = axe() else { return };
    for (user, width, is_dark) in
        [("ada", 1280, false), ("grace", 1280, true), ("alan", 390, false), ("alan", 390, true)]
    {
        let page = open(&driver, shop.port, user, width, is_dark).await;
        let what = format!("{width} px, dark: {is_dark}");
        assert_accessible(&page, &axe, &format!("{what}, at first")).await;
        let order = shop.order(user, "mug", 1).await.expect("it answers");
        assert_eq!(shop.pay(user, &order).await, Some(204));
        shop.order(user, "tote", 2).await.expect("it answers");
        shop.order(user, "book", 9).await.expect("it answers");
        click(&page, "#break").await;
        let failed = "!!document.querySelector('#timeline [data-handler=fragile][data-state=failed]')";
        until(&page, failed, json!(true)).await;
        until(&page, "document.querySelectorAll('#orders li').length >= 3", json!(true)).await;
        assert_accessible(&page, &axe, &what).await;
        click(&page, "#tab-history").await;
        assert_accessible(&page, &axe, &format!("{what}, its history")).await;
        page.goto(&format!("http://127.0.0.1:{}/?user=mallory", shop.port)).await.expect("the page opens");
        assert_accessible(&page, &axe, &format!("{what}, of nobody")).await;
        picture(&page, &format!("nobody-{width}-{}", if is_dark { "dark" } else { "light" })).await;
        page.close().await.expect("it closes");
    }
}
