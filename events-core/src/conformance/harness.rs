//! What the author of an adapter says of it.

use std::fmt;
use std::time::Duration;

use crate::adapter::Adapter;
use crate::id::{EventId, InstanceId};
use crate::time::Timestamp;

/// Makes places and adapters to try.
///
/// A *place* is what instances share: a file, a folder, a database, a stream. Everything opened on one place must
/// see the same events, and nothing of any other place.
pub trait Harness: Send + Sync + 'static {
    /// What is tried.
    type Adapter: Adapter;
    /// What adapters are opened on. Dropped when a case is over, after its buses have stopped.
    type Store: Send + Sync + 'static;

    /// What the engine, and this harness, can do. Cases that need anything else are skipped, and the report says so.
    fn abilities(&self) -> Vec<Ability>;

    /// A new, empty place.
    fn fresh(&self) -> impl Future<Output = Result<Self::Store, String>> + Send;

    /// A new instance on a place: as another process would open it.
    fn adapter(&self, store: &Self::Store) -> Self::Adapter;

    /// Puts a text into the log of a place behind the adapter's back, with what an adapter knows of a record
    /// besides: for [`Ability::Append`]. Instances may be open, and must find it like any other record.
    fn append(
        &self,
        store: &Self::Store,
        external: ExternalRecord,
    ) -> impl Future<Output = Result<(), String>> + Send {
        let _ = (store, external);
        async { Err("this harness can't append".to_owned()) }
    }

    /// How much is tried.
    fn scale(&self) -> Scale {
        Scale::default()
    }
}

/// What cases may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// What one instance publishes reaches the live handlers of the others.
    Joins,
    /// [`Adapter::keeps_history`], and all instances on a place read the same.
    History,
    /// A record whose id is kept is not kept twice, and [`Published`](crate::Published) says so.
    Deduplication,
    /// [`Adapter::durable`].
    Durable,
    /// [`Harness::append`].
    Append,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joins => "joining instances",
            Self::History => "a history",
            Self::Deduplication => "deduplication",
            Self::Durable => "durable consumers",
            Self::Append => "appending foreign texts",
        })
    }
}

/// A record as another program may have stored it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExternalRecord {
    /// The id of the event.
    pub event: EventId,
    /// Its name.
    pub name: String,
    /// The version of its shape.
    pub version: u32,
    /// When it was stored.
    pub time: Timestamp,
    /// The instance that emitted it.
    pub origin: InstanceId,
    /// What stands in the log: a CloudEvent with attributes of the future, or no CloudEvent at all.
    pub text: String,
}

/// How much is tried, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scale {
    /// How many buses listen at the same time; 50 by default.
    pub subscribers: usize,
    /// How many events each of them gets; 5,000 by default.
    pub events: usize,
    /// How many tasks publish at the same time; 20 by default.
    pub publishers: usize,
    /// How many events each of them publishes; 10,000 by default.
    pub events_each: usize,
    /// Of how many keys events are to keep their order; 16 by default.
    pub keys: usize,
    /// How many events there are of each key; 1,000 by default.
    pub events_of_key: usize,
    /// The lease of consumers whose instance dies; 500 ms by default.
    pub lease: Duration,
    /// How long a case waits for what must come, without any progress; 30 s by default.
    pub timeout: Duration,
    /// How long a case may take; 5 minutes by default.
    pub limit: Duration,
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            subscribers: 50,
            events: 5_000,
            publishers: 20,
            events_each: 10_000,
            keys: 16,
            events_of_key: 1_000,
            lease: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
            limit: Duration::from_secs(5 * 60),
        }
    }
}

impl Scale {
    /// One of `n` events, at least one of each kind, with as many buses, tasks and keys: for a run while one works.
    pub fn one_of(mut self, n: usize) -> Self {
        for events in [&mut self.events, &mut self.events_each, &mut self.events_of_key] {
            *events = (*events / n.max(1)).max(1);
        }
        self
    }

    /// About a hundredth of the default: while an adapter is being written.
    pub fn small() -> Self {
        Self {
            subscribers: 5,
            events: 100,
            publishers: 4,
            events_each: 100,
            events_of_key: 20,
            ..Self::default()
        }
    }
}
