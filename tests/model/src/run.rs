//! The state that actors and handlers of a program share, and how they emit, register and remove handlers.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use typed_events::{Bus, Emitted, Error, ErrorKind, EventId, Metadata, Subscription, SubscriptionGuard};

use crate::events::{A, B, C, Kind, Numbered, PATTERNS, Pat};
use crate::gates::Gates;
use crate::program::{Emission, How, Program, SLOTS};
use crate::trace::{Done, Emit, Failed, NEVER, Outcome, Removal, Removed, Sighting, Span, Trace};

/// Maximum number of emits by the handlers of one program.
const NESTED: i64 = 25;

pub(crate) struct Run {
    clock: AtomicU64,
    bus: Mutex<Option<Bus>>,
    trace: Mutex<Trace>,
    slots: [Mutex<Option<Slot>>; SLOTS],
    nested: AtomicI64,
    ids: [EventId; 2],
    pub(crate) gates: Gates,
    live: AtomicUsize,
    ended: Notify,
}

/// A handler that steps may remove.
pub(crate) struct Slot {
    pub(crate) sub: usize,
    pub(crate) handle: Handle,
}

pub(crate) enum Handle {
    Subscription(Subscription),
    Guard(SubscriptionGuard),
}

/// The result of an emit.
pub(crate) type Told = Result<Vec<Emitted>, Error>;
pub(crate) type Running = Pin<Box<dyn Future<Output = Told> + Send>>;

impl Run {
    pub(crate) fn of(program: &Program) -> Self {
        Self {
            clock: AtomicU64::new(1),
            bus: Mutex::new(None),
            trace: Mutex::default(),
            slots: Default::default(),
            nested: AtomicI64::new(NESTED),
            ids: [EventId::new(), EventId::new()],
            gates: Gates::of(program.actors.len()),
            live: AtomicUsize::new(0),
            ended: Notify::new(),
        }
    }

    /// Returns the next tick of the clock.
    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bus, until the program drops its handle.
    pub(crate) fn bus(&self) -> Option<Bus> {
        self.bus.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_bus(&self, bus: Option<Bus>) -> Option<Bus> {
        std::mem::replace(&mut *self.bus.lock().unwrap_or_else(PoisonError::into_inner), bus)
    }

    /// Runs some work, and returns the span of ticks that it took.
    pub(crate) fn timed<T>(&self, work: impl FnOnce() -> T) -> (Span, T) {
        let start = self.tick();
        let result = work();
        (Span { start, end: self.tick() }, result)
    }

    /// Notes that a call of a handler begins.
    pub(crate) fn call_begins(&self) {
        self.live.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that a call of a handler has ended.
    pub(crate) fn call_ended(&self) {
        if self.live.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.ended.notify_waiters();
        }
    }

    /// Waits until no handler runs.
    pub(crate) async fn no_call(&self) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.live.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Waits for the bus. The gates open when all actors wait.
    pub(crate) async fn waiting<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut waits = false;
        let output = poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() && !std::mem::replace(&mut waits, true) {
                self.gates.rest();
            }
            polled
        });
        let output = output.await;
        if waits {
            self.gates.go_on();
        }
        output
    }

    /// Returns whether a handler may emit once more.
    pub(crate) fn may_nest(&self) -> bool {
        self.nested.fetch_sub(1, Ordering::Relaxed) > 0
    }
}

/// Emits.
impl Run {
    /// Emits without waiting, from code that is not async.
    pub(crate) fn emit_now(&self, bus: &Bus, emission: Emission, by: Option<usize>) {
        let how = match emission.how {
            How::Await | How::Hold if emission.kind.is_declared() => How::Detach,
            How::Detach if !emission.kind.is_declared() => How::Drop,
            how => how,
        };
        let emission = Emission { how, ..emission };
        if how == How::Detach {
            return self.detach(bus, emission.kind, by);
        }
        drop(self.launch(bus, emission, by, &mut Context::from_waker(Waker::noop())));
    }

