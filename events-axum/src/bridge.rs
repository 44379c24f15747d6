//! [`SseBridge`] and its builder: the pattern of the bridge, and which users see its events.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use events_core::bridge::{ReportedOnce, ShouldLog, call, error, read_log, stream_for, warn};
use events_core::{Bus, Error, ErrorKind, LogQuery, Pattern, Record, catalog};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clients::{Clients, Limits};
use crate::connection::{SseRefused, respond};
use crate::feed::{Bounds, End, Feed};
use crate::follower::{Ending, Follower};
use crate::last_event_id::LastEventId;
use crate::message::{Format, Message, TAKEN_NAMES, Unsent};
use crate::pages::Pages;

/// Sends the events of a pattern to browsers as [server-sent events][SSE]: `id` is the position in the log, `event` the
/// event's name, and `data` its payload as JSON, without secrets.
///
/// `U` identifies the user of a connection, for example by an id.
///
/// - **Visibility.** `visible` decides for each event and client, also when the client resumes. With [`by`](Self::by),
///   one call per event returns the users that see it. An event for which `visible` panics is not sent.
/// - **Order and resumption.** Events are sent in the order of the history. A browser that reconnects sends its
///   position in the log. It then gets each event behind that position once, from any instance that shares the history.
///   Without an adapter, the history is the one in memory, 1,000 events by default.
/// - **A gap** that can't be closed is reported by an event `typed-events.gap`, and the stream continues after it. The
///   `reason` in its data is `trimmed` (the history no longer has the events behind the position), `too-many` (see
///   [`resume`](SseBuilder::resume)), `unreadable` (a stored record can't be read), `ahead` or `unknown` (the history
///   does not have the position).
/// - **The position** is sent to a browser that gets no events, in an event `typed-events.position`: at the start of
///   the connection and from time to time. Programs can't declare or emit events whose names begin with
///   `typed-events.`: see [`Pattern`](events_core::Pattern).
/// - **A slow browser** gets the events it missed from the history. Emits do not wait for browsers.
/// - **Heartbeats** keep connections open. `retry` tells a browser when to reconnect, with a random addition of up to
///   half of it, so that not all browsers reconnect at once.
/// - **The status** is 200 whenever reconnecting can help, since browsers give up after any other: while the history
///   can't be read, while there are too many clients, and while the bus stops. The connection then ends, and the
///   browser reconnects. After [`close`](Self::close) the status is 204.
/// - **All connections end** when the bus stops or the last clone of the bridge is dropped.
///
/// ```no_run
/// # use std::collections::HashMap;
/// # use axum::{Router, extract::{Query, State}, response::Response, routing::get};
/// # use events_core::{Bus, Record};
/// # use events_axum::{LastEventId, SseBridge, SseRefused};
/// # async fn example(bus: Bus) -> Result<(), events_core::Error> {
/// let bridge = SseBridge::new(&bus, "notification.*", |record: &Record, user: &String| {
///     record.json().is_ok_and(|json| json.contains(user)) // better: decode the event and compare a field
/// })
/// .build()
/// .await?;
///
/// async fn events(
///     State(bridge): State<SseBridge<String>>,
///     Query(query): Query<HashMap<String, String>>, // better: take the user from the session
///     last: LastEventId,
/// ) -> Result<Response, SseRefused> {
///     bridge.connect(query.get("user").cloned().unwrap_or_default(), last).await
/// }
///
/// let app: Router = Router::new().route("/events", get(events)).with_state(bridge);
/// # Ok(()) }
/// ```
///
/// [SSE]: https://html.spec.whatwg.org/multipage/server-sent-events.html
pub struct SseBridge<U>(Arc<Shared<U>>);

impl<U> Clone for SseBridge<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U> fmt::Debug for SseBridge<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SseBridge({})", self.0.settings.pattern)
    }
}

/// Longest interval between two reads of the log's end, so that trimming does not overtake the follower unnoticed.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Decides whether a user sees a record.
type Visible<U> = dyn Fn(&Record, &U) -> bool + Send + Sync;

