//! Over Redis, patterns match as the matcher says, on each way that events are delivered.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redis_tests::{Random, Server, until};
use typed_events::adapter::Adapter;
use typed_events::redis::{Channels, Redis};
use typed_events::{Bus, Pattern, Record};

/// Number of names, and number of patterns.
const MANY: usize = 500;
const LAST: &str = "last.of.all";

/// Returns names or patterns of few segments, so that many patterns match names.
fn random_set(random: &mut Random, segments: &[&str]) -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    while made.len() < MANY {
        let length = 1 + random.below(5) as usize;
        let path: Vec<_> =
            (0..length).map(|_| segments[random.below(segments.len() as u64) as usize]).collect();
        made.insert(path.join("."));
    }
    made
}

async fn bus_on(adapter: impl Adapter) -> Bus {
    Bus::builder().adapter(adapter).accept_undeclared().quiet().build().await.unwrap()
}

async fn takes_what_the_matcher_says(from: Bus, to: Bus) {
    let mut random = Random::printed("patterns");
    let mut names = random_set(&mut random, &["user", "order", "created", "a", "B-2", "x_y", "typed-events"]);
    // Names that are reserved for the library can't be emitted.
    names.retain(|name| name.split('.').next() != Some("typed-events"));
    let patterns =
        random_set(&mut random, &["user", "order", "created", "a", "B-2", "*", "+", "*", "typed-events"]);

    let (taken, all_came) = (Arc::new(Mutex::new(HashSet::new())), Arc::new(AtomicBool::new(false)));
    for pattern in &patterns {
        let (taken, of) = (Arc::clone(&taken), pattern.clone());
        to.pattern(pattern)
            .on(move |record: &Record| {
                let is_new = taken.lock().unwrap().insert((of.clone(), record.name().to_owned()));
                assert!(is_new, "{of} got {} twice", record.name());
            })
            .unwrap();
    }
    let last = Arc::clone(&all_came);
    to.pattern(LAST).on(move |_: &Record| last.store(true, Ordering::Release)).unwrap();
    for name in names.iter().map(String::as_str).chain([LAST]) {
        from.emit_json(name, "{}").await.unwrap();
    }
    until(|| all_came.load(Ordering::Acquire)).await;

    let names = || names.iter().map(String::as_str).chain([LAST]);
    let takes = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
    let expected: HashSet<_> = patterns
        .iter()
        .flat_map(|pattern| names().map(move |name| (pattern.clone(), name.to_owned())))
        .filter(|(pattern, name)| takes(pattern, name))
        .collect();
    println!("{} of {} pairs meet", expected.len(), patterns.len() * names().count());
    assert!(expected.len() > 1_000);
    assert!(*taken.lock().unwrap() == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_log() {
    let Some(server) = Server::start() else { return };
    let (from, to) = (bus_on(Redis::at(server.url())).await, bus_on(Redis::at(server.url())).await);
    takes_what_the_matcher_says(from, to).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_channels() {
    let Some(server) = Server::start() else { return };
    let (from, to) = (bus_on(Channels::at(server.url())).await, bus_on(Channels::at(server.url())).await);
    takes_what_the_matcher_says(from, to).await;
}
