//! The README's example of a durable handler is this program: each line of it stands here, in its order, and between
//! them what it leaves out.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use typed_events::{Bus, event, on};

use typed_events::sqlite::Sqlite;

#[event("order.paid")]
pub struct OrderPaid {
    pub order: u64,
    pub customer: u64,
}

#[on(durable = "send-invoice", retries = 8, backoff = "1s..10m", ordered_by = "customer")]
async fn invoice(paid: &OrderPaid, printer: &Printer) -> Result<(), PrinterError> {
    printer.print(paid).await
}

#[derive(Debug)]
pub struct PrinterError;

impl fmt::Display for PrinterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no paper")
    }
}

#[derive(Default)]
pub struct Printer(AtomicU32);

impl Printer {
    async fn print(&self, paid: &OrderPaid) -> Result<(), PrinterError> {
        assert_eq!((paid.order, paid.customer), (7, 1));
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(PrinterError),
        }
    }
}

#[tokio::test]
async fn what_the_readme_says_of_durable_handlers_happens() -> Result<(), typed_events::Error> {
    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    let printer = Printer::default();
    let bus = Bus::builder().adapter(Sqlite::at("shop.db")).state(printer).discover().build().await?;
    bus.emit(OrderPaid { order: 7, customer: 1 }).await?; // safe on disk; the invoice follows
    let handled = async {
        while bus.consumer("send-invoice").status().await.is_ok_and(|status| status.lag > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), handled).await.expect("the invoice follows");
    let status = bus.consumer("send-invoice").status().await?;
    bus.consumer("send-invoice").dead_letters(10).await?; // also: replay, purge, pause, resume, seek, remove
    assert_eq!((status.lag, status.position, status.dead), (0, 1, 0));
    assert_eq!(bus.history("order.paid").await?.len(), 1);
    assert!(folder.path().join("shop.db").exists());
    bus.stop().await
}

#[test]
fn it_is_the_readmes() {
    let readme = include_str!("../../../README.md");
    let section = readme.split("## Handlers that must happen").nth(1).expect("there is the section");
    let block = section.split("```").nth(1).expect("it has a block");
    // However it is formatted.
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let program = squeezed(include_str!("readme.rs"));
    let mut rest = &program[..];
    for line in block.lines().skip(1).map(squeezed) {
        let found = rest.find(&line).unwrap_or_else(|| panic!("not here, or in another order: {line}"));
        rest = &rest[found + line.len()..];
    }
}
