//! Serving HTTP on a listener: time limits for slow clients, and a graceful end.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_io_timeout::TimeoutStream;

use crate::malformed::Worded;

/// How long a client may take. AWS documents no such limits; these are the usual ones of web servers.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// From the opening of the connection, or the previous answer, until a request's headers are complete.
    pub headers: Duration,
    /// From the headers until the body is complete.
    pub body: Duration,
    /// Without reading anything of an answer.
    pub answer: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        let (headers, rest) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { headers, body: rest, answer: rest }
    }
}

/// Why a request's body cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
}

impl TimeLimits {
    /// The whole of a body.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> Result<Bytes, BodyError> {
        match tokio::time::timeout(self.body, to_bytes(body, limit)).await {
            Ok(body) => body.map_err(|_| BodyError::TooLarge),
            Err(_) => Err(BodyError::TooSlow),
        }
    }
}

/// Answers a request from an address.
pub(crate) type Answer = Arc<dyn Fn(Request<Body>, SocketAddr) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Serves until `stopped`, and then until all requests under way are answered.
pub(crate) async fn serve(listener: TcpListener, limits: TimeLimits, stopped: watch::Receiver<bool>, answer: Answer) {
    let mut stop = std::pin::pin!(crate::stop(stopped.clone()));
    let mut connections = JoinSet::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.headers);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely; trying again at once would do nothing but spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.answer));
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answered = answer(request.map(Body::new), peer);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(Worded::new(Box::pin(stream))), service).with_upgrades();
        let stop = crate::stop(stopped.clone());
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // A client that goes away in the middle of a request, or takes too long, is no news.
            tokio::select! {
                _ = connection.as_mut() => return,
                () = stop => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
