//! Durable delivery for engines written in Rust: [`store`] has the logic on any storage with ordered rows, [`engine`]
//! turns such a storage into a [`DurableAdapter`](crate::DurableAdapter), and [`tables`] is a storage in memory.

pub(crate) mod engine;
pub(crate) mod store;
pub(crate) mod tables;
