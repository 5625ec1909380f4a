//! The routes of a WebSocket API and their functions.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::http::{HeaderValue, StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{
    connections::ConnectionInfo,
    events::Events,
    limits::{FRAME_BYTES, MESSAGE_BYTES},
};
use crate::{
    description::WebSocketRoute, gateway::throttle::StageThrottle, lambda::Lambda, server::request_id, usage::units_of,
};

/// The routes of an API.
pub(super) struct Routes {
    /// The path in a frame to the member that names its route.
    pub(super) selection: Vec<String>,
    pub(super) routes: BTreeMap<String, WebSocketRoute>,
    pub(super) events: Events,
    pub(super) lambda: Arc<Lambda>,
    pub(super) throttle: StageThrottle,
}

impl Routes {
    /// Asks the function of `$connect` whether to accept a connection. Returns its status and the subprotocol that it
    /// selects.
    pub(super) async fn connect(&self, info: &ConnectionInfo, parts: &Parts) -> (StatusCode, Option<HeaderValue>) {
        if !self.throttle.admits("$connect") {
            return (StatusCode::TOO_MANY_REQUESTS, None);
        }
        let Some(WebSocketRoute { function, .. }) = self.routes.get("$connect") else { return (StatusCode::OK, None) };
        let started = Instant::now();
        let (status, protocol) = match self.lambda.invoke(function, &self.events.connect(info, parts)).await {
            Ok(response) => {
                let code = response["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
                let status = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
                (status, selected_protocol(&response))
            }
            Err(error) => {
                tracing::error!(function = self.lambda.name(function), %error, "an invocation failed");
                (StatusCode::BAD_GATEWAY, None)
            }
        };
        tracing::info!(
            "$connect {} → {} {} ({} ms)",
            info.id,
            self.lambda.name(function),
            status.as_u16(),
            started.elapsed().as_millis()
        );
        (status, protocol)
    }

    /// Invokes the function of a frame's route. Returns the text for the client, if any.
    pub(super) async fn message(&self, info: &ConnectionInfo, text: &str) -> Option<String> {
        let started = Instant::now();
        self.lambda.meter.add("", "websocket:Message", units_of(text.len(), FRAME_BYTES));
        let key = self.key(text);
        let id = request_id();
        let failure =
            |message: &str| json!({ "message": message, "connectionId": info.id, "requestId": id }).to_string();
        let Some(route) = self.routes.get(key) else { return Some(failure("Forbidden")) };
        if !self.throttle.admits(key) {
            return Some(failure("Too Many Requests"));
        }
        let answer = match self.lambda.invoke(&route.function, &self.events.message(info, key, &id, text)).await {
            Ok(response) if route.responds => response["body"].as_str().map(str::to_owned),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(function = self.lambda.name(&route.function), %error, "an invocation failed");
                Some(failure("Internal server error"))
            }
        };
        let milliseconds = started.elapsed().as_millis();
        tracing::info!("{key} {} → {} ({milliseconds} ms)", info.id, self.lambda.name(&route.function));
        let answer = answer.filter(|answer| answer.len() <= MESSAGE_BYTES);
        if let Some(answer) = &answer {
            self.lambda.meter.add("", "websocket:Response", units_of(answer.len(), FRAME_BYTES));
        }
        answer
    }

    /// Invokes the function of `$disconnect`.
    pub(super) async fn disconnect(&self, info: &ConnectionInfo, code: u16, reason: &str) {
        let Some(WebSocketRoute { function, .. }) = self.routes.get("$disconnect") else { return };
        match self.lambda.invoke(function, &self.events.disconnect(info, code, reason)).await {
            Ok(_) => tracing::info!("$disconnect {} ({code}) → {}", info.id, self.lambda.name(function)),
            Err(error) => tracing::error!(function = self.lambda.name(function), %error, "an invocation failed"),
        }
    }

    /// The route key that the selection expression finds in a frame; `$default` if that is not a route.
    fn key(&self, text: &str) -> &str {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let named = self.selection.iter().fold(&frame, |value, member| &value[member]);
        let known = named.as_str().and_then(|key| self.routes.get_key_value(key));
        known.map(|(key, _)| key.as_str()).filter(|key| !key.starts_with('$')).unwrap_or("$default")
    }
}

fn selected_protocol(response: &Value) -> Option<HeaderValue> {
    let mut headers = response["headers"].as_object()?.iter();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))?;
    HeaderValue::from_str(value.as_str()?).ok()
}
