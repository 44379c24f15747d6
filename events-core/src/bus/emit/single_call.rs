//! Calls a single handler: a durable one, or one with a replay.

use crate::bus::inner::Bus;
use crate::bus::inner::call::{Call, Callback};
use crate::bus::inner::context::{EventContext, Scope};
use crate::bus::inner::outcome::{CallResult, HandlerError, HandlerResult};
use crate::bus::inner::routes::Route;
use crate::panics::caught;
use crate::record::Record;

/// Calls a live handler with a record and waits for it.
pub(crate) async fn call_live(
    bus: &Bus,
    callback: &Callback,
    route: &Route,
    record: &Record,
    position: Option<u64>,
) -> HandlerResult {
    let run = || Ok((callback.function)(&Call::of_record(bus, record, route, position)));
    run_in_scope(bus, route, record, run).await
}

/// Calls a durable handler with a record, for one attempt, and waits for it.
#[cfg(feature = "durable")]
pub(crate) async fn call_durable(
    bus: &Bus,
    callback: &Callback,
    route: &Route,
    record: &Record,
    attempt: crate::bus::inner::call::Attempt,
) -> HandlerResult {
    let run = || {
        let delivery = Call::of_record(bus, record, route, None).to_delivery_of(attempt)?;
        Ok((callback.function)(&delivery.call()))
    };
    run_in_scope(bus, route, record, run).await
}

/// Runs a handler in the scope of its event, and lists it as waiting. A panic becomes the result.
async fn run_in_scope(
    bus: &Bus,
    route: &Route,
    record: &Record,
    run: impl FnOnce() -> Result<CallResult, HandlerError>,
) -> HandlerResult {
    let handled = async {
        match run()? {
            None => Ok(()),
            Some(future) => future.await,
        }
    };
    let guard = bus.inner.slow_handlers.add_single_call(record.clone(), route.clone());
    let scope = Scope::of_record(bus.inner.instance, record);
    let result = guard.polling(EventContext::of(scope).carry(caught(handled))).await;
    result.unwrap_or_else(|panic| Err(HandlerError::panicked(panic)))
}
