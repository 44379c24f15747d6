//! `bus.emit(...)`: from the first poll to the last handler.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::task::JoinHandle;

use super::context::{self, Inherited};
use super::dispatch::{self, Delivered, Kept};
use super::emitted::Emitted;
use super::flight::Detached;
use super::{Bus, Inner};
use crate::adapter::{Adapter, AdapterError};
use crate::contain::contained;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, EventDecl, Payload};
use crate::history::Appended;
use crate::id::EventId;
use crate::metadata::Metadata;
use crate::record::{Envelope, Record};

/// An emit: what [`Bus::emit`] returns. Await it, or [`detach`](Self::detach) it.
///
/// It starts at its first poll: the event goes to the history or adapter, then every matching
/// handler is called, all at once. It resolves when all have finished.
///
/// # Errors
///
/// - [`ErrorKind::Append`], [`ErrorKind::OutcomeUnknown`]: the adapter; no handler ran.
/// - [`ErrorKind::ChainTooDeep`], [`ErrorKind::Overloaded`], [`ErrorKind::Stopped`]: refused; nothing
///   happened.
/// - [`ErrorKind::Runtime`]: the runtime shut down; the event is stored, pending handlers are gone.
///
/// A handler's failure is not an error of the emit: see [`Emitted::failures`].
///
/// # Cancel safety
///
/// Dropping it before the first poll emits nothing. Dropping it later, or holding it without polling
/// it, stops nothing: handlers that wait run in a task of their own. Only the shutdown of the runtime
/// ends them.
///
/// # Panics
///
/// When polled after it has resolved.
#[must_use = "an emit starts when it is awaited or detached"]
pub struct Emit<'a, E> {
    bus: &'a Bus,
    name: &'static str,
    /// [`start`] for `E`: so that the future itself needs no bound, and a type that is no event is
    /// one error, at `emit`.
    start: Start<E>,
    state: State<E>,
}

type Start<E> = fn(&Bus, E, Given, &mut Context<'_>) -> Launched<Emitted>;

enum State<E> {
    Ready(E, Given),
    Running(JoinHandle<Result<Emitted, Error>>),
    Resolved,
}

/// What the emitter says besides the event: mostly nothing.
#[derive(Default)]
struct Given {
    options: Option<Box<Options>>,
    detached: Option<Detached>,
}

#[derive(Default)]
struct Options {
    metadata: Metadata,
    id: Option<EventId>,
}

// Nothing in it is ever pinned.
impl<E> Unpin for Emit<'_, E> {}

impl<'a, E: Event> Emit<'a, E> {
    pub(crate) fn new(bus: &'a Bus, event: E, metadata: Metadata) -> Self {
        let options = (!metadata.is_empty()).then(|| Box::new(Options { metadata, id: None }));
        let given = Given { options, detached: None };
        Self { bus, name: E::NAME, start: start::<E>, state: State::Ready(event, given) }
    }
}

impl<E> Emit<'_, E> {
    /// Emits under this id, so that a retry of an emit whose outcome is unknown is not stored twice.
    ///
    /// # Complexity
    ///
    /// In memory, looks through the history once.
    pub fn id(mut self, id: EventId) -> Self {
        if let State::Ready(_, given) = &mut self.state {
            given.options.get_or_insert_default().id = Some(id);
        }
        self
    }

    /// Emits without waiting: the event is stored and handlers are called before this returns, those
    /// that wait go on in the background. What sync code uses.
    ///
    /// At most 1024 detached emits (settable) may be running at a time. A failed append that this
    /// call can't report any more is logged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] where too many are running: nothing happened. Else as for awaiting
    /// it, as far as it is known when the first poll is over.
    pub fn detach(mut self) -> Result<(), Error> {
        let inner = &self.bus.inner;
        let Some(place) = inner.flight.detach(inner.settings.max_detached) else {
            let most = inner.settings.max_detached;
            let message =
                format!("{}: {most} detached emits are running already; nothing was emitted", self.name);
            return Err(Error::new(ErrorKind::Overloaded, message));
        };
        if let State::Ready(_, given) = &mut self.state {
            given.detached = Some(place);
        }
        match Pin::new(&mut self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.map(drop),
            Poll::Pending => Ok(()),
        }
    }
}

impl<E> Future for Emit<'_, E> {
    type Output = Result<Emitted, Error>;

    #[allow(clippy::panic, reason = "documented: a programmer's error, as for every future")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Resolved) {
            State::Ready(event, given) => match (this.start)(this.bus, event, given, cx) {
                Launched::Done(outcome) => Poll::Ready(outcome),
                Launched::Running(task) => {
                    this.state = State::Running(task);
                    Pin::new(this).poll(cx)
                }
            },
            State::Running(mut task) => match task.poll_unpin(cx) {
                Poll::Ready(outcome) => Poll::Ready(joined(this.name, outcome)),
                Poll::Pending => {
                    this.state = State::Running(task);
                    Poll::Pending
                }
            },
            State::Resolved => panic!("an emit was polled after it had resolved"),
        }
    }
}

