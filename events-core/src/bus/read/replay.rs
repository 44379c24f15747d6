//! `bus.replay(n).on(..)`: handlers that get the events of the history first.
//!
//! One task per such handler reads the log in its order and calls the handler with one event at a time. Emits
//! and the task synchronise at a [`Rendezvous`]: each matching event has a position in the log, and both the
//! emit and the task reach the position exactly once. The first leaves an entry there, and the second removes
//! it.

use std::collections::HashSet;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::adapter::BoxFuture;
use crate::adapter::query::HistoryQuery;
use crate::adapter::query::parse_pattern;
use crate::bus::emit::single_call;
use crate::bus::handlers::closure::{EventHandler, IntoHandler};
use crate::bus::handlers::subscription::{OnPattern, Subscription};
use crate::bus::inner::call::Callback;
use crate::bus::inner::call::RequiredParts;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::routes::{Lifetime, Patterns, Route};
use crate::bus::inner::runtime::spawn_boxed;
use crate::bus::inner::{Bus, Inner};
use crate::bus::read::history::History;
use crate::bus::read::rendezvous::{Rendezvous, report_untaken};
use crate::error::{Error, ErrorKind};
use crate::event::accepted::AcceptedEvents;
use crate::id::EventId;
use crate::log::reader::{ReadItem, Reader};
use crate::panics::catch_panic;
use crate::record::Record;
use crate::time::Timestamp;

/// A registration option: the handler gets the last events of its type from the history first. Returned by
/// [`Bus::replay`]; [`on`](Self::on) registers the handler.
#[derive(Clone, Copy)]
#[must_use = "this registers nothing: call `on`"]
pub struct OnReplay<'a> {
    bus: &'a Bus,
    n: usize,
}

impl<'a> OnReplay<'a> {
    /// Registers a closure that first gets the last events of its type from the history, then each later
    /// one. It gets one event at a time, in the order of the history, without gaps and without duplicates.
    ///
    /// Resolves once the handler has caught up. Emits never wait for a handler that is catching up. After
    /// that, they wait for it as for any other handler, except emits inside handlers: for these it runs
    /// later, because an emit that waited there could wait for itself. (An emit in a task that the handler
    /// spawns and waits for must be inside the handler, too: use
    /// [`EventContext::carry`](crate::EventContext::carry).)
    ///
    /// The handler runs on the runtime of the bus. If that is a current-thread runtime that no thread drives,
    /// the handler does not catch up.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Lagged`] if the history dropped events before the handler, while catching up, had got
    ///   them.
    /// - [`ErrorKind::History`] if the adapter fails to read its history.
    /// - [`ErrorKind::Stopped`] if the bus or its runtime stops, or the handler is removed, before it has
    ///   caught up.
    ///
    /// After an error the handler is not registered. If the handler falls behind after it has caught up, the
    /// number of events it lost is logged, and it stays registered.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it resolves, the handler is removed.
    #[track_caller]
    pub fn on<K, H>(
        self,
        handler: H,
    ) -> impl Future<Output = Result<Subscription, Error>> + Send + use<'a, K, H>
    where
        H: EventHandler<K>, // Async: |event: Arc<E>| async move { .. }, not &E; clone captured state before async move.
    {
        let name = self.bus.inner.routes.closure_name(Location::caller());
        let pattern = H::EVENT.map_or("", |decl| decl().name).to_owned();
        self.bus.register_replay(name, pattern, self.n, handler.into_callback())
    }
}

/// A registration option: the handler gets the last events that match a pattern from the history first.
/// Returned by [`OnPattern::replay`]; [`on`](Self::on) registers the handler.
#[derive(Clone, Copy)]
#[must_use = "this registers nothing: call `on`"]
pub struct OnPatternReplay<'a> {
    selected: OnPattern<'a>,
    n: usize,
}

impl<'a> OnPattern<'a> {
    /// Makes the handler first get the last `n` events that match the pattern, as [`Bus::replay`] does for
    /// the events of a type.
    pub fn replay(self, n: usize) -> OnPatternReplay<'a> {
        OnPatternReplay { selected: self, n }
    }
}

