//! Posting a message, once, however often the request is repeated.

use serde::Serialize;

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, if_message},
    idempotency::{IdempotencyKey, IdempotencyRecord},
    member::Membership,
    message::NewMessage,
};
use crate::{
    Confab, Error, Result,
    auth::user::User,
    aws::table::Write,
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    metrics::{self, Metric},
    random,
};

/// The response to posting.
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
    /// Posts a message: one transaction, one publication. With a key that was used before it responds as it did then,
    /// and publishes again, in case the first attempt got no further than the table; the exchange drops the repeat.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::KeyReused`]; [`Error::Invalid`] where there is no message to reply
    /// to; [`Error::Throttled`].
    pub async fn post_message(
        &self,
        access: &ChatAccess,
        message: NewMessage,
        key: Option<&IdempotencyKey>,
    ) -> Result<PostedMessage> {
        let chat = access.require_member()?;
        let entry = match &access.posted {
            Some(posted) => self.posted_before(&chat.uri, posted, &message).await?,
            None => self.append_message(chat, access.caller.user.id, &message, key).await?,
        };
        self.publish_entries(&chat.uri, std::slice::from_ref(&entry), access.caller.known()).await;
        Ok(PostedMessage {
            status: "SUCCESS",
            uri: chat.uri.clone(),
            message: message.text.0,
            reply_to: message.reply_to,
            user: access.caller.user.clone(),
            id: entry.id,
            create_date: entry.create_date,
        })
    }

    /// The entry of an idempotency record, as it is now: it may have been edited or deleted since, and its former text
    /// must not be published again. The text of a deleted message is unknown, so any message matches it.
    async fn posted_before(&self, uri: &ChatUri, posted: &IdempotencyRecord, message: &NewMessage) -> Result<Entry> {
        let entry: Option<Entry> = self.table().get(Entry::key(uri, posted.id)).await?;
        let entry = entry.ok_or_else(|| Error::internal("an idempotency record without its entry"))?;
        // Entries of the first version have no salt.
        let salt = entry.body.salt.as_deref().unwrap_or_default();
        match entry.is_message() && posted.fingerprint != message.fingerprint(salt) {
            true => Err(Error::KeyReused),
            false => Ok(entry),
        }
    }

    async fn append_message(
        &self,
        chat: &Chat,
        user_id: UserId,
        message: &NewMessage,
        key: Option<&IdempotencyKey>,
    ) -> Result<Entry> {
        let uri = &chat.uri;
        let chat = match message.reply_to {
            Some(id) => &self.chat_with(chat, id).await?.ok_or_else(nothing_to_reply_to)?,
            None => chat,
        };
        let record = key.map(|key| IdempotencyRecord::key(uri, user_id, key));
        let salt = record.as_ref().map(|_| random::hex::<16>()).transpose()?;
        let changes = |_: &Chat, entry: &Entry| {
            let Entry { id, create_date, .. } = *entry;
            let mut writes = vec![Membership::count_message(uri, user_id, id)];
            writes.extend(message.reply_to.map(|id| require_message(uri, id)).transpose()?);
            if let Some((record, salt)) = record.as_ref().zip(salt.as_ref()) {
                writes.push(IdempotencyRecord::put(record.clone(), id, message, salt, create_date)?);
            }
            Ok(writes)
        };
        let body = message.body(user_id, salt.clone());
        match (self.append(chat, user_id, &body, changes).await, &record) {
            // A concurrent request with the same key was first.
            (Err(Error::AlreadyDone), Some(record)) => {
                let posted = self.table().get(record.clone()).await?.ok_or(Error::Busy(None))?;
                self.posted_before(uri, &posted, message).await
            }
            (appended, _) => appended.inspect(|_| metrics::count(Metric::MessagesPosted, 1)),
        }
    }
}

fn nothing_to_reply_to() -> Error {
    Invalid::field("reply_to", "There is no such message in this chat.").into()
}

/// Lets a transaction pass only while there is such a message.
fn require_message(uri: &ChatUri, id: EntryId) -> Result<Write> {
    Ok(if_message(Write::check(Entry::key(uri, id), ""), "")?.otherwise(|_| nothing_to_reply_to()))
}
