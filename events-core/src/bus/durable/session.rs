//! The session of a bus at its engine: what the bus knows of the store, its signs of life, and registering again after
//! the session has ended or the store has lost data.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, RwLock, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::adapter::durable::{
    Beat, Beaten, Caller, DurableAdapter, DurableError, Knows, Origin, RaiseIncarnation, ReadMark, Refusal,
    Register, Registered, SessionId,
};
use crate::adapter::{Adapter, AdapterError, BoxFuture};
use crate::bus::inner::Inner;
use crate::bus::inner::durable_handler::{DurableHandler, OpenSession};
use crate::bus::inner::outcome::panicked;
use crate::bus::inner::runtime::spawn_boxed;
use crate::panics::caught;
use crate::time::clock::Clock;

/// Positions and ids that beats have named, kept to find where to resume after a loss of data.
const KEPT_MARKS: usize = 1_000;

/// Difference between the clocks of the engine and of this machine from which on it is reported.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

/// Delay before a call is repeated whose outcome is unknown or which the engine could not apply: the first one, and the
/// longest.
pub(super) const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The session of a bus, shared by its durable handlers.
pub(crate) struct Session {
    adapter: Arc<dyn Adapter>,
    bus: Weak<Inner>,
    lease: Duration,
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// Held while the session registers again.
    renewing: tokio::sync::Mutex<()>,
    /// Number of registrations that have completed. The handlers look up their consumers after each change.
    pub(super) generation: watch::Sender<u64>,
    /// Asks for a beat at once.
    pub(super) beat_now: Notify,
    /// Held by each durable handler while it has events in hand, and alone by one that has to be the only one.
    pub(super) in_hand_lock: Arc<RwLock<()>>,
    /// Number of handlers that wait for the others to have nothing in hand: the others claim nothing.
    pub(super) wants_solo: AtomicUsize,
    /// Number of deliveries of all handlers that were not reported.
    pub(super) in_hand: Arc<AtomicUsize>,
    /// Whether the clocks of the engine and of this machine differ, which was logged.
    is_clock_off: AtomicBool,
    /// Set if outcomes could not be reported before a stop: then the session is not ended, so that its lease runs out.
    pub(super) has_unreported: AtomicBool,
    has_ended: AtomicBool,
}

struct State {
    id: SessionId,
    knows: Knows,
    marks: VecDeque<ReadMark>,
    /// Registrations; absent for a consumer that was removed.
    consumers: HashMap<Arc<str>, Option<Registered>>,
    beat: u64,
    /// When the answer to the newest beat arrived; absent if that beat failed.
    answered_at: Option<Instant>,
    /// When the newest sign of life that was answered was sent.
    alive_at: Instant,
}

impl State {
    fn store_registration(&mut self, handler: &DurableHandler, registered: Option<Registered>) {
        if let Some(registered) = &registered {
            self.knows = registered.knows;
        }
        self.consumers.insert(Arc::clone(&handler.name), registered);
    }
}

