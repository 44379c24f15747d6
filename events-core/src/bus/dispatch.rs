//! Calls the handlers of one event, and drives those that are pending.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;

use super::context::{self, Scope};
use super::emitted::{Emitted, Failure, Source};
use super::flight::{Detached, KeptInFlight};
use super::routes::{Entry, List};
use super::watch::{Laps, Waiting, Watch};
use super::{Bus, Inner};
use crate::contain::contained;
use crate::event::Payload;
use crate::handler::{Call, Callback, HandlerError, HandlerResult, Settled};
use crate::id::EventId;
use crate::record::Record;

/// One event on its way through its handlers.
pub(crate) struct Event<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) name: &'a str,
    pub(crate) payload: Option<&'a dyn Payload>,
    pub(crate) record: Option<&'a Record>,
    /// Where the bus's own log keeps it.
    pub(crate) position: Option<u64>,
}

impl<'a> Event<'a> {
    fn call(&self, entry: &'a Entry) -> Call<'a> {
        Call {
            bus: self.bus,
            event: self.payload,
            record: self.record,
            registration: &entry.registration,
            pattern: &entry.pattern,
            position: self.position,
            delivery: None,
        }
    }
}

/// How far the handlers have come after the first poll.
#[derive(Default)]
struct Progress {
    handled: usize,
    failures: Vec<Failure>,
    pending: Pending,
}

/// Handlers that wait for something.
type Pending = Vec<(Entry, BoxFuture<'static, HandlerResult>)>;

/// Calls each handler and polls it once. Runs within the event's [`Scope`].
fn call_all(event: &Event<'_>, list: &List, cx: &mut Context<'_>) -> Progress {
    let inner = &*event.bus.inner;
    let mut progress = Progress::default();
    let mut laps = Laps::start();
    for entry in &list.entries {
        let registration = &entry.registration;
        if !registration.admit() {
            continue;
        }
        if registration.is_once() {
            inner.routes.remove(registration);
        }
        progress.handled += 1;
        let call = event.call(entry);
        match catch_unwind(AssertUnwindSafe(|| poll_once(&registration.callback, call, cx))) {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => fail(inner, event.name, entry, error, &mut progress.failures),
            Ok(Err(future)) => progress.pending.push((entry.clone(), future)),
            Err(panic) => {
                let error = HandlerError::panicked(panic);
                fail(inner, event.name, entry, error, &mut progress.failures);
            }
        }
        laps.lap(&inner.watch, entry, event.name);
    }
    if progress.handled == 0 {
        inner.counters.unhandled.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(event = event.name, "no handler for this event");
    }
    progress
}

/// The result of a handler that is done, or its future.
fn poll_once(
    callback: &Callback,
    call: Call<'_>,
    cx: &mut Context<'_>,
) -> Result<HandlerResult, BoxFuture<'static, HandlerResult>> {
    match (callback.run)(call) {
        Settled::Now(result) => Ok(result),
        Settled::Later(mut future) => match future.as_mut().poll(cx) {
            Poll::Ready(result) => Ok(result),
            Poll::Pending => Err(future),
        },
    }
}

/// Logs and lists a failure. Runs within the event's scope, which knows the id.
fn fail(inner: &Inner, event: &str, entry: &Entry, error: HandlerError, failures: &mut Vec<Failure>) {
    let failure = Failure::new(entry, error);
    report(inner, event, context::current_id(), &failure);
    failures.push(failure);
}

/// Counts and logs a failure.
pub(crate) fn report(inner: &Inner, event: &str, id: Option<EventId>, failure: &Failure) {
    inner.counters.failed.fetch_add(1, Ordering::Relaxed);
    inner.settings.fallback.failure(event, id, failure);
}

/// Calls one handler for a record and waits for it, as part of handling that record.
pub(crate) async fn call_alone(
    bus: &Bus,
    callback: &Callback,
    entry: &Entry,
    record: &Record,
    position: Option<u64>,
) -> HandlerResult {
    let event = Event { bus, name: record.name(), payload: record.event(), record: Some(record), position };
    let handled = async {
        match (callback.run)(event.call(entry)) {
            Settled::Now(result) => result,
            Settled::Later(future) => {
                let watch = &*bus.inner.watch;
                let waiting = watch.begin_alone(record.clone(), entry.clone());
                let _shown = Shown(watch, waiting);
                future.await
            }
        }
    };
    let scope = Scope::of_record(bus.inner.instance, record);
    let contained = AssertUnwindSafe(handled).catch_unwind();
    let result = context::Context::of(scope).carry(contained).await;
    result.unwrap_or_else(|panic| Err(HandlerError::panicked(panic)))
}

/// A handler that is listed as waiting.
struct Shown<'a>(&'a Watch, Arc<Waiting>);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.end(&self.1);
    }
}

