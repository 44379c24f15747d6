//! Handlers that see the past first: `bus.replay(n).on(...)`.
//!
//! One worker per such handler reads the log in its order and calls the handler, one event at a
//! time. Emits meet the worker at a [`Rendezvous`]: each matching event has a position in the log, and both
//! the emit and the worker come by with it exactly once; the second to come takes it off the table.

use std::collections::HashSet;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use tokio::sync::oneshot;

use crate::adapter::BoxFuture;
use crate::adapter::query::HistoryQuery;
use crate::adapter::query::parse_pattern;
use crate::bus::emit::alone;
use crate::bus::handlers::closure::{EventHandler, IntoHandler};
use crate::bus::handlers::subscription::{OnPattern, Subscription};
use crate::bus::inner::call::Callback;
use crate::bus::inner::call::Wants;
use crate::bus::inner::failure::Failure;
use crate::bus::inner::failure::note_failure;
use crate::bus::inner::outcome::{HandlerError, HandlerResult};
use crate::bus::inner::rendezvous::Rendezvous;
use crate::bus::inner::rendezvous::tell_late;
use crate::bus::inner::routes::{Lifetime, Patterns, Route};
use crate::bus::inner::runtime::spawn_boxed;
use crate::bus::inner::{Bus, Inner};
use crate::bus::read::history::History;
use crate::error::{Error, ErrorKind};
use crate::event::takes::Takes;
use crate::id::EventId;
use crate::log::reader::{Read, Reader};
use crate::panics::catch_panic;
use crate::record::Record;
use crate::time::Timestamp;

/// The option [`Bus::replay`], for the closure that [`on`](Self::on) registers.
#[derive(Clone, Copy)]
#[must_use = "a handler is registered by `on`"]
pub struct OnReplay<'a> {
    bus: &'a Bus,
    n: usize,
}

impl<'a> OnReplay<'a> {
    /// Registers a closure that first gets the last events of its type from the history, then each later one. See
    /// [`Bus::replay`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lagged`] where the history dropped events before the handler, catching up, had
    /// seen them: it is unsubscribed. (Once live, a lag is logged with the number of events lost,
    /// and it goes on.) [`ErrorKind::History`] and [`ErrorKind::Stopped`] likewise.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, it unsubscribes the handler.
    #[track_caller]
    pub fn on<K, H>(
        self,
        handler: H,
    ) -> impl Future<Output = Result<Subscription, Error>> + Send + use<'a, K, H>
    where
        H: EventHandler<K>, // Async: |event: Arc<E>| async move { .. }, never async |..| or &E; clone state before.
    {
        let name = self.bus.inner.routes.closure_name(Location::caller());
        let pattern = H::EVENT.map_or("", |decl| decl().name).to_owned();
        self.bus.register_replay(name, pattern, self.n, handler.into_callback())
    }
}

/// The option [`OnPattern::replay`], for the closure that [`on`](Self::on) registers.
#[derive(Clone, Copy)]
#[must_use = "a handler is registered by `on`"]
pub struct OnPatternReplay<'a> {
    selected: OnPattern<'a>,
    n: usize,
}

impl<'a> OnPattern<'a> {
    /// Lets the handler first get the last `n` events of the pattern, as [`Bus::replay`] does for those of a type.
    pub fn replay(self, n: usize) -> OnPatternReplay<'a> {
        OnPatternReplay { selected: self, n }
    }
}

impl<'a> OnPatternReplay<'a> {
    /// Registers a closure over `&Record` that first gets the last events of the pattern, then each later one. See
    /// [`Bus::replay`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] as [`OnPattern::on`], and those of [`OnReplay::on`].
    ///
    /// # Cancel safety
    ///
    /// That of [`OnReplay::on`].
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
    /// Lets a handler see the past first: `bus.replay(100).on(|user: &UserCreated| ...).await?` registers a closure
    /// that first gets the last `n` events of its type from the history, then each later one: one at a time, in the
    /// history's order, none missing and none twice.
    ///
    /// [`on`](OnReplay::on) resolves when the handler has caught up. From then on emits wait for it as for any other,
    /// except emits inside handlers, for which it runs later (waiting there could wait for itself).
    /// Emits never wait for one that is still catching up. (A task that the handler spawns and waits for
    /// counts as inside of it with [`EventContext::carry`](crate::EventContext::carry).)
    ///
    /// The handler runs on the runtime of the bus. Where that is one of a single thread that nobody drives, it does
    /// not catch up.
    ///
    /// For the events of a pattern: `bus.pattern("user.*").replay(100).on(|record: &Record| ...).await?`.
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

