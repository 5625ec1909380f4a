//! Notifications: what comes through the exchange, from the domain or from any other program.

use serde::Deserialize;
use serde_json::Value;

use super::frame::FRAME_BYTES;
use crate::{
    chats::entry::EntryType,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    json,
};

/// The type of [`crate::chats::ephemeral::EphemeralEvent::Typing`].
const TYPING: &str = "typing";

/// A notification: any JSON object with a `uri`.
pub(super) struct Notification {
    pub(super) uri: ChatUri,
    /// The log entry that it is about. What another program publishes may have an `id`, but no type of the domain's.
    pub(super) entry_id: Option<EntryId>,
    /// The object on one line.
    pub(super) line: String,
    /// The date of the entry.
    pub(super) create_date: Option<Date>,
    /// The user whom it is not for.
    pub(super) except: Option<UserId>,
}

impl Notification {
    /// Reads the body of a queue's message, raw or in SNS's envelope.
    pub(super) fn read(body: &str) -> Option<Self> {
        let object: Value = serde_json::from_str(body).ok()?;
        match (object["Type"].as_str(), object["Message"].as_str()) {
            (Some("Notification"), Some(message)) => Self::of(&serde_json::from_str(message).ok()?, message),
            _ => Self::of(&object, body),
        }
    }

    fn of(object: &Value, text: &str) -> Option<Self> {
        let uri = ChatUri::deserialize(object.get("uri")?).ok()?;
        let is_entry = object.get("type").is_some_and(|kind| EntryType::deserialize(kind).is_ok());
        let entry_id = object.get("id").and_then(Value::as_u64);
        let entry_id = entry_id.map(EntryId).filter(|id| is_entry && id.is_within(EntryId::LAST));
        // A line break between JSON's tokens has no meaning, and within a string it must be escaped; so the object goes
        // on as its publisher wrote it, on one line.
        let line = json::escape(text.trim().replace(['\n', '\r'], " "));
        let create_date = entry_id.and_then(|_| Date::deserialize(object.get("create_date")?).ok());
        let is_typing = object.get("type").and_then(Value::as_str) == Some(TYPING);
        let except = is_typing.then(|| object["user"]["id"].as_u64().map(UserId)).flatten();
        (line.len() <= FRAME_BYTES).then_some(Self { uri, entry_id, line, create_date, except })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const URI: &str = "0123456789abcde";

    #[test]
    fn raw_and_enveloped_are_read_alike() {
        let raw = json!({"uri": URI, "id": 7, "type": "message"}).to_string();
        let enveloped = json!({"Type": "Notification", "MessageId": "m", "Message": raw}).to_string();
        for body in [&raw, &enveloped] {
            let notification = Notification::read(body).unwrap();
            assert_eq!((notification.entry_id, notification.line.as_str()), (Some(EntryId(7)), raw.as_str()));
        }
    }

    #[test]
    fn other_bodies_are_not_notifications() {
        let too_large = json!({"uri": URI, "x": "y".repeat(FRAME_BYTES)}).to_string();
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
    fn an_object_keeps_its_text_on_one_line() {
        let notification =
            Notification::read("{\r\n  \"uri\": \"0123456789abcde\",\n  \"x\": 1.10e400,\n \"y\": \"a\\nb\"}\n");
        assert!(notification.is_none(), "a number beyond JSON's range is rejected by every client's parser too");
        let notification =
            Notification::read("{\r\n  \"uri\": \"0123456789abcde\",\n  \"x\": 1.10,\n \"y\": \"a\\nb\"}\n").unwrap();
        assert_eq!(notification.line, r#"{    "uri": "0123456789abcde",   "x": 1.10,  "y": "a\nb"}"#);
    }

    #[test]
    fn what_other_programs_publish_is_not_about_an_entry() {
        for rest in
            [r#""type": "weather", "id": 7"#, r#""type": "message""#, r#""type": "message", "id": "7""#, r#""id": 0"#]
        {
            let notification = Notification::read(&format!(r#"{{"uri": "0123456789abcde", {rest}}}"#)).unwrap();
            assert_eq!(notification.entry_id, None, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_rejected(body in "[\\[\\]{}\"a0,:\\\\ n-]{0,60}") {
            let _ = Notification::read(&body);
        }
    }
}
