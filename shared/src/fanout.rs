//! The fan-out: from the exchange's queue to the sockets of each room.
//!
//! **Invariant.** Log entries are delivered from the log, in its order. A notification is a hint that the log has grown: what is
//! up to the room's cursor has been delivered; the entry right behind the cursor may be delivered from the hand; for
//! anything else the log is read. The cursor moves after the delivery, so a crash repeats entries and loses none.
//!
//! **Invariant.** What to deliver is read before whom to deliver it to. A client registers its subscription first and reads the
//! log second, so an entry that its reading missed was written after its registration, and whoever knows the entry finds
//! the subscription.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, TryFutureExt, future, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Confab, Error, Result,
    connection::Subscriber,
    date::Date,
    log::{EntryId, Hint},
    session::Uri,
    sockets::Sent,
    table::{Key, Write},
    tally::{self, Metric},
};

/// A frame joins entries up to so many bytes: what API Gateway meters as one message, and sends as one frame.
pub const FRAME_BYTES: usize = 32 * 1024;
/// A single message on a socket has at most so many bytes.
pub const MESSAGE_BYTES: usize = 128 * 1024;
/// So many sockets of a room are written to at a time.
const POSTS_AT_A_TIME: usize = 64;
/// So many entries are read from the log and delivered before the cursor moves.
const ENTRIES_AT_A_TIME: usize = 500;
/// A run that failed for a passing reason is tried again after about so long.
const RETRY: Duration = Duration::from_millis(100);
/// A connection this young, in seconds, that is "gone" may not have opened yet: `@connections` answers 410 until `$connect`
/// has returned.
const OPENING_SECONDS: i64 = 10;

/// A message from the queue.
#[derive(Clone, Debug)]
pub struct Record {
    /// SQS's id of the message.
    pub message_id: String,
    /// Its message group, within which order counts.
    pub group: String,
    /// Its body: what was published, raw or in SNS's envelope.
    pub body: String,
}

/// Some messages, and the time until when to deliver them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The messages, in the queue's order.
    pub records: Vec<Record>,
    /// What is not done by then counts as failed.
    pub deadline: Instant,
}

/// What a record says.
struct Told {
    hint: Hint,
    /// The object on one line.
    line: String,
    /// When the entry was written, where it is about one.
    create_date: Option<Date>,
}

impl Told {
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
        let line = text.trim().replace(['\n', '\r'], " ");
        let create_date = hint.id.and_then(|_| Date::deserialize(object.get("create_date")?).ok());
        (line.len() <= MESSAGE_BYTES).then_some(Self { hint, line, create_date })
    }
}

/// How far a room's log has been handed to its sockets.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    last_id: EntryId,
}

impl Cursor {
    fn key(uri: &Uri) -> Key {
        Key::new(format!("CURSOR#{uri}"), "FANOUT")
    }
}

