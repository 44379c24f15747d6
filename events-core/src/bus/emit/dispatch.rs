//! Calls the handlers of one event.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::adapter::BoxFuture;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::paths::Polled;
use crate::bus::emit::pending_handlers::{HandlerFuture, HandlerFutures, HandlersProgress, PendingHandlers};
use crate::bus::emit::task::Progress;
use crate::bus::inner::call::{Call, HandledEvent};
use crate::bus::inner::calling::Calling;
use crate::bus::inner::context::{self, Scope};
use crate::bus::inner::failure::Failure;
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::routes::{Entry, HandlerList, Route};
use crate::bus::inner::slow::WaitingHandler;
use crate::bus::inner::{Bus, Inner, report};
use crate::event::EventDecl;
use crate::event::erased::ErasedEvent;
use crate::id::EventId;
use crate::log::Appended;
use crate::panics::catch_panic;
use crate::record::Record;

/// Number of handlers from which on [`Dispatch::call_many`] is used.
const MIN_HANDLERS_FOR_CALL_MANY: usize = 16;

/// One event's pass through a list of handlers. Handlers borrow the call. Copying it would read fields that were just
/// written with wider loads, which is slow.
struct Dispatch {
    /// Number of handlers that were not called, because they were removed, or are `once` handlers that
    /// another emit has called.
    skipped: usize,
    /// True if [`check_handler`] must be asked before each handler.
    must_check_handlers: bool,
    calling: Calling,
    failed_or_pending: Option<Box<FailedOrPending>>,
}

/// The result of the first poll of all handlers. Two words, so that it is passed in registers.
pub(super) struct CallResults {
    handled: usize,
    /// `None` if all handlers have finished without a failure.
    failed_or_pending: Option<Box<FailedOrPending>>,
}

/// Failures and pending handlers. Few emits have any.
#[derive(Default)]
struct FailedOrPending {
    failures: Vec<Failure>,
    /// The handlers that wait. Their futures are in `running`.
    waiting: Vec<WaitingHandler>,
    running: HandlerFutures,
    /// The id of an event without a record. It is created only when a handler reads it.
    id: Option<EventId>,
}

/// Calls the handlers of an event without a record. No handler in the list may return a future, and the emit must not
/// be nested in a handler.
#[inline]
pub(super) fn call_with_borrowed_event<'a>(
    bus: &'a Bus,
    decl: &'static EventDecl,
    event: ErasedEvent<'a>,
    list: &'a HandlerList,
    cx: &mut Context<'_>,
) -> CallResults {
    let Some(Entry { route, .. }) = list.entries.first() else {
        note_unhandled(bus, HandledEvent::WithoutRecord(decl));
        return CallResults { handled: 0, failed_or_pending: None };
    };
    let entered = context::enter_without_record(bus.inner.instance, decl);
    let mut call =
        Call { bus, event, handled_event: HandledEvent::WithoutRecord(decl), route, delivery: None };
    let mut called = Dispatch::run(&mut call, list, cx);
    if entered.has_id() {
        called.note_id(entered.id());
    }
    called
}

/// Calls the handlers of a record's event with the record.
pub(super) fn call_handlers(
    bus: &Bus,
    record: Record,
    position: u64,
    cx: &mut Context<'_>,
) -> HandlersProgress {
    let list = bus.inner.routes.of_record(&record);
    let progress = call_handlers_in(bus, record, position, &list, cx);
    // This may be the last owner of a closure that was removed meanwhile, whose destructor is user code.
    catch_panic(|| drop(list));
    progress
}

/// Delivers a record from an async function. Calls no handler if the log already had the record.
pub(crate) async fn call_handlers_if_new(bus: &Bus, record: Record, appended: Appended) -> HandlersProgress {
    let mut record = Some(record);
    poll_fn(|cx| match (record.take(), appended) {
        (Some(record), Appended::At(position)) => Poll::Ready(call_handlers(bus, record, position, cx)),
        (Some(record), Appended::Duplicate) => Poll::Ready(Progress::Done(Emitted::duplicate(record))),
        (None, _) => Poll::Pending,
    })
    .await
}

/// Calls the handlers in `list` with a record.
pub(super) fn call_handlers_in(
    bus: &Bus,
    record: Record,
    position: u64,
    list: &HandlerList,
    cx: &mut Context<'_>,
) -> HandlersProgress {
    let inner = &bus.inner;
    let Some(entry) = list.entries.first() else {
        note_unhandled(bus, HandledEvent::WithRecord(&record, None));
        return Progress::Done(Emitted::of_record(record, 0));
    };
    // Handlers that wait use timers and sockets, which need a runtime even if the emit is polled outside of
    // one.
    let _runtime = if list.has_async { inner.enter_runtime() } else { None };
    let mut call = Call::of_record(bus, &record, &entry.route, Some(position));
    let entered = context::enter_record(inner.instance, &record);
    let called = Dispatch::run(&mut call, list, cx);
    drop(entered);
    match called.failed_or_pending {
        None => Progress::Done(Emitted::of_record(record, called.handled)),
        Some(more) => more.into_progress(bus, record, called.handled),
    }
}

impl CallResults {
    #[cold]
    fn note_id(&mut self, id: Option<EventId>) {
        self.failed_or_pending.get_or_insert_default().id = id;
    }

    #[inline]
    pub(super) fn into_polled(self) -> Polled {
        match self.failed_or_pending {
            None => Poll::Ready(Ok(Emitted::without_record(self.handled))),
            Some(more) => Poll::Ready(Ok(Emitted::without_record_with(self.handled, more.id, more.failures))),
        }
    }
}

