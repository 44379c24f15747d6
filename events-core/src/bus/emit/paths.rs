//! The ways in which an emit runs. [`EmitPath`] is chosen once per emit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::bus::emit::begin::EmitOptions;
use crate::bus::emit::dispatch;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::pending_handlers::HandlersProgress;
use crate::bus::emit::publish;
use crate::bus::emit::task::{self, FirstPoll, Progress, Task};
use crate::bus::inner::in_flight::Detached;
use crate::bus::inner::routes::{HandlerList, ListGuard};
use crate::bus::inner::{Bus, Inner, context};
use crate::error::Error;
use crate::event::erased::ErasedEvent;
use crate::event::{Event, EventDecl, Payload};
use crate::id::InstanceId;
use crate::log::Appended;
use crate::panics::catch_panic;
use crate::record::{Envelope, Record};

/// How an emit runs. `stop` waits for every emit: for those of the first three kinds, because it waits until no
/// emit holds a list of handlers, and for [`CountedInFlight`](Self::CountedInFlight), because it waits until the
/// number of emits in flight is 0.
enum EmitPath {
    /// The handlers borrow the event from the emit, because no record is needed.
    BorrowedEvent(ListGuard),
    /// The record owns the event.
    OwnedRecord(ListGuard),
    /// The record shares the event with handlers that take `Arc<E>`.
    SharedRecord(ListGuard),
    /// The record shares the event, and [`Inner::begin_emit`] counts the emit or refuses it. Chosen for an emit with
    /// an adapter, inside a handler or with options, while the bus is stopping, and if too many emits wait for
    /// their handlers.
    CountedInFlight,
}

impl EmitPath {
    #[inline(always)]
    fn of(inner: &Inner, decl: &'static EventDecl, has_options: bool) -> Self {
        if has_options || inner.adapter.is_some() || context::is_in_handler() {
            return Self::CountedInFlight;
        }
        let Some(list) = inner.routes.of_declared(decl) else { return Self::CountedInFlight };
        if !list.needs_record && !inner.log.stores_appends() {
            return Self::BorrowedEvent(list);
        }
        match list.takes_arc {
            _ if inner.lifecycle.in_tasks() >= inner.settings.max_in_flight => {
                release(list);
                Self::CountedInFlight
            }
            true => Self::SharedRecord(list),
            false => Self::OwnedRecord(list),
        }
    }
}

/// Releases a list of handlers.
#[inline]
fn release(list: ListGuard) {
    // This may be the last owner of a closure that was removed meanwhile, whose destructor is user code.
    catch_panic(|| drop(list));
}

/// An event that is owned by its emit until it is moved into a record.
pub(super) trait UnsentEvent {
    /// Borrows the event.
    fn borrow_event(&self) -> ErasedEvent<'_>;
    /// Moves the event into a record. Returns `None` if it was moved before.
    fn move_to_record(&mut self, origin: InstanceId) -> Option<Record>;
    /// Moves the event into an `Arc`. Returns `None` if it was moved before.
    fn move_to_arc(&mut self) -> Option<Arc<dyn Payload>>;
}

impl<E: Event> UnsentEvent for Option<E> {
    fn borrow_event(&self) -> ErasedEvent<'_> {
        self.as_ref().map_or_else(ErasedEvent::none, |event| ErasedEvent::new(event))
    }

    fn move_to_record(&mut self, origin: InstanceId) -> Option<Record> {
        self.take().map(|event| Record::inline(event, origin))
    }

    fn move_to_arc(&mut self) -> Option<Arc<dyn Payload>> {
        self.take().map(|event| Arc::new(event) as _)
    }
}

pub(crate) type Polled = Poll<Result<Emitted, Error>>;

/// An emit without its event, so that most of its code is not generic over the event.
pub(super) struct EmitRun<'a> {
    pub(super) bus: &'a Bus,
    pub(super) decl: &'static EventDecl,
    pub(super) state: EmitState,
}

/// The state of an emit, without its event. A single enum, so that a plain emit is cheap to drop.
pub(crate) enum EmitState {
    Plain,
    With(Box<EmitOptions>),
    Detached(Detached, Option<Box<EmitOptions>>),
    /// Handlers or the adapter had not finished in the first poll.
    Pending(Task<Emitted>),
}

impl EmitState {
    #[inline(always)]
    fn has_options(&self) -> bool {
        !matches!(self, Self::Plain | Self::Detached(_, None))
    }

    /// Sets an option of an emit that has not started.
    pub(crate) fn set(&mut self, set: impl FnOnce(&mut EmitOptions)) {
        let (options, _) = self.take();
        let mut options = options.unwrap_or_default();
        set(&mut options);
        *self = Self::With(options);
    }

    /// Marks an emit that has not started as detached.
    pub(crate) fn detach(&mut self, detached: Detached) {
        let (options, _) = self.take();
        *self = Self::Detached(detached, options);
    }

    pub(crate) fn take(&mut self) -> (Option<Box<EmitOptions>>, Option<Detached>) {
        match std::mem::replace(self, Self::Plain) {
            Self::With(options) => (Some(options), None),
            Self::Detached(detached, options) => (options, Some(detached)),
            Self::Plain | Self::Pending(_) => (None, None),
        }
    }

