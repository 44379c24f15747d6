//! A server with a bridge, and a client that reads as a browser does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Query, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt;
use tokio::time::timeout;
use tower::ServiceExt;
use tracing::field::{Field, Visit};
use typed_events::axum::{LastEventId, SseBridge, SseRefused};
use typed_events::event;

/// What clients see, if it is for them, or for all.
#[event("note.written")]
pub struct Written {
    pub number: u64,
    /// Whom it is for; for all if it is empty.
    pub user: String,
    #[event(secret)]
    pub password: String,
}

impl Written {
    pub fn to(user: &str, number: u64) -> Self {
        Self { number, user: user.to_owned(), password: "hunter2".to_owned() }
    }
}

/// Whether a user may see a record.
pub fn is_for(record: &typed_events::Record, user: &String) -> bool {
    record.decode::<Written>().is_ok_and(|written| written.user.is_empty() || written.user == *user)
}

/// A server whose clients say in the query who they are.
pub fn app(bridge: &SseBridge<String>) -> Router {
    async fn events(
        State(bridge): State<SseBridge<String>>,
        Query(query): Query<Vec<(String, String)>>,
        last: LastEventId,
    ) -> Result<Response, SseRefused> {
        let user = query.into_iter().find(|(key, _)| key == "user").map(|(_, user)| user);
        bridge.connect(user.unwrap_or_default(), last).await
    }
    Router::new().route("/events", get(events)).with_state(bridge.clone())
}

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub id: String,
    pub event: String,
    pub data: String,
    pub retry: String,
    pub comment: String,
}

impl Sent {
    fn parse(block: &str) -> Self {
        let mut sent = Self::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" => sent.comment = value,
                "id" => sent.id = value,
                "event" => sent.event = value,
                "data" => sent.data = value,
                "retry" => sent.retry = value,
                _ => panic!("an unknown field: {line}"),
            }
        }
        sent
    }

    /// The number of a note.
    pub fn number(&self) -> Option<u64> {
        let (_, rest) = self.data.split_once("\"number\":")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}

/// A browser's connection.
pub struct Client {
    body: BodyDataStream,
    text: String,
}

impl Client {
    /// Connects, or is refused with this status.
    pub async fn connect(app: &Router, user: &str, last: &str) -> Result<Self, StatusCode> {
        let mut request = Request::builder().uri(format!("/events?user={user}"));
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("it answers");
        match response.status() {
            StatusCode::OK => Ok(Self { body: response.into_body().into_data_stream(), text: String::new() }),
            status => Err(status),
        }
    }

    /// The next message, or comment; none when the connection has ended.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            // A comment between messages needs no empty line, with which some clients would take it for a message.
            let is_comment = self.text.starts_with(':');
            let end = if is_comment { "\n" } else { "\n\n" };
            if let Some((block, rest)) = self.text.split_once(end) {
                let sent = Sent::parse(block);
                assert!(is_comment || !sent.data.is_empty(), "a message without data: {block:?}");
                self.text = rest.to_owned();
                return Some(sent);
            }
            let Some(bytes) = self.body.next().await else {
                let left = std::mem::take(&mut self.text);
                return (!left.is_empty()).then(|| Sent::parse(&left));
            };
            self.text.push_str(std::str::from_utf8(&bytes.expect("the body is whole")).expect("it is text"));
        }
    }

    /// The next event, or gap: without positions and heartbeats.
    pub async fn event(&mut self) -> Option<Sent> {
        let next = async {
            loop {
                match self.next().await {
                    Some(sent) if sent.event == "typed-events.position" || sent.data.is_empty() => {}
                    other => return other,
                }
            }
        };
        timeout(Duration::from_secs(60), next).await.expect("an event is sent")
    }
}

/// The messages of the warnings of this thread.
#[derive(Clone, Default)]
pub struct Warnings(pub Arc<Mutex<Vec<String>>>);

impl Visit for Warnings {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "typed_events" && *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
