//! Stands in for `durable_handler` in a build without durable handlers.

use crate::adapter::BoxFuture;
use crate::bus::inner::Inner;

/// A durable handler. None can exist.
pub(crate) enum DurableHandler {}

impl DurableHandler {
    pub(crate) fn name(&self) -> &str {
        match *self {}
    }

    pub(crate) fn matches(&self, _event: &str) -> bool {
        match *self {}
    }
}

impl Inner {
    /// Does nothing, since there is no session.
    pub(crate) fn end_session(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
