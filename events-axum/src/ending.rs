//! Letting `stop` of the bus wait for requests that are being answered.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use events_core::Bus;

/// A middleware that makes [`bus.stop()`](Bus::stop) wait for the requests that are being answered. Their emits are
/// accepted until the deadline of `stop`. A request counts as answered when its response begins, so `stop` does not
/// wait for bodies; it ends the streams of an [`SseBridge`](crate::SseBridge).
///
/// A request that arrives while the bus stops does not prolong the stop. Its emits are accepted while an earlier
/// request is being answered, and refused after that. Do not call `stop` within a request: it would wait for itself.
///
/// ```
/// # use axum::{Router, middleware};
/// # use events_core::Bus;
/// # fn example(bus: &Bus, routes: Router) -> Router {
/// routes.layer(middleware::from_fn_with_state(bus.clone(), events_axum::defer_stop))
/// # }
/// ```
///
/// Not needed if the server shuts down before the bus stops: see the guide "Browsers".
pub async fn defer_stop(State(bus): State<Bus>, request: Request, next: Next) -> Response {
    // If the bus is stopping already, the request's emits report it.
    let _deferral = bus.defer_stop().ok();
    next.run(request).await
}
