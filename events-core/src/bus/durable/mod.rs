//! Durable handlers: the session of the bus at its engine, the tasks that claim and handle events, the operator's
//! methods, and events in transactions of users.

mod attempt;
mod deliveries;
mod feed;
mod lookahead;
pub(crate) mod operate;
pub(crate) mod orphans;
pub(crate) mod outbox;
pub(crate) mod session;
pub(crate) mod settled;
mod worker;

use std::sync::Arc;

use crate::adapter::AdapterError;
use crate::bus::inner::Inner;
use feed::Feed;
use session::Session;
use worker::Worker;

/// Starts the tasks of the durable handlers of a bus, whose consumers the session has opened.
///
/// # Errors
///
/// An [`AdapterError`] if the engine fails.
pub(crate) async fn start(inner: &Arc<Inner>, session: &Arc<Session>) -> Result<(), AdapterError> {
    session.beat().await?;
    let feed = Feed::open(inner, session, inner.durable_handlers.len()).await?;
    feed.spawn(inner, session);
    for (index, handler) in inner.durable_handlers.iter().enumerate() {
        let signal = feed.signal(index);
        Worker::new(inner, session, handler, &feed, signal).spawn(&inner.runtime);
    }
    let wakes = Arc::clone(&feed);
    session.spawn_beats(inner, move || wakes.wake_all());
    Ok(())
}
