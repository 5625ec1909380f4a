//! Delivery to the sockets: directly, or for a large chat through the delivery queue, a shard of its subscribers at a
//! time.
//!
//! **Invariant.** A chat that has once been large stays sharded. If it were served directly again, a frame could
//! overtake those that are still in the queue.
//!
//! **Invariant.** A frame that could not be written to a socket goes through the queue, in a message group for that
//! socket. It stays at the front of the group until it is written, so no other frame of the group overtakes it.
//!
//! **Invariant.** A socket is closed only if it fails while others are written to, or the gateway answers questions
//! about it. The tries are counted in the subscriber and not by the queue, since Lambda's throttling and every
//! redelivery count as receives, and a message that is queued once more with its number of tries would go behind those
//! that wait.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    batch::{Batch, Consumer, Record, SlowConsumers},
    frame::frames_with_ends,
};
use crate::{
    Confab, Result,
    aws::{queue::Queue, sockets::Sent},
    connections::subscriber::{Shard, Subscriber},
    date::Date,
    ids::{ChatUri, ConnectionId, MessageId},
    json,
    metrics::{self, Metric},
};

/// Sockets of a chat, or of each of its shards, that are written to concurrently.
const CONCURRENT_POSTS: usize = 32;
/// What has not been written to a chat's sockets within this time goes through the queue.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Sockets, or shards, whose frames are put into the queue concurrently.
const CONCURRENT_SENDS: usize = 10;
/// A connection this young, in seconds, that is "gone" may not have opened yet: `@connections` answers 410 until
/// `$connect` has returned.
const OPENING_SECONDS: i64 = 10;
/// Retries within a delivery while a connection is opening or the gateway throttles, and the delay before the first.
const RETRIES: usize = 4;
const RETRY: Duration = Duration::from_millis(100);
/// A socket that alone could not be written to this many times in a row, not even one frame, is closed. Between tries
/// are one to five seconds.
const MAX_TRIES: u32 = 8;

/// A frame in the delivery queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct QueuedFrame {
    uri: ChatUri,
    to: Recipient,
    frame: String,
    /// When the oldest log entry of the frame was written, in milliseconds since 1970.
    written: Option<i64>,
}

/// The recipient of a queued frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Recipient {
    Shard(Shard),
    Connection(ConnectionId),
}

/// Frames for a chat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames<'a> {
    pub(super) uri: &'a ChatUri,
    pub(super) frames: &'a [String],
    /// When the oldest log entry in them was written.
    pub(super) written: Option<Date>,
    /// The queue's message that they come from. It is part of the deduplication ids, so that a repeat differs from a
    /// frame with the same content.
    pub(super) origin: &'a MessageId,
}

/// Frames that were not written to a socket.
#[derive(Clone, Copy, Debug)]
struct Unsent {
    /// The index of the first of them.
    from: usize,
    /// Whether it was sent and the socket did not take it. The gateway may throttle.
    is_failed: bool,
}

impl Frames<'_> {
    /// The frames from index `from` on, as they are queued, with their deduplication ids.
    fn queued(&self, to: &Recipient, from: usize) -> impl Iterator<Item = (String, QueuedFrame)> {
        self.frames.iter().enumerate().skip(from).map(move |(index, frame)| {
            let written = self.written.map(Date::epoch_milliseconds);
            let queued = QueuedFrame { uri: self.uri.clone(), to: to.clone(), frame: frame.clone(), written };
            let digest = Sha256::new().chain_update(self.origin.as_str()).chain_update([0]).chain_update(frame);
            (format!("{index}-{}", hex::encode(digest.finalize())), queued)
        })
    }
}

impl Recipient {
    /// The message group, within which order counts.
    fn group(&self, uri: &ChatUri) -> String {
        match self {
            Self::Shard(shard) => format!("{uri}-{shard}"),
            Self::Connection(connection_id) => connection_id.to_string(),
        }
    }
}

/// Consumes the delivery queue.
struct Delivery;

impl Consumer for Delivery {
    fn queue(confab: &Confab) -> Result<&Queue> {
        confab.deliveries()
    }

