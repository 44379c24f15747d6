//! Requests that are being answered when the bus stops.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use events_core::Bus;

/// A middleware with which [`bus.stop()`](Bus::stop) waits for the requests that are being answered, and lets their emits
/// pass until its deadline. The body of a response is not part of that: `stop` ends the streams of an
/// [`SseBridge`](crate::SseBridge).
///
/// A request that comes while the bus stops does not prolong that: its emits pass as long as an earlier request is being
/// answered, and are refused after that. Do not call `stop` within a request, which would wait for itself.
///
/// ```
/// # use axum::{Router, middleware};
/// # use events_core::Bus;
/// # fn example(bus: &Bus, routes: Router) -> Router {
/// routes.layer(middleware::from_fn_with_state(bus.clone(), events_axum::defer_stop))
/// # }
/// ```
///
/// Not needed where the server ends before the bus stops: see the guide "Browsers".
pub async fn defer_stop(State(bus): State<Bus>, request: Request, next: Next) -> Response {
    // Where the bus is stopping, emits say so.
    let _deferral = bus.defer_stop().ok();
    next.run(request).await
}
