//! The response of a handler that failed with an error of the bus.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use events_core::{Error, ErrorKind};

/// An [`Error`] as a response, so that `?` works in handlers that return `Result<_, ErrorResponse>`.
///
/// The status follows the error's kind. The body is one fixed line per status: it has no text of the error, which may
/// name events, handlers and the engine. The error itself is an extension of the response, an `Arc<Error>`, for a
/// middleware that logs it.
///
/// | kind | status |
/// |---|---|
/// | `Pattern`, `Payload` | 400, with a body of its own for `Pattern` |
/// | `UnknownEvent` | 404 |
/// | `Lagged` | 410 |
/// | `TooLarge` | 413 |
/// | `Overloaded`, `Stopped`, and any other that is [temporary](Error::is_temporary) but `OutcomeUnknown` | 503 |
/// | `Unsettled` | 504 |
/// | all others | 500 |
///
/// `OutcomeUnknown` is a 500, as clients and proxies send a request again after a 503, and the event may be stored.
///
/// ```
/// use axum::extract::{Path, State};
/// use axum::http::StatusCode;
/// use events_axum::ErrorResponse;
/// use events_core::Bus;
///
/// async fn emit(
///     State(bus): State<Bus>,
///     Path(name): Path<String>,
///     body: String,
/// ) -> Result<StatusCode, ErrorResponse> {
///     bus.emit_json(&name, body).await?;
///     Ok(StatusCode::ACCEPTED)
/// }
/// # let _: axum::Router<Bus> = axum::Router::new().route("/events/{name}", axum::routing::post(emit));
/// ```
#[derive(Debug)]
pub struct ErrorResponse(pub Error);

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl ErrorResponse {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self.0.kind() {
            ErrorKind::Pattern | ErrorKind::Payload => StatusCode::BAD_REQUEST,
            ErrorKind::UnknownEvent => StatusCode::NOT_FOUND,
            ErrorKind::IdConflict => StatusCode::CONFLICT,
            ErrorKind::Lagged => StatusCode::GONE,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Overloaded | ErrorKind::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Unsettled => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::OutcomeUnknown => StatusCode::INTERNAL_SERVER_ERROR,
            _ if self.0.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = match status {
            _ if self.0.kind() == ErrorKind::Pattern => "the pattern is not valid",
            StatusCode::BAD_REQUEST => "the payload does not fit the event",
            StatusCode::NOT_FOUND => "there is no such event",
            StatusCode::GONE => "the events are no longer kept",
            StatusCode::PAYLOAD_TOO_LARGE => "the event is too large",
            StatusCode::SERVICE_UNAVAILABLE => "events can't be taken now; try again later",
            StatusCode::GATEWAY_TIMEOUT => "the event was not handled in time; it is still being handled",
            _ => "the event could not be handled",
        };
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use events_core::Bus;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn the_status_follows_the_kind_and_the_body_repeats_nothing() {
        runtime().block_on(async {
            let bus = Bus::builder()
                .accept_undeclared()
                .max_payload(16)
                .quiet()
                .build()
                .await
                .unwrap_or_else(|error| unreachable!("{error}"));
            let large = format!("\"{}\"", "secret".repeat(9));
            let cases = [
                ("no name", "1", StatusCode::NOT_FOUND),
                ("secret.event", "{secret", StatusCode::BAD_REQUEST),
                ("secret.event", large.as_str(), StatusCode::PAYLOAD_TOO_LARGE),
            ];
            for (name, json, status) in cases {
                let Err(error) = bus.emit_json(name, json).await else { unreachable!("{name} is refused") };
                let (kind, response) = (error.kind(), ErrorResponse(error).into_response());
                assert_eq!(response.status(), status);
                let kept = response.extensions().get::<Arc<Error>>().map(|error| error.kind());
                assert_eq!(kept, Some(kind));
                let body = to_bytes(response.into_body(), 1_000).await.unwrap_or_default();
                assert!(!body.is_empty());
                assert!(!String::from_utf8_lossy(&body).contains("secret"));
            }
            assert!(bus.stop().await.is_ok());
            let Err(error) = bus.emit_json("secret.event", "1").await else { unreachable!("it has stopped") };
            assert_eq!(ErrorResponse::from(error).status(), StatusCode::SERVICE_UNAVAILABLE);
        });
    }
}
