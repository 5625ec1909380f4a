//! Requests from functions in this process to servers in this process, without a network.
//!
//! A function's AWS client signs and sends its requests as ever; this HTTP client hands those that are for one of the
//! cloud's ports to the server behind it, which checks and answers them like any other. So both are spared sockets and
//! HTTP parsers, and nothing else.

use std::{
    collections::HashMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock, Weak},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::body::SdkBody;
use axum::body::{Body, to_bytes};
use http::{HeaderValue, Request, Uri, header};

use super::listener::{Answer, Answers};

/// The servers of this process, by port. They end independently of those who reach them here.
#[derive(Clone, Default)]
pub(crate) struct Servers(Arc<RwLock<HashMap<u16, Weak<Answers>>>>);

impl Servers {
    /// Makes a server reachable.
    pub(crate) fn add(&self, port: u16, answer: &Answer) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(port, Arc::downgrade(answer));
    }

    /// A client that reaches these servers directly, and all others over TCP.
    pub(crate) fn client(&self) -> SharedHttpClient {
        let network = aws_smithy_http_client::Builder::new().build_http();
        SharedHttpClient::new(Client { servers: self.clone(), network })
    }

    fn get(&self, uri: &Uri) -> Option<Answer> {
        if uri.host() != Some("127.0.0.1") {
            return None;
        }
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&uri.port_u16()?)?.upgrade()
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Servers(…)")
    }
}

#[derive(Debug)]
struct Client {
    servers: Servers,
    network: SharedHttpClient,
}

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let network = self.network.http_connector(settings, components);
        SharedHttpConnector::new(Connector { servers: self.servers.clone(), network })
    }
}

#[derive(Debug)]
struct Connector {
    servers: Servers,
    network: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let server = request.uri().parse().ok().and_then(|uri: Uri| self.servers.get(&uri));
        match server {
            Some(server) => HttpConnectorFuture::new(async move {
                call(&server, request).await.map_err(|error| ConnectorError::other(error, None))
            }),
            None => self.network.call(request),
        }
    }
}

async fn call(server: &Answer, request: HttpRequest) -> Result<HttpResponse, BoxError> {
    let request = as_received(request)?;
    // Over a network a caller waits twice, for the request to arrive and for the response. It may be cut off there, and
    // other tasks have their turn.
    tokio::task::yield_now().await;
    let response = server(request, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    tokio::task::yield_now().await;
    let (parts, body) = response.into_parts();
    let body = SdkBody::from(to_bytes(body, usize::MAX).await?);
    Ok(HttpResponse::try_from(http::Response::from_parts(parts, body))?)
}

/// The request as a server would receive it: with a path instead of a URL, and with `Host`.
fn as_received(request: HttpRequest) -> Result<Request<Body>, BoxError> {
    let (mut parts, body) = request.try_into_http1x()?.into_parts();
    let host = parts.uri.authority().map(|host| HeaderValue::try_from(host.as_str())).transpose()?;
    if let Some(host) = host {
        parts.headers.entry(header::HOST).or_insert(host);
    }
    parts.uri = parts.uri.path_and_query().map_or_else(Uri::default, |path| path.clone().into());
    Ok(Request::from_parts(parts, Body::new(body)))
}
