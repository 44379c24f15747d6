//! Registration of handlers at run time.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};

use crate::adapter::query::parse_pattern;
use crate::bus::handlers::closure::{EventHandler, IntoHandler};
use crate::bus::inner::routes::{Lifetime, Patterns, Registration};
use crate::bus::inner::{Bus, Inner};
use crate::error::{Error, ErrorKind};
use crate::event::pattern::MAX_NAME_BYTES;

/// A handle to a handler that was registered at run time.
///
/// Dropping it does not remove the handler; [`guard`](Self::guard) returns a guard that does. The closure is
/// dropped once the handler has been removed, all calls of it have ended, and all of its `Subscription`s and
/// guards have been dropped.
#[derive(Clone)]
pub struct Subscription {
    bus: Weak<Inner>,
    registration: Arc<Registration>,
}

impl Subscription {
    /// Removes the handler. Emits that have not called it yet no longer call it; calls that have begun
    /// continue.
    ///
    /// Returns true if the handler was still registered. Calling this again, or after `off`, or after a
    /// `once` handler has run, has no effect.
    pub fn unsubscribe(&self) -> bool {
        self.bus.upgrade().is_some_and(|bus| bus.routes.remove(&self.registration))
    }

    /// Returns true if the handler is still registered and the bus has not stopped.
    pub fn is_active(&self) -> bool {
        self.registration.is_active() && self.bus.upgrade().is_some_and(|bus| !bus.lifecycle.has_stopped())
    }

    /// Converts the subscription to a guard that removes the handler when it is dropped.
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

/// A guard that removes the handler of a [`Subscription`] when it is dropped.
#[derive(Debug)]
pub struct SubscriptionGuard {
    subscription: Subscription,
    released: bool,
}

impl SubscriptionGuard {
    /// Releases the guard: the handler stays registered.
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

/// A handler of a bus, as listed by [`Bus::handlers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerInfo {
    /// The module path and location of the function, or the location at which the closure was registered.
    pub name: String,
    /// The patterns under which it is registered.
    pub patterns: Vec<String>,
}

/// The events that match a pattern. Returned by [`Bus::pattern`]; [`on`](Self::on) and [`once`](Self::once)
/// register handlers for them.
///
/// A pattern that matches no declared event is a warning, logged once per location in the code, and counted
/// in [`Bus::stats`]. The handler may also be a closure of an event, if the pattern is the name of that
/// event.
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
#[must_use = "this registers nothing: call `on` or `once`"]
pub struct OnPattern<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) pattern: &'a str,
}

impl OnPattern<'_> {
    /// Registers a closure for all events that match the pattern: `|record: &Record| ...`. See [`Bus::on`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] if the text is not a valid pattern, or if the closure takes an event and the
    /// pattern is not that event's name. Nothing is registered then.
    ///
    /// # Complexity
    ///
    /// Proportional to the number of declared events. The next emit of each event that matches the pattern
    /// builds its list of handlers again.
    #[track_caller]
    pub fn on<K, H>(self, handler: H) -> Result<Subscription, Error>
    where
        H: IntoHandler<K>, // Async: copy first: |record: &Record| { let text = record.to_string(); async move { .. } }.
    {
        self.bus.register_pattern(self.pattern, handler, Lifetime::UntilRemoved)
    }

    /// Registers a closure for the next event that matches the pattern. It is called exactly once, even if
    /// several emits run at the same time.
    ///
    /// # Errors
    ///
    /// Those of [`on`](Self::on).
    #[track_caller]
    pub fn once<K, H>(self, handler: H) -> Result<Subscription, Error>
    where
        H: IntoHandler<K>, // Async: copy first: |record: &Record| { let text = record.to_string(); async move { .. } }.
    {
        self.bus.register_pattern(self.pattern, handler, Lifetime::once())
    }
}

