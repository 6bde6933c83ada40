//! HTTP answers of Engine.IO, each in one place.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use vedfolnir_protocol::HandshakeError;

use super::standing::Unavailable;
use crate::security::events::SecurityEvent;
use crate::security::guard::TooMany;

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A refusal with its numeric code.
pub(crate) fn error(error: HandshakeError) -> Response<Body> {
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    response(status, "application/json", error.body())
}

/// A payload for a poll.
pub(crate) fn payload(body: Bytes) -> Response<Body> {
    let mut response = response(StatusCode::OK, "text/plain; charset=UTF-8", body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a POST that was taken.
pub(crate) fn ok() -> Response<Body> {
    let mut response = response(StatusCode::OK, "text/html", "ok");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 413: the session survives, the connection does not, since the rest of the body is not read.
pub(crate) fn too_large() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The body took too long.
pub(crate) fn timeout() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// 429: too many of one address.
pub(crate) fn too_many(refused: &TooMany) -> Response<Body> {
    let mut response = self::refused(StatusCode::TOO_MANY_REQUESTS, refused.event);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(refused.retry_after_seconds));
    response
}

/// A refusal of the gate: a word for programs, a sentence for people.
pub(crate) fn refused(status: StatusCode, event: SecurityEvent) -> Response<Body> {
    response(status, "application/json", event.body())
}

/// 308: the same by HTTPS.
pub(crate) fn moved(location: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// 503: no new clients now.
pub(crate) fn unavailable(refused: &Unavailable) -> Response<Body> {
    let body = serde_json::json!({"error": "unavailable", "message": refused.reason}).to_string();
    let mut response = response(StatusCode::SERVICE_UNAVAILABLE, "application/json", body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(refused.retry_after_seconds));
    response
}

/// 204 for a preflight.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}
