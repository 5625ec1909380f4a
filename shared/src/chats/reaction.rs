//! Reactions: an emoji that members put to a message.

use std::str::FromStr;

use unicode_properties::{EmojiStatus, UnicodeEmoji};
use unicode_segmentation::UnicodeSegmentation;

use crate::{
    Confab, Error, Result,
    aws::table::{Item, Write},
    chats::access::ChatAccess,
    chats::chat::Chat,
    chats::edit::message,
    chats::log::{Entry, EntryBody, EntryType, entry_key},
    chats::members::Member,
    chats::post::if_message,
    error::Invalid,
    ids::{EntryId, UserId},
};

/// So many different emoji a message may have.
pub const EMOJI: usize = 20;
/// So many users may put the same one to a message: with [`EMOJI`] that stays below the 400 KB of a DynamoDB item.
pub const USERS: usize = 1000;

/// An emoji has so many characters at most; the longest that Unicode lists has ten.
const CHARACTERS: usize = 16;
/// Asks for the colourful form of what is a plain sign otherwise.
const PRESENTATION: char = '\u{fe0f}';
const JOINER: char = '\u{200d}';
const KEYCAP: char = '\u{20e3}';
/// What the flags of parts of a country begin with.
const BLACK_FLAG: char = '🏴';

/// One emoji, with what asks for its colourful form, so that `❤` and `❤️` are the same. It need not be one that Unicode lists:
/// a list of them makes a function a tenth larger and slower to start, and is out of date every year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emoji(String);

impl FromStr for Emoji {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        emoji(text).map(Self).ok_or_else(|| Invalid::field("emoji", "One emoji is required.").into())
    }
}

fn emoji(text: &str) -> Option<String> {
    let signs: Vec<char> = text.chars().filter(|sign| *sign != PRESENTATION).collect();
    let (first, rest) = signs.split_first()?;
    let is_one = text.graphemes(true).count() == 1 && signs.len() <= CHARACTERS;
    let is_letter_of_flag = matches!(first, '\u{1f1e6}'..='\u{1f1ff}');
    let fits = match first.is_ascii() {
        // Digits and the like are emoji on a keycap only.
        true => rest == [KEYCAP],
        false => {
            signs.windows(2).all(|pair| may_follow(pair[1], pair[0], *first))
                && signs.last() != Some(&JOINER)
                && !(is_letter_of_flag && rest.is_empty())
        }
    };
    if !is_one || !first.is_emoji_char() || !fits {
        return None;
    }
    let mut full = String::new();
    for (place, sign) in signs.iter().enumerate() {
        full.push(*sign);
        if is_plain(*sign) && !signs.get(place + 1).is_some_and(|next| is_skin_tone(*next)) {
            full.push(PRESENTATION);
        }
    }
    Some(full)
}

/// Whether a character may stand in an emoji behind another: what is joined to it, skin tones, the letters of a flag.
fn may_follow(c: char, before: char, first: char) -> bool {
    match c {
        JOINER => before != JOINER,
        '\u{e0020}'..='\u{e007f}' => first == BLACK_FLAG,
        c => !c.is_ascii() && c.is_emoji_char(),
    }
}

fn is_plain(c: char) -> bool {
    use EmojiStatus::{EmojiModifierBase, EmojiOther, EmojiOtherAndEmojiComponent};
    matches!(c.emoji_status(), EmojiOther | EmojiModifierBase | EmojiOtherAndEmojiComponent)
}

fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

impl Confab {
    // `ADD` and `DELETE` reach into a map, although the API reference speaks of attributes at the top only: those who imitate DynamoDB had
    // to learn it (<https://github.com/getmoto/moto/pull/2605>, <https://github.com/floci-io/floci/pull/1908>).

    /// Puts an emoji to a message, once for each member.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] where there is no such message (any more); [`Error::Invalid`] where it has too
    /// many reactions; [`Error::Throttled`] as for posting.
    pub async fn add_reaction(&self, access: &ChatAccess, id: EntryId, emoji: &Emoji) -> Result<()> {
        let room = "(attribute_exists(reactions.#emoji) OR size(reactions) < :emoji) \
                    AND (attribute_not_exists(reactions.#emoji) OR size(reactions.#emoji) < :most)";
        let add = Write::update(
            entry_key(&access.require_member()?.uri, id),
            "SET changed_id = :change ADD reactions.#emoji :users",
        );
        let add = if_message(add, &format!("AND NOT contains(reactions.#emoji, :user) AND {room}"))?
            .number(":emoji", EMOJI)
            .number(":most", USERS);
        let (user_id, sign) = (access.caller.user.id, emoji.0.clone());
        let add = add.otherwise(move |item| match live_message(item) {
            Ok(message) if message.has(&sign, user_id) => Error::AlreadyDone,
            Ok(_) => Invalid::field("emoji", "This message has too many reactions.").into(),
            Err(error) => error,
        });
        self.change_reaction(access, id, emoji, EntryType::Reacted, add).await
    }