/// An emit after its first poll.
enum Launched<T> {
    Done(Result<T, Error>),
    Running(JoinHandle<Result<T, Error>>),
}

impl<T> Launched<T> {
    async fn finish(self, event: &str) -> Result<T, Error> {
        match self {
            Self::Done(outcome) => outcome,
            Self::Running(task) => joined(event, task.await),
        }
    }
}

fn joined<T>(event: &str, outcome: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<T, Error> {
    outcome.unwrap_or_else(|error| {
        let message = format!("{event}: the runtime shut down before all handlers had finished");
        Err(Error::new(ErrorKind::Runtime, message).with_source(error))
    })
}

fn start<E: Event>(bus: &Bus, event: E, given: Given, cx: &mut Context<'_>) -> Launched<Emitted> {
    let decl = E::decl();
    if given.options.is_none()
        && let Some(emitted) = emit_bare(bus, decl, &event, cx)
    {
        return Launched::Done(Ok(emitted));
    }
    emit_event(bus, decl, Arc::new(event), given, cx)
}

/// Emits an event of which nobody needs a record, from where it is.
fn emit_bare(
    bus: &Bus,
    decl: &'static EventDecl,
    event: &dyn Payload,
    cx: &mut Context<'_>,
) -> Option<Emitted> {
    let inner = &*bus.inner;
    if inner.keeps_records() || context::is_inside() {
        return None;
    }
    let list = inner.routes.of_event(decl);
    if !list.is_bare() {
        return None;
    }
    let emitted = dispatch::deliver_bare(bus, decl.name, event, &list, cx);
    // Perhaps the last owner of a closure that was removed meanwhile.
    contained(|| drop(list));
    Some(emitted)
}

fn emit_event(
    bus: &Bus,
    decl: &'static EventDecl,
    event: Arc<dyn Payload>,
    given: Given,
    cx: &mut Context<'_>,
) -> Launched<Emitted> {
    emit_record(bus, decl.name, given, |envelope| Record::of_event(decl, event, envelope), cx)
}

fn emit_record(
    bus: &Bus,
    name: &str,
    given: Given,
    make: impl FnOnce(Envelope) -> Record,
    cx: &mut Context<'_>,
) -> Launched<Emitted> {
    let inner = &bus.inner;
    let from = Inherited::current();
    let flight = match inner.admit(name, from.as_ref()) {
        Ok(flight) => flight,
        Err(error) => return Launched::Done(Err(error)),
    };
    let options = given.options.map(|options| *options).unwrap_or_default();
    let record = make(inner.envelope(from.as_ref(), options.metadata, options.id));
    let keep = || Kept { _flight: flight.keep(&inner.flight), detached: given.detached };
    if let Some(adapter) = &inner.adapter {
        let (adapter, bus, kept) = (Arc::clone(adapter), bus.clone(), keep());
        return poll_or_spawn(inner, publish_and_deliver(bus, adapter, record, kept).boxed(), cx);
    }
    let position = match inner.log.append_one(&record) {
        Appended::At(position) => position,
        Appended::Duplicate => return Launched::Done(Ok(Emitted::duplicate(record))),
    };
    match dispatch::deliver(bus, &record, position, cx) {
        Delivered::Done(emitted) => Launched::Done(Ok(emitted)),
        Delivered::Pending(group) => {
            let kept = keep();
            let rest = async move {
                let _kept = kept;
                Ok(group.await)
            };
            Launched::Running(inner.runtime().spawn(rest))
        }
    }
}

/// Polls once here; what is pending goes on in one task of its own.
fn poll_or_spawn<T: Send + 'static>(
    inner: &Inner,
    mut future: BoxFuture<'static, Result<T, Error>>,
    cx: &mut Context<'_>,
) -> Launched<T> {
    let _entered = inner.enter_runtime();
    match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Launched::Done(outcome),
        Poll::Pending => Launched::Running(inner.runtime().spawn(future)),
    }
}

/// [`poll_or_spawn`] at the first poll.
async fn launch<T: Send + 'static>(
    inner: &Inner,
    future: BoxFuture<'static, Result<T, Error>>,
) -> Launched<T> {
    let mut future = Some(future);
    std::future::poll_fn(|cx| match future.take() {
        Some(future) => Poll::Ready(poll_or_spawn(inner, future, cx)),
        None => Poll::Pending,
    })
    .await
}

async fn publish_and_deliver(
    bus: Bus,
    adapter: Arc<dyn Adapter>,
    record: Record,
    kept: Kept,
) -> Result<Emitted, Error> {
    let records = std::slice::from_ref(&record);
    if let Err(error) = publish(&bus.inner, &*adapter, records).await {
        if kept.detached.is_some() {
            bus.inner.settings.fallback.warning(format_args!("a detached emit failed: {error}"));
        }
        return Err(error);
    }
    match bus.inner.log.append_one(&record) {
        Appended::At(position) => Ok(deliver_to_end(&bus, &record, position).await),
        Appended::Duplicate => Ok(Emitted::duplicate(record)),
    }
}

