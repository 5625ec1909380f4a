//! The last step to the sockets: directly, or for a large chat through the `delivery` queue, a shard of its subscribers at a time.
//!
//! **Invariant.** A chat that has once been large stays sharded. If it were served directly again, what is sent could overtake what
//! is still in the queue.
//!
//! **Invariant.** A frame that could not be written to a socket is not forgotten: it goes through the queue, in a message group of that
//! socket's own, and if it cannot be written in the end either, the socket is closed, so that its client comes back and recovers.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Confab, Error, Result,
    aws::sockets::Sent,
    connections::connection::{Shard, Subscriber},
    date::Date,
    ids::ChatUri,
    metrics::{self, Metric},
    realtime::batch::{Batch, Record, Step},
};

/// So many sockets of a chat, or of each of its shards, are written to at a time.
const POSTS_AT_A_TIME: usize = 32;
/// What has not been written to a chat's sockets within this time goes through the queue.
const DIRECTLY: Duration = Duration::from_secs(3);
/// Sockets whose frames are put into the queue concurrently.
const QUEUED_AT_A_TIME: usize = 10;
/// A connection this young, in seconds, that is "gone" may not have opened yet: `@connections` answers 410 until `$connect`
/// has returned.
const OPENING_SECONDS: i64 = 10;
/// A socket that could not be written to in so many tries of the queue is closed. The queue itself gives up after ten.
const TRIES: u32 = 4;

/// The sockets that could not be written to in a batch. What else the batch has for them goes through the queue, so that each of
/// them holds up the batch once, and not once for each of its chats.
#[derive(Debug, Default)]
pub(crate) struct SlowConsumers(Mutex<HashSet<String>>);

impl SlowConsumers {
    fn add(&self, connection_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection_id.to_owned());
    }

    fn has(&self, connection_id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(connection_id)
    }
}

/// A frame on its way through the `delivery` queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct QueuedFrame {
    uri: ChatUri,
    to: To,
    frame: String,
    /// When the oldest log entry of the frame was written, in milliseconds since 1970.
    written: Option<i64>,
}

/// Whom a queued_frame is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    Shard(Shard),
    Connection(String),
}

/// Frames for a chat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames<'a> {
    pub(crate) uri: &'a ChatUri,
    pub(crate) frames: &'a [String],
    /// When the oldest log entry in them was written.
    pub(crate) written: Option<Date>,
    /// The queue's message that they come from, so that handing them on twice can be told from handing on the like again.
    pub(crate) origin: &'a str,
}

impl Frames<'_> {
    /// The frames from one on, as queued_frames with their deduplication ids.
    fn queued_frames(&self, to: &To, from: usize) -> impl Iterator<Item = (String, QueuedFrame)> {
        self.frames.iter().enumerate().skip(from).map(move |(index, frame)| {
            let written = self.written.map(Date::epoch_milliseconds);
            let queued_frame = QueuedFrame { uri: self.uri.clone(), to: to.clone(), frame: frame.clone(), written };
            let digest = Sha256::new().chain_update(self.origin).chain_update([0]).chain_update(frame).finalize();
            (format!("{index}-{}", hex::encode(digest)), queued_frame)
        })
    }
}

impl To {
    /// The message group, within which order counts.
    fn group(&self, uri: &ChatUri) -> String {
        match self {
            Self::Shard(shard) => format!("{uri}-{shard}"),
            Self::Connection(connection_id) => connection_id.clone(),
        }
    }
}

impl Confab {
    /// Delivers what is in the `delivery` queue, and names the records, by message id, that must be tried again.
    pub async fn deliver(&self, batch: Batch) -> Vec<String> {
        self.work(Step::Deliver, batch).await
    }

    /// Delivers the queued_frames at the front that go the same way, and says how many they were.
    pub(crate) async fn deliver_front(&self, records: &[Record], slow: &SlowConsumers) -> Result<usize> {
        let read = |record: &Record| serde_json::from_str::<QueuedFrame>(&record.body).ok();
        let Some(first) = read(&records[0]) else { return self.dead_letter(&records[0]).await.map(|()| 1) };
        let same = |queued_frame: &QueuedFrame| queued_frame.uri == first.uri && queued_frame.to == first.to;
        let queued_frames: Vec<QueuedFrame> = records.iter().map_while(|record| read(record).filter(same)).collect();
        let lines: Vec<String> = queued_frames.iter().map(|queued_frame| queued_frame.frame.clone()).collect();
        let frames = Frames {
            uri: &first.uri,
            frames: &crate::realtime::fanout::frames(&lines),
            written: None,
            origin: &records[0].message_id,
        };
        match &first.to {
            To::Shard(shard) => {
                let subscribers = self.shard_of_subscribers(&first.uri, *shard).await?;
                self.send_to_all(&subscribers, frames, slow).await?;
            }
            To::Connection(connection_id) => self.send_to_laggard(connection_id, frames, records[0].tries).await?,
        }
        for written in queued_frames.iter().filter_map(|queued_frame| queued_frame.written) {
            metrics::count(Metric::DeliveryLag, Date::now().epoch_milliseconds() - written);
        }
        Ok(queued_frames.len())
    }

    /// Hands frames on to every shard of a chat.
    pub(crate) async fn hand_to_shards(&self, frames: Frames<'_>) -> Result<()> {
        let handed = stream::iter(Shard::all()).map(async |shard| {
            let to = To::Shard(shard);
            self.deliveries()?.send(&to.group(frames.uri), frames.queued_frames(&to, 0).collect()).await
        });
        handed.buffer_unordered(8).fold(Ok(()), async |all: Result<()>, one| all.and(one)).await
    }

