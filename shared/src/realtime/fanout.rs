//! The fan-out: from the exchange's queue to the sockets of each chat.
//!
//! **Invariant.** Log entries are delivered from the log, in its order. A notification is a hint that the log has grown: what is
//! up to the chat's cursor has been delivered; the entry right behind the cursor may be delivered from the hand, if there is
//! one; for anything else the log is read. The cursor moves after the delivery, so a crash repeats entries and loses none.
//!
//! **Invariant.** What to deliver is read before whom to deliver it to. A client registers its subscription first and reads the
//! log second, so an entry that its reading missed was written after its registration, and whoever knows the entry finds
//! the subscription.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Confab, Error, Result,
    aws::table::{Key, Write},
    chats::log::{Hint, entry_key},
    connections::connection::Subscriber,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    json,
    metrics::{self, Metric},
    realtime::batch::{Batch, Record, Step},
    realtime::delivery::{Frames, SlowConsumers},
};

/// A frame joins entries up to so many bytes: what API Gateway meters as one message, and sends as one frame.
pub const FRAME_BYTES: usize = 32 * 1024;
/// A single message on a socket has at most so many bytes.
pub const MESSAGE_BYTES: usize = 128 * 1024;
/// So many entries are read from the log and delivered before the cursor moves.
const ENTRIES_AT_A_TIME: usize = 500;

/// The type of a event that is not for the one whom it is about, and for nobody in a large chat.
pub(crate) const TYPING: &str = "typing";

/// What a record says.
struct Notification {
    hint: Hint,
    /// The object on one line.
    line: String,
    /// When the entry was written, where it is about one.
    create_date: Option<Date>,
    /// The user that it is not for.
    except: Option<UserId>,
}

/// A line for a chat.
#[derive(Clone)]
struct Line {
    text: String,
    except: Option<UserId>,
}

impl Notification {
    /// Understands a record, raw or enveloped.
    fn read(body: &str) -> Option<Self> {
        let mut object: Value = serde_json::from_str(body).ok()?;
        let mut text = body;
        let inner;
        if object.get("Type").and_then(Value::as_str) == Some("Notification")
            && let Some(Value::String(message)) = object.get_mut("Message").map(Value::take)
        {
            inner = message;
            object = serde_json::from_str(&inner).ok()?;
            text = &inner;
        }
        let hint = Hint::read(&object)?;
        // Between JSON's tokens a line break means nothing, and within a string it cannot stand unescaped; so the object can
        // go on as its publisher wrote it, on one line.
        let line = json::escape(text.trim().replace(['\n', '\r'], " "));
        let create_date = hint.id.and_then(|_| Date::deserialize(object.get("create_date")?).ok());
        let is_typing = object.get("type").and_then(Value::as_str) == Some(TYPING);
        let except = is_typing.then(|| object["user"]["id"].as_u64().map(UserId)).flatten();
        (line.len() <= MESSAGE_BYTES).then_some(Self { hint, line, create_date, except })
    }
}

/// How far a chat's log has been handed to its sockets.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct DeliveryCursor {
    #[serde(default)]
    last_id: EntryId,
    /// Whether the chat has ever had more subscribers than are served directly.
    #[serde(default)]
    is_large: bool,
}

/// A chat that is being delivered to.
struct ChatDelivery<'a> {
    uri: &'a ChatUri,
    /// Where its cursor will be once `lines` have been sent.
    cursor: DeliveryCursor,
    /// What is to be sent.
    lines: Vec<Line>,
    /// When the oldest log entry among them was written, as far as that is known.
    written: Option<Date>,
    /// The queue's message that set it off.
    origin: &'a str,
    /// The sockets that could not be written to in this batch.
    slow: &'a SlowConsumers,
}

impl DeliveryCursor {
    fn key(uri: &ChatUri) -> Key {
        Key::new(format!("CURSOR#{uri}"), "FANOUT")
    }

    /// Takes a log up to there for delivered.
    pub(crate) fn put(uri: &ChatUri, last_id: EntryId) -> Result<Write> {
        Write::put(Self::key(uri), &Self { last_id, is_large: false })
    }
}

impl Confab {
    /// Delivers a batch of records and names the ones, by message id, that must be tried again: in each group the first
    /// that failed and all behind it.
    pub async fn fan_out(&self, batch: Batch) -> Vec<String> {
        self.work(Step::FanOut, batch).await
    }

    /// Handles the records at the front that belong together, and says how many they were.
    pub(crate) async fn fan_out_front(&self, records: &[Record], slow: &SlowConsumers) -> Result<usize> {
        match Notification::read(&records[0].body) {
            None => self.dead_letter(&records[0]).await.map(|()| 1),
            Some(notification) => self.fan_out_run(notification, records, slow).await,
        }
    }

