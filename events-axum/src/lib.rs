//! Events in the browser: patterns as streams of server-sent events.
//!
//! Use it through the `axum` feature of the `typed-events` crate: `typed_events::axum::SseBridge`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod bridge;
mod clients;
mod connection;
mod ending;
mod error_response;
mod feed;
mod follower;
mod last_event_id;
mod message;
mod pages;

pub use bridge::{SseBridge, SseBuilder};
pub use connection::SseRefused;
pub use ending::defer_stop;
pub use error_response::ErrorResponse;
pub use last_event_id::LastEventId;
