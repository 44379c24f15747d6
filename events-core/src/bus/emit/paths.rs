//! The ways in which an emit runs. [`Path`] is chosen once per emit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::bus::emit::admit::Options;
use crate::bus::emit::dispatch;
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::group::Delivered;
use crate::bus::emit::publish;
use crate::bus::emit::task::{self, FirstPoll, Progress, Task};
use crate::bus::inner::in_flight::Detached;
use crate::bus::inner::routes::{List, ListGuard};
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
enum Path {
    /// The handlers borrow the event from the emit, because no record is needed.
    ByReference(ListGuard),
    /// The record owns the event.
    OwnedRecord(ListGuard),
    /// The record shares the event with handlers that take `Arc<E>`.
    SharedRecord(ListGuard),
    /// The record shares the event, and [`Inner::admit`] counts the emit or refuses it. Chosen for an emit with
    /// an adapter, inside a handler or with options, while the bus is stopping, and if too many emits wait for
    /// their handlers.
    CountedInFlight,
}

impl Path {
    #[inline(always)]
    fn of(inner: &Inner, decl: &'static EventDecl, has_options: bool) -> Self {
        if has_options || inner.adapter.is_some() || context::is_inside() {
            return Self::CountedInFlight;
        }
        let Some(list) = inner.routes.of_declared(decl) else { return Self::CountedInFlight };
        if !list.wants_record && !inner.log.keeps() {
            return Self::ByReference(list);
        }
        match list.shares {
            _ if inner.flight.in_tasks() >= inner.settings.max_in_flight => {
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
pub(super) trait Unsent {
    /// Borrows the event.
    fn lend(&self) -> ErasedEvent<'_>;
    /// Moves the event into a record. Returns `None` if it was moved before.
    fn own(&mut self, origin: InstanceId) -> Option<Record>;
    /// Moves the event into an `Arc`. Returns `None` if it was moved before.
    fn share(&mut self) -> Option<Arc<dyn Payload>>;
}

impl<E: Event> Unsent for Option<E> {
    fn lend(&self) -> ErasedEvent<'_> {
        self.as_ref().map_or_else(ErasedEvent::none, |event| ErasedEvent::new(event))
    }

    fn own(&mut self, origin: InstanceId) -> Option<Record> {
        self.take().map(|event| Record::own(event, origin))
    }

    fn share(&mut self) -> Option<Arc<dyn Payload>> {
        self.take().map(|event| Arc::new(event) as _)
    }
}

pub(crate) type Polled = Poll<Result<Emitted, Error>>;

/// An emit without its event, so that most of its code is not generic over the event.
pub(super) struct Run<'a> {
    pub(super) bus: &'a Bus,
    pub(super) decl: &'static EventDecl,
    pub(super) state: State,
}

/// The state of an emit, without its event. A single enum, so that a plain emit is cheap to drop.
pub(crate) enum State {
    Plain,
    With(Box<Options>),
    Detached(Detached, Option<Box<Options>>),
    /// Handlers or the adapter had not finished in the first poll.
    Pending(Task<Emitted>),
}

impl State {
    #[inline(always)]
    fn has_options(&self) -> bool {
        !matches!(self, Self::Plain | Self::Detached(_, None))
    }

    /// Sets an option of an emit that has not started.
    pub(crate) fn set(&mut self, set: impl FnOnce(&mut Options)) {
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

    pub(crate) fn take(&mut self) -> (Option<Box<Options>>, Option<Detached>) {
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

impl<'a> Run<'a> {
    #[inline]
    pub(super) fn new(bus: &'a Bus, decl: &'static EventDecl) -> Self {
        Self { bus, decl, state: State::Plain }
    }

    /// Runs the first poll. `event` must not have been taken.
    pub(super) fn start(&mut self, event: &mut dyn Unsent, cx: &mut Context<'_>) -> Polled {
        let (bus, decl) = (self.bus, self.decl);
        match Path::of(&bus.inner, decl, self.state.has_options()) {
            Path::ByReference(list) => {
                let called = dispatch::by_reference(bus, decl, event.lend(), &list, cx);
                release(list);
                called.without_record()
            }
            Path::OwnedRecord(list) => {
                let Some(record) = event.own(bus.inner.instance) else { return Poll::Pending };
                self.run_with_list(record, list, cx)
            }
            Path::SharedRecord(list) => {
                let Some(event) = event.share() else { return Poll::Pending };
                self.run_with_list(Record::shared(decl, event, Envelope::new(bus.inner.instance)), list, cx)
            }
            Path::CountedInFlight => {
                let Some(event) = event.share() else { return Poll::Pending };
                self.run_counted(event, cx)
            }
        }
    }

    /// Appends a record and calls its handlers. The emit is not counted: `stop` waits for it because it holds
    /// `list`.
    #[inline(never)]
    fn run_with_list(&mut self, record: Record, list: ListGuard, cx: &mut Context<'_>) -> Polled {
        let polled = match append_and_deliver(self.bus, record, Some(&list), cx) {
            Progress::Done(emitted) => Poll::Ready(Ok(emitted)),
            Progress::Pending(group) => {
                let (_, detached) = self.state.take();
                self.state.wait_for(group.spawn(detached), cx)
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

/// Counts an emit as in flight with [`Inner::admit`], creates its record with `make`, and polls the emit once.
///
/// # Errors
///
/// The error of [`Inner::admit`], if it refuses the emit.
pub(crate) fn start_counted(
    bus: &Bus,
    name: &str,
    options: Option<Box<Options>>,
    detached: Option<Detached>,
    make: impl FnOnce(Envelope) -> Record,
    cx: &mut Context<'_>,
) -> Result<FirstPoll<Emitted>, Error> {
    let (_flight, envelope) = bus.inner.admit(name, options)?;
    let record = make(envelope);
    if let Some(adapter) = &bus.inner.adapter {
        let name = record.shared_name();
        let future = Box::pin(publish::publish_and_deliver(bus.clone(), Arc::clone(adapter), record));
        return Ok(task::poll_or_spawn(&bus.inner, name, detached, future, cx));
    }
    Ok(match append_and_deliver(bus, record, None, cx) {
        Progress::Done(emitted) => Progress::Done(check_duplicate(bus, emitted)),
        Progress::Pending(group) => Progress::Pending(group.spawn(detached)),
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
fn append_and_deliver(bus: &Bus, record: Record, list: Option<&List>, cx: &mut Context<'_>) -> Delivered {
    let Appended::At(position) = bus.inner.log.append_one(&record) else {
        return Progress::Done(Emitted::duplicate(record));
    };
    match list {
        Some(list) if !list.is_replaced() => dispatch::deliver_to(bus, record, position, list, cx),
        _ => dispatch::deliver(bus, record, position, cx),
    }
}
