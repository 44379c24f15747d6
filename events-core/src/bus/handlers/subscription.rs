//! Handlers that are registered while the program runs.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};

use crate::adapter::query::parse_pattern;
use crate::bus::handlers::closure::{EventHandler, IntoHandler};
use crate::bus::inner::routes::{Lifetime, Patterns, Registration};
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::event::pattern::MAX_NAME_BYTES;

/// A handler registered at run time.
///
/// Dropping it changes nothing: the handler stays. [`guard`](Self::guard) gives one that
/// unsubscribes when it is dropped. What the closure owns is freed when the handler is removed, all calls of it have
/// ended, and every `Subscription` and guard of it is dropped.
#[derive(Clone)]
pub struct Subscription {
    bus: Weak<Inner>,
    registration: Arc<Registration>,
}

impl Subscription {
    /// Removes the handler. Emits that have not called it yet don't call it; calls under way go on.
    ///
    /// Returns whether it was still registered: a second call, or one after `off` or a `once` that
    /// has run, changes nothing.
    pub fn unsubscribe(&self) -> bool {
        self.bus.upgrade().is_some_and(|bus| bus.routes.remove(&self.registration))
    }

    /// Whether the handler is still registered, and the bus has not stopped.
    pub fn is_active(&self) -> bool {
        self.registration.is_active() && self.bus.upgrade().is_some_and(|bus| !bus.flight.has_stopped())
    }

    /// Unsubscribes when the guard is dropped.
    #[must_use = "dropping the guard unsubscribes"]
    pub fn guard(self) -> SubscriptionGuard {
        SubscriptionGuard { subscription: self, released: false }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({}, active: {})", self.registration.name(), self.is_active())
    }
}

/// A [`Subscription`] that ends when this is dropped.
#[derive(Debug)]
pub struct SubscriptionGuard {
    subscription: Subscription,
    released: bool,
}

impl SubscriptionGuard {
    /// Lets the handler stay.
    pub fn release(mut self) -> Subscription {
        self.released = true;
        self.subscription.clone()
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        if !self.released {
            self.subscription.unsubscribe();
        }
    }
}

/// A handler of a bus, as [`Bus::handlers`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerInfo {
    /// The module path and place of the function, or where the closure was registered.
    pub name: String,
    /// The patterns it was registered under.
    pub patterns: Vec<String>,
}

/// The events of a pattern, for handlers that [`on`](Self::on) and [`once`](Self::once) register. Returned by
/// [`Bus::pattern`].
///
/// A pattern that no declared event matches is a warning, once per place in the code; then it is counted in
/// [`Bus::stats`]. A closure over an event is taken, too, where the pattern is that event's name.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// # let bus = typed_events::Bus::new().await?;
/// use typed_events::Record;
///
/// bus.pattern("*.failed").on(|record: &Record| eprintln!("{record}"))?;
/// bus.pattern("*.started").once(|record: &Record| eprintln!("the first: {record}"))?;
/// bus.pattern("payment.*").replay(100).on(|record: &Record| eprintln!("{record}")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
#[must_use = "a handler is registered by `on` or `once`"]
pub struct OnPattern<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) pattern: &'a str,
}

impl OnPattern<'_> {
    /// Registers a closure for all events of the pattern: `|record: &Record| ...`. See [`Bus::on`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] for a text that is not a pattern, and for a closure over an event
    /// under any other pattern than the event's name; nothing is registered then.
    ///
    /// # Complexity
    ///
    /// Proportional to the declared events. The next emit of one that the pattern takes lists its handlers anew.
    #[track_caller]
    pub fn on<K, H>(self, handler: H) -> Result<Subscription, Error>
    where
        H: IntoHandler<K>, // Async: copy first: |record: &Record| { let text = record.to_string(); async move { .. } }.
    {
        self.bus.register_pattern(self.pattern, handler, Lifetime::Long)
    }

    /// Registers a closure for the next event of the pattern: it runs exactly once, however many
    /// emits race.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn once<K, H>(self, handler: H) -> Result<Subscription, Error>
    where
        H: IntoHandler<K>, // Async: copy first: |record: &Record| { let text = record.to_string(); async move { .. } }.
    {
        self.bus.register_pattern(self.pattern, handler, Lifetime::once())
    }
}

