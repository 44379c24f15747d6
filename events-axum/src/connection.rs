//! The connection of one browser.

use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use events_core::{LogPosition, Start};
use futures_util::stream;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::bridge::Shared;
use crate::clients::{ConnectionPermit, Full};
use crate::feed::{End, Next};
use crate::follower::is_position_due;
use crate::last_event_id::LastEventId;
use crate::message::{self, Gap, HEARTBEAT, Message, retry_line};

/// How long a connection may process events before it yields to other tasks.
const TURN: Duration = Duration::from_micros(200);

/// Number of bytes of the history after which a chunk is sent.
const SENT_BYTES: usize = 16 << 10;

/// How long a rejected client waits before it reconnects. A random time of up to half of it is added.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// The error of a bridge that was [closed](crate::SseBridge::close). As a response, it has the status 204, after which
/// browsers do not reconnect.
#[derive(Debug)]
pub struct SseRefused(());

impl fmt::Display for SseRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the SseBridge was closed")
    }
}

impl std::error::Error for SseRefused {}

impl IntoResponse for SseRefused {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Returns a response with the status 200 and a stream of events. Browsers give up after any other status, so a client
/// that has to reconnect later gets this one, too, with a stream that ends at once.
fn events(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // Tells proxies not to buffer the response, which would delay events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

fn later(wait: Duration) -> Response {
    // A `retry` line alone is not a message.
    events(Body::from(retry_line(wait)))
}

pub(crate) fn respond<U>(
    shared: &Arc<Shared<U>>,
    user: &U,
    last: &LastEventId,
) -> Result<Response, SseRefused>
where
    U: Clone + Eq + Hash + Send + Sync + 'static,
{
    match shared.feed.ended() {
        Some(End::Closed) => return Err(SseRefused(())),
        Some(End::Stopped) => return Ok(later(shared.settings.retry)),
        None => {}
    }
    let permit = match shared.clients.connect(user) {
        Ok(permit) => permit,
        Err(full) => {
            let why = match full {
                Full::Total => "too many clients are connected",
                Full::User => "too many clients of one user are connected",
            };
            shared.rejected.note(&shared.bus, why);
            return Ok(later(FULL_RETRY));
        }
    };
    let newest = shared.feed.end();
    let (position, gap) = match last.position() {
        Ok(None) => (newest, None),
        Ok(Some(position)) if position.log == newest.log => (position, None),
        Ok(Some(_)) | Err(()) => (newest, Some(Gap::Unknown)),
    };
    // One message contains the gap and the position. If they were two and the connection broke in between, the client
    // would never see the gap.
    let first = message::first(shared.settings.retry, position, gap);
    // A weak reference, so that the bridge can be dropped while clients are connected.
    let connection = Connection {
        shared: Arc::downgrade(shared),
        permit,
        position,
        told: position,
        first: Some(first),
        page: None,
        turn_began: Instant::now(),
    };
    let messages = stream::unfold(connection, |mut connection| async {
        let bytes = connection.next().await?;
        Some((Ok::<_, Infallible>(bytes), connection))
    });
    Ok(events(Body::from_stream(messages)))
}

struct Connection<U: Clone + Eq + Hash> {
    shared: Weak<Shared<U>>,
    permit: ConnectionPermit<U>,
    /// The position up to which the client has been served.
    position: LogPosition,
    /// The last position that was sent to the client.
    told: LogPosition,
    first: Option<Bytes>,
    /// The position at which the last page of the history began.
    page: Option<LogPosition>,
    /// Time at which the connection last yielded or waited.
    turn_began: Instant,
}

/// The next step of a connection.
enum Step {
    Send(Bytes),
    /// Steps again at once.
    Continue,
    /// Waits until there may be new messages.
    Wait,
    End,
}

impl<U: Clone + Eq + Hash + Send + Sync + 'static> Connection<U> {
    /// Returns the next bytes to send, or `None` at the end of the connection.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            self.yield_turn().await;
            let shared = self.shared.upgrade()?;
            match self.step(&shared).await {
                Step::Send(bytes) => return Some(bytes),
                Step::End => return None,
                Step::Continue => {}
                Step::Wait => {
                    let heartbeat = shared.settings.heartbeat;
                    drop(shared);
                    if timeout(heartbeat, self.permit.woken.notified()).await.is_err() {
                        return Some(self.heartbeat());
                    }
                    self.turn_began = Instant::now();
                }
            }
        }
    }

    async fn yield_turn(&mut self) {
        if self.turn_began.elapsed() > TURN {
            yield_now().await;
            self.turn_began = Instant::now();
        }
    }

    fn heartbeat(&mut self) -> Bytes {
        match self.told == self.position {
            true => Bytes::from_static(HEARTBEAT),
            false => self.tell_position(),
        }
    }

    fn tell_position(&mut self) -> Bytes {
        self.told = self.position;
        message::position(self.position)
    }

    /// Continues at a position, after a gap.
    fn skip_to(&mut self, position: LogPosition, gap: Gap) -> Step {
        (self.position, self.told) = (position, position);
        Step::Send(gap.to_bytes(position))
    }

    async fn step(&mut self, shared: &Shared<U>) -> Step {
        let user = shared.is_keyed().then_some(&self.permit.user);
        match shared.feed.next(self.position, user) {
            Next::Message(message) => self.offer(shared, &message),
            Next::Nothing(end) => {
                self.position = end;
                match is_position_due(self.told, end) {
                    true => Step::Send(self.tell_position()),
                    false => Step::Wait,
                }
            }
            Next::Behind(end) => match end.number - self.position.number > shared.settings.resume {
                true => {
                    let number = end.number - shared.settings.resume;
                    self.skip_to(LogPosition { number, ..end }, Gap::TooMany)
                }
                false => self.read_history(shared, end).await,
            },
            Next::OtherLog(from) => self.skip_to(from, Gap::Unknown),
            // The client may come from an instance that has read more of the log than this one.
            Next::Ahead(end) => self.read_history(shared, end).await,
            Next::Ended => Step::End,
        }
    }

    /// Sends a message if the user sees it.
    fn offer(&mut self, shared: &Shared<U>, message: &Message<U>) -> Step {
        self.position.number = message.number;
        if !shared.sees(message, &self.permit.user) {
            return match is_position_due(self.told, self.position) {
                true => Step::Send(self.tell_position()),
                false => Step::Continue,
            };
        }
        self.told = self.position;
        Step::Send(message.to_bytes(shared.settings.format, self.position.log))
    }

    /// Sends messages behind the position from the history.
    async fn read_history(&mut self, shared: &Shared<U>, newest: LogPosition) -> Step {
        let page = match shared.pages.after(self.position, self.page).await {
            Ok(page) => page,
            Err(error) => {
                // The browser reconnects with the last position that was sent to it.
                shared.unread.note(&shared.bus, format_args!("the log can't be read: {error}"));
                return Step::End;
            }
        };
        match page.start {
            Start::Found => {}
            Start::Trimmed => return self.skip_to(page.oldest, Gap::Trimmed),
            Start::Ahead => return self.skip_to(newest, Gap::Ahead),
            Start::OtherLog => return self.skip_to(newest, Gap::Unknown),
        }
        self.page = Some(page.from);
        let at = self.position.number;
        let unreadable = page.unreadable.iter().copied().find(|number| *number > at);
        let first = page.messages.partition_point(|message| message.number <= at);
        let mut sent = Vec::new();
        // Sends several messages at once, since the page may not stay cached.
        for message in
            page.messages[first..].iter().take_while(|it| unreadable.is_none_or(|at| it.number < at))
        {
            if let Step::Send(bytes) = self.offer(shared, message) {
                sent.extend_from_slice(&bytes);
            }
            if sent.len() >= SENT_BYTES {
                break;
            }
            self.yield_turn().await;
        }
        match unreadable {
            _ if !sent.is_empty() => Step::Send(sent.into()),
            Some(number) => self.skip_to(LogPosition { number, ..self.position }, Gap::Unreadable),
            None if page.end.number > at => {
                self.position = page.end;
                Step::Continue
            }
            // This instance no longer reads the log.
            None if shared.feed.ended().is_some() => Step::End,
            None => Step::Wait,
        }
    }
}
