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
use super::emitted::{Emitted, Failure};
use super::flight::{Detached, KeptInFlight};
use super::routes::{Entry, List};
use super::watch::{Laps, Waiting, Watch};
use super::{Bus, Inner};
use crate::contain::contained;
use crate::event::Payload;
use crate::handler::{Call, Callback, HandlerError, HandlerResult};
use crate::id::EventId;
use crate::lent::Lent;
use crate::record::Record;

/// Handlers that wait for something.
type Pending = Vec<(Entry, BoxFuture<'static, HandlerResult>)>;

/// One event's way through a list. What it calls with is lent to it, and never copied: what was just
/// written in small pieces is slow to read in large ones.
struct Round {
    /// The first handler that was not looked at.
    next: usize,
    laps: Laps,
    handled: u32,
    failures: Vec<Failure>,
    pending: Pending,
}

impl Round {
    fn new() -> Self {
        let laps = Laps::start();
        Self { next: 0, laps, handled: 0, failures: Vec::new(), pending: Vec::new() }
    }

    /// Calls each handler and polls it once. Runs within the event's [`Scope`].
    fn run<'a>(&mut self, call: &mut Call<'a>, list: &'a List, cx: &mut Context<'_>) {
        // One frame for all that go well: a panic begins another one behind the handler that panicked.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.call_the_rest(call, list, cx))) {
            self.note_panic(call, HandlerError::panicked(panic));
        }
        if self.handled == 0 {
            note_unhandled(call.bus, call.name);
        }
    }

    fn call_the_rest<'a>(&mut self, call: &mut Call<'a>, list: &'a List, cx: &mut Context<'_>) {
        for (index, entry) in list.entries.iter().enumerate().skip(self.next) {
            self.next = index + 1;
            if list.must_ask() && !may_call(call, entry) {
                continue;
            }
            self.handled += 1;
            call.entry = entry;
            if let Some(future) = (entry.run)(call) {
                self.poll_once(call, future, cx);
            }
            if self.laps.is_late() {
                self.note_lap(call);
            }
        }
    }

    #[cold]
    fn note_lap(&mut self, call: &Call<'_>) {
        self.laps.lap(&call.bus.inner.watch, call.entry, call.name);
    }

    fn poll_once(
        &mut self,
        call: &Call<'_>,
        mut future: BoxFuture<'static, HandlerResult>,
        cx: &mut Context<'_>,
    ) {
        match future.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.fail(call, error),
            Poll::Pending => self.pending.push((call.entry.clone(), future)),
        }
    }

    /// The handler that was called last has panicked.
    #[cold]
    fn note_panic(&mut self, call: &Call<'_>, error: HandlerError) {
        self.fail(call, error);
        self.note_lap(call);
    }

    fn fail(&mut self, call: &Call<'_>, error: HandlerError) {
        fail(&call.bus.inner, call.name, call.entry, error, &mut self.failures);
    }
}

/// Whether this emit is the one that calls the handler.
#[cold]
fn may_call(call: &Call<'_>, entry: &Entry) -> bool {
    let may = entry.registration.admit();
    if may && entry.registration.is_once() {
        call.bus.inner.routes.remove(&entry.registration);
    }
    may
}

fn note_unhandled(bus: &Bus, name: &str) {
    bus.inner.counters.unhandled.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(event = name, "no handler for this event");
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
    let call = of_record(bus, record, entry, position);
    let handled = async {
        match (callback.run)(&call) {
            None => Ok(()),
            Some(future) => {
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

/// A call for a record.
fn of_record<'a>(bus: &'a Bus, record: &'a Record, entry: &'a Entry, position: Option<u64>) -> Call<'a> {
    let event = record.event().map(Lent::new);
    Call { bus, name: record.name(), event, record: Some(record), entry, position, delivery: None }
}

/// Calls the handlers of an event that needs no record: none of them waits.
pub(crate) fn deliver_bare<'a>(
    bus: &'a Bus,
    name: &'static str,
    event: &'a dyn Payload,
    list: &'a List,
    cx: &mut Context<'_>,
) -> Emitted {
    let Some(entry) = list.entries.first() else {
        note_unhandled(bus, name);
        return Emitted::bare(None, 0, Vec::new());
    };
    let event = Some(Lent::new(event));
    let mut call = Call { bus, name, event, record: None, entry, position: None, delivery: None };
    let mut round = Round::new();
    let id = context::within_bare(bus.inner.instance, name, || round.run(&mut call, list, cx));
    Emitted::bare(id, round.handled, round.failures)
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
    let Some(entry) = list.entries.first() else {
        note_unhandled(bus, record.name());
        return Delivered::Done(Emitted::of_record(record.clone(), 0, Vec::new()));
    };
    // Handlers that wait want timers and sockets, also where the emit is polled outside of a runtime.
    let _entered = list.waits.then(|| inner.enter_runtime());
    let scope = Scope::of_record(inner.instance, record);
    let mut round = Round::new();
    let mut call = of_record(bus, record, entry, Some(position));
    let ((), scope) = context::within(scope, || round.run(&mut call, &list, cx));
    let Round { handled, failures, pending, .. } = round;
    // Perhaps the last owner of a closure that was removed meanwhile.
    contained(|| drop(list));
    let emitted = Emitted::of_record(record.clone(), handled, failures);
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
    running: FuturesUnordered<Guarded>,
    waiting: Arc<Waiting>,
}

impl Group {
    fn new(bus: &Bus, record: Record, scope: Scope, emitted: Emitted, pending: Pending) -> Self {
        let inner = Arc::clone(&bus.inner);
        let (entries, futures): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
        let waiting = inner.watch.begin(record, entries.into_iter());
        let guarded = |(index, future)| Guarded { index, future };
        let running = futures.into_iter().enumerate().map(guarded).collect();
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
struct Guarded {
    index: usize,
    future: BoxFuture<'static, HandlerResult>,
}

impl Future for Guarded {
    type Output = (usize, HandlerResult);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(cx)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(HandlerError::panicked(panic)),
        };
        Poll::Ready((self.index, result))
    }
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