    /// Delivers the records at the front that are about the same chat, and says how many they were.
    async fn fan_out_run(&self, first: Notification, records: &[Record], slow: &SlowConsumers) -> Result<usize> {
        let uri = first.hint.uri.clone();
        let mut run = vec![first];
        run.extend(
            records[1..].iter().map_while(|record| {
                Notification::read(&record.body).filter(|notification| notification.hint.uri == uri)
            }),
        );
        self.fan_out_to_chat(&uri, &run, &records[0].message_id, slow).await.map(|()| run.len())
    }

    async fn fan_out_to_chat(
        &self,
        uri: &ChatUri,
        run: &[Notification],
        origin: &str,
        slow: &SlowConsumers,
    ) -> Result<()> {
        let entries = run.iter().filter_map(|notification| notification.hint.id).map(|id| entry_key(uri, id));
        let found = self.table().get_many(entries.chain([DeliveryCursor::key(uri)]).collect::<Vec<_>>()).await?;
        let cursor = found.read(&DeliveryCursor::key(uri))?.unwrap_or_default();
        let mut chat = ChatDelivery { uri, cursor, lines: Vec::new(), written: None, origin, slow };
        let start = chat.cursor.last_id;
        for Notification { hint, line, create_date, except } in run {
            let line = Line { text: line.clone(), except: *except };
            match hint.id {
                None => chat.lines.push(line),
                Some(id) if id <= chat.cursor.last_id => {}
                Some(id) if id == chat.cursor.last_id + 1 && found.has(&entry_key(uri, id)) => {
                    chat.lines.push(line);
                    chat.cursor.last_id = id;
                    chat.written = chat.written.or(*create_date);
                }
                Some(id) => self.catch_up(&mut chat, id, *create_date).await?,
            }
        }
        self.send(&mut chat).await?;
        if chat.cursor.last_id > start { self.move_cursor(&chat).await } else { Ok(()) }
    }

    /// Reads on in the log from the cursor to its end, which should be `id` or behind it.
    async fn catch_up(&self, chat: &mut ChatDelivery<'_>, id: EntryId, create_date: Option<Date>) -> Result<()> {
        loop {
            let (entries, last) = self.lines_after(chat.uri, chat.cursor.last_id).await?;
            if entries.is_empty() {
                // Either the entry is in the log, behind one that does not show yet, or there is no such entry.
                if chat.cursor.last_id < id && id <= self.last_id(chat.uri).await? {
                    return Err(Error::Busy(Some("the log has a hole".into())));
                }
                return Ok(());
            }
            chat.lines.extend(entries.into_iter().map(|text| Line { text, except: None }));
            chat.cursor.last_id = last;
            chat.written = chat.written.or(create_date);
            if chat.lines.len() >= ENTRIES_AT_A_TIME {
                self.send(chat).await?;
                self.move_cursor(chat).await?;
            }
        }
    }

    async fn move_cursor(&self, chat: &ChatDelivery<'_>) -> Result<()> {
        // Never backward: a fan-out that was taken for dead may still be at work.
        let write = Write::update(DeliveryCursor::key(chat.uri), "SET last_id = :id")
            .when("attribute_not_exists(last_id) OR last_id < :id")
            .number(":id", chat.cursor.last_id);
        self.table().apply(write).await.map(drop)
    }

    /// The entries after a cursor as the lines that clients get, and the id of the last.
    async fn lines_after(&self, uri: &ChatUri, cursor: EntryId) -> Result<(Vec<String>, EntryId)> {
        let (entries, context) = self.events_after(uri, cursor, |entries| entries.len() >= ENTRIES_AT_A_TIME).await?;
        let last = entries.last().map_or(cursor, |entry| entry.id);
        let lines = entries.iter().map(|entry| context.json(uri, entry));
        Ok((lines.collect::<Result<_>>()?, last))
    }

