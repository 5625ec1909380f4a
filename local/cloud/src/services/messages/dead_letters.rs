//! The dead-letter queues of FIFO queues.

use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_model::input::SendMessageInput;
use serde_json::Value;

use super::{fifo_queue::FifoQueue, groups::Queued};

/// A queue's redrive policy.
pub(super) struct RedrivePolicy {
    target: String,
    most_receives: u64,
}

impl RedrivePolicy {
    /// Reads the queue attribute `RedrivePolicy`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let policy: Value = serde_json::from_str(text).ok()?;
        let most = &policy["maxReceiveCount"];
        let most_receives = most.as_u64().or_else(|| most.as_str()?.parse().ok())?;
        Some(Self { target: policy["deadLetterTargetArn"].as_str()?.to_owned(), most_receives })
    }

    /// Moves the messages that have been received too often.
    pub(super) async fn apply(&self, queues: &RustackSqs, queue: &FifoQueue) {
        let exhausted = queue.groups().take_exhausted(self.most_receives);
        for queued in exhausted {
            if let Err(error) = self.send(queues, &queued).await {
                tracing::warn!(%error, "a message could not be moved to the dead-letter queue");
                queue.groups().add(queued);
            }
        }
    }

    async fn send(&self, queues: &RustackSqs, queued: &Queued) -> Result<(), rustack_sqs_model::error::SqsError> {
        let message = queued.message.clone();
        let input = SendMessageInput {
            queue_url: queues.queue_url_for_arn(&self.target)?,
            message_body: message.body.unwrap_or_default(),
            message_attributes: message.message_attributes,
            message_group_id: Some(queued.attribute("MessageGroupId").to_owned()),
            message_deduplication_id: message.message_id,
            ..SendMessageInput::default()
        };
        queues.send_message(input).await.map(drop)
    }
}
