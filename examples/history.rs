//! Looking back, and catching up: `cargo run --example history`.

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
    // The last 1000 events are kept in memory unless said otherwise.
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

    // A handler that comes late can see the past first: one event at a time, none missing, none
    // twice, and then the new ones.
    bus.replay(100)
        .on(|deposit: &Deposited| {
            BALANCE.fetch_add(deposit.cents, Relaxed);
        })
        .await?;
    println!("the late handler has caught up: {} cents", BALANCE.load(Relaxed));
    bus.emit(Deposited { cents: 7 }).await?;
    println!("and follows: {} cents", BALANCE.load(Relaxed));

    // A stream gives new events to a loop, in the history's order. Emits never wait for it; if it
    // falls too far behind, it is told how many it lost.
    let mut stream = bus.stream("account.*")?;
    bus.emit(Deposited { cents: 1 }).await?;
    bus.emit(Closed).await?;
    bus.stop().await?; // ends the stream when all is read
    while let Some(next) = stream.next().await {
        match next {
            Ok(record) => println!("streamed: {record}"),
            Err(lagged) => println!("{lagged}"),
        }
    }
    Ok(())
}