    /// Boxed: it is compiled in this crate, and not again in each program.
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
        if !inner.flight.is_running() {
            let message =
                format!("{pattern}: the bus is stopping or stopped; the handler was not registered");
            return Err(Error::new(ErrorKind::Stopped, message));
        }
        let rendezvous = Arc::new(Rendezvous::new(inner));
        let gate = gate(Arc::clone(&rendezvous), callback.shares);
        let pattern: Arc<str> = pattern.into();
        let (patterns, lifetime) =
            (Patterns::One(Arc::clone(&pattern)), Lifetime::Replay(Arc::clone(&rendezvous)));
        let registration = inner.routes.insert(name, patterns, gate, lifetime);
        let subscription = self.subscription(Arc::clone(&registration));
        // From here on, until it is live, an early end takes the handler back.
        let guard = subscription.clone().guard();
        // In this order every event is in the history, in the reader's future, or in both.
        let reader = Reader::new(Arc::clone(&inner.log), parse_pattern(&pattern)?);
        // What came before is not the reader's.
        rendezvous.skip_to(reader.cursor(), || Ok(()));
        let mut past = match n {
            0 => Vec::new(),
            // Warns of those that can't be read.
            _ => History::of_query(self, query).await?.into_iter().collect(),
        };
        // What the reader has yet to bring comes in its turn.
        let upcoming = reader.upcoming();
        past.retain(|record| !upcoming.contains(&record.id()));
        drop(upcoming);
        // Only of an adapter's history an event may come by again, when it reaches this bus.
        let seen = if self.shares_history() { Seen::of(&past) } else { Seen::default() };
        let (caught_up, live) = oneshot::channel();
        let worker = ReplayTask {
            bus: Arc::downgrade(inner),
            route: Route::first(&registration),
            callback,
            rendezvous: Arc::clone(&rendezvous),
            reader,
            seen,
            caught_up: Some(caught_up),
            is_live: false,
            is_over: false,
            past: past.len() as u64,
        };
        spawn_boxed(&inner.runtime, Box::pin(worker.run(past)));
        // Where nobody drives the runtime of the bus, only `stop` ends this.
        let mut stopped = pin!(inner.flight.ended());
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

/// What the emits call: it waits for the worker, or lets the emit go on.
fn gate(rendezvous: Arc<Rendezvous>, shares: bool) -> Callback {
    Callback {
        wants: Wants::Record,
        shares,
        takes: Takes::Any,
        waits: false,
        run: Arc::new(move |call| rendezvous.arrive(call)),
    }
}

struct ReplayTask {
    bus: Weak<Inner>,
    route: Route,
    callback: Callback,
    rendezvous: Arc<Rendezvous>,
    reader: Reader,
    seen: Seen,
    /// Tells the caller of `OnReplay::on`, until it has been told.
    caught_up: Option<oneshot::Sender<Result<(), Error>>>,
    /// Whether the handler has caught up.
    is_live: bool,
    /// Whether the worker ends because there is nothing left for it to do.
    is_over: bool,
    /// The events of the history that the handler has not finished.
    past: u64,
}

/// What the handler got from an adapter's history, to recognise it where it comes by again.
#[derive(Default)]
struct Seen {
    ids: HashSet<EventId>,
    newest: Option<Timestamp>,
}

impl Seen {
    /// Events reach the bus in the order of the history, but for its own, which are stored before they are
    /// delivered: by so much, in microseconds.
    const SLACK: i64 = 60_000_000;

    fn of(records: &[Record]) -> Self {
        Self {
            ids: records.iter().map(Record::id).collect(),
            newest: records.iter().map(Record::timestamp).max(),
        }
    }

