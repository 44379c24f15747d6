//! The runtime of typed-events: names, patterns, schemas, records, the bus, and the adapter trait.
//!
//! Write programs against the `typed-events` crate, which adds the macros. Depend on this crate to
//! write an adapter: it changes least.
//!
//! # Types of other crates
//!
//! The public API, including that of the other crates of typed-events, names only these types of other crates. Don't add
//! one without need: a new major version of that crate then requires a new major version of this one.
//!
//! | crate | what | where |
//! |---|---|---|
//! | serde | `Serialize`, `DeserializeOwned` | bounds of events, views and versions; impls for ids and times |
//! | futures-core | `Stream` | implemented by streams, and exported |
//! | serde_json | `Value` | the documents of `events-export` |
//! | chrono, jiff, time, uuid | times, `Uuid` | conversions and [`Schema`], each under a feature |
//! | bytes, rust_decimal, url | their types | [`Schema`], each under a feature |
//! | axum | responses, parts of requests | `events-axum` |
//! | sqlx | `SqliteConnection`, `Transaction` | [`Transaction`], under the feature `sqlx` of `events-sqlite` |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod adapter;
#[doc(hidden)]
pub mod bridge;
mod bus;
mod catalog;
mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod event;
mod id;
#[cfg(feature = "lock")]
mod lock;
mod log;
mod record;
mod time;

use events_schema as schema;
use events_schema::{json, panics, secret, text};

#[cfg(feature = "durable")]
pub use crate::adapter::consumer::Consumer;
/// The contract of durable delivery, for adapters.
#[cfg(feature = "durable")]
pub mod durable {
    pub use crate::adapter::durable::{
        Answer, Beat, Beaten, Caller, Changes, Claim, Claims, ConsumerId, Delivered, DurableAdapter,
        DurableError, EventFilter, Exchange, Exchanged, Incarnation, Kind, Knows, Letters, Operated,
        Operation, Order, Origin, Outcome, Position, RaiseIncarnation, ReadMark, ReadRecord, Refusal,
        Register, Registered, Report, SessionId, Settings, Terms, Token, Wanted, Window, matches_any,
    };
}
/// The store of durable delivery, for engines whose storage can be read and written within a call.
#[cfg(feature = "durable")]
pub mod store {
    pub use crate::adapter::kit::engine::{StoreCall, StoreEngine};
    pub use crate::adapter::kit::store::{
        Announced, Dead, Done, Header, KindId, KnownKind, LIMITS, Limits, Member, Meta, Micros, Move,
        MoveKind, Named, Profile, Progress, Row, Rows, Session, Store, StoredRecord, TrimLimit, Trimmed,
        Views,
    };
    pub use crate::adapter::kit::tables::{Tables, TablesLog};
}
#[cfg(feature = "durable")]
pub use crate::adapter::durable::{ConsumerStatus, DeadLetter, DeadLetters, DurableAdapter, Transaction};
pub use crate::adapter::log::{LogId, LogPage, LogPosition, LogQuery, Start};
#[cfg(feature = "in-memory")]
pub use crate::adapter::memory::InMemory;
#[cfg(feature = "durable")]
pub use crate::adapter::options::{DurableOptions, Nulls, StartAt};
pub use crate::adapter::query::HistoryQuery;
pub use crate::adapter::receiver::Receiver;
pub use crate::adapter::retention::Retention;
pub use crate::adapter::{Adapter, AdapterError, BoxFuture, Published};
pub use crate::bus::builder::BusBuilder;
#[cfg(feature = "durable")]
pub use crate::bus::durable::{
    operate::{ConsumerHandle, ForgetPattern},
    outbox::EmitIn,
    settled::Settled,
};
pub use crate::bus::emit::Emit;
pub use crate::bus::emit::emitted::Emitted;
pub use crate::bus::handlers::Handler;
pub use crate::bus::handlers::argument::Argument;
pub use crate::bus::handlers::closure::{EventHandler, IntoHandler};
pub use crate::bus::handlers::set::EventSet;
pub use crate::bus::handlers::state::SharedState;
pub use crate::bus::handlers::subscription::{HandlerInfo, OnPattern, Subscription, SubscriptionGuard};
pub use crate::bus::ingress::json::EmitJson;
pub use crate::bus::inner::call::Delivery;
pub use crate::bus::inner::context::EventContext;
pub use crate::bus::inner::failure::Failure;
pub use crate::bus::inner::in_flight::StopDeferral;
pub use crate::bus::inner::outcome::{HandlerReturn, ReturnError};
pub use crate::bus::inner::{Bus, Stats};
pub use crate::bus::read::history::{Events, History, TypedHistory, Unreadable};
pub use crate::bus::read::replay::{OnPatternReplay, OnReplay};
pub use crate::bus::read::stream::{EventStream, Lagged, SetStream, TypedStream};
pub use crate::catalog::{Catalog, EventEntry, HandlerEntry, catalog};
pub use crate::error::{Error, ErrorKind};
pub use crate::event::Event;
#[cfg(feature = "lock")]
pub use crate::event::locking::Compatibility;
pub use crate::event::pattern::{MAX_NAME_BYTES, MAX_SEGMENTS, Pattern, PatternError, check_name};
pub use crate::event::seal::{Plain, Seal};
pub use crate::event::version::{PastEvent, Upcast};
pub use crate::event::view::View;
pub use crate::id::{EventId, InstanceId, ParseIdError};
#[cfg(feature = "lock")]
pub use crate::lock::SchemaLock;
pub use crate::record::Record;
pub use crate::record::cloudevent::Draft;
pub use crate::record::codec::RecordCodec;
pub use crate::record::metadata::Metadata;
#[cfg(feature = "durable")]
#[doc(hidden)]
pub use crate::time::clock::TestClock;
pub use crate::time::convert::TimestampRangeError;
pub use crate::time::{ParseTimestampError, Timestamp};
pub use events_schema::{
    EnumSchema, FieldSchema, Keeps, NamedRef, NamedSchema, Presence, Schema, SchemaMismatch, StructSchema,
    Tag, TypeSchema, VariantSchema,
};
pub use futures_core::Stream;
