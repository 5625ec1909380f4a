//! Appending to a chat's log, in which everything that happens is numbered from 1 without gaps.
//!
//! | append | when | calls |
//! |---|---|---|
//! | next | nothing contends for the log | a transaction that is conditional on `last_id`: see `log_end` |
//! | reserved | appends contend; entries that change neither members nor owner | see `reservation` |
//! | locked | appends contend; entries that change members or the owner | see `log_lock` |
//!
//! **Invariant.** An entry is written in one transaction with the state that it changes and with the checks of its
//! author's rights. So a reader who has seen n knows that everything below n has happened.
//!
//! **Invariant.** In the log nobody acts behind the entry that took their right away. Rights change in transactions
//! that are conditional on `last_id`, so every id below theirs was reserved before them, and every id above after them.
//! What is committed after them finds the right gone.

use super::{
    chat::Chat,
    cursor::DeliveryCursor,
    entry::{Entry, EntryBody, sort_key},
};
use crate::{
    Confab, Error, Result,
    aws::table::Write,
    ids::{ChatUri, EntryId, UserId},
    key::Partition,
};

/// The most entries behind the delivery cursor that are read to find the end of the log.
const ENTRIES_BEHIND_CURSOR: usize = 1000;

impl Confab {
    /// Appends an entry that changes neither the members nor the owner, on behalf of `actor`, whose rate limit it counts
    /// against (`None` for nobody's), in one transaction with the writes that `changes` returns. Those are made for the chat as it was last
    /// read, and must contain the checks of what the actor may do. `changes` may be called several times.
    ///
    /// # Errors
    /// The error of the first of these writes whose condition fails ([`Write::otherwise`]); [`Error::Throttled`];
    /// [`Error::NotFound`] without a chat; [`Error::Busy`].
    pub(crate) async fn append(
        &self,
        chat: &Chat,
        actor: impl Into<Option<UserId>>,
        body: &EntryBody,
        changes: impl Fn(&Chat, &Entry) -> Result<Vec<Write>>,
    ) -> Result<Entry> {
        let actor = actor.into();
        if !chat.is_hot() {
            let changes = |chat: &Chat, entries: &[Entry]| changes(chat, &entries[0]);
            if let Some(entries) = self.append_next(chat, actor, std::slice::from_ref(body), changes).await? {
                return entries.into_iter().next().ok_or_else(|| Error::internal("an append without an entry"));
            }
        }
        self.append_reserved(&chat.uri, actor, body, changes).await
    }

    /// Appends entries that may change the members or the owner, as [`Confab::append`] does. `changes` gets the chat as
    /// it is right before the entries: if the transaction succeeds, members and owner are still the same.
    ///
    /// # Errors
    /// As [`Confab::append`].
    pub(crate) async fn append_about_members(
        &self,
        chat: &Chat,
        actor: impl Into<Option<UserId>>,
        bodies: &[EntryBody],
        changes: impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Vec<Entry>> {
        let actor = actor.into();
        if !chat.is_hot()
            && !chat.is_locked()
            && let Some(entries) = self.append_next(chat, actor, bodies, &changes).await?
        {
            return Ok(entries);
        }
        self.append_locked(&chat.uri, actor, bodies, &changes).await
    }

    /// The entries after `after`, oldest first, until the end of the log or until `enough` says so at the end of a
    /// read.
    pub(crate) async fn entries_after(
        &self,
        uri: &ChatUri,
        after: EntryId,
        enough: impl Fn(&[Entry]) -> bool,
    ) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut scan = self.scan_after(uri, after);
        while !(scan.needs_read() && enough(&entries))
            && let Some(scanned) = scan.next().await?
        {
            entries.push(scanned.entry);
        }
        Ok(entries)
    }

    /// The first entry after `after`, whether or not there is a hole before it.
    pub(crate) async fn first_entry_after(&self, uri: &ChatUri, after: EntryId) -> Result<Option<Entry>> {
        let pages = self.table().pages(Partition::Log.of(uri)).between(sort_key(after.next()), sort_key(EntryId::LAST));
        Ok(pages.limit(1).up_to(1).await?.pop())
    }

    /// The last entry that a reader may be told of: it and all before it are in the log. While ids are being reserved,
    /// this is where a walk from the delivery cursor ends; a lower bound if the cursor is far behind.
    pub(crate) async fn visible_id(&self, chat: &Chat) -> Result<EntryId> {
        if chat.is_settled() {
            return Ok(chat.last_id);
        }
        let cursor: Option<DeliveryCursor> = self.table().get(DeliveryCursor::key(&chat.uri)).await?;
        let delivered = cursor.unwrap_or_default().last_id;
        if delivered >= chat.last_id {
            return Ok(chat.last_id);
        }
        let enough = |entries: &[Entry]| entries.len() >= ENTRIES_BEHIND_CURSOR;
        let behind = self.entries_after(&chat.uri, delivered, enough).await?;
        Ok(behind.last().map_or(delivered, |entry| entry.id))
    }
}
