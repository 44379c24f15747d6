//! Calls the handlers of one event, and drives those that are pending.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::adapter::BoxFuture;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::future_set::FutureSet;
use crate::bus::emit::task::Work;
use crate::bus::inner::call::Callback;
use crate::bus::inner::call::{Attempt, Call, Source};
use crate::bus::inner::context::{self, Scope};
use crate::bus::inner::failure::Failure;
use crate::bus::inner::failure::note_failure;
use crate::bus::inner::in_flight::{Detached, InFlightGuard};
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::routes::{Entry, List, Route};
use crate::bus::inner::slow::{Laps, Shown, WaitingHandler, polling};
use crate::bus::inner::{Bus, Inner, report};
use crate::contain::{caught, contained};
use crate::event::erased::ErasedEvent;
use crate::event::{EventDecl, Payload};
use crate::id::EventId;
use crate::record::Record;

/// From so many handlers on, they are called from several places.
const MANY: usize = 16;

/// One event's way through a list. What it calls with is lent to it, and never copied: what was just
/// written in small pieces is slow to read in large ones.
struct Round {
    /// Handlers that must not be called any more.
    skipped: usize,
    /// Whether that must be asked of each.
    must_ask: bool,
    laps: Laps,
    left: Option<Box<Left>>,
}

/// What became of the handlers after their first poll. Two words, and so passed in registers.
pub(crate) enum Delivered {
    /// So many were called, and all is well.
    Done(usize),
    Left(Box<Left>),
}

/// What handlers leave behind that are not simply done: few emits have it.
#[derive(Default)]
pub(crate) struct Left {
    handled: usize,
    failures: Vec<Failure>,
    /// The handlers that wait for something, and their futures.
    waiting: Vec<WaitingHandler>,
    running: Running,
    /// Where there was no record, and still somebody asked for an id.
    id: Option<EventId>,
}

impl Round {
    #[inline]
    fn new(list: &List) -> Self {
        let laps = Laps::start();
        Self { skipped: 0, must_ask: list.must_ask(), laps, left: None }
    }

    /// Calls each handler and polls it once. Runs within the event's [`Scope`].
    #[inline]
    fn run<'a>(&mut self, call: &mut Call<'a>, list: &'a List, cx: &mut Context<'_>) {
        let mut entries = &list.entries[..];
        // One frame for all that go well: a panic begins another one behind the handler that panicked.
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.call_each(call, entries, list, cx))) {
            self.note_panic(call, list, panic);
            entries = list.behind(call.route);
        }
        if list.entries.len() == self.skipped {
            note_unhandled(call.bus, call.source);
        }
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
        self.laps.call(call.route);
        if let Some(future) = (entry.run)(call) {
            self.poll_once(call, future, cx);
        }
        if self.laps.is_news() {
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
        let left = self.left.get_or_insert_default();
        let waiting = WaitingHandler::new(call.route.clone());
        left.running.push(Guarded {
            index: left.waiting.len(),
            number: waiting.number(),
            future: Some(future),
        });
        left.waiting.push(waiting);
    }

    #[inline]
    fn finish(self, list: &List) -> Delivered {
        let handled = list.entries.len() - self.skipped;
        match self.left {
            None => Delivered::Done(handled),
            Some(mut left) => {
                left.handled = handled;
                Delivered::Left(left)
            }
        }
    }

    #[cold]
    fn note_news(&mut self, call: &Call<'_>, list: &List) {
        self.must_ask = list.must_ask();
        self.laps.lap(&call.bus.inner.watch, call.route, call.source.name());
    }

    /// The handler that was called last has panicked.
    #[cold]
    fn note_panic(&mut self, call: &Call<'_>, list: &List, panic: Box<dyn Any + Send>) {
        self.fail(call, HandlerError::panicked(panic));
        self.note_news(call, list);
    }

    #[cold]
    fn fail(&mut self, call: &Call<'_>, error: HandlerError) {
        let failures = &mut self.left.get_or_insert_default().failures;
        fail(&call.bus.inner, call.source.name(), call.route, error, failures);
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

/// Logs and lists a failure. Runs within the event's scope, which knows the id.
fn fail(inner: &Inner, event: &str, route: &Route, error: HandlerError, failures: &mut Vec<Failure>) {
    let failure = Failure::new(route, error);
    note_failure(inner, event, context::current_id(), &failure);
    failures.push(failure);
}

/// Calls one handler for a record and waits for it, as part of handling that record.
pub(crate) async fn call_alone(
    bus: &Bus,
    callback: &Callback,
    route: &Route,
    record: &Record,
    position: Option<u64>,
) -> HandlerResult {
    let call = of_record(bus, record, route, position);
    let handled = async {
        match (callback.run)(&call) {
            None => Ok(()),
            Some(future) => future.await,
        }
    };
    let shown = bus.inner.watch.begin_alone(record.clone(), route.clone());
    shown.polling(as_part_of(bus, record, handled)).await
}

/// Calls a durable handler for one attempt at a record, and waits for it.
pub(crate) async fn call_durable(
    bus: &Bus,
    callback: &Callback,
    route: &Route,
    record: &Record,
    attempt: Attempt,
) -> HandlerResult {
    let shown = bus.inner.watch.begin_alone(record.clone(), route.clone());
    let delivery = of_record(bus, record, route, None).to_delivery_of(attempt);
    let handled = async {
        let settled = (callback.run)(&delivery?.call());
        match settled {
            None => Ok(()),
            Some(future) => future.await,
        }
    };
    shown.polling(as_part_of(bus, record, handled)).await
}

/// Runs a handler within the scope of its event; a panic is its result.
async fn as_part_of(
    bus: &Bus,
    record: &Record,
    handled: impl Future<Output = HandlerResult>,
) -> HandlerResult {
    let scope = Scope::of_record(bus.inner.instance, record);
    let contained = caught(handled);
    let result = context::EventContext::of(scope).carry(contained).await;
    result.unwrap_or_else(|panic| Err(HandlerError::panicked(panic)))
}

/// A call for a record.
#[inline]
fn of_record<'a>(bus: &'a Bus, record: &'a Record, route: &'a Route, position: Option<u64>) -> Call<'a> {
    let event = record.event().map_or_else(ErasedEvent::none, ErasedEvent::new);
    Call { bus, event, source: Source::Stored(record, position), route, delivery: None }
}