    /// Continues a counted emit after its first poll: returns its result, or polls its task.
    pub(crate) fn after_first_poll(
        &mut self,
        first_poll: FirstPoll<Emitted>,
        cx: &mut Context<'_>,
    ) -> Polled {
        match first_poll {
            Progress::Done(outcome) => Poll::Ready(outcome),
            Progress::Pending(task) => self.wait_for(task, cx),
        }
    }

    fn wait_for(&mut self, task: Task<Emitted>, cx: &mut Context<'_>) -> Polled {
        *self = Self::Pending(task);
        self.resume(cx)
    }

    /// Polls the task of an emit that is pending.
    #[allow(clippy::panic, reason = "documented: a programmer's error, as for every future")]
    pub(crate) fn resume(&mut self, cx: &mut Context<'_>) -> Polled {
        let Self::Pending(task) = self else { panic!("an emit was polled after it had resolved") };
        let outcome = std::task::ready!(Pin::new(task).poll(cx));
        *self = Self::Plain;
        Poll::Ready(outcome)
    }
}

impl<'a> EmitRun<'a> {
    #[inline]
    pub(super) fn new(bus: &'a Bus, decl: &'static EventDecl) -> Self {
        Self { bus, decl, state: EmitState::Plain }
    }

    /// Runs the first poll. `event` must not have been taken.
    pub(super) fn start(&mut self, event: &mut dyn UnsentEvent, cx: &mut Context<'_>) -> Polled {
        let (bus, decl) = (self.bus, self.decl);
        match EmitPath::of(&bus.inner, decl, self.state.has_options()) {
            EmitPath::BorrowedEvent(list) => {
                let called = dispatch::call_with_borrowed_event(bus, decl, event.borrow_event(), &list, cx);
                release(list);
                called.into_polled()
            }
            EmitPath::OwnedRecord(list) => {
                let Some(record) = event.move_to_record(bus.inner.instance) else { return Poll::Pending };
                self.run_with_list(record, list, cx)
            }
            EmitPath::SharedRecord(list) => {
                let Some(event) = event.move_to_arc() else { return Poll::Pending };
                self.run_with_list(Record::shared(decl, event, Envelope::new(bus.inner.instance)), list, cx)
            }
            EmitPath::CountedInFlight => {
                let Some(event) = event.move_to_arc() else { return Poll::Pending };
                self.run_counted(event, cx)
            }
        }
    }

    /// Appends a record and calls its handlers. The emit is not counted: `stop` waits for it because it holds
    /// `list`.
    #[inline(never)]
    fn run_with_list(&mut self, record: Record, list: ListGuard, cx: &mut Context<'_>) -> Polled {
        let polled = match append_and_call(self.bus, record, Some(&list), cx) {
            Progress::Done(emitted) => Poll::Ready(Ok(emitted)),
            Progress::Pending(pending) => {
                let (_, detached) = self.state.take();
                self.state.wait_for(pending.spawn(detached), cx)
            }
        };
        release(list);
        polled
    }

    #[inline(never)]
    fn run_counted(&mut self, event: Arc<dyn Payload>, cx: &mut Context<'_>) -> Polled {
        let (bus, decl) = (self.bus, self.decl);
        let (options, detached) = self.state.take();
        let make = |envelope| Record::shared(decl, event, envelope);
        let first_poll = start_counted(bus, decl.name, options, detached, make, cx)?;
        self.state.after_first_poll(first_poll, cx)
    }
}

/// Counts an emit as in flight with [`Inner::begin_emit`], creates its record with `make`, and polls the emit once.
///
/// # Errors
///
/// The error of [`Inner::begin_emit`], if it refuses the emit.
pub(crate) fn start_counted(
    bus: &Bus,
    name: &str,
    options: Option<Box<EmitOptions>>,
    detached: Option<Detached>,
    make: impl FnOnce(Envelope) -> Record,
    cx: &mut Context<'_>,
) -> Result<FirstPoll<Emitted>, Error> {
    let (_flight, envelope) = bus.inner.begin_emit(name, options)?;
    let record = make(envelope);
    if let Some(adapter) = &bus.inner.adapter {
        let name = record.shared_name();
        let future = Box::pin(publish::publish_and_call(bus.clone(), Arc::clone(adapter), record));
        return Ok(task::poll_or_spawn(&bus.inner, name, detached, future, cx));
    }
    Ok(match append_and_call(bus, record, None, cx) {
        Progress::Done(emitted) => Progress::Done(check_duplicate(bus, emitted)),
        Progress::Pending(pending) => Progress::Pending(pending.spawn(detached)),
    })
}

/// Returns an error if the emit was taken for a repetition, and the log has another event under its id.
fn check_duplicate(bus: &Bus, emitted: Emitted) -> Result<Emitted, Error> {
    if emitted.is_duplicate()
        && let Some(record) = emitted.record()
        && let Some(stored) = bus.inner.log.find(record.id())
    {
        record.check_repeats(&stored)?;
    }
    Ok(emitted)
}

/// Appends a record to the log and calls its handlers. The caller must be in flight. If `list` was replaced
/// before the append, the current list is used.
fn append_and_call(
    bus: &Bus,
    record: Record,
    list: Option<&HandlerList>,
    cx: &mut Context<'_>,
) -> HandlersProgress {
    let Appended::At(position) = bus.inner.log.append_one(&record) else {
        return Progress::Done(Emitted::duplicate(record));
    };
    match list {
        Some(list) if !list.is_replaced() => dispatch::call_handlers_in(bus, record, position, list, cx),
        _ => dispatch::call_handlers(bus, record, position, cx),
    }
}
