//! Responses that servers give by themselves.

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::limits::BodyError;

/// A request id that looks like API Gateway's.
pub(crate) fn request_id() -> String {
    STANDARD.encode(&uuid::Uuid::new_v4().as_bytes()[..11])
}

/// A response with a message in JSON.
pub(crate) fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The response to a request whose body cannot be read.
pub(crate) fn unreadable(error: BodyError) -> Response<Body> {
    let mut response = match error {
        BodyError::TooLarge => message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        BodyError::TooSlow => message(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
    };
    // The rest of the body will not be read.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
