//! What is frame over WebSocket: the actions that a client sends, and the frames that answer them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde::{Deserializer, Serialize, de};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    Confab, Error, Result,
    api::http::BODY_BYTES,
    auth::token::Token,
    chats::access::ChatAccess,
    chats::chat::Chat,
    chats::log::Entry,
    chats::members::MEMBERS_SHOWN,
    chats::post::{IdempotencyKey, Message, MessageText},
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    input::fields::Fields,
    json,
    realtime::fanout::{MESSAGE_BYTES, TYPING},
};

/// The subprotocol that browsers name, and that the server selects.
pub const PROTOCOL: &str = "confab";
/// The start of the subprotocol that carries a browser's token.
const TOKEN_PROTOCOL: &str = "token.";
/// More entries than this cannot fit one message, so a client that misses more is told so without reading them.
const RECOVERABLE_ENTRIES: u64 = 1000;
/// That somebody is typing is told once in so many seconds: the exchange drops what has the same id.
const TYPING_SECONDS: i64 = 3;
/// The longest text of a request that an error frame repeats, in bytes; an idempotency key is shorter.
const REPEATED_BYTES: usize = 1024;
/// What a `subscribed` frame needs besides its entries, generously: for each member some ids of sixteen digits.
const SUBSCRIBED_BYTES: usize = 256 + 60 * MEMBERS_SHOWN as usize;

/// A socket's opening request.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// The connection that it will be.
    pub connection_id: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The chat to subscribe to at once, from the query string.
    pub uri: Option<String>,
}

impl ConnectRequest {
    /// The token, from `Authorization` or from among the subprotocols, since browsers can set no header.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] where it is malformed.
    pub fn token(&self) -> Result<Option<Token>> {
        if let Some(token) = Token::from_authorization(self.headers.get(AUTHORIZATION))? {
            return Ok(Some(token));
        }
        self.protocols().find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL)).map(Token::parse).transpose()
    }

    /// The subprotocol to select, where the client knows ours.
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocols().any(|protocol| protocol == PROTOCOL).then_some(PROTOCOL)
    }

    fn protocols(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.get_all("sec-websocket-protocol").into_iter();
        headers.filter_map(|value: &HeaderValue| value.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim)
    }
}

/// What a client sent over an open socket.
#[derive(Clone, Debug, Default)]
pub struct ClientFrame {
    /// The connection that it came from.
    pub connection_id: String,
    /// The text of the frame.
    pub text: String,
}

impl ClientFrame {
    /// The fields of the frame.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Malformed`] where the frame is not a JSON object.
    pub fn fields(&self) -> Result<Fields> {
        Ok(self.object()?.into())
    }

    /// What can be read of the frame's members, as text: those before the first error where it is not valid JSON. Values are not looked
    /// at, so that one which cannot be read hides none of the others.
    fn members(&self) -> BTreeMap<String, Box<RawValue>> {
        let mut members = BTreeMap::new();
        // What comes behind an error is not read, and the error has been told of already.
        let _ = serde_json::Deserializer::from_str(&self.text).deserialize_map(Members(&mut members));
        members
    }

    fn object(&self) -> Result<Map<String, Value>> {
        if self.text.len() > BODY_BYTES {
            return Err(Error::TooLarge(BODY_BYTES));
        }
        serde_json::from_str(&self.text).map_err(|_| Error::Malformed("A frame must be a JSON object.".to_owned()))
    }
}

/// The one place where an error becomes a frame, and where it is logged. The frame repeats what the client needs to tell
/// which of its requests failed.
pub fn error_frame(error: &Error, frame: &ClientFrame) -> String {
    error.log();
    let members = frame.members();
    let text = |name| members.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    let mut frame = json!({
        "type": "error",
        "action": text("action"),
        "status": error.status(),
        "detail": error.to_string(),
    });
    if let Some(seconds) = error.retry_after() {
        frame["retry_after"] = seconds.into();
    }
    for name in ["uri", "key"] {
        if let Some(value) = text(name).filter(|value| value.len() <= REPEATED_BYTES) {
            frame[name] = value.into();
        }
    }
    if let Some(id) = members.get("id").and_then(|value| serde_json::from_str::<u64>(value.get()).ok()) {
        frame["id"] = id.into();
    }
    json::escape(frame.to_string())
}

