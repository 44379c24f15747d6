//! Events in the browser: patterns as streams of server-sent events.
//!
//! Use it through the `axum` feature of the `typed-events` crate: `typed_events::axum::SseBridge`.

mod bridge;
mod client;
mod follow;
mod message;
mod place;
mod seats;

pub use bridge::{SseBridge, SseBuilder};
pub use client::SseRefused;
pub use place::LastEventId;
