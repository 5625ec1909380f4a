//! API Gateway's `@connections`: frames to WebSocket clients.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_apigatewaymanagement::{
    Client, config::Builder, error::SdkError, operation::delete_connection::DeleteConnectionError,
    operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use futures_util::{StreamExt, future, stream};

use super::{
    client::config_at,
    pace::{Others, Pace},
};
use crate::{Result, environment::Environment, ids::ConnectionId};

/// A frame that a socket does not take within this time counts as not written.
const FRAME_TIMEOUT: Duration = Duration::from_secs(1);
/// Sockets that are notified concurrently, and the time for all of them.
const CONCURRENT_NOTIFICATIONS: usize = 32;
const NOTIFICATIONS_TIMEOUT: Duration = Duration::from_secs(3);

/// The connections of a WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// Sends frames.
    client: Client,
    /// Closes sockets. This is worth the SDK's retries, since the connection's record goes with it.
    closing: Client,
    pace: Arc<Pace>,
}

/// Whether a frame was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// There is no such connection: it is closed, or its `$connect` is still being answered.
    Gone,
    /// The gateway answers 429, not only for this socket.
    Throttled,
    /// It was not sent: it is not this frame's turn before the deadline.
    Delayed,
}

impl Sockets {
    /// The sockets of the API at `WEBSOCKET_ENDPOINT`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let endpoint = environment.require("WEBSOCKET_ENDPOINT")?;
        let config = Builder::from(&config_at(environment, Some(endpoint)));
        let closing = Client::from_conf(config.clone().build());
        // No retries, so that a socket that hangs does not hold up its chat: what could not be written goes to the
        // delivery queue. A frame that was given up and yet arrived is sent twice.
        let timeouts = TimeoutConfig::builder().connect_timeout(FRAME_TIMEOUT).operation_timeout(FRAME_TIMEOUT).build();
        let config = config.timeout_config(timeouts).retry_config(RetryConfig::disabled());
        Ok(Self { client: Client::from_conf(config.build()), closing, pace: Arc::default() })
    }

    /// Sends one frame, at the pace that the gateway allows.
    ///
    /// # Errors
    /// When the socket does not take it in time, or `@connections` fails for this socket and not for others.
    pub(crate) async fn post(&self, connection_id: &ConnectionId, frame: &str, deadline: Instant) -> Result<Sent> {
        if !self.pace.admit(deadline).await {
            return Ok(Sent::Delayed);
        }
        let frame = Blob::new(frame.as_bytes());
        let sent = match self.client.post_to_connection().connection_id(connection_id.as_str()).data(frame).send().await
        {
            Ok(_) => Sent::Yes,
            Err(error) if error.as_service_error().is_some_and(PostToConnectionError::is_gone_exception) => Sent::Gone,
            Err(error) if is_429(&error) && self.pace.throttled(connection_id) => return Ok(Sent::Throttled),
            Err(error) => {
                if !is_429(&error) {
                    self.pace.failed(connection_id);
                }
                return Err(error.into());
            }
        };
        self.pace.written(connection_id);
        Ok(sent)
    }

    /// Whether a socket that could not be written to fails by itself: others are written to, or the gateway answers
    /// a question about it. If others fail too, that alone says nothing, since several sockets may be ill.
    /// `LimitExceededException` does not tell a throttled caller from a client whose buffer is full
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>).
    pub(crate) async fn fails_alone(&self, connection_id: &ConnectionId) -> bool {
        if self.pace.others(connection_id) == Others::Written {
            return true;
        }
        let asked = self.client.get_connection().connection_id(connection_id.as_str()).send().await;
        if asked.as_ref().is_err_and(is_429) {
            self.pace.slow_down();
        }
        asked.is_ok()
    }

    /// Sends a frame to some sockets, best effort: a failure is logged and not returned.
    pub(crate) async fn notify(&self, connection_ids: impl IntoIterator<Item = ConnectionId>, frame: &str) {
        let deadline = Instant::now() + NOTIFICATIONS_TIMEOUT;
        let notify = async |connection_id: ConnectionId| {
            if let Err(error) = self.post(&connection_id, frame, deadline).await {
                error.log();
            }
        };
        let all = stream::iter(connection_ids).map(notify).buffer_unordered(CONCURRENT_NOTIFICATIONS);
        if tokio::time::timeout(NOTIFICATIONS_TIMEOUT, all.for_each(future::ready)).await.is_err() {
            tracing::warn!("some sockets were not notified in time");
        }
    }

    /// Closes a connection; idempotent.
    ///
    /// # Errors
    /// When `@connections` fails.
    pub(crate) async fn close(&self, connection_id: &ConnectionId) -> Result<()> {
        match self.closing.delete_connection().connection_id(connection_id.as_str()).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(DeleteConnectionError::is_gone_exception) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_429<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_some_and(|response| response.status().as_u16() == 429)
}
