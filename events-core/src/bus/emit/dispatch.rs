//! Calls the handlers of one event.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::adapter::BoxFuture;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::group::{Delivered, Group, Guarded, Running};
use crate::bus::emit::task::Progress;
use crate::bus::inner::call::{Call, Source};
use crate::bus::inner::calling::Calling;
use crate::bus::inner::context::{self, Scope};
use crate::bus::inner::failure::{Failure, note_failure};
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::routes::{Entry, List, Route};
use crate::bus::inner::slow::WaitingHandler;
use crate::bus::inner::{Bus, Inner, report};
use crate::event::EventDecl;
use crate::event::erased::ErasedEvent;
use crate::id::EventId;
use crate::log::Appended;
use crate::panics::catch_panic;
use crate::record::Record;

/// From so many handlers on, they are called from several places.
const MANY: usize = 16;

/// One event's way through a list of handlers. The call is lent to each of them, and never copied: bytes that were
/// just written in small pieces are slow to read in large ones.
struct Dispatch {
    /// Handlers that must not be called any more.
    skipped: usize,
    /// Whether that must be asked of each.
    must_ask: bool,
    calling: Calling,
    rest: Option<Box<Rest>>,
}

/// The handlers after their first poll. Two words, and so passed in registers.
pub(super) struct Called {
    handled: usize,
    /// `None` if all are done without a failure.
    rest: Option<Box<Rest>>,
}

/// Failures and pending handlers: few emits have any.
#[derive(Default)]
struct Rest {
    failures: Vec<Failure>,
    /// The handlers that wait for something, and their futures.
    waiting: Vec<WaitingHandler>,
    running: Running,
    /// The id of an event without a record, if a handler asked for it.
    id: Option<EventId>,
}

/// Calls the handlers of an event that needs no record: none of them waits. The emit is outside of all handlers.
#[inline]
pub(super) fn by_reference<'a>(
    bus: &'a Bus,
    decl: &'static EventDecl,
    event: ErasedEvent<'a>,
    list: &'a List,
    cx: &mut Context<'_>,
) -> Called {
    let source = Source::Bare(decl);
    let Some(Entry { route, .. }) = list.entries.first() else {
        note_unhandled(bus, source);
        return Called { handled: 0, rest: None };
    };
    let entered = context::enter_bare(bus.inner.instance, decl);
    let mut call = Call { bus, event, source, route, delivery: None };
    let mut called = Dispatch::run(&mut call, list, cx);
    if entered.has_id() {
        called.note_id(entered.id());
    }
    called
}

/// Calls the handlers of a record.
pub(super) fn deliver(bus: &Bus, record: Record, position: u64, cx: &mut Context<'_>) -> Delivered {
    let list = bus.inner.routes.of_record(&record);
    let progress = deliver_to(bus, record, position, &list, cx);
    // Perhaps the last owner of a closure that was removed meanwhile.
    catch_panic(|| drop(list));
    progress
}

/// [`deliver`] in a task.
pub(crate) async fn deliver_appended(bus: &Bus, record: Record, appended: Appended) -> Delivered {
    let mut record = Some(record);
    poll_fn(|cx| match (record.take(), appended) {
        (Some(record), Appended::At(position)) => Poll::Ready(deliver(bus, record, position, cx)),
        (Some(record), Appended::Duplicate) => Poll::Ready(Progress::Done(Emitted::duplicate(record))),
        (None, _) => Poll::Pending,
    })
    .await
}

/// Calls these handlers of a record.
pub(super) fn deliver_to(
    bus: &Bus,
    record: Record,
    position: u64,
    list: &List,
    cx: &mut Context<'_>,
) -> Delivered {
    let inner = &bus.inner;
    let Some(entry) = list.entries.first() else {
        note_unhandled(bus, Source::Stored(&record, None));
        return Progress::Done(Emitted::of_record(record, 0));
    };
    // Handlers that wait use timers and sockets, also where the emit is polled outside of a runtime.
    let _runtime = if list.waits { inner.enter_runtime() } else { None };
    let mut call = Call::of_record(bus, &record, &entry.route, Some(position));
    let entered = context::enter_record(inner.instance, &record);
    let called = Dispatch::run(&mut call, list, cx);
    drop(entered);
    match called.rest {
        None => Progress::Done(Emitted::of_record(record, called.handled)),
        Some(rest) => rest.of_record(bus, record, called.handled),
    }
}

impl Called {
    #[cold]
    fn note_id(&mut self, id: Option<EventId>) {
        self.rest.get_or_insert_default().id = id;
    }

