//! Serves HTTP on a listener, with time limits for slow clients and a graceful shutdown.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_io_timeout::TimeoutStream;

use super::{hyper_errors::JsonErrors, limits::TimeLimits};

/// Answers a request from an address.
pub(crate) type Answers = dyn Fn(Request<Body>, SocketAddr) -> BoxFuture<'static, Response<Body>> + Send + Sync;
pub(crate) type Answer = Arc<Answers>;

/// Serves until `stopped`, then completes the requests in progress.
pub(crate) async fn serve(listener: TcpListener, limits: TimeLimits, stopped: watch::Receiver<bool>, answer: Answer) {
    let mut stop = std::pin::pin!(crate::shutdown::wait(stopped.clone()));
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
            // Probably out of file descriptors; an immediate retry would spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Otherwise a small write, such as a frame, may wait up to 40 ms for the acknowledgement of the one before it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.answer));
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answered = answer(request.map(Body::new), peer);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection =
            builder.serve_connection(TokioIo::new(JsonErrors::new(Box::pin(stream))), service).with_upgrades();
        let stop = crate::shutdown::wait(stopped.clone());
        connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // A client that disconnects during a request, or is too slow, is not worth a log line.
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