    /// Whether the handler got this event before. Each comes by once more at most.
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
    async fn run(mut self, past: Vec<Record>) {
        self.replay(past).await;
        self.is_over = true;
    }

    async fn replay(&mut self, past: Vec<Record>) {
        for record in past {
            tokio::task::consume_budget().await;
            // In flight, so that `stop` waits for it; once the bus is stopping, the rest is left.
            let Some(bus) = self.bus.upgrade() else { return };
            let Ok(_flight) = bus.flight.enter(false) else { return };
            match self.call(&record, None).await {
                Some(Ok(())) => {}
                Some(Err(error)) => self.report(&record, error),
                None => return,
            }
            self.past -= 1;
        }
        while let Some(read) = self.next().await {
            match read {
                Read::Record(record, position) => {
                    let result = match self.seen.take(&record) {
                        true => Ok(()),
                        false => match self.call(&record, Some(position)).await {
                            Some(result) => result,
                            None => return,
                        },
                    };
                    // The turn is kept until its failure is told: `stop` waits for it.
                    if let Some((Err(error), _turn)) = self.rendezvous.finish(position, &record, result) {
                        self.report(&record, error);
                    }
                    // A handler that never waits leaves room for others all the same.
                    tokio::task::consume_budget().await;
                }
                Read::Lost(lost) if self.lag(lost) => {}
                Read::Lost(_) => return,
            }
        }
    }

    /// The next event; `None` when the handler is removed, or the bus is stopped and read.
    async fn next(&mut self) -> Option<Read> {
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
                // Where the caller is gone, its guard removes the handler.
                let _ = caught_up.send(Ok(()));
            }
            read
        })
        .await
    }

    /// Calls the handler; `None` when the bus or the registration is gone.
    async fn call(&mut self, record: &Record, position: Option<u64>) -> Option<HandlerResult> {
        let bus = Bus { inner: self.bus.upgrade()? };
        self.rendezvous.take_in_hand(position);
        if !self.route.registration.is_active() {
            return None;
        }
        let (callback, route) = (&self.callback, &self.route);
        let mut called = pin!(alone::call_live(&bus, callback, route, record, position));
        let mut stopped = pin!(bus.inner.flight.ended());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = called.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            match self.is_live {
                true => Poll::Pending,
                // `stop` has named it, and nobody waits for a handler that has not caught up.
                false => stopped.as_mut().poll(cx).map(|()| None),
            }
        })
        .await
    }

    /// Tells of lost events; whether the handler goes on.
    fn lag(&mut self, lost: u64) -> bool {
        let who = format!("{}: fell behind the history and", self.route.name());
        let of = format!(" of {}", self.route.pattern());
        if let Some(caught_up) = self.caught_up.take() {
            let message = format!("{who} lost {lost} events{of}");
            // Where the caller is gone, its guard removes the handler.
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

    /// Lets all emits go on; reports what no emit will tell.
    fn end(&self) {
        let untold = self.rendezvous.skip_all(true);
        if let Some(bus) = self.bus.upgrade() {
            tell_late(&bus, &self.route, untold);
        }
    }

    fn report(&self, record: &Record, error: HandlerError) {
        if let Some(bus) = self.bus.upgrade() {
            note_failure(&bus, record.name(), Some(record.id()), &Failure::new(&self.route, error));
        }
    }
}

impl Drop for ReplayTask {
    /// Also when the runtime drops the worker: nobody waits for it any more.
    fn drop(&mut self) {
        let bus = self.bus.upgrade();
        let Some(bus) = bus.filter(|_| !self.is_over && self.route.registration.is_active()) else {
            if let Some(bus) = self.bus.upgrade() {
                bus.routes.remove(&self.route.registration);
            }
            return self.end();
        };
        // An emit that waits for an event tells of it itself.
        let (left, untold) = self.rendezvous.abandon();
        let left = left + self.past;
        tell_late(&bus, &self.route, untold);
        if !self.is_live {
            // The caller of `OnReplay::on` is told.
            bus.routes.remove(&self.route.registration);
        }
        if left > 0 {
            catch_panic(|| bus.abandon_backlog(left, &self.route));
        }
    }
}