impl<'a> OnPatternReplay<'a> {
    /// Registers a closure of `&Record` that first gets the last events that match the pattern, then each
    /// later one. Resolves once the handler has caught up. See [`OnReplay::on`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] as for [`OnPattern::on`], and those of [`OnReplay::on`].
    ///
    /// # Cancel safety
    ///
    /// The same as for [`OnReplay::on`].
    #[track_caller]
    pub fn on<K, H>(
        self,
        handler: H,
    ) -> impl Future<Output = Result<Subscription, Error>> + Send + use<'a, K, H>
    where
        H: IntoHandler<K>, // Async: copy first: |record: &Record| { let text = record.to_string(); async move { .. } }.
    {
        let location = Location::caller();
        let OnPattern { bus, pattern } = self.selected;
        let name = bus.inner.routes.closure_name(location);
        let event = H::EVENT.map(|decl| decl().name);
        let callback = handler.into_callback();
        async move {
            bus.inner.check_pattern(&name, location, event, pattern)?;
            bus.register_replay(name, pattern.to_owned(), self.n, callback).await
        }
    }
}

impl Bus {
    /// Makes a handler first get the last `n` of its events from the history.
    ///
    /// `bus.replay(100).on(|user: &UserCreated| ...).await?` registers a closure for the events of a type. For
    /// those of a pattern, use `bus.pattern("user.*").replay(100).on(|record: &Record| ...).await?`. For the
    /// order of events, errors and cancel safety, see [`OnReplay::on`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use typed_events::{Bus, event};
    ///
    /// #[event("coin.inserted")]
    /// pub struct CoinInserted { pub cents: u64 }
    ///
    /// static TOTAL: AtomicU64 = AtomicU64::new(0);
    ///
    /// let bus = Bus::new().await?;
    /// bus.emit(CoinInserted { cents: 50 }).await?;
    /// bus.replay(100).on(|coin: &CoinInserted| { TOTAL.fetch_add(coin.cents, Relaxed); }).await?;
    /// bus.emit(CoinInserted { cents: 20 }).await?;
    /// assert_eq!(TOTAL.load(Relaxed), 70);
    /// # Ok(()) }
    /// ```
    pub fn replay(&self, n: usize) -> OnReplay<'_> {
        OnReplay { bus: self, n }
    }

    /// Boxes the future, so that it is compiled in this crate, and not again in each program.
    fn register_replay(
        &self,
        name: Arc<str>,
        pattern: String,
        n: usize,
        callback: Callback,
    ) -> BoxFuture<'_, Result<Subscription, Error>> {
        Box::pin(self.register_and_replay(name, pattern, n, callback))
    }

    async fn register_and_replay(
        &self,
        name: Arc<str>,
        pattern: String,
        n: usize,
        callback: Callback,
    ) -> Result<Subscription, Error> {
        let query = HistoryQuery::new(&pattern)?.with_limit(n);
        let inner = &self.inner;
        if !inner.lifecycle.is_running() {
            let message =
                format!("{pattern}: the bus is stopping or stopped; the handler was not registered");
            return Err(Error::new(ErrorKind::Stopped, message));
        }
        let rendezvous = Arc::new(Rendezvous::new(inner));
        let emit_callback = rendezvous_callback(Arc::clone(&rendezvous), callback.takes_arc);
        let pattern: Arc<str> = pattern.into();
        let (patterns, lifetime) =
            (Patterns::One(Arc::clone(&pattern)), Lifetime::Replay(rendezvous.clone()));
        let registration = inner.routes.insert(name, patterns, emit_callback, lifetime);
        let subscription = self.subscription(Arc::clone(&registration));
        // Removes the handler on an early return, until it has caught up.
        let guard = subscription.clone().guard();
        // The handler is registered before the reader is created, and the reader before the history is read.
        // In this order, every event is in the history, read by the reader, or both.
        let reader = Reader::new(Arc::clone(&inner.log), parse_pattern(&pattern)?);
        // Events before the reader's cursor come from the history, so their emits do not wait for the task.
        rendezvous.skip_to(reader.cursor(), || Ok(()));
        let mut past = match n {
            0 => Vec::new(),
            // Logs a warning about events that can't be read.
            _ => History::of_query(self, query).await?.into_iter().collect(),
        };
        // Events that the reader has yet to read are handled in its order.
        let unread = reader.unread_ids();
        past.retain(|record| !unread.contains(&record.id()));
        drop(unread);
        // Only an event from an adapter's history can occur again: when the adapter delivers it to this bus.
        let handled_before =
            if self.shares_history() { HandledBefore::of(&past) } else { HandledBefore::default() };
        let (caught_up, live) = oneshot::channel();
        let worker = ReplayTask {
            bus: Arc::downgrade(inner),
            route: Route::first(&registration),
            callback,
            rendezvous: Arc::clone(&rendezvous),
            reader,
            handled_before,
            caught_up: Some(caught_up),
            is_live: false,
            has_finished: false,
            unfinished_past: past.len() as u64,
        };
        worker.spawn(&inner.runtime, past);
        // If no thread drives the runtime of the bus, only `stop` ends this wait.
        let mut stopped = pin!(inner.lifecycle.drain_ended());
        let mut live = pin!(rendezvous.unless_ended(&registration, live));
        let outcome = std::future::poll_fn(|cx| match live.as_mut().poll(cx) {
            Poll::Pending => stopped.as_mut().poll(cx).map(|()| None),
            outcome => outcome,
        });
        let outcome = outcome.await;
        outcome.and_then(Result::ok).unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Stopped,
                "the bus or its runtime stopped, or the handler was removed, before it had caught up",
            ))
        })?;
        guard.release();
        Ok(subscription)
    }
}

