//! The exchange: the SNS FIFO topic on which everything that happens is told; the queue by which large chats are delivered to; and
//! the dead-letter queue for what nobody understands.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sns::types::PublishBatchRequestEntry;
use futures_util::future;
use serde_json::Value;

use crate::{
    Confab, Error, Result,
    auth::user::User,
    chats::event::Context,
    chats::log::Entry,
    environment::Environment,
    ids::{ChatUri, UserId},
    json,
    realtime::delivery::QueuedFrame,
    realtime::stream::StreamRecord,
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

    /// Publishes events of one chat, in order, each with its deduplication id: what has the same id within five minutes is published
    /// once. The message group is the uri.
    async fn publish(&self, uri: &ChatUri, events: Vec<(String, String)>) -> Result<()> {
        let group = uri.to_string();
        if let [(id, body)] = events.as_slice() {
            self.client
                .publish()
                .topic_arn(&self.topic_arn)
                .message_group_id(&group)
                .message_deduplication_id(id)
                .message(body)
                .send()
                .await?;
            return Ok(());
        }
        for batch in events.chunks(MESSAGES_PER_BATCH) {
            let entries = batch.iter().map(|(id, body)| {
                PublishBatchRequestEntry::builder()
                    .id(id)
                    .message_group_id(&group)
                    .message_deduplication_id(id)
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
    /// Publishes entries that are in the log. What fails here is not lost: the table's stream has it, and [`Confab::relay`]
    /// publishes it. So the caller, whose request is done, is not troubled with it.
    pub(crate) async fn publish_entries(&self, uri: &ChatUri, entries: &[Entry], known: HashMap<UserId, User>) {
        let published = async {
            let context = self.context(&[(uri, entries)], known).await?;
            self.try_to_publish(uri, entries, &context).await
        };
        if let Err(error) = published.await {
            error.log();
        }
    }

    /// Tells a chat of something that is not kept. What has the same id within five minutes is told once. It is no loss if it does not
    /// arrive, so the caller is not troubled with it.
    pub(crate) async fn tell(&self, uri: &ChatUri, id: String, event: &Value) {
        if let Err(error) = self.publish(uri, id, event).await {
            error.log();
        }
    }

    /// The same for whoever tries again if it fails.
    pub(crate) async fn publish(&self, uri: &ChatUri, id: String, event: &Value) -> Result<()> {
        self.exchange()?.publish(uri, vec![(id, json::to_line(event)?)]).await
    }

    async fn try_to_publish(&self, uri: &ChatUri, entries: &[Entry], context: &Context) -> Result<()> {
        let mut events = Vec::new();
        for entry in entries {
            events.push((format!("{uri}-{}", entry.id), context.json(uri, entry)?));
        }
        if events.is_empty() { Ok(()) } else { self.exchange()?.publish(uri, events).await }
    }

    /// Publishes the log entries among some changes of the table, whether or not whoever wrote them did: the exchange swallows
    /// what it has had in the last five minutes, and the fan-out what it has delivered. What was imported is no news. Gives the
    /// sequence number of the first change that has to be tried again.
    pub async fn relay(&self, changes: &[StreamRecord]) -> Option<String> {
        let mut chats: BTreeMap<ChatUri, (usize, Vec<Entry>)> = BTreeMap::new();
        for (place, change) in changes.iter().enumerate().filter(|(_, change)| !change.is_imported()) {
            match change.entry() {
                Some((uri, entry)) => chats.entry(uri).or_insert_with(|| (place, Vec::new())).1.push(entry),
                // Trying again would not make an entry of it, and hold up all that come behind.
                None => tracing::error!(sequence_number = change.sequence_number, "a change that is no log entry"),
            }
        }
        let all: Vec<(&ChatUri, &[Entry])> =
            chats.iter().map(|(uri, (_, entries))| (uri, entries.as_slice())).collect();
        let context = match self.context(&all, HashMap::new()).await {
            Ok(context) => context,
            Err(error) => {
                error.log();
                return changes.first().map(|change| change.sequence_number.clone());
            }
        };
        let published = chats.iter().map(|(uri, (_, entries))| self.try_to_publish(uri, entries, &context));
        let published = future::join_all(published).await.into_iter().zip(chats.values());
        let failed = published
            .filter_map(|(published, (place, _))| published.inspect_err(Error::log).err().map(|_| *place))
            .min();
        failed.map(|place| changes[place].sequence_number.clone())
    }
}

/// The queue by which large chats are delivered to.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries {
    client: aws_sdk_sqs::Client,
    queue_url: String,
}

impl Deliveries {
    pub(crate) fn new(environment: &Environment) -> Option<Self> {
        let queue_url = environment.get("DELIVERY_QUEUE_URL")?.to_owned();
        Some(Self { client: aws_sdk_sqs::Client::new(&environment.client("SQS")), queue_url })
    }

    /// Sends queued_frames, with their deduplication ids, in order. One after the other: of a batch the first could fail and the second
    /// not, and frames are so large that few fit one.
    pub(crate) async fn send(&self, group: &str, queued_frames: Vec<(String, QueuedFrame)>) -> Result<()> {
        for (id, queued_frame) in queued_frames {
            let body = json::to_line(&queued_frame)?;
            let message = self.client.send_message().queue_url(&self.queue_url).message_group_id(group);
            message.message_deduplication_id(id).message_body(body).send().await?;
        }
        Ok(())
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
    pub(crate) async fn dead_letter(&self, message_id: &str, group: &str, body: &str) -> Result<()> {
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .message_group_id(group)
            .message_deduplication_id(message_id)
            // It came by a queue; but if there is a character in it that none takes, it must not stay in the way of all others.
            .message_body(json::escape(body.to_owned()))
            .send()
            .await?;
        Ok(())
    }
}
