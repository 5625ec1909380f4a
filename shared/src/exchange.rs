//! The exchange: the SNS FIFO topic on which everything that happens is told, and the dead-letter queue for what nobody
//! understands.

use std::collections::HashMap;

use aws_sdk_sns::types::PublishBatchRequestEntry;

use crate::{
    Confab, Error, Result,
    environment::Environment,
    log::Entry,
    session::Uri,
    user::{User, UserId},
};

/// SNS takes at most so many messages in one PublishBatch.
const MESSAGES_PER_BATCH: usize = 10;

/// The topic, through its client.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    client: aws_sdk_sns::Client,
    topic_arn: String,
}

impl Exchange {
    pub(crate) fn new(environment: &Environment) -> Option<Self> {
        let topic_arn = environment.get("TOPIC_ARN")?.to_owned();
        Some(Self { client: aws_sdk_sns::Client::new(&environment.client("SNS")), topic_arn })
    }

    /// Publishes log entries of one chat, in order. The message group is the uri; the deduplication id, uri and entry id,
    /// makes publishing an entry twice within five minutes the same as once.
    async fn publish(&self, uri: &Uri, notices: Vec<(u64, String)>) -> Result<()> {
        let group = uri.to_string();
        if let [(id, body)] = notices.as_slice() {
            self.client
                .publish()
                .topic_arn(&self.topic_arn)
                .message_group_id(&group)
                .message_deduplication_id(format!("{uri}-{id}"))
                .message(body)
                .send()
                .await?;
            return Ok(());
        }
        for batch in notices.chunks(MESSAGES_PER_BATCH) {
            let entries = batch.iter().map(|(id, body)| {
                PublishBatchRequestEntry::builder()
                    .id(id.to_string())
                    .message_group_id(&group)
                    .message_deduplication_id(format!("{uri}-{id}"))
                    .message(body)
                    .build()
                    .map_err(Error::from)
            });
            let entries = entries.collect::<Result<Vec<_>>>()?;
            let request = self.client.publish_batch().topic_arn(&self.topic_arn);
            let answer = request.set_publish_batch_request_entries(Some(entries)).send().await?;
            if let Some(failed) = answer.failed().first() {
                return Err(Error::internal(format!("SNS did not take {}: {}", failed.id, failed.code)));
            }
        }
        Ok(())
    }
}

impl Confab {
    /// Publishes entries that are in the log. What fails here is not lost: it is stored, and the room's next notification
    /// makes the fan-out deliver it from the log. So the caller, whose request is done, is not troubled with it.
    pub(crate) async fn publish_entries(&self, uri: &Uri, entries: &[Entry], users: &HashMap<UserId, User>) {
        let published = async {
            let mut notices = Vec::new();
            for entry in entries {
                let user = users.get(&entry.user_id).ok_or_else(|| Error::internal("an entry without its user"))?;
                let notice = serde_json::to_string(&entry.notice(uri, user)).map_err(Error::internal)?;
                notices.push((entry.id, notice));
            }
            if notices.is_empty() { Ok(()) } else { self.exchange()?.publish(uri, notices).await }
        };
        if let Err(error) = published.await {
            error.log();
        }
    }
}

/// The queue for messages that the fan-out cannot understand.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters {
    client: aws_sdk_sqs::Client,
    queue_url: String,
}

impl DeadLetters {
    pub(crate) fn new(environment: &Environment) -> Option<Self> {
        let queue_url = environment.get("DEAD_LETTER_QUEUE_URL")?.to_owned();
        Some(Self { client: aws_sdk_sqs::Client::new(&environment.client("SQS")), queue_url })
    }

    /// Puts a message away, once however often that is repeated.
    pub(crate) async fn bury(&self, message_id: &str, group: &str, body: &str) -> Result<()> {
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_group_id(group)
            .message_deduplication_id(message_id)
            .message_body(body)
            .send()
            .await?;
        Ok(())
    }
}
