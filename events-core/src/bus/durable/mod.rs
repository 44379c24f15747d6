//! Durable handlers: the task of each one, what operators do, and events in transactions of users.

pub(crate) mod operate;
pub(crate) mod orphans;
pub(crate) mod outbox;
pub(crate) mod settled;
pub(crate) mod worker;
