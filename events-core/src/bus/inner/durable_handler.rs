//! A durable handler of a bus, with its consumer.

use std::sync::Arc;

use crate::adapter::BoxFuture;
use crate::adapter::consumer::Consumer;
use crate::adapter::durable::{Caller, matches_any};
use crate::bus::inner::Inner;
use crate::bus::inner::call::Callback;
use crate::bus::inner::routes::Registration;
use crate::panics::{caught, drop_quietly};
use crate::time::Timestamp;

/// The session of the durable handlers of a bus at its engine.
pub(crate) trait OpenSession: Send + Sync {
    /// Returns the knowledge of the store and the time that go with each call.
    fn caller(&self) -> Caller;
    /// Sends no more beats. Ends the session at once if it has nothing in hand; otherwise its lease runs out.
    fn end(self: Arc<Self>) -> BoxFuture<'static, ()>;
}

/// A durable handler, and the consumer for which it runs.
pub(crate) struct DurableHandler {
    pub(crate) consumer: Arc<Consumer>,
    pub(crate) registration: Arc<Registration>,
    pub(crate) name: Arc<str>,
    /// The patterns that the consumer is registered with.
    patterns: Vec<String>,
}

impl DurableHandler {
    pub(crate) fn new(consumer: Consumer, handler: String, callback: Callback) -> Arc<Self> {
        let registration = Registration::unrouted(handler.into(), consumer.patterns.clone(), callback);
        let patterns = consumer.filter().patterns;
        Arc::new(Self { name: consumer.name().into(), consumer: Arc::new(consumer), registration, patterns })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn has_pattern(&self, pattern: &str) -> bool {
        self.patterns.iter().any(|own| own == pattern)
    }

    /// Returns true if the consumer takes events of this name.
    pub(crate) fn matches(&self, event: &str) -> bool {
        matches_any(&self.patterns, event)
    }
}

impl Inner {
    /// Returns the time from which leases and retries are calculated.
    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Ends the session of the durable handlers.
    pub(crate) fn end_session(&self) -> BoxFuture<'static, ()> {
        let session = self.session.get().cloned();
        let end = async move {
            if let Some(session) = session {
                session.end().await;
            }
        };
        Box::pin(async move { caught(end).await.unwrap_or_else(drop_quietly) })
    }
}
