//! Reactions: an emoji that members add to a message.
//!
//! The message has the number of each emoji, and each user's reactions are in a separate item. Both change in one
//! transaction, which is built from the message as it was read and fails if it has changed since.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    access::ChatAccess,
    emoji::Emoji,
    entry::{Entry, EntryBody, EntryType, if_message},
    member::Membership,
    message_change::{ChangeAttempts, change_attempts},
    own_reactions::StoredReactions,
};
use crate::{
    Confab, Error, Result,
    aws::table::{Item, Write},
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
};

/// The most different emoji of a message.
const EMOJI: usize = 20;
/// The most users with the same one.
const USERS: usize = 1000;

impl Confab {
    /// Adds the caller's reaction to a message; idempotent.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] for an unknown or deleted message; [`Error::Invalid`]
    /// where it has too many reactions; [`Error::Throttled`].
    pub async fn add_reaction(&self, access: &ChatAccess, id: EntryId, emoji: &Emoji) -> Result<()> {
        self.change_reaction(access, id, EntryType::Reacted, emoji).await
    }

    /// Removes the caller's reaction from a message; idempotent.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] for an unknown or deleted message; [`Error::Throttled`].
    pub async fn remove_reaction(&self, access: &ChatAccess, id: EntryId, emoji: &Emoji) -> Result<()> {
        self.change_reaction(access, id, EntryType::Unreacted, emoji).await
    }

    async fn change_reaction(&self, access: &ChatAccess, id: EntryId, kind: EntryType, emoji: &Emoji) -> Result<()> {
        let mut attempts = change_attempts();
        loop {
            let ended = self.change_reaction_once(access, &attempts, id, kind, emoji).await;
            if let ControlFlow::Break(ended) = attempts.next(ended).await {
                return ended;
            }
        }
    }

    async fn change_reaction_once<P>(
        &self,
        access: &ChatAccess,
        attempts: &ChangeAttempts<P>,
        id: EntryId,
        kind: EntryType,
        emoji: &Emoji,
    ) -> Result<()> {
        let (uri, user_id, emoji) = (&access.require_member()?.uri, access.caller.user.id, emoji.0.as_str());
        let keys = [Entry::key(uri, id), StoredReactions::key(uri, user_id, id)];
        let mut found = self.table().get_many(keys.clone()).await?;
        let message: Entry = found.take(&keys[0])?.ok_or(Error::NotFound)?;
        if !message.is_message() {
            return Err(Error::NotFound);
        }
        if kind == EntryType::Reacted && !fits(&message, emoji) {
            let stored: Option<StoredReactions> = found.take(&keys[1])?;
            let has_it = stored.is_some_and(|stored| stored.emoji.contains(emoji));
            return match has_it || message.has_former_reaction(emoji, user_id) {
                true => Ok(()),
                false => Err(Invalid::field("emoji", "This message has too many reactions.").into()),
            };
        }
        let body = EntryBody { emoji: Some(emoji.to_owned()), ..EntryBody::about(id, kind, user_id) };
        self.change_message(access, attempts, &body, |chat, entry| {
            let mut writes = match kind {
                EntryType::Reacted => added(uri, &message, emoji, user_id, entry.id)?,
                _ => removed(uri, &message, emoji, user_id, entry.id)?,
            };
            writes.push(Membership::require(&chat.uri, user_id));
            Ok(writes)
        })
        .await
    }
}

/// Whether a message may have one more reaction with this emoji.
fn fits(message: &Entry, emoji: &str) -> bool {
    let reactions = message.reactions();
    reactions.get(emoji).map_or(reactions.len() < EMOJI, |count| *count < USERS)
}

/// The writes that add a user's reaction, with the entry `change`.
fn added(uri: &ChatUri, message: &Entry, emoji: &str, user_id: UserId, change: EntryId) -> Result<Vec<Write>> {
    if message.has_former_reaction(emoji, user_id) {
        return Err(Error::AlreadyDone);
    }
    let counts = match &message.reaction_counts {
        Some(counts) => {
            let count = counts.get(emoji).copied().unwrap_or_default() + 1;
            let set = update(uri, message, "SET changed_id = :change, reaction_counts.#emoji = :count", change)?;
            set.name("#emoji", emoji).number(":count", count)
        }
        // A message of a former version.
        None => update(uri, message, "SET changed_id = :change, reaction_counts = :counts", change)?
            .serialized(":counts", &BTreeMap::from([(emoji, 1)]))?,
    };
    let own = StoredReactions::add(StoredReactions::key(uri, user_id, message.id), emoji);
    Ok(vec![counts, own.otherwise(|_| Error::AlreadyDone)])
}

/// The writes that remove a user's reaction, with the entry `change`.
fn removed(uri: &ChatUri, message: &Entry, emoji: &str, user_id: UserId, change: EntryId) -> Result<Vec<Write>> {
    if message.has_former_reaction(emoji, user_id) {
        let delete = update(uri, message, "SET changed_id = :change DELETE reactions.#emoji :users", change)?;
        return Ok(vec![delete.name("#emoji", emoji).numbers(":users", [user_id])]);
    }
    let count = message.reaction_counts.as_ref().and_then(|counts| counts.get(emoji)).copied().unwrap_or_default();
    let counts = match count {
        0 => return Err(Error::AlreadyDone),
        1 => update(uri, message, "SET changed_id = :change REMOVE reaction_counts.#emoji", change)?,
        _ => update(uri, message, "SET changed_id = :change, reaction_counts.#emoji = :count", change)?
            .number(":count", count - 1),
    };
    let own = StoredReactions::remove(StoredReactions::key(uri, user_id, message.id), emoji);
    Ok(vec![counts.name("#emoji", emoji), own.otherwise(|_| Error::AlreadyDone)])
}

/// An update of a message as it was read.
fn update(uri: &ChatUri, message: &Entry, expression: &str, change: EntryId) -> Result<Write> {
    let update = Write::update(Entry::key(uri, message.id), expression);
    let update = match message.changed_id {
        Some(seen) => if_message(update, "AND changed_id = :seen")?.number(":seen", seen),
        None => if_message(update, "AND attribute_not_exists(changed_id)")?,
    };
    Ok(update.number(":change", change).otherwise(why_not))
}

/// Why a message was not updated.
fn why_not(item: Option<Item>) -> Error {
    match Entry::message_of(item) {
        Ok(message) if message.is_message() => Error::Changed,
        Ok(_) => Error::NotFound,
        Err(error) => error,
    }
}
