//! `subscribe`: subscribes a connection to a chat, or to several, and with `after` sends what the client missed since
//! that entry. The response fits one frame.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{frame::chat_error_frame, request::required_text, response::SocketResponse};
use crate::{
    Confab, Error, Result,
    chats::snapshot::ChatSnapshot,
    error::Invalid,
    ids::{ChatUri, ConnectionId, EntryId},
    input::fields::Fields,
    json, metrics,
    realtime::{frame::FRAME_BYTES, subscription::SUBSCRIPTIONS},
};

#[derive(Debug)]
pub(super) enum Subscribe {
    One(RequestedChat),
    Many(Vec<RequestedChat>),
}

/// A chat, and the last entry that the client has of it.
#[derive(Debug)]
pub(super) struct RequestedChat {
    uri: String,
    after: Option<EntryId>,
}

/// The response to several chats: for each, in the same order, what the response to it alone would be.
#[derive(Default, Serialize)]
#[serde(tag = "type", rename = "subscriptions")]
struct Subscriptions {
    chats: Vec<Box<RawValue>>,
}

impl RequestedChat {
    fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { uri: required_text(fields, "uri")?, after: fields.entry_id("after")? })
    }

    fn uri(&self) -> Option<ChatUri> {
        self.uri.parse().ok()
    }
}

impl Subscribe {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        match (fields.get("chats"), fields.get("uri")) {
            (None, _) => RequestedChat::read(fields).map(Self::One),
            (Some(_), Some(_)) => Err(Invalid::field("chats", "Either this or uri is required, not both.").into()),
            (Some(chats), None) => several(chats).map(Self::Many),
        }
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        match self {
            Self::One(requested) => requested.handle(confab, connection_id).await,
            Self::Many(requested) => handle_several(&requested, confab, connection_id).await,
        }
    }
}

impl RequestedChat {
    async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let uri = self.uri();
        uri.iter().for_each(metrics::chat);
        let chats = confab.subscribe(connection_id, &[uri]).await?;
        let chats = chats.into_iter().map(|chat| Ok((chat?, self.after))).collect::<Result<Vec<_>>>()?;
        match confab.recover(&chats, FRAME_BYTES).await?.first() {
            Some(recovery) => SocketResponse::frame(recovery),
            None => Err(Error::NotFound),
        }
    }
}

fn several(chats: &Value) -> Result<Vec<RequestedChat>> {
    let invalid = |problem: String| Invalid::field("chats", problem);
    let Some(chats) = chats.as_array().filter(|chats| (1..=SUBSCRIPTIONS).contains(&chats.len())) else {
        return Err(invalid(format!("A list of 1 to {SUBSCRIPTIONS} chats is required.")).into());
    };
    let read = |chat: &Value| match chat {
        Value::Object(members) => RequestedChat::read(&members.clone().into()),
        _ => Err(Error::Malformed("A chat must be an object.".to_owned())),
    };
    let numbered = chats.iter().enumerate();
    let requested = numbered.map(|(n, chat)| read(chat).map_err(|error| invalid(format!("{n}: {error}"))));
    let requested = requested.collect::<std::result::Result<Vec<_>, _>>()?;
    let different: BTreeSet<&str> = requested.iter().map(|chat| chat.uri.as_str()).collect();
    match different.len() == requested.len() {
        true => Ok(requested),
        false => Err(invalid("Each chat may be given only once.".to_owned()).into()),
    }
}

async fn handle_several(
    requested: &[RequestedChat],
    confab: &Confab,
    connection_id: &ConnectionId,
) -> Result<SocketResponse> {
    let uris: Vec<Option<ChatUri>> = requested.iter().map(RequestedChat::uri).collect();
    let chats = confab.subscribe(connection_id, &uris).await?;
    let mut subscribed: Vec<(ChatSnapshot, Option<EntryId>)> = Vec::new();
    let mut errors: Vec<Option<String>> = Vec::new();
    let mut bytes = json::to_line(&Subscriptions::default())?.len();
    for (requested, chat) in requested.iter().zip(chats) {
        match chat {
            Ok(chat) => {
                subscribed.push((chat, requested.after));
                errors.push(None);
            }
            Err(error) => {
                let error = chat_error_frame(&error, &requested.uri)?;
                bytes += error.len() + 1;
                errors.push(Some(error));
            }
        }
    }
    let recovered = confab.recover(&subscribed, FRAME_BYTES.saturating_sub(bytes)).await?;
    let mut recovered = recovered.iter().map(json::to_line);
    let lines = errors.into_iter().map(|error| error.map_or_else(|| recovered.next().unwrap_or(Ok(String::new())), Ok));
    let chats = lines.map(|line| RawValue::from_string(line?).map_err(Error::internal)).collect::<Result<_>>()?;
    SocketResponse::frame(&Subscriptions { chats })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(chats: Value) -> Result<Subscribe> {
        Subscribe::read(&Fields::from_value(json!({"action": "subscribe", "chats": chats})).unwrap())
    }

    #[test]
    fn several_chats_are_read() {
        let chats: Value = (0..SUBSCRIPTIONS).map(|n| json!({"uri": format!("{n:015x}"), "after": n})).collect();
        let Subscribe::Many(requested) = read(chats).unwrap() else { panic!("one chat") };
        assert_eq!((requested.len(), requested[7].after), (SUBSCRIPTIONS, Some(EntryId(7))));
        let Subscribe::Many(requested) = read(json!([{"uri": "nope"}])).unwrap() else { panic!("one chat") };
        assert_eq!((requested[0].uri(), requested[0].after), (None, None));
    }

    #[test]
    fn what_is_not_a_list_of_chats_is_rejected() {
        let uri = "0123456789abcde";
        let many: Value = (0..=SUBSCRIPTIONS).map(|n| json!({"uri": format!("{n:015x}")})).collect();
        let size = "chats: A list of 1 to 100 chats is required.";
        for (chats, detail) in [
            (json!([]), size),
            (many, size),
            (json!("x"), size),
            (Value::Null, size),
            (json!({"uri": uri}), size),
            (json!([uri]), "chats: 0: A chat must be an object."),
            (json!([{"uri": uri}, {"uri": 5}]), "chats: 1: uri: Not a valid string."),
            (json!([{"after": 5}]), "chats: 0: uri: This field is required."),
            (
                json!([{"uri": uri, "after": -1}]),
                "chats: 0: after: A whole number from 0 to 9007199254740991 is required.",
            ),
            (json!([{"uri": uri}, {"uri": uri, "after": 1}]), "chats: Each chat may be given only once."),
        ] {
            assert_eq!(read(chats.clone()).unwrap_err().to_string(), detail, "{chats}");
        }
        let both = Fields::from_value(json!({"uri": uri, "chats": [{"uri": uri}]})).unwrap();
        assert_eq!(Subscribe::read(&both).unwrap_err().to_string(), "chats: Either this or uri is required, not both.");
    }

    #[test]
    fn the_errors_of_a_hundred_chats_fit_one_frame() {
        let longest = chat_error_frame(&Error::Busy(None), &"\u{1}".repeat(20)).unwrap();
        assert!((longest.len() + 1) * SUBSCRIPTIONS + 64 <= FRAME_BYTES, "{longest}");
    }
}
