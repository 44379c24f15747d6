//! The description of an adapter for the conformance tests.

use std::fmt;
use std::time::Duration;

use crate::adapter::Adapter;
use crate::id::{EventId, InstanceId};
use crate::time::Timestamp;

/// Creates the stores and adapters that are tested.
///
/// A *store* is the storage that instances share: a file, a folder, a database, a stream. All adapters opened
/// on one store must see the same events, and no events of another store.
pub trait Harness: Send + Sync + 'static {
    /// The adapter that is tested.
    type Adapter: Adapter;
    /// The store that adapters are opened on. It is dropped after a case has ended and its buses have
    /// stopped.
    type Store: Send + Sync + 'static;

    /// What the engine and this harness support. Cases that need another ability are skipped, and the report
    /// lists them as skipped.
    fn abilities(&self) -> Vec<Ability>;

    /// Creates a new, empty store.
    ///
    /// # Errors
    ///
    /// Returns the cause if the store can't be created. The case then fails.
    fn fresh(&self) -> impl Future<Output = Result<Self::Store, String>> + Send;

    /// Opens a new instance on a store, as another process would open it.
    fn adapter(&self, store: &Self::Store) -> Self::Adapter;

    /// Appends a text to the log of a store without using the adapter, as another program would. `external`
    /// contains the text and the data about the record that an adapter stores with it. Instances may be open,
    /// and must read the text like any other record. Needed for [`Ability::Append`].
    ///
    /// # Errors
    ///
    /// Returns the cause if the text can't be appended. The case then fails. The default implementation
    /// always fails.
    fn append(
        &self,
        store: &Self::Store,
        external: ExternalRecord,
    ) -> impl Future<Output = Result<(), String>> + Send {
        let _ = (store, external);
        async { Err("this harness can't append".to_owned()) }
    }

    /// Number of events and time limits of the cases. The default is [`Scale::default`].
    fn scale(&self) -> Scale {
        Scale::default()
    }
}

/// An ability that a case may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// Events that one instance publishes reach the live handlers of the other instances.
    Joins,
    /// [`Adapter::keeps_history`] is true, and all instances on a store read the same history.
    History,
    /// A record whose id is already stored is not stored again, and [`Published`](crate::Published) reports
    /// it as a duplicate.
    Deduplication,
    /// [`Adapter::durable`] returns the durable side of the adapter.
    Durable,
    /// [`Harness::append`] is implemented.
    Append,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joins => "joining instances",
            Self::History => "a history",
            Self::Deduplication => "deduplication",
            Self::Durable => "durable consumers",
            Self::Append => "appending external records",
        })
    }
}

/// A record as another program may have stored it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExternalRecord {
    /// Id of the event.
    pub event: EventId,
    /// Name of the event.
    pub name: String,
    /// Version of the event's schema.
    pub version: u32,
    /// Time at which the record was stored.
    pub time: Timestamp,
    /// Instance that emitted the event.
    pub origin: InstanceId,
    /// Text to append to the log: a CloudEvent with unknown attributes, or a text that is no CloudEvent.
    pub text: String,
}

/// Number of events and time limits of the cases.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scale {
    /// Number of buses that receive events concurrently. The default is 50.
    pub subscribers: usize,
    /// Number of events that each of these buses receives. The default is 5,000.
    pub events: usize,
    /// Number of tasks that publish concurrently. The default is 20.
    pub publishers: usize,
    /// Number of events that each of these tasks publishes. The default is 10,000.
    pub events_each: usize,
    /// Number of keys in the test of ordered handling. The default is 16.
    pub keys: usize,
    /// Number of events of each key. The default is 1,000.
    pub events_of_key: usize,
    /// Lease of consumers in tests where an instance stops without reporting. The default is 500 ms.
    pub lease: Duration,
    /// Maximum time that a case waits without any progress. The default is 30 s.
    pub timeout: Duration,
    /// Maximum duration of a case. The default is 5 minutes.
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
    /// Divides the numbers of events by `n`, but keeps at least one event of each kind. The numbers of buses,
    /// tasks and keys and the time limits stay the same. Use it for faster runs during development.
    pub fn one_of(mut self, n: usize) -> Self {
        for events in [&mut self.events, &mut self.events_each, &mut self.events_of_key] {
            *events = (*events / n.max(1)).max(1);
        }
        self
    }

    /// About a hundredth of the default events, for use while an adapter is being written.
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
