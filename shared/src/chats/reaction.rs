//! Reactions: an emoji that members add to a message.

use super::{
    access::ChatAccess,
    emoji::Emoji,
    entry::{Entry, EntryBody, EntryType, if_message},
    member::Member,
};
use crate::{
    Confab, Error, Result,
    aws::table::{Item, Write},
    error::Invalid,
    ids::{EntryId, UserId},
};

/// The most different emoji of a message.
const EMOJI: usize = 20;
/// The most users with the same one: with [`EMOJI`], that stays below the 400 KB of a DynamoDB item.
const USERS: usize = 1000;

impl Confab {
    // `ADD` and `DELETE` reach into a map, although the API reference speaks of top-level attributes only: emulators
    // had to learn it (<https://github.com/getmoto/moto/pull/2605>, <https://github.com/floci-io/floci/pull/1908>).

    /// Adds the caller's reaction to a message; idempotent.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] for an unknown or deleted message; [`Error::Invalid`]
    /// where it has too many reactions; [`Error::Throttled`].
    pub async fn add_reaction(&self, access: &ChatAccess, id: EntryId, emoji: &Emoji) -> Result<()> {
        let user_id = access.caller.user.id;
        self.change_message(access, reaction(id, EntryType::Reacted, user_id, emoji), |chat, entry| {
            let fits = "(attribute_exists(reactions.#emoji) OR size(reactions) < :emoji) \
                        AND (attribute_not_exists(reactions.#emoji) OR size(reactions.#emoji) < :most)";
            let set = "SET changed_id = :change ADD reactions.#emoji :users";
            let is_new = format!("AND NOT contains(reactions.#emoji, :user) AND {fits}");
            let add = if_message(Write::update(Entry::key(&chat.uri, id), set), &is_new)?;
            let sign = emoji.0.clone();
            let add = with_names(add, entry, emoji, user_id)
                .number(":emoji", EMOJI)
                .number(":most", USERS)
                .otherwise(move |item| not_added(item, &sign, user_id));
            Ok([add, Member::require(&chat.uri, user_id)])
        })
        .await
    }

    /// Removes the caller's reaction from a message; idempotent.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] for an unknown or deleted message; [`Error::Throttled`].
    pub async fn remove_reaction(&self, access: &ChatAccess, id: EntryId, emoji: &Emoji) -> Result<()> {
        let user_id = access.caller.user.id;
        self.change_message(access, reaction(id, EntryType::Unreacted, user_id, emoji), |chat, entry| {
            let set = "SET changed_id = :change DELETE reactions.#emoji :users";
            let remove = Write::update(Entry::key(&chat.uri, id), set);
            let remove = if_message(remove, "AND contains(reactions.#emoji, :user)")?;
            // A message on which the condition fails has no such reaction of the caller's.
            let remove = with_names(remove, entry, emoji, user_id)
                .otherwise(|item| live_message(item).err().unwrap_or(Error::AlreadyDone));
            Ok([remove, Member::require(&chat.uri, user_id)])
        })
        .await
    }
}

fn reaction(id: EntryId, kind: EntryType, user_id: UserId, emoji: &Emoji) -> EntryBody {
    EntryBody { emoji: Some(emoji.0.clone()), ..EntryBody::about(id, kind, user_id) }
}

/// Gives the emoji, the user and the entry to the names in a write's expressions.
fn with_names(write: Write, entry: &Entry, emoji: &Emoji, user_id: UserId) -> Write {
    write.name("#emoji", &emoji.0).number(":user", user_id).numbers(":users", [user_id]).number(":change", entry.id)
}

/// Why a reaction was not added.
fn not_added(item: Option<Item>, emoji: &str, user_id: UserId) -> Error {
    match live_message(item) {
        Ok(message) if message.has_reaction(emoji, user_id) => Error::AlreadyDone,
        Ok(_) => Invalid::field("emoji", "This message has too many reactions.").into(),
        Err(error) => error,
    }
}

/// The message that an item is, unless it has been deleted.
fn live_message(item: Option<Item>) -> Result<Entry> {
    Some(Entry::message_of(item)?).filter(Entry::is_message).ok_or(Error::NotFound)
}
