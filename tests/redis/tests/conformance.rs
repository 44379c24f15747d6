//! Runs the conformance suite on Redis.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use events_core::conformance::{Ability, ExternalRecord, Harness, Scale, run_only};
use redis_tests::Server;
use typed_events::redis::Redis;

struct OnServer {
    server: Server,
    places: AtomicUsize,
}

impl Harness for OnServer {
    type Adapter = Redis;
    /// The prefix of the keys of a log.
    type Store = String;

    /// Returns the full size with `TESTS_FULL`, else a fifth of it.
    fn scale(&self) -> Scale {
        match std::env::var_os("TESTS_FULL") {
            Some(_) => Scale::default(),
            None => Scale::default().one_of(5),
        }
    }

    fn abilities(&self) -> Vec<Ability> {
        use Ability::*;
        vec![Joins, History, Deduplication, Durable, Append]
    }

    async fn fresh(&self) -> Result<String, String> {
        Ok(format!("{{place {}}}", self.places.fetch_add(1, Ordering::Relaxed)))
    }

    fn adapter(&self, store: &String) -> Redis {
        Redis::at(self.server.url()).prefix(store).poll(Duration::from_millis(100))
    }

    async fn append(&self, store: &String, external: ExternalRecord) -> Result<(), String> {
        append(&self.server.url(), store, &external).await.map_err(|error| error.to_string())
    }
}

/// Adds an entry as the adapter would.
async fn append(url: &str, prefix: &str, external: &ExternalRecord) -> redis::RedisResult<()> {
    let script = redis::Script::new(
        "local last = redis.call('HINCRBY', KEYS[1] .. ':meta', 'last', 1)
         redis.call('XADD', KEYS[1] .. ':log', last .. '-' .. ARGV[2], 'head', ARGV[3], 'text', ARGV[4])
         redis.call('HSET', KEYS[1] .. ':ids', ARGV[1], last)
         redis.call('PUBLISH', KEYS[1] .. ':notify', '')",
    );
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut call = script.key(prefix);
    let ExternalRecord { event, name, version, time, origin, text, .. } = external;
    call.arg(event.to_string()).arg(time.as_micros());
    call.arg(format!("{event} {version} {origin} {name}")).arg(text);
    call.invoke_async(&mut connection).await
}

/// `CONFORMANCE_ROUNDS` sets how often the suite runs (default: once). `CONFORMANCE_ONLY` selects cases by a part of
/// their names.
#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms() {
    let rounds = std::env::var("CONFORMANCE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    for round in 1..=rounds {
        let Some(server) = Server::start() else { return };
        let report = run_only(OnServer { server, places: AtomicUsize::new(0) }, &only).await;
        println!("round {round} of {rounds}\n{report}");
        report.assert_ok();
        let skipped = report.cases().iter().filter(|case| case.to_string().starts_with("skipped")).count();
        assert_eq!(skipped, 0, "Redis can do everything");
    }
}
