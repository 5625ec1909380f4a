//! Posting a message, once, however often the request is repeated.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Confab, Error, Result,
    auth::user::User,
    aws::table::{Key, Write},
    chats::access::ChatAccess,
    chats::chat::Chat,
    chats::log::{Entry, EntryBody, EntryType, entry_key},
    chats::members::Member,
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    input::fields::Fields,
    metrics::{self, Metric},
};

/// A message has so many characters (Unicode scalar values) at most.
pub const MESSAGE_CHARACTERS: usize = 2000;

/// An idempotency key is remembered so long, in seconds: a day.
const REMEMBERED_SECONDS: i64 = 24 * 3600;

/// What a message may say: 1 to 2,000 characters, none of them NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageText(pub(crate) String);

impl MessageText {
    /// Reads the field `message`.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with it.
    pub fn read(fields: &Fields) -> Result<Self> {
        let problem = match fields.get("message") {
            None => "This field is required.".to_owned(),
            Some(Value::Null) => "This field may not be null.".to_owned(),
            Some(Value::String(text)) if text.is_empty() => "This field may not be blank.".to_owned(),
            Some(Value::String(text)) if text.contains('\0') => "Null characters are not allowed.".to_owned(),
            Some(Value::String(text)) if text.chars().count() > MESSAGE_CHARACTERS => {
                format!("Ensure this field has no more than {MESSAGE_CHARACTERS} characters.")
            }
            Some(Value::String(text)) => return Ok(Self(text.clone())),
            Some(_) => "Not a valid string.".to_owned(),
        };
        Err(Invalid::field("message", problem).into())
    }
}

/// A message to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    text: MessageText,
    /// The message of the same chat that it replies to.
    reply_to: Option<EntryId>,
}

impl Message {
    /// Reads the fields `message` and `reply_to`.
    ///
    /// # Errors
    /// As [`MessageText::read`] and [`Fields::entry_id`].
    pub fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { text: MessageText::read(fields)?, reply_to: fields.entry_id("reply_to")? })
    }

    /// What makes two requests with one key the same. The salt is kept with the message and is deleted with it, so that from then on
    /// nobody can find out by trying what the message said.
    fn fingerprint(&self, salt: &str) -> String {
        let mut digest = Sha256::new_with_prefix(salt).chain_update(&self.text.0);
        if let Some(id) = self.reply_to {
            // No message has a NUL, so nothing else has the same fingerprint.
            digest.update(format!("\0{id}"));
        }
        hex::encode(digest.finalize())
    }

    fn body(&self, user_id: UserId, salt: Option<String>) -> EntryBody {
        let Self { text, reply_to } = self.clone();
        EntryBody { message: Some(text.0), reply_to, salt, ..EntryBody::new(EntryType::Message, user_id) }
    }
}

/// A name that a client gives to a request, so that repeating it does not post twice: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl FromStr for IdempotencyKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::Malformed("An idempotency key has 1 to 255 visible ASCII characters.".to_owned())),
        }
    }
}

/// What was posted with an idempotency key, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IdempotencyRecord {
    id: EntryId,
    fingerprint: String,
    expires_at: i64,
}

impl IdempotencyRecord {
    pub(crate) fn key(uri: &ChatUri, user_id: UserId, key: &IdempotencyKey) -> Key {
        Key::new(format!("KEY#{uri}#{user_id}#{}", key.0), "KEY")
    }
}

/// The answer to posting.
#[derive(Clone, Debug, Serialize)]
pub struct PostedMessage {
    status: &'static str,
    uri: ChatUri,
    message: String,
    reply_to: Option<EntryId>,
    user: User,
    /// The message's id in the log.
    pub id: EntryId,
    /// When it was posted.
    pub create_date: Date,
}

impl Confab {
    /// Posts a message: one transaction, one publication. With a key that was used before it answers as it did then, and
    /// publishes again, in case the first try got no further than the table; the exchange swallows the repeat.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::KeyReused`] if the key was used for another message; [`Error::Invalid`] if there is no
    /// message that it could reply to; [`Error::Throttled`] for too many messages a minute.
    pub async fn post_message(
        &self,
        access: &ChatAccess,
        message: Message,
        key: Option<&IdempotencyKey>,
    ) -> Result<PostedMessage> {
        let chat = access.require_member()?;
        let (uri, user_id) = (&chat.uri, access.caller.user.id);
        let entry = match (&access.posted, key) {
            (Some(posted), _) => self.posted_before(uri, posted, &message).await?,
            (None, Some(key)) => match self.append_message(chat, user_id, &message, Some(key)).await {
                // The same request was under way twice, and the other one was first.
                Err(Error::AlreadyDone) => {
                    let posted: Option<IdempotencyRecord> =
                        self.table().get(&IdempotencyRecord::key(uri, user_id, key)).await?;
                    self.posted_before(uri, &posted.ok_or(Error::Busy(None))?, &message).await?
                }
                appended => appended?,
            },
            (None, None) => self.append_message(chat, user_id, &message, None).await?,
        };
        self.publish_entries(uri, std::slice::from_ref(&entry), access.caller.known()).await;
        Ok(PostedMessage {
            status: "SUCCESS",
            uri: uri.clone(),
            message: message.text.0,
            reply_to: message.reply_to,
            user: access.caller.user.clone(),
            id: entry.id,
            create_date: entry.create_date,
        })
    }

