//! Servers that are killed and connections that are cut lose nothing that was acknowledged.
//!
//! `OUTAGE_EVENTS` (100,000 at full size), `OUTAGE_KILLS` (50) and `OUTAGE_CUTS` (100) set the size of the test.

use std::process::Stdio;
use std::time::Duration;

use redis_tests::{Proxy, Random, Server, size};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use typed_events::Bus;
use typed_events::redis::Redis;

/// Maximum time without progress.
const TIMEOUT: Duration = Duration::from_secs(60);

fn node(proxy: &Proxy, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut node = Command::new(env!("CARGO_BIN_EXE_node"))
        .arg(format!("redis://127.0.0.1:{}", proxy.port()))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a node starts");
    let lines = BufReader::new(node.stdout.take().expect("it is piped")).lines();
    (node, lines)
}

/// The faults of the server and of its connections.
#[derive(Clone, Copy)]
enum Outage {
    Kill,
    Cut,
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_lose_nothing_that_was_acknowledged() {
    let Some(mut server) = Server::start_durable() else { return };
    let (events, mut random) = (size("OUTAGE_EVENTS", 10_000), Random::printed("outages"));
    let (kills, cuts) = (size("OUTAGE_KILLS", 5), size("OUTAGE_CUTS", 10));
    let (proxy, began) = (Proxy::to(server.port()).await, Instant::now());

    let (handled, mut handling) = mpsc::channel(1024);
    let consumers = [(); 2].map(|()| {
        let (node, mut lines) = node(&proxy, &["consume"]);
        let handled = handled.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                handled.send(line.parse::<usize>().expect("a number")).await.expect("somebody counts");
            }
        });
        node
    });
    let half = (events / 2).to_string();
    let publishers = [node(&proxy, &["publish", "0", &half]), node(&proxy, &["publish", &half, &half])];

    let mut outages = [vec![Outage::Kill; kills], vec![Outage::Cut; cuts]].concat();
    random.shuffle(&mut outages);
    let (every, mut counts, mut distinct) = (events / (outages.len() + 1), vec![0_u32; events], 0);
    while distinct < events {
        let number = timeout(TIMEOUT, handling.recv())
            .await
            .unwrap_or_else(|_| panic!("{distinct} of {events} handled, and no more"));
        let number = number.expect("consumers live");
        counts[number] += 1;
        distinct += usize::from(counts[number] == 1);
        if distinct % every == 0 && counts[number] == 1 {
            match outages.pop() {
                Some(Outage::Kill) => {
                    server.kill();
                    server.restart();
                }
                Some(Outage::Cut) if random.below(2) == 0 => proxy.cut_all(),
                Some(Outage::Cut) => proxy.cut(random.below(1000) as usize),
                None => {}
            }
        }
    }
    assert!(outages.is_empty(), "the work was done before {} outages", outages.len());

    for (mut node, mut lines) in publishers {
        let said =
            timeout(TIMEOUT, lines.next_line()).await.expect("it ends").expect("it says so").expect("a line");
        assert!(node.wait().await.expect("it ends").success());
        println!("a publisher: {said}");
    }
    for mut node in consumers {
        drop(node.stdin.take());
        assert!(timeout(TIMEOUT, node.wait()).await.expect("it ends").expect("it ends").success());
    }
    // Events that were being handled when the last new one was counted.
    drop(handled);
    while let Some(number) = handling.recv().await {
        counts[number] += 1;
    }

    let bus = Bus::builder().adapter(Redis::at(server.url())).build().await.expect("it opens");
    let status = bus.consumer("tally").status().await.expect("it is known");
    assert_eq!((status.lag, status.dead), (0, 0), "{status}");
    let kept = bus.history("*").limit(usize::MAX).await.expect("it is read");
    assert_eq!(kept.len(), events, "each event is in the log once");
    let more = counts.iter().filter(|&&count| count > 1).count();
    let most = counts.iter().max().expect("there are some");
    println!(
        "{kills} kills and {cuts} cuts in {:.0} s: {events} events acknowledged, 0 lost; {more} handled more than once, \
         at most {most} times",
        began.elapsed().as_secs_f64()
    );
}
