//! Events from outside: as JSON, and from an adapter.

pub(crate) mod inbox;
pub(crate) mod json;
