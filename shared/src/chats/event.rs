//! Notices: log entries as clients and the exchange see them.
//!
//! **Invariant.** A event is told with what is true when it is told: who did it as they are called now, what an edited message says
//! now, how often a reaction is there now. So an entry holds no copy of what may change or be taken back, and whoever takes
//! in the events from any point on ends with what the history says.

use std::collections::HashMap;

use futures_util::future;
use serde::Serialize;

use crate::{
    Confab, Error, Result,
    auth::user::User,
    aws::table::BatchItems,
    chats::log::{Entry, EntryBody, EntryType, entry_key},
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    json,
};

/// An entry as clients and the exchange see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event<'a> {
    #[serde(rename = "type")]
    kind: EntryType,
    uri: &'a ChatUri,
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
    messages: BatchItems,
}

/// Whether a message shows what an entry tells of it. A read may see a transaction half done, and what was told from
/// the state before would never be put right.
fn shows(message: Option<&Entry>, entry: &Entry) -> bool {
    message.and_then(|message| message.changed_id).is_none_or(|changed_id| changed_id >= entry.id)
}

impl Context {
    /// The message that an entry is about.
    fn message(&self, uri: &ChatUri, entry: &Entry) -> Result<Option<Entry>> {
        entry.body.of.map_or(Ok(None), |of| self.messages.read(&entry_key(uri, of)))
    }

    /// The entry as it is told.
    ///
    /// # Errors
    /// [`Error::Busy`] where what it tells of does not show yet.
    pub(crate) fn event<'a>(&'a self, uri: &'a ChatUri, entry: &'a Entry) -> Result<Event<'a>> {
        let body = &entry.body;
        let user = self.users.get(&body.user_id).ok_or_else(|| Error::internal("an entry without its user"))?;
        let message = self.message(uri, entry)?;
        if !shows(message.as_ref(), entry) {
            return Err(Error::Busy(Some("a message does not show yet what was done to it".into())));
        }
        let (said, count) = match body.kind {
            EntryType::Message => (Some(entry), None),
            EntryType::Edited => (message.as_ref(), None),
            EntryType::Reacted | EntryType::Unreacted => (None, message.as_ref().zip(body.emoji.as_ref())),
            EntryType::Joined | EntryType::Left | EntryType::Owner | EntryType::Deleted => (None, None),
        };
        Ok(Event {
            kind: body.kind,
            uri,
            id: entry.id,
            of: body.of,
            message: said.map(|said| said.body.message.clone().unwrap_or_default()),
            reply_to: body.reply_to,
            emoji: body.emoji.as_deref(),
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
    pub(crate) fn json(&self, uri: &ChatUri, entry: &Entry) -> Result<String> {
        json::to_line(&self.event(uri, entry)?)
    }
}

impl Confab {
    /// Reads what it takes to tell of the entries of some chats, but for the users who are known.
    pub(crate) async fn context(
        &self,
        chats: &[(&ChatUri, &[Entry])],
        known: HashMap<UserId, User>,
    ) -> Result<Context> {
        let (mut strangers, mut messages) = (Vec::new(), Vec::new());
        for (uri, entries) in chats {
            for Entry { body: EntryBody { user_id, of, .. }, .. } in *entries {
                strangers.extend(Some(*user_id).filter(|id| !known.contains_key(id)));
                messages.extend(of.map(|of| entry_key(uri, of)));
            }
        }
        let (mut users, messages) = future::try_join(self.users(strangers), self.table().get_many(messages)).await?;
        // Nobody's address goes to the exchange and to sockets.
        users.extend(known.into_iter().map(|(id, user)| (id, user.without_email())));
        Ok(Context { users, messages })
    }

    /// The entries after `after`, in order, until there are no more or `enough` says so of what there is, with what it takes to tell
    /// of them. What does not show yet is left for the next time.
    pub(crate) async fn events_after(
        &self,
        uri: &ChatUri,
        after: EntryId,
        enough: impl FnMut(&[Entry]) -> bool,
    ) -> Result<(Vec<Entry>, Context)> {
        let mut entries = self.entries_after(uri, after, enough).await?;
        let context = self.context(&[(uri, &entries)], HashMap::new()).await?;
        for (place, entry) in entries.iter().enumerate() {
            if !shows(context.message(uri, entry)?.as_ref(), entry) {
                entries.truncate(place);
                break;
            }
        }
        Ok((entries, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_told_once_its_message_shows_it() {
        let message = Entry::new(3, EntryBody::new(EntryType::Message, UserId(1)), Date::now());
        let edited =
            |id| Entry::new(id, EntryBody { of: Some(3), ..EntryBody::new(EntryType::Edited, UserId(1)) }, Date::now());
        assert!(!shows(Some(&message), &edited(5)));
        let changed = Entry { changed_id: Some(5), ..message };
        assert!(shows(Some(&changed), &edited(4)));
        assert!(shows(Some(&changed), &edited(5)));
        assert!(!shows(Some(&changed), &edited(6)));
        assert!(shows(None, &changed), "what is about no message");
    }
}
