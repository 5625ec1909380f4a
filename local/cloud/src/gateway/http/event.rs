//! Events of payload format 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::net::SocketAddr;

use axum::http::{HeaderMap, header, request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Utc;
use serde_json::{Map, Value, json};

use crate::{
    description::{ACCOUNT, HttpRoute},
    gateway::event_fields::{headers, joined},
};

/// A request and its route.
pub(super) struct RoutedRequest<'a> {
    pub(super) id: &'a str,
    pub(super) parts: &'a Parts,
    pub(super) body: &'a [u8],
    pub(super) peer: SocketAddr,
    pub(super) route: &'a HttpRoute,
    pub(super) parameters: Map<String, Value>,
}

/// The event of a request to the API at this domain.
pub(super) fn event(request: RoutedRequest<'_>, domain: &str) -> Value {
    let RoutedRequest { parts, body, route, .. } = request;
    let query = parts.uri.query().unwrap_or_default();
    let mut headers = headers(&parts.headers);
    let cookies = headers.remove("cookie");
    headers.entry("x-forwarded-for").or_insert_with(|| json!(request.peer.ip().to_string()));
    headers.entry("x-forwarded-port").or_insert_with(|| json!(domain.rsplit(':').next()));
    headers.entry("x-forwarded-proto").or_insert_with(|| json!("http"));
    let route_key = route.key();
    let user_agent = headers.get("user-agent").cloned().unwrap_or_else(|| json!(""));
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": parts.uri.path(),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": context(&request, &route_key, user_agent, domain),
        "isBase64Encoded": false,
    });
    if let Some(Value::String(cookies)) = cookies {
        event["cookies"] = cookies.split("; ").collect();
    }
    if !query.is_empty() {
        event["queryStringParameters"] = joined(form_urlencoded::parse(query.as_bytes()));
    }
    if !request.parameters.is_empty() {
        event["pathParameters"] = request.parameters.clone().into();
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(&parts.headers) => event["body"] = json!(text),
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

fn context(request: &RoutedRequest<'_>, route_key: &str, user_agent: Value, domain: &str) -> Value {
    let now = Utc::now();
    let RoutedRequest { id, parts, peer, .. } = request;
    json!({
        "accountId": ACCOUNT,
        "apiId": "local",
        "domainName": domain,
        "domainPrefix": "local",
        "http": {
            "method": parts.method.as_str(),
            "path": parts.uri.path(),
            "protocol": format!("{:?}", parts.version),
            "sourceIp": peer.ip().to_string(),
            "userAgent": user_agent,
        },
        "requestId": id,
        "routeKey": route_key,
        "stage": "$default",
        "time": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "timeEpoch": now.timestamp_millis(),
    })
}

/// Whether a body reaches the function as text; all others are in base64, forms too.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&media_type.as_str())
}