impl Confab {
    /// Delivers a batch of records and names the ones, by message id, that must be tried again: in each group the first
    /// that failed and all behind it.
    pub async fn fan_out(&self, Batch { records, deadline }: Batch) -> Vec<String> {
        let mut groups: Vec<Vec<Record>> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for record in records {
            let place = *places.entry(record.group.clone()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(record);
        }
        future::join_all(groups.iter().map(|group| self.fan_out_group(group, deadline))).await.concat()
    }

    async fn fan_out_group(&self, mut records: &[Record], deadline: Instant) -> Vec<String> {
        let mut pauses = ExponentialBuilder::new().with_max_times(3).with_min_delay(RETRY).with_jitter().build();
        while !records.is_empty() {
            let run = tokio::time::timeout_at(deadline.into(), self.fan_out_front(records)).await;
            match run.unwrap_or_else(|_| Err(Error::Busy(Some("the time is up".into())))) {
                Ok(done) => records = &records[done..],
                Err(error) => match pauses.next() {
                    // The queue would bring it back only after its visibility time-out, and hold up the room until then.
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

    /// Handles the records at the front that belong together, and says how many they were.
    async fn fan_out_front(&self, records: &[Record]) -> Result<usize> {
        match Told::read(&records[0].body) {
            None => self.bury(&records[0]).await.map(|()| 1),
            Some(told) => self.fan_out_run(told, records).await,
        }
    }

    async fn bury(&self, record: &Record) -> Result<()> {
        tracing::warn!(message_id = record.message_id, "a message that cannot be understood goes to the dead letters");
        self.dead_letters()?.bury(&record.message_id, &record.group, &record.body).await
    }

    /// Delivers the records at the front that are about the same room, and says how many they were.
    async fn fan_out_run(&self, first: Told, records: &[Record]) -> Result<usize> {
        let uri = first.hint.uri.clone();
        let mut run = vec![first];
        run.extend(
            records[1..].iter().map_while(|record| Told::read(&record.body).filter(|told| told.hint.uri == uri)),
        );
        self.deliver(&uri, &run).await.map(|()| run.len())
    }

    async fn deliver(&self, uri: &Uri, run: &[Told]) -> Result<()> {
        let about_log = run.iter().any(|told| told.hint.id.is_some());
        let start = if about_log { self.cursor(uri).await? } else { 0 };
        let (mut cursor, mut lines) = (start, Vec::new());
        for Told { hint, line, .. } in run {
            match hint.id {
                None => lines.push(line.clone()),
                Some(id) if id <= cursor => {}
                Some(id) if id == cursor + 1 => {
                    lines.push(line.clone());
                    cursor = id;
                }
                Some(id) => loop {
                    let (entries, last) = self.lines_after(uri, cursor).await?;
                    if entries.is_empty() {
                        // Either the entry is in the log, behind one that does not show yet, or there is no such entry.
                        if cursor < id && id <= self.last_id(uri).await? {
                            return Err(Error::Busy(Some("the log has a hole".into())));
                        }
                        break;
                    }
                    lines.extend(entries);
                    cursor = last;
                    if lines.len() >= ENTRIES_AT_A_TIME {
                        self.send(uri, &std::mem::take(&mut lines)).await?;
                        self.move_cursor(uri, cursor).await?;
                    }
                },
            }
        }
        self.send(uri, &lines).await?;
        for date in run.iter().filter(|told| told.hint.id > Some(start)).filter_map(|told| told.create_date) {
            tally::count(Metric::DeliveryLag, Date::now().epoch_milliseconds() - date.epoch_milliseconds());
        }
        if cursor > start { self.move_cursor(uri, cursor).await } else { Ok(()) }
    }

    async fn cursor(&self, uri: &Uri) -> Result<EntryId> {
        Ok(self.table().get::<Cursor>(&Cursor::key(uri)).await?.map_or(0, |cursor| cursor.last_id))
    }

    async fn move_cursor(&self, uri: &Uri, last_id: EntryId) -> Result<()> {
        // Never backward: a fan-out that was taken for dead may still be at work.
        let write = Write::update(Cursor::key(uri), "SET last_id = :id")
            .when("attribute_not_exists(pk) OR last_id < :id")
            .number(":id", last_id);
        self.table().apply(write).await.map(drop)
    }

    /// The entries after a cursor as the lines that clients get, and the id of the last.
    async fn lines_after(&self, uri: &Uri, cursor: EntryId) -> Result<(Vec<String>, EntryId)> {
        let entries = self.entries_after(uri, cursor, |entries| entries.len() >= ENTRIES_AT_A_TIME).await?;
        let users = self.users(entries.iter().map(|entry| entry.user_id)).await?;
        let last = entries.last().map_or(cursor, |entry| entry.id);
        let lines = entries.iter().map(|entry| {
            let user = users.get(&entry.user_id).ok_or_else(|| Error::internal("an entry without its user"))?;
            serde_json::to_string(&entry.notice(uri, user)).map_err(Error::internal)
        });
        Ok((lines.collect::<Result<_>>()?, last))
    }

    /// Sends lines to everybody in a room, each socket by itself; what one socket does holds up no other.
    async fn send(&self, uri: &Uri, lines: &[String]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let frames = frames(lines);
        for frame in &frames {
            tally::count(Metric::EntriesPerFrame, frame.lines().count() as i64);
        }
        let subscribers = self.subscribers(uri).await?;
        stream::iter(&subscribers)
            .for_each_concurrent(POSTS_AT_A_TIME, |subscriber| {
                // What does not reach a socket is left to that client's own recovery.
                self.send_to(uri, subscriber, &frames).unwrap_or_else(|error| error.log())
            })
            .await;
        Ok(())
    }

    async fn send_to(&self, uri: &Uri, subscriber: &Subscriber, frames: &[String]) -> Result<()> {
        for frame in frames {
            let mut tries = 0;
            while self.sockets()?.post(&subscriber.connection_id, frame).await? == Sent::Gone {
                let age = Date::now().epoch_seconds() - subscriber.connect_date.epoch_seconds();
                if age > OPENING_SECONDS {
                    tally::count(Metric::StaleConnections, 1);
                    return self.drop_subscriber(uri, &subscriber.connection_id).await;
                }
                tries += 1;
                if tries > 4 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50 << tries)).await;
            }
            tally::count(Metric::FramesSent, 1);
        }
        Ok(())
    }
}

/// Joins lines into as few frames as hold them.
fn frames(lines: &[String]) -> Vec<String> {
    let mut frames: Vec<String> = Vec::new();
    for line in lines {
        match frames.last_mut() {
            Some(frame) if frame.len() + 1 + line.len() <= FRAME_BYTES => {
                frame.push('\n');
                frame.push_str(line);
            }
            _ => frames.push(line.clone()),
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
            let told = Told::read(body).unwrap();
            assert_eq!((told.hint.id, told.line.as_str()), (Some(7), raw.as_str()));
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
            assert!(Told::read(body).is_none(), "{body:.60}");
        }
    }

    #[test]
    fn an_object_goes_on_as_it_stands_on_one_line() {
        let told = Told::read("{\r\n  \"uri\": \"0123456789abcde\",\n  \"x\": 1.10e400,\n \"y\": \"a\\nb\"}\n");
        assert!(told.is_none(), "a number beyond JSON's range is refused by every client's parser too");
        let told = Told::read("{\r\n  \"uri\": \"0123456789abcde\",\n  \"x\": 1.10,\n \"y\": \"a\\nb\"}\n").unwrap();
        assert_eq!(told.line, r#"{    "uri": "0123456789abcde",   "x": 1.10,  "y": "a\nb"}"#);
    }

    #[test]
    fn what_other_programs_publish_is_no_hint() {
        for rest in
            [r#""type": "weather", "id": 7"#, r#""type": "message""#, r#""type": "message", "id": "7""#, r#""id": 0"#]
        {
            let told = Told::read(&format!(r#"{{"uri": "0123456789abcde", {rest}}}"#)).unwrap();
            assert_eq!(told.hint.id, None, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_body_gives_an_answer(body in "[\\[\\]{}\"a0,:\\\\ n-]{0,60}") {
            let _ = Told::read(&body);
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
