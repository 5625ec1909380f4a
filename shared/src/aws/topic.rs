//! The exchange: an SNS FIFO topic.

use aws_sdk_sns::{Client, error::ProvideErrorMetadata, types::PublishBatchRequestEntry};

use super::client::config;
use crate::{Error, Result, environment::Environment};

/// The limit of PublishBatch (<https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>).
const MESSAGES_PER_BATCH: usize = 10;

/// A topic, through its client.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    client: Client,
    arn: String,
}

/// A message for a topic. Within five minutes, SNS drops another one with the same deduplication id.
#[derive(Clone, Debug)]
pub(crate) struct TopicMessage {
    pub(crate) deduplication_id: String,
    pub(crate) body: String,
}

impl Topic {
    /// The topic that `TOPIC_ARN` names.
    ///
    /// # Errors
    /// When the variable is missing.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let arn = environment.require("TOPIC_ARN")?.to_owned();
        Ok(Self { client: Client::new(&config(environment, "SNS")), arn })
    }

    /// Publishes messages of one message group, in order. A message that SNS does not take is logged and skipped, since
    /// another attempt would fail too.
    ///
    /// # Errors
    /// When SNS fails.
    pub(crate) async fn publish(&self, group: &str, messages: Vec<TopicMessage>) -> Result<()> {
        if let [message] = messages.as_slice() {
            return self.publish_one(group, message).await;
        }
        for batch in messages.chunks(MESSAGES_PER_BATCH) {
            self.publish_batch(group, batch).await?;
        }
        Ok(())
    }

    async fn publish_one(&self, group: &str, TopicMessage { deduplication_id, body }: &TopicMessage) -> Result<()> {
        let request = self.client.publish().topic_arn(&self.arn).message_group_id(group);
        match request.message_deduplication_id(deduplication_id).message(body).send().await {
            Err(error) if is_rejection(error.code(), error.message()) => {
                skip(group, deduplication_id);
                Ok(())
            }
            sent => Ok(sent.map(drop)?),
        }
    }

    async fn publish_batch(&self, group: &str, batch: &[TopicMessage]) -> Result<()> {
        let entries = batch.iter().map(|TopicMessage { deduplication_id, body }| {
            PublishBatchRequestEntry::builder()
                .id(deduplication_id)
                .message_group_id(group)
                .message_deduplication_id(deduplication_id)
                .message(body)
                .build()
                .map_err(Error::from)
        });
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let request = self.client.publish_batch().topic_arn(&self.arn);
        let answer = request.set_publish_batch_request_entries(Some(entries)).send().await?;
        let (rejected, failed): (Vec<_>, Vec<_>) = answer
            .failed()
            .iter()
            .partition(|failed| failed.sender_fault && is_rejection(Some(&failed.code), failed.message()));
        rejected.iter().for_each(|rejected| skip(group, &rejected.id));
        match failed.first() {
            Some(failed) => Err(Error::internal(format!("SNS rejected {}: {}", failed.id, failed.code))),
            None => Ok(()),
        }
    }
}

/// Whether SNS rejects a message for what it contains, and not another parameter, such as the topic
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors>).
fn is_rejection(code: Option<&str>, message: Option<&str>) -> bool {
    let is_about_message = |text: &str| {
        text.split_once("Invalid parameter: ").is_some_and(|(_, parameter)| parameter.starts_with("Message "))
    };
    code == Some("InvalidParameter") && message.is_some_and(is_about_message)
}

/// Logs a skipped message, which counts as a failure.
fn skip(group: &str, deduplication_id: &str) {
    Error::internal(format!("SNS does not take {deduplication_id} of {group}, which is skipped")).log();
}