/// Creates the callback that emits call. It waits for the result of the replay task, or lets the emit
/// continue.
fn rendezvous_callback(rendezvous: Arc<Rendezvous>, takes_arc: bool) -> Callback {
    Callback {
        requires: RequiredParts::Record,
        takes_arc,
        accepts: AcceptedEvents::Any,
        is_async: false,
        function: Arc::new(move |call| rendezvous.arrive_as_emit(call)),
    }
}

struct ReplayTask {
    bus: Weak<Inner>,
    route: Route,
    callback: Callback,
    rendezvous: Arc<Rendezvous>,
    reader: Reader,
    handled_before: HandledBefore,
    /// Reports to the caller of `OnReplay::on`; `None` once used.
    caught_up: Option<oneshot::Sender<Result<(), Error>>>,
    /// True once the handler has caught up.
    is_live: bool,
    /// True if the task has ended by itself, and was not dropped by its runtime.
    has_finished: bool,
    /// Number of events from the history that the handler has not finished.
    unfinished_past: u64,
}

/// The events that the handler got from an adapter's history, to recognise them if the adapter delivers them
/// again.
#[derive(Default)]
struct HandledBefore {
    ids: HashSet<EventId>,
    newest: Option<Timestamp>,
}

impl HandledBefore {
    /// Tolerance in microseconds. Events reach the bus in the order of the history, except its own, which are
    /// stored before they are delivered.
    const SLACK: i64 = 60_000_000;

    fn of(records: &[Record]) -> Self {
        Self {
            ids: records.iter().map(Record::id).collect(),
            newest: records.iter().map(Record::timestamp).max(),
        }
    }

    /// Returns true if the handler got this event before. Each event is delivered again at most once.
    fn take(&mut self, record: &Record) -> bool {
        let Some(newest) = self.newest else { return false };
        if self.ids.remove(&record.id()) {
            return true;
        }
        if self.ids.is_empty() || record.timestamp().as_micros() - newest.as_micros() > Self::SLACK {
            *self = Self::default();
        }
        false
    }
}

impl ReplayTask {
    fn spawn(self, runtime: &Handle, past: Vec<Record>) {
        spawn_boxed(runtime, Box::pin(self.run(past)));
    }

    async fn run(mut self, past: Vec<Record>) {
        self.replay(past).await;
        self.has_finished = true;
    }

    async fn replay(&mut self, past: Vec<Record>) {
        for record in past {
            tokio::task::consume_budget().await;
            // Count the call as in flight, so that `stop` waits for it. Once the bus is stopping, the
            // remaining events are not handled.
            let Some(bus) = self.bus.upgrade() else { return };
            let Ok(_flight) = bus.lifecycle.enter(false) else { return };
            match self.call(&record, None).await {
                Some(Ok(())) => {}
                Some(Err(error)) => self.report(&record, error),
                None => return,
            }
            self.unfinished_past -= 1;
        }
        while let Some(read) = self.next().await {
            match read {
                ReadItem::Record(record, position) => {
                    let result = match self.handled_before.take(&record) {
                        true => Ok(()),
                        false => match self.call(&record, Some(position)).await {
                            Some(result) => result,
                            None => return,
                        },
                    };
                    // Keep the entry until the failure is logged, so that `stop` waits for it.
                    if let Some((Err(error), _entry)) =
                        self.rendezvous.arrive_as_task(position, &record, result)
                    {
                        self.report(&record, error);
                    }
                    // Let other tasks run, even if the handler never waits.
                    tokio::task::consume_budget().await;
                }
                ReadItem::Lost(lost) if self.report_lag(lost) => {}
                ReadItem::Lost(_) => return,
            }
        }
    }

