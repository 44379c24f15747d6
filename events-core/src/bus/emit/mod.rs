//! `bus.emit(...)`: from the first poll to the last handler.

pub(crate) mod dispatch;
pub(crate) mod emitted;
pub(crate) mod future_set;
pub(crate) mod task;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::task::JoinError;

use crate::adapter::{Adapter, AdapterError, BoxFuture, Published};
use crate::bus::emit::dispatch::{Delivered, Group, Kept, Outcome};
use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::future_set::join_all;
use crate::bus::emit::task::{Boxed, Work};
use crate::bus::inner::context::Inherited;
use crate::bus::inner::in_flight::{Detached, InFlight, InFlightGuard};
use crate::bus::inner::report::Fallback;
use crate::bus::inner::routes::{Held, List};
use crate::bus::inner::{Bus, Inner};
use crate::contain::{caught, contained};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, EventDecl, Payload};
use crate::id::EventId;
use crate::log::Appended;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};

/// An emit: what [`Bus::emit`] returns. Await it, or [`detach`](Self::detach) it.
///
/// It starts at its first poll: the event goes to the history or adapter, then every matching
/// handler is called, all at once. It resolves when all have finished.
///
/// # Errors
///
/// - [`ErrorKind::Append`], [`ErrorKind::OutcomeUnknown`]: the adapter; no handler ran.
/// - [`ErrorKind::TooLarge`]: the adapter shares channels with others, and the payload is over the
///   [limit](crate::BusBuilder::max_payload) that the other end has.
/// - [`ErrorKind::ChainTooDeep`], [`ErrorKind::Overloaded`], [`ErrorKind::Stopped`]: refused; nothing
///   happened.
/// - [`ErrorKind::Runtime`]: the runtime of the emit shut down, and that of the bus; what was pending is lost. Or that
///   of the bus shut down before, on which durable handlers of the event ran; nothing was emitted.
///
/// A handler's failure is not an error of the emit: see [`Emitted::failures`].
///
/// # Cancel safety
///
/// Dropping it before the first poll emits nothing. Dropping it later, or holding it without polling
/// it, stops nothing: handlers that wait run in a task of their own, which moves to the runtime of the bus when
/// its own shuts down. Only the shutdown of both ends them; each call that is lost then is logged and counted in
/// [`Stats::abandoned`](crate::Stats::abandoned). An error that nobody gets any more is logged. (A timer or socket of a
/// runtime that has shut down fails: then that handler fails.)
///
/// # Panics
///
/// When polled after it has resolved.
#[must_use = "an emit starts when it is awaited or detached"]
pub struct Emit<'a, E> {
    bus: &'a Bus,
    what: &'a What<E>,
    /// Until the first poll.
    ready: Ready<E>,
    /// What goes on after it.
    task: Option<Task>,
}

