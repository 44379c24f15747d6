//! Reading events: the history, streams, and handlers that begin with the history.

pub(crate) mod history;
pub(crate) mod rendezvous;
pub(crate) mod replay;
pub(crate) mod stream;
