//! A durable handler that survives crashes: `cargo run --example durable --features sqlite`.
//!
//! A shop appends orders to a file, and a durable handler sends an invoice for each. The example runs the shop as a
//! separate process, kills it three times while it works (with SIGKILL, so it can't clean up), starts it again each
//! time, and counts orders and invoices.
//!
//! To kill the shop yourself at any moment, run this command as often as you like:
//! `cargo run --example durable --features sqlite -- shop orders.db`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use typed_events::sqlite::Sqlite;
use typed_events::{Bus, Event, event, on};

#[event("order.placed")]
pub struct OrderPlaced {
    pub number: u64,
    pub customer: u64,
}

// Each event is retried until the handler returns `Ok`, 3 attempts at most. The consumer in the file is named
// `send-invoice`, so the function can be renamed.
#[on(
    durable = "send-invoice",
    retries = 2,
    backoff = "10ms..100ms",
    concurrency = 4,
    ordered_by = "customer"
)]
async fn send_invoice(order: &OrderPlaced) -> Result<(), String> {
    if order.number == 13 {
        return Err("the customer has no address".into());
    }
    tokio::time::sleep(Duration::from_millis(5)).await; // prints the invoice
    println!("invoice {}", order.number);
    Ok(())
}

const ORDERS: u64 = 600;

/// Runs the shop: places the orders that are not in the file yet, and returns when all invoices are sent.
#[tokio::main]
async fn shop(file: &Path) -> Result<(), typed_events::Error> {
    let bus = Bus::builder()
        .adapter(Sqlite::at(file))
        .lease(Duration::from_millis(500)) // time after which events of a killed process are claimed again
        .handler::<send_invoice>()
        .quiet() // failures are counted below
        .build()
        .await?;
    println!("the file: {}", bus.consumer("send-invoice").status().await?);
    let newest = bus.history("order.placed").of::<OrderPlaced>().limit(1).await?;
    for number in newest.first().map_or(1, |order| order.number + 1)..=ORDERS {
        bus.emit(OrderPlaced { number, customer: number % 100 }).await?;
        println!("order {number}"); // the order is safe on disk
    }
    while bus.consumer("send-invoice").status().await?.lag > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("the file: {}", bus.consumer("send-invoice").status().await?);
    bus.stop().await
}

/// Runs the shop as a separate process, and kills it after the given number of output lines. Returns the lines.
fn run_and_kill(file: &Path, after: Option<usize>) -> Result<Vec<String>, Box<dyn Error>> {
    let mut shop = Command::new(std::env::current_exe()?);
    let mut shop = shop.arg("shop").arg(file).stdout(Stdio::piped()).spawn()?;
    let output = shop.stdout.take().ok_or("the shop has no output")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        lines.push(line?);
        if Some(lines.len()) == after {
            shop.kill()?; // lines that were printed before are still read
        }
    }
    let ended = shop.wait()?;
    match after {
        None if !ended.success() => Err(format!("the shop failed: {ended}").into()),
        Some(_) if ended.success() => Err("the shop finished before it was killed".into()),
        _ => Ok(lines),
    }
}

/// Compares the output of the shop with the file. Returns an error if an order is lost.
#[tokio::main]
async fn tally(file: &Path, printed: &[String]) -> Result<(), Box<dyn Error>> {
    let numbers = |what: &str| -> Vec<u64> {
        printed.iter().filter_map(|line| line.strip_prefix(what)?.parse().ok()).collect()
    };
    let placed = BTreeSet::from_iter(numbers("order "));
    let mut sent: BTreeMap<u64, u32> = BTreeMap::new();
    numbers("invoice ").into_iter().for_each(|number| *sent.entry(number).or_default() += 1);
    let again = sent.values().filter(|times| **times > 1).count();

    let bus = Bus::builder().adapter(Sqlite::at(file)).build().await?;
    let orders = bus.history(OrderPlaced::NAME).of::<OrderPlaced>().limit(usize::MAX).await?;
    let in_file = BTreeSet::from_iter(orders.iter().map(|order| order.number));
    let consumer = bus.consumer("send-invoice");
    let (lag, dead) = (consumer.status().await?.lag, consumer.dead_letters(10).await?);
    bus.stop().await?;

    // The file contains only orders, so order events begin at position 1.
    let order_at = |position: u64| orders.get(position as usize - 1).map(|order| order.number);
    let given_up = |number| dead.iter().any(|dead| order_at(dead.position) == Some(number));
    let not_stored = placed.difference(&in_file).count();
    let not_handled =
        in_file.iter().filter(|number| !sent.contains_key(number) && !given_up(**number)).count();
    println!();
    println!("  orders for which `emit` returned  {:4}", placed.len());
    println!("  orders in the file                {:4}", in_file.len());
    println!("  invoices sent                     {:4}, {again} of them more than once", sent.len());
    println!("  dead letters                      {:4}", dead.len());
    println!("  orders not handled yet            {lag:4}");
    println!("  orders lost                       {:4}", not_stored + not_handled);
    println!();
    for dead in dead {
        println!("  dead letter: {dead}");
    }
    match not_stored + not_handled + lag as usize {
        0 => Ok(()),
        _ => Err("orders were lost".into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [command, file] = &arguments[..]
        && command == "shop"
    {
        return Ok(shop(file.as_ref())?);
    }
    let folder = std::env::temp_dir().join(format!("typed-events-durable-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (file, mut printed) = (folder.join("orders.db"), Vec::new());
    for kill in [Some(150), Some(300), Some(400), None] {
        let lines = run_and_kill(&file, kill)?;
        let ended = if kill.is_some() { "was killed while it worked" } else { "finished" };
        println!("the shop started, printed {:3} lines, and {ended}", lines.len());
        printed.extend(lines);
    }
    tally(&file, &printed)?;
    Ok(std::fs::remove_dir_all(&folder)?)
}