    /// Takes an emoji of the caller's from a message.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] where there is no such message (any more); [`Error::Throttled`] as for posting.
    pub async fn remove_reaction(&self, access: &ChatAccess, id: EntryId, emoji: &Emoji) -> Result<()> {
        let remove = Write::update(
            entry_key(&access.require_member()?.uri, id),
            "SET changed_id = :change DELETE reactions.#emoji :users",
        );
        // A message that refuses it has no such reaction of the caller's.
        let remove = if_message(remove, "AND contains(reactions.#emoji, :user)")?
            .otherwise(|item| live_message(item).err().unwrap_or(Error::AlreadyDone));
        self.change_reaction(access, id, emoji, EntryType::Unreacted, remove).await
    }

    /// Changes a message by a write in which `#emoji`, `:user` and `:users` stand for the emoji and the caller.
    async fn change_reaction(
        &self,
        access: &ChatAccess,
        id: EntryId,
        emoji: &Emoji,
        kind: EntryType,
        change: Write,
    ) -> Result<()> {
        let chat = access.require_member()?;
        let (uri, user_id) = (&chat.uri, access.caller.user.id);
        let chat = self.chat_with(chat, id).await?.ok_or(Error::NotFound)?;
        let change = change.name("#emoji", &emoji.0).number(":user", user_id).numbers(":users", [user_id]);
        let body = EntryBody { of: Some(id), emoji: Some(emoji.0.clone()), ..EntryBody::new(kind, user_id) };
        let changes = |_: &Chat, entries: &[Entry]| {
            Ok(vec![change.clone().number(":change", entries[0].id), Member::still(uri, user_id)])
        };
        match self.append(&chat, user_id, &[body], changes).await {
            Ok(entries) => {
                self.publish_entries(uri, &entries, access.caller.known()).await;
                Ok(())
            }
            Err(Error::AlreadyDone) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The message that an item is, if it is one that has not been deleted.
fn live_message(item: Option<&Item>) -> Result<Entry> {
    message(item)?.filter(Entry::is_message).ok_or(Error::NotFound)
}

impl Entry {
    /// Whether a user has put this emoji to it.
    fn has(&self, emoji: &str, user_id: UserId) -> bool {
        let users = self.reactions.as_ref().and_then(|reactions| reactions.get(emoji));
        users.is_some_and(|users| users.contains(&user_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_emoji_is_one_in_its_fullest_form() {
        for (text, full) in [
            ("👍", "👍"),
            ("❤", "❤\u{fe0f}"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
            ("👍\u{fe0f}", "👍"),
            ("❤\u{fe0f}\u{fe0f}", "❤\u{fe0f}"),
            ("👩‍❤‍💋‍👨", "👩‍❤️‍💋‍👨"),
            ("⛹🏽‍♂", "⛹🏽‍♂\u{fe0f}"),
            ("👍🏽", "👍🏽"),
            ("☝🏽", "☝🏽"),
            ("🏳️‍🌈", "🏳️‍🌈"),
            ("👩‍❤️‍💋‍👨", "👩‍❤️‍💋‍👨"),
            ("🇩🇪", "🇩🇪"),
            (
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            ),
            ("1\u{20e3}", "1\u{fe0f}\u{20e3}"),
            ("1\u{fe0f}\u{20e3}", "1\u{fe0f}\u{20e3}"),
        ] {
            assert_eq!(text.parse::<Emoji>().unwrap(), Emoji(full.to_owned()), "{text}");
            assert_eq!(full.parse::<Emoji>().unwrap(), Emoji(full.to_owned()), "{full}");
        }
        let long = "👍\u{200d}".repeat(9);
        let others = [
            "",
            "a",
            "1",
            "日",
            "👍👍",
            " 👍",
            "thumbsup",
            "\u{fe0f}",
            "a\u{fe0f}",
            "1\u{fe0f}",
            "🇩",
            "👍\u{301}",
            "👍\u{200d}",
            "👍\u{200d}\u{200d}👍",
            "👍\u{e0067}\u{e007f}",
            &long,
        ];
        for text in others {
            assert_eq!(text.parse::<Emoji>().unwrap_err().status(), 400, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer_and_what_is_settled_stays(text in "\\PC{0,4}") {
            if let Ok(emoji) = text.parse::<Emoji>() {
                prop_assert_eq!(emoji.0.parse::<Emoji>().unwrap(), emoji);
            }
        }
    }
}