    /// Returns the next event; `None` if the handler was removed, or the bus has stopped and everything was
    /// read.
    async fn next(&mut self) -> Option<ReadItem> {
        let (registration, rendezvous) = (Arc::clone(&self.route.registration), Arc::clone(&self.rendezvous));
        let mut removed = pin!(rendezvous.ended(&registration));
        std::future::poll_fn(|cx| {
            if removed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let read = self.reader.poll_next(cx);
            if read.is_pending()
                && let Some(caught_up) = self.caught_up.take()
            {
                self.is_live = true;
                self.rendezvous.go_live();
                // The send fails if the caller was dropped; its guard then removes the handler.
                let _ = caught_up.send(Ok(()));
            }
            read
        })
        .await
    }

    /// Calls the handler. Returns `None` if the bus was dropped, the handler was removed, or `stop` reached
    /// its deadline before the handler caught up.
    async fn call(&mut self, record: &Record, position: Option<u64>) -> Option<HandlerResult> {
        let bus = Bus { inner: self.bus.upgrade()? };
        self.rendezvous.set_handled_position(position);
        if !self.route.registration.is_active() {
            return None;
        }
        let (callback, route) = (&self.callback, &self.route);
        let mut called = pin!(single_call::call_live(&bus, callback, route, record, position));
        let mut stopped = pin!(bus.inner.lifecycle.drain_ended());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = called.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            match self.is_live {
                true => Poll::Pending,
                // `stop` has named the handler, and no emit waits for one that has not caught up.
                false => stopped.as_mut().poll(cx).map(|()| None),
            }
        })
        .await
    }

    /// Reports lost events. Returns false if that ends the task, because the handler had not caught up.
    fn report_lag(&mut self, lost: u64) -> bool {
        let who = format!("{}: fell behind the history and", self.route.name());
        let of = format!(" of {}", self.route.pattern());
        if let Some(caught_up) = self.caught_up.take() {
            let message = format!("{who} lost {lost} events{of}");
            // The send fails if the caller was dropped; its guard then removes the handler.
            let _ = caught_up.send(Err(Error::new(ErrorKind::Lagged, message)));
            return false;
        }
        if let Some(bus) = self.bus.upgrade() {
            bus.warn_of_lost(who, lost, of);
        }
        let fell_behind = || Err(HandlerError::new(&"it fell behind the history and did not get this event"));
        self.rendezvous.skip_to(self.reader.cursor(), fell_behind);
        true
    }

    /// Releases all emits that wait, and reports the failures that no emit will report.
    fn release_emits(&self) {
        let unreported = self.rendezvous.skip_all(true);
        if let Some(bus) = self.bus.upgrade() {
            report_untaken(&bus, &self.route, unreported);
        }
    }

    fn report(&self, record: &Record, error: HandlerError) {
        if let Some(bus) = self.bus.upgrade() {
            bus.note_failure(record.name(), Some(record.id()), &Failure::new(&self.route, error));
        }
    }
}

impl Drop for ReplayTask {
    /// Also runs if the runtime drops the task: emits must not wait for it any longer.
    fn drop(&mut self) {
        let bus = self.bus.upgrade();
        let Some(bus) = bus.filter(|_| !self.has_finished && self.route.registration.is_active()) else {
            if let Some(bus) = self.bus.upgrade() {
                bus.routes.remove(&self.route.registration);
            }
            return self.release_emits();
        };
        // An emit that waits for an event reports that event itself.
        let (unhandled, unreported) = self.rendezvous.abandon();
        let unhandled = unhandled + self.unfinished_past;
        report_untaken(&bus, &self.route, unreported);
        if !self.is_live {
            // The caller of `OnReplay::on` gets an error, because the sender is dropped.
            bus.routes.remove(&self.route.registration);
        }
        if unhandled > 0 {
            catch_panic(|| bus.report_lost_backlog(unhandled, &self.route));
        }
    }
}
