//! The way out to WebSocket clients: API Gateway's `@connections`.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::{
    Client, config::Builder, operation::delete_connection::DeleteConnectionError,
    operation::post_to_connection::PostToConnectionError, primitives::Blob,
};
use aws_smithy_types::timeout::TimeoutConfig;

use crate::{Result, environment::Environment};

/// The connections of a WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    client: Client,
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
        // One socket that hangs must not hold up its room for long; but a frame that was given up too soon and had gone out all the same
        // goes out twice.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_secs(2))
            .operation_timeout(Duration::from_secs(5))
            .build();
        let config = Builder::from(&environment.client_at(Some(endpoint)));
        Some(Self { client: Client::from_conf(config.timeout_config(timeouts).build()) })
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

    /// Closes a connection; one that is closed already is fine.
    pub(crate) async fn close(&self, connection_id: &str) -> Result<()> {
        match self.client.delete_connection().connection_id(connection_id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(DeleteConnectionError::is_gone_exception) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