/// Takes in the members of a JSON object until the first error.
struct Members<'a>(&'a mut BTreeMap<String, Box<RawValue>>);

impl<'de> de::Visitor<'de> for Members<'_> {
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
struct Subscribed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    uri: &'a ChatUri,
    last_id: EntryId,
    recovered: bool,
    entries: Vec<Box<RawValue>>,
    #[serde(flatten)]
    standing: Option<Standing>,
}

/// What is not in the log, for a client that comes back and has missed the events. In chats of more than [`MEMBERS_SHOWN`] members it is
/// not tracked.
#[derive(Default, Serialize)]
struct Standing {
    /// How far each member has read.
    read: Option<BTreeMap<UserId, EntryId>>,
    /// The members who are listening.
    online: Option<BTreeSet<UserId>>,
}

impl Confab {
    /// Subscribes a connection to a chat: from now on, or with `after` from behind that entry.
    ///
    /// # Errors
    /// [`Error::Invalid`] names missing and wrong fields; else as [`ChatAccess::require_member`].
    pub async fn subscribe(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let (uri, after) = (text("uri", fields)?, fields.entry_id("after")?);
        let connection = self.connection(connection_id).await?;
        let access = self.authorize_as(connection.identity.clone(), uri.parse().ok(), None).await?;
        let Chat { uri, last_id: before, member_count, .. } = access.require_member()?.clone();
        // Register first, read second: what is written in between then comes twice rather than never.
        self.register_subscription(connection_id, &connection, &uri).await?;
        let (last_id, missed) = match after {
            None => (self.last_id(&uri).await?, Some(Vec::new())),
            // A client that is ahead of the log has seen another one, from before a restore perhaps.
            Some(after) if after > before => (before, None),
            Some(after) if before - after > RECOVERABLE_ENTRIES => (before, None),
            Some(after) => self.missed(&uri, after).await?,
        };
        let subscribed = Subscribed {
            kind: "subscribed",
            uri: &uri,
            last_id,
            recovered: missed.is_some(),
            entries: missed.unwrap_or_default(),
            standing: match after {
                Some(_) if member_count <= MEMBERS_SHOWN => Some(self.standing(&uri).await?),
                Some(_) => Some(Standing::default()),
                None => None,
            },
        };
        json::to_line(&subscribed)
    }

    /// The access of a connection's user to the chat that `uri` names, of which they must be a member.
    async fn authorize_from(&self, connection_id: &str, fields: &Fields) -> Result<ChatAccess> {
        let uri = text("uri", fields)?;
        let identity = self.connection(connection_id).await?.identity;
        let access = self.authorize_as(identity, uri.parse().ok(), None).await?;
        access.require_member()?;
        Ok(access)
    }

    /// What is not in the log.
    async fn standing(&self, uri: &ChatUri) -> Result<Standing> {
        let members = self.members(uri).await?;
        let read = members.into_iter().map(|member| (member.user_id, member.read_id)).collect();
        Ok(Standing { read: Some(read), online: self.present(uri).await? })
    }

    /// Tells the others in a chat that the caller is typing, once in a few seconds however often this is frame.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a uri; else as [`ChatAccess::require_member`].
    pub async fn typing(&self, connection_id: &str, fields: &Fields) -> Result<()> {
        let access = self.authorize_from(connection_id, fields).await?;
        let (uri, user) = (&access.require_member()?.uri, access.caller.public());
        let moment = Date::now().epoch_seconds() / TYPING_SECONDS;
        let event = json!({ "type": TYPING, "uri": uri, "user": user });
        self.tell(uri, format!("{uri}-typing-{}-{moment}", user.id), &event).await;
        Ok(())
    }

    /// Moves the caller's read marker forward, as over HTTP.
    ///
    /// # Errors
    /// As [`Confab::mark_read`].
    pub async fn read_up_to(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let access = self.authorize_from(connection_id, fields).await?;
        json::to_line(&self.mark_read(&access, fields).await?)
    }

