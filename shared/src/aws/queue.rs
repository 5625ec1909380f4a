//! SQS FIFO queues.

use aws_sdk_sqs::Client;

use super::client::config;
use crate::{Result, environment::Environment};

/// A queue, through its client.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// The queue whose URL is in `variable`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub(crate) fn new(environment: &Environment, variable: &str) -> Result<Self> {
        let url = environment.require(variable)?.to_owned();
        Ok(Self { client: Client::new(&config(environment, "SQS")), url })
    }

    /// Sends a message. Within five minutes, SQS drops another one with the same deduplication id.
    ///
    /// # Errors
    /// When SQS fails.
    pub(crate) async fn send(&self, group: &str, deduplication_id: &str, body: String) -> Result<()> {
        let message = self.client.send_message().queue_url(&self.url).message_group_id(group);
        message.message_deduplication_id(deduplication_id).message_body(body).send().await?;
        Ok(())
    }
}
