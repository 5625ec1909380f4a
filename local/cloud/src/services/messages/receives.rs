//! The operations on messages of FIFO queues that wait or are in flight.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_model::{
    error::SqsError,
    input::{GetQueueAttributesInput, ReceiveMessageInput},
    operations::SqsOperation,
    types::Message,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{dead_letters::RedrivePolicy, fifo_queue::FifoQueue};

/// The FIFO queues that have been received from, by name.
pub(super) struct Receives {
    queues: Arc<RustackSqs>,
    open: Mutex<HashMap<String, OpenQueue>>,
}

struct OpenQueue {
    queue: Arc<FifoQueue>,
    mover: Option<AbortOnDropHandle<()>>,
}

type Answer = Result<Value, SqsError>;

impl Receives {
    pub(super) fn new(queues: &Arc<RustackSqs>) -> Self {
        Self { queues: queues.clone(), open: Mutex::default() }
    }

    /// The answer to a request; `None` if it is the embedded service's.
    pub(super) async fn answer(&self, operation: SqsOperation, body: &[u8]) -> Option<Answer> {
        let request: Value = serde_json::from_slice(body).ok()?;
        let url = request["QueueUrl"].as_str().filter(|url| url.ends_with(".fifo"))?;
        let queue = self.queue(url, operation == SqsOperation::ReceiveMessage)?;
        match operation {
            SqsOperation::ReceiveMessage => Some(self.receive(&queue, serde_json::from_value(request).ok()?).await),
            SqsOperation::DeleteMessage => delete(&queue, &request).then(|| Ok(json!({}))),
            SqsOperation::ChangeMessageVisibility => change_visibility(&queue, &request).then(|| Ok(json!({}))),
            SqsOperation::DeleteMessageBatch => batch(&queue, &request, delete),
            SqsOperation::ChangeMessageVisibilityBatch => batch(&queue, &request, change_visibility),
            SqsOperation::GetQueueAttributes => self.attributes(&queue, request).await,
            SqsOperation::PurgeQueue => {
                queue.groups().clear();
                None
            }
            _ => None,
        }
    }

