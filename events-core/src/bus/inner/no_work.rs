//! Stands in for `work` in a build without durable handlers.

use std::sync::Arc;

use crate::adapter::{Adapter, BoxFuture};
use crate::bus::inner::Inner;

/// A durable handler. None can exist.
pub(crate) enum Work {}

impl Work {
    pub(crate) fn name(&self) -> &str {
        match *self {}
    }

    pub(crate) fn takes(&self, _event: &str) -> bool {
        match *self {}
    }
}

impl Inner {
    /// Does nothing, since there are no consumers.
    pub(crate) fn close_consumers(&self, _: Arc<dyn Adapter>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