    /// Creates an emit, and polls it once unless the step says otherwise. Returns the rest of the emit.
    pub(crate) async fn emit_first(
        &self,
        bus: &Bus,
        emission: Emission,
        by: Option<usize>,
    ) -> Option<(Range<usize>, Running)> {
        if emission.how == How::Detach && emission.kind.is_declared() {
            self.detach(bus, emission.kind, by);
            return None;
        }
        let going_on = poll_fn(|cx| Poll::Ready(self.launch(bus, emission, by, cx))).await;
        going_on.filter(|_| !matches!(emission.how, How::Detach | How::Drop | How::BatchDrop(_)))
    }

    /// Waits for an emit.
    pub(crate) async fn emit_rest(&self, serials: Range<usize>, running: Running) {
        let told = running.await;
        self.note(serials, told);
    }

    fn detach(&self, bus: &Bus, kind: Kind, by: Option<usize>) {
        let serials = self.begin(Emission { kind, how: How::Detach }, by);
        let serial = serials.start as u64;
        let told = match kind {
            Kind::A => bus.emit(A::of(serial)).detach(),
            Kind::B => bus.emit(B::of(serial)).detach(),
            _ => bus.emit(C::of(serial)).detach(),
        };
        self.polled(&serials);
        if let Err(error) = told {
            self.note(serials, Err(error));
        }
    }

    fn launch(
        &self,
        bus: &Bus,
        emission: Emission,
        by: Option<usize>,
        cx: &mut Context<'_>,
    ) -> Option<(Range<usize>, Running)> {
        let serials = self.begin(emission, by);
        let mut running = self.running(bus.clone(), emission, &serials);
        if emission.how == How::Unpolled {
            return None;
        }
        let polled = running.as_mut().poll(cx);
        self.polled(&serials);
        match polled {
            Poll::Pending => Some((serials, running)),
            Poll::Ready(told) => {
                self.note(serials, told);
                None
            }
        }
    }

    /// Notes that an emit begins, and returns its serials.
    fn begin(&self, Emission { kind, how }: Emission, by: Option<usize>) -> Range<usize> {
        let mut trace = self.trace();
        let first = trace.emits.len();
        let (count, batch) = match how {
            How::Batch(count) | How::BatchDrop(count) if kind.is_declared() => (count as usize, Some(first)),
            _ => (1, None),
        };
        let start = self.tick();
        let given_id = match how {
            How::Id(which) if kind.is_declared() => Some(self.ids[which]),
            _ => None,
        };
        trace.emits.extend((0..count).map(|_| Emit {
            kind,
            span: Span { start, end: NEVER },
            resolved: NEVER,
            outcome: Outcome::None,
            parent: by,
            batch,
            given_id,
            with_source: how == How::With && kind.is_declared(),
            bad: how == How::BadJson,
            detached: how == How::Detach && kind.is_declared(),
        }));
        first..first + count
    }

    fn polled(&self, serials: &Range<usize>) {
        let mut trace = self.trace();
        let end = self.tick();
        for emit in &mut trace.emits[serials.clone()] {
            emit.span.end = end;
            emit.outcome = Outcome::Accepted;
        }
    }

    /// Notes the result of an emit.
    fn note(&self, serials: Range<usize>, told: Told) {
        let mut trace = self.trace();
        let resolved = self.tick();
        match told {
            // Its handlers continue on the runtime of the bus, and their results are not returned.
            Err(error) if error.kind() == ErrorKind::Runtime => trace.runtimes_ended += 1,
            Err(error) => trace.emits[serials].iter_mut().for_each(|emit| {
                (emit.resolved, emit.outcome) = (resolved, Outcome::Refused(error.kind()));
            }),
            Ok(all) => {
                if all.len() != serials.len() {
                    let odd = format!("a batch of {} came to {} results", serials.len(), all.len());
                    trace.odd.push(odd);
                }
                for (serial, emitted) in serials.zip(all) {
                    let seen = emitted.record().map(|record| (serial as u64, Sighting::of(record)));
                    if !emitted.is_duplicate() {
                        trace.sightings.extend(seen);
                    }
                    trace.emits[serial].resolved = resolved;
                    trace.emits[serial].outcome = Outcome::Done(done(&emitted));
                }
            }
        }
    }