impl FailedOrPending {
    #[inline(never)]
    fn into_progress(self, bus: &Bus, record: Record, handled: usize) -> HandlersProgress {
        let emitted = Emitted::of_record(record.clone(), handled);
        if self.waiting.is_empty() {
            return Progress::Done(emitted.with_failures(self.failures));
        }
        Progress::Pending(PendingHandlers {
            inner: Arc::clone(&bus.inner),
            scope: Scope::of_record(bus.inner.instance, &record),
            emitted: Some(emitted),
            failures: self.failures,
            running: self.running,
            waiting: bus.inner.slow_handlers.add_emit(record, self.waiting),
        })
    }
}

impl Dispatch {
    /// Calls each handler and polls its future once. Must run in the event's [`Scope`].
    #[inline]
    fn run<'a>(call: &mut Call<'a>, list: &'a HandlerList, cx: &mut Context<'_>) -> CallResults {
        let mut this = Self {
            skipped: 0,
            must_check_handlers: list.must_check_handlers(),
            calling: Calling::begin(),
            failed_or_pending: None,
        };
        let mut entries = &list.entries[..];
        // One `catch_unwind` for all handlers. After a panic, the loop resumes, under a new `catch_unwind`, with the
        // next handler.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| this.call_each(call, entries, list, cx))) {
            this.note_panic(call, list, panic);
            entries = list.entries_after(call.route);
        }
        let handled = list.entries.len() - this.skipped;
        if handled == 0 {
            note_unhandled(call.bus, call.handled_event);
        }
        CallResults { handled, failed_or_pending: this.failed_or_pending }
    }

    #[inline]
    fn call_each<'a>(
        &mut self,
        call: &mut Call<'a>,
        entries: &'a [Entry],
        list: &HandlerList,
        cx: &mut Context<'_>,
    ) {
        if entries.len() >= MIN_HANDLERS_FOR_CALL_MANY {
            return self.call_many(call, entries, list, cx);
        }
        for entry in entries {
            self.call_one(call, entry, list, cx);
        }
    }

    /// Calls handlers from four call sites in turn. A processor predicts the target of each call site. Measured with
    /// 64 closures, one call site takes twice the time, because of mispredictions.
    #[inline(never)]
    fn call_many<'a>(
        &mut self,
        call: &mut Call<'a>,
        entries: &'a [Entry],
        list: &HandlerList,
        cx: &mut Context<'_>,
    ) {
        let (fours, rest) = entries.as_chunks();
        for [first, second, third, fourth] in fours {
            self.call_one(call, first, list, cx);
            self.call_one(call, second, list, cx);
            self.call_one(call, third, list, cx);
            self.call_one(call, fourth, list, cx);
        }
        for entry in rest {
            self.call_one(call, entry, list, cx);
        }
    }

    #[inline(always)]
    fn call_one<'a>(
        &mut self,
        call: &mut Call<'a>,
        entry: &'a Entry,
        list: &HandlerList,
        cx: &mut Context<'_>,
    ) {
        if self.must_check_handlers && !check_handler(call.bus, entry) {
            self.skipped += 1;
            return;
        }
        call.route = &entry.route;
        self.calling.set_callee(call.route);
        if let Some(future) = (entry.function)(call) {
            self.poll_once(call, future, cx);
        }
        if self.calling.has_changed() {
            self.note_changes(call, list);
        }
    }

    /// Marked cold although it is not rare, so that handlers that return no future take no branch.
    #[cold]
    fn poll_once(
        &mut self,
        call: &Call<'_>,
        mut future: BoxFuture<'static, HandlerResult>,
        cx: &mut Context<'_>,
    ) {
        match future.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.fail(call, error),
            Poll::Pending => self.await_later(call, future),
        }
    }

    #[inline(never)]
    fn await_later(&mut self, call: &Call<'_>, future: BoxFuture<'static, HandlerResult>) {
        let more = self.failed_or_pending.get_or_insert_default();
        let waiting = WaitingHandler::new(call.route.clone());
        more.running.push(HandlerFuture {
            index: more.waiting.len(),
            number: waiting.number(),
            future: Some(future),
        });
        more.waiting.push(waiting);
    }

    #[cold]
    fn note_changes(&mut self, call: &Call<'_>, list: &HandlerList) {
        self.must_check_handlers = list.must_check_handlers();
        call.bus.inner.slow_handlers.end_timing(&mut self.calling, call.route, call.handled_event.name());
    }

    /// Notes that the handler called last has panicked.
    #[cold]
    fn note_panic(&mut self, call: &Call<'_>, list: &HandlerList, panic: Box<dyn Any + Send>) {
        self.fail(call, HandlerError::panicked(panic));
        self.note_changes(call, list);
    }

    #[cold]
    fn fail(&mut self, call: &Call<'_>, error: HandlerError) {
        let failure = note_failed_call(&call.bus.inner, call.handled_event.name(), call.route, error);
        self.failed_or_pending.get_or_insert_default().failures.push(failure);
    }
}

/// Returns true if this emit may call the handler. Removes a `once` handler.
#[cold]
fn check_handler(bus: &Bus, entry: &Entry) -> bool {
    let handler = &entry.route.registration;
    let may = handler.try_begin_call();
    if may && handler.is_once() {
        bus.inner.routes.remove(handler);
    }
    may
}

#[cold]
fn note_unhandled(bus: &Bus, event: HandledEvent<'_>) {
    let name = event.name();
    if bus.inner.has_durable_handler_for(name) {
        return;
    }
    bus.inner.counters.unhandled.fetch_add(1, Ordering::Relaxed);
    report::unhandled(name);
}

/// Counts and logs a failure. Must run in the event's scope, which gives the id.
pub(super) fn note_failed_call(inner: &Inner, event: &str, route: &Route, error: HandlerError) -> Failure {
    let failure = Failure::new(route, error);
    inner.note_failure(event, context::current_id(), &failure);
    failure
}
