//! The parts of the shop, and how they are connected.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Sqlite, SqlitePool, Transaction};
use typed_events::axum::SseBridge;
use typed_events::redis::Redis;
use typed_events::{Bus, DurableOptions, ErrorKind, Record, sqlite};

use crate::events::NotificationCreated;
use crate::videos::{self, Jobs};

/// The error of a handler.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The users of the shop, instead of sessions.
pub const USERS: [&str; 3] = ["ada", "grace", "alan"];

/// The bus on which events are emitted. Its log is in the shop's database, so that events can be part of transactions.
#[derive(Clone)]
pub struct Outbox(Bus);

impl Deref for Outbox {
    type Target = Bus;

    fn deref(&self) -> &Bus {
        &self.0
    }
}

#[derive(Clone)]
pub struct Shop {
    pub db: SqlitePool,
    pub outbox: Outbox,
    /// The bus on which events are handled: on the same log, or on Redis if several instances are connected.
    pub bus: Bus,
    pub browsers: SseBridge<&'static str>,
    pub jobs: Jobs,
    /// Forwards events from the outbox to Redis.
    relay: Option<Bus>,
}

impl Shop {
    pub async fn open(file: &Path, redis: Option<&str>) -> Result<Self, Failure> {
        let db = open(file).await?;
        let jobs = videos::queue(&db).await?;
        let log = || sqlite::Sqlite::at(file);
        let outbox = Outbox(Bus::builder().adapter(log()).no_handlers().build().await?);
        let handlers = Bus::builder().state(db.clone()).state(outbox.clone()).state(jobs.clone()).discover();
        let (bus, relay) = match redis {
            None => (handlers.adapter(log()).build().await?, None),
            Some(url) => {
                let bus = handlers.adapter(Redis::at(url)).build().await?;
                (bus.clone(), Some(relay(log(), bus).await?))
            }
        };
        let browsers = SseBridge::by(&bus, "*", audience).build().await?;
        Ok(Self { db, outbox, bus, browsers, jobs, relay })
    }

    /// Waits for pending handlers, and closes the log.
    pub async fn close(self) -> Result<(), Failure> {
        if let Some(relay) = self.relay {
            relay.stop().await?;
        }
        self.bus.stop().await?;
        Ok(self.outbox.stop().await?)
    }
}

/// Builds a bus whose durable handler forwards every event of the outbox to `to`, one after the other, and retries each
/// until it is forwarded. (If several instances run it, two events may swap their order.)
async fn relay(log: sqlite::Sqlite, to: Bus) -> Result<Bus, Failure> {
    let durable = DurableOptions::new("relay").retries(u32::MAX).timeout(Duration::from_secs(24 * 60 * 60));
    let forward = move |record: &Record| {
        let (to, record) = (to.clone(), record.clone());
        async move {
            loop {
                match to.forward(&record).await {
                    Err(error) if error.kind() != ErrorKind::Stopped => {
                        eprintln!("can't forward an event, and tries again: {error}");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    done => return done.map(drop),
                }
            }
        }
    };
    Ok(Bus::builder().adapter(log).no_handlers().durable(durable, "*", forward).build().await?)
}

/// Returns the user with this name.
pub fn user(name: &str) -> Option<&'static str> {
    USERS.into_iter().find(|user| *user == name)
}

/// Returns the users that see an event. Notifications are private; all users see the other events, for demonstration.
pub fn audience(record: &Record) -> Vec<&'static str> {
    if record.name() != "notification.created" {
        return USERS.to_vec();
    }
    let notification = record.decode::<NotificationCreated>().ok();
    notification.and_then(|notification| user(&notification.user)).into_iter().collect()
}

/// Opens the database, and inserts the products.
async fn open(file: &Path) -> Result<SqlitePool, Failure> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(10));
    let db = SqlitePoolOptions::new().max_connections(8).connect_with(options).await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(&db).await?;
    Ok(db)
}

/// Begins a transaction that locks the database for writing at once, so that two transactions never deadlock.
pub async fn begin(db: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    db.begin_with("BEGIN IMMEDIATE").await
}