/// Returns the users that see a record.
type Keys<U> = dyn Fn(&Record) -> Vec<U> + Send + Sync;

/// Which users see a record.
enum Audience<U> {
    Asked(Box<Visible<U>>),
    Keyed(Arc<Keys<U>>),
}

pub(crate) struct Shared<U> {
    pub(crate) bus: Bus,
    pub(crate) settings: Settings,
    audience: Audience<U>,
    pub(crate) clients: Arc<Clients<U>>,
    pub(crate) feed: Arc<Feed<U>>,
    pub(crate) pages: Arc<Pages<U>>,
    /// Clients that were rejected because there were too many.
    pub(crate) rejected: ToldLater,
    /// Clients whose missed events could not be read.
    pub(crate) unread: ToldLater,
    reported_panics: ReportedOnce<Box<str>>,
    unsent: Arc<Unsent>,
    following: JoinHandle<()>,
    /// Set when the bridge is dropped, for the follower.
    is_over: Arc<AtomicBool>,
}

impl<U: Eq> Shared<U> {
    /// Whether each message lists the users that see it.
    pub(crate) fn is_keyed(&self) -> bool {
        matches!(self.audience, Audience::Keyed(_))
    }

    pub(crate) fn sees(&self, message: &Message<U>, user: &U) -> bool {
        let Audience::Asked(visible) = &self.audience else { return message.keys.contains(user) };
        call(|| visible(&message.record, user)).unwrap_or_else(|| {
            let name = message.record.name();
            if self.reported_panics.insert(name.into()) != ShouldLog::No {
                let more = "an event for which it panics is not sent";
                warn(&self.bus, format_args!("`visible` of an SseBridge panicked for `{name}`; {more}"));
            }
            false
        })
    }
}

impl<U> Drop for Shared<U> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.following.abort();
    }
}

/// Counts clients that were told to reconnect later.
#[derive(Default)]
pub(crate) struct ToldLater {
    count: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl ToldLater {
    const INTERVAL: Duration = Duration::from_secs(60);

    /// Counts a client, and logs it at most once per [`INTERVAL`](Self::INTERVAL).
    pub(crate) fn note(&self, bus: &Bus, why: impl fmt::Display) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= Self::INTERVAL) {
            *warned = Some(Instant::now());
            drop(warned);
            warn(bus, format_args!("a browser was told to reconnect later: {why} ({count} so far)"));
        }
    }
}

pub(crate) struct Settings {
    pattern: String,
    pub(crate) heartbeat: Duration,
    pub(crate) retry: Duration,
    pub(crate) resume: u64,
    pub(crate) format: Format,
    buffer: Bounds,
    limits: Limits,
}

/// A builder for an [`SseBridge`].
#[must_use = "nothing is sent until `build()` is called"]
pub struct SseBuilder<U> {
    bus: Bus,
    settings: Settings,
    audience: Audience<U>,
    /// The location at which the pattern was given.
    location: &'static Location<'static>,
}