async fn deliver_to_end(bus: &Bus, record: &Record, position: u64) -> Emitted {
    match deliver_once(bus, record, position).await {
        Delivered::Done(emitted) => emitted,
        Delivered::Pending(group) => group.await,
    }
}

async fn deliver_once(bus: &Bus, record: &Record, position: u64) -> Delivered {
    std::future::poll_fn(|cx| Poll::Ready(dispatch::deliver(bus, record, position, cx))).await
}

async fn publish(inner: &Inner, adapter: &dyn Adapter, records: &[Record]) -> Result<(), Error> {
    // Also what panics before there is a future.
    let published =
        AssertUnwindSafe(async { adapter.publish(records, &inner.wire).await }).catch_unwind().await;
    let error = match published {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => AdapterError::unknown("it panicked"),
    };
    let first = records.first();
    let name = first.map_or("", Record::name);
    let (kind, what) = match error.is_unknown() {
        true => (ErrorKind::OutcomeUnknown, "may or may not have stored the event; no live handler ran"),
        false => (ErrorKind::Append, "did not store the event, no handler ran"),
    };
    let message = format!("{name}: {} {what}: {error}", inner.adapter_name());
    let failed = Error::new(kind, message).with_temporary(error.is_temporary()).with_source(error);
    Err(match first {
        Some(record) => failed.with_event_id(record.id()),
        None => failed,
    })
}

impl Bus {
    /// Emits a record that is made from its envelope: the way of `emit_json` and of tests.
    pub(super) async fn emit_made(
        &self,
        name: &str,
        make: impl FnOnce(Envelope) -> Record,
    ) -> Result<Emitted, Error> {
        let mut make = Some(make);
        let launched = std::future::poll_fn(|cx| match make.take() {
            Some(make) => Poll::Ready(emit_record(self, name, Given::default(), make, cx)),
            None => Poll::Pending,
        });
        launched.await.finish(name).await
    }

    /// Passes a record of another instance to the handlers of this one, and waits for them.
    pub(super) async fn deliver_remote(&self, record: Record) -> Result<Option<Emitted>, Error> {
        let inner = &self.inner;
        let flight = inner.admit(record.name(), None)?;
        let kept = flight.keep(&inner.flight);
        drop(flight);
        let position = match inner.log.append_one(&record) {
            Appended::At(position) => position,
            Appended::Duplicate => return Ok(None),
        };
        let (bus, name) = (self.clone(), record.name().to_owned());
        let work = async move {
            let _kept = kept;
            Ok(Some(deliver_to_end(&bus, &record, position).await))
        };
        launch(inner, work.boxed()).await.finish(&name).await
    }

    /// Emits several events of one type with one append: they stand together in the history, in
    /// their order. Then the handlers of all of them run, all at once; the result has one
    /// [`Emitted`] per event, in the same order.
    ///
    /// # Errors
    ///
    /// As for [`emit`](Self::emit); where it fails, none of the events was stored (or, with
    /// [`ErrorKind::OutcomeUnknown`], all or none).
    ///
    /// # Cancel safety
    ///
    /// That of [`Emit`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("seat.reserved")]
    /// pub struct SeatReserved(pub u16);
    ///
    /// let bus = Bus::new().await?;
    /// let emitted = bus.emit_all((1..=3).map(SeatReserved)).await?;
    /// assert_eq!(emitted.len(), 3);
    /// # Ok(()) }
    /// ```
    pub async fn emit_all<E: Event>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Emitted>, Error> {
        let decl = E::decl();
        let events: Vec<_> = events.into_iter().collect();
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &self.inner;
        let from = Inherited::current();
        let flight = inner.admit(decl.name, from.as_ref())?;
        let kept = Kept { _flight: flight.keep(&inner.flight), detached: None };
        drop(flight);
        let records = events.into_iter().map(|event| {
            Record::of_event(decl, Arc::new(event), inner.envelope(from.as_ref(), Metadata::new(), None))
        });
        let batch = emit_batch(self.clone(), records.collect(), kept);
        launch(inner, batch.boxed()).await.finish(decl.name).await
    }
}

async fn emit_batch(bus: Bus, records: Vec<Record>, _kept: Kept) -> Result<Vec<Emitted>, Error> {
    if let Some(adapter) = &bus.inner.adapter {
        publish(&bus.inner, &**adapter, &records).await?;
    }
    let mut positions = Vec::with_capacity(records.len());
    bus.inner.log.append(&records, |appended| positions.push(appended));
    let mut emits = Vec::with_capacity(records.len());
    for (record, position) in records.iter().zip(positions) {
        emits.push(match position {
            Appended::At(position) => deliver_once(&bus, record, position).await,
            Appended::Duplicate => Delivered::Done(Emitted::duplicate(record.clone())),
        });
    }
    let emits = emits.into_iter().map(|delivered| async {
        match delivered {
            Delivered::Done(emitted) => emitted,
            Delivered::Pending(group) => group.await,
        }
    });
    Ok(join_all(emits).await)
}
