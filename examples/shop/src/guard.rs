//! Checks of requests before their handlers run, and the format of error responses.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::shop::Failure;

/// How long a client may take to send the head of a request, and as long again for its body.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 2 << 20;

/// An error response: a status and the JSON `{"error": ...}`.
pub struct Refused(StatusCode, String);

impl Refused {
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self(status, why.into())
    }
}

impl<E: Into<Failure>> From<E> for Refused {
    fn from(error: E) -> Self {
        eprintln!("a request failed: {}", error.into());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

/// Rejects requests that change something and come from a page of another origin.
pub async fn same_origin(request: Request, next: Next) -> Result<Response, Refused> {
    if request.method().is_safe() || is_same_origin(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(Refused::new(StatusCode::FORBIDDEN, "this comes from a page of another origin"))
}

/// Whether a request comes from the shop's own page. Browsers send the origin of a request. Other programs send neither
/// header, and are allowed.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (value("sec-fetch-site"), value("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin.split_once("://").is_some_and(|(_, host)| value("host") == Some(host)),
        (None, None) => true,
    }
}

/// Reads the body before the handler runs, so that no handler waits for a client.
pub async fn read_body(request: Request, next: Next) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let Ok(read) = timeout(READ_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await else {
        return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"));
    };
    let Ok(body) = read else {
        let why = format!("the body can't be read: it has at most {MAX_BODY_BYTES} bytes");
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    };
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// Converts axum's own error responses, which are plain text, to JSON.
pub async fn refuse_in_json(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_text || !(response.status().is_client_error() || response.status().is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let why = match text.is_empty() {
        true => parts.status.canonical_reason().unwrap_or("refused").to_lowercase(),
        false => String::from_utf8_lossy(&text).into_owned(),
    };
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    (parts.headers, Refused::new(parts.status, why)).into_response()
}
