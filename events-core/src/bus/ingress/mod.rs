//! Events from outside: as JSON, and from an adapter.

pub(crate) mod json;
pub(crate) mod receiver;
