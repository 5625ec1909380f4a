//! The reactions of one user to a message, in a separate item: the message has only the numbers, so a reaction costs the
//! same however many there are.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::entry::{Entry, sort_key};
use crate::{
    Confab, Result,
    aws::table::Write,
    ids::{ChatUri, EntryId, UserId},
    key::{Key, Partition},
};

/// A user's reactions to a message, as stored.
#[derive(Debug, Default, Deserialize)]
pub(super) struct StoredReactions {
    #[serde(default)]
    pub(super) emoji: BTreeSet<String>,
}

impl StoredReactions {
    pub(super) fn key(uri: &ChatUri, user_id: UserId, id: EntryId) -> Key {
        Partition::Reactions.key(format!("{uri}#{user_id}"), sort_key(id))
    }

    /// Adds an emoji, unless it is there.
    pub(super) fn add(key: Key, emoji: &str) -> Write {
        let add = Write::update(key, "ADD emoji :set").when("NOT contains(emoji, :emoji)");
        add.texts(":set", [emoji]).text(":emoji", emoji)
    }

    /// Removes an emoji that is there.
    pub(super) fn remove(key: Key, emoji: &str) -> Write {
        let remove = Write::update(key, "DELETE emoji :set").when("contains(emoji, :emoji)");
        remove.texts(":set", [emoji]).text(":emoji", emoji)
    }
}

/// One user's reactions to some messages.
#[derive(Debug)]
pub(super) struct OwnReactions {
    user_id: UserId,
    stored: HashMap<Key, StoredReactions>,
}

impl OwnReactions {
    /// Whether the user has reacted to a message with an emoji.
    pub(super) fn has(&self, uri: &ChatUri, message: &Entry, emoji: &str) -> bool {
        let stored = self.stored.get(&StoredReactions::key(uri, self.user_id, message.id));
        stored.is_some_and(|stored| stored.emoji.contains(emoji)) || message.has_former_reaction(emoji, self.user_id)
    }
}

impl Confab {
    /// A user's reactions to those of some messages that have any: one read for each hundred, and none if no message
    /// has reactions.
    pub(super) async fn own_reactions<'a>(
        &self,
        user_id: UserId,
        messages: impl IntoIterator<Item = (&'a ChatUri, &'a Entry)>,
    ) -> Result<OwnReactions> {
        let messages = messages.into_iter().filter(|(_, message)| !message.reactions().is_empty());
        let keys: Vec<Key> = messages.map(|(uri, message)| StoredReactions::key(uri, user_id, message.id)).collect();
        Ok(OwnReactions { user_id, stored: self.table().get_many(keys).await?.all()? })
    }
}
