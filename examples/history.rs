//! Reading the history, replaying it, and streaming events: `cargo run --example history`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use typed_events::{Bus, event};

#[event("account.deposited")]
pub struct Deposited {
    pub cents: u64,
}

#[event("account.closed")]
pub struct Closed;

static BALANCE: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    // Without an adapter, the bus keeps the newest events in memory: 1,000 by default, here 100.
    let bus = Bus::builder().history(100).build().await?;

    for cents in [500, 250, 1000] {
        bus.emit(Deposited { cents }).await?;
    }
    let noon = bus.history("*").await?[1].timestamp();
    bus.emit(Closed).await?;

    println!("the last two events:");
    for record in bus.history("*").limit(2).await? {
        println!("  {record}");
    }

    println!("deposits since the second one, typed:");
    for deposit in bus.history("account.*").since(noon).of::<Deposited>().await? {
        println!("  {} cents", deposit.cents);
    }

    // A handler can be registered late and handle past events first, then new ones: one event at a time, none missing
    // and none twice.
    bus.replay(100)
        .on(|deposit: &Deposited| {
            BALANCE.fetch_add(deposit.cents, Relaxed);
        })
        .await?;
    println!("the late handler has caught up: {} cents", BALANCE.load(Relaxed));
    bus.emit(Deposited { cents: 7 }).await?;
    println!("and gets new events: {} cents", BALANCE.load(Relaxed));

    // A stream returns new events in the order of the history. Emits never wait for it. A stream that falls too far
    // behind reports how many events it lost.
    let mut stream = bus.stream("account.*")?;
    bus.emit(Deposited { cents: 1 }).await?;
    bus.emit(Closed).await?;
    bus.stop().await?; // ends the stream after its last event
    while let Some(next) = stream.next().await {
        match next {
            Ok(record) => println!("streamed: {record}"),
            Err(lagged) => println!("{lagged}"),
        }
    }
    Ok(())
}
