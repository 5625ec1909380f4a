//! Notices: log entries as clients and the exchange see them.
//!
//! **Invariant.** A notice is told with what is true when it is told: who did it as they are called now, what an edited message says
//! now, how often a reaction is there now. So an entry holds no copy of what may change or be taken back, and whoever takes
//! in the notices from any point on ends with what the history says.

use std::collections::HashMap;

use futures_util::future;
use serde::Serialize;

use crate::{
    Confab, Error, Result,
    date::Date,
    log::{Entry, EntryId, EntryType, Happening, entry_key},
    session::Uri,
    table::Found,
    user::{User, UserId},
};

/// An entry as clients and the exchange see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice<'a> {
    #[serde(rename = "type")]
    kind: EntryType,
    uri: &'a Uri,
    id: EntryId,
    /// The message that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<EntryId>,
    /// What the message says; nothing once it has been deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<EntryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    /// How many have this reaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    user: &'a User,
    create_date: Date,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit_date: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_date: Option<Date>,
}

/// What it takes to tell of some entries, besides themselves.
#[derive(Debug)]
pub(crate) struct Context {
    users: HashMap<UserId, User>,
    /// The messages that they are about.
    messages: Found,
}

impl Context {
    /// The entry as it is told.
    pub(crate) fn notice<'a>(&'a self, uri: &'a Uri, entry: &'a Entry) -> Result<Notice<'a>> {
        let happening = &entry.happening;
        let user = self.users.get(&happening.user_id).ok_or_else(|| Error::internal("an entry without its user"))?;
        let message: Option<Entry> = match happening.of {
            Some(of) => self.messages.read(&entry_key(uri, of))?,
            None => None,
        };
        let (said, count) = match happening.kind {
            EntryType::Message => (Some(entry), None),
            EntryType::Edited => (message.as_ref(), None),
            EntryType::Reacted | EntryType::Unreacted => (None, message.as_ref().zip(happening.emoji.as_ref())),
            EntryType::Joined | EntryType::Left | EntryType::Owner | EntryType::Deleted => (None, None),
        };
        Ok(Notice {
            kind: happening.kind,
            uri,
            id: entry.id,
            of: happening.of,
            message: said.map(|said| said.happening.message.clone().unwrap_or_default()),
            reply_to: happening.reply_to,
            emoji: happening.emoji.as_deref(),
            count: count.map(|(message, emoji)| {
                message.reactions.iter().filter_map(|all| all.get(emoji)).map(|users| users.len()).sum()
            }),
            user,
            create_date: entry.create_date,
            edit_date: entry.edit_date,
            delete_date: said.and_then(|said| said.delete_date),
        })
    }

    /// The same as JSON.
    pub(crate) fn json(&self, uri: &Uri, entry: &Entry) -> Result<String> {
        serde_json::to_string(&self.notice(uri, entry)?).map_err(Error::internal)
    }
}

impl Confab {
    /// Reads what it takes to tell of the entries of some rooms, but for the users who are known.
    pub(crate) async fn context(&self, rooms: &[(&Uri, &[Entry])], known: HashMap<UserId, User>) -> Result<Context> {
        let (mut strangers, mut messages) = (Vec::new(), Vec::new());
        for (uri, entries) in rooms {
            for Entry { happening: Happening { user_id, of, .. }, .. } in *entries {
                strangers.extend(Some(*user_id).filter(|id| !known.contains_key(id)));
                messages.extend(of.map(|of| entry_key(uri, of)));
            }
        }
        let (mut users, messages) = future::try_join(self.users(strangers), self.table().get_many(messages)).await?;
        users.extend(known);
        Ok(Context { users, messages })
    }
}
