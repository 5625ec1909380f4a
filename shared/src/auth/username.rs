//! Usernames: which ones may be registered, and the items that make them unique. Existing users with another name, of
//! an earlier version or imported, keep it.
//!
//! Each form of a name is an item, so that no two users who register have one in common.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use unicode_normalization::char::is_combining_mark;
use unicode_security::{MixedScript, mixed_script::AugmentedScriptSet};

use super::name_forms::{Form, folded, forms, normalized};
use crate::{
    Confab, Error, Result,
    aws::table::Write,
    date::Date,
    error::Invalid,
    ids::UserId,
    input::{fields::Fields, text::Text},
    key::{Key, Partition},
};

/// The longest username, in characters.
pub(crate) const USERNAME_CHARACTERS: usize = 150;

/// What a generated suffix may take of that.
const SUFFIX_CHARACTERS: usize = 30;

/// Letters without a visible form. Hangul's fillers and the Khmer vowels are default-ignorable, Egyptian hieroglyphs'
/// two blanks are spaces in all but name (<https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point>).
const BLANK_LETTERS: [char; 8] =
    ['\u{115F}', '\u{1160}', '\u{17B4}', '\u{17B5}', '\u{3164}', '\u{FFA0}', '\u{13441}', '\u{13442}'];

/// An item that makes a username, or another form of it, unique and leads from it to the user.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Username {
    pub(crate) user_id: UserId,
    #[serde(default, skip_serializing_if = "Form::is_name")]
    pub(crate) form: Form,
}

impl Username {
    /// Whether there can be such a username at all. DynamoDB rejects keys above 2 KB, and empty ones.
    pub(crate) fn is_possible(username: &str) -> bool {
        !username.is_empty() && username.chars().count() <= USERNAME_CHARACTERS
    }

    pub(crate) fn key(username: &str) -> Key {
        Partition::Username.key(username, "USERNAME")
    }

    /// The writes that give a user a name, in all of its forms. They fail with the error `taken` if another user has
    /// one of them; what the user has already may stay.
    ///
    /// # Errors
    /// When an item cannot be written as DynamoDB attributes.
    pub(crate) fn claim(
        name: &str,
        user_id: UserId,
        taken: impl Fn() -> Error + Clone + Send + Sync + 'static,
    ) -> Result<Vec<Write>> {
        let claim = |(text, form): (String, Form)| {
            let taken = taken.clone();
            let put = Write::put(Self::key(&text), &Self { user_id, form })?;
            let put = put.when("attribute_not_exists(pk) OR expires_at < :now OR user_id = :user_id");
            let put = put.number(":now", Date::now().epoch_seconds()).number(":user_id", user_id);
            Ok(put.otherwise(move |_| taken()))
        };
        forms(name).into_iter().map(claim).collect()
    }

    /// The write that gives an imported user a name exactly as it is, although it may be a form of another's. It fails
    /// with the error `taken` if another user has the same name.
    ///
    /// # Errors
    /// When the item cannot be written as DynamoDB attributes.
    pub(crate) fn claim_imported(
        name: &str,
        user_id: UserId,
        taken: impl Fn() -> Error + Send + Sync + 'static,
    ) -> Result<Write> {
        let put = Write::put(Self::key(name), &Self { user_id, form: Form::Name })?;
        let put = put.when("attribute_not_exists(pk) OR expires_at < :now OR attribute_exists(form)");
        Ok(put.number(":now", Date::now().epoch_seconds()).otherwise(move |_| taken()))
    }

    /// The writes that give a user the other forms of their name, each of them only if nobody has it.
    ///
    /// # Errors
    /// When an item cannot be written as DynamoDB attributes.
    pub(crate) fn claim_forms(name: &str, user_id: UserId) -> Result<Vec<Write>> {
        let others = forms(name).into_iter().filter(|(_, form)| !form.is_name());
        others.map(|(text, form)| Ok(Write::put(Self::key(&text), &Self { user_id, form })?.if_absent())).collect()
    }

    /// The valid username that is closest to a text, where there is one. There is room for a suffix.
    pub(crate) fn nearest(text: &str) -> Option<String> {
        let mut name = String::new();
        for c in normalized(text).chars().take(USERNAME_CHARACTERS - SUFFIX_CHARACTERS) {
            name.push(c);
            if !is_legal(&name) {
                name.pop();
                name.push_str(if name.is_empty() || name.ends_with('_') { "" } else { "_" });
            }
        }
        let name = normalized(name.trim_end_matches('_'));
        let is_valid = name.contains(char::is_alphanumeric) && is_legal(&name) && !mixes_scripts(&name);
        is_valid.then_some(name)
    }

