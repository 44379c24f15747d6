//! `bus.emit(...)`: from the first poll to the last handler.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use tokio::task::JoinHandle;

use super::context::Inherited;
use super::dispatch::{self, Delivered, Kept, Outcome};
use super::emitted::Emitted;
use super::flight::{Detached, InFlight, KeptInFlight};
use super::routes::{Held, List};
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
    what: &'a What<E>,
    state: State<E>,
}

/// What an emit has to know of `E`: so that the future itself needs no bound, and a type that is no event
/// is one error, at `emit`.
struct What<E> {
    name: &'static str,
    start_bare: fn(&Bus, &E, &mut Context<'_>) -> Option<Delivered>,
    start: Start<E>,
}

type Start<E> = fn(&Bus, &mut State<E>, Option<Detached>, &mut Context<'_>) -> Poll<Result<Emitted, Error>>;

enum State<E> {
    /// The event, and what the emitter says besides: mostly nothing.
    Ready(E, Option<Box<Options>>),
    Running(Task),
    Resolved,
}

#[derive(Default)]
struct Options {
    metadata: Metadata,
    id: Option<EventId>,
}

// Nothing in it is ever pinned.
impl<E> Unpin for Emit<'_, E> {}

impl<'a, E: Event> Emit<'a, E> {
    #[inline]
    pub(crate) fn new(bus: &'a Bus, event: E, options: Option<Metadata>) -> Self {
        let options = options.filter(|metadata| !metadata.is_empty());
        let options = options.map(|metadata| Box::new(Options { metadata, id: None }));
        let what = const { &What { name: E::NAME, start_bare: start_bare::<E>, start: start::<E> } };
        Self { bus, what, state: State::Ready(event, options) }
    }
}

impl<E> Emit<'_, E> {
    /// Emits under this id, so that a retry of an emit whose outcome is unknown is not stored twice.
    ///
    /// # Complexity
    ///
    /// In memory, looks through the history once.
    pub fn id(mut self, id: EventId) -> Self {
        if let State::Ready(_, options) = &mut self.state {
            options.get_or_insert_default().id = Some(id);
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
            let (name, most) = (self.what.name, inner.settings.max_detached);
            let message = format!("{name}: {most} detached emits are running already; nothing was emitted");
            return Err(Error::new(ErrorKind::Overloaded, message));
        };
        match self.start(Some(place), &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.map(drop),
            Poll::Pending => Ok(()),
        }
    }

    /// The first poll.
    #[inline]
    fn start(&mut self, detached: Option<Detached>, cx: &mut Context<'_>) -> Poll<Result<Emitted, Error>> {
        if let State::Ready(event, None) = &self.state
            && let Some(delivered) = (self.what.start_bare)(self.bus, event, cx)
        {
            self.state = State::Resolved;
            return Poll::Ready(Ok(delivered.bare()));
        }
        (self.what.start)(self.bus, &mut self.state, detached, cx)
    }

    /// Any poll but the first.
    #[allow(clippy::panic, reason = "documented: a programmer's error, as for every future")]
    fn resume(&mut self, cx: &mut Context<'_>) -> Poll<Result<Emitted, Error>> {
        let State::Running(task) = &mut self.state else {
            panic!("an emit was polled after it had resolved");
        };
        let outcome = std::task::ready!(task.poll_unpin(cx));
        self.state = State::Resolved;
        Poll::Ready(joined(self.what.name, outcome))
    }
}

impl<E> Future for Emit<'_, E> {
    type Output = Result<Emitted, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.state {
            State::Ready(..) => self.start(None, cx),
            State::Running(_) | State::Resolved => self.resume(cx),
        }
    }
}

/// [`emit_bare`] of an `E`.
fn start_bare<E: Event>(bus: &Bus, event: &E, cx: &mut Context<'_>) -> Option<Delivered> {
    if bus.inner.keeps_records() { None } else { emit_bare(bus, E::decl(), event, cx) }
}

