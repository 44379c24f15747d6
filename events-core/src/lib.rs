//! The runtime of typed-events: names, patterns, schemas, records, the bus, and the adapter trait.
//!
//! Write programs against the `typed-events` crate, which adds the macros. Depend on this crate to
//! write an adapter: it changes least.

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
mod durable;
mod error;
mod event;
mod handler;
mod history;
mod id;
mod lent;
#[cfg(feature = "lock")]
mod lock;
mod locking;
#[cfg(feature = "in-memory")]
mod memory;
mod metadata;
mod pattern;
mod read_back;
mod record;
mod retention;
mod seal;
mod time;
mod version;
mod view;
mod wire;

use events_schema::{self as schema, contain, json, secret, text};

pub use adapter::{
    Adapter, AdapterError, BoxFuture, Claim, Claimed, Claims, Consumer, ConsumerStatus, Control, DeadLetter,
    DeadLetters, DurableAdapter, Finished, Inbox, Interest, LogId, LogPage, LogPosition, LogQuery, Outcome,
    Published, Start, Transaction,
};
pub use bus::{
    Bus, BusBuilder, ConsumerHandle, Context, Emit, Emitted, EventStream, Failure, HandlerInfo, Lagged,
    SetStream, Settled, Stats, StopDeferral, Subscription, SubscriptionGuard, TypedStream,
};
pub use catalog::{Catalog, EventEntry, HandlerEntry, catalog};
pub use durable::{Durable, Nulls, StartAt};
pub use error::{Error, ErrorKind};
pub use event::Event;
pub use events_schema::{
    EnumSchema, FieldSchema, Keeps, Misfit, NamedRef, NamedSchema, Presence, Schema, StructSchema, Tag,
    TypeSchema, VariantSchema,
};
pub use futures_core::Stream;
pub use handler::{
    Argument, Delivery, EventHandler, EventSet, Handler, HandlerReturn, IntoHandler, ReturnError, SharedState,
};
pub use history::{Events, History, HistoryQuery, TypedHistory, Unreadable};
pub use id::{EventId, InstanceId, ParseIdError};
#[cfg(feature = "lock")]
pub use lock::Lock;
#[cfg(feature = "lock")]
pub use locking::Compatibility;
#[cfg(feature = "in-memory")]
pub use memory::Memory;
pub use metadata::Metadata;
pub use pattern::{MAX_NAME_BYTES, MAX_SEGMENTS, Pattern, SyntaxError, check_name};
pub use record::{Draft, Record};
pub use retention::Retention;
pub use seal::{Plain, Seal};
pub use time::{ParseTimestampError, Timestamp};
pub use version::{PastEvent, Upcast};
pub use view::View;
pub use wire::Wire;