    /// Sends the lines to everybody in the chat: directly, or if they are many by way of the `delivery` queue.
    async fn send(&self, chat: &mut ChatDelivery<'_>) -> Result<()> {
        let lines = std::mem::take(&mut chat.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let written = chat.written.take();
        let few = if chat.cursor.is_large { None } else { self.few_subscribers(chat.uri).await? };
        match few {
            Some(subscribers) => {
                let excepted: BTreeSet<Option<UserId>> =
                    lines.iter().filter_map(|line| line.except).map(Some).chain([None]).collect();
                for user in excepted {
                    // To each of those whom some lines are not for by themselves, and to all others together.
                    let is_one = |subscriber: &Subscriber| match user {
                        Some(user) => subscriber.user_id == user,
                        None => lines.iter().all(|line| line.except != Some(subscriber.user_id)),
                    };
                    let frames = frames(lines.iter().filter(|line| user.is_none() || line.except != user));
                    let subscribers: Vec<Subscriber> = subscribers.iter().filter(|one| is_one(one)).cloned().collect();
                    self.send_to_all(&subscribers, chat.frames(&frames, written), chat.slow).await?;
                }
                if let Some(date) = written {
                    metrics::count(Metric::DeliveryLag, Date::now().epoch_milliseconds() - date.epoch_milliseconds());
                }
            }
            None => {
                if !chat.cursor.is_large {
                    let mark = Write::update(DeliveryCursor::key(chat.uri), "SET is_large = :yes");
                    self.table().apply(mark.serialized(":yes", &true)?).await?;
                    chat.cursor.is_large = true;
                }
                let frames = frames(lines.iter().filter(|line| line.except.is_none()));
                self.hand_to_shards(chat.frames(&frames, written)).await?;
            }
        }
        Ok(())
    }
}

impl ChatDelivery<'_> {
    fn frames<'a>(&'a self, frames: &'a [String], written: Option<Date>) -> Frames<'a> {
        Frames { uri: self.uri, frames, written, origin: self.origin }
    }
}

impl AsRef<str> for Line {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Joins lines into as few frames as hold them.
pub(crate) fn frames<'a, T: AsRef<str> + 'a>(lines: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in lines {
        let line = line.as_ref();
        match frames.last_mut() {
            Some(frame) if frame.len() + 1 + line.len() <= FRAME_BYTES => {
                frame.push('\n');
                frame.push_str(line);
            }
            _ => frames.push(line.to_owned()),
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const URI: &str = "0123456789abcde";

    #[test]
    fn raw_and_enveloped_say_the_same() {
        let raw = json!({"uri": URI, "id": 7, "type": "message"}).to_string();
        let enveloped = json!({"Type": "Notification", "MessageId": "m", "Message": raw}).to_string();
        for body in [&raw, &enveloped] {
            let notification = Notification::read(body).unwrap();
            assert_eq!((notification.hint.id, notification.line.as_str()), (Some(7), raw.as_str()));
        }
    }

    #[test]
    fn poison_is_not_understood() {
        let too_large = json!({"uri": URI, "x": "y".repeat(MESSAGE_BYTES)}).to_string();
        for body in [
            "",
            "nonsense",
            "[]",
            "7",
            "{}",
            r#"{"uri": "x"}"#,
            r#"{"uri": 5}"#,
            &too_large,
            r#"{"Type": "Notification", "Message": "nonsense"}"#,
        ] {
            assert!(Notification::read(body).is_none(), "{body:.60}");
        }
    }

    #[test]
    fn an_object_goes_on_as_it_stands_on_one_line() {
        let notification =
            Notification::read("{\r\n  \"uri\": \"0123456789abcde\",\n  \"x\": 1.10e400,\n \"y\": \"a\\nb\"}\n");
        assert!(notification.is_none(), "a number beyond JSON's range is refused by every client's parser too");
        let notification =
            Notification::read("{\r\n  \"uri\": \"0123456789abcde\",\n  \"x\": 1.10,\n \"y\": \"a\\nb\"}\n").unwrap();
        assert_eq!(notification.line, r#"{    "uri": "0123456789abcde",   "x": 1.10,  "y": "a\nb"}"#);
    }

    #[test]
    fn what_other_programs_publish_is_no_hint() {
        for rest in
            [r#""type": "weather", "id": 7"#, r#""type": "message""#, r#""type": "message", "id": "7""#, r#""id": 0"#]
        {
            let notification = Notification::read(&format!(r#"{{"uri": "0123456789abcde", {rest}}}"#)).unwrap();
            assert_eq!(notification.hint.id, None, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_body_gives_an_answer(body in "[\\[\\]{}\"a0,:\\\\ n-]{0,60}") {
            let _ = Notification::read(&body);
        }

        #[test]
        fn frames_keep_every_line_in_order(sizes in proptest::collection::vec(1..20_000_usize, 0..40)) {
            let lines: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let frames = frames(&lines);
            let unpacked: Vec<&str> = frames.iter().flat_map(|frame| frame.split('\n')).collect();
            prop_assert_eq!(unpacked, lines);
            prop_assert!(frames.iter().all(|frame| frame.len() <= FRAME_BYTES));
            prop_assert!(frames.windows(2).all(|pair| pair[0].len() + 1 + pair[1].len() > FRAME_BYTES || pair[1].contains('\n')));
        }
    }
}
