//! Events: log entries as clients and the exchange see them.
//!
//! **Invariant.** An event describes the state at the time it is made: the author's current name, the current text of
//! an edited message, the current number of reactions. So an entry holds no copy of what may change or be deleted, and
//! a client that applies the events from any point on ends with what the history says.

use std::collections::HashMap;

use futures_util::future;
use serde::Serialize;

use super::entry::{Entry, EntryBody, EntryType};
use crate::{
    Confab, Error, Result,
    auth::user::User,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    json,
    key::Key,
};

/// An entry as clients and the exchange see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: EntryType,
    uri: &'a ChatUri,
    id: EntryId,
    /// The message that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<EntryId>,
    /// The text of the message; empty once it has been deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<EntryId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<&'a str>,
    /// The number of users with this reaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a User>,
    create_date: Date,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit_date: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_date: Option<Date>,
}

/// What events of some entries need besides the entries.
#[derive(Debug)]
pub(crate) struct EventContext {
    users: HashMap<UserId, User>,
    /// The messages that the entries are about.
    messages: HashMap<Key, Entry>,
}

impl EventContext {
    /// The message that an entry is about.
    fn message(&self, uri: &ChatUri, entry: &Entry) -> Option<&Entry> {
        self.messages.get(&Entry::key(uri, entry.body.of?))
    }

    /// Cuts entries before the first whose message does not show its change yet.
    pub(crate) fn cut_at_change(&self, uri: &ChatUri, entries: &mut Vec<Entry>) {
        if let Some(end) = entries.iter().position(|entry| !shows(self.message(uri, entry), entry)) {
            entries.truncate(end);
        }
    }

    /// The event of an entry, as JSON on one line.
    ///
    /// # Errors
    /// [`Error::Busy`] where its message does not show the change yet.
    pub(crate) fn event(&self, uri: &ChatUri, entry: &Entry) -> Result<String> {
        let body = &entry.body;
        let user = self.users.get(&body.user_id);
        if user.is_none() && body.kind != EntryType::Void {
            return Err(Error::internal("an entry without its user"));
        }
        let message = self.message(uri, entry);
        if !shows(message, entry) {
            return Err(Error::Busy(Some("a message does not show its last change yet".into())));
        }
        let (shown, count) = match body.kind {
            EntryType::Message => (Some(entry), None),
            EntryType::Edited => (message, None),
            EntryType::Reacted | EntryType::Unreacted => (None, message.zip(body.emoji.as_ref())),
            EntryType::Joined | EntryType::Left | EntryType::Owner | EntryType::Deleted | EntryType::Void => {
                (None, None)
            }
        };
        json::to_line(&Event {
            kind: body.kind,
            uri,
            id: entry.id,
            of: body.of,
            message: shown.map(|shown| shown.body.message.as_deref().unwrap_or_default()),
            reply_to: body.reply_to,
            emoji: body.emoji.as_deref(),
            count: count.map(|(message, emoji)| message.reaction_count(emoji)),
            user,
            create_date: entry.create_date,
            edit_date: entry.edit_date,
            delete_date: shown.and_then(|shown| shown.delete_date),
        })
    }
}

/// Whether a message shows the change that an entry is about. A read may see a transaction half done, and an event of
/// the state before it would never be corrected.
fn shows(message: Option<&Entry>, entry: &Entry) -> bool {
    message.and_then(|message| message.changed_id).is_none_or(|changed_id| changed_id >= entry.id)
}

impl Confab {
    /// Reads what the events of some chats' entries need, except the users that are known.
    pub(crate) async fn event_context(
        &self,
        chats: &[(&ChatUri, &[Entry])],
        known: HashMap<UserId, User>,
    ) -> Result<EventContext> {
        let (mut unknown, mut messages) = (Vec::new(), Vec::new());
        for (uri, entries) in chats {
            for Entry { body: EntryBody { user_id, of, .. }, .. } in *entries {
                unknown.extend(Some(*user_id).filter(|id| *id != UserId(0) && !known.contains_key(id)));
                messages.extend(of.map(|of| Entry::key(uri, of)));
            }
        }
        let (mut users, messages) = future::try_join(self.users(unknown), self.table().get_many(messages)).await?;
        // There are no e-mail addresses on the exchange and on sockets.
        users.extend(known.into_iter().map(|(id, user)| (id, user.without_email())));
        Ok(EventContext { users, messages: messages.all()? })
    }

    /// The entries after `after`, as [`Confab::entries_after`], up to the first whose message does not show its change
    /// yet; and what their events need.
    pub(crate) async fn events_after(
        &self,
        uri: &ChatUri,
        after: EntryId,
        enough: impl Fn(&[Entry]) -> bool,
    ) -> Result<(Vec<Entry>, EventContext)> {
        let mut entries = self.entries_after(uri, after, enough).await?;
        let context = self.event_context(&[(uri, &entries)], HashMap::new()).await?;
        context.cut_at_change(uri, &mut entries);
        Ok((entries, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_an_event_once_its_message_shows_it() {
        let message = Entry::new(EntryId(3), EntryBody::new(EntryType::Message, UserId(1)), Date::now());
        let edited =
            |id| Entry::new(EntryId(id), EntryBody::about(EntryId(3), EntryType::Edited, UserId(1)), Date::now());
        assert!(!shows(Some(&message), &edited(5)));
        let changed = Entry { changed_id: Some(EntryId(5)), ..message };
        assert!(shows(Some(&changed), &edited(4)));
        assert!(shows(Some(&changed), &edited(5)));
        assert!(!shows(Some(&changed), &edited(6)));
        assert!(shows(None, &changed), "an entry that is not about a message");
    }
}
