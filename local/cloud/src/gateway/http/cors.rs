//! Cross-origin requests to an HTTP API
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts},
};

use crate::description::Cors;

/// The response to a preflight request; API Gateway answers these by itself if CORS is configured.
pub(super) fn preflight(cors: &Cors, parts: &Parts) -> Option<Response<Body>> {
    let asks =
        parts.headers.contains_key(header::ORIGIN) && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if parts.method != Method::OPTIONS || !asks {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, values: &[String]| {
        if let Some(value) = list(values) {
            headers.insert(name, value);
        }
    };
    set(header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
    set(header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
    if let Some(age) = cors.max_age {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, age.into());
    }
    Some(response)
}

/// Adds the headers by which browsers let this origin read a response.
pub(super) fn allow(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    let any = cors.allow_origins.iter().any(|allowed| allowed == "*");
    let known = cors.allow_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
    if !any && !known {
        return;
    }
    let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if let Some(exposed) = list(&cors.expose_headers) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

fn list(values: &[String]) -> Option<HeaderValue> {
    (!values.is_empty()).then(|| HeaderValue::from_str(&values.join(",")).ok())?
}