/// Calls the handlers of an event that needs no record: none of them waits. `None` inside of handlers, where
/// an emit has more to know.
#[inline]
pub(crate) fn deliver_bare<'a>(
    bus: &'a Bus,
    decl: &'static EventDecl,
    event: &'a dyn Payload,
    list: &'a List,
    cx: &mut Context<'_>,
) -> Option<Delivered> {
    let entered = context::enter_bare(bus.inner.instance, decl)?;
    let Some(entry) = list.entries.first() else {
        note_unhandled(bus, Source::Bare(decl));
        return Some(Delivered::Done(0));
    };
    let event = ErasedEvent::new(event);
    let mut call = Call { bus, event, source: Source::Bare(decl), route: &entry.route, delivery: None };
    let mut round = Round::new(list);
    round.run(&mut call, list, cx);
    if let Some(id) = entered.leave() {
        round.left.get_or_insert_default().id = Some(id);
    }
    Some(round.finish(list))
}

/// Calls the handlers of a record.
pub(crate) fn deliver(bus: &Bus, record: &Record, position: u64, cx: &mut Context<'_>) -> Delivered {
    let list = bus.inner.routes.of_record(record);
    let delivered = deliver_to(bus, record, position, &list, cx);
    // Perhaps the last owner of a closure that was removed meanwhile.
    contained(|| drop(list));
    delivered
}

/// Calls these handlers of a record.
pub(crate) fn deliver_to(
    bus: &Bus,
    record: &Record,
    position: u64,
    list: &List,
    cx: &mut Context<'_>,
) -> Delivered {
    let inner = &bus.inner;
    let Some(entry) = list.entries.first() else {
        note_unhandled(bus, Source::Stored(record, None));
        return Delivered::Done(0);
    };
    // Handlers that wait want timers and sockets, also where the emit is polled outside of a runtime.
    let _entered = if list.waits { inner.enter_runtime() } else { None };
    let mut round = Round::new(list);
    let mut call = of_record(bus, record, &entry.route, Some(position));
    let entered = context::enter_record(inner.instance, record);
    round.run(&mut call, list, cx);
    drop(entered);
    round.finish(list)
}

impl Delivered {
    /// What an emit without a record came to.
    #[inline]
    pub(crate) fn bare(self) -> Emitted {
        match self {
            Self::Done(handled) => Emitted::bare(handled),
            Self::Left(left) => (*left).bare(),
        }
    }

