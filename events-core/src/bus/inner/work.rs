//! A durable handler of a bus, with its consumer.

use std::sync::Arc;

use crate::adapter::consumer::Consumer;
use crate::adapter::durable::Interest;
use crate::adapter::{Adapter, BoxFuture};
use crate::bus::inner::Inner;
use crate::bus::inner::call::Callback;
use crate::bus::inner::routes::Registration;
use crate::panics::{caught, drop_quietly};
use crate::time::Timestamp;

/// A durable handler, and the consumer for which it runs.
pub(crate) struct Work {
    pub(crate) consumer: Arc<Consumer>,
    pub(crate) registration: Arc<Registration>,
    pub(crate) name: Arc<str>,
}

impl Work {
    pub(crate) fn new(consumer: Consumer, handler: String, callback: Callback) -> Arc<Self> {
        let registration = Registration::alone(handler.into(), consumer.patterns.clone(), callback);
        Arc::new(Self { name: consumer.name().into(), consumer: Arc::new(consumer), registration })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if the consumer takes events of this name.
    pub(crate) fn takes(&self, event: &str) -> bool {
        self.consumer.interest(event, 0) != Interest::Skip
    }
}

impl Inner {
    /// Returns the time from which leases and retries are calculated.
    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Reports to the adapter that this program has closed its consumers.
    pub(crate) fn close_consumers(&self, adapter: Arc<dyn Adapter>) -> BoxFuture<'static, ()> {
        let (works, clock) = (self.works.clone(), self.settings.clock);
        let close = async move {
            let Some(durable) = adapter.durable() else { return };
            for work in &works {
                if durable.close(&work.consumer, clock.now()).await.is_err() {
                    return;
                }
            }
        };
        Box::pin(async move { caught(close).await.unwrap_or_else(drop_quietly) })
    }
}
