//! Chats as stored.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryType};
use crate::{
    Confab, Error, Result,
    auth::user::User,
    aws::table::Write,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    key::{Key, Partition},
};

/// The sort key of a chat.
pub(crate) const CHAT: &str = "SESSION";
/// A chat is hot for this long after an id was reserved.
const HOT: Duration = Duration::from_secs(1);
/// No function that reserved an id this long ago is still running: longer than the longest time-out of one.
const SETTLED: Duration = Duration::from_secs(60);

/// A chat as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chat {
    /// The uri.
    pub uri: ChatUri,
    /// The integer id that the wire format shows.
    pub id: u64,
    /// The owner: who started the chat, or to whom it was handed over.
    pub owner_id: UserId,
    /// The id of the last entry in the log; 0 while there is none.
    pub last_id: EntryId,
    /// The id of the last message among them; 0 while there is none.
    pub last_message_id: EntryId,
    /// The number of members.
    pub member_count: u64,
    /// The number of messages, deleted ones included. Only differences are meaningful: see `unread`.
    #[serde(default)]
    pub message_count: u64,
    /// The number of deleted messages.
    #[serde(default)]
    pub deletion_count: u64,
    /// When the chat was started.
    pub create_date: Date,
    /// The date of the last entry.
    pub update_date: Date,
    /// When an id was last reserved; see `reservation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserve_date: Option<Date>,
    /// Until when nobody may reserve an id; see `log_lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locked_until: Option<Date>,
}

impl Chat {
    /// A chat that starts now, with its owner as the only member.
    pub(crate) fn new(uri: ChatUri, id: u64, owner_id: UserId) -> Self {
        let now = Date::now();
        Self {
            uri,
            id,
            owner_id,
            last_id: EntryId::NONE,
            last_message_id: EntryId::NONE,
            member_count: 1,
            message_count: 0,
            deletion_count: 0,
            create_date: now,
            update_date: now,
            reserve_date: None,
            locked_until: None,
        }
    }

    pub(crate) fn key(uri: &ChatUri) -> Key {
        Partition::Chat.key(uri, CHAT)
    }

    /// Whether appends contend for the log, so that the next one reserves its id.
    pub(super) fn is_hot(&self) -> bool {
        self.reserve_date.is_some_and(|date| date.elapsed() < HOT)
    }

    /// Whether every id up to `last_id` has its entry or will never have one but a void.
    pub(super) fn is_settled(&self) -> bool {
        self.reserve_date.is_none_or(|date| date.elapsed() > SETTLED)
    }

    pub(super) fn is_locked(&self) -> bool {
        self.locked_until.is_some_and(|until| until > Date::now())
    }

    /// Steps `last_id` over these entries, with what they change in the chat itself. It fails with [`Error::Behind`] if
    /// the log has grown since. As every change of the owner and of the members is an entry that is appended this way,
    /// both are still as in `self` if it succeeds.
    pub(crate) fn advance(&self, entries: &[Entry], date: Date) -> Result<Write> {
        let count = |kind| entries.iter().filter(|entry| entry.body.kind == kind).count() as i64;
        let last = |kind| entries.iter().rev().find(|entry| entry.body.kind == kind);
        let (message, owner) = (last(EntryType::Message), last(EntryType::Owner));
        let set_message = if message.is_some() { ", last_message_id = :message" } else { "" };
        let set_owner = if owner.is_some() { ", owner_id = :owner" } else { "" };
        let set = format!("SET last_id = :next, update_date = :date{set_message}{set_owner}");
        let add = "ADD member_count :members, message_count :messages, deletion_count :deletions";
        let mut write = Write::update(Self::key(&self.uri), &format!("{set} {add}"))
            .when("last_id = :last")
            .number(":last", self.last_id)
            .number(":next", self.last_id.0 + entries.len() as u64)
            .number(":members", count(EntryType::Joined) - count(EntryType::Left))
            .number(":messages", count(EntryType::Message))
            .number(":deletions", count(EntryType::Deleted))
            .serialized(":date", &date)?
            .otherwise(|chat| chat.map_or(Error::NotFound, |_| Error::Behind));
        if let Some(message) = message {
            write = write.number(":message", message.id);
        }
        if let Some(owner) = owner {
            write = write.number(":owner", owner.body.user_id);
        }
        Ok(write)
    }

    /// The owner, who need not be a member any more.
    pub(crate) fn owner(&self, users: &HashMap<UserId, User>) -> Result<User> {
        users.get(&self.owner_id).cloned().ok_or_else(|| Error::internal("a chat without its owner"))
    }
}

impl Confab {
    /// A chat as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn chat(&self, uri: &ChatUri) -> Result<Chat> {
        self.table().get(Chat::key(uri)).await?.ok_or(Error::NotFound)
    }

    /// The chat, if its log has an entry `id`. It is read again if need be: the log may have grown since, and the
    /// caller may know.
    pub(crate) async fn chat_with(&self, chat: &Chat, id: EntryId) -> Result<Option<Chat>> {
        let chat = if id > chat.last_id { self.chat(&chat.uri).await? } else { chat.clone() };
        Ok(Some(chat).filter(|chat| id.is_within(chat.last_id)))
    }
}
