//! The fan-out: from the exchange's queue to the sockets of each chat.
//!
//! **Invariant.** Log entries are delivered from the log, in its order. A notification is a hint that the log has
//! grown: up to the chat's cursor everything has been delivered; the entry right behind the cursor is delivered from
//! the notification, if the log has it; otherwise the log is read. The cursor moves after the delivery, so a crash
//! repeats entries and loses none.
//!
//! **Invariant.** A hole delays a chat by the lease of who has reserved its id, and does not block it: the fan-out waits
//! there, and closes it once an entry behind it is older than that. Every entry is published at least twice, so whatever
//! is behind a hole has a fan-out coming. A hole at the log's end has nothing behind it and delays nothing.
//!
//! **Invariant.** What to deliver is read before the subscribers. A client's subscription is registered first and the
//! log is read for it second, so an entry that this read missed was written after the registration, and a fan-out that
//! knows the entry finds the subscription.

use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};

use super::{
    batch::{Batch, Consumer, Record, SlowConsumers},
    delivery::Frames,
    frame::frames,
    notification::Notification,
};
use crate::{
    Confab, Result,
    aws::queue::Queue,
    chats::{cursor::DeliveryCursor, entry::Entry, reservation::LEASE},
    connections::subscriber::Subscriber,
    date::Date,
    ids::{ChatUri, EntryId, MessageId, UserId},
    metrics::{self, Metric},
};

/// Entries that are read from the log and delivered before the cursor moves.
const ENTRIES_AT_A_TIME: usize = 500;

/// The pause between two looks at a hole.
const HOLE_PAUSE: Duration = Duration::from_millis(25);

/// A line for a chat's subscribers.
#[derive(Clone)]
struct Line {
    text: String,
    /// The user whom it is not for.
    except: Option<UserId>,
}

impl AsRef<str> for Line {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// A delivery to one chat.
struct ChatDelivery<'a> {
    uri: &'a ChatUri,
    /// The cursor as it is once `lines` have been sent.
    cursor: DeliveryCursor,
    lines: Vec<Line>,
    /// The date of the oldest log entry among them, as far as it is known.
    written: Option<Date>,
    /// The queue's message that led to it.
    origin: &'a MessageId,
    slow: &'a SlowConsumers,
}

impl ChatDelivery<'_> {
    fn frames<'a>(&'a self, frames: &'a [String], written: Option<Date>) -> Frames<'a> {
        Frames { uri: self.uri, frames, written, origin: self.origin }
    }
}

/// Consumes the exchange's queue.
struct Fanout;

impl Consumer for Fanout {
    fn queue(confab: &Confab) -> Result<&Queue> {
        confab.notifications()
    }

    async fn consume(confab: &Confab, records: &[Record], slow: &SlowConsumers) -> Result<ControlFlow<usize, usize>> {
        let Some(first) = Notification::read(&records[0].body) else {
            return confab.dead_letter(&records[0]).await.map(|()| ControlFlow::Continue(1));
        };
        let uri = first.uri.clone();
        let following = records[1..]
            .iter()
            .map_while(|record| Notification::read(&record.body).filter(|notification| notification.uri == uri));
        let run: Vec<Notification> = std::iter::once(first).chain(following).collect();
        let consumed = run.len();
        confab.fan_out_to_chat(&uri, run, &records[0].message_id, slow).await.map(|()| ControlFlow::Continue(consumed))
    }
}

impl Confab {
    /// Delivers a batch of notifications and returns the ids of the messages to retry: in each group the first that
    /// failed and all behind it.
    pub async fn fan_out(&self, batch: Batch) -> Vec<MessageId> {
        self.process::<Fanout>(batch).await
    }

    async fn fan_out_to_chat(
        &self,
        uri: &ChatUri,
        run: Vec<Notification>,
        origin: &MessageId,
        slow: &SlowConsumers,
    ) -> Result<()> {
        let entries = run.iter().filter_map(|notification| notification.entry_id).map(|id| Entry::key(uri, id));
        let keys: Vec<_> = entries.chain([DeliveryCursor::key(uri)]).collect();
        let mut found = self.table().get_many(keys).await?;
        let cursor: DeliveryCursor = found.take(&DeliveryCursor::key(uri))?.unwrap_or_default();
        let mut delivery = ChatDelivery { uri, cursor, lines: Vec::new(), written: None, origin, slow };
        for Notification { entry_id, line, create_date, except, .. } in run {
            let last_id = delivery.cursor.last_id;
            match entry_id {
                Some(id) if id <= last_id => {}
                Some(id) if id > last_id.next() || !found.has(&Entry::key(uri, id)) => {
                    self.catch_up(&mut delivery, id, create_date).await?;
                }
                _ => {
                    delivery.lines.push(Line { text: line, except });
                    delivery.cursor.last_id = entry_id.unwrap_or(last_id);
                    delivery.written = delivery.written.or(create_date);
                }
            }
        }
        self.send(&mut delivery).await?;
        let last_id = delivery.cursor.last_id;
        if last_id > cursor.last_id { self.move_cursor(uri, last_id).await } else { Ok(()) }
    }

