//! One connection of a browser.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use events_core::bridge::warn;
use events_core::{Error, EventId, Record, Timestamp};
use futures_util::stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::bridge::Shared;
use crate::follow::{Behind, Told};
use crate::message::{GAP, LAGGED, Message};
use crate::place::{LastEventId, Place};
use crate::seats::{Full, Seat};

/// Why a client is not connected: a response that browsers do not answer by connecting again at once.
#[derive(Debug)]
pub struct SseRefused(Why);

#[derive(Debug)]
enum Why {
    Full(Full),
    History(Error),
}

impl fmt::Display for SseRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Full(Full::InAll) => f.write_str("too many clients listen to events"),
            Why::Full(Full::OfAUser) => f.write_str("too many connections of this user listen to events"),
            Why::History(error) => write!(f, "the events since the last one can't be read: {error}"),
        }
    }
}

impl std::error::Error for SseRefused {}

/// 429 where there are too many clients, 503 where the history can't be read: that error is logged, and not sent.
impl IntoResponse for SseRefused {
    fn into_response(self) -> Response {
        let (status, text) = match &self.0 {
            Why::Full(_) => (StatusCode::TOO_MANY_REQUESTS, self.to_string()),
            Why::History(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the events since the last one can't be read now".to_owned(),
            ),
        };
        let mut response = (status, text).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        response
    }
}

pub(crate) async fn respond<U>(
    shared: &Arc<Shared<U>>,
    user: U,
    last: LastEventId,
) -> Result<Response, SseRefused>
where
    U: Clone + Eq + Hash + Send + Sync + 'static,
{
    let refuse = |why| {
        let refused = SseRefused(why);
        warn(&shared.bus, format_args!("a browser is refused: {refused}"));
        refused
    };
    let seat = shared.seats.take(&user).map_err(|full| refuse(Why::Full(full)))?;
    // First this, then the history: what comes in between comes twice, and is told by its id.
    let live = shared.what_comes();
    let hello = Event::default().retry(shared.settings.retry).comment("typed-events");
    let mut first = VecDeque::from([hello]);
    let resumed = Resumed::read(shared, &user, &last, &mut first).await;
    let resumed = resumed.map_err(|error| refuse(Why::History(error)))?;
    // The bridge may end while a client is connected.
    let client = Client { shared: Arc::downgrade(shared), user, first, live, resumed, _seat: seat };
    let events = stream::unfold(Some(client), |client| async { client?.next().await });
    let keep_alive = KeepAlive::new().interval(shared.settings.heartbeat);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // A proxy that gathers responses would hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn gap() -> Event {
    Event::default().event(GAP).data("events may be missing here: the history no longer has them")
}

fn lagged(events: u64) -> Event {
    let text = format!("{events} events behind: connect again to get them");
    Event::default().event(LAGGED).data(text)
}

/// What a client that resumes was sent, and comes once more: all before a time, and these up to another.
#[derive(Default)]
struct Resumed {
    before: Option<Timestamp>,
    read: HashSet<EventId>,
    up_to: Option<Timestamp>,
}

impl Resumed {
    /// Puts what the client missed since the last event it saw to what is sent first.
    async fn read<U>(
        shared: &Shared<U>,
        user: &U,
        last: &LastEventId,
        first: &mut VecDeque<Event>,
    ) -> Result<Self, Error> {
        let place = match last.place() {
            Ok(None) => return Ok(Self::default()),
            Ok(Some(place)) => place,
            Err(()) => {
                first.push_back(gap());
                return Ok(Self::default());
            }
        };
        let settings = &shared.settings;
        let behind = Behind::read(&shared.bus, &settings.pattern, Some(place), settings.resume).await?;
        if behind.has_gap {
            first.push_back(gap());
        }
        let visible = behind.records().iter().filter(|record| (shared.visible)(record, user));
        let messages = visible.filter_map(|record| Message::of(&shared.bus, &shared.unsent, record));
        first.extend(messages.map(|message| message.to_sse()));
        Ok(Self {
            // Where instances share a history, this one may be behind what the client saw on another.
            before: shared.bus.shares_history().then_some(place.time),
            read: behind.all.iter().map(Record::id).collect(),
            up_to: behind.all.iter().map(Record::timestamp).max(),
        })
    }

    /// Whether the client has a message already.
    fn has(&mut self, message: &Message) -> bool {
        let Place { time, event } = message.place;
        if self.up_to.is_some_and(|up_to| time > up_to) {
            // It is the first that is new, so the others are.
            (self.before, self.up_to, self.read) = (None, None, HashSet::new());
        }
        self.before.is_some_and(|before| time < before) || self.read.contains(&event)
    }
}

struct Client<U: Clone + Eq + Hash> {
    shared: std::sync::Weak<Shared<U>>,
    user: U,
    /// What goes before what is live.
    first: VecDeque<Event>,
    live: broadcast::Receiver<Told>,
    resumed: Resumed,
    _seat: Seat<U>,
}

/// What is sent, and who goes on: nobody after the last one.
type Step<U> = Option<(Result<Event, Infallible>, Option<Client<U>>)>;

impl<U: Clone + Eq + Hash> Client<U> {
    async fn next(mut self) -> Step<U> {
        if let Some(event) = self.first.pop_front() {
            return Some((Ok(event), Some(self)));
        }
        loop {
            match self.live.recv().await {
                Ok(Told::Message(message)) => {
                    let shared = self.shared.upgrade()?;
                    if !self.resumed.has(&message) && (shared.visible)(&message.record, &self.user) {
                        return Some((Ok(message.to_sse()), Some(self)));
                    }
                }
                Ok(Told::Gap) => return Some((Ok(gap()), Some(self))),
                Err(RecvError::Lagged(events)) => return Some((Ok(lagged(events)), None)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
