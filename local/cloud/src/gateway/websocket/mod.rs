//! API Gateway's WebSocket API with its `@connections`, which AWS SAM cannot run locally.
//!
//! As documented at <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api.html>: the
//! function of `$connect` is invoked before the socket opens and may reject it; the selection expression finds the
//! route of each frame; the function's response is sent back if the route has a route response; `$disconnect` follows
//! the end.

mod connections;
mod events;
mod limits;
mod management;
mod outgoing;
mod routes;
mod socket;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, ws::WebSocketUpgrade},
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    description::WebSocketApi,
    gateway::throttle::{Bucket, StageThrottle},
    lambda::Lambda,
    like_aws::LikeAws,
    server::message,
    usage::units_of,
};
use connections::{ConnectionInfo, Connections};
use events::Events;
use limits::FRAME_BYTES;
pub(crate) use limits::MESSAGE_BYTES;
use routes::Routes;

/// The WebSocket API.
pub(crate) struct WebSocketGateway {
    stage: String,
    routes: Arc<Routes>,
    connections: Connections,
    /// The limit of `@connections`.
    management: Bucket,
    stopped: watch::Receiver<bool>,
    /// Opening and running sockets, which outlive the requests that open them.
    tasks: TaskTracker,
}

impl WebSocketGateway {
    pub(crate) fn new(
        api: WebSocketApi,
        lambda: Arc<Lambda>,
        domain: String,
        stopped: watch::Receiver<bool>,
        tasks: TaskTracker,
        like_aws: &LikeAws,
    ) -> Arc<Self> {
        let WebSocketApi { stage, selection, routes, throttling, .. } = api;
        let LikeAws { stage_throttling, connections_rate, connections_burst, connections_frame_limit, .. } = *like_aws;
        let throttle = if stage_throttling { StageThrottle::new(&throttling) } else { StageThrottle::unlimited() };
        let management = Bucket::of(connections_rate.map(f64::from), connections_burst);
        let events = Events { domain, stage: stage.clone() };
        let routes = Arc::new(Routes { selection, routes, events, lambda, throttle });
        let connections = Connections::new(connections_frame_limit);
        Arc::new(Self { stage, routes, connections, management, stopped, tasks })
    }

    /// Whether a path belongs to this API: its stage, and `@connections` below that.
    pub(crate) fn owns(&self, path: &str) -> bool {
        let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.stage.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest == "/" || rest.starts_with("/@connections"))
    }

    /// The id of the connection that a path of `@connections` names.
    pub(crate) fn connection_id(&self, path: &str) -> Option<String> {
        let id = path.strip_prefix('/')?.strip_prefix(self.stage.as_str())?.strip_prefix("/@connections")?;
        let id = id.strip_prefix('/').unwrap_or(id);
        Some(percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned())
    }

    /// Answers a request of `@connections`.
    pub(crate) fn manage(&self, id: &str, method: &Method, body: &[u8]) -> Response<Body> {
        if !self.management.admits() {
            return management::throttled();
        }
        if method == Method::POST {
            self.routes.lambda.meter.add("", "websocket:Post", units_of(body.len(), FRAME_BYTES));
        }
        management::answer(&self.connections, id, method, body)
    }

    /// Answers a request to open a socket.
    pub(crate) async fn connect(self: &Arc<Self>, mut parts: Parts, peer: SocketAddr) -> Response<Body> {
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => {
                // A separate task, since a client that hangs up would otherwise end it between the function and the
                // socket.
                let gateway = self.clone();
                let opened = self.tasks.spawn(async move { gateway.open(upgrade, parts, peer).await });
                opened.await.unwrap_or_else(|_| message(StatusCode::BAD_GATEWAY, "Internal server error"))
            }
            Err(_) => upgrade_required(),
        }
    }

    async fn open(self: &Arc<Self>, mut upgrade: WebSocketUpgrade, parts: Parts, peer: SocketAddr) -> Response<Body> {
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).into();
        let info = Arc::new(ConnectionInfo::new(peer.ip().to_string(), user_agent));
        let (status, protocol) = self.routes.connect(&info, &parts).await;
        if !status.is_success() {
            return message(status, status.canonical_reason().unwrap_or("Rejected"));
        }
        if let Some(protocol) = protocol {
            upgrade.set_selected_protocol(protocol);
        }
        // From now on it can be written to; messages wait until the client has switched protocols.
        let channels = self.connections.register(&info);
        let (gateway, failed) = (self.clone(), (self.clone(), info.clone()));
        upgrade
            .max_frame_size(FRAME_BYTES)
            .max_message_size(MESSAGE_BYTES)
            .on_failed_upgrade(move |_| {
                // The client disconnected after the function had accepted it.
                let (gateway, info) = failed;
                gateway.connections.remove(&info.id);
                let tasks = gateway.tasks.clone();
                tasks.spawn(async move { gateway.routes.disconnect(&info, socket::NO_CLOSE, "").await });
            })
            .on_upgrade(move |socket| {
                let tasks = gateway.tasks.clone();
                let run = tasks.spawn(async move {
                    let (routes, stopped) = (gateway.routes.clone(), gateway.stopped.clone());
                    socket::run(socket, info, channels, routes, &gateway.connections, stopped).await;
                });
                async move { drop(run.await) }
            })
    }
}

/// AWS does not document its response to a plain request; this one follows HTTP
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
