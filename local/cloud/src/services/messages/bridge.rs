//! Delivery from SNS topics to SQS queues.

use std::sync::Arc;

use async_trait::async_trait;
use rustack_sns_core::publisher::{DeliveryError, SqsPublisher};
use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_model::input::SendMessageInput;

/// Delivers messages from topics to the queues that subscribe to them.
pub(crate) struct Bridge(pub(crate) Arc<RustackSqs>);

#[async_trait]
impl SqsPublisher for Bridge {
    fn validate(&self, queue_arn: &str) -> Result<(), DeliveryError> {
        let found = self.0.queue_url_for_arn(queue_arn);
        found.map(drop).map_err(|error| DeliveryError::Unsupported(error.to_string()))
    }

    async fn send_message(
        &self,
        queue_arn: &str,
        message_body: &str,
        message_group_id: Option<&str>,
        message_deduplication_id: Option<&str>,
    ) -> Result<(), DeliveryError> {
        let failed = |reason: String| DeliveryError::SqsDeliveryFailed { queue_arn: queue_arn.to_owned(), reason };
        let input = SendMessageInput {
            queue_url: self.0.queue_url_for_arn(queue_arn).map_err(|error| failed(error.to_string()))?,
            message_body: message_body.to_owned(),
            message_group_id: message_group_id.map(str::to_owned),
            message_deduplication_id: message_deduplication_id.map(str::to_owned),
            ..SendMessageInput::default()
        };
        self.0.send_message(input).await.map(drop).map_err(|error| failed(error.to_string()))
    }
}