/// What an emit has to know of `E`: so that the future itself needs no bound, and a type that is no event
/// is one error, at `emit`.
struct What<E> {
    name: &'static str,
    start_bare: fn(&Bus, &E, &mut Context<'_>) -> Option<Delivered>,
    start: Start<E>,
}

type Start<E> = fn(
    &Bus,
    &mut Ready<E>,
    &mut Option<Task>,
    Option<Detached>,
    &mut Context<'_>,
) -> Poll<Result<Emitted, Error>>;

/// An event, and what the emitter says besides: mostly nothing.
type Ready<E> = Option<(E, Option<Box<Options>>)>;

/// What goes on of an emit.
type Task<T = Emitted> = task::Task<Answered<T>>;

/// The result of an emit whose task has ended. It is reported where it is an error and nobody takes it: the emit was
/// detached, or dropped meanwhile.
struct Answered<T> {
    /// `None` once it is taken.
    result: Option<Result<T, Error>>,
    fallback: Fallback,
}

impl<T> Answered<T> {
    fn take(mut self) -> Option<Result<T, Error>> {
        self.result.take()
    }
}

impl<T> Drop for Answered<T> {
    fn drop(&mut self) {
        if let Some(Err(error)) = &self.result {
            let fallback = self.fallback;
            contained(|| {
                fallback.warning(format_args!("an emit that nobody waits for any more failed: {error}"));
            });
        }
    }
}

#[derive(Default)]
pub(crate) struct Options {
    metadata: Metadata,
    id: Option<EventId>,
}

impl Options {
    /// None where the metadata says nothing.
    pub(crate) fn with(metadata: Metadata) -> Option<Box<Self>> {
        (!metadata.is_empty()).then(|| Box::new(Self { metadata, id: None }))
    }
}

// Nothing in it is ever pinned.
impl<E> Unpin for Emit<'_, E> {}

impl<'a, E: Event> Emit<'a, E> {
    #[inline]
    pub(crate) fn new(bus: &'a Bus, event: E, options: Option<Box<Options>>) -> Self {
        let what = const { &What { name: E::NAME, start_bare: start_bare::<E>, start: start::<E> } };
        Self { bus, what, ready: Some((event, options)), task: None }
    }
}

impl<E> Emit<'_, E> {
    /// Emits under this id, so that a retry of an emit whose outcome is unknown is not stored twice.
    ///
    /// # Complexity
    ///
    /// In memory, looks through the history once.
    pub fn id(mut self, id: EventId) -> Self {
        if let Some((_, options)) = &mut self.ready {
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
        if let Some((event, None)) = &self.ready
            && let Some(delivered) = (self.what.start_bare)(self.bus, event, cx)
        {
            self.ready = None;
            return Poll::Ready(Ok(delivered.bare()));
        }
        (self.what.start)(self.bus, &mut self.ready, &mut self.task, detached, cx)
    }
}

impl<E> Future for Emit<'_, E> {
    type Output = Result<Emitted, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.ready {
            Some(_) => this.start(None, cx),
            None => resume(&mut this.task, this.what.name, cx),
        }
    }
}

/// Any poll but the first.
#[allow(clippy::panic, reason = "documented: a programmer's error, as for every future")]
fn resume(task: &mut Option<Task>, event: &str, cx: &mut Context<'_>) -> Poll<Result<Emitted, Error>> {
    let Some(running) = task else { panic!("an emit was polled after it had resolved") };
    let outcome = std::task::ready!(Pin::new(running).poll(cx));
    *task = None;
    Poll::Ready(joined(event, outcome))
}

/// [`emit_bare`] of an `E`.
fn start_bare<E: Event>(bus: &Bus, event: &E, cx: &mut Context<'_>) -> Option<Delivered> {
    if bus.inner.keeps_records() { None } else { emit_bare(bus, E::decl(), event, cx) }
}

/// The first poll of an emit that needs a record. Kept short, since each event has its own.
fn start<E: Event>(
    bus: &Bus,
    ready: &mut Ready<E>,
    task: &mut Option<Task>,
    detached: Option<Detached>,
    cx: &mut Context<'_>,
) -> Poll<Result<Emitted, Error>> {
    let is_plain = matches!(ready, Some((_, None)));
    let place = if is_plain { bus.inner.place_of(E::decl()) } else { None };
    let Some((event, options)) = ready.take() else { return Poll::Pending };
    match place {
        Some(place) if !place.shares => {
            emit_placed(bus, Record::own(event, bus.inner.instance), place, detached, task, cx)
        }
        place => emit_shared(bus, E::decl(), Arc::new(event), place, options, detached, task, cx),
    }
}

/// Gives back the list of handlers that was a place in flight.
#[inline]
fn release(place: Held) {
    // Perhaps the last owner of a closure that was removed meanwhile.
    contained(|| drop(place));
}

/// An emit after its first poll.
enum Launched<T> {
    Done(Result<T, Error>),
    Running(Task<T>),
}