    async fn consume(confab: &Confab, records: &[Record], slow: &SlowConsumers) -> Result<ControlFlow<usize, usize>> {
        let read = |record: &Record| serde_json::from_str::<QueuedFrame>(&record.body).ok();
        let Some(first) = read(&records[0]) else {
            return confab.dead_letter(&records[0]).await.map(|()| ControlFlow::Continue(1));
        };
        let is_same = |queued: &QueuedFrame| queued.uri == first.uri && queued.to == first.to;
        let queued: Vec<QueuedFrame> = records.iter().map_while(|record| read(record).filter(is_same)).collect();
        let written: Vec<Option<i64>> = queued.iter().map(|queued| queued.written).collect();
        let lines: Vec<String> = queued.into_iter().map(|queued| queued.frame).collect();
        let (frames, ends): (Vec<String>, Vec<usize>) = frames_with_ends(&lines).into_iter().unzip();
        let frames = Frames { uri: &first.uri, frames: &frames, written: None, origin: &records[0].message_id };
        let consumed = match &first.to {
            Recipient::Shard(shard) => {
                let subscribers = confab.shard_of_subscribers(&first.uri, *shard).await?;
                confab.send_to_all(&subscribers, frames, slow).await?;
                ControlFlow::Continue(lines.len())
            }
            Recipient::Connection(connection_id) => match confab.send_to_slow_consumer(connection_id, frames).await? {
                done if done == ends.len() => ControlFlow::Continue(lines.len()),
                // What was written is not sent again.
                done => ControlFlow::Break(ends[..done].last().copied().unwrap_or(0)),
            },
        };
        let (ControlFlow::Continue(done) | ControlFlow::Break(done)) = consumed;
        for written in written.into_iter().take(done).flatten() {
            metrics::count(Metric::DeliveryLag, Date::now().epoch_milliseconds() - written);
        }
        Ok(consumed)
    }
}

impl Confab {
    /// Delivers a batch of queued frames, and returns the ids of the messages to retry.
    pub async fn deliver(&self, batch: Batch) -> Vec<MessageId> {
        self.process::<Delivery>(batch).await
    }

    /// Queues frames for every shard of a chat.
    pub(super) async fn send_to_shards(&self, frames: Frames<'_>) -> Result<()> {
        let queued = stream::iter(Shard::all()).map(|shard| self.queue(Recipient::Shard(shard), frames, 0));
        queued.buffer_unordered(CONCURRENT_SENDS).fold(Ok(()), async |all: Result<()>, one| all.and(one)).await
    }

    /// Queues the frames from index `from` on, in order: not in one batch, of which the first could fail and the second
    /// not.
    async fn queue(&self, to: Recipient, frames: Frames<'_>, from: usize) -> Result<()> {
        let group = to.group(frames.uri);
        for (deduplication_id, queued) in frames.queued(&to, from) {
            self.deliveries()?.send(&group, &deduplication_id, json::to_line(&queued)?).await?;
        }
        Ok(())
    }

    /// Sends frames to some subscribers, each socket by itself. What a socket does not take, and what is not written in
    /// time, goes through the queue, so that no socket delays the others for long.
    pub(super) async fn send_to_all(
        &self,
        subscribers: &[Subscriber],
        frames: Frames<'_>,
        slow: &SlowConsumers,
    ) -> Result<()> {
        for frame in frames.frames {
            metrics::count(Metric::EntriesPerFrame, frame.lines().count() as i64);
        }
        let deadline = Instant::now() + DIRECT_TIMEOUT;
        // Collected first, since the compiler cannot see through a stream that borrows as it goes.
        let sent: Vec<_> =
            subscribers.iter().map(|subscriber| self.send_unless_slow(subscriber, frames, deadline, slow)).collect();
        let sent: Vec<_> = stream::iter(sent).buffer_unordered(CONCURRENT_POSTS).collect().await;
        let queue = |(connection_id, sent): (ConnectionId, Result<Option<usize>>)| async move {
            match sent? {
                Some(from) => self.queue(Recipient::Connection(connection_id), frames, from).await,
                None => Ok(()),
            }
        };
        let queued: Vec<_> = sent.into_iter().map(queue).collect();
        let queued = stream::iter(queued).buffer_unordered(CONCURRENT_SENDS);
        queued.fold(Ok(()), async |all: Result<()>, one| all.and(one)).await
    }

    /// Sends frames to a socket, unless it is slow, and returns the index of the first that was not written.
    async fn send_unless_slow(
        &self,
        subscriber: &Subscriber,
        frames: Frames<'_>,
        deadline: Instant,
        slow: &SlowConsumers,
    ) -> (ConnectionId, Result<Option<usize>>) {
        let connection_id = subscriber.connection_id.clone();
        if slow.has(&connection_id) || Instant::now() > deadline {
            return (connection_id, Ok(Some(0)));
        }
        let unsent = self.send_to(subscriber, frames, deadline).await;
        if matches!(unsent, Ok(Some(_))) {
            slow.add(&connection_id);
        }
        (connection_id, unsent.map(|unsent| unsent.map(|unsent| unsent.from)))
    }

