//! Events of a WebSocket API
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html>).

use axum::http::request::Parts;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::connections::ConnectionInfo;
use crate::{gateway::event_fields::headers, server::request_id};

/// Makes events for functions.
pub(super) struct Events {
    /// Host and port of the API.
    pub(super) domain: String,
    pub(super) stage: String,
}

impl Events {
    /// The event of `$connect`.
    pub(super) fn connect(&self, info: &ConnectionInfo, parts: &Parts) -> Value {
        let mut event = json!({
            "headers": headers(&parts.headers),
            "requestContext": self.context(info, "$connect", "CONNECT"),
            "isBase64Encoded": false,
        });
        let values =
            parts.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
        event["multiValueHeaders"] = multiple(values);
        if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
            let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            event["queryStringParameters"] = pairs.iter().cloned().map(|(name, value)| (name, json!(value))).collect();
            event["multiValueQueryStringParameters"] = multiple(pairs);
        }
        event
    }

    /// The event of a frame.
    pub(super) fn message(&self, info: &ConnectionInfo, route_key: &str, request_id: &str, text: &str) -> Value {
        let mut context = self.context(info, route_key, "MESSAGE");
        context["messageId"] = json!(self::request_id());
        context["requestId"] = json!(request_id);
        json!({ "requestContext": context, "isBase64Encoded": false, "body": text })
    }

    /// The event of `$disconnect`.
    pub(super) fn disconnect(&self, info: &ConnectionInfo, code: u16, reason: &str) -> Value {
        let mut context = self.context(info, "$disconnect", "DISCONNECT");
        context["disconnectStatusCode"] = json!(code);
        context["disconnectReason"] = json!(reason);
        let headers = json!({ "Host": self.domain, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": "" });
        json!({ "headers": headers, "requestContext": context, "isBase64Encoded": false })
    }

    fn context(&self, info: &ConnectionInfo, route_key: &str, event_type: &str) -> Value {
        let now = Utc::now();
        json!({
            "routeKey": route_key,
            "eventType": event_type,
            "messageDirection": "IN",
            "connectionId": info.id,
            "connectedAt": info.connected_at.timestamp_millis(),
            "requestId": request_id(),
            "extendedRequestId": request_id(),
            "requestTime": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": now.timestamp_millis(),
            "apiId": "local",
            "domainName": self.domain,
            "stage": self.stage,
            "identity": { "sourceIp": info.source_ip, "userAgent": info.user_agent },
        })
    }
}

/// Pairs as an object with a list of values for each name.
fn multiple(pairs: impl IntoIterator<Item = (impl Into<String>, impl AsRef<str>)>) -> Value {
    let mut object: Map<String, Value> = Map::new();
    for (name, value) in pairs {
        if let Value::Array(values) = object.entry(name.into()).or_insert_with(|| json!([])) {
            values.push(json!(value.as_ref()));
        }
    }
    object.into()
}