impl<T> Launched<T> {
    /// Leaves what goes on in `task`, polled once.
    fn poll_first(
        self,
        event: &str,
        task: &mut Option<Task<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Error>> {
        let mut running = match self {
            Self::Done(outcome) => return Poll::Ready(outcome),
            Self::Running(running) => running,
        };
        let polled = Pin::new(&mut running).poll(cx);
        if polled.is_pending() {
            *task = Some(running);
        }
        polled.map(|outcome| joined(event, outcome))
    }

    async fn finish(self, event: &str) -> Result<T, Error> {
        match self {
            Self::Done(outcome) => outcome,
            Self::Running(task) => joined(event, task.await),
        }
    }
}

fn joined<T>(event: &str, outcome: Result<Answered<T>, JoinError>) -> Result<T, Error> {
    let lost = |why: &str| {
        let message = format!("{event}: {why} before all handlers had finished: the others are lost");
        Error::new(ErrorKind::Runtime, message)
    };
    match outcome.map(Answered::take) {
        Ok(Some(result)) => result,
        Err(error) if error.is_panic() => Err(lost("a destructor panicked").with_source(error)),
        Err(error) => Err(lost("the runtimes of the emit and of the bus shut down").with_source(error)),
        Ok(None) => Err(lost("its result was taken")),
    }
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

/// Emits a record whose place in flight is the list of its handlers.
fn emit_placed(
    bus: &Bus,
    record: Record,
    place: Held,
    detached: Option<Detached>,
    task: &mut Option<Task>,
    cx: &mut Context<'_>,
) -> Poll<Result<Emitted, Error>> {
    let delivered = store_and_deliver(bus, &record, Some(&place), cx);
    if let Some(Delivered::Done(handled)) = delivered {
        release(place);
        return Poll::Ready(Ok(Emitted::of_record(record, handled)));
    }
    let launched = launched(bus, record.clone(), delivered, detached);
    release(place);
    launched.poll_first(record.name(), task, cx)
}

/// Emits an event as a record that shares it.
#[allow(
    clippy::too_many_arguments,
    reason = "what a first poll has, passed on by what each event has its own of"
)]
fn emit_shared(
    bus: &Bus,
    decl: &'static EventDecl,
    event: Arc<dyn Payload>,
    place: Option<Held>,
    options: Option<Box<Options>>,
    detached: Option<Detached>,
    task: &mut Option<Task>,
    cx: &mut Context<'_>,
) -> Poll<Result<Emitted, Error>> {
    let inner = &*bus.inner;
    if let Some(place) = place {
        let record = Record::shared(decl, event, Envelope::new(inner.instance));
        return emit_placed(bus, record, place, detached, task, cx);
    }
    match admit(inner, decl.name, options) {
        Ok((_flight, envelope)) => {
            let record = Record::shared(decl, event, envelope);
            emit_admitted(bus, record, detached, cx).poll_first(decl.name, task, cx)
        }
        Err(error) => Poll::Ready(Err(error)),
    }
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
            let kept = Kept { _flight: InFlightGuard::new(&inner.flight), _detached: detached };
            let published = publish_and_deliver(bus.clone(), Arc::clone(adapter), record, kept);
            poll_or_spawn(inner, Box::pin(published), cx)
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
            let kept = Kept { _flight: InFlightGuard::new(&inner.flight), _detached: detached };
            Launched::Running(task::spawn(Answer(group.keep(kept))))
        }
    }
}

/// The result of an emit whose handlers are pending.
struct Answer(Group);

impl Future for Answer {
    type Output = Answered<Emitted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let fallback = self.0.bus().settings.fallback;
        Pin::new(&mut self.0).poll(cx).map(|emitted| Answered { result: Some(Ok(emitted)), fallback })
    }
}

impl Work for Answer {
    fn bus(&self) -> &Arc<Inner> {
        self.0.bus()
    }
}

