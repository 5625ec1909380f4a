//! Messages as one user sees them.

use std::{cmp::Reverse, collections::HashMap};

use futures_util::future;
use serde::Serialize;

use super::{
    access::ChatAccess,
    entry::{Entry, EntryType},
    own_reactions::OwnReactions,
};
use crate::{
    Confab, Error, Result,
    auth::user::User,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
};

/// A message as it is now, as one user sees it.
#[derive(Debug, Serialize)]
pub struct MessageView {
    pub(super) id: EntryId,
    user: User,
    /// Empty once it has been deleted.
    message: String,
    create_date: Date,
    edit_date: Option<Date>,
    delete_date: Option<Date>,
    reply_to: Option<EntryId>,
    /// Most used first.
    reactions: Vec<ReactionView>,
}

/// An emoji among a message's reactions.
#[derive(Debug, Serialize)]
struct ReactionView {
    emoji: String,
    count: usize,
    /// Whether the reader's reaction is among them.
    mine: bool,
}

impl MessageView {
    /// A message as the user sees it whose own reactions are `own`; `None` where the entry is not a message, or its
    /// author is not among `users`.
    pub(super) fn new(uri: &ChatUri, entry: Entry, users: &HashMap<UserId, User>, own: &OwnReactions) -> Option<Self> {
        if entry.body.kind != EntryType::Message {
            return None;
        }
        let user = users.get(&entry.body.user_id)?.clone();
        let view = |(emoji, count): (&str, usize)| ReactionView {
            emoji: emoji.to_owned(),
            count,
            mine: own.has(uri, &entry, emoji),
        };
        let mut reactions: Vec<ReactionView> = entry.reactions().into_iter().map(view).collect();
        reactions.sort_by_key(|reaction| Reverse(reaction.count));
        Some(Self {
            id: entry.id,
            user,
            message: entry.body.message.unwrap_or_default(),
            create_date: entry.create_date,
            edit_date: entry.edit_date,
            delete_date: entry.delete_date,
            reply_to: entry.body.reply_to,
            reactions,
        })
    }
}

impl Confab {
    /// Shows a message to the caller.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`].
    pub async fn show_message(&self, access: &ChatAccess, id: EntryId) -> Result<MessageView> {
        let uri = &access.require_member()?.uri;
        let entry: Entry = self.table().get(Entry::key(uri, id)).await?.ok_or(Error::NotFound)?;
        let users = self.visible_users([(uri.clone(), entry.body.user_id)]);
        let own = self.own_reactions(access.caller.user.id, [(uri, &entry)]);
        let (users, own) = future::try_join(users, own).await?;
        MessageView::new(uri, entry, &users, &own).ok_or(Error::NotFound)
    }
}