    #[inline]
    pub(super) fn without_record(self) -> Emitted {
        match self.rest {
            None => Emitted::bare(self.handled),
            Some(rest) => Emitted::bare_with(self.handled, rest.id, rest.failures),
        }
    }
}

impl Rest {
    #[inline(never)]
    fn of_record(self, bus: &Bus, record: Record, handled: usize) -> Delivered {
        let emitted = Emitted::of_record(record.clone(), handled);
        if self.waiting.is_empty() {
            return Progress::Done(emitted.fail(self.failures));
        }
        Progress::Pending(Group {
            inner: Arc::clone(&bus.inner),
            scope: Scope::of_record(bus.inner.instance, &record),
            emitted: Some(emitted),
            failures: self.failures,
            running: self.running,
            waiting: bus.inner.watch.begin(record, self.waiting),
        })
    }
}

impl Dispatch {
    /// Calls each handler and polls it once. Runs within the event's [`Scope`].
    #[inline]
    fn run<'a>(call: &mut Call<'a>, list: &'a List, cx: &mut Context<'_>) -> Called {
        let mut this = Self { skipped: 0, must_ask: list.must_ask(), calling: Calling::begin(), rest: None };
        let mut entries = &list.entries[..];
        // One frame for all that go well: a panic begins another one behind the handler that panicked.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| this.call_each(call, entries, list, cx))) {
            this.note_panic(call, list, panic);
            entries = list.behind(call.route);
        }
        let handled = list.entries.len() - this.skipped;
        if handled == 0 {
            note_unhandled(call.bus, call.source);
        }
        Called { handled, rest: this.rest }
    }

    #[inline]
    fn call_each<'a>(
        &mut self,
        call: &mut Call<'a>,
        entries: &'a [Entry],
        list: &List,
        cx: &mut Context<'_>,
    ) {
        if entries.len() >= MANY {
            return self.call_many(call, entries, list, cx);
        }
        for entry in entries {
            self.call_one(call, entry, list, cx);
        }
    }

    /// Calls from four places in turn. A processor guesses where each place goes next, and for one place with
    /// 64 closures it often guesses wrong: so they take half the time.
    #[inline(never)]
    fn call_many<'a>(
        &mut self,
        call: &mut Call<'a>,
        entries: &'a [Entry],
        list: &List,
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
    fn call_one<'a>(&mut self, call: &mut Call<'a>, entry: &'a Entry, list: &List, cx: &mut Context<'_>) {
        if self.must_ask && !may_call(call.bus, entry) {
            self.skipped += 1;
            return;
        }
        call.route = &entry.route;
        self.calling.route(call.route);
        if let Some(future) = (entry.run)(call) {
            self.poll_once(call, future, cx);
        }
        if self.calling.is_news() {
            self.note_news(call, list);
        }
    }

    /// Cold not because it is rare: so that the way of handlers that are simply done has no branch to take.
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
        let rest = self.rest.get_or_insert_default();
        let waiting = WaitingHandler::new(call.route.clone());
        rest.running.push(Guarded {
            index: rest.waiting.len(),
            number: waiting.number(),
            future: Some(future),
        });
        rest.waiting.push(waiting);
    }

    #[cold]
    fn note_news(&mut self, call: &Call<'_>, list: &List) {
        self.must_ask = list.must_ask();
        call.bus.inner.watch.lap(&mut self.calling, call.route, call.source.name());
    }

    /// The handler that was called last has panicked.
    #[cold]
    fn note_panic(&mut self, call: &Call<'_>, list: &List, panic: Box<dyn Any + Send>) {
        self.fail(call, HandlerError::panicked(panic));
        self.note_news(call, list);
    }

    #[cold]
    fn fail(&mut self, call: &Call<'_>, error: HandlerError) {
        let failure = failed(&call.bus.inner, call.source.name(), call.route, error);
        self.rest.get_or_insert_default().failures.push(failure);
    }
}

/// Whether this emit is the one that calls the handler.
#[cold]
fn may_call(bus: &Bus, entry: &Entry) -> bool {
    let handler = &entry.route.registration;
    let may = handler.admit();
    if may && handler.is_once() {
        bus.inner.routes.remove(handler);
    }
    may
}

#[cold]
fn note_unhandled(bus: &Bus, source: Source<'_>) {
    let name = source.name();
    if bus.inner.has_work_on(name) {
        return;
    }
    bus.inner.counters.unhandled.fetch_add(1, Ordering::Relaxed);
    report::unhandled(name);
}

/// Counts and logs a failure. Runs within the event's scope, which knows the id.
pub(super) fn failed(inner: &Inner, event: &str, route: &Route, error: HandlerError) -> Failure {
    let failure = Failure::new(route, error);
    note_failure(inner, event, context::current_id(), &failure);
    failure
}
