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
    json,
    log::{Entry, EntryId, EntryType, Happening, entry_key},
    session::Uri,
    table::BatchItems,
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
    messages: BatchItems,
}

/// Whether a message shows what an entry tells of it. A read may see a transaction half done, and what was told from
/// the state before would never be put right.
fn shows(message: Option<&Entry>, entry: &Entry) -> bool {
    message.and_then(|message| message.changed_id).is_none_or(|changed_id| changed_id >= entry.id)
}

impl Context {
    /// The message that an entry is about.
    fn message(&self, uri: &Uri, entry: &Entry) -> Result<Option<Entry>> {
        entry.happening.of.map_or(Ok(None), |of| self.messages.read(&entry_key(uri, of)))
    }

    /// The entry as it is told.
    ///
    /// # Errors
    /// [`Error::Busy`] where what it tells of does not show yet.
    pub(crate) fn notice<'a>(&'a self, uri: &'a Uri, entry: &'a Entry) -> Result<Notice<'a>> {
        let happening = &entry.happening;
        let user = self.users.get(&happening.user_id).ok_or_else(|| Error::internal("an entry without its user"))?;
        let message = self.message(uri, entry)?;
        if !shows(message.as_ref(), entry) {
            return Err(Error::Busy(Some("a message does not show yet what was done to it".into())));
        }
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
        json::to_line(&self.notice(uri, entry)?)
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
        // Nobody's address goes to the exchange and to sockets.
        users.extend(known.into_iter().map(|(id, user)| (id, user.without_email())));
        Ok(Context { users, messages })
    }

    /// The entries after `after`, in order, until there are no more or `enough` says so of what there is, with what it takes to tell
    /// of them. What does not show yet is left for the next time.
    pub(crate) async fn told_after(
        &self,
        uri: &Uri,
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
        let message = Entry::new(3, Happening::new(EntryType::Message, UserId(1)), Date::now());
        let edited =
            |id| Entry::new(id, Happening { of: Some(3), ..Happening::new(EntryType::Edited, UserId(1)) }, Date::now());
        assert!(!shows(Some(&message), &edited(5)));
        let changed = Entry { changed_id: Some(5), ..message };
        assert!(shows(Some(&changed), &edited(4)));
        assert!(shows(Some(&changed), &edited(5)));
        assert!(!shows(Some(&changed), &edited(6)));
        assert!(shows(None, &changed), "what is about no message");
    }
}
