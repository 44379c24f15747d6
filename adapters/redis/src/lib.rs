//! typed-events on Redis: events between machines, a shared history, and durable consumers.
//!
//! Use it through the `redis` feature of the `typed-events` crate: `typed_events::redis::Redis`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapter;
mod channels;
mod connection;
mod durable;
mod echo;
mod error;
mod history;
mod log;
mod own_appends;
mod publish;
mod retention;
mod scripts;
mod tail;

pub use adapter::Redis;
pub use channels::Channels;
