//! Frames: what a client sends, and the error frames that answer what cannot be done.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    Error, Result,
    api::http::BODY_BYTES,
    ids::{ConnectionId, EntryId},
    input::fields::Fields,
    json,
};

/// The longest text of a frame that an error frame repeats, in bytes; an idempotency key is shorter.
const REPEATED_BYTES: usize = 1024;

/// The longest uri that the error frame of one of several chats repeats, in bytes, so that the errors of a hundred
/// chats fit one frame. A chat's uri is shorter.
const CHAT_URI_BYTES: usize = 20;

/// A frame that a client has sent.
#[derive(Clone, Debug, Default)]
pub struct ClientFrame {
    /// The connection that it came from.
    pub connection_id: ConnectionId,
    /// The text of the frame.
    pub text: String,
}

impl ClientFrame {
    /// The fields of the frame.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Malformed`] if the frame is not a JSON object.
    pub(super) fn fields(&self) -> Result<Fields> {
        if self.text.len() > BODY_BYTES {
            return Err(Error::TooLarge(BODY_BYTES));
        }
        let object: Map<String, Value> = serde_json::from_str(&self.text)
            .map_err(|_| Error::Malformed("A frame must be a JSON object.".to_owned()))?;
        Ok(object.into())
    }

    /// The members of the frame that can be read: if it is not valid JSON, those before the first error. The values are
    /// kept as text, so that one which cannot be read hides none of the others.
    fn members(&self) -> Members {
        let mut members = Members::default();
        // The caller has reported the error already.
        let _ = serde_json::Deserializer::from_str(&self.text).deserialize_map(&mut members);
        members
    }
}

/// The members of a JSON object, up to the first error.
#[derive(Default)]
struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    fn read<'de, T: Deserialize<'de>>(&'de self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.read(name).filter(|text: &String| text.len() <= REPEATED_BYTES)
    }
}