    /// Sends frames to a socket until the deadline, and returns what was not written.
    ///
    /// # Errors
    /// When the table fails over a socket that is gone.
    async fn send_to(&self, subscriber: &Subscriber, frames: Frames<'_>, deadline: Instant) -> Result<Option<Unsent>> {
        let rest = |from, is_failed| Ok(Some(Unsent { from, is_failed }));
        for (index, frame) in frames.frames.iter().enumerate() {
            if Instant::now() > deadline {
                return rest(index, false);
            }
            match self.post_frame(subscriber, frame, deadline).await {
                Ok(Sent::Yes) => metrics::count(Metric::FramesSent, 1),
                Ok(Sent::Gone) if subscriber.age_seconds() > OPENING_SECONDS => {
                    metrics::count(Metric::StaleConnections, 1);
                    self.drop_subscriber(frames.uri, &subscriber.connection_id).await?;
                    return Ok(None);
                }
                Ok(Sent::Gone | Sent::Delayed) => return rest(index, false),
                Ok(Sent::Throttled) => return rest(index, true),
                Err(error) => {
                    error.log();
                    return rest(index, true);
                }
            }
        }
        Ok(None)
    }

    /// Sends one frame to a socket, with retries until the deadline while it may still be opening or the gateway
    /// throttles.
    async fn post_frame(&self, subscriber: &Subscriber, frame: &str, deadline: Instant) -> Result<Sent> {
        let mut pauses = ExponentialBuilder::new().with_max_times(RETRIES).with_min_delay(RETRY).with_jitter().build();
        let mut was_throttled = false;
        loop {
            let sent = match self.sockets()?.post(&subscriber.connection_id, frame, deadline).await? {
                // The retry had no turn, but the frame was sent before.
                Sent::Delayed if was_throttled => return Ok(Sent::Throttled),
                sent => sent,
            };
            was_throttled |= sent == Sent::Throttled;
            let is_opening = sent == Sent::Gone && subscriber.age_seconds() <= OPENING_SECONDS;
            let may_succeed = is_opening || matches!(sent, Sent::Throttled | Sent::Delayed);
            match pauses.next() {
                Some(pause) if may_succeed && Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Ok(sent),
            }
        }
    }

    /// Sends frames to a socket that could not be written to before. Returns how many are done; the others are to be
    /// tried again later.
    async fn send_to_slow_consumer(&self, connection_id: &ConnectionId, frames: Frames<'_>) -> Result<usize> {
        let all = frames.frames.len();
        let Some(subscriber) = self.subscriber(frames.uri, connection_id).await? else { return Ok(all) };
        let unsent = self.send_to(&subscriber, frames, Instant::now() + DIRECT_TIMEOUT).await?;
        let (done, tries) = match unsent {
            None => (all, 0),
            // A socket that takes frames is slow, and has not failed.
            Some(Unsent { from: from @ 1.., .. }) => (from, 0),
            Some(unsent) if unsent.is_failed && self.sockets()?.fails_alone(connection_id).await => {
                (0, subscriber.failed_tries + 1)
            }
            Some(_) => return Ok(0),
        };
        if tries == MAX_TRIES {
            // While the record is there, a failure here is retried.
            self.sockets()?.close(connection_id).await?;
            self.drop_subscriber(frames.uri, connection_id).await?;
            return Ok(all);
        }
        if tries != subscriber.failed_tries {
            self.set_failed_tries(frames.uri, &subscriber, tries).await?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_frame_reads_back() {
        let uri: ChatUri = "0123456789abcde".parse().unwrap();
        let lines = ["{}".to_owned(), "{\"a\":\"\\n\"}".to_owned()];
        let (origin, other) = (MessageId::from("m".to_owned()), MessageId::from("n".to_owned()));
        let frames = Frames { uri: &uri, frames: &lines, written: Some(Date::now()), origin: &origin };
        let to = Recipient::Connection("c=".to_owned().into());
        let queued: Vec<(String, QueuedFrame)> = frames.queued(&to, 0).collect();
        for (_, queued) in &queued {
            assert_eq!(serde_json::from_str::<QueuedFrame>(&serde_json::to_string(queued).unwrap()).unwrap(), *queued);
        }
        assert_eq!(frames.queued(&to, 1).collect::<Vec<_>>(), queued[1..]);
        let again = Frames { origin: &other, ..frames };
        assert!(again.queued(&to, 0).all(|(id, _)| queued.iter().all(|(other, _)| *other != id)));
    }
}
