//! The tasks of durable handlers. Each one claims events from the adapter, calls the handler, and reports the
//! outcomes to the adapter.

use std::any::Any;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::adapter::durable::{Claim, Claimed, Claims, DurableAdapter, Finished, Outcome};
use crate::adapter::{Adapter, AdapterError, BoxFuture};
use crate::bus::emit::alone;
use crate::bus::inner::call::Attempt;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::in_flight::InFlightGuard;
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::report::FailedAttempt;
use crate::bus::inner::routes::Route;
use crate::bus::inner::runtime::spawn_boxed;
use crate::bus::inner::work::Work;
use crate::bus::inner::{Bus, Inner};
use crate::id::EventId;
use crate::panics::{catch_panic, caught};
use crate::record::Record;
use crate::time::Timestamp;

/// First and longest wait before an exchange is retried after the adapter failed.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Interval at which the consumer is renewed while it handles no event, so that the adapter sees that a
/// program has it open.
const IDLE_RENEWAL_INTERVAL: Duration = Duration::from_secs(60);

/// The task of one durable handler.
pub(crate) struct Worker {
    pub(crate) bus: Weak<Inner>,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) work: Arc<Work>,
    /// True once the bus is stopping; closed if the bus was dropped.
    pub(crate) stop: watch::Receiver<bool>,
}

/// State of a worker between two exchanges with the adapter.
struct State {
    tasks: JoinSet<Finished>,
    /// The events that `tasks` are handling.
    in_progress: Vec<InProgress>,
    finished: Vec<Unreported>,
    /// True if the adapter may have events to claim.
    may_have_events: bool,
    due: Option<Timestamp>,
    /// The [`Claims::seen`] of the last exchange.
    last_seen: u64,
    /// Number of exchanges that have failed in a row.
    failed: u32,
    /// Time of the last renewal.
    last_renewal: Instant,
    retry_at: Option<Instant>,
}

/// An event that is being handled. It counts as in flight until its outcome is reported to the adapter.
struct InProgress {
    task: Id,
    claim: Claim,
    flight: InFlightGuard,
}

/// An outcome that has not been reported to the adapter yet.
struct Unreported {
    finished: Finished,
    _flight: InFlightGuard,
}

/// Reasons for which a worker wakes.
enum Wake {
    Finished(Result<Finished, JoinError>),
    EventsAvailable,
    Renew,
    Stop,
    Retry,
}

impl Worker {
    /// Spawns the task that runs the consumer.
    pub(crate) fn spawn(self, runtime: &Handle) {
        spawn_boxed(runtime, Box::pin(self.run()));
    }

