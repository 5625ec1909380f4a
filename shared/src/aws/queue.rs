//! SQS queues: FIFO queues, and a standard one.

use aws_sdk_sqs::{
    Client,
    operation::send_message::SendMessageError,
    types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry},
};

use super::client::config;
use crate::{Error, Result, environment::Environment, ids::ReceiptHandle};

/// The limit of SQS's batch operations
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
const MESSAGES_PER_BATCH: usize = 10;

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

    /// Sends a message. Within five minutes, SQS drops another one with the same deduplication id. A message that SQS
    /// does not take is logged and skipped, since another attempt would fail too.
    ///
    /// # Errors
    /// When SQS fails.
    pub(crate) async fn send(&self, group: &str, deduplication_id: &str, body: String) -> Result<()> {
        let message = self.client.send_message().queue_url(&self.url).message_group_id(group);
        match message.message_deduplication_id(deduplication_id).message_body(body).send().await {
            Err(error) if error.as_service_error().is_some_and(SendMessageError::is_invalid_message_contents) => {
                Error::internal(format!("SQS does not take {deduplication_id} of {group}, which is skipped")).log();
                Ok(())
            }
            sent => Ok(sent.map(drop)?),
        }
    }

    /// Sends a message to a standard queue.
    ///
    /// # Errors
    /// When SQS fails.
    pub(crate) async fn send_unordered(&self, body: String) -> Result<()> {
        Ok(self.client.send_message().queue_url(&self.url).message_body(body).send().await.map(drop)?)
    }

    /// Deletes received messages.
    ///
    /// # Errors
    /// When SQS fails. A message that it does not delete is received again.
    pub(crate) async fn delete(&self, messages: &[&ReceiptHandle]) -> Result<()> {
        for batch in messages.chunks(MESSAGES_PER_BATCH) {
            let entries = (0..).zip(batch).map(|(id, receipt): (usize, _)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
                entry.receipt_handle(receipt.as_str()).build().map_err(Error::from)
            });
            let entries = entries.collect::<Result<Vec<_>>>()?;
            self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await?;
        }
        Ok(())
    }

    /// Makes received messages visible again, each after a number of seconds.
    ///
    /// # Errors
    /// When SQS fails. A message that it does not change returns after the queue's visibility time-out.
    pub(crate) async fn return_after(&self, messages: &[(&ReceiptHandle, i32)]) -> Result<()> {
        for batch in messages.chunks(MESSAGES_PER_BATCH) {
            let entries = (0..).zip(batch).map(|(id, (receipt, seconds)): (usize, _)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string());
                entry.receipt_handle(receipt.as_str()).visibility_timeout(*seconds).build().map_err(Error::from)
            });
            let entries = entries.collect::<Result<Vec<_>>>()?;
            let request = self.client.change_message_visibility_batch().queue_url(&self.url);
            request.set_entries(Some(entries)).send().await?;
        }
        Ok(())
    }
}
