//! Posting a message, once, however often the request is repeated.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Confab, Error, Result,
    date::Date,
    error::Invalid,
    fields::Fields,
    log::{Appended, Entry, EntryId, EntryType, Happening, entry_key},
    session::{Member, Session, Uri},
    table::{Key, Write, read},
    tally::{self, Metric},
    user::{User, UserId},
    visit::Visit,
};

/// A message has so many characters (Unicode scalar values) at most.
pub const MESSAGE_CHARACTERS: usize = 2000;

/// An idempotency key is remembered so long, in seconds: a day.
const REMEMBERED_SECONDS: i64 = 24 * 3600;

const MINUTE_SECONDS: i64 = 60;

/// What a message may say: 1 to 2,000 characters, none of them NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording(pub(crate) String);

impl Wording {
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
    wording: Wording,
    /// The message of the same chat that it replies to.
    reply_to: Option<EntryId>,
}

impl Message {
    /// Reads the fields `message` and `reply_to`.
    ///
    /// # Errors
    /// As [`Wording::read`] and [`Fields::entry_id`].
    pub fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { wording: Wording::read(fields)?, reply_to: fields.entry_id("reply_to")? })
    }

    /// What makes two requests with one key the same.
    fn fingerprint(&self) -> String {
        let mut digest = Sha256::new_with_prefix(&self.wording.0);
        if let Some(id) = self.reply_to {
            // No message has a NUL, so nothing else has the same fingerprint.
            digest.update(format!("\0{id}"));
        }
        hex::encode(digest.finalize())
    }

    fn happening(&self, user_id: UserId) -> Happening {
        let Self { wording, reply_to } = self.clone();
        Happening { message: Some(wording.0), reply_to, ..Happening::new(EntryType::Message, user_id) }
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
pub(crate) struct Posted {
    id: EntryId,
    fingerprint: String,
    create_date: Date,
    expires_at: i64,
}

impl Posted {
    pub(crate) fn key(uri: &Uri, user_id: UserId, key: &IdempotencyKey) -> Key {
        Key::new(format!("KEY#{uri}#{user_id}#{}", key.0), "KEY")
    }
}

/// The answer to posting.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    status: &'static str,
    uri: Uri,
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
    /// As [`Visit::as_member`]; [`Error::KeyReused`] if the key was used for another message; [`Error::Invalid`] if there is no
    /// message that it could reply to; [`Error::Throttled`] for too many messages a minute.
    pub async fn post(&self, visit: &Visit, message: Message, key: Option<&IdempotencyKey>) -> Result<Receipt> {
        let session = visit.as_member()?;
        let (uri, user_id) = (&session.uri, visit.caller.user.id);
        let (entry, is_new) = match &visit.posted {
            Some(posted) => (posted.entry(user_id, &message)?, false),
            None => self.append_message(session, user_id, &message, key).await?,
        };
        // The message may have been edited or deleted since it was first posted, and nobody shall hear again of how it was.
        let told = if is_new { Some(entry.clone()) } else { self.table().get(&entry_key(uri, entry.id)).await? };
        self.publish_entries(uri, told.as_slice(), visit.caller.known()).await;
        Ok(Receipt {
            status: "SUCCESS",
            uri: uri.clone(),
            message: message.wording.0,
            reply_to: message.reply_to,
            user: visit.caller.user.clone(),
            id: entry.id,
            create_date: entry.create_date,
        })
    }

    /// The message's entry, and whether it is a new one.
    async fn append_message(
        &self,
        session: &Session,
        user_id: UserId,
        message: &Message,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Entry, bool)> {
        let uri = &session.uri;
        let last_id = match message.reply_to {
            Some(id) => self.last_id_with(session, id).await?.ok_or_else(nothing_to_reply_to)?,
            None => session.last_id,
        };
        let changes = |entries: &[Entry]| {
            let mut writes = vec![Member::still(uri, user_id)];
            writes.extend(message.reply_to.map(|id| still_a_message(uri, id)).transpose()?);
            writes.extend(self.posting(user_id));
            for (key, entry) in key.iter().zip(entries) {
                let posted = Posted {
                    id: entry.id,
                    fingerprint: message.fingerprint(),
                    create_date: entry.create_date,
                    expires_at: entry.create_date.epoch_seconds() + REMEMBERED_SECONDS,
                };
                writes.push(Write::put(Posted::key(uri, user_id, key), &posted)?.if_absent());
            }
            Ok(writes)
        };
        match self.append(uri, last_id, &[message.happening(user_id)], changes).await? {
            Appended::Written(entries) => {
                tally::count(Metric::MessagesPosted, 1);
                let entry = entries.into_iter().next();
                entry.map(|entry| (entry, true)).ok_or_else(|| Error::internal("an append without an entry"))
            }
            Appended::Refused(0, _) => Err(Error::not_a_member()),
            Appended::Refused(1, _) if message.reply_to.is_some() => Err(nothing_to_reply_to()),
            // The same request was under way twice, and the other one was first.
            Appended::Refused(_, Some(item)) if item.contains_key("fingerprint") => {
                Ok((read::<Posted>(&item)?.entry(user_id, message)?, false))
            }
            Appended::Refused(..) => Err(too_many()),
        }
    }

    /// Counts something that a user says, if there is a limit, and lets a transaction pass only below it.
    pub(crate) fn posting(&self, user_id: UserId) -> Option<Write> {
        let most = self.limits().posts_per_minute?;
        let now = Date::now().epoch_seconds();
        let key = Key::new(format!("POSTS#{user_id}"), (now / MINUTE_SECONDS).to_string());
        let count = Write::update(key, "ADD posts :one SET expires_at = :expires_at")
            .when("attribute_not_exists(posts) OR posts < :most")
            .number(":one", 1)
            .number(":most", most)
            .number(":expires_at", now + 2 * MINUTE_SECONDS);
        Some(count)
    }
}

fn nothing_to_reply_to() -> Error {
    Invalid::field("reply_to", "There is no such message in this chat.").into()
}

/// The answer to who says too much.
pub(crate) fn too_many() -> Error {
    Error::throttled(MINUTE_SECONDS - Date::now().epoch_seconds() % MINUTE_SECONDS)
}

/// Lets a transaction pass only while there is such a message.
fn still_a_message(uri: &Uri, id: EntryId) -> Result<Write> {
    if_message(Write::check(entry_key(uri, id), ""), "")
}

/// Lets a write to a message pass only while it is one that has not been deleted, and where `more` holds of it, which is empty or
/// begins with `AND`.
pub(crate) fn if_message(write: Write, more: &str) -> Result<Write> {
    write
        .when(&format!("#type = :message AND attribute_not_exists(delete_date) {more}"))
        .name("#type", "type")
        .serialized(":message", &EntryType::Message)
}

impl Posted {
    /// The entry that was written then, if it was for this message.
    fn entry(&self, user_id: UserId, message: &Message) -> Result<Entry> {
        if self.fingerprint != message.fingerprint() {
            return Err(Error::KeyReused);
        }
        Ok(Entry::new(self.id, message.happening(user_id), self.create_date))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Wording> {
        Wording::read(&Fields::from_value(json!({ "message": value })).unwrap())
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
            let uri: Uri = "0123456789abcde".parse().unwrap();
            let place = |user, key: &str| Posted::key(&uri, UserId(user), &key.parse().unwrap());
            prop_assert_eq!(place(user, &key) == place(other_user, &other), (user, &key) == (other_user, &other));
        }
    }
}
