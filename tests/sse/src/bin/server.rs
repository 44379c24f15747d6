//! A server with a bridge, which emits when it is told to. It prints its port; then each line of its input is how many
//! events to emit, and how many a second, and for each it prints the median time of an emit, in nanoseconds, and the
//! memory of the process, in KiB.

use std::time::Duration;

use sse_tests::{Written, app, is_for};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval};
use typed_events::Bus;
use typed_events::axum::SseBridge;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::builder().build().await?;
    let bridge = SseBridge::new(&bus, "note.*", is_for).most_clients_of_a_user(10_000).build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tokio::spawn(axum::serve(listener, app(&bridge)).into_future());

    let (mut lines, mut number) = (BufReader::new(stdin()).lines(), 0);
    while let Some(line) = lines.next_line().await? {
        let (count, rate) = line.split_once(' ').ok_or("two numbers")?;
        let (count, rate): (u64, u32) = (count.parse()?, rate.parse()?);
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut times = vec![0];
        for _ in 0..count {
            ticks.tick().await;
            number += 1;
            let begun = Instant::now();
            bus.emit(Written::to("", number)).await?;
            times.push(begun.elapsed().as_nanos());
        }
        times.sort_unstable();
        println!("{} {} {}", times[times.len() / 2], memory()?, bridge.clients());
    }
    Ok(())
}

/// The memory that is resident, in KiB; 0 where the system does not say.
fn memory() -> std::io::Result<u64> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(0) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    Ok(number.unwrap_or(0))
}
