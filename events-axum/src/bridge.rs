//! What a program sets up once: a pattern, and who may see what of it.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use events_core::{Bus, Error, Record};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::client::{SseRefused, respond};
use crate::follow::{Follower, Told};
use crate::message::Unsent;
use crate::place::LastEventId;
use crate::seats::{Limits, Seats};

/// Passes the events of a pattern on to browsers, as [server-sent events][SSE]: `id`, `event` with the event's name, and
/// `data` with its payload as JSON, without secrets.
///
/// `U` is who listens: a user's id, or what else tells users apart.
///
/// - **Who sees what** is asked of `visible`, for each event and user, also when one resumes.
/// - **Order and resumption.** Events come in the order of the history. A browser that connects again sends the id of the
///   last event it saw, and gets what came since, without gap or double, on any instance that shares the history.
///   Without an adapter that is the history in memory, of 1,000 events unless set.
/// - **A gap** that can't be closed, because the history no longer has what the browser saw last or there is
///   [too much](SseBuilder::resume) since, is told by an event `typed-events.gap`; then it goes on.
///   (Nobody else can emit events of this name, or any that begins with `typed-events.`: see [`Pattern`](events_core::Pattern).)
/// - **A browser that lags** is told by an event `typed-events.lagged` and cut off, when it is a
///   [buffer](SseBuilder::buffer) behind; it connects again by itself and resumes. All clients share that buffer.
/// - **Heartbeats** keep connections open; a retry hint says how soon to connect again.
/// - **Ends** when the bus stops; dropping the last clone ends all connections.
///
/// Emits do not wait for browsers.
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

/// Whether a user may see a record.
type Visible<U> = Box<dyn Fn(&Record, &U) -> bool + Send + Sync>;

pub(crate) struct Shared<U> {
    pub(crate) bus: Bus,
    pub(crate) settings: Settings,
    pub(crate) visible: Visible<U>,
    pub(crate) seats: Arc<Seats<U>>,
    /// It is never read, only copied: by each client, from then on.
    clients: broadcast::Receiver<Told>,
    pub(crate) unsent: Arc<Unsent>,
    following: JoinHandle<()>,
    /// Tells the follower that the bridge is gone.
    is_over: Arc<AtomicBool>,
}

impl<U> Shared<U> {
    pub(crate) fn what_comes(&self) -> broadcast::Receiver<Told> {
        self.clients.resubscribe()
    }
}

impl<U> Drop for Shared<U> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.following.abort();
    }
}

pub(crate) struct Settings {
    pub(crate) pattern: String,
    pub(crate) heartbeat: Duration,
    pub(crate) retry: Duration,
    pub(crate) resume: usize,
    buffer: usize,
    limits: Limits,
}

/// Sets up an [`SseBridge`].
#[must_use = "nothing is passed on until it is built"]
pub struct SseBuilder<U> {
    bus: Bus,
    settings: Settings,
    visible: Visible<U>,
    /// Where the pattern was given.
    place: &'static Location<'static>,
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
        let settings = Settings {
            pattern: pattern.to_owned(),
            heartbeat: Duration::from_secs(30),
            retry: Duration::from_secs(3),
            resume: 10_000,
            buffer: 1_024,
            limits: Limits { in_all: 10_000, of_a_user: 20 },
        };
        SseBuilder { bus: bus.clone(), settings, visible: Box::new(visible), place: Location::caller() }
    }

    /// The response for a client: the events from now on, or behind the last one it saw.
    ///
    /// # Errors
    ///
    /// [`SseRefused`], which is a response too, where there are too many clients, or the history can't be read.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves nothing.
    ///
    /// # Complexity
    ///
    /// One query of the history for a client that resumes.
    pub async fn connect(&self, user: U, last: LastEventId) -> Result<Response, SseRefused> {
        respond(&self.0, user, last).await
    }

    /// How many times an event was not sent, because it can't be written or has the name of a message of the bridge
    /// itself; again for each client that resumes. The first of each name is logged.
    pub fn unsent(&self) -> u64 {
        self.0.unsent.count()
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.0.seats.count()
    }
}

impl<U: Clone + Eq + Hash + Send + Sync + 'static> SseBuilder<U> {
    /// Sends a comment to a client that has been sent nothing for so long; every 30 s unless set.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval;
        self
    }

    /// Tells browsers to connect again this long after a connection was lost; 3 s unless set.
    pub fn retry(mut self, wait: Duration) -> Self {
        self.settings.retry = wait;
        self
    }

    /// Lets a client be this many events behind, of the pattern, before it is cut off; 1,024 unless set, at least 1.
    pub fn buffer(mut self, events: usize) -> Self {
        self.settings.buffer = events.max(1);
        self
    }

    /// Reads at most this many events of the history, of the pattern, for a client that resumes; 10,000 unless set.
    pub fn resume(mut self, events: usize) -> Self {
        self.settings.resume = events;
        self
    }

    /// Refuses further clients when there are this many; 10,000 unless set.
    pub fn most_clients(mut self, clients: usize) -> Self {
        self.settings.limits.in_all = clients;
        self
    }

    /// Refuses further clients of a user who has this many; 20 unless set. Where `U` is a room or a page that many look
    /// at, it is of that: raise it.
    pub fn most_clients_of_a_user(mut self, clients: usize) -> Self {
        self.settings.limits.of_a_user = clients;
        self
    }

    /// Starts to follow the bus, on the current runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Pattern`](events_core::ErrorKind::Pattern) for a text that is not a pattern; those of a history that
    /// can't be read.
    pub async fn build(self) -> Result<SseBridge<U>, Error> {
        let Self { bus, settings, visible, place } = self;
        let (sender, clients) = broadcast::channel(settings.buffer);
        let (unsent, is_over) = (Arc::new(Unsent::default()), Arc::default());
        let follower = Follower::new(&bus, &settings.pattern, place, sender, &unsent, &is_over).await?;
        let following = tokio::spawn(follower.run());
        let seats = Arc::new(Seats::new(settings.limits));
        Ok(SseBridge(Arc::new(Shared { bus, settings, visible, seats, clients, unsent, following, is_over })))
    }
}
