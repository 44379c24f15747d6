//! A durable handler of a bus, with its consumer.

use std::sync::Arc;

use crate::adapter::consumer::Consumer;
use crate::adapter::durable::Interest;
use crate::bus::inner::call::Callback;
use crate::bus::inner::routes::Registration;

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

    /// Returns true if the consumer takes events of this name.
    pub(crate) fn takes(&self, event: &str) -> bool {
        self.consumer.interest(event, 0) != Interest::Skip
    }
}
