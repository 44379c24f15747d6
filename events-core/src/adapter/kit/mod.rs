//! Parts that several engines share.

pub(crate) mod engine;
pub(crate) mod store;
pub(crate) mod tables;
