//! A newer release of the tests' program: it knows version 2 of their event.
//!
//! Its arguments are the file of the log, and `emit` with a number, or `handle`: then its durable handler
//! continues, and prints a line for each event.

use std::time::Duration;

use typed_events::sqlite::Sqlite;
use typed_events::{Bus, Delivery, Upcast, event, on};

/// Version 1, which the tests know.
#[event("ticket.opened", version = 1, superseded)]
pub struct OpenedV1 {
    /// A number that no other event has.
    pub number: u32,
    /// First and last name.
    pub who: String,
}

/// Version 2.
#[event("ticket.opened", version = 2, previous = OpenedV1)]
pub struct Opened {
    /// A number that no other event has.
    pub number: u32,
    /// The first name.
    pub first: String,
    /// The last name.
    pub last: String,
}

impl Upcast<OpenedV1> for Opened {
    fn upcast(old: OpenedV1) -> Self {
        let (first, last) = old.who.split_once(' ').unwrap_or((&old.who, ""));
        Self { number: old.number, first: first.to_owned(), last: last.to_owned() }
    }
}

#[on(durable = "seat", ordered_by = "last")]
fn seat(opened: &Opened, delivery: &Delivery) {
    println!("{} {}, {} (attempt {})", opened.number, opened.last, opened.first, delivery.attempt());
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("the arguments are as it says above");
    let builder = Bus::builder().adapter(Sqlite::at(next()?));
    match next()?.as_str() {
        "emit" => {
            let bus = builder.build().await?;
            let (first, last) = ("Grace".to_owned(), "Hopper".to_owned());
            bus.emit(Opened { number: next()?.parse()?, first, last }).await?;
            bus.stop().await?;
        }
        _ => {
            let bus = builder.handler::<seat>().build().await?;
            bus.consumer("seat").resume().await?;
            while bus.consumer("seat").status().await?.lag > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bus.stop().await?;
        }
    }
    Ok(())
}
