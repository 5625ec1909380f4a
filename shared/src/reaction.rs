//! Reactions: an emoji that members put to a message.

use std::str::FromStr;

use crate::{
    Confab, Error, Result,
    amendment::message,
    error::Invalid,
    log::{Appended, Entry, EntryId, EntryType, Happening, entry_key},
    message::{IS_MESSAGE, too_many},
    session::Member,
    table::Write,
    visit::Visit,
};

/// So many different emoji a message may have.
pub const EMOJI: usize = 20;
/// So many users may put the same one to a message: with [`EMOJI`] that stays below the 400 KB of a DynamoDB item.
pub const USERS: usize = 1000;

/// One emoji of Unicode, in its fully qualified form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emoji(String);

impl FromStr for Emoji {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let emoji = emojis::get(text).ok_or_else(|| Invalid::field("emoji", "One emoji is required."))?;
        Ok(Self(emoji.as_str().to_owned()))
    }
}

impl Confab {
    /// Puts an emoji to a message, once for each member.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::NotFound`] where there is no such message (any more); [`Error::Invalid`] where it has too
    /// many reactions; [`Error::Throttled`] as for posting.
    pub async fn react(&self, visit: &Visit, id: EntryId, emoji: &Emoji) -> Result<()> {
        let room = "(attribute_exists(reactions.#emoji) OR size(reactions) < :emoji) \
                    AND (attribute_not_exists(reactions.#emoji) OR size(reactions.#emoji) < :most)";
        let add = Write::update(entry_key(&visit.as_member()?.uri, id), "ADD reactions.#emoji :users")
            .when(&format!("{IS_MESSAGE} AND NOT contains(reactions.#emoji, :user) AND {room}"))
            .number(":emoji", EMOJI)
            .number(":most", USERS);
        match self.change_reaction(visit, id, emoji, EntryType::Reacted, add).await? {
            Some(message) if message.has(emoji, visit) => Ok(()),
            Some(_) => Err(Invalid::field("emoji", "This message has too many reactions.").into()),
            None => Ok(()),
        }
    }

    /// Takes an emoji of the caller's from a message.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::NotFound`] where there is no such message (any more); [`Error::Throttled`] as for posting.
    pub async fn take_reaction_back(&self, visit: &Visit, id: EntryId, emoji: &Emoji) -> Result<()> {
        let remove = Write::update(entry_key(&visit.as_member()?.uri, id), "DELETE reactions.#emoji :users")
            .when(&format!("{IS_MESSAGE} AND contains(reactions.#emoji, :user)"));
        // Where the change was refused there is nothing to take back.
        self.change_reaction(visit, id, emoji, EntryType::Unreacted, remove).await.map(drop)
    }

    /// Changes a message by a write in which `#emoji`, `:user` and `:users` stand for the emoji and the caller. Gives the message
    /// if its condition did not hold of it.
    async fn change_reaction(
        &self,
        visit: &Visit,
        id: EntryId,
        emoji: &Emoji,
        kind: EntryType,
        change: Write,
    ) -> Result<Option<Entry>> {
        let session = visit.as_member()?;
        let (uri, user_id) = (&session.uri, visit.caller.user.id);
        let last_id = self.last_id_with(session, id).await?.ok_or(Error::NotFound)?;
        let change = change
            .name("#type", "type")
            .name("#emoji", &emoji.0)
            .serialized(":message", &EntryType::Message)?
            .number(":user", user_id)
            .numbers(":users", [user_id]);
        let happening = Happening { of: Some(id), emoji: Some(emoji.0.clone()), ..Happening::new(kind, user_id) };
        let changes = |_: &[_]| {
            Ok([change.clone(), Member::still(uri, user_id)].into_iter().chain(self.posting(user_id)).collect())
        };
        match self.append(uri, last_id, &[happening], changes).await? {
            Appended::Written(entries) => {
                self.publish_entries(uri, &entries, visit.caller.known()).await;
                Ok(None)
            }
            Appended::Refused(0, item) => message(item)?.filter(Entry::is_message).ok_or(Error::NotFound).map(Some),
            Appended::Refused(1, _) => Err(Error::not_a_member()),
            Appended::Refused(..) => Err(too_many()),
        }
    }
}

impl Entry {
    /// Whether the caller has put this emoji to it.
    fn has(&self, emoji: &Emoji, visit: &Visit) -> bool {
        let users = self.reactions.as_ref().and_then(|reactions| reactions.get(&emoji.0));
        users.is_some_and(|users| users.contains(&visit.caller.user.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_one_in_its_fullest_form() {
        for (text, full) in
            [("👍", "👍"), ("❤", "❤\u{fe0f}"), ("❤\u{fe0f}", "❤\u{fe0f}"), ("👍🏽", "👍🏽"), ("🏳️‍🌈", "🏳️‍🌈"), ("🇩🇪", "🇩🇪")]
        {
            assert_eq!(text.parse::<Emoji>().unwrap(), Emoji(full.to_owned()), "{text}");
        }
        for text in ["", "a", "1", "👍👍", " 👍", "thumbsup", "\u{fe0f}"] {
            assert_eq!(text.parse::<Emoji>().unwrap_err().status(), 400, "{text}");
        }
    }
}
