//! The way out to WebSocket clients: API Gateway's `@connections`.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    Client, config::Builder, operation::delete_connection::DeleteConnectionError,
    operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use futures_util::{StreamExt, future, stream};

use crate::{Result, environment::Environment};

/// A frame that a socket does not take within this time counts as not written.
const FRAME: Duration = Duration::from_secs(1);
/// Sockets that are notified concurrently, and the time for all of them.
const NOTIFIED_AT_A_TIME: usize = 32;
const NOTIFYING: Duration = Duration::from_secs(3);

/// The connections of a WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    /// Sends frames.
    client: Client,
    /// Closes sockets. This is worth the SDK's retries, since the connection's record goes with it.
    closing: Client,
}

/// Whether a frame went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// There is no such connection: it is closed, or its `$connect` is still being answered.
    Gone,
}

impl Sockets {
    pub(crate) fn new(environment: &Environment) -> Option<Self> {
        let endpoint = environment.get("WEBSOCKET_ENDPOINT")?;
        // A socket that hangs must not hold up its chat, so nothing is retried here: what could not be written goes to the delivery
        // queue. A frame that was given up and had gone out all the same goes out twice.
        let timeouts = TimeoutConfig::builder().connect_timeout(FRAME).operation_timeout(FRAME).build();
        let config = Builder::from(&environment.client_at(Some(endpoint)));
        let closing = Client::from_conf(config.clone().build());
        let config = config.timeout_config(timeouts).retry_config(RetryConfig::disabled());
        Some(Self { client: Client::from_conf(config.build()), closing })
    }

    /// Sends one frame.
    pub(crate) async fn post(&self, connection_id: &str, frame: &str) -> Result<Sent> {
        let frame = Blob::new(frame.as_bytes());
        match self.client.post_to_connection().connection_id(connection_id).data(frame).send().await {
            Ok(_) => Ok(Sent::Yes),
            Err(error) if error.as_service_error().is_some_and(PostToConnectionError::is_gone_exception) => {
                Ok(Sent::Gone)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a frame to some sockets as a courtesy: one that does not take it in time, or at all, goes without.
    pub(crate) async fn notify(&self, connection_ids: impl IntoIterator<Item = String>, frame: &str) {
        let notify = async |connection_id: String| {
            if let Err(error) = self.post(&connection_id, frame).await {
                error.log();
            }
        };
        let all = stream::iter(connection_ids).map(notify).buffer_unordered(NOTIFIED_AT_A_TIME);
        if tokio::time::timeout(NOTIFYING, all.for_each(future::ready)).await.is_err() {
            tracing::warn!("some sockets were not notified in time");
        }
    }

    /// Closes a connection; one that is closed already is fine.
    pub(crate) async fn close(&self, connection_id: &str) -> Result<()> {
        match self.closing.delete_connection().connection_id(connection_id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(DeleteConnectionError::is_gone_exception) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
