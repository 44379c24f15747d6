//! A shop, as users write one.

pub mod audit;
mod draft;
pub mod events;
pub mod handlers;
pub mod program;