    /// The keys under which a name is looked up: as it was typed, and without regard to case.
    pub(crate) fn lookup_keys(name: &str) -> [Key; 2] {
        [Self::key(name), Self::key(&folded(name))]
    }

    /// The user of a name, given the items at [`Self::lookup_keys`]. One who has exactly this name comes first.
    pub(crate) fn find(name: &str, found: &HashMap<Key, Self>) -> Option<UserId> {
        let items = Self::lookup_keys(name).map(|key| found.get(&key).filter(|item| item.form != Form::Skeleton));
        items.into_iter().flatten().next().map(|item| item.user_id)
    }
}

impl Confab {
    /// Whether a user has one of the forms of a name.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn is_username_taken(&self, name: &str) -> Result<bool> {
        let keys = forms(name).into_iter().map(|(text, _)| Username::key(&text));
        Ok(!self.table().get_many(keys).await?.is_empty())
    }

    /// The keys of the items by which a user has a name, in all of its forms.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn username_keys(&self, name: &str, user_id: UserId) -> Result<Vec<Key>> {
        let keys = forms(name).into_iter().map(|(text, _)| Username::key(&text));
        let found = self.table().get_many(keys).await?.all::<Username>()?;
        Ok(found.into_iter().filter(|(_, item)| item.user_id == user_id).map(|(key, _)| key).collect())
    }

    /// The writes that free a user's name, for the transaction that claims the name `kept` instead. They fail with
    /// [`Error::Busy`] if the forms of the name have changed since.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn release_username(&self, name: &str, user_id: UserId, kept: &str) -> Result<Vec<Write>> {
        let kept: Vec<Key> = forms(kept).into_iter().map(|(text, _)| Username::key(&text)).collect();
        let keys = self.username_keys(name, user_id).await?.into_iter().filter(|key| !kept.contains(key));
        let release = |key| Write::delete(key).when("user_id = :user_id").number(":user_id", user_id);
        Ok(keys.map(|key| release(key).otherwise(|_| Error::Busy(None))).collect())
    }
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
    if mixes_scripts(&normal) {
        invalid.add(name, "This value may not mix letters of different scripts.");
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

/// Whether a name has letters of several scripts, other than Latin ones together with those of one script that does not
/// look like Latin: the "moderately restrictive" level
/// (<https://www.unicode.org/reports/tr39/#Restriction_Level_Detection>). Chinese, Japanese and Korean count as one each.
fn mixes_scripts(name: &str) -> bool {
    let is_of = |c: char, script: char| {
        let mut scripts = AugmentedScriptSet::from(script);
        scripts.intersect_with(c.into());
        !scripts.is_empty()
    };
    let others: String = name.chars().filter(|c| !is_of(*c, 'a')).collect();
    let looks_latin = |c: char| is_of(c, '\u{430}') || is_of(c, '\u{3B1}');
    !name.is_single_script() && (!others.is_single_script() || others.contains(looks_latin))
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
    fn the_nearest_valid_name() {
        let nearest = Username::nearest;
        for (text, name) in [
            ("anna", "anna"),
            ("Anna Maria  Berg ", "Anna_Maria_Berg"),
            ("\u{200B}a\u{200B}", "a"),
            ("\u{3A9}\u{301}", "\u{38F}"),
            ("\u{FF41}!", "a"),
        ] {
            assert_eq!(nearest(text).as_deref(), Some(name), "{text:?}");
        }
        for text in ["", "..", "\u{3164}", "!?", "___", "p\u{430}ypal"] {
            assert_eq!(nearest(text), None, "{text:?}");
        }
        assert_eq!(nearest(&"a".repeat(1000)).unwrap().len(), 120);
    }

    #[test]
    fn names_that_mix_scripts() {
        for name in
            ["\u{43C}\u{430}\u{440}\u{438}\u{44F}_7", "anna\u{738B}", "\u{30A2}\u{3042}\u{738B}a", "anna\u{BB5}"]
        {
            assert!(is_taken(name), "{name}");
        }
        for name in ["p\u{430}ypal", "p\u{3B1}ypal", "\u{430}\u{BB5}", "anna\u{BB5}\u{738B}", "\u{391}\u{43C}"] {
            assert!(!is_taken(name), "{name}");
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
