//! API Gateway's WebSocket API, with its `@connections`: what AWS SAM has no way of running locally.
//!
//! As documented at <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api.html>: `$connect` is
//! answered before the socket opens and refuses it with a 4xx; frames find their route by the selection expression; what the
//! function returns goes back where the route has a route response; `$disconnect` follows the end.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Map, Value, json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::task::TaskTracker;

use crate::{
    description::{SocketApi, SocketRoute},
    http_api::{self, message, request_id},
    lambda::Lambda,
};

// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const FRAME_BYTES: usize = 32 * 1024;
pub(crate) const MESSAGE_BYTES: usize = 128 * 1024;
const IDLE: Duration = Duration::from_secs(10 * 60);
const LIFETIME: Duration = Duration::from_secs(2 * 3600);

/// So many messages may wait for a socket whose client does not read, and the first of them so long.
const WAITING: usize = 256;
const PATIENCE: Duration = Duration::from_secs(30);
/// A close takes no longer than this, whether the client answers or not.
const FAREWELL: Duration = Duration::from_secs(1);
/// So many frames of a socket are handled at a time.
const ACTIONS: usize = 64;

// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
/// Stands for a close without a code.
const NO_CODE: u16 = 1005;
/// Stands for an end without a close.
const NO_CLOSE: u16 = 1006;
const TOO_LARGE: u16 = 1009;
const UNSUPPORTED: u16 = 1003;

/// The gateway.
pub(crate) struct Gateway {
    api: SocketApi,
    lambda: Arc<Lambda>,
    domain: String,
    connections: Mutex<HashMap<String, Connection>>,
    stopped: watch::Receiver<bool>,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Connection {
    outgoing: mpsc::Sender<String>,
    close: watch::Sender<bool>,
    about: Arc<About>,
    active: Arc<Mutex<Activity>>,
}

/// A connection's other side, for the task that runs its socket.
struct Ends {
    outgoing: mpsc::Sender<String>,
    waiting: mpsc::Receiver<String>,
    closed: watch::Receiver<bool>,
    active: Arc<Mutex<Activity>>,
}

/// What is known of a connection from its start.
struct About {
    id: String,
    connected_at: DateTime<Utc>,
    source_ip: String,
    user_agent: Value,
}

/// When something last went over a connection.
struct Activity {
    date: DateTime<Utc>,
    instant: tokio::time::Instant,
}

impl Activity {
    fn mark(of: &Mutex<Self>) {
        let now = Self { date: Utc::now(), instant: tokio::time::Instant::now() };
        *of.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Writes what is waiting to a socket until it ends, what is waiting then included. By itself, so that a client that does not
/// read keeps nobody from reading, closing or stopping.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut waiting: mpsc::Receiver<String>,
    mut ending: oneshot::Receiver<(u16, &'static str)>,
    active: Arc<Mutex<Activity>>,
) {
    let (code, reason) = loop {
        tokio::select! {
            biased;
            Some(text) = waiting.recv() => {
                match tokio::time::timeout(PATIENCE, sink.send(Message::text(text))).await {
                    Ok(Ok(())) => Activity::mark(&active),
                    _ => return,
                }
            }
            end = &mut ending => break end.unwrap_or((NO_CLOSE, "")),
        }
    };
    // Stand-ins never travel; where the client has closed, the library's answer to it is flushed.
    if ![NO_CODE, NO_CLOSE].contains(&code) {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = tokio::time::timeout(FAREWELL, sink.send(close)).await;
    }
    let _ = tokio::time::timeout(FAREWELL, sink.close()).await;
}

impl Gateway {
    pub(crate) fn new(
        api: SocketApi,
        lambda: Arc<Lambda>,
        domain: String,
        stopped: watch::Receiver<bool>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self { api, lambda, domain, connections: Mutex::default(), stopped, tasks })
    }

    /// Whether a path belongs to this API: its stage, and `@connections` below that.
    pub(crate) fn owns(&self, path: &str) -> bool {
        let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.api.stage.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest == "/" || rest.starts_with("/@connections"))
    }

    /// The id of the connection that a path of `@connections` names.
    pub(crate) fn connection_id(&self, path: &str) -> Option<String> {
        let id = path.strip_prefix('/')?.strip_prefix(self.api.stage.as_str())?.strip_prefix("/@connections")?;
        let id = id.strip_prefix('/').unwrap_or(id);
        Some(percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned())
    }