    /// The entry that was written with a key, as it is now: it may have been edited or deleted since, and nobody shall be sent again what
    /// it was. What a deleted message said is not known any more, so that any message will do for it.
    async fn posted_before(&self, uri: &ChatUri, posted: &IdempotencyRecord, message: &Message) -> Result<Entry> {
        let entry: Option<Entry> = self.table().get(&entry_key(uri, posted.id)).await?;
        let entry = entry.ok_or_else(|| Error::internal("an idempotency record without its entry"))?;
        // Entries of the first version have no salt.
        let salt = entry.body.salt.as_deref().unwrap_or_default();
        match entry.is_message() && posted.fingerprint != message.fingerprint(salt) {
            true => Err(Error::KeyReused),
            false => Ok(entry),
        }
    }

    /// Writes a message into the log. With a key that was used meanwhile it is [`Error::AlreadyDone`].
    async fn append_message(
        &self,
        chat: &Chat,
        user_id: UserId,
        message: &Message,
        key: Option<&IdempotencyKey>,
    ) -> Result<Entry> {
        let uri = &chat.uri;
        let chat = match message.reply_to {
            Some(id) => &self.chat_with(chat, id).await?.ok_or_else(nothing_to_reply_to)?,
            None => chat,
        };
        let key = key.map(|key| Ok::<_, Error>((key, salt()?))).transpose()?;
        let changes = |_: &Chat, entries: &[Entry]| {
            let mut writes = vec![Member::posts(uri, user_id, entries[0].id)];
            writes.extend(message.reply_to.map(|id| still_a_message(uri, id)).transpose()?);
            if let Some((key, salt)) = &key {
                let Entry { id, create_date, .. } = entries[0];
                let expires_at = create_date.epoch_seconds() + REMEMBERED_SECONDS;
                let posted = IdempotencyRecord { id, fingerprint: message.fingerprint(salt), expires_at };
                let put = Write::put(IdempotencyRecord::key(uri, user_id, key), &posted)?.if_absent();
                writes.push(put.otherwise(|_| Error::AlreadyDone));
            }
            Ok(writes)
        };
        let body = message.body(user_id, key.as_ref().map(|(_, salt)| salt.clone()));
        let entries = self.append(chat, user_id, &[body], changes).await?;
        metrics::count(Metric::MessagesPosted, 1);
        entries.into_iter().next().ok_or_else(|| Error::internal("an append without an entry"))
    }
}

fn salt() -> Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Error::internal(error.to_string()))?;
    Ok(hex::encode(salt))
}

fn nothing_to_reply_to() -> Error {
    Invalid::field("reply_to", "There is no such message in this chat.").into()
}

/// Lets a transaction pass only while there is such a message.
fn still_a_message(uri: &ChatUri, id: EntryId) -> Result<Write> {
    Ok(if_message(Write::check(entry_key(uri, id), ""), "")?.otherwise(|_| nothing_to_reply_to()))
}

/// Lets a write to a message pass only while it is one that has not been deleted, and where `more` holds of it, which is empty or
/// begins with `AND`.
pub(crate) fn if_message(write: Write, more: &str) -> Result<Write> {
    write
        .when(&format!("#type = :message AND attribute_not_exists(delete_date) {more}"))
        .name("#type", "type")
        .serialized(":message", &EntryType::Message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: Value) -> Result<MessageText> {
        MessageText::read(&Fields::from_value(json!({ "message": value })).unwrap())
    }

    #[test]
    fn bounds_are_characters() {
        assert!(read(json!("é".repeat(2000))).is_ok());
        for wrong in
            [json!("é".repeat(2001)), json!(""), json!("a\0b"), json!(5), json!(null), json!(["a"]), json!(true)]
        {
            assert!(matches!(read(wrong.clone()), Err(Error::Invalid(_))), "{wrong}");
        }
        assert!(read(json!("  ")).is_ok(), "the original keeps white space");
    }

    proptest! {
        #[test]
        fn keys_cannot_reach_into_each_other(user in 0..20_u64, key in "[ -~]{1,20}", other_user in 0..20_u64, other in "[ -~]{1,20}") {
            let uri: ChatUri = "0123456789abcde".parse().unwrap();
            let place = |user, key: &str| IdempotencyRecord::key(&uri, UserId(user), &key.parse().unwrap());
            prop_assert_eq!(place(user, &key) == place(other_user, &other), (user, &key) == (other_user, &other));
        }
    }
}
