//! One of the processes that share a Redis server.
//!
//! Its arguments are the server's address, and `publish` with the first number and how many, or `consume`: then each
//! number that its durable handler gets is a line of its output, until its input is closed.

use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use typed_events::redis::Redis;
use typed_events::{Bus, EventId, event, on};

/// How many events are emitted at a time.
const AT_A_TIME: usize = 64;

#[event("node.numbered")]
pub struct Numbered {
    /// Given once.
    pub number: u64,
}

#[on(durable = "tally", concurrency = 64, from = "start")]
fn tally(numbered: &Numbered) {
    println!("{}", numbered.number);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("the arguments are as it says above");
    let builder = Bus::builder().adapter(Redis::at(next()?));
    match next()?.as_str() {
        "publish" => {
            let (first, count): (u64, u64) = (next()?.parse()?, next()?.parse()?);
            publish(builder.build().await?, first, count).await
        }
        _ => {
            let bus = builder.handler::<tally>().build().await?;
            tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
            Ok(bus.stop().await?)
        }
    }
}

async fn publish(bus: Bus, first: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let (next, failed) = (Arc::new(AtomicU64::new(first)), Arc::new(AtomicU64::new(0)));
    let emitting: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let (bus, next, failed) = (bus.clone(), Arc::clone(&next), Arc::clone(&failed));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + count {
                        return;
                    }
                    // Until it is acknowledged: the id makes it one event, however often it is tried.
                    let id = EventId::new();
                    while bus.emit(Numbered { number }).id(id).await.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for task in emitting {
        task.await?;
    }
    bus.stop().await?;
    println!("{} emits failed and were repeated", failed.load(Ordering::Relaxed));
    Ok(())
}
