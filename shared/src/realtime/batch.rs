//! Batches of messages from a queue: each message group by itself, in order, until a deadline.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future;

use crate::{Confab, Error, Result, realtime::delivery::SlowConsumers};

/// What failed for a passing reason is tried again after about so long.
const RETRY: Duration = Duration::from_millis(100);

/// A message from a queue.
#[derive(Clone, Debug)]
pub struct Record {
    /// SQS's id of the message.
    pub message_id: String,
    /// Its message group, within which order counts.
    pub group: String,
    /// Its body.
    pub body: String,
    /// How often it has been handed out, this time included.
    pub tries: u32,
}

/// Some messages, and the time until when to handle them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The messages, in the queue's order.
    pub records: Vec<Record>,
    /// What is not done by then counts as failed.
    pub deadline: Instant,
}

/// What is done with the messages of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// From the exchange to a chat.
    FanOut,
    /// To a shard of a chat, or a single socket.
    Deliver,
}

impl Confab {
    /// Handles a batch and names the records, by message id, that must be tried again: in each group the first that failed and all
    /// behind it.
    pub(crate) async fn work(&self, step: Step, Batch { records, deadline }: Batch) -> Vec<String> {
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
        future::join_all(groups.iter().map(|group| self.work_through(step, group, deadline, &slow))).await.concat()
    }

    async fn work_through(
        &self,
        step: Step,
        mut records: &[Record],
        deadline: Instant,
        slow: &SlowConsumers,
    ) -> Vec<String> {
        let mut pauses = ExponentialBuilder::new().with_max_times(3).with_min_delay(RETRY).with_jitter().build();
        while !records.is_empty() {
            let front = async {
                match step {
                    Step::FanOut => self.fan_out_front(records, slow).await,
                    Step::Deliver => self.deliver_front(records, slow).await,
                }
            };
            let done = tokio::time::timeout_at(deadline.into(), front).await;
            match done.unwrap_or_else(|_| Err(Error::Busy(Some("the time is up".into())))) {
                Ok(done) => records = &records[done..],
                Err(error) => match pauses.next() {
                    // The queue would bring it back only after its visibility time-out, and hold up the group until then.
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

    /// Puts a record that cannot be understood with the dead letters.
    pub(crate) async fn dead_letter(&self, record: &Record) -> Result<()> {
        tracing::warn!(message_id = record.message_id, "a message that cannot be understood goes to the dead letters");
        self.dead_letters()?.dead_letter(&record.message_id, &record.group, &record.body).await
    }
}
