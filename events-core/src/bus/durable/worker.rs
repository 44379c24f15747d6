//! The task of a durable handler. It claims events from the store, calls the handler, and reports the outcomes.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::adapter::AdapterError;
use crate::adapter::durable::{
    Claim, Claims, ConsumerId, Delivered, DurableAdapter, DurableError, Exchanged, Operation, Outcome,
    Refusal,
};
use crate::bus::durable::attempt::{after_panic, handle, log_announced};
use crate::bus::durable::deliveries::Deliveries;
use crate::bus::durable::feed::{Feed, Signal, sleep_until_some};
use crate::bus::durable::lookahead::{Lookahead, MAX_WANTED};
use crate::bus::durable::session::{RETRY_BACKOFF, Session};
use crate::bus::inner::durable_handler::DurableHandler;
use crate::bus::inner::in_flight::InFlightGuard;
use crate::bus::inner::outcome::panicked;
use crate::bus::inner::runtime::spawn_boxed;
use crate::bus::inner::{Bus, Inner};
use crate::panics::caught;
use crate::record::Record;

/// How often a call is repeated while the bus stops.
const RETRIES_OF_STOP: u32 = 3;

/// Dead letters of one answer that are logged one by one; further ones are counted in one line.
const LOGGED_LETTERS: usize = 8;

/// The task of one durable handler.
pub(super) struct Worker {
    bus: Weak<Inner>,
    session: Arc<Session>,
    handler: Arc<DurableHandler>,
    feed: Arc<Feed>,
    signal: Arc<Signal>,
    /// True once the bus is stopping; closed if the bus was dropped.
    stop: watch::Receiver<bool>,
    generation: watch::Receiver<u64>,
}

/// State of a worker between two exchanges.
struct State {
    deliveries: Deliveries,
    ahead: Lookahead,
    tasks: JoinSet<Outcome>,
    delivered: Vec<(Id, Delivered)>,
    permit: Permit,
    /// Whether the store may have waiting events that are due.
    may_have_due: bool,
    due: Option<Instant>,
    flushes: bool,
    /// Whether the store has an event for a bus with nothing else in hand.
    wants_solo: bool,
    /// Number of calls that have failed in a row.
    failed: u32,
    retry_at: Option<Instant>,
    /// Why nothing is claimed, as it was logged.
    logged_claims: Claims,
    removed: bool,
}