impl<U: Clone + Eq + Hash + Send + Sync + 'static> SseBridge<U> {
    /// Creates a builder for a bridge that sends the events of a pattern to each user for which `visible` returns true.
    ///
    /// A pattern that matches no declared event causes a warning.
    #[track_caller]
    #[allow(clippy::new_ret_no_self, reason = "a bridge is created by its builder")]
    pub fn new(
        bus: &Bus,
        pattern: &str,
        visible: impl Fn(&Record, &U) -> bool + Send + Sync + 'static,
    ) -> SseBuilder<U> {
        SseBuilder::new(bus, pattern, Audience::Asked(Box::new(visible)), Location::caller())
    }

    /// Creates a builder for a bridge that sends the events of a pattern to the users that `keys` returns.
    ///
    /// `keys` is called once for each new event, for all clients. It is called again if the event is read from the
    /// history. A pattern that matches no declared event causes a warning.
    ///
    /// ```
    /// # use events_axum::SseBridge;
    /// # use events_core::{Bus, Record};
    /// # async fn example(bus: Bus) -> Result<(), events_core::Error> {
    /// // The user whose request caused an event sees it. Often, the id is in the event instead: `record.get::<E>()`.
    /// let keys = |record: &Record| record.metadata().correlation_id().map(str::to_owned);
    /// let bridge: SseBridge<String> = SseBridge::by(&bus, "order.*", keys).build().await?;
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn by<K: IntoIterator<Item = U>>(
        bus: &Bus,
        pattern: &str,
        keys: impl Fn(&Record) -> K + Send + Sync + 'static,
    ) -> SseBuilder<U> {
        let keys = move |record: &Record| keys(record).into_iter().collect();
        SseBuilder::new(bus, pattern, Audience::Keyed(Arc::new(keys)), Location::caller())
    }

    /// Returns the response for a client: a stream of the events behind its position.
    ///
    /// A client without a position starts at the position up to which the bridge has read the log. That can be a few
    /// events behind the newest one, so an event that was emitted just before the call may be sent.
    ///
    /// # Errors
    ///
    /// [`SseRefused`] after [`close`](Self::close). It converts to a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    #[allow(clippy::unused_async, reason = "a later version may read missed events here")]
    pub async fn connect(&self, user: U, last: LastEventId) -> Result<Response, SseRefused> {
        respond(&self.0, &user, &last)
    }

    /// Ends all connections, and answers new ones with the status 204, after which browsers do not reconnect.
    ///
    /// Not needed when a server shuts down and accepts no new connections: browsers then reconnect to another instance,
    /// or to this one when it is back. See the guide "Browsers".
    pub fn close(&self) {
        self.0.feed.finish(End::Closed);
        self.0.clients.wake_all();
    }

    /// Returns how many times an event was not sent, because its JSON can't be written or its name is reserved. An
    /// event that is read again from the history counts again. The first event of each name is logged.
    pub fn unsent(&self) -> u64 {
        self.0.unsent.count()
    }

    /// Returns how many clients are connected.
    pub fn clients(&self) -> usize {
        self.0.clients.count()
    }
}

