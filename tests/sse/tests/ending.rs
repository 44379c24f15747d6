//! `bus.stop()` alone, with browsers connected and requests being answered.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::{Router, middleware};
use futures_util::StreamExt;
use futures_util::stream;
use sse_tests::{Client, Written, app, is_for};
use tokio::sync::oneshot;
use tower::ServiceExt;
use typed_events::Bus;
use typed_events::axum::{SseBridge, defer_stop};

/// Emits the number that is the body.
async fn write(State(bus): State<Bus>, number: String) -> StatusCode {
    match bus.emit(Written::to("", number.parse().unwrap())).await {
        Ok(_) => StatusCode::CREATED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A request whose body comes when it is sent.
fn request(number: oneshot::Receiver<u64>) -> Request<Body> {
    let body =
        stream::once(number).map(|number| Ok::<_, Infallible>(Bytes::from(number.unwrap().to_string())));
    Request::post("/notes").body(Body::from_stream(body)).unwrap()
}

async fn until_idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn b8_stop_waits_for_the_requests_that_have_begun_and_then_ends_the_streams() {
    let bus = Bus::builder().build().await.unwrap();
    let bridge = SseBridge::new(&bus, "note.*", is_for).build().await.unwrap();
    let notes = Router::new().route("/notes", post(write)).with_state(bus.clone());
    let app = app(&bridge).merge(notes).layer(middleware::from_fn_with_state(bus.clone(), defer_stop));

    let (mut browsers, mut bodies, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..20 {
        browsers.push(Client::connect(&app, "", "").await.unwrap());
        let (body, number) = oneshot::channel();
        bodies.push(body);
        answers.push(tokio::spawn(app.clone().oneshot(request(number))));
    }
    until_idle().await;
    let stopped = tokio::spawn({
        let bus = bus.clone();
        async move { bus.stop().await }
    });
    until_idle().await;
    assert!(!stopped.is_finished());
    assert!(bus.defer_stop().is_err(), "the stop has begun");
    for (number, body) in (1..).zip(bodies) {
        body.send(number).unwrap();
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::CREATED);
    }
    stopped.await.unwrap().unwrap();
    for browser in &mut browsers {
        let mut numbers = Vec::new();
        while let Some(sent) = browser.event().await {
            numbers.push(sent.number().unwrap());
        }
        assert_eq!(numbers, Vec::from_iter(1..=20));
    }
    // Browsers that come now find another instance when they come again; requests are told.
    let mut late = Client::connect(&app, "", "").await.unwrap();
    assert!(!late.next().await.unwrap().retry.is_empty());
    assert_eq!(late.next().await, None);
    let (body, number) = oneshot::channel();
    body.send(21).unwrap();
    assert_eq!(app.oneshot(request(number)).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_named_by_stop() {
    let bus = Bus::builder().build().await.unwrap();
    let deferral = bus.defer_stop().unwrap();
    let error = bus.stop().await.unwrap_err();
    assert_eq!(error.to_string(), "stop gave up after 30 s on: guards of `defer_stop` (1)");
    assert!(bus.emit(Written::to("", 1)).await.is_err());
    drop(deferral);
}
