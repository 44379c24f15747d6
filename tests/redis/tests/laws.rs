//! The random runs of the model on Redis. The variables are those of the model's own runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use durable_model::engine::{Checked, Engine, SMALL, run};
use durable_model::search::random_runs_on;
use events_core::store::TrimLimit;
use events_core::{Adapter, Bus, Timestamp};
use redis_tests::Server;
use tests_support::Shared;
use typed_events::redis::Redis;

#[test]
fn redis_keeps_the_laws() {
    let Some(server) = Server::start() else { return };
    match random_runs_on(&Engine::new(Prefix::new(Arc::new(server))), 60) {
        Ok(done) => println!("{done}"),
        Err(broken) => panic!("{broken}"),
    }
}

/// A log that is open.
struct Prefix {
    server: Arc<Server>,
    prefix: String,
    redis: Arc<Redis>,
    /// Keeps the log open.
    _bus: Bus,
}

static PREFIXES: AtomicU64 = AtomicU64::new(0);

impl Prefix {
    fn new(server: Arc<Server>) -> Self {
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        Self::open(server, format!("{{{number}}}"))
    }

    fn open(server: Arc<Server>, prefix: String) -> Self {
        let redis = Arc::new(Redis::at(server.url()).prefix(&prefix).with_limits(SMALL));
        let bus =
            run(Bus::builder().adapter(Shared(Arc::clone(&redis))).quiet().build()).expect("the log opens");
        Self { server, prefix, redis, _bus: bus }
    }

    fn keys(&self, connection: &mut redis::Connection) -> Vec<String> {
        redis::cmd("KEYS").arg(format!("{}:*", self.prefix)).query(connection).expect("the keys")
    }

    fn connection(&self) -> redis::Connection {
        redis::Client::open(self.server.url())
            .and_then(|client| client.get_connection())
            .expect("a connection")
    }
}

impl Checked for Prefix {
    fn adapter(&self) -> &dyn Adapter {
        &*self.redis
    }

    fn empty(&self) -> Self {
        Self::new(Arc::clone(&self.server))
    }

    /// Nothing writes between two calls.
    fn copied(&self) -> Self {
        let prefix = format!("{{{}}}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        let mut connection = self.connection();
        for key in self.keys(&mut connection) {
            let to = format!("{prefix}{}", &key[self.prefix.len()..]);
            redis::cmd("COPY").arg(&key).arg(to).exec(&mut connection).expect("a copy");
        }
        Self::open(Arc::clone(&self.server), prefix)
    }

    fn trim(&self, now: Timestamp, limit: TrimLimit, past_consumers: bool) -> Timestamp {
        run(self.redis.trim(now, limit, past_consumers)).expect("the server answers").1
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let mut connection = self.connection();
        let keys = self.keys(&mut connection);
        redis::cmd("DEL").arg(&keys[..]).exec(&mut connection).expect("the server answers");
    }
}