/// The first poll of an emit that needs a record.
fn start<E: Event>(
    bus: &Bus,
    state: &mut State<E>,
    detached: Option<Detached>,
    cx: &mut Context<'_>,
) -> Poll<Result<Emitted, Error>> {
    let inner = &*bus.inner;
    let place = match state {
        State::Ready(_, None) => inner.place_of(E::decl()),
        _ => None,
    };
    let State::Ready(event, options) = std::mem::replace(state, State::Resolved) else {
        return Poll::Pending;
    };
    let launched = match place {
        Some(place) => {
            let record = match place.shares {
                false => Record::plain(event, inner.instance),
                true => Record::shared(E::decl(), Arc::new(event), Envelope::new(inner.instance)),
            };
            let delivered = store_and_deliver(bus, &record, Some(&place), cx);
            if let Some(Delivered::Done(handled)) = delivered {
                release(place);
                return Poll::Ready(Ok(Emitted::of_record(record, handled)));
            }
            let launched = launched(bus, record, delivered, detached);
            release(place);
            launched
        }
        None => match admit(inner, E::NAME, options) {
            Ok((_flight, envelope)) => {
                let record = record_of(event, inner.routes.shares(E::decl()), envelope);
                emit_admitted(bus, record, detached, cx)
            }
            Err(error) => Launched::Done(Err(error)),
        },
    };
    let mut task = match launched {
        Launched::Done(outcome) => return Poll::Ready(outcome),
        Launched::Running(task) => task,
    };
    let polled = task.poll_unpin(cx);
    if polled.is_pending() {
        *state = State::Running(task);
    }
    polled.map(|outcome| joined(E::NAME, outcome))
}

/// Gives back the list of handlers that was a place in flight.
#[inline]
fn release(place: Held) {
    // Perhaps the last owner of a closure that was removed meanwhile.
    contained(|| drop(place));
}

fn record_of<E: Event>(event: E, shares: bool, envelope: Envelope) -> Record {
    match shares {
        false => Record::own(event, envelope),
        true => Record::shared(E::decl(), Arc::new(event), envelope),
    }
}

/// What goes on of an emit.
type Task<T = Emitted> = JoinHandle<Result<T, Error>>;

/// An emit after its first poll.
enum Launched<T> {
    Done(Result<T, Error>),
    Running(Task<T>),
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

/// Emits an event of which no history or adapter needs a record, from where it is; `None` where a handler
/// needs one.
fn emit_bare(
    bus: &Bus,
    decl: &'static EventDecl,
    event: &dyn Payload,
    cx: &mut Context<'_>,
) -> Option<Delivered> {
    let list = bus.inner.routes.of_declared(decl)?;
    if !list.is_bare() {
        return None;
    }
    let delivered = dispatch::deliver_bare(bus, decl, event, &list, cx);
    release(list);
    delivered
}

/// Lets an emit pass, with what its record is to say besides the event.
fn admit<'a>(
    inner: &'a Inner,
    name: &str,
    options: Option<Box<Options>>,
) -> Result<(InFlight<'a>, Envelope), Error> {
    let from = Inherited::current();
    let flight = inner.admit(name, from.as_ref())?;
    let Options { metadata, id } = options.map(|options| *options).unwrap_or_default();
    Ok((flight, inner.envelope(from.as_ref(), metadata, id)))
}

/// Emits a record; whoever calls this is in flight.
fn emit_admitted(
    bus: &Bus,
    record: Record,
    detached: Option<Detached>,
    cx: &mut Context<'_>,
) -> Launched<Emitted> {
    let inner = &bus.inner;
    match &inner.adapter {
        Some(adapter) => {
            let kept = Kept { _flight: KeptInFlight::new(&inner.flight), detached };
            let published = publish_and_deliver(bus.clone(), Arc::clone(adapter), record, kept);
            poll_or_spawn(inner, published.boxed(), cx)
        }
        None => {
            let delivered = store_and_deliver(bus, &record, None, cx);
            launched(bus, record, delivered, detached)
        }
    }
}

