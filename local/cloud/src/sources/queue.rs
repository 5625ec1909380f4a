//! The SQS event source: polls a queue and invokes a function with batches of its messages.
//!
//! As on Lambda, handled messages are deleted, and messages that the function reports as failed return after the
//! queue's visibility time-out. If the invocation fails or is throttled, the whole batch returns
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).

use std::{collections::HashSet, sync::Arc, time::Duration};

use rustack_sqs_model::operations::SqsOperation;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    description::{QueueSource, REGION},
    lambda::Lambda,
    services::Queues,
    shutdown::{self, Stage},
};

/// How long one poll waits for messages; the longest that SQS allows is 20 seconds.
const WAIT_SECONDS: u32 = 10;

/// Polls a queue until the stage stops.
pub(crate) fn serve(
    source: QueueSource,
    queue_url: String,
    queues: &Arc<Queues>,
    lambda: &Arc<Lambda>,
    stage: &mut Stage,
) {
    let poller = Arc::new(Poller { source, queue_url, queues: queues.clone(), lambda: lambda.clone() });
    stage.tasks.spawn(poller.run(stage.stopped.clone()));
}

struct Poller {
    source: QueueSource,
    queue_url: String,
    queues: Arc<Queues>,
    lambda: Arc<Lambda>,
}

impl Poller {
    async fn run(self: Arc<Self>, stopped: watch::Receiver<bool>) {
        let mut stop = std::pin::pin!(shutdown::wait(stopped));
        let mut batches = JoinSet::new();
        let receive = json!({
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": self.source.batch_size.min(10),
            "WaitTimeSeconds": WAIT_SECONDS,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        loop {
            while batches.try_join_next().is_some() {}
            if batches.len() >= self.source.concurrency {
                batches.join_next().await;
            }
            let receive = self.queues.call(SqsOperation::ReceiveMessage, &receive);
            // Stopping interrupts only the wait for messages; batches are completed.
            let received = tokio::select! {
                () = &mut stop => break,
                received = receive => received,
            };
            match received {
                Ok(mut answer) => {
                    if let Value::Array(messages) = answer["Messages"].take()
                        && !messages.is_empty()
                    {
                        let poller = self.clone();
                        batches.spawn(async move { poller.handle(messages).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(error, "a queue could not be polled");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        while batches.join_next().await.is_some() {}
    }

    async fn handle(&self, messages: Vec<Value>) {
        let name = self.lambda.name(&self.source.function);
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
        let handled = messages.iter().filter(|message| !failed.contains(id(message)));
        let entries = handled
            .enumerate()
            .map(|(n, message)| json!({ "Id": n.to_string(), "ReceiptHandle": message["ReceiptHandle"] }));
        self.delete(entries.collect()).await;
    }

    /// Deletes messages with one request, as Lambda does.
    async fn delete(&self, entries: Vec<Value>) {
        if entries.is_empty() {
            return;
        }
        let delete = json!({ "QueueUrl": self.queue_url, "Entries": entries });
        let problem = match self.queues.call(SqsOperation::DeleteMessageBatch, &delete).await {
            Ok(answer) => answer["Failed"].as_array().filter(|failed| !failed.is_empty()).map(|_| answer.to_string()),
            Err(error) => Some(error),
        };
        if let Some(problem) = problem {
            tracing::warn!(problem, "messages could not be deleted");
        }
    }

    /// A message as functions receive it
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-fifo-queue-message-event>).
    fn record(&self, message: &Value) -> Value {
        json!({
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.source.queue_arn,
            "awsRegion": REGION,
        })
    }
}

/// The messages that a function reports as failed. As on Lambda, an id that is not in the batch fails the whole batch.
fn failures(answer: &Value, messages: &[Value]) -> HashSet<String> {
    let named = answer["batchItemFailures"].as_array().into_iter().flatten();
    let named: Vec<&str> = named.map(|failure| failure["itemIdentifier"].as_str().unwrap_or_default()).collect();
    let ids: HashSet<String> = messages.iter().map(|message| id(message).to_owned()).collect();
    match named.iter().all(|id| ids.contains(*id)) {
        true => named.into_iter().map(str::to_owned).collect(),
        false => ids,
    }
}

fn id(message: &Value) -> &str {
    message["MessageId"].as_str().unwrap_or_default()
}
