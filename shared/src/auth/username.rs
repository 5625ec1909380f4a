//! Usernames: which ones may be registered, and the items that make them unique. Existing users with another name, of
//! an earlier version or imported, keep it.

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{
    error::Invalid,
    ids::UserId,
    input::{fields::Fields, text::Text},
    key::{Key, Partition},
};

/// The longest username, in characters.
pub(crate) const USERNAME_CHARACTERS: usize = 150;

/// Letters without a visible form. Hangul's fillers and the Khmer vowels are default-ignorable, Egyptian hieroglyphs'
/// two blanks are spaces in all but name (<https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point>).
const BLANK_LETTERS: [char; 8] =
    ['\u{115F}', '\u{1160}', '\u{17B4}', '\u{17B5}', '\u{3164}', '\u{FFA0}', '\u{13441}', '\u{13442}'];

/// The item that makes a username unique and leads from it to the user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Username {
    pub(crate) user_id: UserId,
}

impl Username {
    /// Whether there can be such a username at all. DynamoDB rejects keys above 2 KB, and empty ones.
    pub(crate) fn is_possible(username: &str) -> bool {
        !username.is_empty() && username.chars().count() <= USERNAME_CHARACTERS
    }

    pub(crate) fn key(username: &str) -> Key {
        Partition::Username.key(username, "USERNAME")
    }
}

/// A username in the form that is stored and looked up: NFKC, as Django normalises it.
pub(crate) fn normalized(username: &str) -> String {
    username.nfkc().collect()
}

/// The problem of a name that another user has.
pub(crate) const TAKEN: &str = "A user with that username already exists.";

/// Reads a new username from the field `name`.
pub(crate) fn read(name: &'static str, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
    let mut problems = Invalid::default();
    let text = Text::required(name).at_most(USERNAME_CHARACTERS);
    let username = text.read(fields, &mut problems);
    // In its normal form too, which is what is stored: one letter may become several characters there, or a space.
    let normal = username.as_deref().map(normalized).unwrap_or_default();
    if !username.iter().chain([&normal]).all(|text| is_legal(text)) {
        invalid.add(
            name,
            "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
        );
    }
    if is_a_path(&normal) {
        invalid.add(name, "This value may not consist of dots only.");
    }
    if problems.is_empty() && normal.chars().count() > USERNAME_CHARACTERS {
        problems.add(name, format!("Ensure this field has no more than {USERNAME_CHARACTERS} characters."));
    }
    invalid.append(problems);
    username
}

/// Whether a name has letters, digits and `@.+-_` alone, none of which is invisible or a mark without a letter to be
/// on: such names look like others, or like nothing.
fn is_legal(name: &str) -> bool {
    let mut on_a_letter = false;
    name.chars().all(|c| {
        let is_mark = is_combining_mark(c);
        let is_letter = c.is_alphanumeric() && !BLANK_LETTERS.contains(&c) && !is_mark;
        let is_legal = is_letter || "@.+-_".contains(c) || is_mark && c.is_alphanumeric() && on_a_letter;
        on_a_letter = is_letter || is_mark && on_a_letter;
        is_legal
    })
}

/// Whether a client that normalises paths would take the name, as the path segment that it is in
/// `/members/{username}/`, for a way to another place (<https://url.spec.whatwg.org/#double-dot-path-segment>).
fn is_a_path(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};
    use serde_json::json;

    fn is_taken(name: &str) -> bool {
        let mut invalid = Invalid::default();
        read("username", &Fields::from_value(json!({ "username": name })).unwrap(), &mut invalid);
        invalid.is_empty()
    }

    #[test]
    fn names_of_any_script() {
        for name in ["anna", "a.b+c-d_e@f", "Ünal", "\u{BB5}\u{BBE}\u{BA3}\u{BBF}", "ปิยะ", "王", "123", "..a", "..."]
        {
            let is_dots = name.chars().all(|c| c == '.');
            assert_eq!(is_taken(name), !is_dots, "{name}");
        }
    }

    #[test]
    fn names_that_look_like_others_or_like_nothing() {
        for name in [
            "\u{3164}",
            "anna\u{3164}",
            "an\u{115F}na",
            "\u{FFA0}anna",
            "anna\u{200B}",
            "anna\u{AD}",
            "\u{301}anna",
            "anna.\u{BBE}",
            "\u{BBE}anna",
            "\u{345}",
            "\u{13441}",
            ".",
            "..",
            "\u{FF0E}\u{FF0E}",
            "\u{2025}",
        ] {
            assert!(!is_taken(name), "{name:?}");
        }
    }

    #[test]
    fn no_default_ignorable_character_is_legal() {
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        for c in ('\0'..=char::MAX).filter(|c| ignorable.contains(*c)) {
            assert!(!is_legal(&format!("a{c}")), "{c:?}");
        }
    }
}
