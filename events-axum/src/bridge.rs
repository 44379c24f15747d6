//! What a program sets up once: a pattern, and who may see what of it.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use events_core::bridge::{Tell, Told, call, error, read_log, stream_for, warn};
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

/// Passes the events of a pattern on to browsers, as [server-sent events][SSE]: `id`, `event` with the event's name, and
/// `data` with its payload as JSON, without secrets.
///
/// `U` is who listens: a user's id, or what else tells users apart.
///
/// - **Who sees what** is asked of `visible`, for each event and client, also when one resumes; or of
///   [`by`](Self::by), for each event, and not for each client. An event for which `visible` panics is not shown.
/// - **Order and resumption.** Events come in the order of the history. A browser that connects again sends its position
///   in the log, and gets the events that follow, each once, on any instance that shares the history. Without an adapter
///   that is the history in memory, of 1,000 events unless set.
/// - **A gap** that can't be closed is told by an event `typed-events.gap`, whose data gives a `reason`: `trimmed` (the
///   history no longer has what follows the position), `too-many` (see [`resume`](SseBuilder::resume)), `unreadable` (a
///   stored record can't be read), `ahead` and `unknown` (the history does not have the position). Then it goes on.
/// - **The position** of a browser that gets no events is told by an event `typed-events.position`: first, and from time
///   to time. Nobody else can emit events whose names begin with `typed-events.`: see
///   [`Pattern`](events_core::Pattern).
/// - **A browser that is slow** gets what it missed from the history. Emits do not wait for browsers.
/// - **Heartbeats** keep connections open. `retry` says how soon to connect again, with up to half of that more, so that
///   not all browsers come at once.
/// - **The status** is 200 wherever connecting again can help, since browsers give up on any other: while the history
///   can't be read, while there are too many clients, while the bus stops. The connection then ends, and browsers connect
///   again. After [`close`](Self::close) it is 204.
/// - **Ends** when the bus stops; dropping the last clone ends all connections.
///
/// ```no_run
/// # use std::collections::HashMap;
/// # use axum::{Router, extract::{Query, State}, response::Response, routing::get};
/// # use events_core::{Bus, Record};
/// # use events_axum::{LastEventId, SseBridge, SseRefused};
/// # async fn example(bus: Bus) -> Result<(), events_core::Error> {
/// let bridge = SseBridge::new(&bus, "notification.*", |record: &Record, user: &String| {
///     record.json().is_ok_and(|json| json.contains(user)) // better: decode it, and compare a field
/// })
/// .build()
/// .await?;
///
/// async fn events(
///     State(bridge): State<SseBridge<String>>,
///     Query(query): Query<HashMap<String, String>>, // better: who it is by the session
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

/// The follower looks where the log ends at least so often: a log is not trimmed past it unseen.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a user sees a record.
type Visible<U> = dyn Fn(&Record, &U) -> bool + Send + Sync;

/// The users who see a record.
type Keys<U> = dyn Fn(&Record) -> Vec<U> + Send + Sync;

/// Who sees a record.
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
    pub(crate) refused: Refused,
    panicked: Told<Box<str>>,
    unsent: Arc<Unsent>,
    following: JoinHandle<()>,
    /// Tells the follower that the bridge is gone.
    is_over: Arc<AtomicBool>,
}

impl<U: Eq> Shared<U> {
    /// Whether messages say who sees them.
    pub(crate) fn is_keyed(&self) -> bool {
        matches!(self.audience, Audience::Keyed(_))
    }