    async fn run(mut self) {
        let adapter = Arc::clone(&self.adapter);
        let Some(durable) = adapter.durable() else { return };
        let mut state = State {
            tasks: JoinSet::new(),
            in_progress: Vec::new(),
            finished: Vec::new(),
            may_have_events: true,
            due: None,
            last_seen: 0,
            failed: 0,
            last_renewal: Instant::now(),
            retry_at: None,
        };
        let mut renewals = interval((self.work.consumer.lease() / 3).max(Duration::from_millis(10)));
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = self.is_stopping();
            let free = if stopping { 0 } else { self.free(&state) };
            if state.retry_at.is_none() && (!state.finished.is_empty() || free > 0 && state.may_have_events) {
                self.exchange(durable, &mut state, free).await;
                self.collect(&mut state);
                continue;
            }
            if stopping && state.tasks.is_empty() && state.finished.is_empty() {
                return;
            }
            match self.wake(durable, &mut state, &mut renewals, free > 0, stopping).await {
                Wake::Finished(done) => {
                    self.finish(&mut state, done);
                    self.collect(&mut state);
                }
                Wake::EventsAvailable => state.may_have_events = true,
                Wake::Retry => state.retry_at = None,
                Wake::Renew => self.renew(durable, &mut state).await,
                Wake::Stop => {}
            }
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    fn free(&self, state: &State) -> usize {
        self.work.consumer.durable.most_at_a_time().saturating_sub(state.in_progress.len())
    }

    async fn wake(
        &mut self,
        durable: &dyn DurableAdapter,
        state: &mut State,
        renewals: &mut tokio::time::Interval,
        free: bool,
        stopping: bool,
    ) -> Wake {
        let due = state.due.filter(|_| free && state.retry_at.is_none()).and_then(|due| self.instant_of(due));
        let may_claim = free && state.retry_at.is_none();
        let mut new_events = pin!(if may_claim { durable.wait(state.last_seen) } else { never() });
        let mut due = pin!(at(due));
        let mut retry_at = pin!(at(state.retry_at));
        let mut stopped = pin!(self.stop.changed());
        poll_fn(|cx| {
            match state.tasks.poll_join_next(cx) {
                Poll::Ready(Some(done)) => return Poll::Ready(Wake::Finished(done)),
                Poll::Ready(None) | Poll::Pending => {}
            }
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Stop);
            }
            if retry_at.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Retry);
            }
            if new_events.as_mut().poll(cx).is_ready() || due.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::EventsAvailable);
            }
            renewals.poll_tick(cx).map(|_| Wake::Renew)
        })
        .await
    }

    fn instant_of(&self, due: Timestamp) -> Option<Instant> {
        let wait = due.as_micros().saturating_sub(self.bus.upgrade()?.now().as_micros());
        Some(Instant::now() + Duration::from_micros(wait.max(0) as u64) + Duration::from_millis(1))
    }

    /// Reports outcomes to the adapter and claims up to `free` further events.
    async fn exchange(&self, durable: &dyn DurableAdapter, state: &mut State, free: usize) {
        let Some(inner) = self.bus.upgrade() else { return state.finished.clear() };
        let bus = Bus { inner };
        // Count this as in flight before checking for a stop. Then `stop` either waits for the events claimed
        // here, or was seen here.
        let _flight = InFlightGuard::of_backlog(&bus.inner.flight);
        let free = if self.is_stopping() { 0 } else { free };
        let finished: Vec<_> = state.finished.iter().map(|done| done.finished.clone()).collect();
        let exchanged = durable.exchange(&self.work.consumer, &finished, free, bus.inner.now()).await;
        match exchanged {
            Ok(claims) => {
                state.failed = 0;
                state.finished.clear();
                self.note(&bus, &claims);
                state.may_have_events = claims.more;
                (state.due, state.last_seen) = (claims.due, claims.seen);
                claims.claimed.into_iter().for_each(|claimed| self.begin(&bus, state, claimed));
            }
            Err(error) => self.note_failed(&bus.inner, state, &error),
        }
    }

    /// Spawns the task that calls the handler.
    fn begin(&self, bus: &Bus, state: &mut State, claimed: Claimed) {
        let (claim, flight) = (claimed.claim, InFlightGuard::of_backlog(&bus.inner.flight));
        let handled = handle(bus.clone(), Arc::clone(&self.work), claimed);
        let task = state.tasks.spawn_on(handled, &bus.inner.runtime).id();
        state.in_progress.push(InProgress { task, claim, flight });
    }

    fn note(&self, bus: &Bus, claims: &Claims) {
        let (fallback, name) = (bus.inner.settings.fallback, self.work.consumer.name());
        for late in &claims.late {
            let Claim { position, attempt, .. } = late;
            fallback.warning(format_args!(
                "durable handler {name} was late with the event at {position} (attempt {attempt}), so its result was ignored: its lease had expired, or an operator has moved the consumer or replayed the event"
            ));
        }
        if claims.lost > 0 {
            let why = ", which were trimmed before it had finished them";
            bus.inner.warn_of_lost(format!("durable handler {name}"), claims.lost, why.to_owned());
        }
    }

    fn note_failed(&self, inner: &Inner, state: &mut State, error: &AdapterError) {
        let (first, max) = RETRY_BACKOFF;
        let wait = first.saturating_mul(1 << state.failed.min(16)).min(max);
        state.retry_at = Some(Instant::now() + wait);
        if state.failed == 0 {
            let (name, adapter) = (self.work.consumer.name(), self.adapter.name());
            inner.settings.fallback.warning(format_args!(
                "durable handler {name} can't exchange events with {adapter}, and will retry: {error}"
            ));
        }
        state.failed = state.failed.saturating_add(1);
        // A bus that stops does not wait for a failing engine. Events whose outcome was not reported are
        // handed out again.
        if self.is_stopping() {
            state.finished.clear();
        }
    }

    /// Extends the leases of the events that are being handled. If there are none, renews the consumer at the
    /// interval [`IDLE_RENEWAL_INTERVAL`].
    async fn renew(&self, durable: &dyn DurableAdapter, state: &mut State) {
        let Some(inner) = self.bus.upgrade() else { return };
        if state.in_progress.is_empty() && state.last_renewal.elapsed() < IDLE_RENEWAL_INTERVAL {
            return;
        }
        state.last_renewal = Instant::now();
        let claims: Vec<_> = state.in_progress.iter().map(|event| event.claim).collect();
        if let Err(error) = durable.renew(&self.work.consumer, &claims, inner.now()).await {
            let name = self.work.consumer.name();
            inner.settings.fallback.warning(format_args!(
                "durable handler {name} could not extend its leases, so other instances may handle the same events: {error}"
            ));
        }
    }

    /// Takes the outcomes of all tasks that have ended by now.
    fn collect(&self, state: &mut State) {
        while let Some(done) = state.tasks.try_join_next() {
            self.finish(state, done);
        }
    }

    /// Keeps the outcome of an event until it is reported to the adapter.
    fn finish(&self, state: &mut State, done: Result<Finished, JoinError>) {
        let task_of = |claim| state.in_progress.iter().position(|event| event.claim == claim);
        let index = match &done {
            Ok(finished) => task_of(finished.claim),
            Err(error) => state.in_progress.iter().position(|event| event.task == error.id()),
        };
        let Some(InProgress { claim, flight, .. }) = index.map(|index| state.in_progress.swap_remove(index))
        else {
            return;
        };
        let finished = match done {
            Ok(finished) => finished,
            Err(error) => match (error.try_into_panic(), self.bus.upgrade()) {
                (Ok(panic), Some(inner)) => {
                    Finished { claim, outcome: after_panic(&Bus { inner }, &self.work, claim, panic) }
                }
                // The runtime is shutting down. The event is handed out again when its lease expires.
                _ => return,
            },
        };
        state.finished.push(Unreported { finished, _flight: flight });
    }
}

