//! Batches of messages from a queue: each message group by itself, in order, until a deadline.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future;

use crate::{
    Confab, Error, Result,
    ids::{ConnectionId, MessageId},
    json,
};

/// The delay before the first retry of a transient failure.
const RETRY: Duration = Duration::from_millis(100);
const RETRIES: usize = 3;

/// A message from a queue.
#[derive(Clone, Debug)]
pub struct Record {
    /// SQS's id of the message.
    pub message_id: MessageId,
    /// The message group, within which order counts.
    pub group: String,
    /// The body.
    pub body: String,
    /// How often it has been received, this time included.
    pub receive_count: u32,
}

/// Some messages, and the time until which to process them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The messages, in the queue's order.
    pub records: Vec<Record>,
    /// What is not done by then counts as failed.
    pub deadline: Instant,
}

/// The processing of a queue's messages.
pub(super) trait Consumer {
    /// Processes the records at the front of a group that belong together, and returns their number.
    fn consume(confab: &Confab, records: &[Record], slow: &SlowConsumers)
    -> impl Future<Output = Result<usize>> + Send;
}

/// The sockets that could not be written to in a batch. What else the batch has for them goes through the queue, so
/// that each of them delays the batch once, and not once for each of its chats.
#[derive(Debug, Default)]
pub(super) struct SlowConsumers(Mutex<HashSet<ConnectionId>>);

impl SlowConsumers {
    pub(super) fn add(&self, connection_id: &ConnectionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection_id.clone());
    }

    pub(super) fn has(&self, connection_id: &ConnectionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(connection_id)
    }
}

impl Confab {
    /// Processes a batch and returns the ids of the records to retry: in each group the first that failed and all
    /// behind it.
    pub(super) async fn process<C: Consumer>(&self, Batch { records, deadline }: Batch) -> Vec<MessageId> {
        let slow = SlowConsumers::default();
        let mut groups: Vec<Vec<Record>> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for record in records {
            let place = *places.entry(record.group.clone()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(record);
        }
        future::join_all(groups.iter().map(|group| self.process_group::<C>(group, deadline, &slow))).await.concat()
    }

    async fn process_group<C: Consumer>(
        &self,
        mut records: &[Record],
        deadline: Instant,
        slow: &SlowConsumers,
    ) -> Vec<MessageId> {
        let mut pauses = ExponentialBuilder::new().with_max_times(RETRIES).with_min_delay(RETRY).with_jitter().build();
        while !records.is_empty() {
            let consumed = tokio::time::timeout_at(deadline.into(), C::consume(self, records, slow)).await;
            match consumed.unwrap_or_else(|_| Err(Error::Busy(Some("the time is up".into())))) {
                Ok(consumed) => records = &records[consumed..],
                Err(error) => match pauses.next() {
                    // The queue would return it only after its visibility time-out, and block the group until then.
                    Some(pause) if matches!(error, Error::Busy(_)) && Instant::now() + pause < deadline => {
                        tokio::time::sleep(pause).await;
                    }
                    _ => {
                        error.log();
                        break;
                    }
                },
            }
        }
        records.iter().map(|record| record.message_id.clone()).collect()
    }

    /// Moves a record that cannot be read to the dead-letter queue, once however often that is repeated.
    pub(super) async fn dead_letter(&self, record: &Record) -> Result<()> {
        let Record { message_id, group, body, .. } = record;
        tracing::warn!(%message_id, "a message that cannot be read goes to the dead-letter queue");
        // It came by a queue; but if it has a character that SQS does not accept, it must not block all others.
        let body = json::escape(body.clone());
        self.dead_letters()?.send(group, message_id.as_str(), body).await
    }
}
