//! `bus.emit(...)`: the builder and future of an emit. [`paths`] runs it.

pub(crate) mod batch;
pub(crate) mod begin;
pub(crate) mod dispatch;
pub(crate) mod emitted;
pub(crate) mod future_set;
pub(crate) mod paths;
pub(crate) mod pending_handlers;
pub(crate) mod publish;
pub(crate) mod single_call;
pub(crate) mod task;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::paths::{EmitRun, Polled, UnsentEvent, start_counted};
use crate::bus::inner::Bus;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::event::Event;
use crate::id::EventId;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};

/// The future of an emit. Returned by [`Bus::emit`]; await it, or [`detach`](Self::detach) it.
///
/// The emit starts at the first poll: the event is appended to the history or sent to the adapter, then all
/// matching handlers are called, and run concurrently. The future resolves when all live handlers have
/// finished.
///
/// A handler's failure is not an error of the emit: see [`Emitted::failures`].
///
/// # Errors
///
/// - [`ErrorKind::Append`]: the adapter did not store the event; no handler ran.
/// - [`ErrorKind::OutcomeUnknown`]: the adapter may or may not have stored the event; no live handler ran.
/// - [`ErrorKind::Serialize`]: the adapter needs the event as JSON, and it can't be written; nothing was
///   emitted.
/// - [`ErrorKind::TooLarge`]: the adapter shares channels with other programs, and the payload exceeds their
///   [limit](crate::BusBuilder::max_payload); nothing was emitted.
/// - [`ErrorKind::ChainTooDeep`], [`ErrorKind::Overloaded`], [`ErrorKind::Stopped`]: the bus refused the
///   emit; nothing was emitted.
/// - [`ErrorKind::Runtime`]: the runtimes of the emit and of the bus shut down, and pending handlers were
///   lost. Or the runtime of the bus, on which durable handlers of the event ran, had shut down before; then
///   nothing was emitted.
///
/// # Cancel safety
///
/// Dropping the future before the first poll emits nothing. Dropping it later, or not polling it any more,
/// stops nothing: handlers that wait run in a separate task. If the runtime of that task shuts down, the task
/// moves to the runtime of the bus. If both shut down, each call that is lost is logged, and counted in
/// [`Stats::abandoned`](crate::Stats::abandoned). If the future is dropped and the emit fails later, the
/// error is logged. (A timer or socket of a runtime that has shut down returns an error or panics; the
/// handler that uses it then fails.)
///
/// # Panics
///
/// Panics if it is polled after it has resolved.
#[must_use = "emits do nothing unless awaited or detached"]
pub struct Emit<'a, E> {
    /// The event; `None` once the emit has started.
    event: Option<E>,
    run: EmitRun<'a>,
    /// Creates the trait object for the first poll. A function pointer, so that the future needs no bound on
    /// `E`: a type that is not an event is then a single compile error, at `emit`.
    as_unsent: fn(&mut Option<E>) -> &mut dyn UnsentEvent,
}

// No field is pinned.
impl<E> Unpin for Emit<'_, E> {}

impl<'a, E: Event> Emit<'a, E> {
    #[inline]
    pub(crate) fn new(bus: &'a Bus, event: E) -> Self {
        Self { event: Some(event), run: EmitRun::new(bus, E::decl()), as_unsent: |event| event }
    }
}

impl<E> Emit<'_, E> {
    /// Sets the metadata of the event, and replaces metadata that was set before. Fields that it does not set
    /// are inherited from the event being handled. Has no effect once the emit has started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use typed_events::{Bus, Metadata, event};
    ///
    /// #[event("bridge.crossed")]
    /// pub struct BridgeCrossed;
    ///
    /// let bus = Bus::new().await?;
    /// bus.emit(BridgeCrossed).metadata(Metadata::new().with_correlation_id("trip-7")).await?;
    /// assert_eq!(bus.history("bridge.crossed").await?[0].metadata().correlation_id(), Some("trip-7"));
    /// # Ok(()) }
    /// ```
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        if self.event.is_some() {
            self.run.state.set(|options| options.metadata = metadata);
        }
        self
    }

    /// Sets the id of the event. Emitting an event again with the same id stores it once: use it to retry an
    /// emit whose outcome is unknown. Has no effect once the emit has started.
    ///
    /// # Complexity
    ///
    /// In memory, one scan of the history.
    pub fn id(mut self, id: EventId) -> Self {
        if self.event.is_some() {
            self.run.state.set(|options| options.id = Some(id));
        }
        self
    }

    /// Emits without waiting for handlers, from sync code. Before this returns, the event is stored and each
    /// handler is called. Handlers that wait continue in the background.
    ///
    /// At most 1024 detached emits may run at a time; see
    /// [`BusBuilder::max_detached`](crate::BusBuilder::max_detached). If the adapter's answer is still
    /// pending when this returns, a later failure is logged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] if too many detached emits are running; nothing was emitted. Otherwise those
    /// of [`Emit`], if they occur in the first poll.
    pub fn detach(mut self) -> Result<(), Error> {
        let detached = self.run.bus.inner.detach(self.run.decl.name)?;
        if self.event.is_none() {
            return Ok(());
        }
        self.run.state.detach(detached);
        match self.start(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.map(drop),
            Poll::Pending => Ok(()),
        }
    }

    /// Runs the first poll.
    #[inline]
    fn start(&mut self, cx: &mut Context<'_>) -> Polled {
        let polled = self.run.start((self.as_unsent)(&mut self.event), cx);
        self.event = None;
        polled
    }
}

impl<E> Future for Emit<'_, E> {
    type Output = Result<Emitted, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.event {
            Some(_) => this.start(cx),
            None => this.run.state.resume(cx),
        }
    }
}

impl Bus {
    /// Emits an event: appends it to the history or sends it to the adapter, then calls all matching
    /// handlers.
    ///
    /// Nothing happens until the [`Emit`] is awaited or [detached](Emit::detach). It resolves when all live
    /// handlers have finished. Options are set by its methods [`metadata`](Emit::metadata) and
    /// [`id`](Emit::id). For errors and cancel safety, see [`Emit`].
    ///
    /// # Complexity
    ///
    /// Independent of the number of handlers and patterns of other events.
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
        Emit::new(self, event)
    }

    /// Emits the record that `make` creates from its envelope.
    pub(crate) async fn emit_record(
        &self,
        name: &str,
        make: impl FnOnce(Envelope) -> Record,
    ) -> Result<Emitted, Error> {
        let mut make = Some(make);
        let progress = poll_fn(|cx| match make.take() {
            Some(make) => Poll::Ready(start_counted(self, name, None, None, make, cx)),
            None => Poll::Pending,
        });
        progress.await?.finish().await
    }
}
