//! Removing a chat that nobody is in: first the chat, by which it is gone for everybody, then its log in bounded steps.

use super::{
    chat::Chat,
    cursor::DeliveryCursor,
    entry::{Entry, EntryType},
    own_reactions::StoredReactions,
};
use crate::{
    Confab, Result,
    aws::table::{Write, read},
    ids::{ChatUri, UserId},
    key::{Key, Partition},
};

/// Log entries that a step removes.
const ENTRIES: usize = 200;

impl Confab {
    /// Removes a chat if nobody is in it and its last owner was this one.
    ///
    /// **Invariant.** Nobody can join a chat that is being removed: joining steps the `last_id` of a chat that exists.
    pub(crate) async fn remove_empty_chat(&self, uri: &ChatUri, owner_id: UserId) -> Result<()> {
        let remove = Write::delete(Chat::key(uri)).when("member_count = :none AND owner_id = :owner");
        self.table().attempt(remove.number(":none", 0).number(":owner", owner_id)).await.map(drop)
    }

    /// Removes a part of the log of a chat that has been removed, with the reactions in it. Returns whether there is
    /// more.
    pub(crate) async fn remove_log(&self, uri: &ChatUri) -> Result<bool> {
        let page = self.table().pages(Partition::Log.of(uri)).limit(ENTRIES).next().await?.unwrap_or_default();
        if page.is_empty() {
            self.table().write_many(vec![Write::delete(DeliveryCursor::key(uri))]).await?;
            return Ok(false);
        }
        let entries = page.into_iter().map(read).collect::<Result<Vec<Entry>>>()?;
        let reactions = entries.iter().filter(|entry| entry.body.kind == EntryType::Reacted);
        let reactions = reactions.filter_map(|entry| Some((entry.body.user_id, entry.body.of?)));
        let mut keys: Vec<Key> = reactions.map(|(user_id, id)| StoredReactions::key(uri, user_id, id)).collect();
        keys.sort_by(|a, b| (&a.pk, &a.sk).cmp(&(&b.pk, &b.sk)));
        keys.dedup();
        // The reactions first: only the entries lead to them.
        self.table().write_many(keys.into_iter().map(Write::delete).collect()).await?;
        let entries = entries.iter().map(|entry| Write::delete(Entry::key(uri, entry.id)));
        self.table().write_many(entries.collect()).await?;
        Ok(true)
    }
}
