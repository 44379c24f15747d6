#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use events_core::{
    Adapter, AdapterError, Argument, BoxFuture, Bus, BusBuilder, Delivery, Emit, Emitted, EnumSchema, Error,
    ErrorKind, Event, EventContext, EventHandler, EventId, EventSet, EventStream, Events, Failure,
    FieldSchema, Handler, HandlerInfo, HandlerReturn, History, HistoryQuery, InstanceId, IntoHandler, Lagged,
    MAX_NAME_BYTES, MAX_SEGMENTS, Metadata, NamedRef, NamedSchema, Nulls, ParseIdError, ParseTimestampError,
    PastEvent, Pattern, PatternError, Presence, Receiver, Record, ReturnError, Schema, SchemaMismatch,
    SetStream, SharedState, Stats, StopDeferral, Stream, StructSchema, Subscription, SubscriptionGuard, Tag,
    Timestamp, TypeSchema, TypedHistory, TypedStream, Unreadable, Upcast, VariantSchema, View, check_name,
};
pub use events_core::{Catalog, EventEntry, HandlerEntry, Plain, RecordCodec, Seal, catalog};
#[cfg(feature = "lock")]
pub use events_core::{Compatibility, SchemaLock};

/// The [catalog](catalog()) in the languages of others.
#[cfg(feature = "export")]
pub mod export {
    pub use events_export::{
        AsyncApi, AsyncApiVersion, BigIntegers, NoBigIntegers, Side, TypeScript, async_api, json_schema,
        main, markdown, mermaid, typescript,
    };
}

pub use events_core::{
    ConsumerHandle, ConsumerStatus, DeadLetter, DeadLetters, Draft, DurableAdapter, DurableOptions, LogId,
    LogPage, LogPosition, LogQuery, Published, Retention, Settled, Start, StartAt, Transaction,
};

#[cfg(feature = "in-memory")]
pub use events_core::InMemory;

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
    pub use events_axum::{LastEventId, SseBridge, SseBuilder, SseRefused, defer_stop};
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

#[cfg(feature = "lock")]
pub use events_macros::schema_lock;
pub use events_macros::{EventSet, Schema, event, on, payload};

/// `#[event]` and `#[on]` for what is under the [lock](SchemaLock): `use typed_events::locked::{event, on};`.
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