impl Bus {
    /// Registers a closure for the event its argument names: `|user: &UserCreated| ...`.
    ///
    /// The closure may take `&E`, `Arc<E>` or `E`, and return `()`, `Result<(), E>` with an `E` that
    /// can be displayed, or a future of either. An emit that is calling its handlers does not see it any more.
    ///
    /// On a bus that has stopped, nothing is registered: the subscription is not active, and a warning says so.
    ///
    /// Options stand before it: [`bus.pattern("user.*")`](Self::pattern) for a closure over `&Record`,
    /// [`bus.replay(100)`](Self::replay) for one that gets the past first.
    ///
    /// A closure that holds a clone of its own bus keeps the bus alive; emit through
    /// [`Delivery::bus`](crate::Delivery::bus) or a `&Bus` argument of an `#[on]` function instead.
    ///
    /// # Complexity
    ///
    /// That of finding the event. The next emit of it lists its handlers anew.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// use std::sync::Arc;
    /// use typed_events::{Bus, event};
    ///
    /// #[event("order.paid")]
    /// pub struct OrderPaid { pub id: u64 }
    ///
    /// let bus = Bus::new().await?;
    /// bus.on(|order: &OrderPaid| println!("order {}", order.id));
    /// let subscription = bus.on(|order: Arc<OrderPaid>| async move {
    ///     tokio::task::yield_now().await;
    ///     println!("order {} is packed", order.id);
    /// });
    /// bus.emit(OrderPaid { id: 7 }).await?;
    /// assert!(subscription.unsubscribe());
    /// assert!(!subscription.unsubscribe());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn on<K>(
        &self,
        handler: impl EventHandler<K>, // Async: |event: Arc<E>| async move { .. }, never async |..| or &E; clone state before.
    ) -> Subscription {
        self.register_event(handler, Lifetime::Long)
    }

    /// Registers a closure for the next event of its type: it runs exactly once, however many emits
    /// race, and whether it succeeds or not.
    ///
    /// See [`on`](Self::on).
    #[track_caller]
    pub fn once<K>(
        &self,
        handler: impl EventHandler<K>, // Async: |event: Arc<E>| async move { .. }, never async |..| or &E; clone state before.
    ) -> Subscription {
        self.register_event(handler, Lifetime::once())
    }

    /// Selects the events that a pattern takes, for a closure over `&Record`:
    /// `bus.pattern("user.*").on(|record: &Record| ...)`.
    ///
    /// It registers nothing by itself: see [`OnPattern`].
    pub fn pattern<'a>(&'a self, pattern: &'a str) -> OnPattern<'a> {
        OnPattern { bus: self, pattern }
    }

    /// Removes every handler that is registered under exactly this pattern, `#[on]` functions
    /// included, and returns how many there were. Handlers with further patterns stay under those.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] for a text that is not a pattern. One that no declared event matches and no handler has
    /// is a warning, once per place in the code.
    #[track_caller]
    pub fn off(&self, pattern: &str) -> Result<usize, Error> {
        let parsed = parse_pattern(pattern)?;
        let removed = self.inner.routes.remove_pattern(pattern);
        if removed == 0 {
            self.inner.note_reach("off", Location::caller(), parsed);
        }
        Ok(removed)
    }

    /// The handlers of this bus, in the order of their registration: for a check at start-up that
    /// all expected ones are linked.
    pub fn handlers(&self) -> Vec<HandlerInfo> {
        let all = self.inner.routes.all().into_iter();
        let info = all.map(|(registration, patterns)| HandlerInfo {
            name: registration.name().to_owned(),
            patterns: patterns.iter().map(|pattern| pattern.to_string()).collect(),
        });
        info.collect()
    }

    /// How many handlers an event of this name reaches now: worth asking before an expensive event is made.
    /// 0 for a name of more than 255 bytes, which no event has.
    ///
    /// # Complexity
    ///
    /// Of a declared name, one lookup. Of another likewise, where it is one of 1024 that came more than once
    /// since a handler was registered or removed; else that of finding its patterns, which grows with the
    /// segments of the name and not with the patterns that do not match.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
    /// # let bus = typed_events::Bus::builder().accept_undeclared().build().await?;
    /// use typed_events::Record;
    ///
    /// bus.pattern("metrics.*").on(|record: &Record| println!("{record}"))?;
    /// assert_eq!(bus.handler_count("metrics.cpu"), 1);
    /// assert_eq!(bus.handler_count("logs.disk"), 0);
    /// # Ok(()) }
    /// ```
    pub fn handler_count(&self, name: &str) -> usize {
        if name.len() > MAX_NAME_BYTES { 0 } else { self.inner.routes.of_name(name).entries.len() }
    }

    #[track_caller]
    fn register_event<K, H: EventHandler<K>>(&self, handler: H, lifetime: Lifetime) -> Subscription {
        let name = self.inner.routes.closure_name(Location::caller());
        let event = H::EVENT.map_or("", |decl| decl().name);
        self.insert(name, event, handler, lifetime)
    }

    #[track_caller]
    fn register_pattern<K, H: IntoHandler<K>>(
        &self,
        pattern: &str,
        handler: H,
        lifetime: Lifetime,
    ) -> Result<Subscription, Error> {
        let location = Location::caller();
        let name = self.inner.routes.closure_name(location);
        self.inner.check_pattern(&name, location, H::EVENT.map(|decl| decl().name), pattern)?;
        Ok(self.insert(name, pattern, handler, lifetime))
    }

    fn insert<K>(
        &self,
        name: Arc<str>,
        pattern: &str,
        handler: impl IntoHandler<K>,
        lifetime: Lifetime,
    ) -> Subscription {
        let patterns = Patterns::One(pattern.into());
        let callback = handler.into_callback();
        if self.inner.flight.has_stopped() {
            self.inner.settings.fallback.warning(format_args!(
                "{name}: the bus has stopped, so this handler of `{pattern}` is never called"
            ));
            return self.subscription(Registration::ended(name, patterns, callback));
        }
        let registration = self.inner.routes.insert(name, patterns, callback, lifetime);
        self.subscription(registration)
    }

    pub(crate) fn subscription(&self, registration: Arc<Registration>) -> Subscription {
        Subscription { bus: Arc::downgrade(&self.inner), registration }
    }
}

impl Inner {
    /// Checks the pattern of a closure, which may be over one event; warns where nothing can match.
    pub(crate) fn check_pattern(
        &self,
        handler: &str,
        location: &'static Location<'static>,
        event: Option<&str>,
        pattern: &str,
    ) -> Result<(), Error> {
        let parsed = parse_pattern(pattern)?;
        match event {
            Some(event) if event != pattern => {
                let message = format!(
                    "{handler}: it takes the event `{event}`, so its pattern can't be `{pattern}`: use `on`, or take `&Record`"
                );
                return Err(Error::new(ErrorKind::Pattern, message));
            }
            Some(_) => {}
            None => self.note_reach("closure", location, parsed),
        }
        Ok(())
    }
}