    /// The queue, if it has been received from or is now.
    fn queue(&self, url: &str, opens: bool) -> Option<Arc<FifoQueue>> {
        let mut open = self.open();
        if opens && !open.contains_key(name(url)) {
            let queue = Arc::new(FifoQueue::new(&self.queues, url));
            open.insert(name(url).to_owned(), OpenQueue { queue, mover: None });
        }
        open.get(name(url)).map(|open| open.queue.clone())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, OpenQueue>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that messages are moved while receives wait for them.
    fn keep_moving(&self, url: &str) {
        let mut open = self.open();
        let Some(OpenQueue { queue, mover }) = open.get_mut(name(url)) else { return };
        if queue.begin_moving() {
            *mover = Some(AbortOnDropHandle::new(tokio::spawn(queue.clone().wait_and_move())));
        }
    }

    async fn receive(&self, queue: &FifoQueue, input: ReceiveMessageInput) -> Answer {
        let names = ["VisibilityTimeout", "ReceiveMessageWaitTimeSeconds", "RedrivePolicy"].map(str::to_owned);
        let input_of_attributes =
            GetQueueAttributesInput { queue_url: queue.url.clone(), attribute_names: names.into() };
        let attributes = match self.queues.get_queue_attributes(input_of_attributes).await {
            Ok(output) => output.attributes,
            Err(error) => {
                // It has been deleted, and so have its messages.
                self.open().remove(name(&queue.url));
                return Err(error);
            }
        };
        let seconds = |given: Option<i32>, name: &str| {
            let default = || attributes.get(name).and_then(|value| value.parse().ok());
            Duration::from_secs(given.or_else(default).and_then(|value| value.try_into().ok()).unwrap_or_default())
        };
        let visibility = seconds(input.visibility_timeout, "VisibilityTimeout");
        let deadline = Instant::now() + seconds(input.wait_time_seconds, "ReceiveMessageWaitTimeSeconds");
        let most = usize::try_from(input.max_number_of_messages.unwrap_or(1)).unwrap_or(1).clamp(1, 10);
        let redrive = attributes.get("RedrivePolicy").and_then(|text| RedrivePolicy::read(text));
        queue.move_all().await?;
        loop {
            let changed = queue.changed.notified();
            if let Some(redrive) = &redrive {
                redrive.apply(&self.queues, queue).await;
            }
            let (messages, next_visible) = {
                let mut groups = queue.groups();
                (groups.receive(most, Instant::now() + visibility), groups.next_visible())
            };
            if !messages.is_empty() || Instant::now() >= deadline {
                let messages: Vec<Message> = messages.into_iter().map(|message| visible(message, &input)).collect();
                return Ok(json!({ "Messages": messages }));
            }
            self.keep_moving(&queue.url);
            tokio::select! {
                () = changed => {}
                () = sleep_until(next_visible.map_or(deadline, |next| next.min(deadline))) => {}
            }
        }
    }

    /// The attributes of a queue, with the counts of the messages taken out of it.
    async fn attributes(&self, queue: &FifoQueue, request: Value) -> Option<Answer> {
        let mut attributes = match self.queues.get_queue_attributes(serde_json::from_value(request).ok()?).await {
            Ok(output) => output.attributes,
            Err(error) => return Some(Err(error)),
        };
        let (waiting, in_flight) = queue.groups().count();
        let counts = [("ApproximateNumberOfMessages", waiting), ("ApproximateNumberOfMessagesNotVisible", in_flight)];
        for (name, count) in counts {
            if let Some(value) = attributes.get_mut(name) {
                *value = (value.parse::<usize>().unwrap_or_default() + count).to_string();
            }
        }
        Some(Ok(json!({ "Attributes": attributes })))
    }
}

fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// A message with the attributes that were asked for.
fn visible(mut message: Message, input: &ReceiveMessageInput) -> Message {
    let names = || input.attribute_names.iter().chain(&input.message_system_attribute_names);
    message.attributes.retain(|attribute, _| names().any(|name| name == "All" || name == attribute));
    let names = &input.message_attribute_names;
    message
        .message_attributes
        .retain(|attribute, _| names.iter().any(|name| name == "All" || name == ".*" || name == attribute));
    message
}

/// Deletes a message in flight; `false` if there is no such.
fn delete(queue: &FifoQueue, entry: &Value) -> bool {
    let is_deleted = entry["ReceiptHandle"].as_str().is_some_and(|receipt| queue.groups().delete(receipt));
    if is_deleted {
        queue.changed.notify_waiters();
    }
    is_deleted
}

/// Changes the visibility of a message in flight; `false` if there is no such.
fn change_visibility(queue: &FifoQueue, entry: &Value) -> bool {
    let receipt = entry["ReceiptHandle"].as_str().unwrap_or_default();
    let visible_at = Instant::now() + Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap_or_default());
    let is_changed = queue.groups().change_visibility(receipt, visible_at);
    if is_changed {
        queue.changed.notify_waiters();
    }
    is_changed
}

/// Does this to each entry of a batch. `None` if none of them is in flight here.
fn batch(queue: &FifoQueue, request: &Value, change: fn(&FifoQueue, &Value) -> bool) -> Option<Answer> {
    let entries = request["Entries"].as_array().filter(|entries| (1..=10).contains(&entries.len()))?;
    let (done, other): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(|entry| change(queue, entry));
    if done.is_empty() {
        return None;
    }
    let done: Vec<Value> = done.into_iter().map(|entry| json!({ "Id": entry["Id"] })).collect();
    let failed = other.into_iter().map(|entry| {
        let message = "The receipt handle has expired.";
        json!({ "Id": entry["Id"], "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": message })
    });
    Some(Ok(json!({ "Successful": done, "Failed": failed.collect::<Vec<_>>() })))
}