/// Polls once here; what is pending goes on in one task of its own.
fn poll_or_spawn<T: Send + 'static>(
    inner: &Arc<Inner>,
    mut future: BoxFuture<'static, Result<T, Error>>,
    cx: &mut Context<'_>,
) -> Launched<T> {
    let _entered = inner.enter_runtime();
    match future.as_mut().poll(cx) {
        Poll::Ready(outcome) => Launched::Done(outcome),
        Poll::Pending => {
            let fallback = inner.settings.fallback;
            let future = Box::pin(async move { Answered { result: Some(future.await), fallback } });
            Launched::Running(task::spawn(Boxed { bus: Arc::clone(inner), future }))
        }
    }
}

/// [`poll_or_spawn`] at the first poll.
async fn launch<T: Send + 'static>(
    inner: &Arc<Inner>,
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
    _kept: Kept,
) -> Result<Emitted, Error> {
    let records = std::slice::from_ref(&record);
    if publish(&bus.inner, &*adapter, records).await?.is_duplicate(0) {
        return Ok(Emitted::duplicate(record));
    }
    match bus.inner.log.append_one(&record) {
        Appended::At(position) => Ok(deliver_to_end(&bus, record, position).await.with_consumers(&bus.inner)),
        Appended::Duplicate => Ok(Emitted::duplicate(record)),
    }
}

async fn deliver_to_end(bus: &Bus, record: Record, position: u64) -> Emitted {
    match deliver_once(bus, record, position).await {
        Outcome::Done(emitted) => emitted,
        Outcome::Pending(group) => group.await,
    }
}

impl Emitted {
    /// What [`settled`](Self::settled) needs, where the adapter has durable consumers.
    fn with_consumers(self, inner: &Arc<Inner>) -> Self {
        match inner.adapter.as_ref().is_some_and(|adapter| adapter.durable().is_some()) {
            true => self.of_bus(Arc::downgrade(inner)),
            false => self,
        }
    }
}

async fn deliver_once(bus: &Bus, record: Record, position: u64) -> Outcome {
    let delivered = poll_fn(|cx| Poll::Ready(dispatch::deliver(bus, &record, position, cx))).await;
    delivered.of_record(bus, record)
}

async fn publish(inner: &Inner, adapter: &dyn Adapter, records: &[Record]) -> Result<Published, Error> {
    inner.check_runtime(records.first().map_or("", Record::name))?;
    check_written(inner, records)?;
    let unanswered = Unanswered { inner, records };
    // Also what panics before there is a future.
    let published = caught(async { adapter.publish(records, &inner.codec).await }).await;
    std::mem::forget(unanswered);
    match published {
        Ok(Ok(published)) => Ok(published),
        Ok(Err(error)) => Err(refused(inner, records, error)),
        Err(_) => Err(refused(inner, records, AdapterError::unknown("it panicked"))),
    }
}

/// Until the adapter has answered: tells of an emit that is dropped before.
struct Unanswered<'a> {
    inner: &'a Inner,
    records: &'a [Record],
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let name = self.records.first().map_or("", Record::name);
        contained(|| self.inner.abandon_emit(name, self.records.len() as u64));
    }
}

/// Refuses what can't be written and read back as it is, before an adapter gets any of it.
pub(crate) fn check_written(inner: &Inner, records: &[Record]) -> Result<(), Error> {
    for (index, record) in records.iter().enumerate() {
        let checked = inner.codec.check(record).and_then(|()| match &inner.settings.on_loss {
            Some(on_loss) => record.check_read_back().inspect_err(|error| (on_loss.0)(error)),
            None => Ok(()),
        });
        checked.map_err(|error| match records.len() {
            1 => error,
            all => error.in_batch(index + 1, all),
        })?;
    }
    Ok(())
}

/// What an adapter's error means for the emit.
pub(crate) fn refused(inner: &Inner, records: &[Record], error: AdapterError) -> Error {
    let first = records.first();
    let name = first.map_or("", Record::name);
    let (kind, what) = match (error.is_unknown(), error.is_too_large()) {
        (true, _) => (ErrorKind::OutcomeUnknown, "may or may not have stored the event; no live handler ran"),
        (false, true) => (ErrorKind::TooLarge, "did not take the event, no handler ran"),
        (false, false) => (ErrorKind::Append, "did not store the event, no handler ran"),
    };
    let message = format!("{name}: {} {what}: {error}", inner.adapter_name());
    let failed = Error::new(kind, message).with_temporary(error.is_temporary());
    match first {
        Some(record) => failed.with_event_id(record.id()),
        None => failed,
    }
}