impl<U: Clone + Eq + Hash + Send + Sync + 'static> SseBuilder<U> {
    fn new(bus: &Bus, pattern: &str, audience: Audience<U>, location: &'static Location<'static>) -> Self {
        let settings = Settings {
            pattern: pattern.to_owned(),
            heartbeat: Duration::from_secs(30),
            retry: Duration::from_secs(3),
            resume: 100_000,
            format: Format::Named,
            buffer: Bounds { messages: 1_024, bytes: 16 << 20 },
            limits: Limits { total: 10_000, per_user: 20 },
        };
        Self { bus: bus.clone(), settings, audience, location }
    }

    /// Sends events without `event`, so that browsers pass them to `onmessage`. `data` is then
    /// `{"name": "user.created", "data": {..}}`. The bridge's own messages keep their names.
    pub fn plain(mut self) -> Self {
        self.settings.format = Format::Plain;
        self
    }

    /// Sets how long a client may be sent nothing. After that it is sent its position, or a comment if the position has
    /// not changed. The default is 30 s, the minimum 1 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets how long browsers wait before they reconnect, to which a random time of up to half of it is added. The
    /// default is 3 s.
    pub fn retry(mut self, wait: Duration) -> Self {
        self.settings.retry = wait;
        self
    }

    /// Sets how many of the newest events of the pattern are buffered for all clients. The default is 1,024, the
    /// minimum 1. A client that is further behind gets its events from the history.
    pub fn buffer(mut self, events: usize) -> Self {
        self.settings.buffer.messages = events.max(1);
        self
    }

    /// Sets how many bytes of events are buffered for all clients, and how many bytes of history are cached for clients
    /// that are further behind. The default is 16 MiB each.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.settings.buffer.bytes = bytes;
        self
    }

    /// Sets how many records a client may be behind in the log, records of other patterns included. The default is
    /// 100,000. A client that is further behind gets a gap and then the newest ones.
    pub fn resume(mut self, events: usize) -> Self {
        self.settings.resume = u64::try_from(events).unwrap_or(u64::MAX);
        self
    }

    /// Sets how many clients may be connected. The default is 10,000. Further ones are told to reconnect after 30 to 45
    /// s.
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.settings.limits.total = clients;
        self
    }

    /// Sets how many clients of one user may be connected. The default is 20. Further ones are told to reconnect after
    /// 30 to 45 s. Raise it if `U` is not a user but a room or a page that many users open.
    pub fn max_clients_per_user(mut self, clients: usize) -> Self {
        self.settings.limits.per_user = clients;
        self
    }

    /// Builds the bridge, and spawns the task that follows the log on the current runtime.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Pattern`]: the text is not a pattern; or, without [`plain`](Self::plain), the pattern matches a
    ///   declared event named `error`, `message` or `open`, which browsers pass to other listeners.
    /// - [`ErrorKind::History`]: the log can't be read.
    ///
    /// # Panics
    ///
    /// Panics if it is called outside of a tokio runtime.
    pub async fn build(self) -> Result<SseBridge<U>, Error> {
        let Self { bus, settings, audience, location } = self;
        let stream = stream_for(&bus, &settings.pattern, "SseBridge", location)?;
        check_names(&settings)?;
        let query = LogQuery::new(&settings.pattern)?;
        let position = read_log(&bus, &query).await?.newest();
        let feed = Arc::new(Feed::new(settings.buffer, position));
        let clients = Arc::new(Clients::new(settings.limits));
        let unsent = Arc::new(Unsent::default());
        let render = render(&bus, &unsent, settings.format, &audience);
        let pages = Arc::new(Pages::new(&bus, query.clone(), settings.buffer.bytes, render));
        let is_over: Arc<AtomicBool> = Arc::default();
        let ending = Ending {
            bus: bus.clone(),
            pattern: settings.pattern.clone(),
            feed: Arc::clone(&feed),
            clients: Arc::clone(&clients),
            is_over: Arc::clone(&is_over),
        };
        let follower = Follower {
            bus: bus.clone(),
            query,
            stream,
            interval: settings.heartbeat.min(MAX_POLL_INTERVAL),
            feed: Arc::clone(&feed),
            pages: Arc::clone(&pages),
            clients: Arc::clone(&clients),
            is_keyed: matches!(audience, Audience::Keyed(_)),
        };
        let following = tokio::spawn(async move {
            let _ending = ending;
            follower.run().await;
        });
        let (rejected, unread) = (ToldLater::default(), ToldLater::default());
        let shared = Shared {
            bus,
            settings,
            audience,
            clients,
            feed,
            pages,
            rejected,
            unread,
            reported_panics: ReportedOnce::default(),
            unsent,
            following,
            is_over,
        };
        Ok(SseBridge(Arc::new(shared)))
    }
}

/// Returns the function that turns a record into a message.
fn render<U: 'static>(
    bus: &Bus,
    unsent: &Arc<Unsent>,
    format: Format,
    audience: &Audience<U>,
) -> crate::pages::Render<U> {
    let (bus, unsent) = (bus.clone(), Arc::clone(unsent));
    let keys = match audience {
        Audience::Keyed(keys) => Some(Arc::clone(keys)),
        Audience::Asked(_) => None,
    };
    Box::new(move |number, record| {
        let keys = |record: &Record| keys.as_ref().map(|keys| keys(record)).unwrap_or_default();
        Message::of(&bus, &unsent, format, number, record, keys)
    })
}

/// Returns an error if a declared event of the pattern has a name that browsers reserve.
fn check_names(settings: &Settings) -> Result<(), Error> {
    if settings.format == Format::Plain {
        return Ok(());
    }
    let is_sent = |name: &str| Pattern::new(&settings.pattern).is_ok_and(|pattern| pattern.matches(name));
    let catalog = catalog();
    let mut names = catalog.events().iter().map(|event| event.name());
    match names.find(|name| TAKEN_NAMES.contains(name) && is_sent(name)) {
        None => Ok(()),
        Some(name) => Err(error(
            ErrorKind::Pattern,
            format!(
                "the SseBridge of {} would send the event `{name}`, but browsers use this name for other listeners: call \
                 `.plain()`, or rename the event",
                settings.pattern
            ),
        )),
    }
}