    /// Sends frames to some subscribers, each socket by itself. What a socket does not take, and what is not written in time, goes
    /// through the queue, so that no socket holds up the others for long.
    pub(crate) async fn send_to_all(
        &self,
        subscribers: &[Subscriber],
        frames: Frames<'_>,
        slow: &SlowConsumers,
    ) -> Result<()> {
        for frame in frames.frames {
            metrics::count(Metric::EntriesPerFrame, frame.lines().count() as i64);
        }
        let deadline = Instant::now() + DIRECTLY;
        // Collected first, since the compiler cannot see through a stream that borrows as it goes.
        let sent: Vec<_> =
            subscribers.iter().map(|subscriber| self.send_unless_slow(subscriber, frames, deadline, slow)).collect();
        let sent: Vec<_> = stream::iter(sent).buffer_unordered(POSTS_AT_A_TIME).collect().await;
        let queue = |(connection_id, sent): (String, Result<Option<usize>>)| async move {
            let Some(from) = sent? else { return Ok(()) };
            let to = To::Connection(connection_id);
            self.deliveries()?.send(&to.group(frames.uri), frames.queued_frames(&to, from).collect()).await
        };
        let queued: Vec<_> = sent.into_iter().map(queue).collect();
        let queued = stream::iter(queued).buffer_unordered(QUEUED_AT_A_TIME);
        queued.fold(Ok(()), async |all: Result<()>, one| all.and(one)).await
    }

    /// Sends frames to a socket, unless it is slow, and says from which on they were not written.
    async fn send_unless_slow(
        &self,
        subscriber: &Subscriber,
        frames: Frames<'_>,
        deadline: Instant,
        slow: &SlowConsumers,
    ) -> (String, Result<Option<usize>>) {
        let connection_id = subscriber.connection_id.clone();
        if slow.has(&connection_id) || Instant::now() > deadline {
            return (connection_id, Ok(Some(0)));
        }
        let sent = self.send_to(subscriber, frames, deadline).await;
        if matches!(sent, Ok(Some(_))) {
            slow.add(&connection_id);
        }
        (connection_id, sent)
    }

    /// Sends frames to a socket until the deadline, and says from which on they were not written.
    ///
    /// # Errors
    /// When the table fails over a socket that is gone.
    async fn send_to(&self, subscriber: &Subscriber, frames: Frames<'_>, deadline: Instant) -> Result<Option<usize>> {
        for (index, frame) in frames.frames.iter().enumerate() {
            if Instant::now() > deadline {
                return Ok(Some(index));
            }
            let mut tries = 0;
            loop {
                match self.sockets()?.post(&subscriber.connection_id, frame).await {
                    Ok(Sent::Yes) => break,
                    Ok(Sent::Gone) if subscriber.age_seconds() > OPENING_SECONDS => {
                        metrics::count(Metric::StaleConnections, 1);
                        self.drop_subscriber(frames.uri, &subscriber.connection_id).await?;
                        return Ok(None);
                    }
                    Ok(Sent::Gone) if tries < 4 && Instant::now() < deadline => {
                        tries += 1;
                        tokio::time::sleep(Duration::from_millis(50 << tries)).await;
                    }
                    Ok(Sent::Gone) => return Ok(Some(index)),
                    Err(error) => {
                        error.log();
                        return Ok(Some(index));
                    }
                }
            }
            metrics::count(Metric::FramesSent, 1);
        }
        Ok(None)
    }

    /// Sends frames to a socket that could not be written to before.
    async fn send_to_laggard(&self, connection_id: &str, frames: Frames<'_>, tries: u32) -> Result<()> {
        let Some(subscriber) = self.subscriber(frames.uri, connection_id).await? else { return Ok(()) };
        if self.send_to(&subscriber, frames, Instant::now() + DIRECTLY).await?.is_none() {
            return Ok(());
        }
        if tries < TRIES {
            return Err(Error::Busy(Some(format!("{connection_id} cannot be written to").into())));
        }
        // While the record is there, a failure here is tried again.
        self.sockets()?.close(connection_id).await?;
        self.drop_subscriber(frames.uri, connection_id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_arrives_as_it_was_sent() {
        let uri: ChatUri = "0123456789abcde".parse().unwrap();
        let lines = ["{}".to_owned(), "{\"a\":\"\\n\"}".to_owned()];
        let frames = Frames { uri: &uri, frames: &lines, written: Some(Date::now()), origin: "m" };
        let to = To::Connection("c=".to_owned());
        let queued_frames: Vec<(String, QueuedFrame)> = frames.queued_frames(&to, 0).collect();
        for (_, queued_frame) in &queued_frames {
            assert_eq!(
                serde_json::from_str::<QueuedFrame>(&serde_json::to_string(queued_frame).unwrap()).unwrap(),
                *queued_frame
            );
        }
        assert_eq!(frames.queued_frames(&to, 1).collect::<Vec<_>>(), queued_frames[1..]);
        let again = Frames { origin: "n", ..frames };
        assert!(again.queued_frames(&to, 0).all(|(id, _)| queued_frames.iter().all(|(other, _)| *other != id)));
    }

    #[test]
    fn every_connection_has_one_shard_and_no_shard_is_left_out() {
        let shards: std::collections::HashSet<Shard> = (0..2000).map(|n| Shard::of(&format!("{n}="))).collect();
        assert_eq!(shards, Shard::all().collect());
    }
}
