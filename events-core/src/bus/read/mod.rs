//! Reading along: streams, and handlers that begin with the past.

pub(crate) mod history;
pub(crate) mod replay;
pub(crate) mod stream;