impl<'de> de::Visitor<'de> for &mut Members {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some((name, value)) = object.next_entry()? {
            self.0.insert(name, value);
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "error")]
struct ErrorFrame {
    action: Option<String>,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EntryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// The one place where an error becomes a frame, and where it is logged. The frame repeats what identifies the request
/// that failed, as far as it can be read.
pub fn error_frame(error: &Error, frame: &ClientFrame) -> String {
    error.log();
    let members = frame.members();
    let answer = ErrorFrame {
        action: members.text("action"),
        status: error.status(),
        detail: error.to_string(),
        retry_after: error.retry_after(),
        uri: members.text("uri"),
        id: members.read("id"),
        key: members.text("key"),
    };
    // Numbers and texts can always be written as JSON.
    json::to_line(&answer).unwrap_or_default()
}

/// The error frame of one of several chats in a `subscribe` frame, which repeats the uri unless it is too long for one.
pub(super) fn chat_error_frame(error: &Error, uri: &str) -> Result<String> {
    error.log();
    json::to_line(&ErrorFrame {
        action: Some("subscribe".to_owned()),
        status: error.status(),
        detail: error.to_string(),
        retry_after: error.retry_after(),
        uri: Some(uri.to_owned()).filter(|uri| uri.len() <= CHAT_URI_BYTES),
        id: None,
        key: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn frame(text: impl Into<String>) -> ClientFrame {
        ClientFrame { connection_id: "c=".to_owned().into(), text: text.into() }
    }

    fn answer(error: &Error, text: impl Into<String>) -> Value {
        serde_json::from_str(&error_frame(error, &frame(text))).unwrap()
    }

    #[test]
    fn an_error_says_what_it_answers() {
        assert_eq!(
            answer(&Error::NotFound, r#"{"action":"send","uri":"u","key":"k"}"#),
            json!({"type": "error", "action": "send", "status": 404, "detail": "Not found.", "uri": "u", "key": "k"})
        );
        assert_eq!(
            answer(&Error::Throttled { seconds: 5 }, "[]"),
            json!({
                "type": "error", "action": null, "status": 429, "retry_after": 5,
                "detail": "Request was throttled. Expected available in 5 seconds.",
            })
        );
    }

    #[test]
    fn an_error_repeats_what_can_be_read_of_an_invalid_frame() {
        let deep = format!(r#""message":{}"#, "[".repeat(30_000));
        let large = format!(r#""message":"{}"}}"#, "x".repeat(BODY_BYTES));
        for (rest, status) in [
            (r#""message":"cut off \ud83d"}"#, 400),
            (r#""message":[["#, 400),
            (r#""message":1e999}"#, 400),
            (r#""action":"send","message":"cut"#, 400),
            (r#""key":"k"}}"#, 400),
            (r#""key":"#, 400),
            ("nonsense", 400),
            ("\"no value\"", 400),
            (&deep, 400),
            (&large, 413),
        ] {
            let text = format!(r#"{{"action":"send","uri":"u","key":"k","id":7,{rest}"#);
            let error = frame(text.as_str()).fields().unwrap_err();
            assert_eq!(error.status(), status, "{rest:.80}");
            let answer = answer(&error, text);
            let repeated = (&answer["action"], &answer["uri"], &answer["key"], &answer["id"]);
            assert_eq!(repeated, (&json!("send"), &json!("u"), &json!("k"), &json!(7)), "{rest:.80}");
        }
    }

    /// Values that cannot be read, are nested deeply or are very long come before those that can.
    #[test]
    fn no_value_hides_another() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        let large = format!("\"{}\"", "x".repeat(BODY_BYTES));
        for value in [r#""\ud83d""#, "1e999", &deep, &large, "{}", "null", "true"] {
            let text = format!(r#"{{"message":{value},"reply_to":{value},"action":"fly","uri":"u","key":"k","id":7}}"#);
            let answer = answer(&Error::NotFound, text);
            let repeated = (&answer["action"], &answer["uri"], &answer["key"], &answer["id"]);
            assert_eq!(repeated, (&json!("fly"), &json!("u"), &json!("k"), &json!(7)), "{value:.80}");
        }
    }

    #[test]
    fn what_is_of_the_wrong_type_is_not_repeated() {
        let long = format!("\"{}\"", "x".repeat(REPEATED_BYTES + 1));
        for value in ["5.5", "-1", "null", "true", "[\"u\"]", "{\"u\":1}", r#""\ud83d""#, "1e999", &long] {
            let text = format!(r#"{{"action":{value},"uri":{value},"key":{value},"id":{value}}}"#);
            let expected = json!({"type": "error", "action": null, "status": 404, "detail": "Not found."});
            assert_eq!(answer(&Error::NotFound, text), expected, "{value:.80}");
        }
        for text in ["", "null", "5", "[]", "\"action\"", "[{\"action\":\"send\"}]", "{", "{\"action\":\"send\""] {
            // The last one names its action before it is cut off.
            let action = if text.ends_with("send\"") { json!("send") } else { Value::Null };
            assert_eq!(answer(&Error::NotFound, text)["action"], action, "{text}");
        }
    }

    /// As in JavaScript, and as `fields` reads them.
    #[test]
    fn the_last_of_several_members_counts() {
        let text = r#"{"action":"edit","key":5,"id":1,"uri":"u","action":"send","key":"k","id":7,"uri":5}"#;
        let fields = frame(text).fields().unwrap();
        assert_eq!((fields.get("action"), fields.get("id")), (Some(&json!("send")), Some(&json!(7))));
        let answer = answer(&Error::NotFound, text);
        assert_eq!(
            (&answer["action"], &answer["key"], &answer["id"], answer.get("uri")),
            (&json!("send"), &json!("k"), &json!(7), None)
        );
    }

    #[test]
    fn a_frame_has_its_bounds() {
        let status = |text: String| frame(text).fields().unwrap_err().status();
        assert_eq!(status(format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES))), 413);
        assert_eq!(status(format!("{{\"a\":{}", "[".repeat(30_000))), 400);
    }

    proptest! {
        #[test]
        fn any_frame_gives_an_answer(text in "[\\[\\]{}\"a0,:\\\\ -]{0,60}") {
            let frame = frame(text);
            if let Err(error) = frame.fields() {
                prop_assert_eq!(error.status(), 400);
                let answer: Value = serde_json::from_str(&error_frame(&error, &frame)).unwrap();
                prop_assert_eq!(&answer["type"], "error");
            }
        }
    }
}
