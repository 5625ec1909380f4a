//! Log entries as stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    aws::table::{Item, Write, read},
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    key::{Key, Partition},
};

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntryType {
    /// A message was posted.
    Message,
    /// A member joined.
    Joined,
    /// A member left or was removed.
    Left,
    /// A member became the owner.
    Owner,
    /// A message was edited.
    Edited,
    /// A message was deleted.
    Deleted,
    /// A reaction was added to a message.
    Reacted,
    /// A reaction was removed from a message.
    Unreacted,
    /// Nothing: the id was reserved for an entry that was never committed.
    Void,
}

/// The users who reacted, by emoji.
pub(crate) type FormerReactions = BTreeMap<String, BTreeSet<UserId>>;

/// An entry as stored. A message's text, dates and reactions change; everything else stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The number in the log.
    #[serde(rename = "sk", with = "padded")]
    pub(crate) id: EntryId,
    #[serde(flatten)]
    pub(crate) body: EntryBody,
    pub(crate) create_date: Date,
    /// When a message was last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) edit_date: Option<Date>,
    /// When a message was deleted. Its text is gone then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delete_date: Option<Date>,
    /// How many users reacted to a message, by emoji, without those in `reactions`. A message has it from the start on,
    /// because DynamoDB adds to a map only where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reaction_counts: Option<BTreeMap<String, usize>>,
    /// The users who reacted with a former version, which kept them in the message.
    #[serde(rename = "reactions", skip_serializing_if = "Option::is_none")]
    pub(crate) former_reactions: Option<FormerReactions>,
    /// The last entry about a message, which is the message itself at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed_id: Option<EntryId>,
}

/// An entry without its number and date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntryBody {
    #[serde(rename = "type")]
    pub(crate) kind: EntryType,
    /// The author, or the member that the entry is about; 0 for a void.
    pub(crate) user_id: UserId,
    /// The text of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// The message that a message replies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reply_to: Option<EntryId>,
    /// The message that was edited, deleted or reacted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<EntryId>,
    /// The emoji of a reaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) emoji: Option<String>,
    /// The salt of a message's fingerprint in its idempotency record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) salt: Option<String>,
}

/// Marks an imported entry, which is not published.
#[derive(Serialize, Deserialize)]
pub(crate) struct ImportMark {
    #[serde(default)]
    pub(crate) imported: bool,
}

impl EntryBody {
    /// A body with a type and a user only.
    pub(crate) fn new(kind: EntryType, user_id: UserId) -> Self {
        Self { kind, user_id, message: None, reply_to: None, of: None, emoji: None, salt: None }
    }

    /// A change of the message `id`.
    pub(crate) fn about(id: EntryId, kind: EntryType, user_id: UserId) -> Self {
        Self { of: Some(id), ..Self::new(kind, user_id) }
    }
}

impl Entry {
    /// The entry with this number.
    pub(crate) fn new(id: EntryId, body: EntryBody, create_date: Date) -> Self {
        let is_message = body.kind == EntryType::Message;
        let (reaction_counts, changed_id) = (is_message.then(BTreeMap::new), is_message.then_some(id));
        let former_reactions = None;
        Self {
            id,
            body,
            create_date,
            edit_date: None,
            delete_date: None,
            reaction_counts,
            former_reactions,
            changed_id,
        }
    }

    /// The entry that closes an id for which there is no other.
    pub(crate) fn void(id: EntryId) -> Self {
        Self::new(id, EntryBody::new(EntryType::Void, UserId(0)), Date::now())
    }

    /// Puts the entry, unless there is one with its id.
    pub(crate) fn put_if_absent(&self, uri: &ChatUri) -> Result<Write> {
        Ok(Write::put(Self::key(uri, self.id), self)?.if_absent().otherwise(|_| Error::Behind))
    }

    /// Where the entry `id` is.
    pub(crate) fn key(uri: &ChatUri, id: EntryId) -> Key {
        Partition::Log.key(uri, sort_key(id))
    }

    /// Whether it is a message that has not been deleted.
    pub(crate) fn is_message(&self) -> bool {
        self.body.kind == EntryType::Message && self.delete_date.is_none()
    }

    /// How many users have reacted, by emoji.
    pub(crate) fn reactions(&self) -> BTreeMap<&str, usize> {
        let mut reactions = BTreeMap::new();
        for (emoji, count) in self.reaction_counts.iter().flatten() {
            reactions.insert(emoji.as_str(), *count);
        }
        for (emoji, users) in self.former_reactions.iter().flatten() {
            *reactions.entry(emoji.as_str()).or_default() += users.len();
        }
        reactions
    }

    /// How many users have reacted with an emoji.
    pub(crate) fn reaction_count(&self, emoji: &str) -> usize {
        self.reactions().get(emoji).copied().unwrap_or_default()
    }

    /// Whether a user has reacted with an emoji, with a former version.
    pub(crate) fn has_former_reaction(&self, emoji: &str, user_id: UserId) -> bool {
        let users = self.former_reactions.as_ref().and_then(|reactions| reactions.get(emoji));
        users.is_some_and(|users| users.contains(&user_id))
    }

    /// The message that an item is, deleted or not.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not one.
    pub(crate) fn message_of(item: Option<Item>) -> Result<Self> {
        let entry: Option<Self> = item.map(read).transpose()?;
        entry.filter(|entry| entry.body.kind == EntryType::Message).ok_or(Error::NotFound)
    }
}

/// Restricts a write to messages that have not been deleted, and for which `more` holds, which is empty or begins with
/// `AND`.
pub(crate) fn if_message(write: Write, more: &str) -> Result<Write> {
    write
        .when(&format!("#type = :message AND attribute_not_exists(delete_date) {more}"))
        .name("#type", "type")
        .serialized(":message", &EntryType::Message)
}

/// The number of an entry as a sort key: sixteen digits, so that keys sort as numbers do.
pub(crate) fn sort_key(id: EntryId) -> String {
    format!("{id:016}")
}

mod padded {
    use super::EntryId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &EntryId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::sort_key(*id))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EntryId, D::Error> {
        String::deserialize(deserializer)?.parse().map(EntryId).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LAST_ID;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sort_keys_sort_as_numbers(a in 0..=LAST_ID, b in 0..=LAST_ID) {
            prop_assert_eq!(sort_key(EntryId(a)).cmp(&sort_key(EntryId(b))), a.cmp(&b));
        }
    }
}