    pub(crate) fn sees(&self, message: &Message<U>, user: &U) -> bool {
        let Audience::Asked(visible) = &self.audience else { return message.keys.contains(user) };
        call(|| visible(&message.record, user)).unwrap_or_else(|| {
            let name = message.record.name();
            if self.panicked.tell(name.into()) != Tell::No {
                let more = "an event for which it does is not shown";
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

/// Clients that came when there were too many.
#[derive(Default)]
pub(crate) struct Refused {
    count: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl Refused {
    const INTERVAL: Duration = Duration::from_secs(60);

    /// Counts one, and logs that now and then.
    pub(crate) fn note(&self, bus: &Bus, why: &str) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= Self::INTERVAL) {
            *warned = Some(Instant::now());
            drop(warned);
            warn(bus, format_args!("a browser has to try again later: {why} ({count} had to so far)"));
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

/// Sets up an [`SseBridge`].
#[must_use = "nothing is passed on until it is built"]
pub struct SseBuilder<U> {
    bus: Bus,
    settings: Settings,
    audience: Audience<U>,
    /// Where the pattern was given.
    location: &'static Location<'static>,
}

impl<U: Clone + Eq + Hash + Send + Sync + 'static> SseBridge<U> {
    /// A bridge for the events of a pattern, each of which a user sees if `visible` says so. A pattern that no declared
    /// event matches is a warning.
    #[track_caller]
    #[allow(clippy::new_ret_no_self, reason = "what is set up has a builder")]
    pub fn new(
        bus: &Bus,
        pattern: &str,
        visible: impl Fn(&Record, &U) -> bool + Send + Sync + 'static,
    ) -> SseBuilder<U> {
        SseBuilder::new(bus, pattern, Audience::Asked(Box::new(visible)), Location::caller())
    }

    /// A bridge for the events of a pattern, each of which the users see that `keys` gives: it is called once for an event
    /// that is new, and again where the event is read from the history, for all clients that need it. A pattern that no
    /// declared event matches is a warning.
    ///
    /// ```
    /// # use events_axum::SseBridge;
    /// # use events_core::{Bus, Record};
    /// # async fn example(bus: Bus) -> Result<(), events_core::Error> {
    /// // Who caused an event sees what came of it. A user's id is otherwise taken from the event, `record.get::<E>()`.
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

    /// The response for a client: the events that follow its position.
    ///
    /// A client without a position starts where the bridge has read the log to. That can be a few events behind the
    /// newest one, so an event that was emitted just before the call may be sent.
    ///
    /// # Errors
    ///
    /// [`SseRefused`], a response too, after [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves nothing.
    #[allow(clippy::unused_async, reason = "what a client missed may come to be read here")]
    pub async fn connect(&self, user: U, last: LastEventId) -> Result<Response, SseRefused> {
        respond(&self.0, &user, &last)
    }

    /// Ends the connections, and answers new ones with 204, after which browsers do not connect again. Where a server
    /// ends that accepts no new connections any more, browsers connect to another one, or to this one when it is back:
    /// see the guide "Browsers".
    pub fn close(&self) {
        self.0.feed.finish(End::Closed);
        self.0.clients.wake_all();
    }

    /// How many times an event was not sent, because it can't be written or has a name that is taken. One that is read
    /// from the history again counts again. The first of each name is logged.
    pub fn unsent(&self) -> u64 {
        self.0.unsent.count()
    }

    /// How many clients are connected.
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

    /// Sends events without their names, as browsers' `onmessage` gets them: `data` is then
    /// `{"name": "user.created", "data": {..}}`. The bridge's own messages keep their names.
    pub fn plain(mut self) -> Self {
        self.settings.format = Format::Plain;
        self
    }

    /// Sends a comment to a client that has been sent nothing for so long, or its position, if that has moved since it
    /// was told; every 30 s unless set, at least 1 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval.max(Duration::from_millis(1));
        self
    }

    /// Tells browsers to connect again this long after a connection was lost, and up to half of it more; 3 s unless set.
    pub fn retry(mut self, wait: Duration) -> Self {
        self.settings.retry = wait;
        self
    }

    /// Keeps this many events of the pattern ready for clients; 1,024 unless set, at least 1. A client that is further
    /// behind gets them from the history.
    pub fn buffer(mut self, events: usize) -> Self {
        self.settings.buffer.messages = events.max(1);
        self
    }

    /// Keeps events of at most this many bytes ready for clients, and as many of the history for those that are further
    /// behind; 16 MiB unless set.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.settings.buffer.bytes = bytes;
        self
    }

    /// Lets a client be this many events behind in the log, of all patterns; 100,000 unless set. Of one that is further
    /// behind, only the newest are read, after a gap.
    pub fn resume(mut self, events: usize) -> Self {
        self.settings.resume = u64::try_from(events).unwrap_or(u64::MAX);
        self
    }

    /// Lets further clients try again later when there are this many; 10,000 unless set.
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.settings.limits.total = clients;
        self
    }

    /// Lets further clients of a user try again later who has this many; 20 unless set. Where `U` is a room or a page
    /// that many look at, it is of that: raise it.
    pub fn max_clients_per_user(mut self, clients: usize) -> Self {
        self.settings.limits.per_user = clients;
        self
    }

    /// Starts to follow the bus, on the current runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`] for a text that is not a pattern, and where a declared event of the pattern is named
    /// `error`, `message` or `open`, which browsers give to other listeners, without [`plain`](Self::plain);
    /// [`ErrorKind::History`] where the log can't be read.
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
        let (refused, panicked) = (Refused::default(), Told::default());
        let shared = Shared {
            bus,
            settings,
            audience,
            clients,
            feed,
            pages,
            refused,
            panicked,
            unsent,
            following,
            is_over,
        };
        Ok(SseBridge(Arc::new(shared)))
    }
}

/// Makes messages of records.
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

/// Refuses events that would reach the wrong listeners.
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
                "the SseBridge of {} would send the event `{name}`, a name that browsers give to listeners for \
                 something else: say `.plain()`, or give the event another name",
                settings.pattern
            ),
        )),
    }
}