    fn running(&self, bus: Bus, Emission { kind, how }: Emission, serials: &Range<usize>) -> Running {
        match kind {
            Kind::A => self.of_event::<A>(bus, how, serials),
            Kind::B => self.of_event::<B>(bus, how, serials),
            Kind::C => self.of_event::<C>(bus, how, serials),
            Kind::X | Kind::Y => {
                let json = if how == How::BadJson { "{".to_owned() } else { json(serials.start as u64) };
                Box::pin(async move { one(bus.emit_json(kind.name(), json).await) })
            }
        }
    }

    fn of_event<E: Numbered>(&self, bus: Bus, how: How, serials: &Range<usize>) -> Running {
        let (first, last) = (serials.start as u64, serials.end as u64);
        let event = E::of(first);
        match how {
            How::Json => Box::pin(async move { one(bus.emit_json(E::NAME, json(first)).await) }),
            How::BadJson => Box::pin(async move { one(bus.emit_json(E::NAME, r#"{"serial":"x"}"#).await) }),
            How::Batch(_) | How::BatchDrop(_) => {
                Box::pin(async move { bus.emit_all((first..last).map(E::of)).await })
            }
            How::Id(which) => {
                let id = self.ids[which];
                Box::pin(async move { one(bus.emit(event).id(id).await) })
            }
            How::With => {
                let metadata = Metadata::new().with_source("model");
                Box::pin(async move { one(bus.emit(event).metadata(metadata).await) })
            }
            How::Await | How::Detach | How::Drop | How::Unpolled | How::Hold => {
                Box::pin(async move { one(bus.emit(event).await) })
            }
        }
    }
}

fn json(serial: u64) -> String {
    format!(r#"{{"serial":{serial}}}"#)
}

fn one(emitted: Result<Emitted, Error>) -> Told {
    emitted.map(|emitted| vec![emitted])
}

fn done(emitted: &Emitted) -> Done {
    let failures = emitted.failures().iter().map(|failure| Failed {
        message: failure.message().to_owned(),
        pattern: failure.pattern().to_owned(),
        panicked: failure.panicked(),
    });
    let (handled, duplicate) = (emitted.handled(), emitted.is_duplicate());
    Done { handled, duplicate, failures: failures.collect() }
}

/// Removes handlers.
impl Run {
    /// Stores a handler in a slot, where steps find it. The previous handler of the slot is dropped.
    pub(crate) fn put(&self, slot: usize, new: Slot, parent: Option<usize>) {
        let old = self.slot(slot).replace(new);
        if let Some(Slot { sub, handle: Handle::Guard(guard) }) = old {
            let (span, ()) = self.timed(|| drop(guard));
            self.removed(span, Removed::Sub(sub, None), parent);
        }
    }

    /// Removes the handler of a slot. A guard is dropped; any other subscription stays, and may be removed again.
    pub(crate) fn unsubscribe(&self, slot: usize, parent: Option<usize>) {
        let taken = self.slot(slot).take();
        let Some(Slot { sub, handle }) = taken else { return };
        let (span, told) = match handle {
            Handle::Guard(guard) => {
                let (span, ()) = self.timed(|| drop(guard));
                (span, None)
            }
            Handle::Subscription(subscription) => {
                let (span, told) = self.timed(|| subscription.unsubscribe());
                if subscription.is_active() {
                    self.trace().odd.push(format!("handler {sub} is active though it was unsubscribed"));
                }
                self.slot(slot).get_or_insert(Slot { sub, handle: Handle::Subscription(subscription) });
                (span, Some(told))
            }
        };
        self.removed(span, Removed::Sub(sub, told), parent);
    }

    pub(crate) fn off(&self, bus: &Bus, pattern: Pat, parent: Option<usize>) {
        let (span, told) = self.timed(|| bus.off(PATTERNS[pattern]));
        let count = told.expect("it is a pattern");
        self.removed(span, Removed::Pattern(pattern, count), parent);
    }

    fn removed(&self, span: Span, what: Removed, parent: Option<usize>) {
        let mut trace = self.trace();
        let parent = parent.filter(|call| trace.calls[*call].first_poll);
        trace.removals.push(Removal { span, what, parent });
    }

    fn slot(&self, slot: usize) -> MutexGuard<'_, Option<Slot>> {
        self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