/// The permit to have events in hand, beside those of other handlers or alone.
enum Permit {
    None,
    Shared(#[expect(dead_code, reason = "held")] OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

/// Reasons for which a worker wakes.
enum Wake {
    Finished(Result<(Id, Outcome), JoinError>),
    Signal,
    Due,
    Retry,
    Alone(OwnedRwLockWriteGuard<()>),
    Renewed,
    Stopped,
}

impl Worker {
    pub(super) fn new(
        inner: &Arc<Inner>,
        session: &Arc<Session>,
        handler: &Arc<DurableHandler>,
        feed: &Arc<Feed>,
        signal: Arc<Signal>,
    ) -> Self {
        Self {
            bus: Arc::downgrade(inner),
            session: Arc::clone(session),
            handler: Arc::clone(handler),
            feed: Arc::clone(feed),
            signal,
            stop: inner.stop_tasks.subscribe(),
            generation: session.generation.subscribe(),
        }
    }

    /// Spawns the task that runs the consumer.
    pub(super) fn spawn(self, runtime: &Handle) {
        spawn_boxed(runtime, Box::pin(self.run()));
    }

    async fn run(mut self) {
        let session = Arc::clone(&self.session);
        let Ok(durable) = session.durable() else { return };
        let Some(mut state) = self.initial_state() else { return };
        self.run_until_stopped(durable, &mut state).await;
        self.set_wants_solo(&mut state, false);
    }

    async fn run_until_stopped(&mut self, durable: &dyn DurableAdapter, state: &mut State) {
        loop {
            self.collect(state);
            if self.generation.has_changed().unwrap_or(false) {
                self.reopen(state);
            }
            if state.removed {
                // The handlers that run are not aborted.
                while let Some(done) = state.tasks.join_next_with_id().await {
                    self.finish(state, done);
                }
                return state.deliveries.forget_finished();
            }
            let stopping = self.is_stopping();
            if stopping && state.deliveries.is_empty() && !state.deliveries.is_unanswered() {
                return;
            }
            if state.retry_at.is_none() && self.exchange_if_needed(durable, state, stopping).await {
                // An engine in memory answers at once. Without this, workers that repeat their exchanges until a handler
                // finishes would keep all threads of the runtime from calling it.
                tokio::task::yield_now().await;
                continue;
            }
            if state.deliveries.is_empty()
                && !matches!(state.permit, Permit::None)
                && !state.deliveries.is_unanswered()
            {
                self.release_permit(state);
            }
            match self.wake(state, stopping).await {
                Wake::Finished(done) => self.finish(state, done),
                Wake::Signal => {
                    let woken = self.signal.take();
                    state.may_have_due |= woken.events;
                    state.flushes |= woken.flushes;
                }
                Wake::Due => (state.due, state.may_have_due) = (None, true),
                Wake::Retry => state.retry_at = None,
                Wake::Alone(guard) => (state.permit, state.may_have_due) = (Permit::Alone(guard), true),
                // The loop looks at it.
                Wake::Renewed => self.generation.mark_changed(),
                Wake::Stopped => {}
            }
        }
    }

    fn initial_state(&mut self) -> Option<State> {
        let generation = *self.generation.borrow_and_update();
        let (id, registered) = self.session.registered(&self.handler.name)?;
        self.signal.set_union(&registered.terms.union);
        let ahead = Lookahead::new(self.handler.consumer.filter(), registered.terms.clone());
        Some(State {
            deliveries: Deliveries::new(generation, id, registered, Arc::clone(&self.session.in_hand)),
            ahead,
            tasks: JoinSet::new(),
            delivered: Vec::new(),
            permit: Permit::None,
            may_have_due: true,
            due: None,
            flushes: false,
            wants_solo: false,
            failed: 0,
            retry_at: None,
            logged_claims: Claims::Open,
            removed: false,
        })
    }

    /// Continues in the session that was registered again.
    fn reopen(&mut self, state: &mut State) {
        let generation = *self.generation.borrow_and_update();
        let Some((id, registered)) = self.session.registered(&self.handler.name) else {
            return self.warn_of_removal(state);
        };
        // The stored data may be other than what was read before.
        self.feed.forget_read();
        self.signal.forget_read();
        state.ahead = Lookahead::new(self.handler.consumer.filter(), registered.terms.clone());
        self.take_terms(state, &registered.terms);
        state.deliveries.reopen(generation, id, registered);
        state.may_have_due = true;
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    /// Makes the next call, if there is something to report or to claim. Returns whether there was.
    async fn exchange_if_needed(
        &self,
        durable: &dyn DurableAdapter,
        state: &mut State,
        stopping: bool,
    ) -> bool {
        let Some(inner) = self.bus.upgrade() else { return self.report_at_end(durable, state).await };
        // Count this as in flight before checking for a stop. Then `stop` either waits for the events claimed
        // here, or was seen here.
        let _flight = InFlightGuard::of_backlog(&inner.lifecycle);
        let claim = match stopping || self.is_stopping() || state.deliveries.is_unanswered() {
            true => None,
            false => match self.claim(state).await {
                Ok(claim) => claim,
                Err(error) => {
                    self.note_failed(&inner, state, &error);
                    None
                }
            },
        };
        let asks = claim.is_some()
            || state.deliveries.has_outcomes()
            || state.deliveries.is_unanswered()
            || state.deliveries.must_name_all();
        if !asks {
            return false;
        }
        self.exchange(durable, &Bus { inner }, state, claim).await;
        true
    }

    /// Reports what handlers have finished after their bus was dropped. Returns whether there was something.
    async fn report_at_end(&self, durable: &dyn DurableAdapter, state: &mut State) -> bool {
        if !state.deliveries.has_outcomes() && !state.deliveries.is_unanswered() {
            return false;
        }
        let (caller, call) = (self.session.caller(), state.deliveries.next(None));
        match caught(async { durable.exchange(&caller, call).await }).await {
            Ok(Ok(answer)) => state.deliveries.answered(&answer),
            // Nobody waits for another try: the events are handed out again.
            Ok(Err(_)) | Err(_) => state.deliveries.forget_finished(),
        }
        true
    }

    /// Returns the next claim, if this handler may claim and there may be something for it.
    async fn claim(&self, state: &mut State) -> Result<Option<Claim>, AdapterError> {
        let free = self.handler.consumer.durable.most_at_a_time().saturating_sub(state.deliveries.running());
        let is_alone = matches!(state.permit, Permit::Alone(_));
        if free == 0 || state.deliveries.must_name_all() || is_alone && !state.deliveries.is_empty() {
            return Ok(None);
        }
        if self.session.wants_solo.load(Ordering::SeqCst) > 0 && !is_alone {
            return Ok(None);
        }
        state.ahead.fill(&self.feed, &self.signal, &self.handler.consumer, free).await?;
        let flushes = state.flushes && state.ahead.is_ahead();
        // A report may make other events available: the next one of a key, or a retry.
        let has_cause =
            state.may_have_due || state.ahead.has_events() || flushes || state.deliveries.has_outcomes();
        if !has_cause {
            return Ok(None);
        }
        if matches!(state.permit, Permit::None) {
            let Ok(guard) = Arc::clone(&self.session.in_hand_lock).try_read_owned() else { return Ok(None) };
            state.permit = Permit::Shared(guard);
        }
        state.flushes = false;
        let solo = is_alone;
        let max = free.min(MAX_WANTED);
        Ok(Some(Claim { max, solo, window: state.ahead.window(max) }))
    }

    /// Reports outcomes and claims events.
    async fn exchange(
        &self,
        durable: &dyn DurableAdapter,
        bus: &Bus,
        state: &mut State,
        claim: Option<Claim>,
    ) {
        let claims = claim.is_some();
        let (generation, caller) = (state.deliveries.generation, self.session.caller());
        let call = state.deliveries.next(claim);
        let answer = caught(async { durable.exchange(&caller, call).await }).await;
        match answer.unwrap_or_else(|panic| panicked(panic).map_err(DurableError::Failed)) {
            Ok(answer) => {
                state.failed = 0;
                self.take_answer(durable, bus, state, answer, claims).await;
            }
            Err(DurableError::Refused(Refusal::Removed | Refusal::UnknownConsumer)) => {
                self.warn_of_removal(state)
            }
            Err(DurableError::Refused(refusal)) => {
                if let Err(error) = self.session.renew(generation, refusal).await {
                    self.note_failed(&bus.inner, state, &error);
                }
            }
            Err(DurableError::Failed(error)) => self.note_failed(&bus.inner, state, &error),
        }
    }

    async fn take_answer(
        &self,
        durable: &dyn DurableAdapter,
        bus: &Bus,
        state: &mut State,
        answer: Exchanged,
        claims: bool,
    ) {
        let positions: Vec<_> = answer.deliveries.iter().map(|delivered| delivered.position).collect();
        let records = positions.iter().map(|position| state.ahead.record(*position)).collect();
        state.deliveries.answered(&answer);
        self.take_terms(state, &answer.terms);
        self.report_answer(durable, bus, state.deliveries.consumer(), &answer).await;
        if claims {
            state.may_have_due =
                answer.more || matches!(answer.claims, Claims::OldPatterns | Claims::OldSettings);
            state.due = answer
                .due_in
                .map(|due| Instant::now() + Duration::from_micros(due) + Duration::from_millis(1));
            self.note_claims(state, &answer);
        }
        self.deliver(durable, bus, state, answer.deliveries, records).await;
        if answer.moving {
            self.run_move(durable, bus, state).await;
        }
    }

    fn take_terms(&self, state: &mut State, terms: &crate::adapter::durable::Terms) {
        self.signal.set_union(&terms.union);
        state.ahead.set_terms(terms);
    }

    /// Notes why nothing was claimed.
    fn note_claims(&self, state: &mut State, answer: &Exchanged) {
        match state.permit {
            Permit::Alone(_) => self.downgrade_permit(state, answer),
            _ => self.set_wants_solo(state, answer.wants_solo),
        }
        if answer.claims == Claims::DataLost || answer.claims == Claims::OtherOrder {
            // Nothing wakes the handler when this ends.
            state.due = Some(Instant::now() + self.handler.consumer.lease() / 3);
        }
        if answer.claims == Claims::OtherOrder && state.logged_claims != Claims::OtherOrder {
            let name = self.handler.consumer.name();
            self.session.warn(format_args!(
                "durable handler {name} waits: programs with another `ordered_by` for it are running, and it begins when they have ended"
            ));
        }
        state.logged_claims = answer.claims;
    }

    /// Calls the handler for the claimed events.
    async fn deliver(
        &self,
        durable: &dyn DurableAdapter,
        bus: &Bus,
        state: &mut State,
        deliveries: Vec<Delivered>,
        read: Vec<Option<Result<Record, AdapterError>>>,
    ) {
        if deliveries.is_empty() {
            return;
        }
        let is_overdue = self.session.is_overdue();
        if is_overdue {
            state.retry_at = Some(Instant::now() + RETRY_BACKOFF.0);
        }
        if is_overdue || self.is_stopping() {
            // They may be others' by now, or were claimed by a call that was repeated after the stop.
            for delivered in &deliveries {
                let flight = InFlightGuard::of_backlog(&bus.inner.lifecycle);
                state.deliveries.begin(delivered, None, Some(Outcome::GivenBack), flight);
            }
            return;
        }
        let codec = self.handler.consumer.codec();
        let missing = deliveries
            .iter()
            .zip(&read)
            .filter(|(delivered, read)| delivered.copy.is_none() && read.is_none());
        let missing: Vec<_> = missing.map(|(delivered, _)| delivered.position).collect();
        let found = match missing.is_empty() {
            true => Ok(Vec::new()),
            false => durable.records(&missing, codec).await,
        };
        for (delivered, read) in deliveries.into_iter().zip(read) {
            let position = delivered.position;
            let record = match (&delivered.copy, read, &found) {
                (Some(copy), ..) => decode(codec, copy),
                (None, Some(read), _) => read,
                (None, None, Ok(found)) => match found.iter().find(|(at, _)| *at == position) {
                    Some((_, record)) => record.clone(),
                    None => Err(AdapterError::refused(format_args!("the log has no record at {position}"))),
                },
                (None, None, Err(error)) => {
                    // The handler is not called; the event is claimed again.
                    let flight = InFlightGuard::of_backlog(&bus.inner.lifecycle);
                    state.deliveries.begin(&delivered, None, Some(Outcome::GivenBack), flight);
                    self.note_failed(&bus.inner, state, error);
                    continue;
                }
            };
            self.call(bus, state, delivered, record);
        }
    }

    /// Spawns the task that calls the handler.
    fn call(&self, bus: &Bus, state: &mut State, delivered: Delivered, record: Result<Record, AdapterError>) {
        if delivered.solo {
            let (name, position) = (self.handler.consumer.name(), delivered.position);
            bus.warn(format_args!(
                "durable handler {name} gets the event at {position} alone, for its last attempt, because programs ended in earlier ones: the other durable handlers of this bus wait until it has finished"
            ));
        }
        let flight = InFlightGuard::of_backlog(&bus.inner.lifecycle);
        let handled = handle(bus.clone(), Arc::clone(&self.handler), delivered.clone(), record);
        let task = state.tasks.spawn_on(handled, &bus.inner.runtime).id();
        state.deliveries.begin(&delivered, Some(task), None, flight);
        state.delivered.push((task, delivered));
    }

    /// Reports what an answer says about other events than the claimed ones.
    async fn report_answer(
        &self,
        durable: &dyn DurableAdapter,
        bus: &Bus,
        consumer: ConsumerId,
        answer: &Exchanged,
    ) {
        let (reporter, name) = (bus.inner.settings.reporter, self.handler.consumer.name());
        for (position, _) in &answer.late {
            reporter.warning(format_args!(
                "durable handler {name} was late with the event at {position}, so its result was ignored: its lease had expired, or an operator has moved the consumer or replayed the event"
            ));
        }
        if answer.lost > 0 {
            let why = ", which were trimmed before it had finished them";
            bus.inner.warn_of_lost(format!("durable handler {name}"), answer.lost, why.to_owned());
        }
        for position in answer.announced.iter().take(LOGGED_LETTERS) {
            let letters = durable.dead_letters(consumer, position - 1, 1).await;
            letters.iter().flatten().for_each(|letter| log_announced(bus, &self.handler, letter));
        }
        let more = answer.announced.len().saturating_sub(LOGGED_LETTERS);
        if more > 0 {
            reporter.warning(format_args!(
                "durable handler {name}: {more} more events became dead letters, because programs ended in their last attempts, or because their pattern was given up: see `bus.consumer(\"{name}\").dead_letters(..)`"
            ));
        }
    }

    /// Runs the move of the consumer to its end, or until a call fails.
    async fn run_move(&self, durable: &dyn DurableAdapter, bus: &Bus, state: &mut State) {
        let (mut settings_number, mut keys) = (0, Vec::new());
        loop {
            let caller = self.session.caller();
            let chunk = Operation::RunMove { settings_number, keys: std::mem::take(&mut keys) };
            let done = match durable.operate(&caller, state.deliveries.consumer(), &chunk).await {
                Ok(done) => done,
                Err(DurableError::Failed(error)) => return self.note_failed(&bus.inner, state, &error),
                Err(DurableError::Refused(_)) => return,
            };
            state.may_have_due = true;
            if done.more.is_none() {
                return;
            }
            let Some((number, settings)) = done.keys_by else { continue };
            settings_number = number;
            match self.keys(durable, &settings, done.keys).await {
                Ok(read) => keys = read,
                Err(error) => return self.note_failed(&bus.inner, state, &error),
            }
        }
    }

    /// Reads the new keys of rows.
    async fn keys(
        &self,
        durable: &dyn DurableAdapter,
        settings: &crate::adapter::durable::Settings,
        rows: Vec<(u64, Option<Vec<u8>>)>,
    ) -> Result<Vec<(u64, Option<String>)>, AdapterError> {
        let codec = self.handler.consumer.codec();
        let positions: Vec<_> = rows.iter().filter(|(_, copy)| copy.is_none()).map(|(at, _)| *at).collect();
        let found = durable.records(&positions, codec).await?;
        let key_of = |(position, copy): (u64, Option<Vec<u8>>)| {
            let record = match copy {
                Some(copy) => decode(codec, &copy).ok(),
                None => {
                    found.iter().find(|(at, _)| *at == position).and_then(|(_, record)| record.clone().ok())
                }
            };
            let key = record.and_then(|record| self.handler.consumer.key(&record, settings.order.as_ref()?));
            (position, key)
        };
        Ok(rows.into_iter().map(key_of).collect())
    }

    fn warn_of_removal(&self, state: &mut State) {
        state.deliveries.forget_finished();
        if !std::mem::replace(&mut state.removed, true) {
            let name = self.handler.consumer.name();
            self.session.warn(format_args!(
                "durable handler {name} gets no more events: its consumer was removed. The next start of a program that handles it creates it anew"
            ));
        }
    }

    fn note_failed(&self, inner: &Inner, state: &mut State, error: &AdapterError) {
        let (first, max) = RETRY_BACKOFF;
        let wait = first.saturating_mul(1 << state.failed.min(16)).min(max);
        state.retry_at = Some(Instant::now() + wait);
        if state.failed == 0 {
            let (name, adapter) = (self.handler.consumer.name(), self.session.adapter().name());
            inner.settings.reporter.warning(format_args!(
                "durable handler {name} can't exchange events with {adapter}, and will retry: {error}"
            ));
        }
        state.failed = state.failed.saturating_add(1);
        // A bus that stops does not wait for a failing engine. Events whose outcome was not reported are
        // handed out again.
        if self.is_stopping() && state.failed > RETRIES_OF_STOP {
            self.session.has_unreported.store(true, Ordering::SeqCst);
            state.deliveries.forget_finished();
        }
    }

    async fn wake(&mut self, state: &mut State, stopping: bool) -> Wake {
        let waits_alone = state.wants_solo
            && state.deliveries.is_empty()
            && matches!(state.permit, Permit::None)
            && !stopping;
        let in_hand_lock = Arc::clone(&self.session.in_hand_lock);
        let alone = async move {
            match waits_alone {
                true => in_hand_lock.write_owned().await,
                false => std::future::pending().await,
            }
        };
        let due = state.due.filter(|_| !stopping && state.retry_at.is_none());
        let (mut alone, mut due, mut retry_at) =
            (pin!(alone), pin!(sleep_until_some(due)), pin!(sleep_until_some(state.retry_at)));
        let (mut stopped, mut generation) = (pin!(self.stop.changed()), pin!(self.generation.changed()));
        let mut signal = pin!(self.signal.notify.notified());
        poll_fn(|cx| {
            if let Poll::Ready(Some(done)) = state.tasks.poll_join_next_with_id(cx) {
                return Poll::Ready(Wake::Finished(done));
            }
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Stopped);
            }
            if generation.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Renewed);
            }
            if retry_at.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Retry);
            }
            if signal.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Signal);
            }
            if let Poll::Ready(guard) = alone.as_mut().poll(cx) {
                return Poll::Ready(Wake::Alone(guard));
            }
            due.as_mut().poll(cx).map(|()| Wake::Due)
        })
        .await
    }

    /// Lets other handlers of the bus claim.
    fn release_permit(&self, state: &mut State) {
        if let Permit::Alone(guard) = std::mem::replace(&mut state.permit, Permit::None) {
            drop(guard);
            self.set_wants_solo(state, false);
            // Those that could not claim meanwhile look again.
            self.feed.wake_all();
        }
    }

    /// Lets other handlers have events in hand as well, if the claim of a handler that was alone got no event to be alone
    /// with.
    fn downgrade_permit(&self, state: &mut State, answer: &Exchanged) {
        if answer.deliveries.iter().any(|delivered| delivered.solo) {
            return;
        }
        state.permit = match std::mem::replace(&mut state.permit, Permit::None) {
            Permit::Alone(guard) => {
                if answer.wants_solo {
                    // Another program has such an event in hand.
                    state.due = Some(Instant::now() + self.handler.consumer.lease() / 3);
                }
                self.set_wants_solo(state, false);
                let shared = Permit::Shared(guard.downgrade());
                self.feed.wake_all();
                shared
            }
            permit => permit,
        };
    }

    /// Asks the other handlers of the bus to claim nothing, or lets them claim again.
    fn set_wants_solo(&self, state: &mut State, wants: bool) {
        match (std::mem::replace(&mut state.wants_solo, wants), wants) {
            (false, true) => drop(self.session.wants_solo.fetch_add(1, Ordering::SeqCst)),
            (true, false) => {
                self.session.wants_solo.fetch_sub(1, Ordering::SeqCst);
                self.feed.wake_all();
            }
            _ => {}
        }
    }

    /// Takes the outcomes of all tasks that have ended by now.
    fn collect(&self, state: &mut State) {
        while let Some(done) = state.tasks.try_join_next_with_id() {
            self.finish(state, done);
        }
    }

    /// Keeps the outcome of an event until it is reported.
    fn finish(&self, state: &mut State, done: Result<(Id, Outcome), JoinError>) {
        let task = match &done {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let Some(index) = state.delivered.iter().position(|(id, _)| *id == task) else { return };
        let (_, delivered) = state.delivered.swap_remove(index);
        let outcome = match done {
            Ok((_, outcome)) => outcome,
            Err(error) => match (error.try_into_panic(), self.bus.upgrade()) {
                (Ok(panic), Some(inner)) => after_panic(&Bus { inner }, &self.handler, &delivered, panic),
                // The runtime is shutting down. The event is handed out again after the lease.
                _ => return state.deliveries.forget(task),
            },
        };
        state.deliveries.finish(task, outcome);
    }
}

fn decode(codec: &crate::record::codec::RecordCodec, copy: &[u8]) -> Result<Record, AdapterError> {
    let text = std::str::from_utf8(copy).map_err(AdapterError::refused)?;
    codec.decode(text).map_err(AdapterError::from)
}
