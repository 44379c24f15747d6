//! A server with a bridge, which emits when it is told to. It prints its port; then each line of its input is how many
//! events to emit, how many a second, and how many bytes of text each has; and for each it prints the median time of an
//! emit, in nanoseconds, the memory of the process, in KiB, and how many clients are connected.
//!
//! `SSE_HISTORY` (1,000) says how many events are kept, and `SSE_HISTORY_BYTES` (64 MiB) in how much memory.

use std::time::Duration;

use sse_tests::app;
use tests_support::size;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval};
use typed_events::axum::SseBridge;
use typed_events::{Bus, event};

#[event("load.noted")]
pub struct Noted {
    pub number: u64,
    pub text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (events, bytes) = (size("SSE_HISTORY", 1_000), size("SSE_HISTORY_BYTES", 64 << 20));
    let bus = Bus::builder().history(events).history_bytes(bytes).build().await?;
    let bridge = SseBridge::new(&bus, "load.*", |_, _| true).max_clients_per_user(10_000).build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tokio::spawn(axum::serve(listener, app(&bridge)).into_future());

    let (mut lines, mut number) = (BufReader::new(stdin()).lines(), 0);
    while let Some(line) = lines.next_line().await? {
        let numbers: Vec<u32> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [count, rate, bytes] = numbers[..] else { return Err("three numbers".into()) };
        let text = "x".repeat(bytes as usize);
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut times = vec![0];
        for _ in 0..count {
            ticks.tick().await;
            number += 1;
            let begun = Instant::now();
            bus.emit(Noted { number, text: text.clone() }).await?;
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
