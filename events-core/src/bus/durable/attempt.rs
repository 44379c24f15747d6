//! One attempt of a durable handler: calling it, and turning its result into an outcome for the store.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use crate::adapter::AdapterError;
use crate::adapter::durable::{DeadLetter, Delivered, Outcome};
use crate::bus::emit::single_call;
use crate::bus::inner::Bus;
use crate::bus::inner::call::Attempt;
use crate::bus::inner::durable_handler::DurableHandler;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::report::FailedAttempt;
use crate::bus::inner::routes::Route;
use crate::id::EventId;
use crate::panics::{catch_panic, caught};
use crate::record::Record;
use crate::time::Timestamp;

/// Handles one claimed event and returns the outcome.
pub(super) async fn handle(
    bus: Bus,
    handler: Arc<DurableHandler>,
    delivered: Delivered,
    record: Result<Record, AdapterError>,
) -> Outcome {
    let outcome = match &record {
        Ok(record) => attempt(&bus, &handler, &delivered, record).await,
        Err(error) => undecodable(&bus, &handler, &delivered, error),
    };
    // This may be the last owner of the event, whose destructor is user code. A panic there does not change
    // the outcome.
    catch_panic(|| drop(record));
    outcome
}

fn undecodable(bus: &Bus, handler: &DurableHandler, delivered: &Delivered, error: &AdapterError) -> Outcome {
    let event = format!("(unreadable, at {})", delivered.position);
    let (attempts, error) = (delivered.attempt, error.to_string());
    let verb = "was not called, because the event can't be read,";
    log_dead(bus, handler, &Failed { event: &event, id: None, attempts, verb }, &error);
    Outcome::Undecodable { error }
}

/// Returns the outcome of an attempt whose task panicked outside of the handler, for example in a subscriber
/// of `tracing`.
pub(super) fn after_panic(
    bus: &Bus,
    handler: &DurableHandler,
    delivered: &Delivered,
    panic: Box<dyn Any + Send>,
) -> Outcome {
    let error = HandlerError::panicked(panic);
    let (message, event) = (error.message().to_owned(), format!("(at {})", delivered.position));
    let failed = Failed { event: &event, id: None, attempts: delivered.attempt, verb: "panicked" };
    after_failure(bus, handler, delivered, failed, message)
}

async fn attempt(bus: &Bus, handler: &DurableHandler, delivered: &Delivered, record: &Record) -> Outcome {
    let durable = &handler.consumer.durable;
    let attempt = delivered.attempt;
    let failed = |attempts| Failed { event: record.name(), id: Some(record.id()), attempts, verb: "failed" };
    let route = Route::of(&handler.registration, handler.consumer.pattern_of(record.name()).unwrap_or(0));
    let tried = Attempt { number: attempt, consumer: Some(Arc::clone(&handler.name)) };
    let called = single_call::call_durable(bus, &handler.registration.callback, &route, record, tried);
    let Err(error) = within(durable.time_limit(), called).await else { return Outcome::Done };
    let message = error.message().to_owned();
    let failed = Failed { verb: Failure::new(&route, error).verb(), ..failed(attempt) };
    after_failure(bus, handler, delivered, failed, message)
}

/// Returns the outcome of a failed attempt. The store makes the event a dead letter if it was the last one.
fn after_failure(
    bus: &Bus,
    handler: &DurableHandler,
    delivered: &Delivered,
    failed: Failed<'_>,
    error: String,
) -> Outcome {
    let durable = &handler.consumer.durable;
    bus.inner.counters.failed.fetch_add(1, Ordering::Relaxed);
    // Each `RandomState` has other keys, so the same position gives a different share every time.
    let share = RandomState::new().hash_one(delivered.position) as f64 / u64::MAX as f64;
    let delay = durable.wait_after(delivered.attempt, share);
    if delivered.attempt >= durable.attempts() {
        log_dead(bus, handler, &failed, &error);
    } else {
        let at = bus.inner.now().as_micros().saturating_add(delay.as_micros().try_into().unwrap_or(i64::MAX));
        catch_panic(|| {
            let reporter = bus.inner.settings.reporter;
            reporter.retry(&failed.reported(handler, &error), Timestamp::from_micros(at));
        });
    }
    Outcome::Retry { delay, error }
}

/// Waits for a handler's result, or for an error if it takes longer than `limit`.
async fn within(limit: Duration, handled: impl Future<Output = HandlerResult>) -> HandlerResult {
    if limit == Duration::MAX {
        return handled.await;
    }
    let too_long = format!("it took longer than {} s", limit.as_secs_f64());
    // At the limit, this drops the handler's future, which may panic. (A panic while it is polled is in the
    // result.)
    let timed = caught(async { timeout(limit, handled).await }).await;
    Err(match timed {
        Ok(Ok(result)) => return result,
        Ok(Err(_)) => HandlerError::new(&too_long),
        Err(panic) => {
            let panic = HandlerError::panicked(panic);
            let panic = panic.message();
            HandlerError::new(&format_args!("{too_long}, and panicked when it was dropped: {panic}"))
        }
    })
}

/// An attempt that did not succeed.
struct Failed<'a> {
    event: &'a str,
    id: Option<EventId>,
    attempts: u32,
    verb: &'a str,
}

impl<'a> Failed<'a> {
    fn reported(&self, handler: &'a DurableHandler, error: &'a str) -> FailedAttempt<'a> {
        FailedAttempt {
            event: self.event,
            id: self.id,
            handler: handler.registration.name(),
            consumer: handler.consumer.name(),
            attempt: self.attempts,
            max_attempts: handler.consumer.durable.attempts().max(self.attempts),
            verb: self.verb,
            error,
        }
    }
}

fn log_dead(bus: &Bus, handler: &DurableHandler, failed: &Failed<'_>, error: &str) {
    catch_panic(|| bus.inner.settings.reporter.dead(&failed.reported(handler, error)));
}

/// Logs dead letters that no report of this program has made.
pub(super) fn log_announced(bus: &Bus, handler: &DurableHandler, letter: &DeadLetter) {
    let (event, id, attempts) = (letter.name.as_str(), Some(letter.event), letter.attempts);
    log_dead(bus, handler, &Failed { event, id, attempts, verb: "did not finish" }, &letter.error);
}
