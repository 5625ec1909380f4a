//! Batches of messages from a queue: all message groups concurrently, each in order and until a deadline.
//!
//! **Invariant.** No message group waits for another of its batch. Lambda deletes what was processed when the function
//! returns; if a group takes longer than the others, their messages are deleted before that.

use std::{
    collections::{HashMap, HashSet},
    mem,
    ops::ControlFlow,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{
    FutureExt, StreamExt,
    future::{Fuse, FusedFuture},
    stream::FuturesUnordered,
};

use crate::{
    Confab, Error, Result,
    aws::queue::Queue,
    ids::{ConnectionId, MessageId, ReceiptHandle},
    json,
};

/// The delay before the first retry of a transient failure.
const RETRY: Duration = Duration::from_millis(100);
const RETRIES: usize = 3;
/// What is left of a message group after this time counts as failed.
const GROUP_TIMEOUT: Duration = Duration::from_secs(8);
/// If no message group ends within this time, those that have ended no longer wait for the others.
const PATIENCE: Duration = Duration::from_millis(250);
/// The time before the batch's deadline to tell the queue what failed.
const TO_RELEASE: Duration = Duration::from_secs(1);
/// The longest time, in seconds, after which the queue returns a failed message.
const MAX_DELAY: u32 = 5;

/// A message from a queue.
#[derive(Clone, Debug)]
pub struct Record {
    /// SQS's id of the message.
    pub message_id: MessageId,
    /// SQS's handle of this receive; without it the message can neither be deleted nor returned.
    pub receipt: Option<ReceiptHandle>,
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
pub(crate) trait Consumer {
    /// The queue.
    fn queue(confab: &Confab) -> Result<&Queue>;

    /// Processes the records at the front of a group that belong together, and returns how many of them are done. With
    /// `Break`, the rest of the group is left to the queue.
    fn consume(
        confab: &Confab,
        records: &[Record],
        slow: &SlowConsumers,
    ) -> impl Future<Output = Result<ControlFlow<usize, usize>>> + Send;
}

/// The sockets that could not be written to in a batch. What else the batch has for them goes through the queue, so
/// that each of them delays the batch once, and not once for each of its chats.
#[derive(Debug, Default)]
pub(crate) struct SlowConsumers(Mutex<HashSet<ConnectionId>>);

impl SlowConsumers {
    pub(super) fn add(&self, connection_id: &ConnectionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection_id.clone());
    }

    pub(super) fn has(&self, connection_id: &ConnectionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(connection_id)
    }
}

/// The records of message groups that have ended.
#[derive(Debug, Default)]
struct Ended<'a> {
    done: Vec<&'a Record>,
    /// What failed, with the number of seconds after which the queue returns it.
    failed: Vec<(&'a Record, u32)>,
}

impl<'a> Ended<'a> {
    fn add(&mut self, done: &'a [Record], failed: &'a [Record]) {
        self.done.extend(done);
        // One delay for the group, since the queue returns none of its messages before all of them are visible.
        let delay = failed.first().map_or(1, |first| first.receive_count.clamp(1, MAX_DELAY));
        self.failed.extend(failed.iter().map(|record| (record, delay)));
    }

    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty()
    }
}

impl Confab {
    /// Processes a batch and returns the ids of the records to retry: in each group the first that failed and all
    /// behind it.
    pub(crate) async fn process<C: Consumer>(&self, Batch { records, deadline }: Batch) -> Vec<MessageId> {
        let slow = SlowConsumers::default();
        let groups = in_groups(records);
        let group_deadline = (Instant::now() + GROUP_TIMEOUT).min(deadline - TO_RELEASE);
        let process = |group| self.process_group::<C>(group, group_deadline, &slow);
        let mut running: FuturesUnordered<_> = groups.iter().map(|group| process(group)).collect();
        let mut releasing = pin!(Fuse::terminated());
        let (mut ended, mut failed) = (Ended::default(), Vec::new());
        loop {
            tokio::select! {
                group = running.next() => {
                    let Some((done, rest)) = group else { break };
                    failed.extend(rest.iter().map(|record| record.message_id.clone()));
                    ended.add(done, rest);
                }
                () = &mut releasing => {}
                () = tokio::time::sleep(PATIENCE), if releasing.is_terminated() && !ended.is_empty() => {
                    releasing.set(self.release::<C>(mem::take(&mut ended), deadline).fuse());
                }
            }
        }
        if !releasing.is_terminated() {
            releasing.await;
        }
        // Lambda deletes these.
        ended.done.clear();
        self.release::<C>(ended, deadline).await;
        failed
    }

    /// Processes a group, and returns what was done of it and the rest.
    async fn process_group<'a, C: Consumer>(
        &self,
        group: &'a [Record],
        deadline: Instant,
        slow: &SlowConsumers,
    ) -> (&'a [Record], &'a [Record]) {
        let mut records = group;
        let mut pauses = ExponentialBuilder::new().with_max_times(RETRIES).with_min_delay(RETRY).with_jitter().build();
        while !records.is_empty() {
            let consumed = tokio::time::timeout_at(deadline.into(), C::consume(self, records, slow)).await;
            match consumed.unwrap_or_else(|_| Err(Error::Busy(Some("the time is up".into())))) {
                Ok(ControlFlow::Continue(consumed)) => records = &records[consumed..],
                Ok(ControlFlow::Break(consumed)) => {
                    records = &records[consumed..];
                    break;
                }
                Err(error) => match pauses.next() {
                    // The queue would return it only after a second.
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
        group.split_at(group.len() - records.len())
    }

    /// Tells the queue about groups that have ended: deletes what was done, and makes what failed visible soon. Best
    /// effort, since without it the messages return after the queue's visibility time-out.
    async fn release<C: Consumer>(&self, ended: Ended<'_>, deadline: Instant) {
        let done: Vec<&ReceiptHandle> = ended.done.iter().filter_map(|record| record.receipt.as_ref()).collect();
        let failed = ended.failed.iter().filter_map(|(record, delay)| Some((record.receipt.as_ref()?, *delay as i32)));
        let failed: Vec<_> = failed.collect();
        let released = async {
            let queue = C::queue(self)?;
            tokio::try_join!(queue.delete(&done), queue.return_after(&failed)).map(drop)
        };
        match tokio::time::timeout_at(deadline.into(), released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error.log(),
            Err(_) => tracing::warn!("failed messages were not returned to the queue in time"),
        }
    }

    /// Moves a record that cannot be read to the dead-letter queue, once however often that is repeated.
    pub(crate) async fn dead_letter(&self, record: &Record) -> Result<()> {
        let Record { message_id, group, body, .. } = record;
        tracing::warn!(%message_id, "a message that cannot be read goes to the dead-letter queue");
        // It came by a queue; but if it has a character that SQS does not accept, it must not block all others.
        let body = json::escape(body.clone());
        self.dead_letters()?.send(group, message_id.as_str(), body).await
    }
}

/// The message groups of a batch, each in the queue's order.
fn in_groups(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut groups: Vec<Vec<Record>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for record in records {
        let place = *places.entry(record.group.clone()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(record);
    }
    groups
}
