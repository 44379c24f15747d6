//! Throughput of events on Redis beside the bare client on the same runtime:
//! `cargo run --release -p durable-bench --bin redis [rounds [events]]`. `BENCH_ONLY=ordered` selects the measurements
//! whose names contain this text.
//!
//! Each figure is the median over all rounds. In each round, the library and the bare client take turns. `by server` is
//! the ratio of the server's processor time per event.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis_tests::Server;
use tokio::sync::Semaphore;
use typed_events::redis::Redis;
use typed_events::{Bus, DurableOptions, StartAt, event};

/// An event of about 200 bytes of JSON.
#[event("bench.stored")]
pub struct Stored {
    pub number: u64,
    pub text: String,
}

fn stored(number: u64) -> Stored {
    Stored { number, text: "x".repeat(170) }
}

/// Seconds, and seconds of the server's processor time.
#[derive(Clone, Copy)]
struct Cost {
    time: f64,
    server: f64,
}

struct Bench {
    server: Server,
    events: u64,
}

impl Bench {
    async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.server.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn clear(&self) {
        let () = redis::cmd("FLUSHALL").query_async(&mut self.connect().await).await.unwrap();
    }

    async fn processor(&self) -> f64 {
        let info: String =
            redis::cmd("INFO").arg("cpu").query_async(&mut self.connect().await).await.unwrap();
        let of = |field: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.trim_start_matches(':').parse::<f64>().unwrap()
        };
        of("used_cpu_user") + of("used_cpu_sys")
    }

    async fn measure(&self, work: impl Future<Output = ()>) -> Cost {
        let (before, start) = (self.processor().await, Instant::now());
        work.await;
        let time = start.elapsed().as_secs_f64();
        Cost { time, server: self.processor().await - before }
    }

    async fn bus(&self) -> Bus {
        let redis = Redis::at(self.server.url());
        Bus::builder().adapter(redis).history(0).quiet().build().await.unwrap()
    }

    /// Entries of six fields, each emitter one at a time.
    async fn bare_publish(&self, emitters: u64) -> Cost {
        self.clear().await;
        let (connection, each) = (self.connect().await, self.events / emitters);
        self.measure(async {
            let tasks = (0..emitters).map(|_| {
                let mut connection = connection.clone();
                tokio::spawn(async move {
                    for _ in 0..each {
                        add(&mut connection).await;
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        })
        .await
    }

    async fn publish(&self, emitters: u64) -> Cost {
        self.clear().await;
        let (bus, each) = (self.bus().await, self.events / emitters);
        let cost = self
            .measure(async {
                let tasks = (0..emitters).map(|emitter| {
                    let bus = bus.clone();
                    tokio::spawn(async move {
                        for n in 0..each {
                            bus.emit(stored(emitter * each + n)).await.unwrap();
                        }
                    })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await.unwrap();
                }
            })
            .await;
        bus.stop().await.unwrap();
        cost
    }

    /// A consumer group that reads and acknowledges as many entries at a time.
    async fn bare_deliver(&self, at_a_time: u64) -> Cost {
        self.clear().await;
        let mut connection = self.connect().await;
        for _ in 0..self.events / 500 {
            let mut pipe = redis::pipe();
            for _ in 0..500 {
                pipe.add_command(entry());
            }
            let _: Vec<String> = pipe.query_async(&mut connection).await.unwrap();
        }
        let () = redis::cmd("XGROUP")
            .arg(&["CREATE", "floor", "group", "0"])
            .query_async(&mut connection)
            .await
            .unwrap();
        self.measure(async {
            loop {
                let read: redis::streams::StreamReadReply = redis::cmd("XREADGROUP")
                    .arg(&["GROUP", "group", "one", "COUNT", &at_a_time.to_string(), "STREAMS", "floor", ">"])
                    .query_async(&mut connection)
                    .await
                    .unwrap();
                let Some(stream) = read.keys.first() else { return };
                let ids: Vec<_> = stream.ids.iter().map(|entry| entry.id.as_str()).collect();
                let _: u64 = redis::cmd("XACK")
                    .arg("floor")
                    .arg("group")
                    .arg(&ids)
                    .query_async(&mut connection)
                    .await
                    .unwrap();
            }
        })
        .await
    }

    async fn deliver(&self, at_a_time: u64, fails: u64, ordered: bool) -> Cost {
        self.clear().await;
        let from = self.bus().await;
        let events: Vec<_> = (0..self.events / 500).collect();
        for batch in events {
            from.emit_all((0..500).map(|n| stored(batch * 500 + n))).await.unwrap();
        }
        from.stop().await.unwrap();
        let done = Arc::new(Semaphore::new(0));
        let counts = Arc::clone(&done);
        let failed = Mutex::new(HashSet::new());
        let handler = move |event: &Stored| {
            if fails > 0 && event.number.is_multiple_of(fails) && failed.lock().unwrap().insert(event.number)
            {
                return Err("it fails once");
            }
            counts.add_permits(1);
            Ok(())
        };
        let options = DurableOptions::new("bench").concurrency(at_a_time as u32).from(StartAt::Start);
        let options = options.backoff(Duration::from_millis(10), Duration::from_millis(10));
        let options = if ordered { options.ordered_by("number") } else { options };
        let redis = Redis::at(self.server.url());
        let builder =
            Bus::builder().adapter(redis).history(0).quiet().durable(options, "bench.stored", handler);
        let events = self.events / 500 * 500;
        let mut bus = None;
        let cost = self
            .measure(async {
                bus = Some(builder.build().await.unwrap());
                done.acquire_many(events as u32).await.unwrap().forget();
            })
            .await;
        bus.unwrap().stop().await.unwrap();
        cost
    }
}

fn entry() -> redis::Cmd {
    let mut command = redis::cmd("XADD");
    command.arg("floor").arg("*");
    for field in ["name", "id", "time", "version", "origin"] {
        command.arg(field).arg("0193b3e2-7f5c-7cc2");
    }
    command.arg("event").arg("x".repeat(200));
    command
}

async fn add(connection: &mut MultiplexedConnection) {
    let _: String = entry().query_async(connection).await.unwrap();
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn report(what: &str, events: u64, pairs: &[(Cost, Cost)]) {
    let rate = median(pairs.iter().map(|(own, _)| events as f64 / own.time).collect());
    let ratio = median(pairs.iter().map(|(own, bare)| bare.time / own.time).collect());
    let server = median(pairs.iter().map(|(own, bare)| bare.server / own.server).collect());
    let busy = median(pairs.iter().map(|(own, _)| own.server / own.time).collect());
    println!("{what:36} {rate:>9.0}/s   ratio {ratio:.2}   by server {server:.2}   server busy {busy:.2}");
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().unwrap());
    let rounds = arguments.next().unwrap_or(5);
    let events = arguments.next().unwrap_or(50_000);
    let Some(server) = Server::start() else { return };
    let bench = Bench { server, events };
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    for emitters in [1, 16, 256] {
        let what = format!("publish, {emitters} emitters");
        if !what.contains(&only) {
            continue;
        }
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            pairs.push((bench.publish(emitters).await, bench.bare_publish(emitters).await));
        }
        report(&what, events, &pairs);
    }
    for (what, fails, ordered) in
        [("deliver", 0, false), ("deliver, 1 % retries", 100, false), ("deliver, ordered", 0, true)]
    {
        for at_a_time in [1, 16, 256] {
            let what = format!("{what}, {at_a_time} at a time");
            if !what.contains(&only) {
                continue;
            }
            let mut pairs = Vec::new();
            for _ in 0..rounds {
                pairs.push((
                    bench.deliver(at_a_time, fails, ordered).await,
                    bench.bare_deliver(at_a_time).await,
                ));
            }
            report(&what, events, &pairs);
        }
    }
}