    /// What a client missed since `after`, if it fits one message, and the id of its last entry.
    async fn missed(&self, uri: &ChatUri, after: EntryId) -> Result<(EntryId, Option<Vec<Box<RawValue>>>)> {
        // An entry takes more on the wire than its message does, so this stops no reading too early.
        let too_much = |entries: &[Entry]| {
            entries.iter().filter_map(|e| e.body.message.as_ref()).map(String::len).sum::<usize>() > MESSAGE_BYTES
        };
        let (entries, context) = self.events_after(uri, after, too_much).await?;
        let last_id = entries.last().map_or(after, |entry| entry.id);
        let mut bytes = SUBSCRIBED_BYTES;
        let mut missed = Vec::new();
        for entry in &entries {
            let event = RawValue::from_string(context.json(uri, entry)?).map_err(Error::internal)?;
            bytes += event.get().len() + 1;
            if bytes > MESSAGE_BYTES {
                return Ok((self.last_id(uri).await?, None));
            }
            missed.push(event);
        }
        Ok((last_id, Some(missed)))
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a uri, [`Error::NotFound`] for an impossible one.
    pub async fn unsubscribe(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let uri: ChatUri = text("uri", fields)?.parse()?;
        self.end_subscription(connection_id, &uri).await?;
        json::to_line(&json!({ "type": "unsubscribed", "uri": uri }))
    }

    /// Posts a message, as over HTTP; `key` is the idempotency key.
    ///
    /// # Errors
    /// As [`Confab::post`].
    pub async fn send_message(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let uri = text("uri", fields)?;
        let key = fields.get("key").map(|_| text("key", fields)).transpose()?;
        let idempotency_key = key.map(str::parse::<IdempotencyKey>).transpose()?;
        let identity = self.connection(connection_id).await?.identity;
        let access = self.authorize_as(identity, uri.parse().ok(), idempotency_key.as_ref()).await?;
        let uri = &access.require_member()?.uri;
        let posted = self.post(&access, Message::read(fields)?, idempotency_key.as_ref()).await?;
        let mut sent = json!({ "type": "sent", "uri": uri, "id": posted.id, "create_date": posted.create_date });
        if let Some(key) = key {
            sent["key"] = key.into();
        }
        json::to_line(&sent)
    }

    /// Has a message of the caller's say something else, as over HTTP.
    ///
    /// # Errors
    /// As [`Confab::edit`].
    pub async fn edit_message(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let access = self.authorize_from(connection_id, fields).await?;
        let id = fields.required_entry_id("id")?;
        self.edit(&access, id, &MessageText::read(fields)?).await?;
        done(&access, id, fields)
    }

    /// Takes a message back, as over HTTP.
    ///
    /// # Errors
    /// As [`Confab::delete_message`].
    pub async fn take_message_back(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let access = self.authorize_from(connection_id, fields).await?;
        let id = fields.required_entry_id("id")?;
        self.delete_message(&access, id).await?;
        done(&access, id, fields)
    }

    /// Puts an emoji to a message, or with `remove` takes it away, as over HTTP.
    ///
    /// # Errors
    /// [`Error::Invalid`] names missing and wrong fields; else as [`Confab::react`].
    pub async fn react_to_message(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let access = self.authorize_from(connection_id, fields).await?;
        let (id, emoji) = (fields.required_entry_id("id")?, text("emoji", fields)?.parse()?);
        match fields.get("remove") {
            None | Some(Value::Null | Value::Bool(false)) => self.react(&access, id, &emoji).await?,
            Some(Value::Bool(true)) => self.remove_reaction(&access, id, &emoji).await?,
            Some(_) => return Err(Invalid::field("remove", "Must be a valid boolean.").into()),
        }
        done(&access, id, fields)
    }

    /// Answers `ping` and unknown actions. A socket whose connection or token has expired gets an error for `ping`, too.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`], [`Error::BadCredentials`], [`Error::Malformed`], [`Error::Invalid`] without an action,
    /// [`Error::NotFound`] for an unknown one.
    pub async fn other_action(&self, connection_id: &str, fields: &Fields) -> Result<String> {
        let identity = self.connection(connection_id).await?.identity;
        self.authenticate_as(identity).await?;
        match text("action", fields)? {
            "ping" => json::to_line(&json!({ "type": "pong" })),
            _ => Err(Error::NotFound),
        }
    }
}

/// The answer to what was done to a message. It repeats what the client needs to tell which of its requests this was.
fn done(access: &ChatAccess, id: EntryId, fields: &Fields) -> Result<String> {
    let uri = &access.chat()?.uri;
    let mut done = json!({ "type": "done", "action": fields.get("action"), "uri": uri, "id": id });
    if let Some(Value::String(key)) = fields.get("key") {
        done["key"] = key.as_str().into();
    }
    json::to_line(&done)
}

fn text<'a>(name: &'static str, fields: &'a Fields) -> Result<&'a str> {
    let problem = match fields.get(name) {
        Some(Value::String(text)) => return Ok(text),
        Some(Value::Null) => "This field may not be null.",
        Some(_) => "Not a valid string.",
        None => "This field is required.",
    };
    Err(Invalid::field(name, problem).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opening(name: &'static str, value: &str) -> ConnectRequest {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]);
        ConnectRequest { connection_id: "c=".into(), headers, uri: None }
    }

    #[test]
    fn a_browser_names_its_token_beside_the_protocol() {
        let token = Token::issue(crate::ids::UserId(5)).unwrap();
        let browser = opening("sec-websocket-protocol", &format!("confab,  token.{}", token.reveal()));
        assert_eq!((browser.token().unwrap().as_ref(), browser.protocol()), (Some(&token), Some("confab")));
        let program = opening("authorization", &format!("Token {}", token.reveal()));
        assert_eq!((program.token().unwrap().as_ref(), program.protocol()), (Some(&token), None));
        assert!(opening("sec-websocket-protocol", "confab, token.x").token().is_err());
        assert!(opening("sec-websocket-protocol", "confab").token().unwrap().is_none());
    }

    #[test]
    fn an_error_says_what_it_answers() {
        let frame = ClientFrame { connection_id: "c=".into(), text: r#"{"action":"send","uri":"u","key":"k"}"#.into() };
        let frame: Value = serde_json::from_str(&error_frame(&Error::NotFound, &frame)).unwrap();
        let expected =
            json!({"type": "error", "action": "send", "status": 404, "detail": "Not found.", "uri": "u", "key": "k"});
        assert_eq!(frame, expected);
    }

    #[test]
    fn an_error_repeats_what_can_be_read_of_an_invalid_frame() {
        for rest in [
            r#""message":"cut off \ud83d"}"#,
            r#""message":[["#,
            r#""message":1e999}"#,
            r#""action":"send","message":"cut"#,
            r#""key":"k"}}"#,
            "nonsense",
        ] {
            let text = format!(r#"{{"action":"send","uri":"u","key":"k","id":7,{rest}"#);
            let frame = ClientFrame { connection_id: "c=".into(), text };
            let frame: Value = serde_json::from_str(&error_frame(&frame.fields().unwrap_err(), &frame)).unwrap();
            let repeated = (&frame["action"], &frame["uri"], &frame["key"], &frame["id"]);
            assert_eq!(repeated, (&json!("send"), &json!("u"), &json!("k"), &json!(7)), "{rest}");
        }
        let frame = ClientFrame {
            connection_id: "c=".into(),
            text: r#"{"action":5,"key":"\ud83d","id":"x","uri":"u"}"#.into(),
        };
        let frame: Value = serde_json::from_str(&error_frame(&Error::NotFound, &frame)).unwrap();
        assert_eq!(
            (&frame["action"], &frame["uri"], frame.get("key"), frame.get("id")),
            (&Value::Null, &json!("u"), None, None)
        );
    }

    #[test]
    fn a_frame_has_its_bounds() {
        let frame = |text: String| ClientFrame { connection_id: "c=".into(), text };
        assert_eq!(frame(format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES))).fields().unwrap_err().status(), 413);
        assert_eq!(frame(format!("{{\"a\":{}", "[".repeat(30_000))).fields().unwrap_err().status(), 400);
    }

    proptest! {
        #[test]
        fn any_frame_gives_an_answer(text in "[\\[\\]{}\"a0,:\\\\ -]{0,60}") {
            let frame = ClientFrame { connection_id: "c=".into(), text };
            if let Err(error) = frame.fields() {
                prop_assert_eq!(error.status(), 400);
                error_frame(&error, &frame);
            }
        }
    }
}
