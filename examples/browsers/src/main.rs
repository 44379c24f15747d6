//! A page of notes that shows new notes in all open tabs: `cargo run -p browsers`, then open the printed address.
//!
//! The guide docs/browsers.md explains it. The port is `PORT`, 3000 by default; 0 takes any free port.

use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use typed_events::axum::{LastEventId, SseBridge, SseRefused};
use typed_events::{Bus, Record, event};

/// How long requests that have begun may take after the server was told to shut down.
const GRACE: Duration = Duration::from_secs(5);

#[event("note.written")]
#[derive(serde::Deserialize)]
pub struct NoteWritten {
    /// The user that sees the note.
    pub user: String,
    pub text: String,
}

#[derive(Clone)]
struct App {
    bus: Bus,
    bridge: SseBridge<String>,
}

/// The user of a request. A real server takes it from a session, since anybody can choose the query.
struct User(String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let user = query.split('&').find_map(|parameter| parameter.strip_prefix("user="));
        Ok(Self(user.unwrap_or("ada").to_owned()))
    }
}

async fn events(State(app): State<App>, user: User, last: LastEventId) -> Result<Response, SseRefused> {
    app.bridge.connect(user.0, last).await
}

async fn write(
    State(app): State<App>,
    Json(note): Json<NoteWritten>,
) -> Result<StatusCode, (StatusCode, String)> {
    let emitted = app.bus.emit(note).await;
    emitted.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(StatusCode::CREATED)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let bus = Bus::builder().build().await?;
    let reader = |record: &Record| record.decode::<NoteWritten>().ok().map(|note| note.user.clone());
    let bridge = SseBridge::by(&bus, "note.*", reader).build().await?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("http://{}/", listener.local_addr()?);
    serve(listener, App { bus, bridge }).await
}

/// Serves until the process is told to shut down, and then answers the requests that have begun.
async fn serve(listener: TcpListener, app: App) -> Result<(), Box<dyn Error>> {
    let routes = Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/events", get(events))
        .route("/notes", post(write))
        .with_state(app.clone());

    // 1. No new connections are accepted, and the streams of browsers, which would keep their connections open, end.
    let bridge = app.bridge.clone();
    let ending = async move {
        told_to_end().await;
        bridge.close();
    };
    let server = axum::serve(listener, routes).with_graceful_shutdown(ending);
    // 2. Requests that have begun are answered, and may still emit.
    let overdue = async {
        told_to_end().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served?,
        () = overdue => eprintln!("connections that were busy for longer than {GRACE:?} were cut off"),
    }
    // 3. Pending handlers finish.
    app.bus.stop().await?;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
