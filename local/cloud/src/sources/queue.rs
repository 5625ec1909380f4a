//! The SQS event source: polls a queue and invokes a function with batches of its messages.
//!
//! As on Lambda, handled messages are deleted, and messages that the function reports as failed return after the
//! queue's visibility time-out. If the invocation fails or is throttled, the whole batch returns
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).

use std::{collections::HashSet, sync::Arc, time::Duration};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    description::{QueueSource, REGION},
    lambda::Lambda,
    shutdown::{self, Stage},
};

/// How long one poll waits for messages; the longest that SQS allows is 20 seconds.
const WAIT_SECONDS: i32 = 10;

/// Polls a queue until the stage stops.
pub(crate) fn serve(
    source: QueueSource,
    queue_url: String,
    client: &aws_sdk_sqs::Client,
    lambda: &Arc<Lambda>,
    stage: &mut Stage,
) {
    let poller = Arc::new(Poller { source, queue_url, client: client.clone(), lambda: lambda.clone() });
    stage.tasks.spawn(poller.run(stage.stopped.clone()));
}

struct Poller {
    source: QueueSource,
    queue_url: String,
    client: aws_sdk_sqs::Client,
    lambda: Arc<Lambda>,
}

impl Poller {
    async fn run(self: Arc<Self>, stopped: watch::Receiver<bool>) {
        let mut stop = std::pin::pin!(shutdown::wait(stopped));
        let mut batches = JoinSet::new();
        loop {
            while batches.try_join_next().is_some() {}
            if batches.len() >= self.source.concurrency {
                batches.join_next().await;
            }
            let receive = self
                .client
                .receive_message()
                .queue_url(&self.queue_url)
                .max_number_of_messages(self.source.batch_size.min(10))
                .wait_time_seconds(WAIT_SECONDS)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All")
                .send();
            // Stopping interrupts only the wait for messages; batches are completed.
            let received = tokio::select! {
                () = &mut stop => break,
                received = receive => received,
            };
            match received {
                Ok(answer) => {
                    let messages = answer.messages.unwrap_or_default();
                    if !messages.is_empty() {
                        let poller = self.clone();
                        batches.spawn(async move { poller.handle(messages).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %aws_sdk_sqs::error::DisplayErrorContext(&error), "a queue could not be polled");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        while batches.join_next().await.is_some() {}
    }

    async fn handle(&self, messages: Vec<Message>) {
        let name = self.lambda.name(&self.source.function);
        // Lambda deletes the messages of a batch with one request.
        for operation in ["sqs:ReceiveMessage", "sqs:DeleteMessageBatch"] {
            self.lambda.meter.add("", operation, 1.0);
        }
        let records: Vec<Value> = messages.iter().map(|message| self.record(message)).collect();
        let answer = self.lambda.invoke(&self.source.function, &json!({ "Records": records })).await;
        let failed = match answer {
            Ok(answer) if self.source.reports_failures => failures(&answer, &messages),
            Ok(_) => HashSet::new(),
            Err(error) => {
                tracing::error!(function = name, %error, "a batch failed");
                return;
            }
        };
        tracing::debug!(function = name, messages = messages.len(), failed = failed.len(), "queue → {name}");
        for message in &messages {
            let (Some(id), Some(receipt)) = (&message.message_id, &message.receipt_handle) else { continue };
            if failed.contains(id) {
                continue;
            }
            let deleted = self.client.delete_message().queue_url(&self.queue_url).receipt_handle(receipt).send().await;
            if let Err(error) = deleted {
                tracing::warn!(error = %aws_sdk_sqs::error::DisplayErrorContext(&error), "a message could not be deleted");
            }
        }
    }

    /// A message as functions receive it
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-fifo-queue-message-event>).
    fn record(&self, message: &Message) -> Value {
        let attributes = message.attributes.iter().flatten();
        let attributes: serde_json::Map<String, Value> =
            attributes.map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect();
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": {},
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": self.source.queue_arn,
            "awsRegion": REGION,
        })
    }
}

/// The messages that a function reports as failed. As on Lambda, an id that is not in the batch fails the whole batch.
fn failures(answer: &Value, messages: &[Message]) -> HashSet<String> {
    let named = answer["batchItemFailures"].as_array().into_iter().flatten();
    let named: Vec<&str> = named.map(|failure| failure["itemIdentifier"].as_str().unwrap_or_default()).collect();
    let ids: HashSet<String> = messages.iter().filter_map(|message| message.message_id.clone()).collect();
    match named.iter().all(|id| ids.contains(*id)) {
        true => named.into_iter().map(str::to_owned).collect(),
        false => ids,
    }
}