impl Session {
    pub(crate) fn new(inner: &Arc<Inner>, adapter: &Arc<dyn Adapter>) -> Arc<Self> {
        let state = State {
            id: SessionId::random(),
            knows: Knows::default(),
            marks: VecDeque::new(),
            consumers: HashMap::new(),
            beat: 0,
            answered_at: None,
            alive_at: Instant::now(),
        };
        Arc::new(Self {
            adapter: Arc::clone(adapter),
            bus: Arc::downgrade(inner),
            lease: inner.settings.lease,
            clock: inner.settings.clock.clone(),
            state: Mutex::new(state),
            renewing: tokio::sync::Mutex::default(),
            generation: watch::Sender::new(0),
            beat_now: Notify::new(),
            in_hand_lock: Arc::default(),
            wants_solo: AtomicUsize::new(0),
            in_hand: Arc::default(),
            is_clock_off: AtomicBool::new(false),
            has_unreported: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Opens the consumers of the bus.
    ///
    /// # Errors
    ///
    /// Returns the name of the consumer that can't be opened, and why.
    pub(crate) async fn open(
        &self,
        durable_handlers: &[Arc<DurableHandler>],
    ) -> Result<(), (String, AdapterError)> {
        let (id, now) = (self.lock().id, Instant::now());
        for handler in durable_handlers {
            let origin = Origin::New(handler.consumer.from());
            let registered = self.register(handler, id, None, origin).await;
            let registered =
                registered.map_err(|error| (handler.consumer.name().to_owned(), failure(error)))?;
            if registered.differs {
                let name = &handler.name;
                self.warn(format_args!(
                    "durable handler {name}: other programs that run now have other settings for it, and theirs apply until they have ended"
                ));
            }
            let mut state = self.lock();
            state.alive_at = now;
            state.store_registration(handler, Some(registered));
        }
        Ok(())
    }

    async fn register(
        &self,
        handler: &DurableHandler,
        session: SessionId,
        knows: Option<Knows>,
        origin: Origin,
    ) -> Result<Registered, DurableError> {
        let (consumer, durable) = (&handler.consumer, self.durable()?);
        let register = Register {
            session,
            lease: self.lease,
            consumer: consumer.name().to_owned(),
            filter: consumer.filter(),
            attempts: consumer.durable.attempts(),
            backoff: consumer.durable.wait_after(1, 0.0),
            settings: consumer.settings(),
            origin,
        };
        let caller = Caller { knows, ..self.caller() };
        caught(async { durable.register(&caller, &register).await })
            .await
            .unwrap_or_else(|panic| panicked(panic).map_err(DurableError::Failed))
    }

    /// Returns the session's id and its registration of a consumer. `None` if the consumer was removed.
    pub(super) fn registered(&self, consumer: &str) -> Option<(SessionId, Registered)> {
        let state = self.lock();
        let registered = state.consumers.get(consumer)?.clone()?;
        Some((state.id, registered))
    }

    pub(super) fn durable(&self) -> Result<&dyn DurableAdapter, DurableError> {
        let none =
            || DurableError::Failed(AdapterError::refused("the adapter has no durable consumers any more"));
        self.adapter.durable().ok_or_else(none)
    }

    pub(super) fn adapter(&self) -> &Arc<dyn Adapter> {
        &self.adapter
    }

    /// What goes with each call.
    pub(crate) fn caller(&self) -> Caller {
        let knows = Some(self.lock().knows).filter(|knows| knows.incarnation.number > 0);
        Caller { knows, now: self.clock.of_test() }
    }

    /// Registers another session if `generation` is still the newest one, after a refusal.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the engine fails. The caller tries again.
    pub(super) async fn renew(&self, generation: u64, refusal: Refusal) -> Result<(), AdapterError> {
        let _renewing = self.renewing.lock().await;
        let Some(inner) = self.bus.upgrade() else { return Ok(()) };
        if *self.generation.borrow() != generation || self.has_ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (old, knew) = {
            let state = self.lock();
            (state.id, state.knows)
        };
        let mut origin = Origin::Again(knew.newest);
        if let Refusal::Behind(found) | Refusal::OtherIncarnation(found) = refusal {
            if let Refusal::Behind(_) = refusal {
                let raise =
                    RaiseIncarnation { session: old, found, knew: knew.incarnation, lease: self.lease };
                let caller = Caller { knows: None, ..self.caller() };
                self.durable().map_err(failure)?.raise_incarnation(&caller, &raise).await.map_err(failure)?;
            }
            let resumes = self.resumes_at().await?;
            origin = Origin::Again(resumes);
            self.warn(format_args!(
                "{} has lost data: its log was at {} before, and the newest event that it still has of those this program saw is at {resumes}; durable handlers continue with the state that is stored now, and events between may have been lost or may be handled again",
                self.adapter.name(), knew.newest
            ));
        } else {
            self.warn(format_args!(
                "the session of the durable handlers at {} has ended, because it sent no sign of life for {} s: the events in hand may be handled again",
                self.adapter.name(), self.lease.as_secs_f64()
            ));
        }
        let (id, now) = (SessionId::random(), Instant::now());
        let mut registered = Vec::new();
        for handler in &inner.durable_handlers {
            match self.register(handler, id, None, origin).await {
                Ok(answer) => registered.push((handler, Some(answer))),
                Err(DurableError::Refused(Refusal::Removed)) => registered.push((handler, None)),
                // The caller tries again, with another session.
                Err(error) => return Err(failure(error)),
            }
        }
        {
            let mut state = self.lock();
            (state.id, state.beat, state.answered_at, state.alive_at) = (id, 0, None, now);
            registered
                .into_iter()
                .for_each(|(handler, registered)| state.store_registration(handler, registered));
        }
        self.generation.send_modify(|generation| *generation += 1);
        Ok(())
    }

    /// Returns the newest position that beats have named and at which the log still has the same event.
    async fn resumes_at(&self) -> Result<u64, AdapterError> {
        let marks: Vec<ReadMark> = self.lock().marks.iter().copied().collect();
        let Some(inner) = self.bus.upgrade() else { return Ok(0) };
        for mark in marks.into_iter().rev() {
            let found = self.durable().map_err(failure)?.records(&[mark.position], &inner.codec).await?;
            let is_same = |(_, record): &(u64, Result<crate::record::Record, AdapterError>)| {
                record.as_ref().is_ok_and(|record| record.id() == mark.id)
            };
            if found.iter().any(is_same) {
                return Ok(mark.position);
            }
        }
        Ok(0)
    }

    /// Whether no sign of life was answered for the time of the lease, for example because the process was paused: others may
    /// have the session's deliveries. Asks for a beat then.
    pub(super) fn is_overdue(&self) -> bool {
        let is_overdue = self.lock().alive_at.elapsed() > self.lease;
        if is_overdue {
            self.beat_now.notify_one();
        }
        is_overdue
    }

    /// Spawns the task that sends beats, until the session or the bus ends.
    pub(super) fn spawn_beats(self: &Arc<Self>, inner: &Arc<Inner>, wake: impl Fn() + Send + Sync + 'static) {
        let (session, stop) = (Arc::clone(self), inner.stop_tasks.subscribe());
        spawn_boxed(&inner.runtime, Box::pin(async move { session.beats(&wake, stop).await }));
    }

    async fn beats(&self, wake: &(dyn Fn() + Send + Sync), mut stop: watch::Receiver<bool>) {
        // The first beat was sent when the consumers were opened.
        let mut is_failing = false;
        loop {
            let pause = if is_failing { self.lease / 12 } else { self.lease / 3 };
            let is_dropped = self.wait(pause, &mut stop).await;
            if self.has_ended.load(Ordering::SeqCst) {
                return;
            }
            if is_dropped {
                return self.end_now().await;
            }
            match self.beat().await {
                Ok(beaten) => {
                    is_failing = false;
                    if beaten.is_some_and(|beaten| !beaten.ended.is_empty()) {
                        wake();
                    }
                }
                Err(error) => self.note_failed_beat(std::mem::replace(&mut is_failing, true), &error),
            }
        }
    }

    /// Waits until the next beat is due or was asked for. Returns whether the bus was dropped.
    async fn wait(&self, pause: Duration, stop: &mut watch::Receiver<bool>) -> bool {
        let dropped = async { while stop.changed().await.is_ok() {} };
        let (mut dropped, mut due) = (pin!(dropped), pin!(timeout(pause, self.beat_now.notified())));
        poll_fn(|cx| {
            if dropped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            due.as_mut().poll(cx).map(|_| false)
        })
        .await
    }

    fn note_failed_beat(&self, failed_before: bool, error: &AdapterError) {
        if !failed_before && self.is_running() {
            self.warn(format_args!(
                "the durable handlers can't send a sign of life to {}, and will retry: {error}; after {} s without one, other instances may handle the same events",
                self.adapter.name(),
                self.lease.as_secs_f64()
            ));
        }
    }

    /// Sends a beat.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the engine fails.
    pub(super) async fn beat(&self) -> Result<Option<Beaten>, AdapterError> {
        let generation = *self.generation.borrow();
        let (caller, sent) = (self.caller(), Instant::now());
        let beat = {
            let mut state = self.lock();
            state.beat += 1;
            let elapsed = state.answered_at.take().map_or(Duration::ZERO, |at| at.elapsed());
            Beat { session: state.id, number: state.beat, elapsed }
        };
        let durable = self.durable().map_err(failure)?;
        match caught(async { durable.beat(&caller, &beat).await }).await {
            Ok(Ok(beaten)) => {
                self.note_answer(&beat, &beaten, sent);
                Ok(Some(beaten))
            }
            Ok(Err(DurableError::Refused(Refusal::OldNumber))) => Ok(None),
            Ok(Err(DurableError::Refused(refusal))) => self.renew(generation, refusal).await.map(|()| None),
            Ok(Err(DurableError::Failed(error))) => Err(error),
            Err(panic) => panicked(panic),
        }
    }

    /// Reports that the clock of this machine differs from that of the engine. Leases and retries follow the engine's; the
    /// times of emitted events follow this machine's.
    fn check_clock(&self, beaten: &Beaten) {
        if self.clock.of_test().is_some() {
            return;
        }
        let off = self.clock.now().as_micros().saturating_sub(beaten.time.as_micros());
        let is_off = Duration::from_micros(off.unsigned_abs()) > CLOCK_TOLERANCE;
        if is_off && !self.is_clock_off.swap(is_off, Ordering::Relaxed) {
            let (seconds, adapter) = (off.unsigned_abs() / 1_000_000, self.adapter.name());
            let side = if off > 0 { "ahead of" } else { "behind" };
            self.warn(format_args!(
                "the clock of this machine is {seconds} s {side} that of {adapter}: events that it emits have wrong times. Leases and retries follow the clock of {adapter}"
            ));
        }
        self.is_clock_off.store(is_off, Ordering::Relaxed);
    }

    fn note_answer(&self, beat: &Beat, beaten: &Beaten, sent: Instant) {
        self.check_clock(beaten);
        if beaten.jumped {
            self.warn(format_args!(
                "the clock of {} jumped ahead by more than an hour; events are not trimmed by their age for the next 24 h",
                self.adapter.name()
            ));
        }
        let mut state = self.lock();
        if (state.id, state.beat) != (beat.session, beat.number) {
            return;
        }
        (state.answered_at, state.alive_at) = (Some(Instant::now()), sent);
        state.knows.heard = state.knows.heard.max(beaten.heard);
        state.knows.newest = state.knows.newest.max(beaten.newest);
        if let Some(mark) = beaten.newest_mark.filter(|mark| state.marks.back() != Some(mark)) {
            state.marks.push_back(mark);
            if state.marks.len() > KEPT_MARKS {
                state.marks.pop_front();
            }
        }
    }

    /// Sends no more beats. Ends the session at once if it has nothing in hand; otherwise its lease runs out.
    async fn end_now(&self) {
        if self.has_ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.beat_now.notify_waiters();
        let Ok(durable) = self.durable() else { return };
        if self.in_hand.load(Ordering::SeqCst) == 0 && !self.has_unreported.load(Ordering::SeqCst) {
            let (caller, id) = (self.caller(), self.lock().id);
            // If this fails, the session ends after its lease.
            let _ = durable.end_session(&caller, id).await;
        }
    }

    fn is_running(&self) -> bool {
        self.bus.upgrade().is_some_and(|inner| !*inner.stop_tasks.borrow())
    }

    pub(super) fn warn(&self, what: std::fmt::Arguments<'_>) {
        if let Some(inner) = self.bus.upgrade() {
            inner.settings.reporter.warning(what);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenSession for Session {
    fn caller(&self) -> Caller {
        Self::caller(self)
    }

    fn end(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.end_now().await })
    }
}

/// Waits before a failed call is repeated.
pub(super) async fn back_off(failed: u32) {
    let (first, max) = RETRY_BACKOFF;
    sleep(first.saturating_mul(1 << failed.min(16)).min(max)).await;
}

/// Turns a refusal into an error of the engine, where no refusal is expected.
pub(super) fn failure(error: DurableError) -> AdapterError {
    match error {
        DurableError::Failed(error) => error,
        DurableError::Refused(refusal) => AdapterError::refused(refusal),
    }
}
