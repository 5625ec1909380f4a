//! Runs one socket from its start to its end.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    connections::{Activity, ConnectionInfo, Connections, SocketChannels},
    limits::{IDLE, LIFETIME},
    outgoing::{Close, NORMAL, Outgoing, TOO_LARGE},
    routes::Routes,
};
use crate::shutdown;

/// How long a message may wait for a client that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a close may take, whether the client answers it or not.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many frames of a socket are handled at the same time.
const CONCURRENT_FRAMES: usize = 64;

// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
const GOING_AWAY: u16 = 1001;
const UNSUPPORTED: u16 = 1003;
/// Stands for a close without a code.
const NO_CODE: u16 = 1005;
/// Stands for an end without a close.
pub(super) const NO_CLOSE: u16 = 1006;

/// What to do after a frame.
enum Received {
    Text(String),
    /// A control frame, which the library answers. It does not count as traffic.
    Control,
    End(Close),
}

/// Runs a socket to its end, and invokes `$disconnect`.
pub(super) async fn run(
    socket: WebSocket,
    info: Arc<ConnectionInfo>,
    channels: SocketChannels,
    routes: Arc<Routes>,
    connections: &Connections,
    stopped: watch::Receiver<bool>,
) {
    let SocketChannels { outgoing, queued, mut closed, activity } = channels;
    let (sink, mut stream) = socket.split();
    let (end, ending) = oneshot::channel();
    let mut writer = tokio::spawn(write(sink, queued, ending, activity.clone()));
    let mut frames = JoinSet::new();
    let mut stop = std::pin::pin!(shutdown::wait(stopped));
    let oldest = Instant::now() + LIFETIME;
    let (code, reason) = loop {
        tokio::select! {
            () = &mut stop => break (GOING_AWAY, "the laptop cloud stops"),
            _ = closed.changed() => break closed.borrow().unwrap_or(NORMAL),
            () = sleep_until(oldest) => break (GOING_AWAY, "the connection is two hours old"),
            // The activity may have changed since the branch was polled.
            () = sleep_until(activity.instant() + IDLE) => if activity.instant() + IDLE <= Instant::now() {
                break (GOING_AWAY, "the connection was idle for ten minutes");
            },
            _ = &mut writer => break (NO_CLOSE, ""),
            Some(_) = frames.join_next() => {}
            frame = stream.next(), if frames.len() < CONCURRENT_FRAMES => match received(frame) {
                Received::Text(text) => {
                    activity.mark();
                    // As on AWS, the frames of a socket are handled concurrently, and answered in any order.
                    frames.spawn(answer(routes.clone(), info.clone(), text, outgoing.clone()));
                }
                Received::Control => {}
                Received::End(close) => break close,
            },
        }
    };
    connections.remove(&info.id);
    let _ = end.send((code, reason));
    if !writer.is_finished() {
        let _ = writer.await;
    }
    routes.disconnect(&info, code, reason).await;
    // As on Lambda, invocations in progress are completed; their answers are dropped.
    while frames.join_next().await.is_some() {}
}

/// Handles one frame.
async fn answer(routes: Arc<Routes>, info: Arc<ConnectionInfo>, text: String, outgoing: Outgoing) {
    if let Some(answer) = routes.message(&info, &text).await {
        outgoing.send(answer).await;
    }
}

fn received(frame: Option<Result<Message, axum::Error>>) -> Received {
    match frame {
        Some(Ok(Message::Text(text))) => Received::Text(text.to_string()),
        // https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
        Some(Ok(Message::Binary(_))) => Received::End((UNSUPPORTED, "binary frames are not supported")),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Received::Control,
        Some(Ok(Message::Close(frame))) => Received::End((frame.map_or(NO_CODE, |frame| frame.code), "")),
        Some(Err(error)) if is_too_large(&error) => Received::End(TOO_LARGE),
        Some(Err(_)) | None => Received::End((NO_CLOSE, "")),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.to_string().contains("too long") || source.to_string().contains("too large"))
}

/// Writes queued messages to a socket until it ends, then those still queued and the close. It is a separate task, so
/// that a client that does not read blocks neither reading nor closing.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queued: mpsc::Receiver<String>,
    mut ending: oneshot::Receiver<Close>,
    activity: Activity,
) {
    let (code, reason) = loop {
        tokio::select! {
            biased;
            Some(text) = queued.recv() => match timeout(SEND_TIMEOUT, sink.send(Message::text(text))).await {
                Ok(Ok(())) => activity.mark(),
                _ => return,
            },
            end = &mut ending => break end.unwrap_or((NO_CLOSE, "")),
        }
    };
    // The codes without a close are never sent. If the client has closed, the library's answer is flushed.
    if ![NO_CODE, NO_CLOSE].contains(&code) {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = timeout(CLOSE_TIMEOUT, sink.send(close)).await;
    }
    let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
}