/// Appends a record to the log and calls its handlers; `None` for a duplicate. Whoever calls this is in
/// flight. `held` are the handlers of before the append, which may be out of date now.
fn store_and_deliver(
    bus: &Bus,
    record: &Record,
    held: Option<&Arc<List>>,
    cx: &mut Context<'_>,
) -> Option<Delivered> {
    let Appended::At(position) = bus.inner.log.append_one(record) else { return None };
    Some(match held {
        Some(list) if !list.is_replaced() => dispatch::deliver_to(bus, record, position, list, cx),
        _ => dispatch::deliver(bus, record, position, cx),
    })
}

/// Lets go on what is pending.
fn launched(
    bus: &Bus,
    record: Record,
    delivered: Option<Delivered>,
    detached: Option<Detached>,
) -> Launched<Emitted> {
    let inner = &bus.inner;
    match delivered.map(|delivered| delivered.of_record(bus, record.clone())) {
        None => Launched::Done(Ok(Emitted::duplicate(record))),
        Some(Outcome::Done(emitted)) => Launched::Done(Ok(emitted)),
        Some(Outcome::Pending(group)) => {
            let kept = Kept { _flight: KeptInFlight::new(&inner.flight), detached };
            Launched::Running(inner.runtime().spawn(group.keep(kept).map(Ok)))
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
    poll_fn(|cx| match future.take() {
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
        Appended::At(position) => Ok(deliver_to_end(&bus, record, position).await),
        Appended::Duplicate => Ok(Emitted::duplicate(record)),
    }
}

async fn deliver_to_end(bus: &Bus, record: Record, position: u64) -> Emitted {
    match deliver_once(bus, record, position).await {
        Outcome::Done(emitted) => emitted,
        Outcome::Pending(group) => group.await,
    }
}

async fn deliver_once(bus: &Bus, record: Record, position: u64) -> Outcome {
    let delivered = poll_fn(|cx| Poll::Ready(dispatch::deliver(bus, &record, position, cx))).await;
    delivered.of_record(bus, record)
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
        let launched = poll_fn(|cx| match make.take() {
            Some(make) => Poll::Ready(match admit(&self.inner, name, None) {
                Ok((_flight, envelope)) => emit_admitted(self, make(envelope), None, cx),
                Err(error) => Launched::Done(Err(error)),
            }),
            None => Poll::Pending,
        });
        launched.await.finish(name).await
    }

    /// Passes a record of another instance to the handlers of this one, and waits for them.
    pub(super) async fn deliver_remote(&self, record: Record) -> Result<Option<Emitted>, Error> {
        let inner = &self.inner;
        let flight = inner.admit(record.name(), None)?;
        let kept = KeptInFlight::new(&inner.flight);
        drop(flight);
        let position = match inner.log.append_one(&record) {
            Appended::At(position) => position,
            Appended::Duplicate => return Ok(None),
        };
        let (bus, name) = (self.clone(), record.name().to_owned());
        let work = async move {
            let _kept = kept;
            Ok(Some(deliver_to_end(&bus, record, position).await))
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
        let kept = Kept { _flight: KeptInFlight::new(&inner.flight), detached: None };
        drop(flight);
        let shares = inner.routes.shares(decl);
        let envelope = || inner.envelope(from.as_ref(), Metadata::new(), None);
        let records = events.into_iter().map(|event| record_of(event, shares, envelope()));
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
    for (record, position) in records.into_iter().zip(positions) {
        emits.push(match position {
            Appended::At(position) => deliver_once(&bus, record, position).await,
            Appended::Duplicate => Outcome::Done(Emitted::duplicate(record)),
        });
    }
    let emits = emits.into_iter().map(|delivered| async {
        match delivered {
            Outcome::Done(emitted) => emitted,
            Outcome::Pending(group) => group.await,
        }
    });
    Ok(join_all(emits).await)
}
