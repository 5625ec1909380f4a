//! What goes to a client: messages, and the close of its socket.

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use super::limits::FRAME_BYTES;

/// A code and a reason.
pub(super) type Close = (u16, &'static str);

// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
pub(super) const NORMAL: Close = (1000, "Connection Closed Normally");
pub(super) const TOO_LARGE: Close = (1009, "the message is too large");

/// How many messages may wait for a client that does not read.
const QUEUED_MESSAGES: usize = 256;

/// Sends to a client, and closes its socket.
#[derive(Clone)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<String>,
    close: watch::Sender<Option<Close>>,
    /// Whether a message must fit into a frame.
    limits_frames: bool,
}

impl Outgoing {
    /// The sender, the queue of messages, and the close.
    pub(super) fn new(limits_frames: bool) -> (Self, mpsc::Receiver<String>, watch::Receiver<Option<Close>>) {
        let (queue, queued) = mpsc::channel(QUEUED_MESSAGES);
        let (close, closed) = watch::channel(None);
        (Self { queue, close, limits_frames }, queued, closed)
    }

    /// Queues a message, unless the queue is full or the socket has closed.
    pub(super) fn try_send(&self, text: String) -> Result<(), TrySendError<String>> {
        if self.fits(&text) { self.queue.try_send(text) } else { Ok(()) }
    }

    /// Waits until a message is queued. If the socket closes, the message is dropped.
    pub(super) async fn send(&self, text: String) {
        if self.fits(&text) {
            let _ = self.queue.send(text).await;
        }
    }

    pub(super) fn close(&self, close: Close) {
        self.close.send_replace(Some(close));
    }

    /// Whether a message may be sent. One that is too large closes the socket, which AWS documents for frames
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>).
    fn fits(&self, text: &str) -> bool {
        let fits = !self.limits_frames || text.len() <= FRAME_BYTES;
        if !fits {
            self.close(TOO_LARGE);
        }
        fits
    }
}