    /// Continues in the log from the cursor up to the entry `id`, unless there is none.
    async fn catch_up(&self, delivery: &mut ChatDelivery<'_>, id: EntryId, create_date: Option<Date>) -> Result<()> {
        while delivery.cursor.last_id < id {
            let (uri, seen) = (delivery.uri, delivery.cursor.last_id);
            let enough = |entries: &[Entry]| entries.len() >= ENTRIES_AT_A_TIME;
            let (entries, context) = self.events_after(uri, seen, enough).await?;
            for entry in &entries {
                delivery.lines.push(Line { text: context.event(uri, entry)?, except: None });
                delivery.cursor.last_id = entry.id;
            }
            delivery.written = delivery.written.or(create_date);
            let is_at_hole = entries.is_empty();
            if is_at_hole && !delivery.lines.is_empty() || delivery.lines.len() >= ENTRIES_AT_A_TIME {
                self.send(delivery).await?;
                self.move_cursor(uri, delivery.cursor.last_id).await?;
            }
            if is_at_hole && !self.pass_hole(uri, seen).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for a moment at the entry behind `seen`, which is not there or not readable yet, and closes the hole once
    /// the lease of who has reserved its ids has expired. Returns false if there is no entry behind it.
    async fn pass_hole(&self, uri: &ChatUri, seen: EntryId) -> Result<bool> {
        let Some(next) = self.first_entry_after(uri, seen).await? else { return Ok(false) };
        if next.id > seen.next() && next.create_date.elapsed() >= LEASE {
            for id in (seen.next().0..next.id.0).map(EntryId) {
                self.close(uri, id).await?;
            }
        } else {
            tokio::time::sleep(HOLE_PAUSE).await;
        }
        Ok(true)
    }

    /// Sends the lines to the chat's subscribers: directly, or in a large chat through the delivery queue.
    async fn send(&self, delivery: &mut ChatDelivery<'_>) -> Result<()> {
        let (lines, written) = (std::mem::take(&mut delivery.lines), delivery.written.take());
        if lines.is_empty() {
            return Ok(());
        }
        let few = if delivery.cursor.is_large { None } else { self.few_subscribers(delivery.uri).await? };
        match few {
            Some(subscribers) => self.send_directly(delivery, &lines, written, &subscribers).await,
            None => {
                if !delivery.cursor.is_large {
                    self.mark_large(delivery.uri).await?;
                    delivery.cursor.is_large = true;
                }
                let frames = frames(lines.iter().filter(|line| line.except.is_none()));
                self.send_to_shards(delivery.frames(&frames, written)).await
            }
        }
    }

    async fn send_directly(
        &self,
        delivery: &ChatDelivery<'_>,
        lines: &[Line],
        written: Option<Date>,
        subscribers: &[Subscriber],
    ) -> Result<()> {
        // Each user whom some lines are not for gets the others separately; all other users get all lines.
        let excepted: BTreeSet<Option<UserId>> =
            lines.iter().filter_map(|line| line.except).map(Some).chain([None]).collect();
        for user in excepted {
            let is_one = |subscriber: &&Subscriber| match user {
                Some(user) => subscriber.user_id == user,
                None => lines.iter().all(|line| line.except != Some(subscriber.user_id)),
            };
            let frames = frames(lines.iter().filter(|line| user.is_none() || line.except != user));
            let subscribers: Vec<Subscriber> = subscribers.iter().filter(is_one).cloned().collect();
            self.send_to_all(&subscribers, delivery.frames(&frames, written), delivery.slow).await?;
        }
        if let Some(date) = written {
            metrics::count(Metric::DeliveryLag, Date::now().epoch_milliseconds() - date.epoch_milliseconds());
        }
        Ok(())
    }
}
