//! The gateway's port: the website, the HTTP API, the WebSocket API and `@connections`, the mails that were sent, and
//! documentation.

mod documentation;
mod event_fields;
mod http;
mod mail_pages;
mod throttle;
mod website;
mod websocket;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, StatusCode},
};

use crate::{
    access::{Guard, Hosts},
    server::{message, request_id},
};
pub(crate) use documentation::Documentation;
pub(crate) use http::HttpGateway;
pub(crate) use mail_pages::MailPages;
pub(crate) use website::Website;
pub(crate) use websocket::{MESSAGE_BYTES, WebSocketGateway};

/// All that listens on the gateway's port.
pub(crate) struct Gateway {
    pub(crate) hosts: Hosts,
    pub(crate) mail: MailPages,
    pub(crate) documentation: Option<Documentation>,
    pub(crate) website: Option<Website>,
    pub(crate) http: HttpGateway,
    pub(crate) websocket: Option<Arc<WebSocketGateway>>,
    /// The guard of `@connections`.
    pub(crate) connections: Guard,
}

impl Gateway {
    /// Answers a request. Mails and documentation take precedence over the website, and its files over routes.
    pub(crate) async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        let websocket = self.websocket.as_ref().filter(|websocket| websocket.owns(request.uri().path()));
        if let Some(websocket) = websocket
            && let Some(id) = websocket.connection_id(request.uri().path())
        {
            return match self.connections.admit(request).await {
                Ok((parts, body)) => websocket.manage(&id, &parts.method, &body),
                Err(rejection) => rejection,
            };
        }
        let (parts, body) = request.into_parts();
        if !self.hosts.admit(&parts) {
            return unknown_host();
        }
        if let Some(page) = self.mail.answer(&parts) {
            return page;
        }
        if let Some(websocket) = websocket {
            return websocket.connect(parts, peer).await;
        }
        if let Some(documentation) = &self.documentation
            && let Some(page) = documentation.answer(&parts).await
        {
            return page;
        }
        if let Some(website) = &self.website {
            let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
            if let Some(file) = website.answer(method, uri, headers).await {
                return file;
            }
        }
        self.http.answer(parts, body, peer).await
    }
}

/// The response to a request whose `Host` is neither a name of this machine nor allowed.
fn unknown_host() -> Response<Body> {
    let mut response = message(StatusCode::FORBIDDEN, "Forbidden: allow this Host with --host");
    if let Ok(id) = HeaderValue::try_from(request_id()) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}
