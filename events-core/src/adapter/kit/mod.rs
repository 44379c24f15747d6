//! Parts that several engines share.

pub(crate) mod store;
