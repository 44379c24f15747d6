//! typed-events on SQLite: a log with durable consumers in one file, without a server.
//!
//! Use it through the `sqlite` feature of the `typed-events` crate: `typed_events::sqlite::Sqlite`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapter;
#[cfg(feature = "conformance")]
mod checked;
mod durable;
mod error;
mod executor;
mod history;
mod identity;
mod log;
mod options;
mod retention;
mod rows;
mod schema;
mod tail;
#[cfg(feature = "sqlx")]
mod transaction;
mod watermark;

pub use adapter::Sqlite;
pub use options::Synchronous;
