//! Emoji: one of them, in its fullest form.

use std::str::FromStr;

use unicode_properties::{EmojiStatus, UnicodeEmoji};
use unicode_segmentation::UnicodeSegmentation;

use crate::{Error, Result, error::Invalid};

/// The longest emoji, in characters; the longest that Unicode lists has ten.
const CHARACTERS: usize = 16;
/// The variation selector for the colourful form of what is a plain sign otherwise.
const PRESENTATION: char = '\u{fe0f}';
const JOINER: char = '\u{200d}';
const KEYCAP: char = '\u{20e3}';
/// The start of the flags of regions.
const BLACK_FLAG: char = '🏴';

/// One emoji, with the variation selector for its colourful form, so that `❤` and `❤️` are the same. It need not be one
/// that Unicode lists: such a list makes a function a tenth larger and slower to start, and is outdated every year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emoji(pub(crate) String);

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
        fn any_text_is_read_or_rejected_and_reads_back(text in "\\PC{0,4}") {
            if let Ok(emoji) = text.parse::<Emoji>() {
                prop_assert_eq!(emoji.0.parse::<Emoji>().unwrap(), emoji);
            }
        }
    }
}