    /// Answers a request to open a socket.
    pub(crate) async fn connect(self: &Arc<Self>, mut parts: Parts, peer: SocketAddr) -> Response<Body> {
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => {
                // By itself, since a client that hangs up would otherwise cut it off between the function and the socket.
                let gateway = self.clone();
                let opened = self.tasks.spawn(async move { gateway.open(upgrade, parts, peer).await });
                opened.await.unwrap_or_else(|_| message(StatusCode::BAD_GATEWAY, "Internal server error"))
            }
            Err(_) => upgrade_required(),
        }
    }

    async fn open(self: &Arc<Self>, mut upgrade: WebSocketUpgrade, parts: Parts, peer: SocketAddr) -> Response<Body> {
        let started = Instant::now();
        let about = Arc::new(About {
            id: connection_id(),
            connected_at: Utc::now(),
            source_ip: peer.ip().to_string(),
            user_agent: parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).into(),
        });
        let mut status = StatusCode::OK;
        if let Some(route) = self.api.routes.get("$connect") {
            let event = self.connect_event(&about, &parts);
            match self.lambda.invoke(&route.function, &event).await {
                Ok(answer) => {
                    let code = answer["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
                    status = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
                    if let Some(protocol) = selected_protocol(&answer) {
                        upgrade.set_selected_protocol(protocol);
                    }
                }
                Err(error) => {
                    tracing::error!(function = self.lambda.name(&route.function), %error, "an invocation failed");
                    status = StatusCode::BAD_GATEWAY;
                }
            }
            tracing::info!(
                "$connect {} → {} {} ({} ms)",
                about.id,
                self.lambda.name(&route.function),
                status.as_u16(),
                started.elapsed().as_millis()
            );
        }
        if !status.is_success() {
            return message(status, status.canonical_reason().unwrap_or("Refused"));
        }
        // From here on it can be written to; what comes before the client has switched protocols waits.
        let ends = self.register(&about);
        let (gateway, failed) = (self.clone(), (self.clone(), about.clone()));
        upgrade
            .max_frame_size(FRAME_BYTES)
            .max_message_size(MESSAGE_BYTES)
            .on_failed_upgrade(move |_| {
                // The client went away between the two; the function has let in a connection that never was.
                let (gateway, about) = failed;
                gateway.lock().remove(&about.id);
                let tasks = gateway.tasks.clone();
                tasks.spawn(async move { gateway.disconnect(&about, NO_CLOSE, "").await });
            })
            .on_upgrade(move |socket| {
                let tasks = gateway.tasks.clone();
                let run = tasks.spawn(async move { gateway.run(socket, about, ends).await });
                async move { drop(run.await) }
            })
    }

    /// Makes a connection known to `@connections`.
    fn register(&self, about: &Arc<About>) -> Ends {
        let (outgoing, waiting) = mpsc::channel(WAITING);
        let (close, closed) = watch::channel(false);
        let now = Activity { date: Utc::now(), instant: tokio::time::Instant::now() };
        let active = Arc::new(Mutex::new(now));
        let connection = Connection { outgoing: outgoing.clone(), close, about: about.clone(), active: active.clone() };
        self.lock().insert(about.id.clone(), connection);
        Ends { outgoing, waiting, closed, active }
    }

