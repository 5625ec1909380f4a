//! Events of SQS queues.

use std::time::Instant;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use confab_shared::{
    Confab,
    ids::{MessageId, ReceiptHandle},
    realtime::batch::{Batch, Record},
};
use lambda_runtime::{BoxFuture, Error};

use super::answer::BatchAnswer;

/// Handles a batch, and returns the messages that must be retried.
pub(super) type Handler = for<'a> fn(&'a Confab, Batch) -> BoxFuture<'a, Vec<MessageId>>;

/// Responds to a batch.
pub(super) async fn respond(
    handle: Handler,
    confab: &Confab,
    event: &str,
    deadline: Instant,
) -> Result<BatchAnswer, Error> {
    let event: SqsEvent = serde_json::from_str(event)?;
    let batch = Batch { records: event.records.into_iter().map(record).collect(), deadline };
    Ok(BatchAnswer::of(handle(confab, batch).await))
}

fn record(message: SqsMessage) -> Record {
    let attribute = |name| message.attributes.get(name).cloned();
    Record {
        group: attribute("MessageGroupId").unwrap_or_default(),
        receive_count: attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1),
        message_id: message.message_id.unwrap_or_default().into(),
        receipt: message.receipt_handle.map(ReceiptHandle::from),
        body: message.body.unwrap_or_default(),
    }
}
