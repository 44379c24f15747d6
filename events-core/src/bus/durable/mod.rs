//! Durable handlers: their tasks, the operator's methods, and events in transactions of users.

pub(crate) mod operate;
pub(crate) mod orphans;
pub(crate) mod outbox;
pub(crate) mod settled;
pub(crate) mod worker;