    /// Runs a socket from its opening to its end.
    async fn run(self: Arc<Self>, socket: WebSocket, about: Arc<About>, ends: Ends) {
        let Ends { outgoing, waiting, mut closed, active } = ends;
        let (sink, mut stream) = socket.split();
        let (end, ending) = oneshot::channel();
        let mut writer = tokio::spawn(write(sink, waiting, ending, active.clone()));
        let mut actions = JoinSet::new();
        let mut stop = std::pin::pin!(crate::stop(self.stopped.clone()));
        let oldest = tokio::time::Instant::now() + LIFETIME;
        let (code, reason) = loop {
            let idle = active.lock().unwrap_or_else(PoisonError::into_inner).instant + IDLE;
            tokio::select! {
                () = &mut stop => break (GOING_AWAY, "the laptop cloud stops"),
                _ = closed.changed() => break (NORMAL, "Connection Closed Normally"),
                () = tokio::time::sleep_until(oldest) => break (GOING_AWAY, "the connection is two hours old"),
                () = tokio::time::sleep_until(idle) => {
                    // What was sent meanwhile counts too.
                    if active.lock().unwrap_or_else(PoisonError::into_inner).instant + IDLE <= tokio::time::Instant::now() {
                        break (GOING_AWAY, "the connection was idle for ten minutes");
                    }
                }
                _ = &mut writer => break (NO_CLOSE, ""),
                Some(_) = actions.join_next() => {}
                received = stream.next(), if actions.len() < ACTIONS => {
                    let text = match received {
                        Some(Ok(Message::Text(text))) => text.to_string(),
                        // https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
                        Some(Ok(Message::Binary(_))) => break (UNSUPPORTED, "binary frames are not supported"),
                        // Control frames are answered by the library, and do not count as traffic.
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(frame))) => break (frame.map_or(NO_CODE, |frame| frame.code), ""),
                        Some(Err(error)) if is_too_large(&error) => break (TOO_LARGE, "the message is too large"),
                        Some(Err(_)) | None => break (NO_CLOSE, ""),
                    };
                    Activity::mark(&active);
                    // As on AWS, the frames of a socket are handled at the same time, and answered in any order.
                    let (gateway, about, outgoing) = (self.clone(), about.clone(), outgoing.clone());
                    actions.spawn(async move { gateway.act(&about, &text, &outgoing).await });
                }
            }
        };
        self.lock().remove(&about.id);
        // What is still under way is handled to its end, as Lambda would; its answers find no socket.
        let _ = end.send((code, reason));
        if !writer.is_finished() {
            let _ = writer.await;
        }
        self.disconnect(&about, code, reason).await;
        while actions.join_next().await.is_some() {}
    }

    /// Hands a frame to the function of its route, and what that returns back to the client.
    async fn act(&self, about: &About, text: &str, outgoing: &mpsc::Sender<String>) {
        let started = Instant::now();
        let key = self.route_key(text);
        let id = request_id();
        let Some(route) = self.api.routes.get(key) else {
            let answer = json!({ "message": "Forbidden", "connectionId": about.id, "requestId": id });
            let _ = outgoing.send(answer.to_string()).await;
            return;
        };
        let mut event = json!({ "requestContext": self.context(about, key, "MESSAGE"), "isBase64Encoded": false });
        event["body"] = json!(text);
        event["requestContext"]["messageId"] = json!(request_id());
        event["requestContext"]["requestId"] = json!(id);
        let answer = match self.lambda.invoke(&route.function, &event).await {
            Ok(answer) if route.responds => answer["body"].as_str().map(str::to_owned),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(function = self.lambda.name(&route.function), %error, "an invocation failed");
                let answer = json!({ "message": "Internal server error", "connectionId": about.id, "requestId": id });
                Some(answer.to_string())
            }
        };
        let milliseconds = started.elapsed().as_millis();
        tracing::info!("{key} {} → {} ({milliseconds} ms)", about.id, self.lambda.name(&route.function));
        if let Some(answer) = answer.filter(|answer| answer.len() <= MESSAGE_BYTES) {
            // A socket that has closed meanwhile takes no answer.
            let _ = outgoing.send(answer).await;
        }
    }

    async fn disconnect(&self, about: &About, code: u16, reason: &str) {
        let Some(SocketRoute { function, .. }) = self.api.routes.get("$disconnect") else { return };
        let mut context = self.context(about, "$disconnect", "DISCONNECT");
        context["disconnectStatusCode"] = json!(code);
        context["disconnectReason"] = json!(reason);
        let headers = json!({ "Host": self.domain, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": "" });
        let event = json!({ "headers": headers, "requestContext": context, "isBase64Encoded": false });
        match self.lambda.invoke(function, &event).await {
            Ok(_) => tracing::info!("$disconnect {} ({code}) → {}", about.id, self.lambda.name(function)),
            Err(error) => tracing::error!(function = self.lambda.name(function), %error, "an invocation failed"),
        }
    }

    /// Follows the selection expression through a frame; whatever it does not lead to a route of is `$default`'s.
    fn route_key<'a>(&'a self, text: &str) -> &'a str {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let named = self.api.selection.iter().fold(&frame, |value, member| &value[member]);
        let known = named.as_str().and_then(|key| self.api.routes.get_key_value(key));
        known.map(|(key, _)| key.as_str()).filter(|key| !key.starts_with('$')).unwrap_or("$default")
    }

    fn context(&self, about: &About, route_key: &str, event_type: &str) -> Value {
        let now = Utc::now();
        json!({
            "routeKey": route_key,
            "eventType": event_type,
            "messageDirection": "IN",
            "connectionId": about.id,
            "connectedAt": about.connected_at.timestamp_millis(),
            "requestId": request_id(),
            "extendedRequestId": request_id(),
            "requestTime": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": now.timestamp_millis(),
            "apiId": "local",
            "domainName": self.domain,
            "stage": self.api.stage,
            "identity": { "sourceIp": about.source_ip, "userAgent": about.user_agent },
        })
    }

    fn connect_event(&self, about: &About, parts: &Parts) -> Value {
        let mut event = json!({
            "headers": http_api::headers(&parts.headers),
            "requestContext": self.context(about, "$connect", "CONNECT"),
            "isBase64Encoded": false,
        });
        let mut multiple: Map<String, Value> = Map::new();
        for (name, value) in &parts.headers {
            let values = multiple.entry(name.as_str()).or_insert_with(|| json!([]));
            if let Value::Array(values) = values {
                values.push(json!(String::from_utf8_lossy(value.as_bytes())));
            }
        }
        event["multiValueHeaders"] = multiple.into();
        if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
            let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            event["queryStringParameters"] = pairs.iter().cloned().map(|(name, value)| (name, json!(value))).collect();
            let mut multiple: Map<String, Value> = Map::new();
            for (name, value) in pairs {
                if let Value::Array(values) = multiple.entry(name).or_insert_with(|| json!([])) {
                    values.push(json!(value));
                }
            }
            event["multiValueQueryStringParameters"] = multiple.into();
        }
        event
    }

    /// `@connections`: sends to a socket, closes it, or tells of it
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>).
    pub(crate) fn manage(&self, id: &str, method: &Method, body: &[u8]) -> Response<Body> {
        let Some(connection) = self.lock().get(id).cloned() else { return gone() };
        match *method {
            Method::GET => connection.tell(),
            Method::DELETE => {
                connection.close.send_replace(true);
                empty(StatusCode::NO_CONTENT)
            }
            Method::POST => match connection.outgoing.try_send(String::from_utf8_lossy(body).into_owned()) {
                Ok(()) => empty(StatusCode::OK),
                Err(mpsc::error::TrySendError::Closed(_)) => gone(),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    exception(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", "The client reads too slowly")
                }
            },
            _ => message(StatusCode::FORBIDDEN, "Missing Authentication Token"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn tell(&self) -> Response<Body> {
        let date = |date: DateTime<Utc>| date.to_rfc3339_opts(SecondsFormat::Millis, true);
        let last_active = self.active.lock().unwrap_or_else(PoisonError::into_inner).date;
        let about = json!({
            "connectedAt": date(self.about.connected_at),
            "identity": { "sourceIp": self.about.source_ip, "userAgent": self.about.user_agent },
            "lastActiveAt": date(last_active),
        });
        let mut response = Response::new(Body::from(about.to_string()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Connection ids look like AWS's: eleven random bytes in base64, so that they end in `=`.
fn connection_id() -> String {
    URL_SAFE.encode(&uuid::Uuid::new_v4().as_bytes()[..11])
}

fn selected_protocol(answer: &Value) -> Option<HeaderValue> {
    let mut headers = answer["headers"].as_object()?.iter();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))?;
    HeaderValue::from_str(value.as_str()?).ok()
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.to_string().contains("too long") || source.to_string().contains("too large"))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What AWS answers to a plain request is not documented; this is what HTTP wants
/// (<https://www.rfc-editor.org/rfc/rfc9110#name-426-upgrade-required>,
/// <https://www.rfc-editor.org/rfc/rfc6455#section-4.4>).
fn upgrade_required() -> Response<Body> {
    let text = "This is a WebSocket API: connect to it with a WebSocket client";
    let mut response = message(StatusCode::UPGRADE_REQUIRED, text);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn gone() -> Response<Body> {
    exception(StatusCode::GONE, "GoneException", "Gone")
}

fn exception(status: StatusCode, kind: &'static str, text: &str) -> Response<Body> {
    let mut response = message(status, text);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    response
}