fn never<'a>() -> BoxFuture<'a, ()> {
    Box::pin(std::future::pending())
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Handles one claimed event and returns the outcome.
async fn handle(bus: Bus, work: Arc<Work>, claimed: Claimed) -> Finished {
    let Claimed { claim, record, last_error, lost_lease } = claimed;
    let previous = Previous { lost_lease, error: last_error };
    let outcome = match &record {
        Ok(record) => attempt(&bus, &work, claim, record, previous).await,
        Err(error) => {
            let event = format!("(unreadable, at {})", claim.position);
            let attempts = claim.attempt;
            let verb = "was not called, because the event can't be read,";
            give_up(&bus, &work, Failed { event: &event, id: None, attempts, verb }, error.to_string())
        }
    };
    // This may be the last owner of the event, whose destructor is user code. A panic there does not change
    // the outcome.
    catch_panic(|| drop(record));
    Finished { claim, outcome }
}

/// Returns the outcome of an attempt whose task panicked outside of the handler, for example in a subscriber
/// of `tracing`.
fn after_panic(bus: &Bus, work: &Work, claim: Claim, panic: Box<dyn Any + Send>) -> Outcome {
    let error = HandlerError::panicked(panic);
    let (message, event) = (error.message().to_owned(), format!("(at {})", claim.position));
    let failed = Failed { event: &event, id: None, attempts: claim.attempt, verb: "panicked" };
    after_failure(bus, work, claim, failed, message)
}

/// How the previous attempt of an event ended.
struct Previous {
    /// Without an outcome.
    lost_lease: bool,
    error: Option<String>,
}

async fn attempt(bus: &Bus, work: &Work, claim: Claim, record: &Record, previous: Previous) -> Outcome {
    let durable = &work.consumer.durable;
    let failed = |attempts| Failed { event: record.name(), id: Some(record.id()), attempts, verb: "failed" };
    // If the attempts are used up although the previous one was reported, the program had more retries before. The
    // event gets one more attempt.
    if claim.attempt > durable.attempts() && previous.lost_lease {
        let before = claim.attempt - 1;
        let error =
            previous.error.map(|error| format!("; the previous attempt: {error}")).unwrap_or_default();
        let error = format!("the process ended, or lost its lease, in attempt {before}{error}");
        return give_up(bus, work, Failed { verb: "did not finish", ..failed(before) }, error);
    }
    if let Some(Err(error)) = bus.inner.known.get(record.name()).map(|decl| record.payload(decl)) {
        let verb = "was not called, because the payload does not fit,";
        return give_up(bus, work, Failed { verb, ..failed(claim.attempt) }, error.to_string());
    }
    let route = Route::of(&work.registration, work.consumer.pattern_of(record.name()).unwrap_or(0));
    let tried = Attempt { number: claim.attempt, consumer: Some(Arc::clone(&work.name)) };
    let called = alone::call_durable(bus, &work.registration.callback, &route, record, tried);
    let Err(error) = within(durable.time_limit(), called).await else { return Outcome::Done };
    let message = error.message().to_owned();
    let failed = Failed { verb: Failure::new(&route, error).verb(), ..failed(claim.attempt) };
    after_failure(bus, work, claim, failed, message)
}

/// Returns the outcome of a failed attempt: a retry, or a dead letter if it was the last attempt.
fn after_failure(bus: &Bus, work: &Work, claim: Claim, failed: Failed<'_>, message: String) -> Outcome {
    let durable = &work.consumer.durable;
    bus.inner.counters.failed.fetch_add(1, Ordering::Relaxed);
    if claim.attempt >= durable.attempts() {
        return give_up(bus, work, failed, message);
    }
    // Each `RandomState` has other keys, so the same position gives a different share every time.
    let share = RandomState::new().hash_one(claim.position) as f64 / u64::MAX as f64;
    let wait = durable.wait_after(claim.attempt, share);
    let at = bus.inner.now().as_micros().saturating_add(wait.as_micros().try_into().unwrap_or(i64::MAX));
    let at = Timestamp::from_micros(at);
    catch_panic(|| bus.inner.settings.fallback.retry(&failed.reported(work, &message), at));
    Outcome::Retry { at, error: message }
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
    fn reported(&self, work: &'a Work, error: &'a str) -> FailedAttempt<'a> {
        FailedAttempt {
            event: self.event,
            id: self.id,
            handler: work.registration.name(),
            consumer: work.consumer.name(),
            attempt: self.attempts,
            max_attempts: work.consumer.durable.attempts().max(self.attempts),
            verb: self.verb,
            error,
        }
    }
}

fn give_up(bus: &Bus, work: &Work, failed: Failed<'_>, error: String) -> Outcome {
    catch_panic(|| bus.inner.settings.fallback.dead(&failed.reported(work, &error)));
    Outcome::Dead { error, attempts: failed.attempts }
}
