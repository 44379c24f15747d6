#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use events_core::{
    Bus, BusBuilder, Delivery, Emit, Emitted, Error, ErrorKind, Event, EventContext, EventId, EventSet,
    Failure, Metadata, Pattern, Record, Retention, Schema, Stats, Subscription, SubscriptionGuard, Timestamp,
    Upcast, View, catalog,
};
#[cfg(feature = "durable")]
pub use events_core::{DurableOptions, StartAt};
#[cfg(feature = "lock")]
pub use events_macros::schema_lock;
pub use events_macros::{EventSet, Schema, event, on, payload};

/// Everything that an [`Adapter`](adapter::Adapter) is written with, or, under the feature `durable`, a `DurableAdapter`.
pub mod adapter {
    #[cfg(feature = "in-memory")]
    pub use events_core::InMemory;
    #[doc(no_inline)]
    pub use events_core::InstanceId;
    pub use events_core::{
        Adapter, AdapterError, BoxFuture, Draft, HistoryQuery, LogId, LogPage, LogPosition, LogQuery,
        Published, Receiver, RecordCodec, Start,
    };
    #[cfg(feature = "durable")]
    #[doc(no_inline)]
    pub use events_core::{ConsumerStatus, DeadLetter, DeadLetters};
    #[cfg(feature = "durable")]
    pub use events_core::{DurableAdapter, Transaction, durable, store};
}

/// The less common emits, and what lets a stop wait.
pub mod bus {
    #[cfg(feature = "durable")]
    pub use events_core::EmitIn;
    pub use events_core::{EmitJson, StopDeferral};
}

/// The events, types and handlers that a program links: see [`catalog()`].
pub mod catalog {
    #[doc(no_inline)]
    pub use events_core::catalog;
    pub use events_core::{Catalog, EventEntry, HandlerEntry};
}

/// Durable consumers, as operators see them: see [`Bus::consumer`].
#[cfg(feature = "durable")]
pub mod consumer {
    pub use events_core::{
        ConsumerHandle, ConsumerStatus, DeadLetter, DeadLetters, ForgetPattern, Nulls, Settled,
    };
}

/// What a handler may be, take and return, and how it is registered.
pub mod handler {
    pub use events_core::{
        Argument, EventHandler, Handler, HandlerInfo, HandlerReturn, IntoHandler, OnPattern, OnPatternReplay,
        OnReplay, ReturnError, SharedState,
    };
}

/// Events that were emitted before: see [`Bus::history`].
pub mod history {
    pub use events_core::{Events, History, TypedHistory, Unreadable};
}

/// The schema lock: see [`SchemaLock`](lock::SchemaLock).
#[cfg(feature = "lock")]
pub mod lock {
    pub use events_core::{Compatibility, SchemaLock};
}

/// The rules and limits of names and patterns.
pub mod pattern {
    #[doc(no_inline)]
    pub use events_core::Pattern;
    pub use events_core::{MAX_NAME_BYTES, MAX_SEGMENTS, PatternError, check_name};
}

/// Ids and times of records, and errors of parsing and converting them.
pub mod record {
    #[doc(no_inline)]
    pub use events_core::{EventId, Metadata, Record, Timestamp};
    pub use events_core::{InstanceId, ParseIdError, ParseTimestampError, TimestampRangeError};
}

/// The shape of a type as serde writes and reads it, and versions of events.
pub mod schema {
    pub use events_core::{
        EnumSchema, FieldSchema, Keeps, NamedRef, NamedSchema, PastEvent, Presence, SchemaMismatch,
        StructSchema, Tag, TypeSchema, VariantSchema,
    };
    #[doc(no_inline)]
    pub use events_core::{Schema, Upcast};
}

/// How an adapter stores secrets: see [`Seal`](secret::Seal).
pub mod secret {
    pub use events_core::{Plain, Seal};
}

/// Events as they come: see [`Bus::stream`].
pub mod stream {
    pub use events_core::{EventStream, Lagged, SetStream, Stream, TypedStream};
}

/// The [catalog](catalog()) in the languages of others.
#[cfg(feature = "export")]
pub mod export {
    pub use events_export::{
        AsyncApi, AsyncApiVersion, BigIntegers, NoBigIntegers, Side, TypeScript, async_api, json_schema,
        main, markdown, mermaid, typescript,
    };
}

/// The tests every adapter has to pass: see [`run`](conformance::run).
#[cfg(feature = "conformance")]
pub mod conformance {
    pub use events_core::conformance::{
        Ability, CaseOutcome, CaseReport, ExternalRecord, Harness, Report, Scale, run, run_only,
    };
}

/// Events in the browser.
#[cfg(feature = "axum")]
pub mod axum {
    pub use events_axum::{ErrorResponse, LastEventId, SseBridge, SseBuilder, SseRefused, defer_stop};
}

/// The adapter on Redis.
#[cfg(feature = "redis")]
pub mod redis {
    pub use events_redis::{Channels, Redis};
}

/// The adapter on SQLite.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    pub use events_sqlite::{Sqlite, Synchronous};
}

/// Help for tests.
#[cfg(feature = "testing")]
pub mod testing {
    pub use events_testing::{TestBus, TestError, assert_round_trip};
}

/// `#[event]` and `#[on]` for what is under the [lock](lock::SchemaLock): `use typed_events::locked::{event, on};`.
#[cfg(feature = "lock")]
pub mod locked {
    #[doc(inline)]
    pub use events_macros::{locked_event as event, locked_on as on};
}

#[doc(hidden)]
pub mod __private {
    pub use events_core::__private::*;
    pub use serde;

    pub use events_macros::{__Event, __Redact, __Secret, __View, Schema};
}