/// Calls the handlers of an event that needs no record: none of them waits.
pub(crate) fn deliver_bare(event: &Event<'_>, scope: Scope, list: &List, cx: &mut Context<'_>) -> Emitted {
    let (progress, scope) = context::within(scope, || call_all(event, list, cx));
    Emitted::new(Source::Bare(context::id_made(scope.as_ref())), progress.handled, progress.failures)
}

/// What became of the handlers after their first poll.
pub(crate) enum Delivered {
    /// All are done.
    Done(Emitted),
    /// Some are pending.
    Pending(Group),
}

/// Calls the handlers of a record.
pub(crate) fn deliver(bus: &Bus, record: &Record, position: u64, cx: &mut Context<'_>) -> Delivered {
    let inner = &bus.inner;
    let list = inner.routes.of_record(record);
    // Handlers that wait want timers and sockets, also where the emit is polled outside of a runtime.
    let _entered = list.waits.then(|| inner.enter_runtime());
    let scope = Scope::of_record(inner.instance, record);
    let event = Event {
        bus,
        name: record.name(),
        payload: record.event(),
        record: Some(record),
        position: Some(position),
    };
    let (mut progress, scope) = context::within(scope, || call_all(&event, &list, cx));
    // Perhaps the last owner of a closure that was removed meanwhile.
    contained(|| drop(list));
    let pending = std::mem::take(&mut progress.pending);
    let emitted = Emitted::new(Source::Record(record.clone()), progress.handled, progress.failures);
    match scope {
        Some(scope) if !pending.is_empty() => {
            Delivered::Pending(Group::new(bus, record.clone(), scope, emitted, pending))
        }
        _ => Delivered::Done(emitted),
    }
}

/// The pending handlers of one event, driven together by one task.
pub(crate) struct Group {
    inner: Arc<Inner>,
    /// The scope, except while it is current.
    scope: Option<Scope>,
    emitted: Option<Emitted>,
    running: FuturesUnordered<BoxFuture<'static, (usize, HandlerResult)>>,
    waiting: Arc<Waiting>,
}

impl Group {
    fn new(bus: &Bus, record: Record, scope: Scope, emitted: Emitted, pending: Pending) -> Self {
        let inner = Arc::clone(&bus.inner);
        let (entries, futures): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
        let waiting = inner.watch.begin(record, entries.into_iter());
        let running = futures.into_iter().enumerate().map(|(index, future)| guarded(index, future)).collect();
        Self { inner, scope: Some(scope), emitted: Some(emitted), running, waiting }
    }

    /// Polls what is ready to go on. Runs within the scope.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((index, result)) = std::task::ready!(self.running.poll_next_unpin(cx)) {
            let entry = self.waiting.finish(index);
            if let (Err(error), Some(emitted)) = (result, &mut self.emitted) {
                fail(&self.inner, self.waiting.event(), entry, error, emitted.failures_mut());
            }
        }
        Poll::Ready(())
    }
}

/// A handler's future whose panic is its result.
fn guarded(
    index: usize,
    future: BoxFuture<'static, HandlerResult>,
) -> BoxFuture<'static, (usize, HandlerResult)> {
    let result = AssertUnwindSafe(future).catch_unwind();
    result
        .map(move |result| (index, result.unwrap_or_else(|panic| Err(HandlerError::panicked(panic)))))
        .boxed()
}

impl Future for Group {
    type Output = Emitted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Emitted> {
        let this = &mut *self;
        let Some(scope) = this.scope.take() else {
            return Poll::Pending;
        };
        let (polled, scope) = context::within(scope, || this.drive(cx));
        this.scope = scope;
        match (polled, this.emitted.take()) {
            (Poll::Ready(()), Some(emitted)) => Poll::Ready(emitted),
            (_, emitted) => {
                this.emitted = emitted;
                Poll::Pending
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.inner.watch.end(&self.waiting);
    }
}

/// What keeps a task of an emit counted until it ends, however it ends.
pub(crate) struct Kept {
    pub(crate) _flight: KeptInFlight,
    pub(crate) detached: Option<Detached>,
}
