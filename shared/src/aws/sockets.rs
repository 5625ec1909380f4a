//! API Gateway's `@connections`: frames to WebSocket clients.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    Client, config::Builder, operation::delete_connection::DeleteConnectionError,
    operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use futures_util::{StreamExt, future, stream};

use super::client::config_at;
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
}

/// Whether a frame was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// There is no such connection: it is closed, or its `$connect` is still being answered.
    Gone,
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
        Ok(Self { client: Client::from_conf(config.build()), closing })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the socket does not take it in time, or `@connections` fails.
    pub(crate) async fn post(&self, connection_id: &ConnectionId, frame: &str) -> Result<Sent> {
        let frame = Blob::new(frame.as_bytes());
        match self.client.post_to_connection().connection_id(connection_id.as_str()).data(frame).send().await {
            Ok(_) => Ok(Sent::Yes),
            Err(error) if error.as_service_error().is_some_and(PostToConnectionError::is_gone_exception) => {
                Ok(Sent::Gone)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a frame to some sockets, best effort: a failure is logged and not returned.
    pub(crate) async fn notify(&self, connection_ids: impl IntoIterator<Item = ConnectionId>, frame: &str) {
        let notify = async |connection_id: ConnectionId| {
            if let Err(error) = self.post(&connection_id, frame).await {
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
