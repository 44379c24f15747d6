//! `bus.emit(...)`: the builder and future of an emit. [`paths`] runs it.

pub(crate) mod admit;
pub(crate) mod alone;
pub(crate) mod batch;
pub(crate) mod dispatch;
pub(crate) mod emitted;
pub(crate) mod future_set;
pub(crate) mod group;
pub(crate) mod paths;
pub(crate) mod publish;
pub(crate) mod task;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::bus::emit::emitted::Emitted;
use crate::bus::emit::paths::{Polled, Run, Unsent, counted};
use crate::bus::inner::Bus;
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::event::Event;
use crate::id::EventId;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};

/// The future that [`Bus::emit`] returns. Await it, or [`detach`](Self::detach) it.
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
    /// Until it has started.
    event: Option<E>,
    run: Run<'a>,
    /// The future needs no bound on `E`, so that a type that is no event is one error, at `emit`.
    unsent: fn(&mut Option<E>) -> &mut dyn Unsent,
}

// Nothing in it is ever pinned.
impl<E> Unpin for Emit<'_, E> {}

impl<'a, E: Event> Emit<'a, E> {
    #[inline]
    pub(crate) fn new(bus: &'a Bus, event: E) -> Self {
        Self { event: Some(event), run: Run::new(bus, E::decl()), unsent: |event| event }
    }
}

impl<E> Emit<'_, E> {
    /// Emits with this metadata; a second call replaces that of the first. Fields that it leaves open are inherited
    /// from the event being handled.
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

    /// Emits under this id, so that a retry of an emit whose outcome is unknown is not stored twice.
    ///
    /// # Complexity
    ///
    /// In memory, looks through the history once.
    pub fn id(mut self, id: EventId) -> Self {
        if self.event.is_some() {
            self.run.state.set(|options| options.id = Some(id));
        }
        self
    }

    /// Emits without waiting: the event is stored and handlers are called before this returns;
    /// handlers that wait go on in the background. For sync code.
    ///
    /// At most 1024 detached emits (settable) may be running at a time. A failed append that this
    /// call can't report any more is logged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] where too many are running: nothing happened. Else as for awaiting
    /// it, as far as it is known when the first poll is over.
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

    /// The first poll.
    #[inline]
    fn start(&mut self, cx: &mut Context<'_>) -> Polled {
        let polled = self.run.start((self.unsent)(&mut self.event), cx);
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
    /// Emits an event: it enters the history (or the adapter), then every matching handler runs.
    ///
    /// Nothing happens until the [`Emit`] is awaited or [detached](Emit::detach); it resolves when
    /// all handlers have finished. Its options are methods: [`metadata`](Emit::metadata), [`id`](Emit::id). See
    /// [`Emit`] for errors and cancellation.
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
        Emit::new(self, event)
    }

    /// Emits a record that `make` builds from its envelope.
    pub(crate) async fn emit_made(
        &self,
        name: &str,
        make: impl FnOnce(Envelope) -> Record,
    ) -> Result<Emitted, Error> {
        let mut make = Some(make);
        let progress = poll_fn(|cx| match make.take() {
            Some(make) => Poll::Ready(counted(self, name, None, None, make, cx)),
            None => Poll::Pending,
        });
        progress.await?.finish().await
    }
}
