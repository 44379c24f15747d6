//! The bus: emitting, handlers, durable handlers, reading, ingress, setup and stop.

pub(crate) mod builder;
#[cfg(feature = "durable")]
pub(crate) mod durable;
pub(crate) mod emit;
pub(crate) mod handlers;
pub(crate) mod ingress;
pub(crate) mod inner;
pub(crate) mod read;
pub(crate) mod select;
pub(crate) mod stop;