impl Bus {
    /// Registers a closure for the event that is the type of its argument: `|user: &UserCreated| ...`.
    ///
    /// The closure may take `&E`, `Arc<E>` or `E`. It may return `()`, `Result<(), E>` where `E` implements
    /// `Display`, or a future of either. An emit that has begun to call handlers does not call it.
    ///
    /// If the bus has stopped, nothing is registered: the subscription is not active, and a warning is
    /// logged.
    ///
    /// For a closure of `&Record`, use [`bus.pattern("user.*").on(...)`](Self::pattern). For a handler that
    /// first gets events from the history, use [`bus.replay(100).on(...)`](Self::replay).
    ///
    /// A closure that owns a clone of its bus keeps the bus from being dropped. Emit through
    /// [`Delivery::bus`](crate::Delivery::bus), or a `&Bus` argument of an `#[on]` function, instead.
    ///
    /// # Complexity
    ///
    /// One look-up of the event. The next emit of the event builds its list of handlers again.
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
        handler: impl EventHandler<K>, // Async: |event: Arc<E>| async move { .. }, not &E; clone captured state before async move.
    ) -> Subscription {
        self.register_event(handler, Lifetime::UntilRemoved)
    }

    /// Registers a closure for the next event of its type. It is called exactly once, even if several emits
    /// run at the same time, and even if it fails.
    ///
    /// See [`on`](Self::on).
    #[track_caller]
    pub fn once<K>(
        &self,
        handler: impl EventHandler<K>, // Async: |event: Arc<E>| async move { .. }, not &E; clone captured state before async move.
    ) -> Subscription {
        self.register_event(handler, Lifetime::once())
    }

    /// Selects the events that match a pattern, to register a closure for them:
    /// `bus.pattern("user.*").on(|record: &Record| ...)`.
    ///
    /// This call registers nothing: see [`OnPattern`].
    pub fn pattern<'a>(&'a self, pattern: &'a str) -> OnPattern<'a> {
        OnPattern { bus: self, pattern }
    }

    /// Removes every handler that is registered under exactly this pattern, including `#[on]` functions, and
    /// returns their number. Handlers that have other patterns stay registered under these.
    ///
    /// A pattern under which no handler is registered, and that matches no declared event, is a warning,
    /// logged once per location in the code.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] if the text is not a valid pattern.
    #[track_caller]
    pub fn off(&self, pattern: &str) -> Result<usize, Error> {
        let parsed = parse_pattern(pattern)?;
        let removed = self.inner.routes.remove_pattern(pattern);
        if removed == 0 {
            self.inner.note_pattern_without_events("off", Location::caller(), parsed);
        }
        Ok(removed)
    }

    /// Returns the handlers of this bus, in the order of their registration. A program can use it at start-up
    /// to check that all expected handlers are linked.
    pub fn handlers(&self) -> Vec<HandlerInfo> {
        let all = self.inner.routes.all().into_iter();
        let info = all.map(|(registration, patterns)| HandlerInfo {
            name: registration.name().to_owned(),
            patterns: patterns.iter().map(|pattern| pattern.to_string()).collect(),
        });
        info.collect()
    }

    /// Returns the number of handlers that an event of this name reaches now. Use it to skip the creation of
    /// an expensive event. 0 for a name of more than 255 bytes, because no event has one.
    ///
    /// # Complexity
    ///
    /// One look-up for a declared name, and for an undeclared name that is cached. For other names, proportional
    /// to the number of segments, and independent of the number of patterns that do not match. A name is cached
    /// at its second look-up, until a handler is registered or removed. At most 1024 names are cached..
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
        if self.inner.lifecycle.has_stopped() {
            self.inner.settings.reporter.warning(format_args!(
                "{name}: the bus has stopped, so this handler of `{pattern}` is never called"
            ));
            return self.subscription(Registration::inactive(name, patterns, callback));
        }
        let registration = self.inner.routes.insert(name, patterns, callback, lifetime);
        self.subscription(registration)
    }

    pub(crate) fn subscription(&self, registration: Arc<Registration>) -> Subscription {
        Subscription { bus: Arc::downgrade(&self.inner), registration }
    }
}

impl Inner {
    /// Checks the pattern of a closure, which takes `event` if that is given. Logs a warning if no event
    /// matches the pattern.
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
            None => self.note_pattern_without_events("closure", location, parsed),
        }
        Ok(())
    }
}
