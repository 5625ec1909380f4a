//! API Gateway's HTTP API: finds a request's route, invokes its function with an event of payload format 2.0, and
//! answers with the function's response
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

mod cors;
mod event;
mod response;
mod routes;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header, request::Parts},
};

use crate::{
    description::HttpApi,
    gateway::throttle::StageThrottle,
    lambda::{InvokeError, Lambda, REQUEST_BYTES},
    like_aws::LikeAws,
    server::{BodyError, TimeLimits, message, request_id, unreadable},
    usage::units_of,
};
use event::RoutedRequest;
use routes::Path;

/// The event of a smaller body is never too large for Lambda, whatever its encoding.
const SMALL_BODY_BYTES: usize = 512 * 1024;

/// Each 512 KB of a request are billed as a request (<https://aws.amazon.com/api-gateway/pricing/>).
const REQUEST_UNIT: usize = 512 * 1024;

/// The HTTP API.
pub(crate) struct HttpGateway {
    api: HttpApi,
    lambda: Arc<Lambda>,
    domain: String,
    limits: TimeLimits,
    throttle: StageThrottle,
    literal_slashes: bool,
    remap_www_authenticate: bool,
}

impl HttpGateway {
    pub(crate) fn new(
        api: HttpApi,
        lambda: Arc<Lambda>,
        domain: String,
        limits: TimeLimits,
        like_aws: &LikeAws,
    ) -> Self {
        let LikeAws { stage_throttling, literal_slashes, remap_www_authenticate, .. } = *like_aws;
        let throttle = if stage_throttling { StageThrottle::new(&api.throttling) } else { StageThrottle::unlimited() };
        Self { api, lambda, domain, limits, throttle, literal_slashes, remap_www_authenticate }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, parts: Parts, body: Body, peer: SocketAddr) -> Response<Body> {
        let started = Instant::now();
        let origin = parts.headers.get(header::ORIGIN).cloned();
        let id = request_id();
        let preflight = self.api.cors.as_ref().and_then(|cors| cors::preflight(cors, &parts));
        let (function, mut response) = match preflight {
            Some(response) => (None, response),
            None => self.route(&parts, body, peer, &id).await,
        };
        // As on AWS, every response has the id that is in the event and in the access log.
        if let Ok(id) = HeaderValue::try_from(&id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        // AWS does not document whether responses of the throttle have headers for CORS.
        let is_throttled = function.is_none() && response.status() == StatusCode::TOO_MANY_REQUESTS;
        if let (Some(cors), Some(origin), false) = (&self.api.cors, origin, is_throttled) {
            cors::allow(cors, &origin, response.headers_mut());
        }
        tracing::info!(
            "{} {} → {} {} ({} ms)",
            parts.method,
            parts.uri.path(),
            function.map_or("gateway", |function| self.lambda.name(function)),
            response.status().as_u16(),
            started.elapsed().as_millis()
        );
        response
    }

    /// The response to a request, and the function that gave it.
    async fn route(&self, parts: &Parts, body: Body, peer: SocketAddr, id: &str) -> (Option<&str>, Response<Body>) {
        // `OPTIONS *` and `CONNECT` have no path.
        if !parts.uri.path().starts_with('/') {
            return (None, bad_request("The request has no path", id));
        }
        let body = match self.limits.read(body, REQUEST_BYTES).await {
            Ok(body) => body,
            Err(error) => return (None, unreadable(error)),
        };
        let path = if self.literal_slashes { Path::literal(parts.uri.path()) } else { Path::new(parts.uri.path()) };
        let Some((route, parameters)) = routes::find(&self.api.routes, parts.method.as_str(), path) else {
            return (None, message(StatusCode::NOT_FOUND, "Not Found"));
        };
        if !self.throttle.admits(&route.key()) {
            return (None, message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"));
        }
        let Some(parameters) = parameters else {
            return (None, bad_request("The path is not UTF-8", id));
        };
        self.lambda.meter.add("", "http:Request", units_of(body.len(), REQUEST_UNIT));
        let event = event::event(RoutedRequest { id, parts, body: &body, peer, route, parameters }, &self.domain);
        if body.len() > SMALL_BODY_BYTES && event.to_string().len() > REQUEST_BYTES {
            return (None, unreadable(BodyError::TooLarge));
        }
        let response = match self.lambda.invoke(&route.function, &event).await {
            Ok(answer) if self.remap_www_authenticate => response::remap_www_authenticate(response::response(answer)),
            Ok(answer) => response::response(answer),
            // AWS does not document it; this is what users report.
            Err(InvokeError::Throttled) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            Err(error) => {
                tracing::error!(function = self.lambda.name(&route.function), %error, "an invocation failed");
                message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        };
        (Some(route.function.as_str()), response)
    }
}

/// The response to a request that reaches no function.
fn bad_request(text: &str, id: &str) -> Response<Body> {
    let mut response = message(StatusCode::BAD_REQUEST, text);
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
