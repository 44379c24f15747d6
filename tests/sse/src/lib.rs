//! A server with a bridge, and a client that reads as a browser does.

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
                "id" => sent.id = value,
                "event" => sent.event = value,
                "data" => sent.data = value,
                "retry" => sent.retry = value,
                _ => sent.comment = value,
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

    /// The next event, or comment; none when the connection has ended.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let sent = Sent::parse(block);
                self.text = rest.to_owned();
                return Some(sent);
            }
            let bytes = self.body.next().await?.expect("the body is whole");
            self.text.push_str(std::str::from_utf8(&bytes).expect("it is text"));
        }
    }

    /// The next event, without the greeting and heartbeats.
    pub async fn event(&mut self) -> Option<Sent> {
        let next = async {
            loop {
                match self.next().await {
                    Some(sent) if sent.event.is_empty() => {}
                    other => return other,
                }
            }
        };
        timeout(Duration::from_secs(60), next).await.expect("an event is sent")
    }
}