    /// What the emit of a record came to, or what goes on of it.
    pub(crate) fn of_record(self, bus: &Bus, record: Record) -> Outcome {
        let left = match self {
            Self::Done(handled) => return Outcome::Done(Emitted::of_record(record, handled)),
            Self::Left(left) => *left,
        };
        let emitted = Emitted::of_record(record.clone(), left.handled);
        if left.waiting.is_empty() {
            return Outcome::Done(emitted.fail(left.failures));
        }
        Outcome::Pending(Group {
            inner: Arc::clone(&bus.inner),
            scope: Scope::of_record(bus.inner.instance, &record),
            emitted: Some(emitted),
            failures: left.failures,
            running: left.running,
            waiting: bus.inner.watch.begin(record, left.waiting),
            kept: None,
        })
    }
}

impl Left {
    #[cold]
    fn bare(self) -> Emitted {
        Emitted::bare_with(self.handled, self.id, self.failures)
    }
}

/// What became of the emit of a record after the first poll of its handlers.
pub(crate) enum Outcome {
    Done(Emitted),
    Pending(Group),
}

/// The pending handlers of one event, driven together by one task.
pub(crate) struct Group {
    inner: Arc<Inner>,
    scope: Scope,
    /// What the emit came to so far.
    emitted: Option<Emitted>,
    failures: Vec<Failure>,
    running: Running,
    waiting: Shown,
    kept: Option<Kept>,
}

impl Group {
    /// Keeps the emit counted for as long as this exists.
    pub(crate) fn keep(mut self, kept: Kept) -> Self {
        self.kept = Some(kept);
        self
    }

    /// Polls what is ready to go on. Runs within the scope.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((index, result)) = std::task::ready!(self.running.poll_next(cx)) {
            let entry = self.waiting.finish(index);
            if let Err(error) = result {
                fail(&self.inner, self.waiting.event(), entry, error, &mut self.failures);
            }
        }
        Poll::Ready(())
    }
}

/// The futures of handlers. Mostly one waits: alone, it needs no set.
#[derive(Default)]
enum Running {
    #[default]
    Done,
    One(Guarded),
    Many(FutureSet<Guarded>),
}

impl Running {
    fn push(&mut self, future: Guarded) {
        *self = match std::mem::replace(self, Self::Done) {
            Self::Done => Self::One(future),
            Self::One(first) => {
                let mut futures = FutureSet::new();
                futures.push(first);
                futures.push(future);
                Self::Many(futures)
            }
            Self::Many(mut futures) => {
                futures.push(future);
                Self::Many(futures)
            }
        };
    }

    /// The next result of any; `None` when all are done.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, HandlerResult)>> {
        match self {
            Self::Done => Poll::Ready(None),
            Self::One(future) => {
                let result = std::task::ready!(Pin::new(future).poll(cx));
                *self = Self::Done;
                Poll::Ready(Some(result))
            }
            Self::Many(futures) => futures.poll_next(cx),
        }
    }
}

/// A handler's future, whose panic is its result: also one in its destructor.
struct Guarded {
    index: usize,
    /// Tells the watch which handler is polled.
    number: usize,
    /// Until it is done.
    future: Option<BoxFuture<'static, HandlerResult>>,
}

impl Future for Guarded {
    type Output = (usize, HandlerResult);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _calling = polling(self.number);
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(HandlerError::panicked(panic)),
        };
        // What the handler holds may panic as well: that is a failure of this handler, unless it has failed.
        let done = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(done))).map_err(HandlerError::panicked);
        Poll::Ready((self.index, result.and(dropped)))
    }
}

/// Handlers that are lost are told of, one by one.
impl Drop for Group {
    fn drop(&mut self) {
        if self.emitted.is_some() {
            let record = self.waiting.record();
            self.waiting.undone().for_each(|handler| {
                contained(|| self.inner.abandon(record.name(), Some(record.id()), handler));
            });
        }
    }
}

impl Work for Group {
    fn bus(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Future for Group {
    type Output = Emitted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Emitted> {
        let this = &mut *self;
        this.waiting.begin();
        let entered = this.scope.enter();
        let polled = this.drive(cx);
        drop(entered);
        std::task::ready!(polled);
        let failures = std::mem::take(&mut this.failures);
        match this.emitted.take() {
            Some(emitted) if failures.is_empty() => Poll::Ready(emitted),
            Some(emitted) => Poll::Ready(emitted.fail(failures)),
            None => Poll::Pending,
        }
    }
}

/// What keeps a task of an emit counted until it ends, however it ends.
pub(crate) struct Kept {
    pub(crate) _flight: InFlightGuard,
    pub(crate) _detached: Option<Detached>,
}