impl Bus {
    /// Emits an event: it enters the history (or the adapter), then every matching handler runs.
    ///
    /// Nothing happens until the [`Emit`] is awaited or [detached](Emit::detach); it resolves when
    /// all handlers have finished. See [`Emit`] for errors and cancellation.
    ///
    /// # Complexity
    ///
    /// Does not depend on how many handlers or patterns other events have.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, event};
    ///
    /// #[event("user.created")]
    /// pub struct UserCreated { pub id: u64 }
    ///
    /// let bus = Bus::new().await?;
    /// bus.on(|user: &UserCreated| match user.id {
    ///     0 => Err("no such user"),
    ///     _ => Ok(()),
    /// });
    /// let emitted = bus.emit(UserCreated { id: 0 }).await?;
    /// assert_eq!(emitted.failures()[0].message(), "no such user");
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn emit<E: Event>(&self, event: E) -> Emit<'_, E> {
        Emit::new(self, event, None)
    }

    /// Emits an event with metadata. What the metadata leaves open is inherited from the event being
    /// handled.
    ///
    /// See [`emit`](Self::emit).
    pub fn emit_with<E: Event>(&self, event: E, metadata: Metadata) -> Emit<'_, E> {
        Emit::new(self, event, Options::with(metadata))
    }

    /// Emits a record that is made from its envelope: the way of `emit_json` and of tests.
    pub(crate) async fn emit_made(
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
    pub(crate) async fn deliver_remote(&self, record: Record) -> Result<Option<Emitted>, Error> {
        let inner = &self.inner;
        let flight = inner.admit(record.name(), None)?;
        let kept = InFlightGuard::new(&inner.flight);
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
        launch(inner, Box::pin(work)).await.finish(&name).await
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
        let kept = Kept { _flight: InFlightGuard::new(&inner.flight), _detached: None };
        drop(flight);
        let envelope = || inner.envelope(from.as_ref(), Metadata::new(), None);
        let records = events.into_iter().map(|event| Record::shared(decl, Arc::new(event), envelope()));
        let batch = emit_batch(self.clone(), records.collect(), kept);
        launch(inner, Box::pin(batch)).await.finish(decl.name).await
    }
}

async fn emit_batch(bus: Bus, records: Vec<Record>, _kept: Kept) -> Result<Vec<Emitted>, Error> {
    let published = match &bus.inner.adapter {
        Some(adapter) => publish(&bus.inner, &**adapter, &records).await?,
        None => Published::default(),
    };
    let mut positions = Vec::with_capacity(records.len());
    bus.inner.log.append(&records, |appended| positions.push(appended));
    let mut emitted = Vec::with_capacity(records.len());
    let mut pending = Vec::new();
    for (index, (record, position)) in records.into_iter().zip(positions).enumerate() {
        let outcome = match position {
            _ if published.is_duplicate(index) => Outcome::Done(Emitted::duplicate(record)),
            Appended::At(position) => deliver_once(&bus, record, position).await,
            Appended::Duplicate => Outcome::Done(Emitted::duplicate(record)),
        };
        emitted.push(match outcome {
            Outcome::Done(emitted) => Some(emitted),
            Outcome::Pending(group) => {
                pending.push((index, group));
                None
            }
        });
    }
    let (indices, groups): (Vec<_>, Vec<_>) = pending.into_iter().unzip();
    for (index, waited) in indices.into_iter().zip(join_all(groups).await) {
        emitted[index] = Some(waited);
    }
    Ok(emitted.into_iter().flatten().map(|emitted| emitted.with_consumers(&bus.inner)).collect())
}
