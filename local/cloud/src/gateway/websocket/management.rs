//! `@connections`: sends to a connection, closes it or describes it
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>).

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, StatusCode, header},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;

use super::{
    connections::{Connection, Connections},
    outgoing::NORMAL,
};
use crate::server::message;

/// Answers a request about one connection.
pub(super) fn answer(connections: &Connections, id: &str, method: &Method, body: &[u8]) -> Response<Body> {
    let Some(connection) = connections.get(id) else { return gone() };
    match *method {
        Method::GET => describe(&connection),
        Method::DELETE => {
            connection.outgoing.close(NORMAL);
            empty(StatusCode::NO_CONTENT)
        }
        Method::POST => match connection.outgoing.try_send(String::from_utf8_lossy(body).into_owned()) {
            Ok(()) => empty(StatusCode::OK),
            Err(TrySendError::Closed(_)) => gone(),
            Err(TrySendError::Full(_)) => {
                exception(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", "The client reads too slowly")
            }
        },
        _ => message(StatusCode::FORBIDDEN, "Missing Authentication Token"),
    }
}

fn describe(connection: &Connection) -> Response<Body> {
    let date = |date: DateTime<Utc>| date.to_rfc3339_opts(SecondsFormat::Millis, true);
    let info = &connection.info;
    let body = json!({
        "connectedAt": date(info.connected_at),
        "identity": { "sourceIp": info.source_ip, "userAgent": info.user_agent },
        "lastActiveAt": date(connection.activity.date()),
    });
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn gone() -> Response<Body> {
    exception(StatusCode::GONE, "GoneException", "Gone")
}

/// The response to a request above the limit of `@connections`.
pub(super) fn throttled() -> Response<Body> {
    exception(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", "Too Many Requests")
}

fn exception(status: StatusCode, kind: &'static str, text: &str) -> Response<Body> {
    let mut response = message(status, text);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}
